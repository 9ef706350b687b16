"""What operands of other dtypes and shapes become: PyTorch's promotion, NumPy's broadcasting."""

from typing import Any

import numpy as np

from tinygrad_lite.kernels.sums import sum_axes
from tinygrad_lite.kernels.watch import constant

Array = np.ndarray


def unified(operands: list) -> list:
    """Operands of an op that broadcasts, brought to dtypes with which NumPy computes as PyTorch.

    Numbers, Python's and NumPy's, and lists take the dtype of the arrays; where they hold fractions
    and all arrays integers, that is float32. Where an array holds fractions, integers take its
    dtype; an array without axes does not widen one with axes.
    """
    arrays = [x for x in operands if is_array(x)]
    if len(arrays) == len(operands) and all(x.dtype == arrays[0].dtype for x in arrays):
        return operands
    floats = [x for x in arrays if x.dtype.kind == "f"]
    if floats:
        wanted = np.result_type(*([x.dtype for x in floats if x.ndim] or [x.dtype for x in floats]))
    elif any(np.asarray(x).dtype.kind == "f" for x in operands if not is_array(x)):
        wanted = np.dtype(np.float32)
    else:
        wanted = None
    return [_with_dtype(x, wanted, not floats) for x in operands]


def _with_dtype(x: Any, wanted: Any, alone: bool) -> Any:
    """An operand in the dtype that is wanted, if one is; numbers stay numbers where NumPy lets them
    take the dtype of an array, and become arrays of it where they stand alone."""
    if isinstance(x, np.generic):
        x = x.item()
    if is_array(x):
        fits = wanted is None or x.dtype.kind == "b" or x.dtype == wanted
        return x if fits else x.astype(wanted)
    refuse_gradients_in(x)
    array = np.asarray(x)
    if isinstance(x, list | tuple) or (alone and array.dtype.kind == "f"):
        return constant(
            array if wanted is None or array.dtype.kind == "b" else array.astype(wanted)
        )
    return x


def is_array(x: Any) -> bool:
    """Whether x, an array or a Tensor, speaks NumPy's protocols (NEP 13, NEP 18); NumPy's own
    numbers do not count."""
    return hasattr(x, "__array_function__") and not isinstance(x, np.generic)


def refuse_gradients_in(x: Any) -> None:
    """TypeError for a list that holds Tensors with gradients: an array would not have them."""
    if isinstance(x, list | tuple):
        for part in x:
            if getattr(part, "requires_grad", False):
                raise TypeError(
                    "Tensor: a list of numbers has no gradients.\n"
                    "  got a list with a Tensor that requires gradients\n"
                    "  try tg.stack(tensors), or detach()"
                )
            refuse_gradients_in(part)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an array of `shape` was broadcast to `g.shape`."""
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    if extra < 0:  # the vjp of a constant may be smaller than its operand
        return np.broadcast_to(g, shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1
    )
    if axes:
        g = sum_axes(g, axes, keepdims=True)
    g = g.reshape(g.shape[extra:])
    return g if g.shape == shape else np.broadcast_to(g, shape)
