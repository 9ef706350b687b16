"""Modules against PyTorch's: its parameters load as they are, outputs and gradients agree."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import tinygrad_lite as tg  # noqa: E402
from tinygrad_lite import Tensor, nn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Using padding", "ignore:reduction")


def images(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


X3, X4, X5, X2 = images(4, 6, 9), images(3, 6, 8, 7), images(2, 6, 5, 6, 4), images(5, 6)

# Each: name of the module, arguments, inputs
MODULES = [
    ("Linear", (6, 4), [X2]),
    ("Conv1d", (6, 4, 3), [X3]),
    ("Conv1d", (6, 4, 3, 2, 1, 2, 2), [X3]),
    ("Conv1d", (6, 4, 4, 1, "same"), [X3]),
    ("Conv2d", (6, 4, 3), [X4]),
    ("Conv2d", (6, 6, 3, 1, 1, 1, 6), [X4]),
    ("Conv2d", (6, 9, (3, 2), (2, 1), (1, 0), (1, 2), 3, False), [X4]),
    ("Conv2d", (6, 4, 3, 1, 1, 1, 1, True, "reflect"), [X4]),
    ("Conv2d", (6, 4, 3, 1, "same", 1, 1, True, "circular"), [X4]),
    ("Conv2d", (6, 4, 3, 1, 2, 1, 1, True, "replicate"), [X4]),
    ("Conv3d", (6, 4, 2, 2, 1), [X5]),
    ("ConvTranspose1d", (6, 4, 3, 2, 1, 1), [X3]),
    ("ConvTranspose2d", (6, 4, 3), [X4]),
    ("ConvTranspose2d", (6, 4, 4, 2, 1), [X4]),
    ("ConvTranspose2d", (6, 4, 3, 3, 2, 1, 2, True, 2), [X4]),
    ("ConvTranspose3d", (6, 4, 2, 2), [X5]),
    ("MaxPool1d", (2,), [X3]),
    ("MaxPool2d", (3, 2, 1), [X4]),
    ("MaxPool2d", (2, None, 0, 2, False, True), [X4]),
    ("MaxPool3d", (2,), [X5]),
    ("AvgPool1d", (3, 2, 1), [X3]),
    ("AvgPool2d", (3, 2, 1, True), [X4]),
    ("AvgPool2d", ((3, 2), (1, 2), (1, 0), False, False), [X4]),
    ("AvgPool2d", (2, 2, 0, False, True, 3), [X4]),
    ("AvgPool3d", (2,), [X5]),
    ("AdaptiveAvgPool1d", (4,), [X3]),
    ("AdaptiveAvgPool2d", ((3, None),), [X4]),
    ("AdaptiveMaxPool1d", (2,), [X3]),
    ("AdaptiveMaxPool2d", ((3, 2),), [X4]),
    ("BatchNorm1d", (6,), [X2]),
    ("BatchNorm1d", (6, 1e-3, 0.3), [X3]),
    ("BatchNorm2d", (6, 1e-5, None), [X4]),
    ("BatchNorm2d", (6, 1e-5, 0.1, False, False), [X4]),
    ("BatchNorm3d", (6,), [X5]),
    ("GroupNorm", (3, 6), [X4]),
    ("GroupNorm", (1, 6, 1e-2, False), [X3]),
    ("InstanceNorm1d", (6,), [X3]),
    ("InstanceNorm2d", (6, 1e-5, 0.2, True, True), [X4]),
    ("InstanceNorm3d", (6,), [X5]),
    ("LayerNorm", (9,), [X3]),
    ("RMSNorm", (9, 1e-6), [X3]),
    ("RNN", (6, 5), [X3.transpose(2, 0, 1).copy()]),
    ("RNN", (9, 5, 2, "relu", True, True, 0.0, True), [X3]),
    ("LSTM", (6, 5), [X3.transpose(2, 0, 1).copy()]),
    ("LSTM", (9, 5, 2, True, True, 0.0, True), [X3]),
    ("LSTM", (9, 3, 1, False), [X3, (images(1, 6, 3), images(1, 6, 3) + 1)]),
    ("LSTM", (6, 5), [X2]),
    ("GRU", (6, 5), [X3.transpose(2, 0, 1).copy()]),
    ("GRU", (9, 5, 2, True, True, 0.0, True), [X3]),
    ("GRU", (9, 3, 1, False), [X3, images(1, 6, 3)]),
    ("MultiheadAttention", (9, 3), [X3, X3, X3]),
    ("MultiheadAttention", (9, 3, 0.0, True), [images(5, 2, 9), images(7, 2, 9), images(7, 2, 9)]),
    ("MultiheadAttention", (9, 3, 0.0, False), [images(5, 9)] * 3),
    ("TransformerEncoderLayer", (9, 3, 16, 0.0), [X3]),
    ("TransformerEncoderLayer", (9, 3, 16, 0.0, "gelu", 1e-5, True, True), [X3]),
    ("Flatten", (), [X4]),
    ("Flatten", (0, 1), [X4]),
    ("Unflatten", (1, (2, 3)), [X4]),
    ("Upsample", (None, 2), [X4]),
    ("Upsample", ((5, 9),), [X4]),
    ("Upsample", (None, 2, "bilinear"), [X4]),
    ("Upsample", ((5, 11), None, "bilinear", True), [X4]),
    ("Upsample", (7, None, "linear"), [X3]),
    ("Upsample", (None, 1.5, "trilinear", False), [X5]),
    ("Upsample", (None, 1.7, "nearest-exact"), [X4]),
    ("PixelShuffle", (2,), [images(2, 8, 3, 4)]),
    ("PReLU", (), [X4]),
    ("PReLU", (6,), [X4]),
    *[(name, (), [X4]) for name in
      ("ReLU", "GELU", "SiLU", "Sigmoid", "Softplus", "Tanh", "LeakyReLU", "ELU", "CELU", "SELU",
       "Mish", "Softsign", "ReLU6", "Hardtanh", "Hardsigmoid", "Hardswish", "LogSigmoid",
       "Tanhshrink", "Hardshrink", "Softshrink")],
    ("GELU", ("tanh",), [X4]),
    ("GLU", (1,), [X4]),
    ("Softmax", (1,), [X4]),
    ("LogSoftmax", (-1,), [X4]),
    ("Softmin", (0,), [X4]),
    ("Threshold", (0.1, 20.0), [X4]),
    ("ELU", (0.5,), [X4]),
]  # fmt: skip
RANDOM = ("Linear", "Conv", "RNN", "LSTM", "GRU", "Multi", "Transformer")


def names(argument):
    return argument if isinstance(argument, str) else None


def flat(x):
    """The Tensors in nested tuples, without None"""
    if isinstance(x, list | tuple):
        return [t for part in x for t in flat(part)]
    return [] if x is None else [x]


def made(name, arguments):
    settings = {"rng": 0} if name.startswith(RANDOM) else {}
    return getattr(nn, name)(*arguments, **settings)


def both_of(inputs, kind):
    return [tuple(map(kind, x)) if isinstance(x, tuple) else kind(x) for x in inputs]


@pytest.mark.parametrize(("name", "arguments", "inputs"), MODULES, ids=names)
@pytest.mark.parametrize("training", [True, False])
def test_modules(name, arguments, inputs, training):
    torch.manual_seed(0)
    theirs, ours = getattr(torch.nn, name)(*arguments), made(name, arguments)
    state = {n: v.numpy() for n, v in theirs.state_dict().items()}
    assert {n: v.shape for n, v in ours.state_dict().items()} == {
        n: v.shape for n, v in state.items()
    }
    for p in theirs.parameters():  # biases and norms too
        p.data += 0.1 * torch.randn_like(p)
    ours.load_state_dict({n: v.numpy() for n, v in theirs.state_dict().items()})
    theirs.train(training)
    ours.train(training)
    given = both_of(inputs, lambda x: torch.tensor(x, requires_grad=True))
    own = both_of(inputs, lambda x: Tensor(x.copy(), requires_grad=True))
    for _ in range(2):  # running statistics move
        expected, found = flat(theirs(*given)), flat(ours(*own))
    assert [y.shape for y in found] == [tuple(z.shape) for z in expected]
    rng, total, other = np.random.default_rng(1), 0, 0
    for y, z in zip(found, expected, strict=True):
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=2e-5, atol=2e-5)
        if z.dtype == torch.float32:
            weight = rng.standard_normal(y.shape).astype(np.float32)
            total, other = (
                total + (y * Tensor(weight)).sum(),
                other + (z * torch.tensor(weight)).sum(),
            )
    total.backward()
    other.backward()
    for x, t in zip(flat(own), flat(given), strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=2e-4, atol=1e-4)
    gradients = {n: p.grad for n, p in theirs.named_parameters()}
    for n, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), gradients[n].numpy(), rtol=2e-4, atol=2e-4)
    for n, b in ours.named_buffers():
        np.testing.assert_allclose(b.numpy(), theirs.state_dict()[n].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted({n for n, *_ in MODULES if n.startswith(RANDOM)}))
def test_initial_values_have_the_same_distribution(name):
    """By the largest number and the deviation of each parameter"""
    arguments = {"Linear": (300, 200), "MultiheadAttention": (120, 4),
                 "TransformerEncoderLayer": (60, 4, 300)}.get(name, (40, 48, 3))  # fmt: skip
    if name in ("RNN", "LSTM", "GRU"):
        arguments = (50, 60)
    torch.manual_seed(0)
    theirs, ours = getattr(torch.nn, name)(*arguments), made(name, arguments)
    for n, p in ours.named_parameters():
        other = theirs.get_parameter(n).detach().numpy()
        assert p.numpy().std() == pytest.approx(other.std(), rel=0.25)
        assert np.abs(p.numpy()).max() == pytest.approx(np.abs(other).max(), rel=0.1)


def test_attention_with_masks():
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    ours = nn.MultiheadAttention(8, 2, batch_first=True, rng=0)
    ours.load_state_dict({n: v.numpy() for n, v in theirs.state_dict().items()})
    x = images(2, 5, 8)
    hidden = np.triu(np.ones((5, 5), bool), 1)
    padded = np.array([[False] * 5, [False, False, False, True, True]])
    added = images(5, 5)
    for mask, padding in ((hidden, None), (None, padded), (hidden, padded), (added, None)):
        expected, w = theirs(*[torch.tensor(x)] * 3,
                             key_padding_mask=None if padding is None else torch.tensor(padding),
                             attn_mask=None if mask is None else torch.tensor(mask))  # fmt: skip
        y, v = ours(*[Tensor(x)] * 3, None if padding is None else Tensor(padding),
                    attn_mask=None if mask is None else Tensor(mask))  # fmt: skip
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), atol=1e-5)
        np.testing.assert_allclose(v.numpy(), w.detach().numpy(), atol=1e-6)
    causal, _ = ours(*[Tensor(x)] * 3, need_weights=False, is_causal=True)
    expected, _ = theirs(*[torch.tensor(x)] * 3, attn_mask=torch.tensor(hidden))
    np.testing.assert_allclose(causal.numpy(), expected.detach().numpy(), atol=1e-5)


RNG = np.random.default_rng(3)
P = RNG.uniform(0.05, 0.95, (6, 4)).astype(np.float32)
T = RNG.uniform(0.05, 0.95, (6, 4)).astype(np.float32)
A, B, C = (images(6, 4) * k for k in (1, 2, -0.5))
CLASSES = np.array([0, 3, 1, -100, 2, 3])
SIGNS = np.array([1, -1, 1, 1, -1, 1])
WEIGHT = np.array([0.5, 1.0, 2.0, 0.1], np.float32)
LOSSES = [
    ("MSELoss", {}, [A, B]),
    ("L1Loss", {}, [A, B]),
    ("SmoothL1Loss", {"beta": 0.7}, [A, B]),
    ("SmoothL1Loss", {"beta": 0.0}, [A, B]),
    ("HuberLoss", {"delta": 0.7}, [A, B]),
    ("BCELoss", {}, [P, T]),
    ("BCELoss", {"weight": WEIGHT}, [P, T]),
    ("BCEWithLogitsLoss", {}, [A, T]),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": 3 * WEIGHT}, [A, T]),
    ("NLLLoss", {}, [A, CLASSES]),
    ("NLLLoss", {"weight": WEIGHT}, [A, CLASSES]),
    ("NLLLoss", {"ignore_index": 3}, [images(2, 4, 3), np.array([[0, 1, 3], [2, 2, 3]])]),
    ("CrossEntropyLoss", {}, [A, CLASSES]),
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, [A, CLASSES]),
    ("CrossEntropyLoss", {"label_smoothing": 0.2, "weight": WEIGHT}, [A, CLASSES]),
    ("CrossEntropyLoss", {"weight": WEIGHT}, [A, CLASSES]),
    ("CrossEntropyLoss", {}, [images(2, 4, 3), np.array([[0, 1, 3], [2, 2, 3]])]),
    ("CrossEntropyLoss", {}, [A, T / T.sum(1, keepdims=True)]),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.1}, [A, T]),
    ("CrossEntropyLoss", {}, [images(2, 4, 3), np.abs(images(2, 4, 3))]),
    ("KLDivLoss", {}, [np.log(P), T]),
    ("KLDivLoss", {"log_target": True}, [np.log(P), np.log(T)]),
    ("CosineEmbeddingLoss", {"margin": 0.1}, [A, B, SIGNS]),
    ("TripletMarginLoss", {}, [A, B, C]),
    ("TripletMarginLoss", {"margin": 2.0, "p": 3, "swap": True}, [A, B, C]),
    ("MarginRankingLoss", {"margin": 0.3}, [A[:, 0], B[:, 0], SIGNS]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "inputs"), LOSSES, ids=names)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(name, settings, inputs, reduction):
    tensors = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    theirs = getattr(torch.nn, name)(**tensors, reduction=reduction)
    ours = getattr(nn, name)(**settings, reduction=reduction)
    given = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    own = [Tensor(x.copy(), requires_grad=x.dtype.kind == "f") for x in inputs]
    expected, found = theirs(*given), ours(*own)
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=2e-5, atol=2e-6)
    expected.sum().backward()
    found.sum().backward()
    for x, t in zip(own, given, strict=True):
        if t.requires_grad:
            np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=2e-4, atol=2e-5)


def test_batchmean():
    expected = torch.nn.KLDivLoss(reduction="batchmean")(torch.tensor(np.log(P)), torch.tensor(T))
    found = nn.KLDivLoss(reduction="batchmean")(Tensor(np.log(P)), Tensor(T))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy", "cosine_similarity"])
def test_functions_are_there_too(name):
    expected = getattr(torch.nn.functional, name)(torch.tensor(P), torch.tensor(T))
    found = getattr(tg, name)(Tensor(P), Tensor(T))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5)
