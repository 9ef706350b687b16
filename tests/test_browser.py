"""The page and the live server in Chromium, where Playwright's package and a Chromium are there."""

import os
import shutil

import numpy as np
import pytest

import gpt
from gpt.cli import run
from gpt.inside.forward import probabilities_of, record_pass
from gpt.inside.page import page_data, page_of
from gpt.writing.sampling import Sampling
from tests.test_page import Served

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

NASTY = "<script>alert(1)</script> \"q\" 'p' &amp; <b>"
SIZES = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 390, "height": 844}}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """visit(address): a page that notes what it says, asks for, and raises"""
    pages = []

    def opened(address, size="wide", scheme="light"):
        page = chromium.new_page(viewport=SIZES[size], color_scheme=scheme)
        page.heard, page.asked = [], []
        page.on("console", lambda message: page.heard.append(message.text))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on("dialog", lambda dialog: page.heard.append(dialog.message))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """A pass of a small model over a nasty prompt, and its page"""
    tokenizer = gpt.build_tokenizer("characters", NASTY + "\n", "")
    options = {**gpt.preset("shakespeare").model, "n_layer": 3, "vocab_size": tokenizer.vocab_size}
    model = gpt.GPT(gpt.GPTConfig(**options))
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.data += 0.1 * rng.standard_normal(p.shape, np.float32)
    forward = record_pass(model, tokenizer.encode(NASTY))
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page_of(page_data(forward, model, tokenizer, NASTY), NASTY), "utf-8")
    return forward, f"file://{path}"


def until(page, condition):
    """Wait for it to hold; the page's own policy forbids what Playwright would do"""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"it never came true: {condition}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_opens_anywhere(visit, nasty, size, scheme):
    page = visit(nasty[1], size, scheme)
    assert page.locator("h1").inner_text() == NASTY
    assert page.heard == []
    assert all(a.startswith(("file:", "data:")) for a in page.asked)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    assert page.evaluate("document.querySelectorAll('main b').length") == 0


def test_layers_heads_and_pairs_are_chosen(visit, nasty):
    forward, address = nasty
    page = visit(address)
    page.get_by_role("group", name="Layer").get_by_role("button", name="2", exact=True).click()
    page.get_by_role("group", name="Head").get_by_role("button", name="3", exact=True).click()
    assert "Layer 2 of 3, head 3 of 4" in page.locator("#attention-told").inner_text()
    page.locator("#tokens button").nth(9).click()
    page.locator("#map").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    told = page.locator("#pair-told").inner_text()
    part = forward.layer(2)
    token, key = 8, page.evaluate("chosen.key")
    assert page.evaluate("chosen.token") == token
    score, weight = part["scores"][2, token, key], part["weights"][2, token, key]
    assert f"= {score:.3f}; after softmax {100 * weight:.1f} %" in told
    box = page.locator("#map").bounding_box()
    corner = {"x": box["width"] - 4, "y": box["height"] - 4}
    page.locator("#map").hover(position=corner)
    last = len(forward.tokens) - 1
    assert f"({last + 1}): {100 * part['weights'][2, last, last]:.1f} %" in told_of_map(page)
    page.locator("#map").click(position=corner)
    assert page.evaluate("[chosen.token, chosen.key]") == [last, last]
    drawn = page.evaluate("$('map').toDataURL()")
    page.get_by_role("button", name="Each row by its largest").click()
    assert page.evaluate("$('map').toDataURL()") != drawn
    assert "the row's largest" in page.locator(".legend").inner_text()
    page.locator("#lens button").nth(0).click()
    assert page.locator("#lens-told").inner_text().startswith("From the embedding, behind")
    page.get_by_text("How each stage is computed").click()
    assert page.get_by_text("CAUSAL MASK").is_visible()
    assert page.heard == []


def told_of_map(page):
    return page.locator("#map-told").inner_text()


def test_probabilities_are_the_models_and_sliders_recompute_them(visit, nasty):
    forward, address = nasty
    page = visit(address)
    shown = np.zeros(forward.config.vocab_size)
    for token, p, _ in page.evaluate("data.next"):
        shown[token] = p
    np.testing.assert_allclose(shown, forward["probabilities"][-1], atol=1e-6)
    logits = forward["logits"][-1].astype(np.float64)
    for temperature, top_k, top_p in ((0.5, 0, 1.0), (1.5, 7, 1.0), (1.0, 0, 0.6), (0.8, 9, 0.35)):
        for name, value in (("temperature", temperature), ("topk", top_k), ("topp", top_p)):
            page.locator(f"#{name}").fill(str(value))
        found = {token: p for token, p, left in page.evaluate("data.next") if left}
        assert sum(found.values()) == pytest.approx(1, abs=1e-9)
        drawn = {
            Sampling(1.0, temperature, top_k or None, top_p).choose(
                logits, [], np.random.default_rng(i)
            )
            for i in range(300)
        }
        assert drawn <= set(found)
        expected = probabilities_of(logits / temperature)
        kept = np.array(sorted(found))
        ratio = np.array([found[i] for i in kept]) / expected[kept]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    page.locator("#temperature").fill("0")
    assert page.evaluate("data.next[0][1]") == 1
    assert page.locator("#bars li").count() == 20
    assert page.heard == []


def test_everything_can_be_reached_by_keyboard_and_has_a_name(visit, nasty):
    page = visit(nasty[1])
    names = page.evaluate(
        """[...document.querySelectorAll('button, input, select, canvas, svg[role]')]
           .filter((e) => e.offsetParent !== null || e.tagName === 'svg')
           .map((e) => e.ariaLabel || e.textContent || e.labels?.[0]?.textContent || '#' + e.id)"""
    )
    assert len(names) > 20
    assert [name for name in names if name.startswith("#") or not name.strip()] == []
    page.locator("#tokens button").nth(3).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("chosen.token") == 3
    assert page.evaluate("document.activeElement === $('tokens').children[3]")


def test_a_page_of_gpt2s_size_opens_within_two_seconds(visit, tmp_path):
    options = {**gpt.preset("gpt2").model, "vocab_size": 50257}
    tokenizer = gpt.build_tokenizer("characters", "".join(map(chr, range(32, 97))), "")
    model = gpt.GPT(gpt.GPTConfig(**options))
    forward = record_pass(model, np.arange(64))
    page = page_of(page_data(forward, model, tokenizer, "x"), "GPT-2 124M")
    assert len(page.encode()) < 10e6
    path = tmp_path / "gpt2.html"
    path.write_text(page)
    times = []
    for _ in range(3):  # other programs may have had the cores
        opened = visit(f"file://{path}")
        times.append(opened.evaluate("performance.now()"))
    assert min(times) < 2000
    assert opened.locator("#layers button").count() == 12
    assert opened.heard == []


def summary(page):
    return page.locator("#summary").inner_text()


def test_what_is_shown_and_asked_for_is_of_one_run(visit, tmp_path):
    """An answer that comes late belongs to the run that it was asked of."""
    (tmp_path / "text.txt").write_text("ab " * 200)
    small = ["--n-layer", "1", "--n-head", "1", "--n-embd", "16", "--steps", "4"]
    small += ["--eval-interval", "2", "--sample-tokens", "0", "--block-size", "128"]
    for name in ("one", "two"):
        text = ["train", str(tmp_path / "text.txt"), "--out", str(tmp_path / name)]
        assert run([*text, *small, "--batch-size", "2"]) == 0
    server = Served(tmp_path / "one", "--prompt", "ab " * 34)
    try:
        page = visit(server.address)
        until(page, "data !== null")
        assert "102 tokens of at most 128, the last 64 are shown" in summary(page)
        model, _ = gpt.load(tmp_path / "one")
        p = record_pass(model, page.evaluate("data.ids"))["probabilities"][-1]
        shown = {token: q for token, q, _ in page.evaluate("data.next")}
        np.testing.assert_allclose([shown[i] for i in range(3)], p, atol=1e-6)  # of all 102
        weights = page.evaluate("[...row(data.attention.weights, 0, 0, 63)]")
        assert len(weights) == 64
        assert sum(weights) < 0.9  # earlier tokens have the rest
        assert "96 others" in page.locator("#pair").inner_text()
        page.evaluate("$('run').value = 'two'; take(0)")  # changed, but not read
        until(page, "data.ids.length === 103")
        assert page.evaluate("[data.run, $('run').value]") == ["one", "one"]
        before = page.evaluate("data.logits.values[0]")
        args = ["train", str(tmp_path / "text.txt"), "--out", str(tmp_path / "one"), "--force"]
        assert run([*args, *small, "--batch-size", "3", "--seed", "5"]) == 0
        page.get_by_role("button", name="Read it").click()  # the run was trained anew
        until(page, f"data.ids.length === 102 && data.logits.values[0] !== {before}")
        assert page.heard == []
    finally:
        assert server.stop()[0] == 0


def test_the_live_server(visit, tmp_path):
    for name in ("hello", "mini"):
        short = ["--steps", "40", "--eval-interval", "20", "--sample-tokens", "0"]
        assert run(["train", "--preset", name, "--out", str(tmp_path / name), *short]) == 0
    server = Served(tmp_path / "hello", "--prompt", "hel")
    try:
        page = visit(server.address)
        page.locator("#tokens button").nth(2).wait_for()
        page.locator("#prompt").fill("hell")
        page.keyboard.press("Enter")
        page.locator("#tokens button").nth(3).wait_for()
        page.get_by_role("button", name="Take", exact=False).first.click()
        until(page, "data.ids.length === 5")
        assert page.evaluate("document.activeElement === $('bars').children[0].lastChild")
        assert "5 tokens of at most 4: the model sees the last 4" in summary(page)
        assert page.evaluate("[data.tokens.length, data.seen]") == [4, 4]
        page.get_by_role("button", name="Draw a token").click()
        until(page, "data.ids.length === 6")
        page.get_by_role("button", name="Let it run").click()
        until(page, "data.ids.length > 8")
        page.get_by_role("button", name="Stop").click()
        written = page.locator("#written").text_content()
        assert written.startswith("hell")
        assert len(written) > 8
        assert page.locator("#written b").text_content() == written[4:]
        assert page.locator("#prompt").input_value() == "hell"  # what was typed stays
        page.locator("#prompt").fill("xyz")
        page.get_by_role("button", name="Read it").click()
        page.get_by_text("knows only the characters").wait_for()
        assert "Below is still what hello makes of" in page.locator("#status").inner_text()
        page.locator("#prompt").fill("unknown\nthe river")
        page.locator("#run").select_option("mini")
        until(page, "data.config.layers === 2")
        assert page.locator("#status").inner_text() == ""
        assert page.locator("#prompt").input_value() == "unknown\nthe river"
        assert page.locator("#written").text_content() == "<unk>\nthe river"
        assert summary(page).startswith("mini: ")
        shutil.move(tmp_path / "hello", tmp_path / "gone")
        page.locator("#run").select_option("hello")  # a run that is not there any more
        page.get_by_text("which is no folder").wait_for()
        assert page.locator("#run").input_value() == "mini"
        page.get_by_role("button", name="Draw a token").click()
        until(page, "data.ids.length === 5")
        assert page.evaluate("data.run") == "mini"
        unexpected = [text for text in page.heard if "400 (Bad Request)" not in text]
        assert unexpected == []
        assert all(a.startswith((server.address, "data:")) for a in page.asked)
    finally:
        assert server.stop()[0] == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_report_of_a_run(visit, tmp_path, size, scheme):
    (tmp_path / "text.txt").write_text((NASTY + "\n") * 60)
    small = ["--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size", "16",
             "--steps", "12", "--eval-interval", "4", "--sample-tokens", "30"]  # fmt: skip
    assert run(["train", str(tmp_path / "text.txt"), "--out", str(tmp_path / "a"), *small]) == 0
    page = visit(f"file://{tmp_path}/a/report.html", size, scheme)
    assert page.locator("h1").inner_text() == "Run a"
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    samples = []
    for i in range(3):
        page.locator("#when").fill(str(i))
        assert page.locator("#step").inner_text() == str(4 * (i + 1))
        samples.append(page.locator("#sample").inner_text())
    assert len(set(samples)) > 1
    assert page.locator("#maps canvas").count() == 2
    assert page.locator("#loss circle").count() == 3
    assert page.heard == []
    assert all(a.startswith(("file:", "data:")) for a in page.asked)
