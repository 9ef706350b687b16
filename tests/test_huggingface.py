"""GPT-2 checkpoints in and out, judged by `transformers` itself where it is installed."""

import json

import numpy as np
import pytest

import tinygrad_lite as tg
from gpt.config import GPTConfig, TrainConfig
from gpt.exchange.huggingface import load_checkpoint, save_checkpoint, state_to
from gpt.model import GPT
from gpt.text.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer
from gpt.training.run import Run
from gpt.writing.sampling import Sampling, generate
from tests.test_cli import TEXT

SHAPES = {
    "small": dict(n_layer=2, n_head=4, n_embd=32, n_positions=48, vocab_size=300),
    "124M": dict(n_layer=12, n_head=12, n_embd=768, n_positions=1024, vocab_size=50257),
}


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch", reason="judged by transformers with torch")
    return pytest.importorskip("transformers", reason="judged by transformers")


def of_hub(transformers, folder, size, **settings):
    """A random model of theirs, saved to a folder with a tokenizer"""
    import torch

    torch.manual_seed(0)
    config = transformers.GPT2Config(**SHAPES[size], bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():  # as they are, biases are zeros and logits almost so
        for p in model.parameters():
            p.add_(0.02 * torch.randn(p.shape))
    model.save_pretrained(folder, **settings)
    ByteTokenizer.of_text(TEXT, 262).inner.save(str(folder / "tokenizer.json"))
    return model


def ours_of(folder):
    config, state, _ = load_checkpoint(folder)
    model = GPT(config)
    model.load_state_dict(state)
    return model.eval()


@pytest.mark.parametrize("size", SHAPES)
def test_logits_gradients_and_text_are_those_of_transformers(transformers, tmp_path, size):
    import torch

    theirs = of_hub(transformers, tmp_path, size)
    ours = ours_of(tmp_path)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, ours.config.vocab_size, (2, 33))
    result = theirs(torch.tensor(tokens), labels=torch.tensor(tokens))
    with tg.no_grad():
        logits = ours(tokens).numpy()
    np.testing.assert_allclose(logits, result.logits.detach().numpy(), rtol=1e-4, atol=1e-4)
    loss = ours.loss(tokens[:, :-1], tokens[:, 1:])
    assert loss.item() == pytest.approx(result.loss.item(), abs=1e-4)
    loss.backward()
    result.loss.backward()
    gradients = {n: p.grad.numpy() for n, p in ours.named_parameters()}
    expected = {n: p.grad.numpy() for n, p in theirs.named_parameters()}
    found = state_to(gradients, ours.config)
    assert set(found) == set(expected)
    largest = max(np.linalg.norm(g) for g in expected.values())
    for name, g in found.items():
        error = np.linalg.norm(g - expected[name])
        assert error <= 1e-4 * (np.linalg.norm(expected[name]) + 1e-3 * largest), name
    prompt = tokens[0, :9]
    continued = theirs.generate(
        torch.tensor(prompt[None]), max_new_tokens=64, do_sample=False, use_cache=True,
        pad_token_id=0, eos_token_id=None,
    )[0, 9:] if size == "124M" else None  # fmt: skip
    if continued is None:  # longer than its 48 positions: theirs cannot
        continued = theirs.generate(torch.tensor(prompt[None]), max_new_tokens=39, do_sample=False,
                                    pad_token_id=0, eos_token_id=None)[0, 9:]  # fmt: skip
    greedy = list(generate(ours, prompt, len(continued), Sampling(temperature=0)))
    assert greedy == continued.tolist()


@pytest.mark.parametrize("settings", [{"max_shard_size": "20KB"}, {}], ids=["sharded", "one file"])
def test_several_files_and_one(transformers, tmp_path, settings):
    theirs = of_hub(transformers, tmp_path, "small", **settings)
    assert (tmp_path / "model.safetensors.index.json").exists() == bool(settings)
    np.testing.assert_array_equal(
        ours_of(tmp_path).token_embedding.weight.numpy(), theirs.transformer.wte.weight.detach()
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves(transformers, tmp_path, dtype):
    import torch

    theirs = of_hub(transformers, tmp_path, "small").to(getattr(torch, dtype))
    theirs.save_pretrained(tmp_path)
    expected = theirs.transformer.wte.weight.detach().float().numpy()
    np.testing.assert_array_equal(ours_of(tmp_path).token_embedding.weight.numpy(), expected)


@pytest.mark.parametrize("bias", [False, True])
def test_what_we_write_transformers_reads(transformers, tmp_path, bias):
    import torch

    tokenizer = ByteTokenizer.of_text(TEXT, 280)
    config = GPTConfig(tokenizer.vocab_size, 2, 2, 16, 32, bias=bias, tie_weights=bias)
    model = GPT(config, seed=3).eval()
    state = {n: p.numpy() for n, p in model.named_parameters()}
    save_checkpoint(tmp_path, config, state, tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    of_hub = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "the quick brown fox é 北京"
    ids = tokenizer.encode(text)
    assert of_hub(text)["input_ids"] == ids.tolist()
    assert of_hub.decode(ids) == text
    with torch.no_grad(), tg.no_grad():
        expected = theirs(torch.tensor(ids[None])).logits.numpy()
        np.testing.assert_allclose(model(ids[None]).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer.of_text])
def test_other_tokenizers_go_along(transformers, tmp_path, kind):
    tokenizer = kind(TEXT)
    config = GPTConfig(tokenizer.vocab_size, 1, 2, 8, 8)
    state = {n: p.numpy() for n, p in GPT(config).named_parameters()}
    save_checkpoint(tmp_path, config, state, tokenizer)
    of_hub = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "the lazy dog.\nthe fox jumps"
    assert of_hub(text)["input_ids"] == tokenizer.encode(text).tolist()
    assert load_checkpoint(tmp_path)[2].as_json() == tokenizer.as_json()


def saved(folder, config=None):
    """A checkpoint of ours in their format, and its model"""
    tokenizer = ByteTokenizer.of_text(TEXT, 280)
    model = GPT(config or GPTConfig(280, 2, 2, 16, 8, bias=True), seed=1)
    state = {n: p.numpy() for n, p in model.named_parameters()}
    save_checkpoint(folder, model.config, state, tokenizer)
    return model


def test_out_and_in_again_changes_no_bit(tmp_path):
    model = saved(tmp_path / "a")
    config, state, tokenizer = load_checkpoint(tmp_path / "a")
    assert config == model.config
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(state[name], parameter.numpy())
    save_checkpoint(tmp_path / "b", config, state, tokenizer)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def change(path, **changes):
    data = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (data | changes).items() if v is not None}))


def rewrite(folder, edit):
    tensors = tg.load_state(folder / "model.safetensors")
    edit(tensors)
    tg.save_state(folder / "model.safetensors", tensors)


MISTAKES = {
    r"must be of the GPT-2 family.*\n.*'llama'": lambda f: change(
        f / "config.json", model_type="llama"
    ),
    r"must compute what GPT-2 does.*\n.*'mish'": lambda f: change(
        f / "config.json", activation_function="mish"
    ),
    r"config.json must describe the model.*\n.*n_head": lambda f: change(
        f / "config.json", n_head=None
    ),
    r"config.json must be there": lambda f: (f / "config.json").unlink(),
    r"weights must be there as safetensors": lambda f: (f / "model.safetensors").unlink(),
    r"complete safetensors file": lambda f: (f / "model.safetensors").write_bytes(
        (f / "model.safetensors").read_bytes()[:-9]
    ),
    r"wte.weight is missing; nonsense is not part": lambda f: rewrite(
        f,
        lambda t: t.update(nonsense=t.pop("transformer.wte.weight")),
    ),
    r"wpe.weight is \(3, 3\) in the file and \(8, 16\) in the model": lambda f: rewrite(
        f, lambda t: t.update({"transformer.wpe.weight": np.zeros((3, 3), np.float32)})
    ),
    r"tensors must be float32.*\n.*I64": lambda f: rewrite(
        f, lambda t: t.update({"transformer.wpe.weight": np.zeros((8, 16), np.int64)})
    ),
    r"there must be a tokenizer.json": lambda f: (f / "tokenizer.json").unlink(),
    r"a place for every token": lambda f: ByteTokenizer.of_text(TEXT, 290).inner.save(
        str(f / "tokenizer.json")
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_bad_checkpoints(tmp_path, message):
    saved(tmp_path)
    MISTAKES[message](tmp_path)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path)


def test_what_gpt2_cannot_compute_is_not_exported(tmp_path):
    with pytest.raises(ValueError, match="position='rotary', qk_norm=True"):
        saved(tmp_path / "x", GPTConfig(280, 1, 2, 16, 8, position="rotary", qk_norm=True))
    assert not (tmp_path / "x").exists()


def test_an_imported_run_has_all_that_others_have(tmp_path):
    from gpt.cli import run

    saved(tmp_path / "hf")
    assert run(["import", str(tmp_path / "hf"), "--out", str(tmp_path / "run")]) == 0
    model, tokenizer = Run.open(tmp_path / "run").load_best()
    assert model.config.bias
    assert tokenizer.decode(tokenizer.encode("fox")) == "fox"
    assert isinstance(Run.open(tmp_path / "run").read_setup().train, TrainConfig)
    assert run(["generate", str(tmp_path / "run"), "--tokens", "3", "--prompt", "the"]) == 0
    assert run(["eval", str(tmp_path / "run")]) == 2
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    tuned = ["train", str(text), "--from", str(tmp_path / "run"), "--out", str(tmp_path / "tuned")]
    assert run([*tuned, "--steps", "3", "--lr", "1e-3"]) == 0
    assert run([*tuned, "--n-embd", "32", "--force"]) == 2
    assert run(["export", str(tmp_path / "tuned"), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() == (
        tmp_path / "hf" / "tokenizer.json"
    ).read_bytes()
    assert run(["export", str(tmp_path / "tuned"), "--out", str(tmp_path / "again")]) == 2
    assert run(["import", "nowhere", "--out", str(tmp_path / "x")]) == 2


def test_a_hub_id_is_downloaded(tmp_path, monkeypatch, capsys):
    import huggingface_hub as hub

    from gpt.cli import run

    saved(tmp_path / "hf")
    asked = []

    def download(model, allow_patterns):
        asked.append((model, "*.safetensors" in allow_patterns))
        return str(tmp_path / "hf")

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert run(["import", "someone/gpt2", "--out", str(tmp_path / "run")]) == 0
    assert asked == [("someone/gpt2", True)]

    def fails(model, allow_patterns):
        raise ConnectionError("no network")

    monkeypatch.setattr(hub, "snapshot_download", fails)
    assert run(["import", "someone/gpt2", "--out", str(tmp_path / "other")]) == 2
    assert "no network" in capsys.readouterr().err
