"""Generation: the KV cache, batches, how tokens are chosen, the command's options."""

import json
import platform
import re

import numba
import numpy as np
import pytest
from numba import types

import tinygrad_lite as tg
from gpt.cli import run
from gpt.cli.common import writing_precision
from gpt.config import GPTConfig
from gpt.model import GPT
from gpt.training.run import load
from gpt.writing.sampling import Sampling, generate, generate_batch
from tinygrad_lite.fused.linear import few_rows_forward, few_rows_int8
from tinygrad_lite.kernels.launch import entry_function
from tinygrad_lite.kernels.team import team

OPTIONS = {
    "learned": {},
    "rotary": dict(position="rotary", qk_norm=True, norm="rmsnorm", tie_weights=False),
    "post": dict(norm_placement="post", bias=True, final_norm=False),
    "shift": dict(token_shift=True, position="rotary"),
}


def random_model(**options):
    model = GPT(GPTConfig(23, n_layer=2, n_head=2, n_embd=16, block_size=9, **options), seed=1)
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.data += 0.3 * rng.standard_normal(p.shape).astype(np.float32)
    return model.eval()


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("length", [1, 4, 9, 12])
def test_cached_logits_are_the_uncached_ones_at_every_step(monkeypatch, options, length):
    model = random_model(**OPTIONS[options])
    seen = {}

    def remembering(cache):
        seen[cache] = []
        choose = Sampling(temperature=0)

        class Remember(Sampling):
            def choose(self, logits, text, rng):
                seen[cache].append(logits.copy())
                return choose.choose(logits, text, rng)

        return Remember(temperature=0)

    prompt = np.random.default_rng(length).integers(0, 23, length)
    texts = [list(generate(model, prompt, 14, remembering(c), cache=c)) for c in (True, False)]
    np.testing.assert_allclose(seen[True], seen[False], rtol=1e-5, atol=1e-5)
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


@pytest.mark.parametrize("tokens", [0, 1, 2, 6, 7, 20])
def test_no_more_is_kept_than_will_be_written(monkeypatch, tokens):
    """A window of 1,024 tokens of GPT-2 would be 75 MB"""
    model, sizes, new_cache = random_model(**OPTIONS["shift"]), [], GPT.new_cache

    def remembering(self, *args):
        cache = new_cache(self, *args)
        sizes.append(cache.keys.shape[3])
        return cache

    monkeypatch.setattr(GPT, "new_cache", remembering)
    prompts, greedy = [np.array([3, 1, 4]), np.array([2])], Sampling(temperature=0)
    found = [list(generate_batch(model, prompts, tokens, greedy, cache=c)) for c in (True, False)]
    assert sizes == [min(3 + tokens, 9)]
    assert found[0] == found[1]


def test_a_batch_gives_each_prompt_what_it_gives_alone():
    model, rng = random_model(token_shift=True), np.random.default_rng(0)
    prompts = [rng.integers(0, 23, n) for n in (1, 5, 9, 11, 3)]
    sampling = Sampling(temperature=1.0)
    together = list(zip(*generate_batch(model, prompts, 12, sampling, seed=4), strict=True))
    for i, prompt in enumerate(prompts):
        assert list(together[i]) == list(generate(model, prompt, 12, sampling, seed=4 + i))


def test_another_token_at_the_same_position_is_as_if_it_were_the_first():
    """A candidate that is taken back leaves nothing behind"""
    model = random_model(token_shift=True).eval()
    cache = model.new_cache(1)
    with tg.no_grad():
        for token in (1, 2):
            model.next_logits(tg.Tensor(np.array([[token]])), cache)
            cache.lengths.data[:] += 1
        found = [
            model.next_logits(tg.Tensor(np.array([[token]])), cache).numpy() for token in (3, 4, 3)
        ]
        cache.lengths.data[:] -= 1
        again = model.next_logits(tg.Tensor(np.array([[2]])), cache).numpy()
        whole = model(tg.Tensor(np.array([[1, 2, 3]]))).numpy()[:, 1:]
    assert (found[0] == found[2]).all()
    np.testing.assert_allclose(found[0].reshape(-1), whole[0, 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(again.reshape(-1), whole[0, 0], rtol=1e-4, atol=1e-5)


def test_no_positions_at_all_are_refused():
    cache = tg.KVCache(1, 1, 4, 1, 2, shifts=1)
    with pytest.raises(ValueError, match="token shift"):
        cache.shift(0, tg.zeros(1, 0, 2), tg.zeros(2))


def test_weights_stored_in_bfloat16_change_little():
    model = random_model()
    prompt = np.array([3, 1, 4])
    with tg.no_grad():
        exact = model.next_logits(prompt[None]).numpy()
        model.bfloat16()
        whole = model.next_logits(prompt[None]).numpy()
        cache = model.new_cache(1)
        for token in prompt:
            logits = model.next_logits(np.array([[token]]), cache).numpy()
            cache.lengths.data[:] += 1
    assert 0 < np.abs(logits - exact).max() < 0.03 * np.abs(exact).max()
    np.testing.assert_allclose(whole, logits, rtol=1e-4, atol=1e-5)
    assert [n for n, _ in model.named_parameters() if n.startswith("token_embedding")] == []


def test_between_tokens_the_caller_can_differentiate():
    model = random_model()
    tokens = generate(model, np.array([1]), 3)
    next(tokens)
    x = tg.Tensor([2.0], requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.item() == 4.0
    assert len(list(tokens)) == 2


def test_products_of_stored_weights_are_those_of_rounded_weights():
    rng = np.random.default_rng(0)
    x = tg.Tensor(rng.standard_normal((3, 37)).astype(np.float32))
    w = tg.nn.Parameter(rng.standard_normal((21, 37)))
    b = tg.nn.Parameter(rng.standard_normal(21))
    layer = tg.nn.Linear(37, 21, rng=0)
    layer.weight, layer.bias = w, b
    y = layer.bfloat16()(x).numpy()
    bits = w.numpy().view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32)
    expected = x.numpy() @ rounded.view(np.float32).T + b.numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other instructions")
@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize("stored", ["float32", "uint16", "int8"])
def test_weights_are_asked_for_before_they_are_multiplied(stored):
    """Between kernels, and at each page, reading from memory begins anew"""
    axes, kernel = (3, few_rows_int8) if stored == "int8" else (2, few_rows_forward)
    x, y, bias = (types.Array(types.float32, n, "C") for n in (2, 2, 1))
    weight = types.Array(getattr(types, stored), axes, "C")
    team.define()
    entry = numba.njit(entry_function(kernel.body))
    entry.compile((types.int64, types.int64, y, weight if axes == 3 else x, weight, bias))
    assert "prefetcht0" in entry.inspect_asm(entry.signatures[0])


def test_a_cache_takes_many_positions_only_at_first():
    model = random_model()
    cache = model.new_cache(1)
    cache.lengths.data[:] += 2
    with pytest.raises(ValueError, match="got 3 after 2"), tg.no_grad():
        model.next_logits(np.array([[1, 2, 3]]), cache)


def counts(sampling, logits, text=(), draws=300):
    rng = np.random.default_rng(0)
    found = [sampling.choose(np.array(logits), text, rng) for _ in range(draws)]
    return np.bincount(found, minlength=len(logits)) / draws


def test_how_tokens_are_chosen():
    p = np.array([0.5, 0.25, 0.15, 0.1])
    logits = np.log(p)
    np.testing.assert_allclose(counts(Sampling(temperature=1.0), logits, draws=4000), p, atol=0.03)
    warm = counts(Sampling(temperature=2.0), logits, draws=4000)
    np.testing.assert_allclose(warm, p**0.5 / (p**0.5).sum(), atol=0.03)
    assert counts(Sampling(temperature=0), logits)[0] == 1
    assert (counts(Sampling(top_k=2), logits) > 0).tolist() == [True, True, False, False]
    assert (counts(Sampling(temperature=1.0, top_p=0.7), logits) > 0).tolist() == [
        True, True, False, False,
    ]  # fmt: skip
    assert (counts(Sampling(temperature=1.0, top_p=1e-9), logits) > 0).sum() == 1
    assert (counts(Sampling(temperature=1.0, min_p=0.25), logits) > 0).tolist() == [
        True, True, True, False,
    ]  # fmt: skip
    again = Sampling(temperature=0, repetition_penalty=2.0)
    assert again.choose(np.array([2.0, 1.5, -1.0]), [0], np.random.default_rng(0)) == 1
    assert again.choose(np.array([-1.0, -1.5]), [0], np.random.default_rng(0)) == 1


MISTAKES = {
    "temperature must": lambda: Sampling(temperature=-0.1),
    r"top_p must lie in \(0, 1\]": lambda: Sampling(top_p=0.0),
    "top_k must": lambda: Sampling(top_k=0),
    "min_p must": lambda: Sampling(min_p=1.5),
    "repetition_penalty must": lambda: Sampling(repetition_penalty=0.0),
    "at least one token": lambda: list(generate(random_model(), np.array([], int), 3)),
    "a list of tokens": lambda: list(generate(random_model(), "text", 3)),
    "one of the model's": lambda: list(generate(random_model(), np.array([1000]), 3)),
    "must not be negative": lambda: list(generate(random_model(), np.array([1]), -1)),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes(message):
    with pytest.raises(ValueError, match=message):
        MISTAKES[message]()


@pytest.fixture(scope="module")
def hello(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "hello"
    assert run(["train", "--preset", "hello", "--out", str(folder), "--sample-tokens", "0"]) == 0
    return folder


def test_hello_learns_its_text_by_heart(hello, capsys):
    steps = [json.loads(line) for line in (hello / "log.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in steps if "loss" in record]
    assert len(losses) == 200
    # The first position cannot know which of two letters "l" it sees.
    assert abs(losses[-1] - 2 * np.log(2) / 28) < 0.01
    assert run(["generate", str(hello), "--prompt", "hell", "--temperature", "0"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("hello hello hello hello h")
    assert len(text) > 400
    assert run(["info", str(hello), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 2453


def test_options_of_the_command(hello, capsys, monkeypatch, tmp_path):
    base = ["generate", str(hello), "--temperature", "0", "--tokens", "20"]
    assert run([*base, "--prompt", "hell", "--stop", "lo h"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "hello hel\n"
    assert "tokens/s" in captured.err
    (tmp_path / "prompt.txt").write_text("hel")
    assert run([*base, "--prompt-file", str(tmp_path / "prompt.txt"), "-n", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("hello hello hello hello") == 2
    assert "--- sample 2 of 2, seed 1" in out
    assert run([*base, "--no-cache", "--prompt", "hell"]) == 0
    assert capsys.readouterr().out.startswith("hello hello hello")
    assert run(base) == 0
    capsys.readouterr()
    for wrong, message in (
        (["-n", "0"], "-n must be at least 1"),
        (["--top-p", "0"], "top_p must lie"),
        (["--top-k", "0"], "top_k must"),
        (["--min-p", "2"], "min_p must"),
        (["--temperature", "-1"], "temperature must"),
        (["--prompt", ""], "at least one token"),
        (["--prompt", "hexa"], "got 'x'"),
        (["--stop", ""], "stop string must not be empty"),
        (["--prompt-file", "nowhere.txt"], "nowhere.txt"),
    ):
        assert run([*base, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_mini_and_the_training_of_its_head_alone(tmp_path, capsys):
    folder = tmp_path / "mini"
    assert run(["train", "--preset", "mini", "--out", str(folder), "--verbose"]) == 0
    out = capsys.readouterr().out
    assert "<unk>" in out
    assert "windows: inputs" in out
    losses = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert losses[-1]["val_loss"] < 1.5
    head = ["train", "mini", "--from", str(folder), "--out", str(tmp_path / "head")]
    assert run([*head, "--train-only", "head", "--steps", "5"]) == 0
    before, after = (tg.load_state(f / "model.safetensors") for f in (folder, tmp_path / "head"))
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == {"head.weight"}
    head[-1] = str(tmp_path / "other")
    assert run([*head, "--train-only", "haed"]) == 2
    assert not (tmp_path / "other").exists()
    assert "try head" in capsys.readouterr().err


def test_receipts_of_each_token(hello, capsys):
    base = ["generate", str(hello), "--prompt", "hell", "--tokens", "8", "--seed", "3"]
    assert run([*base, "--temperature", "2"]) == 0
    text = capsys.readouterr().out
    assert run([*base, "--temperature", "2", "--why"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(text)
    rows = [line.split() for line in out.splitlines() if re.match(r"\S\s+[01]\.\d{4} ", line)]
    assert "".join(row[0] for row in rows).replace("␣", " ") == text[4:-1]
    assert run([*base, "-n", "2", "--json", "--temperature", "2"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [sample["seed"] for sample in data["samples"]] == [3, 4]
    assert data["samples"][0]["text"] == text[4:-1]
    model, tokenizer = load(hello)
    ids = [*tokenizer.encode("hell")]
    for token, row in zip(data["samples"][0]["tokens"], rows, strict=True):
        logits = model.next_logits(np.array([ids[-4:]])).numpy()[0].astype(np.float64)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        assert token["logprob"] == pytest.approx(np.log(p[token["id"]]), abs=1e-4)
        assert float(row[1]) == pytest.approx(p[token["id"]], abs=1e-4)
        assert token["rank"] == int((p > p[token["id"]]).sum()) + 1
        others = [entry["id"] for entry in token["alternatives"]]
        assert sorted([*others, token["id"]]) == list(range(5))
        ids.append(token["id"])


def test_weights_are_written_with_in_half_the_memory_where_products_in_it_are_slow(monkeypatch):
    """Some CPUs have products in bfloat16 that are slower than those in float32"""
    monkeypatch.setattr("tinygrad_lite.kernels.precision.prefers_bfloat16", lambda: False)
    for has, stored in ((True, np.uint16), (False, np.float32)):
        monkeypatch.setattr("gpt.cli.common.has_bfloat16", lambda has=has: has)
        model = GPT(GPTConfig(vocab_size=7, n_layer=1, n_head=1, n_embd=32, block_size=8))
        with writing_precision(model, "auto"):
            assert tg.get_precision() == "float32"
            assert model.blocks[0].mlp.up.weight.dtype == stored
