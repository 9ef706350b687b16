"""Losses, by PyTorch's names. Each compares predictions with targets, element by element or row by
row; reduction is "mean", "sum", or "none" for all of them.

Classes stand on the last axis, here; nn.CrossEntropyLoss and nn.NLLLoss have them where PyTorch's
have.
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.functional.activations import logsigmoid
from tinygrad_lite.fused.activations import softplus
from tinygrad_lite.fused.cross_entropy import _cross_entropy
from tinygrad_lite.fused.linear import linear
from tinygrad_lite.fused.softmax import log_softmax
from tinygrad_lite.kernels.arrays import as_array
from tinygrad_lite.kernels.watch import procedure
from tinygrad_lite.ops.comparisons import lt, ne
from tinygrad_lite.ops.elementwise import abs, floating, maximum, where
from tinygrad_lite.ops.indexing import gather, getitem
from tinygrad_lite.ops.transcendental import exp, log, xlogy
from tinygrad_lite.tensor import Tensor, as_tensor, elementwise

REDUCTIONS = ("mean", "sum", "none")


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of losses, or all of them"""
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"loss: the reduction is one of {', '.join(REDUCTIONS)}.\n"
            f"  got {reduction!r}\n  try 'mean'"
        )
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _pair(name: str, x: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Both as Tensors; ValueError unless they have one shape: (N, 1) and (N,), broadcast, would be
    compared each with each."""
    x, target = (t if isinstance(t, Tensor) else Tensor(t) for t in (x, target))
    if x.shape != target.shape:
        raise ValueError(
            f"{name}: predictions and targets have one shape.\n"
            f"  got {x.shape} and {target.shape}\n  try target.reshape{x.shape}, or expand"
        )
    return x, target


def weighted(losses: Tensor, weight: Any) -> Tensor:
    """Losses times weights, if there are any; ValueError unless these can be expanded to them"""
    if weight is None:
        return losses
    shape = np.shape(weight)
    if np.broadcast_shapes(losses.shape, shape) != losses.shape:
        raise ValueError(
            "loss: there is a weight for each loss, or for each place of its last axes.\n"
            f"  got weights {shape} for {losses.shape}\n  try weight.reshape{losses.shape}"
        )
    return losses * weight


def of_classes(weight: Any, classes: int) -> Any:
    """The weights of classes; ValueError unless there is one for each"""
    if np.shape(weight) != (classes,):
        raise ValueError(
            "loss: there is one weight for each class.\n"
            f"  got weights {np.shape(weight)} for {classes} classes\n  try shape ({classes},)"
        )
    return weight


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> Tensor:
    """(x - target)^2

    >>> tg.mse_loss(Tensor([1.0, 2.0]), Tensor([0.0, 0.0])).tolist()
    2.5
    """
    x, target = _pair("mse_loss", x, target)
    return reduced((x - target).square(), reduction)


def l1_loss(x: Any, target: Any, reduction: str = "mean") -> Tensor:
    """|x - target|

    >>> tg.l1_loss(Tensor([1.0, 2.0]), Tensor([0.0, 0.0])).tolist()
    1.5
    """
    x, target = _pair("l1_loss", x, target)
    return reduced(abs(x - target), reduction)


def smooth_l1_loss(x: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where d = |x - target| < beta, else d - beta / 2  (Girshick 2015)

    >>> tg.smooth_l1_loss(Tensor([0.5, 3.0]), Tensor([0.0, 0.0])).tolist()
    1.3125
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta is not negative.\n  got {beta}\n  try 1.0")
    if beta == 0:
        return l1_loss(x, target, reduction)
    return huber_loss(x, target, reduction, beta) / beta


def huber_loss(x: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d^2 / 2 where d = |x - target| < delta, else delta (d - delta / 2)  (Huber 1964)

    >>> tg.huber_loss(Tensor([0.5, 3.0]), Tensor([0.0, 0.0])).tolist()
    1.3125
    """
    if delta <= 0:
        raise ValueError(f"huber_loss: delta is positive.\n  got {delta}\n  try 1.0")
    x, target = _pair("huber_loss", x, target)
    step = x - target
    d = abs(step)
    return reduced(where(lt(d, delta), step * step * 0.5, (d - 0.5 * delta) * delta), reduction)


@procedure
def _check_probabilities(x):
    if x.size and not (np.min(x) >= 0 and np.max(x) <= 1):
        raise ValueError(
            "binary_cross_entropy: probabilities lie between 0 and 1.\n"
            f"  got {np.min(x)} to {np.max(x)}\n"
            "  try x.sigmoid(), or binary_cross_entropy_with_logits"
        )


@elementwise
def _binary_cross_entropy(x, t):
    x = floating(x)
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)

    def vjp(g):
        return (
            lambda: g * ((x - t) / np.maximum((1 - x) * x, 1e-12)),
            lambda: g * (no - yes),
        )

    return -(t * yes + (1 - t) * no), vjp


def binary_cross_entropy(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """-(target log x + (1 - target) log(1 - x)) of probabilities x; logarithms are at least -100

    >>> tg.binary_cross_entropy(Tensor([0.5, 0.9]), Tensor([0.0, 1.0])).tolist()
    0.3993
    """
    x, target = _pair("binary_cross_entropy", x, target)
    _check_probabilities(x.data)
    return reduced(weighted(_binary_cross_entropy(x, target), weight), reduction)


def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """The same of logits x, without overflow; pos_weight multiplies the part of what is true

    >>> tg.binary_cross_entropy_with_logits(Tensor([0.0, 2.0]), Tensor([0.0, 1.0])).tolist()
    0.41
    """
    x, target = _pair("binary_cross_entropy_with_logits", x, target)
    if pos_weight is None:
        losses = softplus(x) - x * target
    else:
        factor = weighted(target, pos_weight - 1) + 1
        losses = x * (1 - target) - factor * logsigmoid(x)
    return reduced(weighted(losses, weight), reduction)


def cross_entropy(
    logits: Any, targets: Any, ignore_index: int = -100, weight: Any = None,
    reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """-log softmax(logits)[target]: logits (..., V), targets (...) integers, in nats; or targets
    (..., V), a probability for each class.

    ignore_index      rows with this target do not count
    weight            (V,) of classes; a mean is divided by the weights of its targets
    label_smoothing   share of each target that is spread over all classes alike (Szegedy 2015)

    >>> tg.cross_entropy(Tensor([[2.0, 0.0], [0.0, 0.0]]), Tensor([0, 1])).tolist()
    0.41
    """
    logits = as_tensor(logits)
    targets = targets if isinstance(targets, Tensor) else Tensor(as_array(targets))
    if weight is None and reduction == "mean" and not label_smoothing and targets.dtype.kind != "f":
        return _cross_entropy(logits, targets, ignore_index)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            "cross_entropy: the share that is spread lies between 0 and 1.\n"
            f"  got label_smoothing={label_smoothing}\n  try 0.1"
        )
    log_p, classes = log_softmax(logits), logits.shape[-1]
    if targets.dtype.kind == "f":
        if targets.shape != logits.shape:
            raise ValueError(
                "cross_entropy: there is one probability for each logit.\n"
                f"  got logits {logits.shape} and targets {targets.shape}\n  try integer targets"
            )
        share = targets * (1 - label_smoothing) + label_smoothing / classes
        terms = share * log_p
        terms = terms if weight is None else terms * of_classes(weight, classes)
        return reduced(-terms.sum(-1), reduction)
    hard = nll_loss(log_p, targets, weight, ignore_index, reduction)
    if not label_smoothing:
        return hard
    counts = ne(targets, ignore_index)
    spread = -(log_p if weight is None else log_p * of_classes(weight, classes)).sum(-1)
    spread = where(counts, spread, 0)
    if reduction == "mean":
        spread = spread.sum() / _weights(targets, weight, ignore_index, log_p).sum()
    else:
        spread = reduced(spread, reduction)
    return hard * (1 - label_smoothing) + spread * (label_smoothing / classes)


def linear_cross_entropy(
    x: Any, linear_weight: Tensor, targets: Any, linear_bias: Any = None, **settings: Any
) -> Tensor:
    """cross_entropy, with its settings, of linear(x, linear_weight, linear_bias)

    >>> tg.linear_cross_entropy(tg.ones(1, 2), tg.zeros(3, 2), Tensor([1])).tolist()
    1.0986
    """
    return cross_entropy(linear(x, linear_weight, linear_bias), targets, **settings)


def nll_loss(
    log_probabilities: Any, targets: Any, weight: Any = None, ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-log_probabilities[target]: (..., V) with targets (...) integers; see cross_entropy

    >>> tg.nll_loss(Tensor([[-1.0, -2.0]]), Tensor([1])).tolist()
    2.0
    """
    x = log_probabilities
    x = as_tensor(x)
    targets = targets if isinstance(targets, Tensor) else Tensor(as_array(targets))
    if targets.shape != x.shape[:-1] or targets.dtype.kind not in "iu":
        raise ValueError(
            "nll_loss: there is one integer target for each row.\n"
            f"  got {x.shape} and targets {targets.shape} of dtype {targets.dtype}\n"
            f"  try integer targets of shape {x.shape[:-1]}"
        )
    counts = ne(targets, ignore_index)
    places = where(counts, targets, 0).astype(np.int64)
    weights = _weights(targets, weight, ignore_index, x)
    chosen = gather(x, -1, places.unsqueeze(-1)).squeeze(-1)
    losses = where(counts, -chosen * weights, 0)
    return losses.sum() / weights.sum() if reduction == "mean" else reduced(losses, reduction)


def _weights(targets: Tensor, weight: Any, ignore_index: int, like: Tensor) -> Tensor:
    """Of each target: that of its class, 0 for those that do not count"""
    counts = ne(targets, ignore_index)
    if weight is None:
        return counts.astype(like.dtype)
    weight = as_tensor(of_classes(weight, like.shape[-1]))
    return where(counts, getitem(weight, where(counts, targets, 0).astype(np.int64)), 0)


def kl_div(x: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target (log target - x) of log-probabilities x; with log_target the targets are logarithms.
    reduction also "batchmean": the sum divided by the length of the first axis.

    >>> tg.kl_div(Tensor([[0.5, 0.5]]).log(), Tensor([[0.25, 0.75]]),
    ... reduction="batchmean").tolist()
    0.1308
    """
    x, target = _pair("kl_div", x, target)
    entropy = exp(target) * target if log_target else xlogy(target, target)
    losses = entropy - (exp(target) if log_target else target) * x
    if reduction == "batchmean":
        return losses.sum() / x.shape[0]
    return reduced(losses, reduction)


def poisson_nll_loss(
    x: Tensor, target: Tensor, log_input: bool = True, full: bool = False, eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """exp(x) - target x, or, where x is no logarithm, x - target log(x + eps); full adds
    Stirling's approximation of log(target!) where the target is above 1

    >>> tg.poisson_nll_loss(Tensor([0.0]), Tensor([2.0])).tolist()
    1.0
    """
    x, target = _pair("poisson_nll_loss", x, target)
    losses = exp(x) - target * x if log_input else x - target * log(x + eps)
    if full:
        n = where(target > 1, target, 1)
        stirling = n * log(n) - n + log(n * (2 * math.pi)) * 0.5
        losses = losses + where(target > 1, stirling, 0)
    return reduced(losses, reduction)


@procedure
def _check_variance(var):
    if var.size and np.min(var) < 0:
        raise ValueError(
            "gaussian_nll_loss: a variance is not negative.\n"
            f"  got {np.min(var)}\n  try log_var.exp()"
        )


def gaussian_nll_loss(
    x: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """(log var + (x - target)^2 / var) / 2, var being at least eps; full adds the constant

    >>> tg.gaussian_nll_loss(Tensor([1.0]), Tensor([0.0]), Tensor([1.0])).tolist()
    0.5
    """
    x, target = _pair("gaussian_nll_loss", x, target)
    var = as_tensor(var)
    var = var.unsqueeze(-1) if x.ndim and var.shape == x.shape[:-1] else var
    others = [n for n, m in zip(var.shape, x.shape, strict=False) if n != m]
    if var.ndim and (var.ndim != x.ndim or others not in ([], [1])):
        raise ValueError(
            "gaussian_nll_loss: there is a variance for each prediction, each row, or all.\n"
            f"  got {var.shape} for {x.shape}\n  try var.reshape{x.shape}"
        )
    _check_variance(var.data)
    kept = var + maximum(eps - var, 0).detach()
    losses = (log(kept) + (x - target).square() / kept) * 0.5
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)
