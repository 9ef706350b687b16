"""Switching parts off, and calling heads by what they look at."""

import json

import numpy as np
import pytest

import gpt
import tinygrad_lite as tg
from gpt.cli import run
from gpt.cli.ablate import _show
from gpt.inside import ablation
from gpt.inside.ablation import Ablation, ablate, patterns
from gpt.inside.forward import watched
from gpt.training.evaluate import evaluate, windows
from tests.test_inside import model_of

TOKENS = np.random.default_rng(0).integers(0, 13, 200)


@pytest.mark.parametrize("name", ["hello", "baby", "shakespeare"])
def test_ablating_nothing_changes_nothing(name):
    model = model_of(name)
    hooks = {n: lambda module, args, out: out * 1.0 for n, _ in model.named_modules()}
    with watched(model, hooks):
        assert evaluate(model, TOKENS) == evaluate(model, TOKENS)
        watched_loss = evaluate(model, TOKENS)
    assert watched_loss == evaluate(model, TOKENS) == ablate(model, TOKENS, 10**6).loss


@pytest.mark.parametrize("name", ["hello", "baby", "shakespeare"])
def test_a_part_that_is_switched_off_is_one_with_weights_of_zero(name):
    model = model_of(name)
    calls = []
    found = ablate(model, TOKENS, 10**6, lambda done, total: calls.append((done, total)))
    c = model.config
    total = 1 + c.n_layer * (c.n_head + 1)
    assert calls == [(i, total) for i in range(1, total + 1)]
    size = c.n_embd // c.n_head
    for layer, head in ((0, 0), (c.n_layer - 1, c.n_head - 1)):
        other = model_of(name)
        value = other.blocks[layer].attention.value
        value.weight.data[head * size : (head + 1) * size] = 0
        if value.bias is not None:
            value.bias.data[head * size : (head + 1) * size] = 0
        expected = evaluate(other, TOKENS) - found.loss
        assert found.heads[layer, head] == pytest.approx(expected, abs=1e-5)
        assert abs(expected) > 1e-4
    other = model_of(name)
    for p in other.blocks[0].mlp.output.parameters():
        p.data[...] = 0
    assert found.feed_forward[0] == pytest.approx(evaluate(other, TOKENS) - found.loss, abs=1e-5)


def looking(window, name):
    """Attention weights (1, 1, T, T) of a head that looks at one thing, else at itself"""
    T = len(window)
    weights = np.eye(T)
    for i in range(T):
        same = [j for j in range(i) if window[j] == window[i]]
        at = {
            "previous token": max(i - 1, 0),
            "first token": 0,
            "same token": same[-1] if same else i,
            "induction": same[-1] + 1 if same else i,
        }[name]
        weights[i] = np.eye(T)[at]
    return weights[None, None]


@pytest.mark.parametrize("name", ablation.PATTERNS)
def test_heads_are_called_by_what_they_look_at(name, monkeypatch):
    monkeypatch.setattr(ablation, "_weights", lambda model, window: looking(window, name))
    model = model_of("baby", n_layer=1, n_head=1, n_embd=16, vocab_size=200)
    shares = patterns(model, np.random.default_rng(0).integers(0, 200, 400))
    assert shares[name][0, 0] == pytest.approx(1)
    assert all(shares[other][0, 0] < 0.4 for other in ablation.PATTERNS if other != name)
    found = Ablation(0.0, 1, np.zeros((1, 1)), np.zeros(1), shares)
    assert found.label(0, 0) == (name, 1.0)


def test_a_head_that_looks_everywhere_has_no_label():
    shares = {name: np.full((1, 1), 0.2) for name in ablation.PATTERNS}
    assert Ablation(0.0, 1, np.zeros((1, 1)), np.zeros(1), shares).label(0, 0) is None
    assert Ablation(0.0, 1, np.zeros((1, 1)), np.zeros(1)).label(0, 0) is None


@pytest.mark.parametrize("count", [2, 3, 5])
def test_short_texts(count):
    found = ablate(model_of("hello"), TOKENS[:count], 4096)
    assert np.isfinite(found.heads).all()
    assert all(np.isfinite(shares).all() for shares in found.patterns.values())


@pytest.mark.parametrize("heads", [1, 6, 12, 16])
def test_the_table_of_many_heads_is_whole(heads, capsys):
    rng = np.random.default_rng(0)
    found = Ablation(1.0, 1, rng.normal(size=(3, heads)), rng.normal(size=3))
    _show(found)
    out = capsys.readouterr().out
    for x in (*found.heads.flat, *found.feed_forward):
        assert f"{x:+.4f}" in out
    assert f"head {heads}" in out
    assert "…" not in out
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize("count", [2, 5, 40, 64, 65, 127, 128, 129, 400])
@pytest.mark.parametrize("most", [None, 1, 64, 100, 1000])
def test_the_tokens_that_are_measured(count, most):
    starts = windows(count - 1, 64, most)
    measured = int(np.minimum(64, count - 1 - starts).sum())
    assert len(set(starts)) == len(starts)
    assert 1 <= measured <= (count - 1 if most is None else max(most, 64))


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = ["--steps", "30", "--eval-interval", "15", "--sample-tokens", "0"]
    assert run(["train", "--preset", "mini", *short]) == 0
    capsys.readouterr()
    assert run(["ablate", "runs/mini"]) == 0
    out = capsys.readouterr().out
    assert (tmp_path / "runs/mini/ablation.png").read_bytes().startswith(b"\x89PNG")
    model, tokenizer = gpt.load("runs/mini")
    text = tokenizer.encode(gpt.load_corpus(["mini"]).text)
    with tg.precision(gpt.Run.open("runs/mini").read_setup().train.precision):
        found = ablate(model, text, 4096)
    assert f"loss {found.loss:.4f} on {len(text) - 1} tokens" in out
    assert f"layer 2  {found.heads[1, 0]:+.4f}" in out
    assert run(["ablate", "runs/mini", "--json", "--out", "x.png", "--tokens", "100"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert np.shape(data["heads"]) == (2, 1)
    assert data["tokens"] == 96  # what 12 windows of 8 tokens hold
    assert run(["ablate", "runs/mini", "--out", "nowhere/x.png"]) == 2
    assert "mkdir -p nowhere" in capsys.readouterr().err
    assert run(["ablate", "runs/mini", "--tokens", "0"]) == 2
    assert "--tokens must be positive" in capsys.readouterr().err
    assert run(["train", "--preset", "mini", *short, "--force"]) == 0  # its picture is its own
    assert not (tmp_path / "runs/mini/ablation.png").exists()
