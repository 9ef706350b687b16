"""A reverse-mode autograd engine for CPUs on NumPy and Numba."""

import builtins as _builtins
from inspect import ismodule as _is_module

from tinygrad_lite import data, distributed, linalg, nn, optim
from tinygrad_lite import methods as _methods  # attaches the operations to Tensor
from tinygrad_lite import protocols as _protocols  # and NumPy's functions
from tinygrad_lite.derivatives import (
    create_graph,
    grad,
    gradients,
    hessian,
    hessian_vector_product,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)
from tinygrad_lite.draw import draw
from tinygrad_lite.examine import Finding, examine
from tinygrad_lite.functional.activations import (
    celu,
    elu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    logsigmoid,
    mish,
    prelu,
    quick_gelu,
    relu6,
    selu,
    softmin,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from tinygrad_lite.functional.images import (
    col2im,
    grid_sample,
    im2col,
)
from tinygrad_lite.functional.interpolation import interpolate, pixel_shuffle, pixel_unshuffle
from tinygrad_lite.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    linear_cross_entropy,
    mse_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
from tinygrad_lite.functional.margins import (
    cosine_embedding_loss,
    cosine_similarity,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    pairwise_distance,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from tinygrad_lite.functional.norms import (
    batch_norm,
    group_norm,
    instance_norm,
    local_response_norm,
)
from tinygrad_lite.functional.products import (
    addbmm,
    addmm,
    addmv,
    addr,
    baddbmm,
    bilinear,
    block_diag,
    cartesian_prod,
    cdist,
    combinations,
    corrcoef,
    cov,
    cross,
    dist,
    inner,
    kron,
    outer,
    pdist,
    tensordot,
    vdot,
)
from tinygrad_lite.functional.statistics import (
    aminmax,
    bincount,
    bucketize,
    cumulative_trapezoid,
    diff,
    histc,
    median,
    mode,
    nanmean,
    nanmedian,
    nanquantile,
    nansum,
    quantile,
    renorm,
    trapezoid,
    unique,
    unique_consecutive,
    unravel_index,
)
from tinygrad_lite.fused.activations import (
    gelu,
    leaky_relu,
    relu,
    relu_squared,
    sigmoid,
    silu,
    softplus,
)
from tinygrad_lite.fused.attention import attention_weights, scaled_dot_product_attention
from tinygrad_lite.fused.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from tinygrad_lite.fused.dropout import (
    alpha_dropout,
    dropout,
    feature_alpha_dropout,
    feature_dropout,
    rows_drawn,
)
from tinygrad_lite.fused.embedding import embedding, embedding_bag
from tinygrad_lite.fused.kv_cache import KVCache
from tinygrad_lite.fused.layernorm import layernorm
from tinygrad_lite.fused.linear import linear
from tinygrad_lite.fused.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
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
from tinygrad_lite.ops.comparisons import (
    allclose,
    eq,
    equal,
    ge,
    gt,
    isclose,
    isfinite,
    isin,
    isinf,
    isnan,
    isneginf,
    isposinf,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
    signbit,
)
from tinygrad_lite.ops.creation import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from tinygrad_lite.ops.elementwise import (
    abs,
    add,
    addcdiv,
    addcmul,
    ceil,
    clip,
    copysign,
    deg2rad,
    div,
    float_power,
    floor,
    floor_div,
    fmax,
    fmin,
    fmod,
    frac,
    gcd,
    heaviside,
    lcm,
    lerp,
    masked_fill,
    maximum,
    minimum,
    mul,
    nan_to_num,
    neg,
    nextafter,
    positive,
    pow,
    rad2deg,
    reciprocal,
    remainder,
    round,
    sign,
    square,
    sub,
    trunc,
    where,
)
from tinygrad_lite.ops.indexing import (
    argwhere,
    gather,
    index_select,
    masked_select,
    nonzero,
    one_hot,
    take,
)
from tinygrad_lite.ops.joining import (
    cat,
    chunk,
    column_stack,
    dsplit,
    dstack,
    hsplit,
    hstack,
    narrow,
    split,
    stack,
    tensor_split,
    unbind,
    vsplit,
    vstack,
)
from tinygrad_lite.ops.matmul import dot, einsum, matmul
from tinygrad_lite.ops.movement import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_tensors,
    channel_shuffle,
    diag,
    diag_embed,
    diagflat,
    diagonal,
    expand,
    flatten,
    flip,
    fliplr,
    flipud,
    meshgrid,
    movedim,
    permute,
    ravel,
    repeat_interleave,
    reshape,
    roll,
    rot90,
    squeeze,
    swapaxes,
    tile,
    trace,
    transpose,
    tril,
    triu,
    unflatten,
    unsqueeze,
)
from tinygrad_lite.ops.padding import pad
from tinygrad_lite.ops.random import (
    bernoulli,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from tinygrad_lite.ops.reductions import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    logsumexp,
    max,
    mean,
    min,
    norm,
    normalize,
    prod,
    std,
    std_mean,
    sum,
    var,
    var_mean,
)
from tinygrad_lite.ops.scans import cummax, cummin, cumprod, cumsum, logcumsumexp
from tinygrad_lite.ops.scatter import (
    diagonal_scatter,
    index_add,
    index_put,
    index_reduce,
    masked_scatter,
    put,
    scatter,
    scatter_add,
    scatter_reduce,
    select_scatter,
    slice_scatter,
)
from tinygrad_lite.ops.sorting import argsort, searchsorted, sort, topk
from tinygrad_lite.ops.special import (
    digamma,
    entr,
    erfinv,
    lgamma,
    mvlgamma,
    ndtr,
    ndtri,
    polygamma,
    xlog1py,
)
from tinygrad_lite.ops.transcendental import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    hypot,
    ldexp,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logaddexp2,
    logit,
    rsqrt,
    sin,
    sinc,
    sinh,
    sqrt,
    tan,
    tanh,
    xlogy,
)
from tinygrad_lite.state import load_metadata, load_state, save_state, write_atomically
from tinygrad_lite.tensor import Tensor, elementwise, is_grad_enabled, no_grad, op

__version__ = "0.1.0"
_keep_freed_memory()
del _methods, _protocols

_MODULES = ("data", "distributed", "linalg", "nn", "optim")
__all__ = [  # `sum`, `max` and the like stay Python's own after `from tinygrad_lite import *`
    name
    for name, value in list(globals().items())
    if not (name.startswith("_") or hasattr(_builtins, name))
    and (name in _MODULES or not _is_module(value))
]
