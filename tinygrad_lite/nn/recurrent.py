"""Recurrent layers, with PyTorch's names of parameters: weight_ih_l0, weight_hh_l0, bias_ih_l0, ...

Initial values are uniform with bound 1/sqrt(hidden_size). Inputs are (T, B, features), or with
batch_first (B, T, features), or (T, features) without a batch; states (layers * directions, B, H).
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.fused.dropout import check_probability, dropout
from tinygrad_lite.fused.linear import linear
from tinygrad_lite.fused.recurrent import _gru, _lstm, _rnn
from tinygrad_lite.nn.module import Module, Parameter
from tinygrad_lite.ops.creation import zeros
from tinygrad_lite.ops.joining import cat, stack
from tinygrad_lite.ops.movement import flip
from tinygrad_lite.tensor import Tensor, as_tensor


class _Recurrent(Module):
    gates = 1  # rows of weights for each number of the state
    states = 1  # h, and for an LSTM c

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *, rng: Any,
    ):  # fmt: skip
        check_probability(dropout)
        if min(input_size, hidden_size, num_layers) < 1:
            raise ValueError(
                f"{type(self).__name__}: sizes and layers are 1 or more.\n"
                f"  got {input_size}, {hidden_size} and {num_layers}\n  try num_layers=1"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.rng = bidirectional, np.random.default_rng(rng)
        bound, rows = 1 / math.sqrt(hidden_size), self.gates * hidden_size
        for layer, suffix in self._parts():
            inputs = hidden_size * (1 + bidirectional) if layer else input_size
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, inputs),
                "weight_hh": (rows, hidden_size),
            }
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
            for name, shape in shapes.items():
                drawn = self.rng.uniform(-bound, bound, shape)
                setattr(self, f"{name}_{suffix}", Parameter(drawn))

    def _parts(self) -> list[tuple[int, str]]:
        """(layer, end of the names of its parameters), both directions of a layer in turn"""
        ends = ("", "_reverse") if self.bidirectional else ("",)
        return [(layer, f"l{layer}{end}") for layer in range(self.num_layers) for end in ends]

    def over_time(self, x: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        """h (T, B, H), and c, of one layer in one direction"""
        raise NotImplementedError

    def _inputs(self, x: Tensor, suffix: str, *biases: str) -> Tensor:
        """What inputs contribute, with these biases"""
        bias = None
        for name in biases if self.bias else ():
            one = getattr(self, f"{name}_{suffix}")
            bias = one if bias is None else bias + one
        return linear(x, getattr(self, f"weight_ih_{suffix}"), bias)

    def _run(self, x: Tensor, given: tuple[Tensor, ...] | None) -> tuple[Tensor, list[Tensor]]:
        x = as_tensor(x)
        alone = x.ndim == 2
        x = x.unsqueeze(1) if alone else x.transpose(0, 1) if self.batch_first else x
        parts, size = self._parts(), self.hidden_size
        shape = (len(parts), x.shape[1], size)
        if given is None:
            given = tuple(zeros(*shape, dtype=x.dtype) for _ in range(self.states))
        elif alone:
            given = tuple(state.unsqueeze(1) for state in given)
        if x.ndim != 3 or x.shape[2] != self.input_size or any(s.shape != shape for s in given):
            raise ValueError(
                f"{type(self).__name__}: x is (T, B, {self.input_size}), and a state {shape}.\n"
                f"  got x {x.shape} and states {[s.shape for s in given]}\n  try no state"
            )
        if x.shape[0] == 0:
            raise ValueError(
                f"{type(self).__name__}: there is one time or more.\n"
                f"  got x {x.shape}\n  try a longer x"
            )
        last: list[list[Tensor]] = []
        made: list[Tensor] = []
        for number, (layer, suffix) in enumerate(parts):
            if layer and suffix == f"l{layer}":
                x = cat(made, 2) if self.bidirectional else made[0]
                x = dropout(x, self.dropout, self.rng) if self.training else x
                made = []
            backward = suffix.endswith("_reverse")
            seen = flip(x, 0) if backward else x
            found = self.over_time(seen, tuple(state[number] for state in given), suffix)
            last.append([state[-1] for state in found])
            made.append(flip(found[0], 0) if backward else found[0])
        y = cat(made, 2) if self.bidirectional else made[0]
        finals = [stack(states) for states in zip(*last, strict=True)]
        if alone:
            return y.squeeze(1), [state.squeeze(1) for state in finals]
        return (y.transpose(0, 1) if self.batch_first else y), finals


class RNN(_Recurrent):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or max(0, .) with nonlinearity="relu" """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False, *, rng: Any,
    ):  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"RNN: the nonlinearity is 'tanh' or 'relu'.\n  got {nonlinearity!r}\n  try 'tanh'"
            )
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, rng=rng)  # fmt: skip

    def over_time(self, x: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        weight, relu = getattr(self, f"weight_hh_{suffix}"), self.nonlinearity == "relu"
        return (_rnn(self._inputs(x, suffix, "bias_ih", "bias_hh"), *state, weight, relu),)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(the last layer's states at each time, the last state of each layer)"""
        y, (h_n,) = self._run(x, None if h is None else (h,))
        return y, h_n


class LSTM(_Recurrent):
    """Long short-term memory: see fused/recurrent.py; gates in the order i, f, g, o"""

    gates, states = 4, 2

    def over_time(self, x: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        weight = getattr(self, f"weight_hh_{suffix}")
        both = _lstm(self._inputs(x, suffix, "bias_ih", "bias_hh"), *state, weight)
        return both[0], both[1]

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(the last layer's h at each time, (the last h, the last c) of each layer)"""
        y, (h_n, c_n) = self._run(x, state)
        return y, (h_n, c_n)


class GRU(_Recurrent):
    """Gated recurrent unit: see fused/recurrent.py; gates in the order r, z, n"""

    gates = 3

    def over_time(self, x: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        weight = getattr(self, f"weight_hh_{suffix}")
        bias = (
            getattr(self, f"bias_hh_{suffix}") if self.bias else zeros(len(weight), dtype=x.dtype)
        )
        return (_gru(self._inputs(x, suffix, "bias_ih"), *state, weight, bias),)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(the last layer's states at each time, the last state of each layer)"""
        y, (h_n,) = self._run(x, None if h is None else (h,))
        return y, h_n
