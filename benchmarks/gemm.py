"""Matrix products at the shapes of the training steps. Ours beside NumPy's and PyTorch's."""

from collections.abc import Callable

import numpy as np

from benchmarks.timing import Factory, Row, race
from tinygrad_lite import get_num_threads, has_bfloat16, precision
from tinygrad_lite.kernels.gemm import gemm

# (M, K) x (K, N); "nt" has B as (N, K), "tn" has A as (K, M): the products of a linear layer
SHAPES = {
    "baby up nt": (768, 128, 512, "nt"),
    "baby down nt": (768, 512, 128, "nt"),
    "baby up dx nn": (768, 512, 128, "nn"),
    "baby up dw tn": (512, 768, 128, "tn"),
    "wide up nt": (2048, 192, 768, "nt"),
    "wide up dx nn": (2048, 768, 192, "nn"),
    "wide up dw tn": (768, 2048, 192, "tn"),
    "shake up nt": (2048, 384, 1536, "nt"),
    "shake up dw tn": (1536, 2048, 384, "tn"),
    "gpt2 up nt": (256, 768, 3072, "nt"),
    "gpt2 head nt": (256, 768, 50304, "nt"),
}


def run(config: str, peers: list[str]) -> list[Row]:
    contenders: dict[str, tuple[Factory, tuple]] = {
        "ours float32": (ours, (config,)),
        "numpy": (of_numpy, (config,)),
    }
    if "torch" in peers:
        contenders["torch float32"] = (of_torch, (config, get_num_threads()))
    m, k, n, _ = SHAPES[config]
    if has_bfloat16():
        contenders["ours bfloat16"] = (ours, (config, "bfloat16"))
        if "torch" in peers:
            contenders["torch bfloat16"] = (of_torch, (config, get_num_threads(), "bfloat16"))
    return race("gemm", config, contenders, 20, tolerance=1e-4, flops=2 * m * n * k)


def _operands(config: str) -> tuple[np.ndarray, np.ndarray, str]:
    m, k, n, kind = SHAPES[config]
    rng = np.random.default_rng(0)
    a = rng.standard_normal((k, m) if kind == "tn" else (m, k)).astype(np.float32)
    b = rng.standard_normal((n, k) if kind == "nt" else (k, n)).astype(np.float32)
    return a, b, kind


def ours(config: str, dtype: str = "float32") -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    a, b, kind = _operands(config)
    m, _, n, _ = SHAPES[config]
    out = np.empty((1, m, n), np.float32)

    def call() -> np.ndarray:
        with precision(dtype):
            return gemm(out, a[None], b[None], transpose_a=kind == "tn", transpose_b=kind == "nt")

    return call, {"product": call()[0].copy()}


def of_numpy(config: str) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    a, b, kind = _operands(config)
    a, b = a.T if kind == "tn" else a, b.T if kind == "nt" else b
    out = np.empty((len(a), b.shape[1]), np.float32)
    return lambda: np.matmul(a, b, out=out), {"product": a @ b}


def of_torch(
    config: str, threads: int, dtype: str = "float32"
) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    import torch

    torch.set_num_threads(threads)
    a, b, kind = _operands(config)
    x, y = (torch.tensor(z).to(getattr(torch, dtype)) for z in (a, b))
    x, y = x.T if kind == "tn" else x, y.T if kind == "nt" else y
    out = torch.empty(len(x), y.shape[1], dtype=x.dtype)
    return lambda: torch.matmul(x, y, out=out), {"product": (x @ y).float().numpy()}
