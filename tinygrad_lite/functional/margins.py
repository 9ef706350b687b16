"""Losses of distances and margins, by PyTorch's names; see losses.py."""

from collections.abc import Callable
from typing import Any

from tinygrad_lite.functional.losses import _pair, of_classes, reduced, weighted
from tinygrad_lite.fused.activations import softplus
from tinygrad_lite.kernels.arrays import as_array
from tinygrad_lite.ops.axes import takes_axis
from tinygrad_lite.ops.comparisons import eq, ne
from tinygrad_lite.ops.elementwise import clip, maximum, minimum, where
from tinygrad_lite.ops.indexing import gather, index_select
from tinygrad_lite.ops.movement import broadcast_tensors
from tinygrad_lite.ops.reductions import norm
from tinygrad_lite.tensor import Tensor, as_tensor


@takes_axis
def cosine_similarity(x: Any, y: Any, axis: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between x and y along an axis; norms are at least eps

    >>> tg.cosine_similarity(Tensor([[1.0, 0.0]]), Tensor([[1.0, 1.0]])).tolist()
    [0.7071]
    """
    x, y = broadcast_tensors(x, y)
    x, y = (t / maximum(norm(t, 2, axis, True), eps) for t in (x, y))
    return (x * y).sum(axis)


def pairwise_distance(
    x: Tensor, y: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x - y + eps along the last axis

    >>> tg.pairwise_distance(Tensor([[0.0, 0.0]]), Tensor([[3.0, 4.0]])).tolist()
    [5.0]
    """
    return norm(x - y + eps, p, -1, keepdim)


def cosine_embedding_loss(
    x: Tensor, y: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cos(x, y) where the target is 1, max(0, cos(x, y) - margin) where it is -1

    >>> tg.cosine_embedding_loss(Tensor([[1.0, 0.0]]), Tensor([[0.0, 1.0]]), Tensor([1])).tolist()
    1.0
    """
    cosine, target = _pair("cosine_embedding_loss", cosine_similarity(x, y, -1), target)
    return reduced(where(eq(target, 1), 1 - cosine, maximum(cosine - margin, 0)), reduction)


def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0,
    eps: float = 1e-6, swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, distance to the positive - distance to the negative + margin)  (Balntas 2016); with
    swap, the negative is as near as it is to the anchor or to the positive

    >>> tg.triplet_margin_loss(Tensor([[0.0]]), Tensor([[1.0]]), Tensor([[1.5]])).tolist()
    0.5
    """
    anchor, positive = _pair("triplet_margin_loss", anchor, positive)
    anchor, negative = _pair("triplet_margin_loss", anchor, negative)
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(clip(near - far + margin, min=0.0), reduction)


def margin_ranking_loss(
    x: Tensor, y: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """max(0, -target (x - y) + margin)

    >>> tg.margin_ranking_loss(Tensor([1.0]), Tensor([2.0]), Tensor([1.0])).tolist()
    1.0
    """
    x, y = _pair("margin_ranking_loss", x, y)
    x, target = _pair("margin_ranking_loss", x, target)
    return reduced(clip(-target * (x - y) + margin, min=0.0), reduction)


def hinge_embedding_loss(
    x: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1

    >>> tg.hinge_embedding_loss(Tensor([0.5, 0.5]), Tensor([1.0, -1.0])).tolist()
    0.5
    """
    x, target = _pair("hinge_embedding_loss", x, target)
    apart = where(ne(target, 1), clip(margin - x, min=0.0), 0)
    return reduced(apart + where(ne(target, -1), x, 0), reduction)


def soft_margin_loss(x: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target x))

    >>> tg.soft_margin_loss(Tensor([0.0]), Tensor([1.0])).tolist()
    0.6931
    """
    x, target = _pair("soft_margin_loss", x, target)
    return reduced(softplus(-target * x), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, distance_function: Callable | None = None,
    margin: float = 1.0, swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), with a distance of one's own;
    swap: of the distances to the negative, the smaller of the anchor's and the positive's

    >>> tg.triplet_margin_with_distance_loss(Tensor([[0.0]]), Tensor([[1.0]]),
    ... Tensor([[1.5]])).tolist()
    0.5
    """
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(clip(near - far + margin, min=0.0), reduction)


def multi_margin_loss(
    x: Tensor, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """x (N, C), target (N,) -> the mean over classes i but the target t of
    max(0, margin - x[t] + x[i])^p, times the weight (C,) of t

    >>> tg.multi_margin_loss(Tensor([[0.1, 0.8]]), Tensor([1])).tolist()
    0.15
    """
    target = target if isinstance(target, Tensor) else Tensor(as_array(target))
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p is 1 or 2.\n  got {p}\n  try 1")
    rows = x.reshape(1, -1) if x.ndim < 2 else x
    if target.shape not in ([(), (1,)] if x.ndim < 2 else [x.shape[:1]]):
        raise ValueError(
            "multi_margin_loss: x is (N, C), and there is one target for each row.\n"
            f"  got {x.shape} and targets {target.shape}\n  try targets {x.shape[:-1]}"
        )
    places = target.reshape(-1, 1)
    losses = clip(margin - gather(rows, 1, places) + rows, min=0.0)
    losses = losses if p == 1 else losses * losses
    if weight is not None:
        weight = as_tensor(of_classes(weight, rows.shape[1]))
        losses = losses * index_select(weight, 0, places.reshape(-1)).unsqueeze(1)
    others = places.squeeze(1).one_hot(rows.shape[1]) == 0
    total = where(others, losses, 0).sum(1) / rows.shape[1]
    return reduced(total if x.ndim > 1 else total.reshape(target.shape), reduction)


def multilabel_margin_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """x (N, C), target (N, C): the classes of each row, then -1 -> the sum, over these classes t
    and all others i, of max(0, 1 - x[t] + x[i]), divided by C

    >>> tg.multilabel_margin_loss(Tensor([[0.1, 0.8]]), Tensor([[1, -1]])).tolist()
    0.15
    """
    target = target if isinstance(target, Tensor) else Tensor(as_array(target))
    if target.shape != x.shape:
        raise ValueError(
            "multilabel_margin_loss: x and its targets have one shape, (N, C) or (C,).\n"
            f"  got {x.shape} and {target.shape}\n  try to fill rows of targets with -1"
        )
    rows, places = (t.reshape(1, -1) if t.ndim < 2 else t for t in (x, target))
    classes = rows.shape[1]
    listed = (ne(places, -1).long().cumprod(1)) == 1  # those before the first -1
    kept = where(listed, places, 0)
    is_target = ((kept.one_hot(classes) == 1) & listed.unsqueeze(2)).any(1)
    wrong = clip(1 - gather(rows, 1, kept).unsqueeze(2) + rows.unsqueeze(1), min=0.0)
    counts = listed.unsqueeze(2) & ~is_target.unsqueeze(1)
    total = where(counts, wrong, 0).sum((1, 2)) / classes
    return reduced(total if x.ndim > 1 else total.reshape(()), reduction)


def multilabel_soft_margin_loss(
    x: Tensor, target: Tensor, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """x and target (..., C): the mean over classes of log(1 + exp(-x)) where the target is 1, and
    log(1 + exp(x)) where it is 0

    >>> tg.multilabel_soft_margin_loss(Tensor([[0.0, 0.0]]), Tensor([[0.0, 1.0]])).tolist()
    0.6931
    """
    x, target = _pair("multilabel_soft_margin_loss", x, target)
    losses = target * softplus(-x) + (1 - target) * softplus(x)
    return reduced(weighted(losses, weight).mean(-1), reduction)
