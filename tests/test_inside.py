"""Looking inside: what is recorded is what the model computes, and the shown lines compute it."""

import json

import numpy as np
import pytest

import gpt
import tinygrad_lite as tg
from gpt.cli import run
from gpt.cli.numbers import bars, grid, kept_rows, matrix
from gpt.inside.figures import draw_figures
from gpt.inside.forward import probabilities_of, record_pass, watched
from gpt.inside.labels import labels
from gpt.inside.predictions import likeliest, logit_lens, surprises
from gpt.inside.stages import after_layers, before_layers, namespace, of_layer

PRESETS = ["hello", "mini", "baby", "shakespeare", "gpt2"]


def model_of(name, **options):
    """A small random model with the parts of a preset, none of them zero"""
    chosen = gpt.preset(name).model
    size = {"n_layer": min(2, chosen["n_layer"]), "n_embd": min(chosen["n_embd"], 64),
            "n_head": min(chosen["n_head"], 4), "vocab_size": 13, "d_ff": 0}  # fmt: skip
    model = gpt.GPT(gpt.GPTConfig(**{**chosen, **size, **options}))
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.data += 0.3 * rng.standard_normal(p.shape, np.float32)
    return model


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("name", PRESETS)
def test_recorded_logits_are_the_models_to_the_bit(name, count):
    model = model_of(name)
    tokens = np.array([3, 1, 4, 1])[:count]
    model.train()
    forward = record_pass(model, tokens)
    assert model.training
    with tg.no_grad():
        np.testing.assert_array_equal(forward["logits"], model.eval()(tokens[None]).numpy()[0])
    assert all(not module._forward_hooks for _, module in model.named_modules())


@pytest.mark.parametrize("name", PRESETS)
def test_the_lines_of_each_stage_compute_it(name):
    model = model_of(name)
    forward = record_pass(model, np.array([3, 1, 4, 1]))
    c, seen = model.config, []
    for layer in range(1, c.n_layer + 1):
        known = namespace(forward, model, layer)
        stages = [*before_layers(c), *of_layer(c), *(after_layers(c) if layer == c.n_layer else [])]
        for stage in stages:
            variables = {k: v for k, v in known.items() if k != stage.name}
            exec("\n".join(stage.lines), variables)
            np.testing.assert_allclose(
                variables[stage.name], known[stage.name], rtol=2e-4, atol=2e-5, err_msg=stage.name
            )
            seen.append(stage.name)
    given = {n.rpartition(".")[2] for n in forward.arrays}
    assert given == set(seen)  # each array has its stage, and the other way round


@pytest.mark.parametrize("name", PRESETS)
def test_the_numbers_hold_together(name):
    model = model_of(name)
    forward = record_pass(model, np.array([3, 1, 4, 1]))
    for i in range(1, model.config.n_layer + 1):
        part = forward.layer(i)
        np.testing.assert_allclose(part["weights"].sum(-1), 1, rtol=1e-6)
        assert (part["weights"][:, ~np.tri(4, dtype=bool)] == 0).all()
        assert np.isneginf(part["masked"][:, ~np.tri(4, dtype=bool)]).all()
        np.testing.assert_allclose(
            probabilities_of(part["masked"]), part["weights"], rtol=1e-4, atol=1e-7
        )
        np.testing.assert_allclose(part["weights"] @ part["value"], part["heads"], atol=1e-5)
    np.testing.assert_allclose(forward["probabilities"].sum(-1), 1, rtol=1e-12)


def test_gradients_of_every_stage():
    model = model_of("baby")
    tokens = np.array([3, 1, 4, 1])
    plain, forward = record_pass(model, tokens), record_pass(model, tokens, gradients=True)
    np.testing.assert_array_equal(plain["logits"], forward["logits"])
    assert all(p.grad is None for p in model.parameters())
    p = forward["probabilities"].copy()
    p[range(3), tokens[1:]] -= 1
    p[3] = 0
    np.testing.assert_allclose(forward.gradients["logits"], p / 3, atol=1e-6)

    def loss_with(name, at, step):
        def changed(module, args, out):
            moved = out.numpy().copy()
            moved[0][at] += step
            return tg.Tensor(moved)

        with watched(model, {name: changed}), tg.no_grad():
            return tg.cross_entropy(model(tokens[None])[:, :-1], tokens[None, 1:]).item()

    for module, stage in (("blocks.0.mlp.up", "layer_1.up"), ("blocks.1", "layer_2.output")):
        at = (1, 5)
        slope = (loss_with(module, at, 1e-2) - loss_with(module, at, -1e-2)) / 2e-2
        assert forward.gradients[stage][at] == pytest.approx(slope, rel=2e-2, abs=1e-4)
    assert forward.gradients["layer_1.query"].shape == forward["layer_1.query"].shape


def test_weights_in_half_precision_are_not_taken_for_numbers():
    model = model_of("hello")
    forward = record_pass(model, np.array([0, 1]))
    with pytest.raises(ValueError, match="stored in bfloat16"):
        namespace(forward, model.bfloat16())


def test_a_look_leaves_the_models_own_gradients():
    model, tokens = model_of("baby"), np.array([3, 1, 4, 1])
    model.loss(tokens[None, :-1], tokens[None, 1:]).backward()
    own = [(p.grad, p.grad.numpy().copy()) for p in model.parameters()]
    record_pass(model, tokens, gradients=True)
    for p, (grad, values) in zip(model.parameters(), own, strict=True):
        assert p.grad is grad
        np.testing.assert_array_equal(grad.numpy(), values)


def test_a_hook_that_is_registered_twice_is_removed_once():
    layer, calls = tg.nn.Linear(2, 2, rng=0), []

    def hook(module, args, out):
        calls.append(1)

    first, _ = layer.register_forward_hook(hook), layer.register_forward_hook(hook)
    layer(tg.ones(2))
    first.remove()
    first.remove()
    layer(tg.ones(2))
    assert len(calls) == 3


def test_labels_show_bytes_that_are_no_characters():
    tokenizer = gpt.build_tokenizer("bytes", "é a" * 9, "é a" * 9, 258)
    ids = tokenizer.encode("éa\u20ac ")
    assert "".join(labels(tokenizer, ids)) in ("éa<E2><82><AC>␣", "<C3><A9>a<E2><82><AC>␣")
    for i in range(tokenizer.vocab_size):
        if i != tokenizer.end_of_text:
            assert tokenizer.bytes_of(i).decode("utf-8", "replace") == tokenizer.decode([i])


def test_hooks_see_and_replace_outputs():
    layer = tg.nn.Linear(2, 2, rng=0)
    x, seen = tg.ones(1, 2), []
    first = layer.register_forward_hook(lambda module, args, out: seen.append((args, out)))
    second = layer.register_forward_hook(lambda module, args, out: out * 2)
    y = layer(x)
    np.testing.assert_array_equal(y.data, 2 * seen[0][1].data)
    assert seen[0][0] == (x,)
    second.remove()
    first.remove()
    first.remove()
    np.testing.assert_array_equal(layer(x).data * 2, y.data)
    assert len(seen) == 1


def test_a_hook_records_a_jitted_function_anew():
    layer = tg.nn.Linear(2, 2, rng=0)
    f = tg.jit(lambda x: layer(x))
    x = tg.ones(1, 2)
    before = f(x).data
    handle = layer.register_forward_hook(lambda module, args, out: out * 0)
    np.testing.assert_array_equal(f(x).data, [[0, 0]])
    handle.remove()
    np.testing.assert_array_equal(f(x).data, before)


@pytest.mark.parametrize("length", [2, 8, 9, 30])
def test_surprises_are_the_models_predictions(length):
    model = model_of("baby", block_size=8)
    tokens = np.random.default_rng(1).integers(0, 13, length)
    found = surprises(model, tokens)
    assert [s.token for s in found] == tokens[1:].tolist()
    for at, s in enumerate(found, 1):
        assert 1 <= s.rank <= 13
        if at <= 8:
            p = probabilities_of(model(tokens[None, :at]).numpy()[0, -1])
            assert s.probability == pytest.approx(p[s.token], rel=1e-4)
            assert s.likeliest[0][0] == int(p.argmax())
            assert (s.rank == 1) == (s.token == int(p.argmax()))


def test_ties_are_broken_by_the_smaller_id():
    assert likeliest(np.array([0.2, 0.4, 0.4, 0.0]), 2) == [(1, 0.4), (2, 0.4)]


def test_labels_show_what_cannot_be_seen():
    tokenizer = gpt.build_tokenizer("characters", "a \n\t\x07", "a")
    ids = tokenizer.encode("a \n\t\x07")
    assert labels(tokenizer, [*ids, 99]) == ["a", "␣", "↵", "⇥", "\\x07", "#99"]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
@pytest.mark.parametrize("most", [1, 2, 8])
def test_rows_that_are_shown(count, most):
    rows = kept_rows(count, most)
    numbers = [i for i in rows if i is not None]
    assert len(numbers) == min(count, most)
    assert numbers == sorted(set(numbers))
    assert (None in rows) == (count > most)
    assert count == 0 or most == 1 or {0, count - 1} <= set(numbers)


def test_drawings_fit_the_terminal(monkeypatch):
    values = np.array([[-123456.789] * 50, [np.nan] * 50, [np.inf] * 50, [-np.inf] * 50])
    for line in matrix(["a"] * 4, values, 3, 8):
        assert len(line) <= 80
    weights = np.tri(64) / np.arange(1, 65)[:, None]
    assert all(len(line) <= 80 for line in grid(["token"] * 64, weights, 16))
    assert all(len(line) <= 80 for line in bars([("x" * 40, 1.0), ("y", 0.0), ("z", 1e-9)]))


@pytest.fixture(scope="module")
def hello(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "hello"
    assert run(["train", "--preset", "hello", "--out", str(folder), "--sample-tokens", "0"]) == 0
    return str(folder)


def test_explain_shows_every_stage(hello, tmp_path, capsys):
    path = tmp_path / "hell.json"
    assert run(["explain", hello, "hell", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    model, tokenizer = gpt.load(hello)
    forward = record_pass(model, tokenizer.encode("hell"))
    titles = [s.title for s in (*before_layers(model.config), *of_layer(model.config),
                                *after_layers(model.config))]  # fmt: skip
    places = [out.index(f"\n{title}  (") for title in titles]
    assert places == sorted(places)
    assert out.count("head 2") == 7  # of what has heads
    assert f"{forward['layer_1.query'][1, 2, 3]:.3f}" in out
    assert "Predicted next token: o\n" in out
    lines = out.splitlines()[:-1]  # the last holds a path
    assert [line for line in lines if len(line) > 80 and " = " not in line] == []
    data = json.loads(path.read_text())
    stage = {s["name"]: s for s in data["stages"]}["layer_1.weights"]
    np.testing.assert_array_equal(np.float32(stage["values"]), forward["layer_1.weights"])
    masked = {s["name"]: s for s in data["stages"]}["layer_1.masked"]["values"]
    assert masked[0][0][1:] == [None] * 3
    assert data["next"][0]["piece"] == "o"
    assert data["pieces"] == list("hell")


def test_explain_shows_a_part(hello, capsys):
    command = ["explain", hello, "hell", "--layer", "1", "--head", "2", "--decimals", "1"]
    assert run([*command, "--max-rows", "2", "--next", "2"]) == 0
    out = capsys.readouterr().out
    assert "head 1" not in out
    assert "⋮" in out
    assert out.count("█") > 0


def test_explain_the_loss(hello, capsys):
    assert run(["explain", hello, "hello hello", "--loss"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    probabilities = [float(line.split()[1]) for line in lines[1:-1]]
    assert min(probabilities[1:]) > 0.9
    bits = [s.bits for s in surprises(gpt.load(hello)[0], gpt.load(hello)[1].encode("hello hello"))]
    assert lines[-1].startswith(f"{np.mean(bits):.3f} bits a character")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([""], "at least one token"),
        (["hello"], "at most block_size = 4 tokens"),
        (["xyz"], "knows only the characters"),
        (["hell", "--layer", "2"], "--layer must lie between 1 and 1"),
        (["hell", "--head", "0"], "--head must lie between 1 and 2"),
        (["hell", "--max-rows", "0"], "--max-rows must lie between 1"),
        (["hell", "--json", "nowhere/x.json"], "mkdir -p nowhere"),
        (["h", "--loss"], "a token before the one that is predicted"),
        (["hell", "--next", "0"], "explain: --next must lie between 1"),
        (["hell", "--decimals", "13"], "--decimals must lie between 0 and 12"),
        (["hell", "--loss", "--html", "x.html", "--head", "1"], "--loss with --head and --html"),
        (["\udcff"], "knows only the characters"),
    ],
)
def test_mistakes_on_the_command_line(hello, arguments, says, capsys):
    assert run(["explain", hello, *arguments]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""


def test_what_was_there_before_is_kept(hello, tmp_path, capsys):
    """Files that explain has not written, also those with the names of its figures"""
    (tmp_path / "logit_lens.png").write_text("mine")
    (tmp_path / "x.html").write_text("mine")
    for option, path in (("--figures", tmp_path), ("--html", tmp_path / "x.html")):
        assert run(["explain", hello, "hell", option, str(path)]) == 2
        captured = capsys.readouterr()
        assert "is never replaced" in captured.err
        assert captured.out == ""
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["logit_lens.png", "x.html"]


def test_the_losses_of_a_text_for_programs(hello, tmp_path):
    path = tmp_path / "loss.json"
    for _ in range(2):  # its own file is replaced
        assert run(["explain", hello, "hello hello", "--loss", "--json", str(path)]) == 0
    data = json.loads(path.read_text())
    model, tokenizer = gpt.load(hello)
    found = surprises(model, tokenizer.encode("hello hello"))
    assert data["pieces"] == list("hello hello")
    assert [e["piece"] for e in data["expected"]] == list("ello hello")
    assert [e["bits"] for e in data["expected"]] == [s.bits for s in found]
    assert data["expected"][0]["likeliest"][0]["piece"] == "e"


def test_errors_name_the_file_that_was_meant(hello, tmp_path, monkeypatch, capsys):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinygrad_lite.state.os.fsync", full)
    assert run(["explain", hello, "hell", "--json", str(tmp_path / "x.json")]) == 2
    assert f"got {tmp_path}/x.json: No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["png", "svg"])
@pytest.mark.parametrize("length", [1, 4])
def test_figures_of_each_layer_the_next_token_and_the_lens(tmp_path, kind, length):
    tokenizer = gpt.build_tokenizer("characters", "$a_b{c}<d&\n漢 e", "a")
    model = model_of("baby", vocab_size=tokenizer.vocab_size, n_head=3, n_embd=24)
    forward = record_pass(model, np.arange(length))
    names = [p.name for p in draw_figures(forward, model, tokenizer, tmp_path / "new", kind)]
    expected = ["layer_1", "layer_2", "next_token_probability", "logit_lens"]
    assert names == [f"{name}.{kind}" for name in expected]
    for name in names:
        beginning = (tmp_path / "new" / name).read_bytes()[:5]
        assert beginning == (b"<?xml" if kind == "svg" else b"\x89PNG\r")


def test_long_prompts_are_cropped_in_figures(monkeypatch, tmp_path):
    titles = []
    monkeypatch.setattr("gpt.inside.figures.save_figure",
                        lambda figure, path: titles.append(figure.get_suptitle()))  # fmt: skip
    tokenizer = gpt.build_tokenizer("characters", "abc", "abc")
    model = model_of("baby", vocab_size=3, block_size=70)
    draw_figures(record_pass(model, np.arange(65) % 3), model, tokenizer, tmp_path)
    assert [t.endswith("(the last 64 of 65 tokens)") for t in titles] == [True, True, False, True]


def test_the_logit_lens_ends_with_the_models_own_prediction():
    model = model_of("shakespeare")
    forward = record_pass(model, np.array([3, 1, 4, 1]))
    lens = logit_lens(model, forward)
    assert lens.shape == (3, 4, 13)
    np.testing.assert_allclose(lens[-1], forward["probabilities"], atol=1e-6)
    np.testing.assert_allclose(lens.sum(-1), 1, rtol=1e-9)
