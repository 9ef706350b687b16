"""What a module is: parameters and buffers with names, a forward pass, parts, hooks."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_lite.fused.linear import to_bfloat16
from tinygrad_lite.kernels.int8 import can_be_stored, to_int8
from tinygrad_lite.kernels.watch import attribute_changes, current
from tinygrad_lite.tensor import HookHandle, Tensor


class Parameter(Tensor):
    """What a module learns: a float32 leaf with memory of its own that requires gradients."""

    __slots__ = ()

    def __init__(self, data: Any):
        data = data.data if isinstance(data, Tensor) else data
        super().__init__(np.array(data, np.float32, order="C"), requires_grad=True)


class Buffer(Tensor):
    """What a module keeps and does not learn, such as running statistics: saved with it. It has the
    dtype of its data, and memory of its own."""

    __slots__ = ()

    def __init__(self, data: Any):
        super().__init__(Tensor(data).data.copy())


class Module:
    """Attributes that are Parameters are learned, Buffers are kept with them, other Tensors are the
    module's own business. Attributes that are Modules are parts, and the names of what is in them
    begin with the attribute's name: "head.weight"."""

    training = True
    _forward_hooks: tuple[HookHandle, ...] = ()
    _forward_pre_hooks: tuple[HookHandle, ...] = ()

    def __getattribute__(self, name: str) -> Any:
        if current.watcher is not None and not name.startswith("__"):
            current.watcher.reads(self)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        attribute_changes[0] += 1
        before = vars(self).get(name)
        if isinstance(before, Buffer) and not isinstance(value, Buffer | None):
            if isinstance(value, Tensor) and value.requires_grad:
                raise TypeError(
                    "Module: a buffer does not keep what it was computed from.\n"
                    f"  got a result with gradients for {name!r} of {type(self).__name__}\n"
                    "  try x.detach(), or another name"
                )
            value = Buffer(value)
        for kind in (Parameter, Module):
            if isinstance(before, kind) and not isinstance(value, kind | None):
                raise TypeError(
                    f"Module: a {kind.__name__.lower()} is replaced by another, or by None.\n"
                    f"  got a {type(value).__name__} for {name!r} of {type(self).__name__}\n"
                    "  try x.data[...] = values for a parameter, or del first"
                )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        attribute_changes[0] += 1
        object.__delattr__(self, name)

    def forward(self, *args: Any) -> Any:
        raise TypeError(
            "Module: a module defines forward.\n"
            f"  got {type(self).__name__} without it\n  try def forward(self, x): ..."
        )

    def __call__(self, *args: Any, **settings: Any) -> Any:
        for hook in (handle.hook for handle in self._forward_pre_hooks):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        out = self.forward(*args, **settings)
        for hook in (handle.hook for handle in self._forward_hooks):
            changed = hook(self, args, out)
            out = out if changed is None else changed
        return out

    def register_forward_hook(self, hook: Callable[["Module", tuple, Any], Any]) -> HookHandle:
        """Call hook(module, args, output) after each forward pass; what it returns, unless that is
        None, takes the place of the output. `remove()` of the handle ends it. In a jitted function
        hooks are part of what is recorded: their Python runs once."""
        return HookHandle(self, "_forward_hooks", hook)

    def register_forward_pre_hook(self, hook: Callable[["Module", tuple], Any]) -> HookHandle:
        """Call hook(module, args) before each forward pass; what it returns, unless that is None,
        takes the place of the arguments."""
        return HookHandle(self, "_forward_pre_hooks", hook)

    def __repr__(self) -> str:
        """The module and its parts, as they are nested"""
        parts = [(n, p) for n, p in vars(self).items() if isinstance(p, Module)]
        own = ", ".join(
            f"{n}={list(v.shape) if isinstance(v, Tensor) else v!r}"
            for n, v in vars(self).items()
            if isinstance(v, Tensor | int | float | str) and n != "training"
        )
        if not parts:
            return f"{type(self).__name__}({own})"
        lines = "".join(f"\n({n}): {p!r}".replace("\n", "\n  ") for n, p in parts)
        return f"{type(self).__name__}({own}{lines}\n)"

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module as "" and every part by its name"""
        yield prefix, self
        for name, part in vars(self).items():
            if any(not _is_one_of(x, vars(self).values()) for x in _parts_in(part)):
                raise TypeError(
                    "Module: a module's parts are its attributes: what a list holds is not found.\n"
                    f"  got modules in the {type(part).__name__} {name!r} of"
                    f" {type(self).__name__}\n  try nn.ModuleList(modules)"
                )
            if isinstance(part, Module):
                yield from part.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator["Module"]:
        """This module and every part, at any depth, each once"""
        return iter(dict.fromkeys(module for _, module in self.named_modules()))

    def children(self) -> Iterator["Module"]:
        """The parts that are attributes of this module, each once"""
        parts = (part for part in vars(self).values() if isinstance(part, Module))
        return iter(dict.fromkeys(parts))

    def apply(self, function: Callable[["Module"], object]) -> "Module":
        """Call function(module) for every part, the innermost first, and for this module last, such
        as one that sets initial values; returns this module."""
        for part in self.children():
            part.apply(function)
        function(self)
        return self

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Each parameter once, also one that two modules share (under its first name)."""
        return self._named(Parameter)

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Each buffer once, under its first name"""
        return self._named(Buffer)

    def _named(self, kind: type[Tensor]) -> Iterator[tuple[str, Tensor]]:
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> list[Tensor]:
        return [parameter for _, parameter in self.named_parameters()]

    def buffers(self) -> list[Tensor]:
        return [buffer for _, buffer in self.named_buffers()]

    def state_dict(self) -> dict[str, Tensor]:
        """The parameters and buffers by name (shared, not copied)"""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into parameters and buffers; all that does not agree is named at once, and
        then nothing is changed.

        strict   every name of the model must be in the state, and the other way round; else only
                 names that both have count
        """
        own = self.state_dict()
        values = {n: v.data if isinstance(v, Tensor) else np.asarray(v) for n, v in state.items()}
        wrong = [f"{name} is missing" for name in own if name not in values and strict]
        wrong += [
            f"{name} is not part of the model" for name in values if name not in own and strict
        ]
        wrong += [
            f"{name} is {values[name].shape} in the file and {p.shape} in the model"
            for name, p in own.items()
            if name in values and values[name].shape != p.shape
        ]
        wrong += [
            f"{name} is {values[name].dtype} in the file and {p.dtype} in the model"
            for name, p in own.items()
            if name in values and not _fits(values[name], p.dtype)
        ]
        if wrong:
            listed = "; ".join(wrong[:8]) + (
                "" if len(wrong) <= 8 else f"; and {len(wrong) - 8} more"
            )
            raise ValueError(
                "load_state_dict: the state must hold exactly the model's parameters.\n"
                f"  got {listed}\n  try a model of the same configuration"
            )
        for name, tensor in own.items():
            if name in values:
                tensor.data[...] = values[name]
                tensor._version[0] += 1

    def bfloat16(self) -> "Module":
        """Store every matrix of parameters in bfloat16, as Buffers of half the size: for
        inference, which reads each of them once for a token. They can not be trained on, nor
        made float32 again."""
        return self._stored(to_bfloat16)

    def int8(self) -> "Module":
        """The same in eight bits a number and a scale for 32 of them, 0.28 of the size; matrices
        whose rows are no multiple of 32 in bfloat16."""
        return self._stored(lambda x: to_int8(x) if can_be_stored(x.shape) else to_bfloat16(x))

    def _stored(self, pack: Callable) -> "Module":
        buffers: dict[int, Buffer] = {}
        parts = list(self.modules())
        for value in (v for module in parts for v in vars(module).values()):
            if isinstance(value, Parameter) and value.ndim == 2 and id(value) not in buffers:
                buffers[id(value)] = Buffer(pack(value.data))
        for module in parts:  # nothing is changed where one could not be stored
            for name, value in list(vars(module).items()):
                if isinstance(value, Parameter) and id(value) in buffers:
                    vars(module)[name] = buffers[id(value)]
                    attribute_changes[0] += 1
        return self

    def train(self, mode: bool = True) -> "Module":
        """Training mode: dropout is active."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        """Evaluation mode: dropout passes its input on."""
        return self.train(False)

    def zero_grad(self) -> None:
        for parameter in self.parameters():
            parameter.grad = None


def _fits(array: Any, dtype: np.dtype) -> bool:
    """Whether numbers may be kept in a dtype: fractions are not, among integers, nor are what
    bfloat16() stores numbers of any other"""
    if array.dtype.kind not in "fiub" or (array.dtype == np.uint16) != (dtype == np.uint16):
        return False
    if array.dtype.kind != "f" or dtype.kind == "f":
        return True
    with np.errstate(invalid="ignore"):
        return bool(np.all(array == np.floor(array)))


def _parts_in(x: Any) -> Iterator["Module | Parameter | Buffer"]:
    """What a list, a dictionary or the like holds of what a module should"""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple | set | deque):
        for part in x:
            if isinstance(part, Module | Parameter | Buffer):
                yield part
            else:
                yield from _parts_in(part)


def _is_one_of(x: Any, known: Iterable[Any]) -> bool:
    return any(x is other for other in known)


class Identity(Module):
    """x -> x: the absent part"""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Sequential(Module):
    """Modules one after the other; their names are "0", "1", ..."""

    def __init__(self, *modules: Module):
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(
                    f"{type(self).__name__}: each part is a module.\n"
                    f"  got {type(module).__name__} in place {i}\n"
                    "  try nn.ReLU() for a function, nn.Sequential(*modules) for a list"
                )
            setattr(self, str(i), module)

    def __iter__(self) -> Iterator[Module]:
        return iter(part for part in vars(self).values() if isinstance(part, Module))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, i: int) -> Module:
        return list(self)[i]

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class ModuleList(Sequential):
    """A list of modules, to be called by their owner."""

    def __init__(self, modules: Any = ()):
        super().__init__(*modules)

    def forward(self, x: Any) -> Any:
        raise TypeError(
            "ModuleList: a list of modules has no forward pass of its own.\n"
            "  got a call\n  try for module in modules: x = module(x), or nn.Sequential"
        )
