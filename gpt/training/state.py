"""All that a training run consists of: the model, its optimizers, and the random streams."""

import dataclasses
import itertools
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt.config import GPTConfig, TrainConfig
from gpt.errors import NonFiniteError, closest, require
from gpt.model import GPT
from gpt.text.tokens import TokenIds
from gpt.training.evaluate import FINAL, evaluate
from tinygrad_lite import Tensor, distributed, jit, optim, precision

OFTEN = 5  # evaluations a minute of a run by the clock, at most: they take time


@dataclass(frozen=True)
class EvalRecord:
    """One evaluation after `step` steps: the loss on config.eval_tokens of the validation split,
    the same each time, and after config.steps on all of it (of more than FINAL, on so many). best:
    on those no earlier was lower."""

    step: int
    val_loss: float
    best: bool


class TrainState:
    """All that a run consists of: after loading it, training goes on with the same bits."""

    def __init__(self, model_config: GPTConfig, config: TrainConfig):
        self.config = config
        self.model = GPT(model_config, seed=config.seed)
        if config.train_only:
            freeze_all_but(self.model, config.train_only)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.groups = groups_of(self.model, config)
        by_muon = {id(p) for p in self.groups.get("muon", ())}
        self.costs = [cost_of(p, id(p) in by_muon) for p in self.parameters]
        self.shares = distributed.Shares(self.parameters, config.reduce, self.costs)
        self.optimizers = build_optimizers(self.groups, self.shares.mine, config)
        self.rng = np.random.default_rng((config.seed, 1))  # draws the batches
        self.step = 0
        self.seconds = 0.0  # that a run by the clock has taken
        self.began: float | None = None  # when it did, by time.monotonic()
        self.evaluated = 0  # the step of the last evaluation
        self.counted_from = 0  # the step from which a run by the clock counts passes over the text
        self.best_loss = math.inf  # on config.eval_tokens of the validation split
        self.best_step = 0
        self.recent: list[float] = []  # the last losses on those, one more than config.patience
        # Recorded at the first step, then replayed
        self.compute_gradients = jit(self.gradients)
        self.update = jit(self.apply)

    def gradients(
        self, inputs: np.ndarray, targets: np.ndarray, weight: float = 1.0
    ) -> tuple[Tensor, ...]:
        """The loss, the norm of its gradient, which is left in the parameters, and the factor that
        clips it; of several ranks, of the rows of all, of which these have so much weight"""
        loss = self.model.loss(inputs, targets)
        loss = self.shares.backward(loss, weight)
        most = self.config.grad_clip or math.inf
        return loss, *optim.clip_factor(self.shares.mine, most, over_ranks=True)

    def apply(self, grad_scale: Tensor) -> None:
        for optimizer, _ in self.optimizers.values():
            optimizer.step(grad_scale)
            optimizer.zero_grad()
        self.shares.gather()

    def evaluation_due(self) -> bool:
        """Whether an EvalRecord comes before the next step"""
        steps, minutes = self.config.steps, self.config.minutes
        often = min(max(round(OFTEN * minutes), 2), 10) if minutes else 10
        interval = self.config.eval_interval or max(1, steps // often)
        if minutes:  # and the number of steps changes
            due = self.step - self.evaluated >= interval and steps - self.step >= interval // 2
        else:
            due = self.step % interval == 0
        return self.step == steps or due

    def overtrained(self) -> bool:
        """Whether the validation loss has risen config.patience times in a row: the model learns
        its text by heart, and the best weights lie behind it. Never without a split that is kept
        for validation"""
        patience = self.config.patience
        rises = [b > a for a, b in itertools.pairwise(self.recent[-patience - 1 :])]
        return self.config.validation > 0 and 0 < patience == len(rises) and all(rises)

    def done(self) -> bool:
        return self.step >= self.config.steps or self.overtrained()

    def evaluate(self, validation: TokenIds) -> EvalRecord:
        """Take note of the loss, and whether it is the best so far."""
        with precision(self.config.precision):
            loss = evaluate(self.model, validation, self.config.eval_tokens, over_ranks=True)
            last = self.step == self.config.steps
            whole = evaluate(self.model, validation, FINAL, over_ranks=True) if last else loss
        if not (math.isfinite(loss) and math.isfinite(whole)):  # before it is saved
            raise NonFiniteError(blame(self, whole))
        self.recent = [*self.recent, loss][-self.config.patience - 1 :]
        self.evaluated = self.step
        best = loss <= self.best_loss
        if best:
            self.best_loss, self.best_step = loss, self.step
        return EvalRecord(self.step, whole, best)

    def arrays(self) -> dict[str, np.ndarray]:
        """The model's and the optimizers' arrays by name. Of several ranks all call it, and the
        first gets those of all."""
        arrays = {f"model.{n}": p.data for n, p in self.model.named_parameters()}
        for name, group in self.groups.items():
            own = self._optimizer_arrays(name)
            steps = distributed.largest(float(own.get("steps", np.asarray(0))))
            arrays[f"{name}.steps"] = np.asarray(int(steps))
            for key, p in keys_of(name, group):
                array = self.shares.to_first(p, own.get(key))
                if array is not None:
                    arrays[f"{name}.{key}"] = array
        return arrays

    def _optimizer_arrays(self, name: str) -> dict[str, np.ndarray]:
        """What this rank's optimizer of that name keeps, by the names of the whole group's"""
        if name not in self.optimizers:
            return {}
        theirs = self.optimizers[name][0].state_dict()
        return {whole: theirs[own] for whole, own in self._names(name).items()}

    def _names(self, name: str) -> dict[str, str]:
        """What this rank's optimizer of that name calls what the whole group's state has"""
        number = {p: i for i, p in enumerate(self.optimizers[name][0].params)}
        return {"steps": "steps"} | {
            key: f"{number[p]}.{key.partition('.')[2]}"
            for key, p in keys_of(name, self.groups[name])
            if p in number
        }

    def progress(self) -> str:
        """Everything else, as JSON"""
        return json.dumps(
            {
                "step": self.step,
                "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
                "best_step": self.best_step,
                "recent": self.recent,
                **({"clock": self.clock()} if self.config.minutes else {}),
                "batches": self.rng.bit_generator.state,
                "dropout": self.model.rng.bit_generator.state,
            }
        )

    def clock(self) -> dict[str, float]:
        """What a run by the clock has come to: seconds, the minutes that it was given, planned
        steps, step of last evaluation, step from which passes over the text count"""
        return {
            "seconds": self.seconds,
            "minutes": self.config.minutes,
            "steps": self.config.steps,
            "evaluated": self.evaluated,
            "counted_from": self.counted_from,
        }

    def load(self, arrays: dict[str, np.ndarray], progress: str) -> None:
        """Take over what `arrays` and `progress` of another state gave."""
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = array
        data = json.loads(distributed.from_first(progress))
        _check_progress(data)
        if self.shares.size == 1:
            self.model.load_state_dict(parts["model"])
            for name, (optimizer, _) in self.optimizers.items():
                optimizer.load_state_dict(parts[name])
        else:
            self._load_shares(parts)
        self.step, self.best_step = data["step"], data["best_step"]
        self.recent = data["recent"]
        self.best_loss = math.inf if data["best_loss"] is None else data["best_loss"]
        if self.config.minutes:
            by_steps = {"seconds": 0.0, "steps": self.config.steps, "evaluated": self.step,
                        "counted_from": self.step}  # fmt: skip
            clock = data.get("clock", by_steps)
            self.seconds, self.evaluated = clock["seconds"], clock["evaluated"]
            self.counted_from = clock.get("counted_from", 0)
            steps = clock["steps"]
            given = clock.get("minutes", self.seconds / 54)  # earlier runs did not keep them
            if self.step >= steps and self.config.minutes > given:
                steps = 2 * self.step  # it was given more time: the clock will tell
                self.counted_from = self.step
            self.config = dataclasses.replace(self.config, steps=max(steps, 1))
        self.rng.bit_generator.state = data["batches"]
        self.model.rng.bit_generator.state = data["dropout"]

    def _load_shares(self, parts: dict[str, dict[str, np.ndarray]]) -> None:
        """Each rank gets from the first what it needs of these, which are empty on the others."""
        if distributed.rank() == 0:
            self.model.load_state_dict(parts["model"])
            with distributed.alone():  # do all of them fit?
                whole = build_optimizers(self.groups, self.parameters, self.config)
            for name, (optimizer, _) in whole.items():
                optimizer.load_state_dict(parts[name])
        for _, p in self.model.named_parameters():
            p.data[...] = distributed.broadcast(p.detach()).data
        for name, group in self.groups.items():
            given = parts.get(name, {})
            steps = distributed.from_first(int(given.get("steps", 0)))
            own = {"steps": np.asarray(steps)}
            for key, p in keys_of(name, group):
                array = self.shares.to_owner(p, given.get(key))
                if array is not None:
                    own[key] = array
            if name in self.optimizers:
                names = self._names(name)
                self.optimizers[name][0].load_state_dict({names[key]: own[key] for key in names})

    def follow_first(self) -> None:
        """What the first of several ranks knows of the run, and has changed by itself"""
        self.recent, best, self.best_step = json.loads(
            distributed.from_first(json.dumps([self.recent, self.best_loss, self.best_step]))
        )
        self.best_loss = float(best)

    @staticmethod
    def step_of(progress: str) -> int:
        """The step that `progress` of a state was saved after"""
        return int(json.loads(progress)["step"])


def _check_progress(data: dict[str, Any]) -> None:
    """ValueError unless the numbers are such as a run has"""
    data.setdefault("recent", [])  # the first runs did not keep them
    whole = all(type(data[n]) is int and data[n] >= 0 for n in ("step", "best_step"))
    losses = [*data["recent"], *([] if data["best_loss"] is None else [data["best_loss"]])]
    clock = data.get("clock")
    if clock is not None:
        kinds: dict[str, Any] = {"seconds": (int, float), "steps": int, "evaluated": int}
        later = {"minutes": (int, float), "counted_from": int}  # the first runs had none
        kinds |= {name: kind for name, kind in later.items() if name in clock}
        for name, kind in kinds.items():
            if (
                isinstance(clock[name], bool)
                or not isinstance(clock[name], kind)
                or (not 0 <= clock[name] < math.inf)
            ):
                raise ValueError(f"{name} {clock[name]!r} of the clock")
    if not whole:
        raise ValueError(f"step {data['step']!r} and best step {data['best_step']!r}")
    if not all(isinstance(loss, int | float) and math.isfinite(loss) for loss in losses):
        raise ValueError(f"losses {str(losses)[:80]}")


def freeze_all_but(model: GPT, name: str) -> None:
    """Only the parameters of one module of the model, such as "head", will be trained."""
    parts = {n: m for n, m in model.named_modules() if n and m.parameters()}
    require(
        name in parts,
        "train: --train-only must name a part of the model that has parameters.",
        f"{name!r}",
        closest(name, parts),
    )
    chosen = {id(p) for p in parts[name].parameters()}
    for p in model.parameters():
        p.requires_grad = id(p) in chosen


NS_STEPS = 4  # of Muon's: a fifth would take 5 % of a step, and the losses are the same


OF_GROUPS: dict[str, type[optim.Optimizer]] = {
    "muon": optim.Muon,
    "matrices": optim.AdamW,
    "vectors": optim.AdamW,
}


def groups_of(model: GPT, config: TrainConfig) -> dict[str, list[Tensor]]:
    """The parameters of each optimizer, by its name. Weight decay acts on matrices, not on biases
    and norms. With Muon, the matrices of the blocks are Muon's and everything else is AdamW's."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    muon = [p for n, p in named if n.startswith("blocks.") and p.ndim == 2]
    if config.optimizer != "muon":
        muon = []
    of_muon = {id(p) for p in muon}
    matrices = [p for _, p in named if p.ndim == 2 and id(p) not in of_muon]
    vectors = [p for _, p in named if p.ndim != 2]
    groups = {"muon": muon, "matrices": matrices, "vectors": vectors}
    return {name: group for name, group in groups.items() if group}


def keys_of(name: str, group: list[Tensor]) -> list[tuple[str, Tensor]]:
    """The names of what an optimizer keeps for each parameter of its group"""
    return [(f"{i}.{n}", p) for i, p in enumerate(group) for n in OF_GROUPS[name].names]


def cost_of(p: Tensor, in_muon: bool) -> float:
    """Of an update, in that of a number by AdamW: a number of Muon's takes about 16 operations for
    each row, or column, of its matrix, of which 100 take as long as AdamW's work for a number"""
    return p.size * (1 + 0.16 * min(p.shape) if in_muon else 1.0)


def build_optimizers(
    groups: dict[str, list[Tensor]], mine: list[Tensor], config: TrainConfig
) -> dict[str, tuple[optim.Optimizer, float]]:
    """Optimizers by name, of those parameters of their groups that are `mine`, each with its
    highest learning rate"""
    betas, decay = (config.beta1, config.beta2), config.weight_decay
    own = {id(p) for p in mine}
    optimizers: dict[str, tuple[optim.Optimizer, float]] = {}
    for name, group in groups.items():
        group = [p for p in group if id(p) in own]
        if group and name == "muon":
            muon = optim.Muon(group, config.muon_lr, config.muon_momentum, decay, NS_STEPS)
            optimizers[name] = muon, config.muon_lr
        elif group:
            group_decay = decay if name == "matrices" else 0.0
            adamw = optim.AdamW(group, config.lr, betas, weight_decay=group_decay)
            optimizers[name] = adamw, config.lr
    return optimizers


def lower(lr: float) -> float:
    """A learning rate to try after one that was too high"""
    return lr / 3 if lr <= 10 * TrainConfig.lr else TrainConfig.lr


def blame(state: TrainState, loss: float, norm: float | None = None) -> str:
    """Name the first tensor that is not finite, and what to do."""
    named = list(state.model.named_parameters())
    bad = [n for n, p in named if not np.isfinite(p.data).all()]
    bad += [
        f"gradient of {n}"
        for n, p in named
        if p.grad is not None and not np.isfinite(p.grad.data).all()
    ]
    first = bad[0] if bad else "the logits"
    lr = max((optimizer.lr for optimizer, _ in state.optimizers.values()), default=0.0)
    gradient = "" if norm is None else f" and a gradient of norm {norm:.3g}"
    return (
        "train: the loss must be finite at every step.\n"
        f"  got loss {loss}{gradient} after {state.step} steps, at a learning rate of {lr:.2g};"
        f" the first tensor that is not finite: {first}\n"
        f"  try --lr {lower(state.config.lr):.1g}; weights that are not finite were not saved"
    )
