"""A table of a model's layers, with the shapes of what they give and how much they learn."""

from typing import Any

from tinygrad_lite.nn.module import HookHandle, Module
from tinygrad_lite.tensor import Tensor, no_grad


def summary(model: Module, *inputs: Any) -> str:
    """The table as text: a row for each part of `model`, in the order in which `model(*inputs)`
    calls them, run once, in evaluation mode, without gradients"""
    rows: list[tuple[str, str, str, str]] = []
    counted: set[int] = set()
    handles: list[HookHandle] = []
    modes = [(part, part.training) for _, part in model.named_modules()]

    def noting(name: str, part: Module) -> Any:
        def note(module: Module, args: tuple, out: Any) -> None:
            own = [v for v in vars(part).values() if isinstance(v, Tensor) and v.requires_grad]
            fresh = [p for p in own if id(p) not in counted]
            counted.update(id(p) for p in fresh)
            count = f"{sum(p.size for p in fresh):,}" if own else "-"
            rows.append((name or "(all)", type(part).__name__, _shape(out), count))

        return note

    try:
        for name, part in model.named_modules():
            handles.append(part.register_forward_hook(noting(name, part)))
        with no_grad():
            model.eval()(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes:
            part.training = mode
    total = sum(p.size for p in model.parameters())
    rows.insert(0, ("name", "module", "output", "parameters"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{n:<{widths[0]}}  {m:<{widths[1]}}  {s:<{widths[2]}}  {c:>{widths[3]}}"
        for n, m, s, c in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:], rule, f"{total:,} parameters"])


def _shape(out: Any) -> str:
    if isinstance(out, Tensor):
        return str(out.shape)
    if isinstance(out, list | tuple):
        return ", ".join(_shape(part) for part in out)
    return type(out).__name__
