"""Signs that a run goes wrong, each told once."""

from gpt.config import TrainConfig
from gpt.training.loop import StepRecord
from gpt.training.state import EvalRecord, lower

KEPT = 0.95  # share of the smoothed loss that a step leaves
PATIENT = 40  # steps before a loss is judged
FAR = 1.0  # nats above a uniform guess
WORSE = 0.02  # nats above the best validation loss


class Signs:
    """Looks at the records of a run; `uniform`: the loss of a uniform guess."""

    def __init__(self, uniform: float, config: TrainConfig):
        self.uniform, self.config = uniform, config
        self.smooth: float | None = None
        self.best: EvalRecord | None = None
        self.smooth_at_best = 0.0
        self.told: set[str] = set()

    def step(self, record: StepRecord) -> str | None:
        """What is to be said after a step"""
        before = record.loss if self.smooth is None else self.smooth
        self.smooth = KEPT * before + (1 - KEPT) * record.loss
        if record.step < PATIENT or self.smooth < self.uniform + FAR:
            return None
        return self._once(
            "diverges",
            f"the loss, about {self.smooth:.2f} after step {record.step}, is far above that of a"
            f" uniform guess, {self.uniform:.2f}; the gradient has a norm of"
            f" {record.grad_norm:.3g}\n  try --lr {lower(self.config.lr):.1g}",
        )

    def evaluation(self, record: EvalRecord) -> str | None:
        """What is to be said after an evaluation"""
        if self.best is None or record.val_loss <= self.best.val_loss:
            self.best, self.smooth_at_best = record, self.smooth or 0.0
            return None
        rises = record.val_loss > self.best.val_loss + WORSE
        if not rises or self.smooth is None or self.smooth >= self.smooth_at_best:
            return None
        return self._once(
            "by heart",
            "the validation loss rises while the training loss falls: the text is learned by"
            f" heart; the best weights, after step {self.best.step}, are kept\n"
            "  try more text, a smaller model, --dropout 0.2, or fewer --steps",
        )

    def _once(self, name: str, message: str) -> str | None:
        if name in self.told:
            return None
        self.told.add(name)
        return message
