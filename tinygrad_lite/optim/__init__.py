"""Optimizers in PyTorch's vocabulary, gradient clipping, and learning-rate schedules."""

from tinygrad_lite.optim.adam import Adam, AdamW
from tinygrad_lite.optim.adaptive import Adagrad, Adamax, Lamb, Lion, NAdam, RMSprop
from tinygrad_lite.optim.averages import ExponentialMovingAverage
from tinygrad_lite.optim.clip import clip_factor, clip_grad_norm, grad_norm
from tinygrad_lite.optim.lbfgs import LBFGS
from tinygrad_lite.optim.muon import Muon, orthogonalize
from tinygrad_lite.optim.optimizer import Optimizer
from tinygrad_lite.optim.schedulers import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from tinygrad_lite.optim.schedules import warmup_cosine, warmup_plateau_decay
from tinygrad_lite.optim.sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "ExponentialMovingAverage",
    "LRScheduler",
    "Lamb",
    "LambdaLR",
    "LinearLR",
    "Lion",
    "MultiStepLR",
    "Muon",
    "NAdam",
    "OneCycleLR",
    "Optimizer",
    "PolynomialLR",
    "RMSprop",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "clip_factor",
    "clip_grad_norm",
    "grad_norm",
    "orthogonalize",
    "warmup_cosine",
    "warmup_plateau_decay",
]
