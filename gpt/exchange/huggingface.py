"""GPT-2 checkpoints in the format of Hugging Face's `transformers`, in and out.

A checkpoint is a folder: config.json, model.safetensors (or several files and an index that says
which tensor is where), and tokenizer files. GPT-2's tensors differ from ours in two ways: a linear
layer keeps its weight as (in, out), the transpose of ours, and query, key and value are one.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from gpt.config import GPTConfig
from gpt.errors import require
from gpt.size import describe
from gpt.text.tokenizer_files import tokenizer_from_files
from gpt.text.tokenizers import (
    UNKNOWN,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
)
from gpt.training.room import check_room
from gpt.training.setup import write_json
from tinygrad_lite import save_state

ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu",
               "relu": "relu", "silu": "silu"}  # fmt: skip
LAYERNORM_EPS = 1e-5
PREFIX = "transformer."
DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # safetensors' names, and NumPy's


def config_from(data: Mapping[str, Any]) -> GPTConfig:
    """The configuration that a config.json describes"""
    require(
        data.get("model_type") == "gpt2",
        "import: the model must be of the GPT-2 family.",
        f"model_type={data.get('model_type')!r} ({', '.join(data.get('architectures') or [])})",
        "openai-community/gpt2, or another whose config.json says gpt2",
    )
    activation = data.get("activation_function", "gelu_new")
    require(
        activation in list(ACTIVATIONS)
        and data.get("layer_norm_epsilon", LAYERNORM_EPS) == LAYERNORM_EPS
        and data.get("scale_attn_weights", True)
        and not data.get("scale_attn_by_inverse_layer_idx", False),
        "import: the model must compute what GPT-2 does.",
        f"activation_function={activation!r},"
        f" layer_norm_epsilon={data.get('layer_norm_epsilon', LAYERNORM_EPS)}, scale_attn_...",
        f"a model with one of {', '.join(ACTIVATIONS)}, and an epsilon of {LAYERNORM_EPS}",
    )  # fmt: skip
    return GPTConfig(
        vocab_size=data["vocab_size"],
        n_layer=data["n_layer"],
        n_head=data["n_head"],
        n_embd=data["n_embd"],
        block_size=data.get("n_positions", data.get("n_ctx", 1024)),
        d_ff=data.get("n_inner") or 0,
        dropout=0.0,  # for fine-tuning it is given on the command line
        bias=True,
        activation=ACTIVATIONS[activation],
        tie_weights=data.get("tie_word_embeddings", True),
    )


def config_to(config: GPTConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """A config.json; ValueError where GPT-2 cannot compute what the model does"""
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    needed = {
        "norm_placement": "pre", "norm": "layernorm", "final_norm": True, "position": "learned",
        "qk_norm": False, "token_shift": False, "head_bias": False,
    }  # fmt: skip
    wrong = [f"{n}={getattr(config, n)!r}" for n, v in needed.items() if getattr(config, n) != v]
    wrong += [] if config.activation in names else [f"activation={config.activation!r}"]
    require(
        not wrong,
        "export: a GPT-2 has norms before, learned positions and no other options.",
        ", ".join(wrong),
        "a model of --preset baby, bpe or gpt2",
    )
    end = tokenizer.end_of_text
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "n_positions": config.block_size,
        "n_inner": config.d_ff,
        "activation_function": names[config.activation],
        "layer_norm_epsilon": LAYERNORM_EPS,
        "tie_word_embeddings": config.tie_weights,
        "bos_token_id": end,
        "eos_token_id": end,
        "torch_dtype": "float32",
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout),
    }


def _pairs(config: GPTConfig) -> Iterator[tuple[list[str], str, tuple[int, ...]]]:
    """(our names, theirs, their shape); several of ours are joined along the last axis of theirs"""
    c, up = config.n_embd, config.d_ff
    yield ["token_embedding.weight"], "wte.weight", (config.vocab_size, c)
    yield ["position.embedding.weight"], "wpe.weight", (config.block_size, c)
    for i in range(config.n_layer):
        qkv = [f"attention.{part}" for part in ("query", "key", "value")]
        for parts, theirs, rows, columns in (
            (["norm_1"], "ln_1", 0, c),
            (qkv, "attn.c_attn", c, 3 * c),
            (["attention.output"], "attn.c_proj", c, c),
            (["norm_2"], "ln_2", 0, c),
            (["mlp.up"], "mlp.c_fc", c, up),
            (["mlp.output"], "mlp.c_proj", up, c),
        ):
            for kind, shape in (("weight", (rows, columns) if rows else (columns,)),
                                ("bias", (columns,))):  # fmt: skip
                yield [f"blocks.{i}.{p}.{kind}" for p in parts], f"h.{i}.{theirs}.{kind}", shape
    yield ["final_norm.weight"], "ln_f.weight", (c,)
    yield ["final_norm.bias"], "ln_f.bias", (c,)
    if not config.tie_weights:
        yield ["head.weight"], "lm_head.weight", (config.vocab_size, c)


def _transposed(name: str) -> bool:
    """Whether a tensor of theirs is the transpose of ours"""
    return name.endswith(".weight") and (".c_" in name)


def state_from(tensors: Mapping[str, Any], config: GPTConfig) -> dict[str, np.ndarray]:
    """Our parameters, for theirs by name; ValueError lists what is missing, extra or misshapen."""
    given = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    require(
        len(given) == len(tensors),
        "import: the file must hold each tensor once.",
        f"{len(tensors)} tensors with {len(given)} names, with and without {PREFIX!r}",
        "another copy of the checkpoint",
    )
    expected = {theirs: shape for _, theirs, shape in _pairs(config)}
    masks = (".attn.bias", ".attn.masked_bias")  # constants in old files
    extra = [n for n in given if n not in expected and not n.endswith(masks)]
    extra = [n for n in extra if not (n == "lm_head.weight" and config.tie_weights)]
    wrong = [f"{name} is missing" for name in expected if name not in given]
    wrong += [f"{name} is not part of the model" for name in extra]
    wrong += [
        f"{name} is {tuple(given[name].shape)} in the file and {shape} in the model"
        for name, shape in expected.items()
        if name in given and tuple(given[name].shape) != shape
    ]
    more = f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""
    require(
        not wrong,
        "import: the file must hold exactly the tensors of its config.json.",
        "; ".join(wrong[:8]) + more,
        "another copy of the checkpoint",
    )
    state = {}
    for ours, theirs, _ in _pairs(config):
        array = np.asarray(given[theirs][...], np.float32)
        require(
            bool(np.isfinite(array).all()),
            "import: weights must be finite.",
            f"NaN or infinity in {theirs}",
            "another copy of the checkpoint",
        )
        parts = np.split(array, len(ours), -1) if len(ours) > 1 else [array]
        for name, part in zip(ours, parts, strict=True):
            state[name] = np.ascontiguousarray(part.T if _transposed(theirs) else part)
    return state


def state_to(state: Mapping[str, np.ndarray], config: GPTConfig) -> dict[str, np.ndarray]:
    """Their tensors, for ours by name; biases that the model does not have are zeros"""
    tensors = {}
    for ours, theirs, shape in _pairs(config):
        if ours[0] in state:
            parts = [state[name].T if _transposed(theirs) else state[name] for name in ours]
            array = np.concatenate(parts, -1) if len(parts) > 1 else parts[0]
        else:
            array = np.zeros(shape, np.float32)
        prefix = "" if theirs.startswith("lm_head") else PREFIX
        tensors[prefix + theirs] = np.ascontiguousarray(array)
    return tensors


class _Tensor:
    """A tensor in a file, read when it is asked for: float32, float16 or bfloat16"""

    def __init__(self, path: Path, header: Mapping[str, Any], start: int):
        self.path, self.kind, self.shape = path, header["dtype"], tuple(header["shape"])
        self.offset = start + header["data_offsets"][0]

    def __getitem__(self, index: Any) -> np.ndarray:
        require(
            self.kind in DTYPES,
            "import: tensors must be float32, float16 or bfloat16.",
            f"{self.kind} in {self.path}",
            "a checkpoint in one of them",
        )
        data = np.fromfile(
            self.path, DTYPES[self.kind], math.prod(self.shape), offset=self.offset
        ).reshape(self.shape)
        if self.kind == "BF16":  # the upper half of a float32
            data = (data.astype(np.uint32) << 16).view(np.float32)
        return data[index]


def _read_tensors(folder: Path) -> dict[str, _Tensor]:
    """The tensors of model.safetensors, or of the files that its index names"""
    index = folder / "model.safetensors.index.json"
    names = {"model.safetensors"}
    if index.is_file():
        names = set(_read_json(index)["weight_map"].values())
        outside = [n for n in names if not isinstance(n, str) or Path(n).name != n]
        require(
            not outside,
            "import: the index names files of its own folder.",
            f"{outside[0] if outside else ''!r} in {index}",
            "a folder that save_pretrained has written",
        )
    tensors: dict[str, _Tensor] = {}
    for name in sorted(names):
        path = folder / name
        require(
            path.is_file(),
            "import: the weights must be there as safetensors.",
            f"{folder} without {name}",
            "a folder that save_pretrained has written",
        )
        try:
            with safe_open(path, "numpy"):  # checks that the file is whole
                pass
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"import: {name} must be a complete safetensors file.\n  got {path}: {error}\n"
                "  try to download it again"
            ) from error
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        twice = [n for n in header if n in tensors]
        require(
            not twice,
            "import: each tensor is in one file.",
            f"{twice[0] if twice else ''} in {name} and in another",
            "another copy of the checkpoint",
        )
        tensors |= {n: _Tensor(path, about, 8 + length) for n, about in header.items()}
    return tensors


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"import: {path.name} must be there, and JSON.\n  got {path}: {error}\n"
            "  try a folder that save_pretrained has written"
        ) from error


def load_checkpoint(folder: str | Path) -> tuple[GPTConfig, dict[str, np.ndarray], Tokenizer]:
    """The configuration, our parameters by name, and the tokenizer of a checkpoint's folder"""
    folder = Path(folder)
    data = _read_json(folder / "config.json")
    try:
        config = config_from(data)
    except (KeyError, TypeError, AttributeError) as error:
        told = f"none of {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"import: config.json must describe the model.\n  got {told} in {folder}\n"
            "  try another copy of the checkpoint"
        ) from error
    check_room(2 * describe(config, 1)["inference_mb"], f"the model in {folder}")
    tokenizer = tokenizer_from_files(folder)
    require(
        tokenizer.vocab_size <= config.vocab_size,
        "import: the model has a place for every token of the tokenizer.",
        f"{tokenizer.vocab_size} tokens and vocab_size={config.vocab_size} in {folder}",
        "the tokenizer files of this model",
    )
    try:
        return config, state_from(_read_tensors(folder), config), tokenizer
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"import: files must be as save_pretrained writes them.\n  got {folder}: {error}\n"
            "  try another copy of the checkpoint"
        ) from error


def save_checkpoint(
    folder: str | Path, config: GPTConfig, state: Mapping[str, np.ndarray], tokenizer: Tokenizer
) -> None:
    """Write a folder for AutoModelForCausalLM and AutoTokenizer."""
    folder = Path(folder)
    about = config_to(config, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    end = None if tokenizer.end_of_text is None else tokenizer.pieces([tokenizer.end_of_text])[0]
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.block_size,
        "clean_up_tokenization_spaces": False,
        **dict.fromkeys(("bos_token", "eos_token", "unk_token"), end),
    }
    save_state(folder / "model.safetensors", state_to(state, config), {"format": "pt"})
    for name, data in (
        ("tokenizer.json", tokenizer_to(tokenizer)),
        ("tokenizer_config.json", {n: v for n, v in settings.items() if v is not None}),
        ("config.json", about),
    ):
        write_json(folder / name, data)


def tokenizer_to(tokenizer: Tokenizer) -> Any:
    """The tokenizer as a tokenizer.json of the `tokenizers` library"""
    if isinstance(tokenizer, ByteTokenizer):
        return json.loads(tokenizer.inner.to_str())
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Inner

    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    # Of characters none stands for what is unknown: that is refused, as it is here
    model = models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token=UNKNOWN)
    inner = Inner(model)
    if isinstance(tokenizer, CharTokenizer):
        inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        inner.decoder = decoders.Fuse()
    elif isinstance(tokenizer, WordTokenizer):
        pattern = Regex(WordTokenizer.pattern.pattern)
        inner.pre_tokenizer = pre_tokenizers.Split(pattern, "removed", invert=True)
    return json.loads(inner.to_str())
