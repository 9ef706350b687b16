"""From a long text to its token file, process start included; merges of bytes beside the library
that does them, given the same pieces."""

import os
import tempfile
from pathlib import Path

from benchmarks.start import in_process
from benchmarks.timing import Row
from gpt.text.named import shipped

CONFIGS = {"1000 MB characters": 1000, "50 MB bytes": 50}
RUNS = 3

OURS = """
from gpt.text.finding import load_corpus
from gpt.text.tokenizer_files import build_tokenizer
from gpt.text.tokens import tokenized
corpus = load_corpus([{path!r}])
survey = corpus.survey()
text = load_corpus("sample").text
tokenizer = build_tokenizer({kind!r}, survey.characters, text)
found = tokenized(corpus, survey, tokenizer, 0.1)
assert len(found.training) > 8 * len(found.validation)
"""
LIBRARY = """
from gpt.text.finding import load_corpus
from gpt.text.tokenizer_files import build_tokenizer
text = load_corpus("sample").text
inner = build_tokenizer("bytes", "", text).inner
whole = open({path!r}, encoding="utf-8").read()
pieces = [whole[i : i + 65536] for i in range(0, len(whole), 65536)]
for i in range(0, len(pieces), 64):
    inner.encode_batch_fast(pieces[i : i + 64])
"""


def run(config: str, peers: list[str]) -> list[Row]:
    kind = config.rpartition(" ")[2]
    programs = {"ours": OURS} | ({"tokenizers": LIBRARY} if kind == "bytes" else {})
    part = shipped("sample").encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text.txt")
        with path.open("wb") as file:
            while file.tell() < CONFIGS[config] * 1_000_000:
                file.write(part)
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        peaks = dict.fromkeys(programs, 0.0)
        for turn in range(RUNS):
            for name, program in programs.items():
                environment = {"XDG_CACHE_HOME": f"{folder}/{turn}"}  # where nothing is kept yet
                code = program.format(path=os.fspath(path), kind=kind)
                took, peak = in_process(code, environment)
                seconds[name].append(took)
                peaks[name] = max(peaks[name], peak)
    return [
        Row("tokens", config, name, 1000 * sorted(times)[len(times) // 2], 1000 * min(times),
            times[0], peaks[name])
        for name, times in seconds.items()
    ]  # fmt: skip
