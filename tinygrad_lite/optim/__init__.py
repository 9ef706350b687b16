"""Optimizers in PyTorch's vocabulary, gradient clipping, and learning-rate schedules."""

from tinygrad_lite.optim.adam import Adam, AdamW
from tinygrad_lite.optim.clip import clip_factor, clip_grad_norm, grad_norm
from tinygrad_lite.optim.muon import Muon, orthogonalize
from tinygrad_lite.optim.optimizer import Optimizer
from tinygrad_lite.optim.schedules import warmup_cosine, warmup_plateau_decay
from tinygrad_lite.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Muon",
    "Optimizer",
    "clip_factor",
    "clip_grad_norm",
    "grad_norm",
    "orthogonalize",
    "warmup_cosine",
    "warmup_plateau_decay",
]
