"""One training step: forward, backward, clip at 1.0, AdamW. Ours beside PyTorch's and JAX's."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import Factory, Row, digest, race
from gpt.config import GPTConfig
from gpt.model import GPT
from gpt.presets import PRESETS
from tinygrad_lite import Tensor, get_num_threads, has_bfloat16, jit, optim, precision

HELLO = dict(
    n_layer=1, n_head=2, n_embd=16, block_size=4, d_ff=32, norm_placement="post",
    final_norm=False, activation="relu", bias=True, tie_weights=False, head_bias=True,
)  # fmt: skip
GPT2 = dict(n_layer=12, n_head=12, n_embd=768, block_size=64, bias=True)
RECIPE = PRESETS["shakespeare"]

# Each with its batch size and the turns of a race
CONFIGS: dict[str, tuple[dict[str, Any], int, int]] = {
    "hello": (dict(vocab_size=5, **HELLO), 7, 20),
    "baby": (dict(vocab_size=65, **PRESETS["baby"].model), 12, 20),
    "recipe": (dict(vocab_size=65, **RECIPE.model), RECIPE.train["batch_size"], 15),
    "shake": (dict(vocab_size=65, n_layer=6, n_head=6, n_embd=384, block_size=256), 8, 8),
    "wide": (dict(vocab_size=1000, n_layer=2, n_head=8, n_embd=512, block_size=128), 16, 5),
    "long": (dict(vocab_size=256, n_layer=2, n_head=4, n_embd=256, block_size=1024), 1, 10),
    "gpt2": (dict(vocab_size=50304, **GPT2), 4, 5),
}
LR, WEIGHT_DECAY = 1e-4, 0.01


def run(config: str, peers: list[str]) -> list[Row]:
    return race("step", config, contenders(config, peers), CONFIGS[config][2], tolerance=1e-3)


def contenders(config: str, peers: list[str]) -> dict[str, tuple[Factory, tuple]]:
    """Everybody in float32, and in bfloat16 where the CPU multiplies it"""
    threads = get_num_threads()
    found: dict[str, tuple[Factory, tuple]] = {"ours float32": (ours, (config, "float32"))}
    if has_bfloat16():
        found["ours bfloat16"] = (ours, (config, "bfloat16"))
    if "torch" in peers:
        found["torch float32"] = (of_torch, (config, threads, "eager"))
        found["torch compile"] = (of_torch, (config, threads, "compile"))
        if has_bfloat16():
            found["torch bfloat16"] = (of_torch, (config, threads, "autocast"))
    if "jax" in peers:
        found["jax float32"] = (of_jax, (config, "float32"))
        if has_bfloat16():
            found["jax bfloat16"] = (of_jax, (config, "bfloat16"))
    return found


def _setup(config: str) -> tuple[GPT, np.ndarray, np.ndarray]:
    """A model, tokens and targets, the same in every process"""
    options, batch_size, _ = CONFIGS[config]
    model = GPT(GPTConfig(**options))
    rng = np.random.default_rng(0)
    for p in model.parameters():  # zero-initialised weights would hide gradients
        p.data += 0.02 * rng.standard_normal(p.shape, np.float32)
    shape = (batch_size, model.config.block_size + 1)
    batch = rng.integers(0, model.config.vocab_size, shape)
    return model, batch[:, :-1].copy(), batch[:, 1:].copy()


def ours(config: str, dtype: str = "float32") -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    model, tokens, targets = _setup(config)
    parameters = model.parameters()
    adamw = optim.AdamW(parameters, lr=LR, weight_decay=WEIGHT_DECAY)

    @jit
    def step(tokens: np.ndarray, targets: np.ndarray) -> Tensor:
        loss = model.loss(tokens, targets)
        loss.backward()
        _, grad_scale = optim.clip_factor(parameters, 1.0)
        adamw.step(grad_scale)
        adamw.zero_grad()
        return loss

    def call() -> None:
        with precision(dtype):
            step(tokens, targets)

    with precision(dtype):
        loss = model.loss(tokens, targets)
        loss.backward()
    result = {"loss": loss.numpy()}
    result |= {n: digest(p.grad.numpy()) for n, p in model.named_parameters() if p.grad is not None}
    adamw.zero_grad()
    return call, result


def of_torch(
    config: str, threads: int, kind: str
) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    """kind: "eager" or "compile", in float32, or "autocast", eager with products in bfloat16"""
    import torch

    from benchmarks.torch_gpt import TorchGPT

    torch.set_num_threads(threads)
    other = TorchGPT(_setup(config)[0])
    tokens, targets = (torch.tensor(a) for a in _setup(config)[1:])
    parameters = list(other.parameters())
    adamw = torch.optim.AdamW(parameters, lr=LR, weight_decay=WEIGHT_DECAY, fused=True)
    loss_of = torch.compile(other.loss) if kind == "compile" else other.loss

    def backward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
            loss = loss_of(tokens, targets)
        loss.backward()
        return loss.detach()

    def step() -> None:
        backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adamw.step()
        adamw.zero_grad(set_to_none=True)

    result = {"loss": np.array(backward().item())}
    result |= {name: digest(g) for name, g in other.gradients().items()}
    adamw.zero_grad(set_to_none=True)
    return step, result


def of_jax(config: str, dtype: str) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    import jax
    import jax.numpy as jnp

    from benchmarks.jax_gpt import joined, loss_function, separated, train_step

    model, *batch = _setup(config)
    tokens, targets = (jnp.asarray(a) for a in batch)
    p = joined({n: jnp.asarray(a.numpy()) for n, a in model.named_parameters()})
    loss = loss_function(model.config, jnp.dtype(dtype))
    value, gradients = jax.jit(jax.value_and_grad(loss))(p, tokens, targets)
    result = {"loss": np.array(value)}
    result |= {name: digest(g) for name, g in separated(gradients).items()}
    del gradients
    step = train_step(loss, LR, WEIGHT_DECAY)
    moments = ({n: jnp.zeros_like(w) for n, w in p.items()} for _ in range(2))
    state = (p, *moments, jnp.zeros((), jnp.float32))

    def call() -> None:
        nonlocal state
        state = step(*state, tokens, targets)
        jax.block_until_ready(state)

    return call, result
