"""When a run is saved, so that little work is at risk and little time is spent on it."""

import time
from collections.abc import Callable

from tinygrad_lite import distributed

SHARE = 0.01  # of the time, spent on saving
LEAST = 5.0  # seconds between saves


class Saver:
    """Calls `save` now and then: every `every` steps, or for 0 by time, so that saving takes about
    SHARE of it. The first save, before the first step, shows how long one takes."""

    def __init__(self, save: Callable[[], object], every: int):
        self.save_now, self.every = save, every
        self.step = 0  # that was saved last
        self.took = self.at = 0.0

    def started(self, step: int, took: float) -> None:
        """A run that was saved in `took` seconds begins, or goes on, after so many steps."""
        self.step, self.took, self.at = step, took, time.monotonic()

    def save(self, step: int) -> None:
        if step == self.step:
            return
        start = time.monotonic()
        self.save_now()
        self.started(step, time.monotonic() - start)

    def step_done(self, step: int) -> None:
        """Save if it is time"""
        if self.every:
            due = step % self.every == 0
        else:
            due = time.monotonic() - self.at >= max(LEAST, self.took / SHARE)
        if distributed.from_first(due):
            self.save(step)
