"""The text of tokens as they come, in whole characters, up to a stop string."""

from collections.abc import Iterable, Sequence

from gpt.errors import require
from gpt.text.tokenizers import Tokenizer


class TextStream:
    """The text of tokens as they come, in whole characters, up to a stop string.

    prompt   tokens before the first, on which spaces between words may depend
    stop     strings that end the text, and are not part of it
    end      the token that ends it
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Iterable[int] = (),
        stop: Sequence[str] = (),
        end: int | None = None,
    ):
        require(all(stop), "generate: a stop string must not be empty.", "''", "--stop END")
        self.tokenizer, self.stop, self.end = tokenizer, stop, end
        self.known = list(prompt)[-8:]  # tokens whose text is `text`, and what has come since
        self.text = tokenizer.decode(self.known)
        self.held = ""
        self.done = False

    def feed(self, token: int) -> str:
        """What can be shown now that this token has come"""
        if self.done:
            return ""
        if token == self.end:
            return self.finish()
        self.known.append(token)
        longer = self.tokenizer.decode(self.known)
        # A character of several bytes may be split between tokens: it is held back until whole.
        if longer.endswith("\ufffd") and len(self.known) < 32:
            return ""
        self.held += longer[len(self.text) :]
        self.known = self.known[-8:]
        self.text = self.tokenizer.decode(self.known)
        found = [at for at in map(self.held.find, self.stop) if at >= 0]
        if found:
            self.done, shown, self.held = True, self.held[: min(found)], ""
            return shown
        kept = max((_overlap(self.held, s) for s in self.stop), default=0)
        shown, self.held = self.held[: len(self.held) - kept], self.held[len(self.held) - kept :]
        return shown

    def finish(self) -> str:
        """What was held back in case it became something else"""
        if self.done:
            return ""
        self.done = True
        return self.held + self.tokenizer.decode(self.known)[len(self.text) :]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with"""
    return next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)
