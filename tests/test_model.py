"""The GPT: sizes, causality, every option, gradients of the whole."""

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_lite as tg
from gpt.config import GPTConfig, TrainConfig
from gpt.model import GPT
from gpt.presets import PRESETS, preset
from gpt.size import describe
from gpt.training.evaluate import evaluate
from gpt.writing.sampling import Sampling, generate

SMALL = dict(vocab_size=11, n_layer=2, n_head=2, n_embd=8, block_size=6)
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 11, (3, 6))


def count(model):
    return sum(p.size for p in model.parameters())


def test_gpt2_has_its_number_of_parameters():
    config = GPTConfig(
        vocab_size=50257,
        n_layer=12,
        n_head=12,
        n_embd=768,
        block_size=1024,
        bias=True,
        activation="gelu_tanh",
    )
    assert count(GPT(config)) == 124_439_808


def test_baby_has_nanogpts_number_of_parameters():
    # 65*128 + 64*128 + 4 * (12 * 128**2 + 2 * 128) + 128
    assert count(GPT(GPTConfig(vocab_size=65, **PRESETS["baby"].model))) == 804_096


def test_hello_sized_post_norm_model():
    config = GPTConfig(
        vocab_size=5,
        n_layer=1,
        n_head=2,
        n_embd=16,
        block_size=4,
        d_ff=32,
        bias=True,
        norm_placement="post",
        activation="relu",
        final_norm=False,
        tie_weights=False,
        head_bias=True,
    )
    assert count(GPT(config)) == 2453


OPTIONS = {
    "norm_placement": ["pre", "post"],
    "norm": ["layernorm", "rmsnorm"],
    "activation": ["gelu", "gelu_tanh", "relu", "silu", "relu_squared"],
    "position": ["learned", "rotary"],
    "qk_norm": [False, True],
    "tie_weights": [True, False],
    "bias": [False, True],
    "head_bias": [True],
    "final_norm": [False],
    "token_shift": [True],
    "d_ff": [12],
    "dropout": [0.3],
}


@pytest.mark.parametrize(
    "option", [(n, v) for n, vs in OPTIONS.items() for v in vs], ids=lambda o: f"{o[0]}={o[1]}"
)
def test_every_option_builds_trains_and_is_causal(option):
    model = GPT(GPTConfig(**SMALL, **dict([option])), seed=1)
    for p in model.parameters():  # enough noise that every path carries signal
        p.data += 0.3 * RNG.standard_normal(p.shape).astype(np.float32)
    model.loss(TOKENS, TOKENS).backward()
    assert all(p.grad is not None and np.abs(p.grad.numpy()).max() > 0 for p in model.parameters())
    model.eval()
    changed = TOKENS.copy()
    changed[:, 3] = (changed[:, 3] + 1) % 11
    a, b = model(TOKENS).numpy(), model(changed).numpy()
    assert a.shape == (3, 6, 11)
    assert (a[:, :3] == b[:, :3]).all()
    assert (a[:, 3] != b[:, 3]).any()
    assert (a[:, 5] != b[:, 5]).any()


def test_first_loss_is_that_of_a_uniform_guess():
    for options in (PRESETS["baby"].model, PRESETS["shakespeare"].model):
        model = GPT(GPTConfig(vocab_size=65, **options))
        tokens = RNG.integers(0, 65, (4, 32))
        assert model.loss(tokens, tokens[:, ::-1]).item() == pytest.approx(np.log(65), abs=0.15)


def test_zero_init_starts_with_zero_outputs():
    model = GPT(GPTConfig(vocab_size=65, **PRESETS["shakespeare"].model))
    named = model.named_parameters()
    zeros = [n for n, p in named if p.ndim == 2 and not p.numpy().any()]
    assert len(zeros) == 2 * model.config.n_layer + 1


@pytest.mark.parametrize("name", ["baby", "shakespeare"])
def test_gradients_of_the_whole_by_finite_differences(name):
    options = {**preset(name).model, "n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 6}
    model = GPT(GPTConfig(vocab_size=11, **options))
    named = list(model.named_parameters())
    for _, p in named:
        p.data = p.data.astype(np.float64) + 0.2 * RNG.standard_normal(p.shape)

    found = list(places(model))

    def loss(*values):
        for (owner, attribute), value in zip(found, values, strict=True):
            vars(owner)[attribute] = value  # a Tensor of float64 in place of the Parameter
        if options.get("tie_weights", True):
            vars(model.head)["weight"] = model.token_embedding.weight
        return model.loss(TOKENS, TOKENS)

    tg.check_gradients(loss, *[p.data for _, p in named], tolerance=2e-5)


def places(model):
    """(module, attribute) of each parameter, in the order of named_parameters"""
    seen = set()
    for _, module in model.named_modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, tg.nn.Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield module, name


def test_seeds_decide_initial_values_and_dropout():
    def losses(seed):
        model = GPT(GPTConfig(**SMALL, dropout=0.5), seed)
        return [model.loss(TOKENS, TOKENS).item() for _ in range(3)]

    assert losses(3) == losses(3)
    assert losses(3) != losses(4)
    assert len(set(losses(3))) == 3


def test_evaluate_predicts_every_token_once():
    model = GPT(GPTConfig(**SMALL))
    for p in model.parameters():
        p.data += 0.3 * RNG.standard_normal(p.shape).astype(np.float32)
    model.eval()
    tokens = RNG.integers(0, 11, 6 * 40 + 3)
    total = 0.0
    for start in range(0, len(tokens) - 1, 6):
        x, t = tokens[start : start + 6], tokens[start + 1 : start + 7]
        logits = model(x[None, : len(t)]).numpy()[0].astype(np.float64)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        total -= log_p[np.arange(len(t)), t].sum()
    assert evaluate(model, tokens) == pytest.approx(total / (len(tokens) - 1), abs=1e-5)
    assert evaluate(model, tokens[:3]) > 0
    assert evaluate(model, tokens, most=60) == evaluate(model, tokens, most=60)


def test_generation_follows_the_likeliest_token_and_the_seed():
    model = GPT(GPTConfig(**SMALL), seed=2)
    for p in model.parameters():
        p.data += 0.5 * RNG.standard_normal(p.shape).astype(np.float32)
    prompt = np.array([1, 2])
    greedy = list(generate(model, prompt, 9, Sampling(temperature=0)))
    text = list(prompt)
    model.eval()
    for token in greedy:  # also past block_size
        assert token == int(np.argmax(model(np.array(text[-6:])[None]).numpy()[0, -1]))
        text.append(token)
    assert list(generate(model, prompt, 9, Sampling(top_k=1), seed=5)) == greedy
    draws = {
        tuple(generate(model, prompt, 9, Sampling(temperature=1.5), seed=s)) for s in (1, 1, 2, 3)
    }
    assert len(draws) == 3


def test_top_k_limits_what_can_come():
    model = GPT(GPTConfig(**SMALL), seed=2)
    first = {
        next(generate(model, np.array([1]), 1, Sampling(temperature=5.0, top_k=2), seed=s))
        for s in range(60)
    }
    assert len(first) == 2


ERRORS = {
    "n_embd must be a multiple": lambda: GPTConfig(11, n_embd=100, n_head=6),
    "rotary positions need": lambda: GPTConfig(11, n_embd=6, n_head=2, position="rotary"),
    "n_layer must be positive": lambda: GPTConfig(11, n_layer=0),
    "vocab_size must be positive": lambda: GPTConfig(-1),
    "n_head must be of type int": lambda: GPTConfig(11, n_head=2.5),
    "dropout must lie": lambda: GPTConfig(11, dropout=1.0),
    "activation must be one of": lambda: GPTConfig(11, activation="gelo"),
    "norm_placement must be one of": lambda: GPTConfig(11, norm_placement="middle"),
    "steps must be positive": lambda: TrainConfig(steps=0),
    "lr must be positive": lambda: TrainConfig(lr=0.0),
    "warmup must be finite and not negative": lambda: TrainConfig(warmup=-1),
    "beta2 must lie": lambda: TrainConfig(beta2=1.0),
    "min_lr must lie": lambda: TrainConfig(min_lr=2.0),
    "optimizer must be one of": lambda: TrainConfig(optimizer="adam"),
    "there are presets named": lambda: preset("babi"),
    "tokens are": lambda: GPT(GPTConfig(**SMALL))(np.zeros((1, 7), int)),
    "temperature must be": lambda: Sampling(temperature=-1.0),
    "top_k must be": lambda: Sampling(top_k=0),
}


@pytest.mark.parametrize("beginning", ERRORS)
def test_errors(beginning):
    with pytest.raises(ValueError, match=beginning) as error:
        ERRORS[beginning]()
    assert "\n  got " in str(error.value)
    assert "\n  try " in str(error.value)


def test_presets_are_valid_in_every_combination():
    for model, training in itertools.product(PRESETS.values(), repeat=2):
        GPTConfig(**{"vocab_size": 65, **model.model})
        TrainConfig(**training.train)


def test_models_in_several_python_threads_at_once():
    def gradients(seed):
        model = GPT(GPTConfig(vocab_size=11, n_layer=2, n_embd=32, block_size=16), seed=seed)
        tokens = np.random.default_rng(seed).integers(0, 11, (4, 17))
        for _ in range(5):
            model.zero_grad()
            model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
        return [p.grad.numpy().copy() for p in model.parameters()]

    expected = [gradients(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(gradients, range(4)))
    for a, b in zip(expected, found, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(("value", "threads"), [("1", 1), ("1000", None), ("many", None)])
def test_the_usual_environment_variable_limits_threads(value, threads):
    program = (
        "import numba, tinygrad_lite as tg; print(tg.get_num_threads(), numba.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": value}, check=True)  # fmt: skip
    found, cores = map(int, done.stdout.split())
    assert found == (threads or cores)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("hello", 2453),
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_presets_have_their_numbers_of_parameters(name, parameters):
    config = GPTConfig(**{"vocab_size": 5, **PRESETS[name].model})
    assert describe(config, 1)["parameters"] == parameters


@pytest.mark.parametrize("option", OPTIONS)
def test_the_description_counts_what_the_model_has(option):
    for value in OPTIONS[option]:
        config = GPTConfig(**{**SMALL, option: value})
        about = describe(config, 2)
        assert about["parameters"] == count(GPT(config))
        parts = sum(part["each"] * part["times"] for part in about["components"])
        assert parts == about["parameters"]


def test_flops_and_memory_of_gpt2():
    about = describe(GPTConfig(**PRESETS["gpt2"].model), 1)
    # 2 * (124,439,808 - 1024 * 768 - vectors) and attention to 512 positions on average
    assert about["flops_per_token"] == pytest.approx(2 * 123.53e6 + 12 * 4 * 768 * 512.5, rel=1e-3)
    assert about["training_mb"] > 16 * 124.4
    assert about["inference_mb"] == pytest.approx(4 * 124.44 + 4 * 24 * 1.024 * 0.768, rel=1e-3)
