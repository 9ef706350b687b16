"use strict";
// Shows a run: the JSON in #data. Text of samples and tokens is only ever set as textContent.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { history, header, probes } = data;
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
const short = (x) => (x === 0 ? "0" : Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(1) : String(Number(x.toPrecision(3))));

// About so many round numbers from low to high
function ticks(low, high, count) {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high + 1e-9 * step; n++) found.push(Number((n * step).toPrecision(12)));
  return found;
}

// A chart with axes; returns what places a point in it
function chart(id, title, xs, ys, { width = 900, height = 340, levels = {} } = {}) {
  const left = 52, right = 12, top = 26, bottom = 34;
  const finite = ys.filter(Number.isFinite), all = [...finite, ...Object.values(levels)];
  const low = Math.min(...all, title === "loss" ? Infinity : 0), high = Math.max(...all), span = high - low || 1;
  const last = Math.max(...xs, 1);
  const x = (v) => left + (width - left - right) * v / last, y = (v) => height - bottom - (height - top - bottom) * (v - low) / span;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} over ${last} steps, from ${short(ys[0])} to ${short(ys[ys.length - 1])}` });
  picture.append(svg("text", { x: 4, y: 14 }, title));
  for (const v of ticks(low, high, 5)) {
    picture.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: y(v), y2: y(v) }));
    picture.append(svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, short(v)));
  }
  for (const s of ticks(0, last, width > 600 ? 8 : 4).filter((s) => Number.isInteger(s) && x(s) < width - 70)) {
    picture.append(svg("text", { x: x(s), y: height - 14, "text-anchor": s === 0 ? "start" : "middle" }, s.toLocaleString("en")));
  }
  picture.append(svg("text", { x: width - right, y: height - 14, "text-anchor": "end" }, `step ${last.toLocaleString("en")}`));
  const placed = [], names = [];  // names are drawn last, above the curves
  for (const [name, v] of Object.entries(levels).sort((a, b) => b[1] - a[1])) {
    picture.append(svg("line", { class: "level", x1: left, x2: width - right, y1: y(v), y2: y(v) }));
    let at = y(v) - 4;
    while (placed.some((other) => Math.abs(other - at) < 14)) at += 14;  // labels never cross
    placed.push(at);
    names.push(svg("text", { class: "name", x: width - right, y: at, "text-anchor": "end" }, `${name}, ${v.toFixed(3)}`));
  }
  $(id).replaceChildren(picture);
  const line = (points, kind) => picture.append(svg("polyline", { class: kind, points: points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ") }));
  return { picture, x, y, line, names };
}
const pairs = (xs, ys) => xs.map((x, i) => [x, ys[i]]).filter(([, v]) => Number.isFinite(v));

function drawLoss() {
  const width = Math.max(360, Math.min(1100, $("loss").clientWidth));
  const values = [...history.loss, ...history.evaluations.map((e) => e[2])];
  const { picture, x, y, line, names } = chart("loss", "loss", history.step, values, { width, levels: header.levels || {} });
  line(pairs(history.step, history.loss), "faint");
  line(pairs(history.step, history.smooth), "curve");
  line(history.evaluations.map(([step, , loss]) => [step, loss]), "validation");
  for (const [step, , loss] of history.evaluations) {
    const best = history.best && step === history.best[0];
    const point = svg("circle", { cx: x(step), cy: y(loss), r: best ? 6 : 3.5, class: best ? "best" : "" });
    point.append(svg("title", {}, `validation ${loss.toFixed(4)} after step ${step}`));
    picture.append(point);
  }
  picture.append(...names);
  $("legend").textContent = "Blue: training, each step and smoothed; orange: validation" + (history.best ? `, the best ${history.best[2].toFixed(4)} after step ${history.best[0].toLocaleString("en")}, ringed.` : ".");
}

function drawSmall(id, title, values) {
  const { line } = chart(id, title, history.step, values, { width: 380, height: 190 });
  line(pairs(history.step, values), "curve");
}

function drawProbe() {
  const i = Number($("when").value), probe = probes[i];
  $("step").textContent = probe.step.toLocaleString("en");
  $("when-told").textContent = `validation loss ${probe.val_loss.toFixed(4)}`;
  $("sample").textContent = probe.sample;
  $("next-title").textContent = `What it expects after  ${header.line.join(header.joined ?? " ")}`;
  $("bars").replaceChildren(...probe.next.map(([name, p]) => {
    const line = element("li"), fill = element("span", null, { class: "fill" });
    fill.style.width = `${100 * p}%`;
    line.append(element("span", name, { class: "label" }), element("span", p.toFixed(4)), fill);
    return line;
  }));
  const bytes = Uint8Array.from(atob(probe.attention.data), (c) => c.charCodeAt(0));
  const [layers, heads, T] = probe.attention.shape;
  const maps = [];
  for (let l = 0; l < layers; l++) for (let h = 0; h < heads; h++) {
    const side = Math.max(6, Math.floor(108 / T)), box = element("figure"), canvas = element("canvas", null, { role: "img" });
    const name = `layer ${header.layers[l]}, head ${h + 1}`;
    canvas.width = canvas.height = side * T;
    canvas.setAttribute("aria-label", `Attention of ${name}`);
    const pen = canvas.getContext("2d");
    for (let r = 0; r < T; r++) for (let c = 0; c <= r; c++) {
      pen.fillStyle = variable("--panel");
      pen.fillRect(c * side, r * side, side - 1, side - 1);
      pen.fillStyle = `rgba(${variable("--amount")}, ${bytes[((l * heads + h) * T + r) * T + c] / 255})`;
      pen.fillRect(c * side, r * side, side - 1, side - 1);
    }
    box.append(canvas, element("figcaption", name));
    maps.push(box);
  }
  $("maps").replaceChildren(...maps);
}

function drawFacts(id, facts) {
  $(id).replaceChildren(...Object.entries(facts).map(([name, value]) => {
    const line = element("tr");
    line.append(element("th", name, { scope: "row" }), element("td", String(value)));
    return line;
  }));
}

function drawAll() {
  drawLoss();
  drawSmall("lr", "learning rate", history.lr);
  drawSmall("norm", "gradient norm", history.grad_norm);
  drawSmall("speed", "tokens a second", history.speed);
  if (probes.length) drawProbe();
}

const done = history.step[history.step.length - 1], seconds = history.seconds[history.seconds.length - 1];
$("summary").textContent = `${done.toLocaleString("en")} of ${header.steps.toLocaleString("en")} steps in ${Math.round(seconds).toLocaleString("en")} seconds of training.`;
$("machine").textContent = header.machine ? `Trained on ${header.machine}.` : "";
$("probes").hidden = probes.length === 0;
$("when").max = Math.max(0, probes.length - 1);
$("when").value = probes.length - 1;
$("when").addEventListener("input", drawProbe);
drawFacts("model", data.tables.model);
drawFacts("training", data.tables.training);
drawAll();
addEventListener("resize", drawLoss);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
