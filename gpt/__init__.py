"""A GPT library, built only on tinygrad_lite's public names.

    import gpt

    model, tokenizer = gpt.load("runs/shakespeare")
    for token in gpt.generate(model, tokenizer.encode("ROMEO:"), tokens=100):
        print(tokenizer.decode([token]), end="")

Names are imported when they are first used: `gpt info` does not wait for the engine.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpt.config import GPTConfig as GPTConfig
    from gpt.config import TrainConfig as TrainConfig
    from gpt.inside.forward import record_pass as record_pass
    from gpt.model import GPT as GPT
    from gpt.presets import PRESETS as PRESETS
    from gpt.presets import preset as preset
    from gpt.text.finding import load_corpus as load_corpus
    from gpt.text.tokenizer_files import build_tokenizer as build_tokenizer
    from gpt.training.evaluate import evaluate as evaluate
    from gpt.training.loop import train as train
    from gpt.training.run import Run as Run
    from gpt.training.run import load as load
    from gpt.training.state import TrainState as TrainState
    from gpt.writing.sampling import Sampling as Sampling
    from gpt.writing.sampling import generate as generate
    from gpt.writing.sampling import generate_batch as generate_batch

_PLACES = {
    "GPT": "model",
    "GPTConfig": "config",
    "PRESETS": "presets",
    "Run": "training.run",
    "Sampling": "writing.sampling",
    "TrainConfig": "config",
    "TrainState": "training.state",
    "build_tokenizer": "text.tokenizer_files",
    "evaluate": "training.evaluate",
    "generate": "writing.sampling",
    "generate_batch": "writing.sampling",
    "load": "training.run",
    "load_corpus": "text.finding",
    "preset": "presets",
    "record_pass": "inside.forward",
    "train": "training.loop",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'gpt' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gpt.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
