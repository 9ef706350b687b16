"""GPT-2 in llama.cpp: our weights in its file format, the matrices rounded by its own Q8_0."""

from pathlib import Path

import numpy as np

from gpt.exchange.huggingface import state_to
from gpt.model import GPT

EPSILON = 1e-5  # of GPT-2's layer norms, as of ours


def write_gguf(model: GPT, path: Path) -> None:
    """The model as llama.cpp reads it, without a vocabulary: tokens are numbers"""
    import gguf

    about = model.config
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(about.block_size)
    writer.add_embedding_length(about.n_embd)
    writer.add_feed_forward_length(about.d_ff)
    writer.add_block_count(about.n_layer)
    writer.add_head_count(about.n_head)
    writer.add_layer_norm_eps(EPSILON)
    writer.add_vocab_size(about.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, about.n_layer)
    state = state_to({n: p.numpy() for n, p in model.named_parameters()}, about)
    for theirs, array in state.items():
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        matrix = array.ndim == 2 and "wpe" not in theirs
        if matrix and "wte" not in theirs:
            array = np.ascontiguousarray(array.T)  # transformers keeps (in, out)
        kind = gguf.GGMLQuantizationType.Q8_0 if matrix else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaGPT:
    """The model in llama.cpp, which keeps keys and values; a token at a time, or many"""

    def __init__(self, path: Path, context: int, threads: int):
        import llama_cpp

        self.api = llama_cpp
        self.llama = llama_cpp.Llama(
            str(path), n_ctx=context, n_batch=context, n_threads=threads, n_threads_batch=threads,
            verbose=False,
        )  # fmt: skip

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Of the token after these, which come after those before"""
        self.llama.eval(tokens.tolist())
        pointer = self.api.llama_get_logits(self.llama.ctx)
        return np.ctypeslib.as_array(pointer, (self.llama.n_vocab(),))

    def write(self, prompt: np.ndarray, new: int) -> list[int]:
        """Greedily"""
        self.llama.reset()
        written: list[int] = []
        for _ in range(new):
            logits = self.logits(np.array(written[-1:]) if written else prompt)
            written.append(int(logits.argmax()))
        return written
