"""The training loop. It yields a record for each step and prints nothing; its caller owns it.

state = TrainState(model_config, train_config)
for record in train(state, training_tokens, validation_tokens):
    ...
"""

import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpt.config import GPTConfig, TrainConfig
from gpt.errors import NonFiniteError, closest, require
from gpt.evaluate import evaluate
from gpt.model import GPT
from tinygrad_lite import Tensor, jit, optim, precision

# Evaluations in a row, each above the one before, after which a run ends: it learns its text by
# heart, and the best weights lie behind it.
RISES = 3


@dataclass(frozen=True)
class StepRecord:
    """One step: mean loss of its batch in nats, AdamW's learning rate, gradient norm before
    clipping, and how long it took."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    ms: float
    tokens_per_second: float


@dataclass(frozen=True)
class EvalRecord:
    """One evaluation after `step` steps: the loss on config.eval_tokens of the validation split,
    the same each time, and after config.steps on all of it. best: on those no earlier was lower."""

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
        self.optimizers = build_optimizers(self.model, config)
        self.rng = np.random.default_rng((config.seed, 1))  # draws the batches
        self.step = 0
        self.best_loss = math.inf  # on config.eval_tokens of the validation split
        self.best_step = 0
        self.recent: list[float] = []  # the last losses on those, RISES + 1 at most
        # Recorded at the first step, then replayed
        self.compute_gradients = jit(self.gradients)
        self.update = jit(self.apply)

    def gradients(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[Tensor, ...]:
        """The loss, the norm of its gradient, which is left in the parameters, and the factor that
        clips it"""
        loss = self.model.loss(inputs, targets)
        loss.backward()
        return loss, *optim.clip_factor(self.parameters, self.config.grad_clip or math.inf)

    def apply(self, grad_scale: Tensor) -> None:
        for optimizer, _ in self.optimizers.values():
            optimizer.step(grad_scale)
            optimizer.zero_grad()

    def evaluation_due(self) -> bool:
        """Whether an EvalRecord comes before the next step"""
        interval = self.config.eval_interval or max(1, self.config.steps // 10)
        return self.step == self.config.steps or self.step % interval == 0

    def overtrained(self) -> bool:
        """Whether the validation loss has risen RISES times in a row; never without a split that
        is kept for validation"""
        rises = [b > a for a, b in itertools.pairwise(self.recent)]
        return self.config.validation > 0 and len(rises) == RISES and all(rises)

    def done(self) -> bool:
        return self.step >= self.config.steps or self.overtrained()

    def evaluate(self, validation: np.ndarray) -> EvalRecord:
        """Take note of the loss, and whether it is the best so far."""
        with precision(self.config.precision):
            loss = evaluate(self.model, validation, self.config.eval_tokens)
            last = self.step == self.config.steps
            whole = evaluate(self.model, validation) if last else loss
        if not (math.isfinite(loss) and math.isfinite(whole)):  # before it is saved
            raise NonFiniteError(_blame(self, whole))
        self.recent = [*self.recent, loss][-RISES - 1 :]
        best = loss <= self.best_loss
        if best:
            self.best_loss, self.best_step = loss, self.step
        return EvalRecord(self.step, whole, best)

    def arrays(self) -> dict[str, np.ndarray]:
        """The model's and the optimizers' arrays by name"""
        arrays = {f"model.{n}": p.data for n, p in self.model.named_parameters()}
        for name, (optimizer, _) in self.optimizers.items():
            arrays |= {f"{name}.{n}": a for n, a in optimizer.state_dict().items()}
        return arrays

    def progress(self) -> str:
        """Everything else, as JSON"""
        return json.dumps(
            {
                "step": self.step,
                "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
                "best_step": self.best_step,
                "recent": self.recent,
                "batches": self.rng.bit_generator.state,
                "dropout": self.model.rng.bit_generator.state,
            }
        )

    def load(self, arrays: dict[str, np.ndarray], progress: str) -> None:
        """Take over what `arrays` and `progress` of another state gave."""
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = array
        self.model.load_state_dict(parts["model"])
        for name, (optimizer, _) in self.optimizers.items():
            optimizer.load_state_dict(parts[name])
        data = json.loads(progress)
        self.step, self.best_step = data["step"], data["best_step"]
        self.recent = data["recent"]
        self.best_loss = math.inf if data["best_loss"] is None else data["best_loss"]
        self.rng.bit_generator.state = data["batches"]
        self.model.rng.bit_generator.state = data["dropout"]


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


def build_optimizers(model: GPT, config: TrainConfig) -> dict[str, tuple[optim.Optimizer, float]]:
    """Optimizers by name, each with its highest learning rate.

    Weight decay acts on matrices, not on biases and norms. With Muon, the matrices of the blocks
    are Muon's and everything else is AdamW's.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    muon = [p for n, p in named if n.startswith("blocks.") and p.ndim == 2]
    if config.optimizer != "muon":
        muon = []
    of_muon = {id(p) for p in muon}
    matrices = [p for _, p in named if p.ndim == 2 and id(p) not in of_muon]
    vectors = [p for _, p in named if p.ndim != 2]
    betas, decay = (config.beta1, config.beta2), config.weight_decay
    optimizers: dict[str, tuple[optim.Optimizer, float]] = {}
    if muon:
        own = optim.Muon(muon, config.muon_lr, config.muon_momentum, decay)
        optimizers["muon"] = (own, config.muon_lr)
    for name, group, group_decay in (("matrices", matrices, decay), ("vectors", vectors, 0.0)):
        if group:
            adamw = optim.AdamW(group, config.lr, betas, weight_decay=group_decay)
            optimizers[name] = (adamw, config.lr)
    return optimizers


def schedule(config: TrainConfig):
    """Factor of the learning rates at step 0, 1, ..."""
    warmup = min(config.warmup, config.steps // 2)
    if config.schedule == "cosine":
        return optim.warmup_cosine(config.steps, warmup, config.min_lr)
    return optim.warmup_plateau_decay(config.steps, warmup, config.plateau, config.min_lr)


def batch(
    tokens: np.ndarray, config: TrainConfig, block_size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets (batch_size, block_size): random windows, or all of them in their order;
    the targets one token later"""
    count = len(tokens) - block_size
    random = config.batches == "random"
    starts = rng.integers(0, count, config.batch_size) if random else np.arange(count)
    window = starts[:, None] + np.arange(block_size)
    return tokens[window], tokens[window + 1]


def check_lengths(training: np.ndarray, validation: np.ndarray, block_size: int) -> None:
    """ValueError unless a window fits into the training split and something is left to predict."""
    require(
        len(training) > block_size and len(validation) > 0,
        "train: the training split must be longer than a block, and a tenth of the text is"
        " kept for validation.",
        f"{len(training)} + {len(validation)} tokens with block_size={block_size}",
        f"--block-size {max(1, len(training) // 4)}, or a longer text",
    )


def train(
    state: TrainState, training: np.ndarray, validation: np.ndarray
) -> Iterator[StepRecord | EvalRecord]:
    """Train until config.steps steps are done, or until the validation loss only rises; an
    EvalRecord comes at every eval_interval steps and after the last. `state` is as it should be
    saved after each record but a StepRecord that an EvalRecord will follow.

    training, validation   token ids (n,); the first of validation is context, and not predicted
    """
    config, model = state.config, state.model
    check_lengths(training, validation[1:], model.config.block_size)
    factor = schedule(config)
    model.train()
    while not state.done():
        start = time.perf_counter()
        for optimizer, highest in state.optimizers.values():
            optimizer.lr = highest * factor(state.step)
        loss, norm = train_step(state, training)
        state.step += 1
        seconds = time.perf_counter() - start
        windows = len(training) - model.config.block_size
        windows = config.batch_size if config.batches == "random" else windows
        tokens = windows * model.config.block_size
        lr = config.lr * factor(state.step - 1)
        yield StepRecord(state.step, loss, lr, norm, 1000 * seconds, tokens / seconds)
        if state.evaluation_due():
            yield state.evaluate(validation)


def train_step(state: TrainState, training: np.ndarray) -> tuple[float, float]:
    """One batch: forward, backward, clip, update. Returns the loss and the gradient's norm."""
    size = state.model.config.block_size
    inputs, targets = batch(training, state.config, size, state.rng)
    state.model.zero_grad()  # a step that failed has left its gradients
    with precision(state.config.precision):
        *results, grad_scale = state.compute_gradients(inputs, targets)
        loss, norm = map(float, results)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise NonFiniteError(_blame(state, loss))
        state.update(grad_scale)
    return loss, norm


def _blame(state: TrainState, loss: float) -> str:
    """Name the first tensor that is not finite."""
    named = list(state.model.named_parameters())
    bad = [n for n, p in named if not np.isfinite(p.data).all()]
    bad += [
        f"gradient of {n}"
        for n, p in named
        if p.grad is not None and not np.isfinite(p.grad.data).all()
    ]
    first = bad[0] if bad else "the logits"
    return (
        "train: the loss must be finite at every step.\n"
        f"  got loss {loss} after {state.step} steps;"
        f" the first tensor that is not finite: {first}\n"
        "  try a smaller --lr; weights that are not finite were not saved"
    )
