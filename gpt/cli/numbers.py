"""Numbers in the terminal: matrices with labels, shaded grids, bars."""

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from gpt.cli.console import console
from gpt.inside.labels import cut

SHADES = " ░▒▓█"
LABEL = 8  # characters of a token


def width() -> int:
    return min(console.width, 120) if console.is_terminal else 80


def padded(text: str, cells: int) -> str:
    """Text cut or filled to a number of cells of the terminal"""
    text = cut(text, cells)
    while cell_len(text) > cells:
        text = text[:-1]
    return text + " " * (cells - cell_len(text))


def matrix(rows: Sequence[str], values: np.ndarray, decimals: int, most: int) -> list[str]:
    """Lines for values (rows, columns), as many columns as fit; of more rows than `most` the first
    and the last"""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    cell = max(5, len(f"{largest:.{decimals}f}") + 2)
    fit = max(1, (width() - LABEL - 5) // cell)
    shown = values[:, :fit]
    more = " …" if values.shape[1] > fit else ""
    lines = []
    for i in kept_rows(len(values), most):
        if i is None:
            lines.append(f"  {'⋮':<{LABEL}}")
            continue
        cells = "".join(f"{_number(x, decimals):>{cell}}" for x in shown[i])
        lines.append(f"  {padded(rows[i], LABEL)}{cells}{more}")
    return lines


def kept_rows(count: int, most: int) -> list[int | None]:
    """Numbers of the rows that are shown; None where some are left out"""
    if count <= most:
        return list(range(count))
    first = (most + 1) // 2
    return [*range(first), None, *range(count - (most - first), count)]


def _number(x: float, decimals: int) -> str:
    return "-inf" if np.isneginf(x) else f"{x + 0.0:.{decimals}f}"


def grid(tokens: Sequence[str], weights: np.ndarray, most: int) -> list[str]:
    """Attention weights (T, T) in shades and per cent: a row for each token that looks, a column
    for each that is looked at; of more than `most` tokens the last ones"""
    cell = 6
    fit = max(1, min(most, (width() - LABEL - 4) // cell, len(tokens)))
    tokens, weights = tokens[-fit:], weights[-fit:, -fit:]
    lines = [" " * (LABEL + 3) + "".join(padded(t, cell - 1) + " " for t in tokens)]
    for label, row in zip(tokens, weights, strict=True):
        cells = "".join(_shaded(float(w)) for w in row)
        lines.append(f"  {padded(label, LABEL)} {cells}".rstrip())
    return lines


def _shaded(weight: float) -> str:
    shade = SHADES[min(len(SHADES) - 1, int(np.ceil(weight * (len(SHADES) - 1) - 0.02)))]
    return f"{shade * 2}{100 * weight:3.0f} " if weight else "   ·  "


def bars(rows: Sequence[tuple[str, float]]) -> list[str]:
    """A line for each label with its probability, and a bar"""
    longest = max((p for _, p in rows), default=1.0) or 1.0
    room = max(10, width() - 32)
    return [
        f"  {padded(label, 14)} {p:8.4f}  {'█' * max(1 if p > 0 else 0, round(room * p / longest))}"
        for label, p in rows
    ]


def surprised(text: str, bits: float) -> Text:
    """A token on a background that says how many bits of surprise it was: from none to red"""
    strength = min(1.0, bits / 8)
    other = round(255 * (1 - strength))
    return Text(text, f"black on rgb(255,{other},{other})")
