"use strict";
// Shows one forward pass: the JSON in #data, or what the server answers. Text from the prompt and
// the vocabulary is only ever set as textContent.

const $ = (id) => document.getElementById(id);
const live = document.documentElement.dataset.mode === "live";
let data = null;      // what is shown, with arrays unpacked
let byRow = false;    // whether the map's colours say how a weight compares with its row's largest
let chosen = { token: 0, layer: 0, head: 0, key: 0, lens: null };

// --- arrays ---------------------------------------------------------------------------------

function unpack({ kind, shape, data }) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  if (kind === "f4") return { shape, values: new Float32Array(bytes.buffer) };
  const halves = new Uint16Array(bytes.buffer), values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = fromHalf(halves[i]);
  return { shape, values };
}

function fromHalf(h) {
  const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// The numbers at the first indices of an array: row(x, layer, head, token)
function row(x, ...indices) {
  let start = 0, size = x.values.length;
  indices.forEach((index, i) => { size /= x.shape[i]; start += index * size; });
  return x.values.subarray(start, start + size);
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const number = (x) => (Object.is(x, -0) ? 0 : x).toFixed(3);

// softmax of logits / temperature over the tokens that top-k and top-p leave, in order of
// probability: [token, probability, whether it is left]. Tokens as likely as the k-th are left too.
function probabilities(logits, temperature, topK, topP) {
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b);
  const scale = Math.max(temperature, 1e-9), highest = logits[order[0]];
  let p = order.map((i) => Math.exp((logits[i] - highest) / scale));
  if (temperature === 0) p = p.map((_, i) => (i === 0 ? 1 : 0));
  let most = topK === 0 ? p.length : Math.min(topK, p.length);
  while (temperature > 0 && most < p.length && logits[order[most]] === logits[order[most - 1]]) most++;
  const whole = p.slice(0, most).reduce((a, b) => a + b, 0);
  let before = 0, count = 0;  // of those that are left
  while (count < most && (count === 0 || topP === 1 || before < topP * whole)) before += p[count++];
  return order.map((i, n) => [i, n < count ? p[n] / before : 0, n < count]);
}

// --- drawing --------------------------------------------------------------------------------

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function element(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const amount = (p) => `rgba(${variable("--amount")}, ${Math.min(1, Math.max(0, p))})`;

// The page's ink or its background, whichever reads better on amount(p) (contrast as in WCAG 2)
function inkOn(p) {
  const parts = (text) => text.startsWith("#") ? [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)) : text.split(",").map(Number);
  const luminance = (rgb) => dot(rgb.map((x) => (x / 255 <= 0.04 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4)), [0.2126, 0.7152, 0.0722]);
  const back = parts(variable("--back")), full = parts(variable("--amount"));
  const under = luminance(full.map((x, i) => p * x + (1 - p) * back[i]));
  const contrast = (other) => { const l = luminance(other); return (Math.max(l, under) + 0.05) / (Math.min(l, under) + 0.05); };
  return contrast(back) > contrast(parts(variable("--ink"))) ? variable("--back") : variable("--ink");
}
function signed(x, largest) {
  return `rgba(${variable(x < 0 ? "--minus" : "--plus")}, ${largest ? Math.abs(x) / largest : 0})`;
}

// Small coloured squares for the numbers of a row, and the first of them in figures
function strip(values) {
  const box = element("div"), squares = element("div", null, { class: "strip", "aria-hidden": "true" });
  const largest = values.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  for (const x of values) {
    const square = element("i");
    square.style.background = signed(x, largest);
    square.title = x.toPrecision(4);
    squares.append(square);
  }
  const first = [...values.slice(0, 6)].map(number).join("  ");
  box.append(squares, element("div", first + (values.length > 6 ? " …" : ""), { class: "numbers" }));
  return box;
}

function choices(id, names, current, choose, extra) {
  $(id).replaceChildren(...names.map((name, i) => {
    const button = element("button", name, { type: "button", "aria-pressed": String(i === current) });
    if (extra) button.append(element("small", extra(i)));
    button.addEventListener("click", () => { choose(i); focusAgain(id, i); });
    return button;
  }));
}

// Drawing replaces the buttons: the keyboard stays where it was
function focusAgain(id, i) { $(id).children[i]?.focus(); }

function drawTokens() {
  choices("tokens", data.labels, chosen.token, (i) => {
    chosen.token = i; chosen.key = Math.min(chosen.key, i); draw();
  }, (i) => data.tokens[i]);
  choices("layers", range(data.config.layers), chosen.layer, (i) => { chosen.layer = i; draw(); });
  choices("heads", range(data.config.heads), chosen.head, (i) => { chosen.head = i; draw(); });
}
const range = (n) => Array.from({ length: n }, (_, i) => String(i + 1));

function drawPath() {
  const { token, layer, head } = chosen, cards = [];
  const card = (title, about, ...parts) => {
    const item = element("li");
    item.append(element("h3", title), element("p", about), ...parts);
    cards.push(item);
  };
  card("TOKEN", `Number ${data.tokens[token]} of ${data.config.vocabulary}, at position ${place(token)}.`,
    element("div", data.labels[token], { class: "numbers" }));
  for (const stage of data.stages.before) card(stage.title, stage.about, strip(row(data.rows[stage.name], token)));
  for (const stage of data.stages.layer) {
    const title = `LAYER ${layer + 1} · ${stage.title}`;
    if (data.layer_rows[stage.name]) card(title, stage.about, strip(row(data.layer_rows[stage.name], layer, token)));
    else if (stage.name === "weights") {
      card(`${title}, HEAD ${head + 1}`, stage.about, strip(row(data.attention.weights, layer, head, token).subarray(0, token + 1)));
    } else {
      const name = { query: "q", key: "k", value: "value" }[stage.name];
      if (name) card(`${title}, HEAD ${head + 1}`, stage.about, strip(row(data.attention[name], layer, head, token)));
    }
  }
  const lens = data.lens[data.config.layers][token][0];
  card("PREDICTION", "After all layers the likeliest next token is", element("div", `${lens[0]}   ${lens[1]}`, { class: "numbers" }));
  $("path").replaceChildren(...cards);
}

function drawMap() {
  const canvas = $("map"), T = data.tokens.length, { layer, head, token, key } = chosen;
  const upright = Math.max(...data.labels.map((text) => text.length)) <= 2, label = upright ? 26 : 60;
  $("sides").classList.toggle("far", T > 24);   // the map has the whole width
  const room = canvas.parentElement.clientWidth || 520;
  const side = Math.max(upright ? 15 : 13, Math.min(36, Math.floor((room - label) / T)));
  const size = label + side * T, ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.height = size * ratio;
  canvas.style.width = `${size}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = `${Math.max(7, Math.min(12, side - 1))}px ui-monospace, monospace`;
  pen.textBaseline = "middle";
  for (let i = 0; i < T; i++) {
    const weights = row(data.attention.weights, layer, head, i), most = byRow ? Math.max(...weights) || 1 : 1;
    for (let j = 0; j <= i; j++) {
      pen.fillStyle = variable("--panel");
      pen.fillRect(label + j * side, label + i * side, side - 1, side - 1);
      pen.fillStyle = amount(weights[j] / most);
      pen.fillRect(label + j * side, label + i * side, side - 1, side - 1);
    }
    const name = shortened(data.labels[i], 7), middle = label + (i + 0.5) * side;
    pen.fillStyle = variable(i === token ? "--accent" : "--ink");
    pen.textAlign = "right";
    pen.fillText(name, label - 4, middle);
    pen.save();
    pen.translate(middle, upright ? label - 10 : label - 4);
    if (!upright) pen.rotate(-Math.PI / 2);
    pen.textAlign = upright ? "center" : "left";
    pen.fillStyle = variable(i === key ? "--accent" : "--ink");
    pen.fillText(name, 0, 0);
    pen.restore();
  }
  pen.strokeStyle = variable("--ink");
  pen.lineWidth = 2;
  pen.strokeRect(label + key * side, label + token * side, side - 1, side - 1);
  canvas.cells = { label, side };
  reveal(canvas.parentElement, label + (key + 0.5) * side);
  canvas.setAttribute("aria-label", `Attention weights of layer ${layer + 1}, head ${head + 1}: ${T} by ${T} tokens`);
}
// Scroll sideways so far that what is drawn at x can be seen
function reveal(box, x) {
  if (x < box.scrollLeft || x > box.scrollLeft + box.clientWidth) box.scrollLeft = x - box.clientWidth / 2;
}
const shortened = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

function drawArcs() {
  const { layer, head, token } = chosen, weights = row(data.attention.weights, layer, head, token);
  const room = $("arcs").parentElement.clientWidth || 520, step = Math.max(22, Math.min(46, (room - 20) / (token + 1)));
  const width = step * (token + 1) + 20, height = Math.min(190, 50 + 11 * (token + 1)), ground = height - 22;
  const picture = $("arcs"), at = (i) => 10 + step * (i + 0.5);
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.setAttribute("width", width);
  picture.setAttribute("height", height);
  const looks = [...weights.subarray(0, token + 1)].map((w, i) => `${data.labels[i]} ${Math.round(100 * w)} %`);
  picture.setAttribute("aria-label", `${data.labels[token]} looks at: ${looks.join(", ")}`);
  const parts = [];
  for (let i = 0; i <= token; i++) {
    const w = weights[i], from = at(token), to = at(i);
    const high = i === token ? ground - 24 : ground - Math.min(ground - 6, 14 + Math.abs(from - to) * 0.32);
    const shape = i === token ? `M ${from - 7} ${ground} C ${from - 18} ${high}, ${from + 18} ${high}, ${from + 7} ${ground}`
      : `M ${from} ${ground} C ${from} ${high}, ${to} ${high}, ${to} ${ground}`;
    parts.push(svg("path", { d: shape, "stroke-width": 0.5 + 7 * w, "stroke-opacity": 0.12 + 0.88 * w }));
    parts.push(svg("text", { x: to, y: height - 6, "text-anchor": "middle", "font-weight": i === token ? 700 : 400 }, shortened(data.labels[i], 5)));
  }
  picture.replaceChildren(...parts);
  reveal(picture.parentElement, at(chosen.key));
}

function drawPair() {
  const { layer, head, token, key } = chosen, D = data.config.head_size;
  const q = row(data.attention.q, layer, head, token), values = row(data.attention.value, layer, head, key);
  const weights = row(data.attention.weights, layer, head, token);
  const scores = range(token + 1).map((_, i) => dot(q, row(data.attention.k, layer, head, i)));
  const name = (i) => `${data.labels[i]} (${place(i)})`;
  $("pair-told").textContent = `${name(token)} looks at ${name(key)}: q·k = ${number(scores[key])}, divided by √${D} = ${number(scores[key] / Math.sqrt(D))}; after softmax ${(100 * weights[key]).toFixed(1)} %.`;
  const table = element("table"), head_ = element("tr");
  for (const title of ["key", "q·k", "q·k/√D", "softmax", ""]) head_.append(element("th", title, { scope: "col" }));
  table.append(head_);
  const rows = scores.map((_, i) => i).sort((a, b) => weights[b] - weights[a]).slice(0, 6);
  if (!rows.includes(key)) rows[rows.length - 1] = key;
  for (const i of rows) {
    const line = element("tr", null, i === key ? { class: "chosen" } : {});
    line.append(element("th", name(i), { scope: "row" }), element("td", number(scores[i])), element("td", number(scores[i] / Math.sqrt(D))), element("td", number(weights[i])));
    const cell = element("td"), bar = element("span", null, { class: "bar" });
    bar.style.width = `${80 * weights[i]}px`;
    cell.style.textAlign = "left";
    cell.append(bar);
    line.append(cell);
    table.append(line);
  }
  const shown = rows.reduce((sum, i) => sum + weights[i], 0), others = place(token) - rows.length;
  if (others > 0) {
    const line = element("tr", null, { class: "others" });
    line.append(element("th", others === 1 ? "one other" : `${others} others`, { scope: "row" }), element("td"), element("td"), element("td", number(Math.max(0, 1 - shown))), element("td"));
    table.append(line);
  }
  const k = row(data.attention.k, layer, head, key);
  $("pair").replaceChildren(table, element("h3", "q of the token that looks"), strip(q), element("h3", "k of the token it looks at"), strip(k),
    element("h3", `v, which it mixes in with weight ${number(weights[key])}`), strip(values));
}

function drawLens() {
  const table = $("lens"), head = element("tr");
  head.append(element("th", "after"));
  data.labels.forEach((label) => head.append(element("th", label, { scope: "col" })));
  const rows = data.lens.map((layer, i) => {
    const line = element("tr");
    line.append(element("th", i === 0 ? "embedding" : `layer ${i}`, { scope: "row" }));
    layer.forEach((best, j) => {
      const [text, p] = best[0], cell = element("td"), button = element("button", shortened(text, 8), { type: "button" });
      button.style.background = amount(p);
      button.style.color = inkOn(p);
      button.setAttribute("aria-label", `${i === 0 ? "embedding" : "layer " + i}, after ${data.labels[j]}: ${text}, ${Math.round(100 * p)} percent`);
      button.addEventListener("click", () => { chosen.lens = [i, j]; tellLens(); });
      cell.append(button);
      line.append(cell);
    });
    return line;
  });
  table.replaceChildren(head, ...rows);
  tellLens();
}

function tellLens() {
  const [i, j] = chosen.lens || [data.config.layers, data.tokens.length - 1];
  const best = data.lens[i][j].map(([text, p]) => `${text} ${(100 * p).toFixed(1)} %`).join(",  ");
  $("lens-told").textContent = `${i === 0 ? "From the embedding" : "After layer " + i}, behind “${data.labels[j]}”: ${best}`;
}

function sampling() {
  return [Number($("temperature").value), Number($("topk").value), Number($("topp").value)];
}

function drawNext() {
  const [temperature, topK, topP] = sampling(), shown = 20;
  $("temperature-value").textContent = temperature.toFixed(2);
  $("topk-value").textContent = topK || "all";
  $("topp-value").textContent = topP.toFixed(2);
  data.next = probabilities(data.logits.values, temperature, topK, topP);
  const names = new Map(data.best.map((token, i) => [token, data.best_labels[i]]));
  const focused = [...$("bars").children].findIndex((line) => line.contains(document.activeElement));
  const bars = data.next.slice(0, shown).map(([token, p, left]) => {
    const line = element("li", null, left ? {} : { class: "out" }), fill = element("span", null, { class: "fill" });
    fill.style.width = `${100 * p}%`;
    line.append(element("span", names.get(token), { class: "label" }), element("span", p.toFixed(4)), fill);
    if (live) {
      const button = element("button", "Take", { type: "button", "aria-label": `Take ${names.get(token)}` });
      button.addEventListener("click", () => take(token));
      line.append(button);
    } else line.append(element("span"));
    return line;
  });
  $("bars").replaceChildren(...bars);
  if (focused >= 0) $("bars").children[focused]?.querySelector("button")?.focus();
  const rest = data.next.slice(shown), sum = rest.reduce((a, b) => a + b[1], 0);
  $("rest").textContent = rest.length ? `${rest.length.toLocaleString("en")} others have ${sum.toFixed(4)} together.` : "";
}

function drawLines() {
  const parts = [];
  const groups = [["", data.stages.before], ["In each layer: ", data.stages.layer], ["", data.stages.after]];
  for (const [where, stages] of groups) {
    for (const stage of stages) {
      const told = element("dd", stage.about);
      told.append(element("pre", stage.lines.join("\n"), { tabindex: "0" }));
      parts.push(element("dt", `${where}${stage.title} (${stage.shape})`), told);
    }
  }
  $("lines").replaceChildren(...parts);
}

function draw() {
  drawTokens(); drawPath(); drawAttention();
}
function drawAttention() {
  $("attention-told").textContent = `Layer ${chosen.layer + 1} of ${data.config.layers}, head ${chosen.head + 1} of ${data.config.heads}: how each token divides its attention among itself and those before it.`;
  drawMap(); drawArcs(); drawPair();
}

function show(raw) {
  data = raw;
  for (const part of ["attention", "rows", "layer_rows"]) {
    for (const name of Object.keys(data[part])) data[part][name] = unpack(data[part][name]);
  }
  data.logits = unpack(data.logits);
  const last = data.tokens.length - 1, c = data.config;
  const keeps = (i, n) => (i < n ? i : 0);
  chosen = { token: last, layer: keeps(chosen.layer, c.layers), head: keeps(chosen.head, c.heads), key: last, lens: null };
  $("topk").max = Math.min(100, c.vocabulary);
  const many = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  const model = `${many(c.layers, "layer")}, ${many(c.heads, "head")}, ${c.channels} channels, a vocabulary of ${c.vocabulary.toLocaleString("en")}`;
  const all = data.ids ? data.ids.length : data.seen, count = data.tokens.length;
  const read = `${many(all, "token")} of at most ${c.block}` + (all > data.seen ? `: the model sees the last ${data.seen}` : "");
  $("summary").textContent = `${data.run ? data.run + ": " : ""}${model}; ${read}${data.seen > count ? `, the last ${count} are shown` : ""}.`;
  $("main").hidden = false;
  draw(); drawLens(); drawNext(); drawLines();
}

// The position of the token that is shown at i, counted from 1 in what the model sees
const place = (i) => i + 1 + data.seen - data.tokens.length;

// --- what the reader does -------------------------------------------------------------------

function choosePair(token, key) {
  chosen.token = Math.max(0, Math.min(data.tokens.length - 1, token));
  chosen.key = Math.max(0, Math.min(chosen.token, key));
  draw();
}

// The row and the column of the map under the pointer; null outside
function cellAt(event) {
  const { label, side } = $("map").cells, box = $("map").getBoundingClientRect();
  const [i, j] = [event.clientY - box.top, event.clientX - box.left].map((x) => Math.floor((x - label) / side));
  return i >= 0 && j >= 0 && i < data.tokens.length && j <= i ? [i, j] : null;
}
$("map").addEventListener("click", (event) => { const cell = cellAt(event); if (cell) choosePair(...cell); });
$("by-row").addEventListener("click", () => {
  byRow = !byRow;
  $("by-row").setAttribute("aria-pressed", String(byRow));
  $("most").textContent = byRow ? "the row's largest" : "100 %";
  drawMap();
});
$("map").addEventListener("mousemove", (event) => {
  const cell = cellAt(event);
  if (!cell) return;
  const weight = row(data.attention.weights, chosen.layer, chosen.head, cell[0])[cell[1]];
  $("map-told").textContent = `${data.labels[cell[0]]} (${place(cell[0])}) looks at ${data.labels[cell[1]]} (${place(cell[1])}): ${(100 * weight).toFixed(1)} %`;
});
$("map").addEventListener("keydown", (event) => {
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  choosePair(chosen.token + move[0], chosen.key + move[1]);
});
for (const id of ["temperature", "topk", "topp"]) $(id).addEventListener("input", drawNext);
addEventListener("resize", () => { if (data) drawMap(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (data) { draw(); drawLens(); drawNext(); } });

// --- the live server ------------------------------------------------------------------------

let loop = 0, running = false, asked = 0, begun = "";   // begun: the text of the last prompt

function tell(text, mistake = false) {
  $("status").textContent = text;
  $("status").classList.toggle("mistake", mistake);
}

// question: {run, prompt} or {run, tokens}. What is shown stays until an answer has come
async function ask(question) {
  const number = ++asked;
  tell("Reading …");
  try {
    const answer = await fetch("read", {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify(question),
    });
    const found = await answer.json();
    if (number !== asked) return false;   // a later question has been asked
    if (!answer.ok) { refused(found.error); return false; }
    show(found);
    $("run").value = found.run;
    if (question.tokens === undefined) begun = found.prompt;
    drawWritten();
    tell("");
    return true;
  } catch (error) {
    if (number === asked) refused(`The server does not answer: ${error.message}`);
    return false;
  }
}
function refused(why) {
  if (data) $("run").value = data.run;
  tell(why + (data ? `\nBelow is still what ${data.run} makes of the text before.` : ""), true);
}

// The text so far: the prompt, and what was taken
function drawWritten() {
  const kept = data.prompt.startsWith(begun) ? begun.length : data.prompt.length;
  $("written").replaceChildren(data.prompt.slice(0, kept), element("b", data.prompt.slice(kept)));
  $("written").scrollTop = $("written").scrollHeight;
}

const MOST_IDS = 2000;   // that the server reads
const take = (token) => ask({ run: data.run, tokens: [...data.ids, token].slice(-MOST_IDS) });
const read = () => { setRunning(false); return ask({ run: $("run").value, prompt: $("prompt").value }); };

function drawn() {
  let left = Math.random();
  for (const [token, p] of data.next) { left -= p; if (left < 0) return token; }
  return data.next[0][0];
}

async function run() {
  const mine = ++loop, goes = () => running && mine === loop;
  while (goes() && await take(drawn())) await new Promise((done) => setTimeout(done, 150));
  if (mine === loop) setRunning(false);
}
function setRunning(wanted) {
  running = wanted;
  $("runs").setAttribute("aria-pressed", String(wanted));
  $("runs").textContent = wanted ? "Stop" : "Let it run";
}

if (live) {
  $("ask").addEventListener("submit", (event) => { event.preventDefault(); read(); });
  $("run").addEventListener("change", read);
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); read(); }
  });
  $("step").addEventListener("click", () => take(drawn()));
  $("runs").addEventListener("click", () => { const wanted = !running; setRunning(wanted); if (wanted) run(); });
}

const given = JSON.parse($("data").textContent);
if (live) {
  $("run").replaceChildren(...given.runs.map((name) => element("option", name, { value: name })));
  $("run").value = given.run;
  $("prompt").value = given.prompt;
  read();
} else show(given);
