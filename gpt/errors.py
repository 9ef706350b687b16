"""Errors that teach: what must hold, what was given, what to try."""

import difflib
import signal
from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like `word`, or all of them if none is."""
    known = list(known)
    match = difflib.get_close_matches(word, known, n=1)
    return match[0] if match else ", ".join(known)


def short(value: object) -> str:
    """A value as it is written, cut where it is long"""
    try:
        text = repr(value)
    except ValueError:  # Python writes no numbers of many thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def require(holds: bool, invariant: str, got: str, hint: str) -> None:
    """Raise ValueError in the form of all our messages unless the invariant holds."""
    if not holds:
        raise ValueError(f"{invariant}\n  got {got}\n  try {hint}")


class NonFiniteError(ArithmeticError):
    """The loss is infinite or not a number."""


class Interrupted(KeyboardInterrupt):
    """A signal has ended the command; the exit status that it stands for is in `status`.

    agreed   all ranks stop here, where there are several
    """

    def __init__(
        self, number: int = signal.SIGINT, message: str = "interrupted", agreed: bool = False
    ):
        super().__init__(message)
        self.status, self.agreed = 128 + number, agreed
