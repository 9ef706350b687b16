"""Writing: a prompt is read, then tokens are produced one by one. Ours beside transformers, and
beside llama.cpp where weights are int8.

gpt2-decode    GPT-2 124M, 32 tokens of prompt, 64 new ones, each other's keys and values kept
gpt2-prefill   the same model reads 1,024 tokens and gives the logits of the next
baby-decode    the preset baby writes 63 tokens after one: with kept keys and values, and without,
               as nanoGPT does

A token at a time is bound by reading the weights: GB/s are those of the weights that are read.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.timing import Factory, Row, digest, race
from gpt.config import GPTConfig
from gpt.model import GPT
from gpt.presets import PRESETS
from gpt.writing.sampling import Sampling, generate
from tinygrad_lite import get_num_threads, has_bfloat16, no_grad, precision

Call = tuple[Callable[[], object], dict[str, np.ndarray]]

# The preset, tokens of prompt, new tokens
CONFIGS = {
    "gpt2-decode": ("gpt2", 32, 64),
    "gpt2-prefill": ("gpt2", 1024, 0),
    "baby-decode": ("baby", 1, 63),
}
SIZES = {"bfloat16": 2, "int8": 1.125, "Q8_0": 1.0625}  # bytes of a weight
GREEDY = Sampling(temperature=0)


def run(config: str, peers: list[str]) -> list[Row]:
    preset, prompt, new = CONFIGS[config]
    kinds = ["float32", "bfloat16"] if has_bfloat16() else ["float32"]
    stored = ["int8"] if new and preset == "gpt2" else []
    threads = get_num_threads()
    contenders: dict[str, tuple[Factory, tuple]] = {}
    for kind in [*kinds, *stored]:
        contenders[f"ours {kind}"] = (ours, (config, kind, True))
    if preset == "baby":
        contenders["uncached float32"] = (ours, (config, "float32", False))
        if "torch" in peers:
            contenders["torch uncached"] = (of_torch, (config, threads))
    elif "transformers" in peers:
        for kind in kinds:
            contenders[f"torch {kind}"] = (of_transformers, (config, threads, kind))
    if "llama_cpp" in peers and stored:
        contenders["llama.cpp Q8_0"] = (of_llama, (config, threads))
    rows = race("generate", config, contenders, 8, tolerance=1e-3)
    model = _config(preset)
    read = 12 * model.n_layer * model.n_embd**2 + model.vocab_size * model.n_embd
    for row in rows:
        row.tokens_per_second = 1000 * (new or prompt) / row.median_ms
        if new and "uncached" not in row.contender:
            size = next((s for kind, s in SIZES.items() if kind in row.contender), 4)
            row.gb_per_s = size * read * row.tokens_per_second / 1e9
    return rows


def _config(preset: str) -> GPTConfig:
    return GPTConfig(**{"vocab_size": 65, **PRESETS[preset].model})


def _model(config: str) -> tuple[GPT, np.ndarray]:
    """A model with random values, the same in every process, and a prompt"""
    preset, prompt, _ = CONFIGS[config]
    model = GPT(_config(preset))
    model.eval()
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, prompt)
    return model, tokens


def ours(config: str, dtype: str, cache: bool) -> Call:
    model, prompt = _model(config)
    new = CONFIGS[config][2]

    kept = ExitStack()
    kept.enter_context(precision("auto" if dtype == "int8" else dtype))
    if dtype != "float32":
        model.int8() if dtype == "int8" else model.bfloat16()

    def write(kept: ExitStack = kept) -> object:
        return list(generate(model, prompt, new, GREEDY, cache=cache))

    def read() -> np.ndarray:
        with no_grad():
            return model.next_logits(prompt[None], model.new_cache(1)).numpy()

    return (write if new else read), {"logits": digest(read())}


def of_transformers(config: str, threads: int, dtype: str) -> Call:
    import torch
    import transformers

    from gpt.exchange.huggingface import state_to

    torch.set_num_threads(threads)
    model, prompt = _model(config)
    about = model.config
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=about.vocab_size,
            n_layer=about.n_layer,
            n_head=about.n_head,
            n_embd=about.n_embd,
        )
    ).eval()
    state = state_to({n: p.numpy() for n, p in model.named_parameters()}, about)
    theirs.load_state_dict({n: torch.tensor(a) for n, a in state.items()}, strict=False)
    theirs = theirs.to(getattr(torch, dtype))
    tokens, new = torch.tensor(prompt[None]), CONFIGS[config][2]

    @torch.inference_mode()
    def write() -> object:
        return theirs.generate(
            tokens, max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0
        )

    @torch.inference_mode()
    def read() -> torch.Tensor:
        return theirs(tokens, logits_to_keep=1).logits[:, -1].float()

    return (write if new else read), {"logits": digest(read().numpy())}


def of_llama(config: str, threads: int) -> Call:
    """llama.cpp with its Q8_0: int8 in blocks of 32, a float16 scale beside each"""
    from benchmarks.llama_gpt import LlamaGPT, write_gguf

    model, prompt = _model(config)
    new = CONFIGS[config][2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_gguf(model, path)
        other = LlamaGPT(path, len(prompt) + new, threads)
    logits = other.logits(prompt).copy()
    return lambda: other.write(prompt, new), {"logits": digest(logits[None])}


def of_torch(config: str, threads: int) -> Call:
    """nanoGPT's way: a pass over the whole window for each token"""
    import torch

    from benchmarks.torch_gpt import TorchGPT

    torch.set_num_threads(threads)
    model, prompt = _model(config)
    other, new = TorchGPT(model), CONFIGS[config][2]

    @torch.inference_mode()
    def write() -> object:
        tokens = torch.tensor(prompt[None])
        for _ in range(new):
            window = tokens[:, -model.config.block_size :]
            tokens = torch.cat((tokens, other(window)[:, -1:].argmax(-1)), 1)
        return tokens

    with torch.inference_mode():
        logits = other(torch.tensor(prompt[None]))[:, -1].numpy()
    return write, {"logits": digest(logits)}
