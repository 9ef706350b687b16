"""PyTorch, where it is installed, judges the whole: ops, optimizers, and a GPT's training."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import tinygrad_lite as tg  # noqa: E402
from benchmarks import models  # noqa: E402
from benchmarks.step import HELLO  # noqa: E402
from benchmarks.torch_gpt import TorchGPT  # noqa: E402
from gpt.config import GPTConfig  # noqa: E402
from gpt.model import GPT  # noqa: E402
from gpt.presets import PRESETS  # noqa: E402
from tinygrad_lite import Tensor, optim  # noqa: E402

F = torch.nn.functional
RNG = np.random.default_rng(0)


def randn(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


OPS = {
    "layer_norm": (lambda x, w, b: tg.layernorm(x, w, b),
                   lambda x, w, b: F.layer_norm(x, w.shape, w, b), [(9, 33), (33,), (33,)]),
    "gelu": (tg.gelu, F.gelu, [(9, 33)]),
    "gelu_tanh": (lambda x: tg.gelu(x, "tanh"), lambda x: F.gelu(x, approximate="tanh"), [(9, 33)]),
    "silu": (tg.silu, F.silu, [(9, 33)]),
    "softplus": (tg.softplus, F.softplus, [(9, 33)]),
    "softmax": (tg.softmax, lambda x: F.softmax(x, -1), [(9, 33)]),
    "log_softmax": (tg.log_softmax, lambda x: F.log_softmax(x, -1), [(9, 33)]),
    "linear": (tg.linear, F.linear, [(4, 9, 33), (20, 33), (20,)]),
    "matmul": (lambda a, b: a @ b, lambda a, b: a @ b, [(2, 1, 9, 33), (3, 33, 5)]),
    "attention": (lambda q, k, v: tg.scaled_dot_product_attention(q, k, v, is_causal=True),
                  lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
                  [(2, 3, 100, 24)] * 3),
    "std": (lambda x: x.std(1), lambda x: x.std(1), [(9, 33)]),
    "amax": (lambda x: x.max(1), lambda x: x.amax(1), [(9, 33)]),
    "prod": (lambda x: x.prod(1), lambda x: x.prod(1), [(9, 5)]),
    "cumsum": (lambda x: x.cumsum(1), lambda x: x.cumsum(1), [(9, 5)]),
    "einsum": (lambda a, b: tg.einsum("bik,bjk->ij", a, b),
               lambda a, b: torch.einsum("bik,bjk->ij", a, b), [(3, 4, 5), (3, 6, 5)]),
    "cross_entropy": (lambda x: tg.cross_entropy(x, np.arange(9)),
                      lambda x: F.cross_entropy(x, torch.arange(9)), [(9, 33)]),
}  # fmt: skip


@pytest.mark.parametrize("name", OPS)
def test_values_and_gradients(name):
    ours, theirs, shapes = OPS[name]
    arrays = [randn(*shape) for shape in shapes]
    a = [Tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, z = ours(*a), theirs(*b)
    g = randn(*y.shape)
    y.backward(g)
    z.backward(torch.tensor(g))
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-5)
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
        ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.1}),
        ("AdamW", {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.1}),
    ],
)
def test_optimizers(name, settings):
    w = randn(7, 5)
    ours = Tensor(w.copy(), requires_grad=True)
    theirs = torch.tensor(w.copy(), requires_grad=True)
    a = getattr(optim, name)([ours], **settings)
    b = getattr(torch.optim, name)([theirs], **settings)
    for _ in range(5):
        g = randn(7, 5)
        ours.grad, theirs.grad = Tensor(g), torch.tensor(g)
        a.step()
        b.step()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["hello", "baby", "shakespeare"])
def test_five_steps_of_a_gpt(name):
    options = HELLO if name == "hello" else PRESETS[name].model
    model = GPT(GPTConfig(vocab_size=65, **options), seed=0)
    for p in model.parameters():  # zero-initialised weights would hide parts of the model
        p.data += 0.02 * randn(*p.shape)
    other = TorchGPT(model)
    ours = optim.AdamW(model.parameters(), lr=1e-3)
    theirs = torch.optim.AdamW(other.parameters(), lr=1e-3)
    for step in range(5):
        tokens = RNG.integers(0, 65, (4, model.config.block_size + 1))
        loss = model.loss(tokens[:, :-1], tokens[:, 1:])
        expected = other.loss(torch.tensor(tokens[:, :-1]), torch.tensor(tokens[:, 1:]))
        assert loss.item() == pytest.approx(expected.item(), abs=2e-4)
        ours.zero_grad()
        theirs.zero_grad()
        loss.backward()
        expected.backward()
        if step == 0:
            gradients = other.gradients()
            for n, p in model.named_parameters():
                difference = np.linalg.norm(p.grad.numpy() - gradients[n])
                # The bias of the keys has no effect: its gradient is zero but for rounding.
                assert difference < 1e-4 * np.linalg.norm(gradients[n]) + 1e-7, n
        ours.step()
        theirs.step()


@pytest.mark.parametrize("config", models.CONFIGS)
def test_the_worked_models_learn_as_in_pytorch(config):
    (_, ours), (_, theirs) = models.ours(config, False), models.of_torch(config, 1)
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-4, atol=1e-4)
