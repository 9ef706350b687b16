"""Losses as modules, with PyTorch's names and settings; classes stand on the second axis."""

from typing import Any

from tinygrad_lite.functional import losses as f
from tinygrad_lite.functional import margins as m
from tinygrad_lite.kernels.arrays import as_array
from tinygrad_lite.nn.module import Buffer, Module
from tinygrad_lite.tensor import Tensor, as_tensor


class _Loss(Module):
    """A loss function with fixed settings; a weight among them is kept as a buffer."""

    function: Any = None

    def __init__(self, **settings: Any):
        self._names = tuple(settings)
        f.reduced(Tensor(0.0), "sum" if settings["reduction"] == "batchmean" else
                  settings["reduction"])  # fmt: skip
        for name, value in settings.items():
            setattr(self, name, Buffer(value) if "weight" in name and value is not None else value)

    def forward(self, *args: Any) -> Tensor:
        return type(self).function(*args, **{name: getattr(self, name) for name in self._names})


class MSELoss(_Loss):
    """See tg.mse_loss"""

    function = staticmethod(f.mse_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)


class L1Loss(_Loss):
    """See tg.l1_loss"""

    function = staticmethod(f.l1_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)


class SmoothL1Loss(_Loss):
    """See tg.smooth_l1_loss"""

    function = staticmethod(f.smooth_l1_loss)

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction=reduction, beta=beta)


class HuberLoss(_Loss):
    """See tg.huber_loss"""

    function = staticmethod(f.huber_loss)

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction=reduction, delta=delta)


class BCELoss(_Loss):
    """See tg.binary_cross_entropy"""

    function = staticmethod(f.binary_cross_entropy)

    def __init__(self, weight: Any = None, reduction: str = "mean"):
        super().__init__(weight=weight, reduction=reduction)


class BCEWithLogitsLoss(_Loss):
    """See tg.binary_cross_entropy_with_logits"""

    function = staticmethod(f.binary_cross_entropy_with_logits)

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None):
        super().__init__(weight=weight, reduction=reduction, pos_weight=pos_weight)


class _ClassLoss(_Loss):
    def forward(self, x: Any, target: Any) -> Tensor:
        x = as_tensor(x)
        target = target if isinstance(target, Tensor) else Tensor(as_array(target))
        if x.ndim > 2:  # (B, C, ...)
            x = x.movedim(1, -1)
            if target.ndim == x.ndim:  # probabilities
                target = target.movedim(1, -1)
        return super().forward(x, target)


class NLLLoss(_ClassLoss):
    """Log-probabilities (B, C) or (B, C, ...) with targets (B) or (B, ...); see tg.nll_loss"""

    function = staticmethod(f.nll_loss)

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)


class CrossEntropyLoss(_ClassLoss):
    """Logits (B, C) or (B, C, ...) with targets (B) or (B, ...); see tg.cross_entropy"""

    function = staticmethod(f.cross_entropy)

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):  # fmt: skip
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction,
                         label_smoothing=label_smoothing)  # fmt: skip


class KLDivLoss(_Loss):
    """See tg.kl_div"""

    function = staticmethod(f.kl_div)

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction=reduction, log_target=log_target)


class CosineEmbeddingLoss(_Loss):
    """See tg.cosine_embedding_loss"""

    function = staticmethod(m.cosine_embedding_loss)

    def __init__(self, margin: float = 0.0, reduction: str = "mean"):
        super().__init__(margin=margin, reduction=reduction)


class TripletMarginLoss(_Loss):
    """See tg.triplet_margin_loss"""

    function = staticmethod(m.triplet_margin_loss)

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
        reduction: str = "mean",
    ):  # fmt: skip
        super().__init__(margin=margin, p=p, eps=eps, swap=swap, reduction=reduction)


class MarginRankingLoss(_Loss):
    """See tg.margin_ranking_loss"""

    function = staticmethod(m.margin_ranking_loss)

    def __init__(self, margin: float = 0.0, reduction: str = "mean"):
        super().__init__(margin=margin, reduction=reduction)


class CosineSimilarity(Module):
    """See tg.cosine_similarity"""

    def __init__(self, axis: int = 1, eps: float = 1e-8):
        self.axis, self.eps = axis, eps

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return m.cosine_similarity(x, y, self.axis, self.eps)
