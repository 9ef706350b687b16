"""A reverse-mode autograd engine for CPUs on NumPy and Numba."""

from inspect import ismodule as _is_module

from tinygrad_lite import methods as _methods  # attaches the operations to Tensor
from tinygrad_lite import nn, optim
from tinygrad_lite.examine import Finding, examine
from tinygrad_lite.fused.activations import gelu, relu, relu_squared, sigmoid, silu, softplus
from tinygrad_lite.fused.attention import attention_weights, scaled_dot_product_attention
from tinygrad_lite.fused.cross_entropy import cross_entropy
from tinygrad_lite.fused.dropout import dropout
from tinygrad_lite.fused.embedding import embedding
from tinygrad_lite.fused.kv_cache import KVCache
from tinygrad_lite.fused.layernorm import layernorm
from tinygrad_lite.fused.linear import linear
from tinygrad_lite.fused.rmsnorm import rmsnorm
from tinygrad_lite.fused.rotary import rotary, rotary_angles
from tinygrad_lite.fused.softmax import log_softmax, softmax
from tinygrad_lite.fused.token_shift import token_shift
from tinygrad_lite.gradcheck import check_gradients
from tinygrad_lite.jit import jit
from tinygrad_lite.kernels.ahead import compile_ahead, count_missing
from tinygrad_lite.kernels.cpu import has_bfloat16
from tinygrad_lite.kernels.functions import on_compile
from tinygrad_lite.kernels.memory import keep_freed_memory as _keep_freed_memory
from tinygrad_lite.kernels.precision import get_precision, precision
from tinygrad_lite.kernels.team import get_num_threads, set_num_threads
from tinygrad_lite.mistakes import find_mistakes
from tinygrad_lite.ops.creation import (
    arange,
    eye,
    full,
    linspace,
    ones,
    ones_like,
    rand,
    randint,
    randn,
    zeros,
    zeros_like,
)
from tinygrad_lite.ops.elementwise import (
    clip,
    cos,
    exp,
    leaky_relu,
    log,
    masked_fill,
    maximum,
    minimum,
    rsqrt,
    sin,
    sqrt,
    tanh,
    where,
)
from tinygrad_lite.ops.matmul import dot, einsum, matmul
from tinygrad_lite.ops.movement import cat, gather, one_hot, stack, tril, triu
from tinygrad_lite.ops.reductions import logsumexp
from tinygrad_lite.state import load_metadata, load_state, save_state, write_atomically
from tinygrad_lite.tensor import Tensor, elementwise, is_grad_enabled, no_grad, op

__version__ = "0.1.0"
_keep_freed_memory()
del _methods

__all__ = [
    name
    for name, value in list(globals().items())
    if not name.startswith("_") and (name in ("nn", "optim") or not _is_module(value))
]
