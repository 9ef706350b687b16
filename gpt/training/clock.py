"""A run by the clock: its number of steps follows from the time that it is given.

Learning rates follow the share of the steps that are done. Here the number of all steps is fitted,
again and again, to the time that is left and to the pace of the last steps, evaluations and saves
included: whatever else the machine does, the run ends when it should, at the end of its schedule.
With a small text that is before its time.
"""

import dataclasses
import math
import time

from gpt.config import MOST, TrainConfig
from gpt.training.evaluate import BATCH, FINAL, windows
from gpt.training.state import TrainState
from tinygrad_lite import distributed

TAIL = 0.7  # seconds after the last evaluation: the best weights, a sample, the report
SHARE = 0.1  # of the run: how far back the pace looks
FEW = 20  # steps
PASSES = 40  # over the text, at most: more teach it by heart
LEAST_STEPS = 300  # steps, however small the text is
FITS = 200  # times in a run that the steps are fitted


def most_steps(config: TrainConfig, training: int, in_step: int) -> int:
    """Steps of PASSES over a text of so many tokens, of which a step reads some"""
    if config.validation == 0:
        return MOST  # the text is to be learned by heart
    return min(max(LEAST_STEPS, round(PASSES * training / in_step)), MOST)


def limit(state: TrainState, training: int, in_step: int) -> int:
    """The step after which a run by the clock has read its text as often as is good"""
    return min(state.counted_from + most_steps(state.config, training, in_step), MOST)


def fit(state: TrainState, seconds: float, training: int, in_step: int) -> None:
    """Plan as many steps as are possible in the time that is left, if one takes so long, and as a
    text of so many tokens, of which a step reads some, can bear."""
    taken = state.seconds if state.began is None else time.monotonic() - state.began
    left = distributed.from_first(max(60 * state.config.minutes - taken - TAIL, 0.0))
    steps = state.step + max(1, round(left / max(seconds, 1e-6)))
    steps = max(state.step, min(steps, limit(state, training, in_step)))
    state.config = dataclasses.replace(state.config, steps=steps)


class Clock:
    """Ends a run of config.minutes after `state.began`, which is now less what the run has taken
    before, unless its caller knows better."""

    def __init__(self, state: TrainState, training: int, validation: int, in_step: int):
        """Tokens of both splits, and of a step"""
        self.state, self.tokens, self.in_step = state, min(validation, FINAL), in_step
        if state.began is None:
            state.began = time.monotonic() - state.seconds
        self.pace = 0.0  # seconds from step to step
        self.per_token = math.inf  # seconds of an evaluation, where one has told
        self.first = self.fitted = state.step
        self.most = limit(state, training, in_step)
        self.last = time.monotonic()
        if not state.done() and state.config.steps < state.step + FEW:  # too few to know the pace
            state.config = dataclasses.replace(state.config, steps=state.step + FEW)

    def evaluated(self, seconds: float) -> None:
        """An evaluation of config.eval_tokens has taken so long."""
        size, most = self.state.model.config.block_size, self.state.config.eval_tokens
        self.per_token = seconds / (len(windows(self.tokens, size, most)) * size)

    def last_evaluation(self) -> float:
        """Seconds of that of the whole split: in proportion to the one before; but of one that read
        little most does not grow, so no longer than steps without their backward pass"""
        batch = BATCH * self.state.model.config.block_size
        passes = math.ceil(self.tokens / batch) * max(1.0, batch / self.in_step)
        return min(self.tokens * self.per_token, passes * self.pace / 3)

    def step(self) -> None:
        """A step is done. Of several ranks the first one's clock counts."""
        self._fit()
        agreed = distributed.from_first(self.state.config.steps)
        if agreed != self.state.config.steps:
            self.state.config = dataclasses.replace(self.state.config, steps=agreed)

    def _fit(self) -> None:
        state, now = self.state, time.monotonic()
        assert state.began is not None
        state.seconds = now - state.began
        taken, self.last = now - self.last, now
        count = state.step - self.first
        if count == 1:  # in which much is prepared
            return
        share = max(1 / (count - 1), 1 / (SHARE * state.config.steps + 1))
        self.pace += (taken - self.pace) * share
        # Where the loss rises the best weights, too, are evaluated once more
        evaluations = 2 if 0 < state.best_step < state.evaluated else 1
        left = 60 * state.config.minutes - state.seconds - TAIL
        left -= evaluations * self.last_evaluation()
        often = max(1, state.config.steps // FITS)
        if left <= 0 or count < FEW or state.step - self.fitted >= often:
            self.fitted = state.step
            steps = state.step + max(0, round(left / self.pace))
            steps = max(state.step, min(steps, self.most))
            if steps != state.config.steps:
                state.config = dataclasses.replace(state.config, steps=steps)
