"""Derivatives as functions, and derivatives of derivatives.

    tg.grad(f)(x)                       the gradient of a function that gives one number
    tg.value_and_grad(f)(x)             both
    tg.vjp(f, x), tg.jvp(f, (x,), (v,)) products with the Jacobian from the left, from the right
    tg.jacobian(f)(x), tg.hessian(f)(x), tg.hessian_vector_product(f, x, v)

Each can be applied to what another gives: grad(grad(f)). In a loop of one's own:

    with tg.create_graph():
        y = model(x)
        (dy,) = tg.gradients(y.sum(), [x], create_graph=True)
        loss = (dy ** 2).mean()
    loss.backward()

How: within `create_graph` each op keeps its operands. To differentiate a gradient, the body of an
op, which is NumPy, is run once more, on Tensors (see protocols.py): its vjp is then made of ops
itself. What no NumPy function computes has a twin that is made of ops (twins.py).
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_lite.broadcasting import unbroadcast, unified
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.joining import stack
from tinygrad_lite.ops.movement import clone
from tinygrad_lite.tensor import (
    Node,
    Tensor,
    _mode,
    as_tensor,
    asked_for,
    call_hooks,
    op,
    propagated,
    reachable,
)
from tinygrad_lite.twins import ONCE, TWINS


@contextlib.contextmanager
def create_graph() -> Iterator[None]:
    """Within this context each op keeps its operands: gradients of what is computed can be
    differentiated themselves, by `backward(create_graph=True)` or `gradients`. Operands that no
    derivative of the first order needs take memory."""
    before = _mode.keeps_operands, _mode.differentiable
    _mode.keeps_operands = _mode.differentiable = True
    try:
        yield
    finally:
        _mode.keeps_operands, _mode.differentiable = before


@op
def _alias(x):
    """x, as an operand of its own"""
    return x, lambda g: (g,)


def gradients(
    out: Tensor, inputs: Tensor | Sequence[Tensor], gradient: Any = None,
    create_graph: bool = False,
) -> list[Tensor]:  # fmt: skip
    """The gradients of `out`, a number unless `gradient` is given, with respect to each input,
    which may be a result too and requires gradients; zeros for those that it does not depend on.
    `grad` of leaves stays as it is, and what is needed for another call is kept.

    create_graph   the gradients can be differentiated; `out` must be computed within create_graph()
    """
    if not out.requires_grad:
        raise ValueError(
            "gradients: the tensor was computed from what requires gradients.\n"
            f"  got one of shape {out.shape} without history\n  try requires_grad=True on the"
            " inputs; for a gradient of a gradient, create_graph=True in the first call"
        )
    return _gradients(out, [inputs] if isinstance(inputs, Tensor) else inputs, gradient,
                      create_graph)  # fmt: skip


def _gradients(
    out: Tensor, inputs: Sequence[Tensor], gradient: Any, create_graph: bool
) -> list[Tensor]:
    untracked = [x.shape for x in inputs if not x.requires_grad]
    if untracked:
        raise ValueError(
            "gradients: each input requires gradients, so that it is known what depends on it.\n"
            f"  got one of shape {untracked[0]} that does not\n  try requires_grad=True"
        )
    if not out.requires_grad:
        return [Tensor(np.zeros_like(x.data)) for x in inputs]
    if gradient is None:
        if out.size != 1:
            raise ValueError(
                "gradients: only a tensor with one element has gradients of its own.\n"
                f"  got shape {out.shape}\n  try out.sum(), or gradient="
            )
        gradient = Tensor(np.ones_like(out.data))
    gradient = as_tensor(gradient)
    if gradient.shape != out.shape:
        raise ValueError(
            "gradients: the gradient has the shape of the tensor.\n"
            f"  got {gradient.shape} for {out.shape}\n  try numpy.broadcast_to(gradient, x.shape)"
        )
    if gradient.dtype != out.dtype:
        gradient = gradient.astype(out.dtype)
    root, keys = out._node or out, [x._node or x for x in inputs]
    found: dict[Any, Tensor]
    if create_graph:
        found = _with_graph(root, gradient, {*keys})
    else:
        sums = propagated(root, gradient.data, True, set(keys))
        found = {key: Tensor._wrap(total.array.copy()) for key, total in sums.items()}
    return [
        found[key] if key in found else Tensor(np.zeros_like(x.data))
        for key, x in zip(keys, inputs, strict=True)
    ]


def _deliver_with_graph(out: Tensor, gradient: Tensor) -> None:
    """backward(create_graph=True): add gradients, with their history, to those of the leaves"""
    for leaf, total in _with_graph(out._node or out, gradient, set()).items():
        if isinstance(leaf, Tensor):
            leaf.grad = clone(total) if leaf.grad is None else leaf.grad + total
            call_hooks(leaf)


def _with_graph(
    root: Node | Tensor, gradient: Tensor, wanted: set[Node | Tensor]
) -> dict[Node | Tensor, Tensor]:
    """The same as `propagated`, with Tensors on the way"""
    sums: dict[Node | Tensor, Tensor] = {root: gradient}
    found: dict[Node | Tensor, Tensor] = {}
    nodes = reachable(root)
    asked = asked_for(nodes, wanted)
    with create_graph():
        for node in nodes:
            arrived = sums.pop(node, None)
            if arrived is None:
                continue
            if node in wanted:
                found[node] = arrived
            needs = [asked(parent) for parent in node.parents]
            if not any(needs):
                continue
            given = _vjp_of_tensors(node, arrived, needs)
            for parent, dx in zip(node.parents, given, strict=False):
                if parent is None or dx is None:
                    continue
                dx = unbroadcast(dx, parent.shape) if node.broadcasts else dx
                assert dx.shape == parent.shape, (node.name, dx.shape, parent.shape)
                dx = dx if dx.dtype == parent.dtype else dx.astype(parent.dtype)
                known = sums.get(parent)
                sums[parent] = dx if known is None else known + dx
    return sums | found


def _vjp_of_tensors(node: Node, g: Tensor, needs: Sequence[bool]) -> list[Tensor | None]:
    """The gradients of those of a node's operands that need one, computed by ops"""
    if node.call is None:
        raise RuntimeError(
            "create_graph: an op must have kept its operands to be differentiated twice.\n"
            f"  got {node.name}, computed outside of create_graph()\n"
            "  try with tg.create_graph(): around what is computed, or tg.grad(function)"
        )
    if node.name in ONCE:
        raise RuntimeError(
            f"create_graph: {node.name} has a first derivative only.\n"
            f"  got it for a tensor of shape {node.shape}\n  try {ONCE[node.name]}"
        )
    function, args, settings = node.call
    twin = TWINS.get(node.name)
    vjp: Any
    if twin is not None:
        inputs = [_alias(a) if need else a for a, need in zip(args, needs, strict=True)]
        made = twin(*inputs, **settings)
        if isinstance(made, Tensor):  # of ops alone: the tape knows
            out = made
            asked = [x for x, need in zip(inputs, needs, strict=True) if need]
            answers = iter(_gradients(out, asked, g, True))
            return [next(answers) if need else None for need in needs]
        _, vjp = made
    else:
        operands = unified(list(args)) if node.broadcasts else list(args)
        _, vjp = function(*operands, **settings)
    return [
        (dx() if callable(dx) else dx) if need else None
        for need, dx in zip(needs, vjp(g), strict=False)
    ]


# --- functions of functions -------------------------------------------------------------------


def _given(args: Sequence[Any], numbers: Sequence[int], name: str) -> list[Any]:
    """Arguments of which those of these numbers are operands of their own, with gradients"""
    given = list(args)
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise ValueError(
                f"{name}: each number is that of an argument.\n"
                f"  got {n} with {len(args)} arguments\n  try argnums=0"
            )
        x = given[n] if isinstance(given[n], Tensor) else Tensor(given[n])
        if x.dtype.kind != "f":
            raise TypeError(
                f"{name}: only floating-point arguments have derivatives.\n"
                f"  got dtype {x.dtype}\n  try x.astype('float32')"
            )
        if x.requires_grad:
            given[n] = _alias(x)
        else:
            given[n] = x.detach()
            given[n].requires_grad = True
    return given


def _number(out: Any, name: str) -> Tensor:
    if not isinstance(out, Tensor) or out.size != 1:
        raise ValueError(
            f"{name}: the function gives a Tensor with one number.\n"
            f"  got {getattr(out, 'shape', type(out).__name__)}\n  try .sum(), or tg.jacobian"
        )
    return out


def value_and_grad(function: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable:
    """A function that gives (function(*args), its gradient with respect to the argument of a
    number, or a tuple of gradients for several)

    >>> [y.tolist() for y in tg.value_and_grad(lambda x: (x**3).sum())(Tensor([2.0]))]
    [8.0, [12.0]]
    """
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)

    def both(*args: Any, **settings: Any) -> tuple[Tensor, Any]:
        further = _mode.keeps_operands  # somebody differentiates the gradient
        given = _given(args, numbers, "grad")
        with create_graph():  # the function may take gradients itself
            out = _number(function(*given, **settings), "grad")
        found = _gradients(out, [given[n] for n in numbers], None, further)
        return (
            out if further else out.detach(),
            found[0] if isinstance(argnums, int) else tuple(found),
        )

    return both


def grad(function: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable:
    """A function that gives the gradient of one that gives a number, see value_and_grad

    >>> tg.grad(lambda x: (x**3).sum())(Tensor([2.0])).tolist()
    [12.0]
    """
    both = value_and_grad(function, argnums)

    def gradient(*args: Any, **settings: Any) -> Any:
        return both(*args, **settings)[1]

    return gradient


def vjp(function: Callable[..., Tensor], *args: Any) -> tuple[Tensor, Callable]:
    """(out, g -> gradients of sum(g * out), one for each argument, or that of the only one)

    >>> tg.vjp(lambda x: x**2, Tensor([3.0]))[1](Tensor([1.0])).tolist()
    [6.0]
    """
    further = _mode.keeps_operands
    given = _given(args, range(len(args)), "vjp")
    with create_graph():
        out = function(*given)

    def product(g: Any) -> Any:
        found = _gradients(out, given, g, further)
        return found[0] if len(found) == 1 else tuple(found)

    return (out if further else out.detach()), product


def jvp(
    function: Callable[..., Tensor], args: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Tensor, Tensor]:
    """(out, how it changes as the arguments move along the tangents): the product of the Jacobian
    with a vector, as the derivative of u -> u^T J, which is linear in u

    >>> [y.tolist() for y in tg.jvp(lambda x: x**2, [Tensor([3.0])], [Tensor([1.0])])]
    [[9.0], [6.0]]
    """
    further = _mode.keeps_operands
    given = _given(args, range(len(args)), "jvp")
    with create_graph():
        out = function(*given)
        u = Tensor(np.zeros_like(out.data), requires_grad=True)
        rows = _gradients(out, given, u, True)
        if len(tangents) != len(given) or any(
            np.shape(v) != x.shape for v, x in zip(tangents, given, strict=False)
        ):
            raise ValueError(
                "jvp: there is a tangent for each argument, of its shape.\n"
                f"  got {[np.shape(v) for v in tangents]} for {[x.shape for x in given]}\n"
                "  try numpy.ones_like(x)"
            )
        total = None
        for row, v in zip(rows, tangents, strict=True):
            term = (row * v).sum()
            total = term if total is None else total + term
        assert total is not None
        (moved,) = _gradients(total, [u], None, further)
    return (out if further else out.detach()), moved


def hessian_vector_product(function: Callable[..., Tensor], x: Any, v: Any) -> Tensor:
    """The product of the Hessian of a function that gives a number, at x, with v

    >>> x, v = Tensor([1.0, 2.0]), Tensor([1.0, 0.0])
    >>> tg.hessian_vector_product(lambda x: (x**3).sum(), x, v).tolist()
    [6.0, 0.0]
    """
    further = _mode.keeps_operands
    (given,) = _given([x], [0], "hessian_vector_product")
    with create_graph():
        out = _number(function(given), "hessian_vector_product")
        (slope,) = _gradients(out, [given], None, True)
        along = (slope * v).sum()
    return _gradients(along, [given], None, further)[0]


def jacobian(function: Callable[..., Tensor], argnum: int = 0) -> Callable:
    """A function that gives (*out.shape, *x.shape): each output's gradient, one backward pass a
    number

    >>> tg.jacobian(lambda x: x**2)(Tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """

    def matrix(*args: Any, **settings: Any) -> Tensor:
        further = _mode.keeps_operands
        given = _given(args, [argnum], "jacobian")
        with create_graph():
            out = function(*given, **settings)
        rows = []
        for place in range(out.size):
            one = np.zeros(out.size, out.dtype)
            one[place] = 1
            g = Tensor(constant(one.reshape(out.shape)))
            rows += _gradients(out, [given[argnum]], g, further)
        shape = (*out.shape, *given[argnum].shape)
        if not rows:
            return Tensor(np.zeros(shape, out.dtype))
        return stack(rows).reshape(shape)

    return matrix


def hessian(function: Callable[..., Tensor], argnum: int = 0) -> Callable:
    """A function that gives (*x.shape, *x.shape): the second derivatives of one that gives a
    number

    >>> tg.hessian(lambda x: (x**3).sum())(Tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    slope = jacobian(grad(function, argnum), argnum)

    def matrix(*args: Any, **settings: Any) -> Tensor:
        further = _mode.keeps_operands
        with create_graph():
            found = slope(*args, **settings)
        return found if further else found.detach()

    return matrix


Tensor._deliver_with_graph = _deliver_with_graph  # type: ignore[assignment]
