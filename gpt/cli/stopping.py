"""Stopping by signals: at once, or where a command can wait for it, after the current step"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from gpt.cli import console
from gpt.errors import Interrupted
from tinygrad_lite import distributed

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Within the block, SIGINT, SIGTERM and SIGHUP raise Interrupted. While `patient` is set the
    first only leaves its number in `signal`, and the second raises."""

    def __init__(self) -> None:
        self.patient = False
        self.signal = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Stopping":
        if threading.current_thread() is threading.main_thread():  # others receive no signals
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
                    self.before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def unread(self) -> Iterator[None]:
        """Within this context, that nobody reads what is printed counts as a signal to stop."""
        try:
            yield
        except BrokenPipeError:
            self.signal = signal.SIGPIPE

    def agreed(self) -> int:
        """The signal by which any of the ranks was told to stop, or 0: the same on each. Call it on
        all of them at the same point."""
        agreed = int(distributed.largest(self.signal))
        if agreed:  # one that has come meanwhile to this rank alone counts the next time
            self.signal = agreed
        return agreed

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal or not self.patient:
            raise Interrupted(number)
        self.signal = number
        # The terminal may be gone, or this may come in the midst of a line
        with contextlib.suppress(OSError, RuntimeError):
            console.complain("stopping after this step; once more stops at once")
