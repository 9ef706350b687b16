"""Texts as streams: decoding, splits, tokens in memory and in files are those of the whole text."""

import gzip
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt.cli import run
from gpt.text import named, reading, tokens
from gpt.text.corpus import SEPARATOR
from gpt.text.counts import gzip_loss, ngram_losses
from gpt.text.finding import load_corpus
from gpt.text.reading import read_text
from gpt.text.tokenizer_files import build_tokenizer, tokenizer_from_files
from gpt.text.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer
from gpt.text.tokens import tokenized

SENTENCES = ["The quick brown fox, they say,", " jumps\n\nover\tthe lazy dog.", " Ça va? 你好",
             " 世界", "  ", "🙂🙂 isn't it 12345", "\n", "<|endoftext|>", "x" * 50]  # fmt: skip


def prose(length, seed=0):
    rng = random.Random(seed)
    return "".join(rng.choice(SENTENCES) for _ in range(length))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Everything in small parts, and tokens in files from the first on"""
    monkeypatch.setattr(reading, "BLOCK", 61)
    monkeypatch.setattr(tokens, "PIECE", 37)
    monkeypatch.setattr(tokens, "PIECES", 3)
    monkeypatch.setattr(tokens, "cache_folder", lambda: tmp_path / "cache")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.integers(3, 9), st.sampled_from(["", "\ufeff"]))
def test_a_stream_is_the_text_with_line_ends_of_this_system(text, block, mark):
    text = text.replace("\0", "").replace("\ufeff", "")
    path = Path(os.environ.get("PYTEST_TMP", "/tmp")) / f"stream-{os.getpid()}.txt"
    path.write_bytes((mark + text).encode("utf-8", "surrogatepass") if text else mark.encode())
    before, reading.BLOCK = reading.BLOCK, block
    try:
        if any("\ud800" <= c <= "\udfff" for c in text):
            with pytest.raises(ValueError, match="must be encoded as UTF-8"):
                list(read_text(path))
            return
        pieces = list(read_text(path))
    finally:
        reading.BLOCK = before
        path.unlink()
    assert "".join(pieces) == text.replace("\r\n", "\n").replace("\r", "\n")
    assert all(pieces)


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_not_text_is_refused_with_its_place_or_replaced(tmp_path, packed, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK", 7)
    path = tmp_path / "x.txt"
    for data, at, message in (
        (b"\xef\xbb\xbfgood text \xc3\xa9 then \xff bad", 21, "byte 0xff at offset 21"),
        (b"twelve bytes" + "é".encode()[:1], 12, "byte 0xc3 at offset 12"),
        (b"zero\0inside", 4, "a zero byte at offset 4"),
    ):
        path.write_bytes(gzip.compress(data) if packed else data)
        with pytest.raises(ValueError, match=message) as error:
            load_corpus([str(path)]).survey()
        assert "--errors replace" in str(error.value)
        found = load_corpus([str(path)], errors="replace")
        assert "\ufffd" in found.text
        assert found.survey().length == len(found.text)
        assert found.text.encode().index("\ufffd".encode()) in (at, at - 3)  # without the mark


def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "x.txt.gz"
    path.write_bytes(gzip.compress(prose(50).encode())[:-20])
    with pytest.raises(ValueError, match="a compressed file must be whole"):
        load_corpus([str(path)]).survey()


def learned(kind, corpus, survey):
    training, _ = corpus.splits(survey.lengths, 0.2)
    pieces = tokens.cut(p for span in training for p in span.pieces())
    if kind == "gpt2":
        return tokenizer_from_files(named.gpt2_folder())
    return build_tokenizer(kind, survey.characters, pieces, length=survey.length)


@pytest.mark.parametrize("kind", ["characters", "words", "bytes"])
@pytest.mark.parametrize("in_files", [False, True])
def test_tokens_of_streams_are_those_of_the_whole(tmp_path, small, kind, in_files, monkeypatch):
    if in_files:
        monkeypatch.setattr(tokens, "IN_MEMORY", 0)
    text = prose(400).replace("\ufeff", "")
    (tmp_path / "x.txt").write_text(text)
    corpus = load_corpus([str(tmp_path / "x.txt")])
    survey = corpus.survey()
    assert survey.characters == "".join(sorted(set(text)))
    tokenizer = learned(kind, corpus, survey)
    seen = []
    found = tokenized(corpus, survey, tokenizer, 0.2, progress=lambda *n: seen.append(n))
    at = int(len(text) * 0.8)
    before, after = tokenizer.encode(text[:at]), tokenizer.encode(text[at:])
    np.testing.assert_array_equal(found.training[:], before)
    np.testing.assert_array_equal(found.validation[:], np.concatenate([before[-1:], after]))
    assert (found.characters, found.bytes) == (len(text) - at, len(text[at:].encode()))
    assert seen[-1][0] == seen[-1][1] == len(text)
    index = np.array([[0, 3], [1, len(found.validation) - 1]])
    np.testing.assert_array_equal(found.validation[index], found.validation[:][index])
    assert found.training[5:9].dtype == found.training[index].dtype == np.int64
    assert found.training[-1:].tolist() == before[-1:].tolist()
    if in_files:
        assert isinstance(found.training, tokens.TokenFile)
        monkeypatch.setattr(tokens, "_write", None)  # not written again
        again = tokenized(corpus, survey, tokenizer, 0.2)
        np.testing.assert_array_equal(again.training[:], before)


def test_merges_learned_from_pieces_are_those_of_the_text(small):
    text = prose(300)
    whole = ByteTokenizer.of_text(text, 300)
    parts = ByteTokenizer.of_text(tokens.cut([text[:500], text[500:]]), 300)
    assert whole.as_json() == parts.as_json()
    words = WordTokenizer.of_text(tokens.cut([text]))
    assert words.words == WordTokenizer.of_text(text).words


@given(st.lists(st.text(max_size=30), max_size=8))
def test_cut_pieces_join_to_the_text(parts):
    before, tokens.PIECE = tokens.PIECE, 5
    try:
        pieces = list(tokens.cut(parts))
    finally:
        tokens.PIECE = before
    assert "".join(pieces) == "".join(parts)
    for piece in pieces[1:]:
        assert piece[0].isspace()


def test_text_without_white_space_is_cut_all_the_same(monkeypatch):
    monkeypatch.setattr(tokens, "PIECE", 10)
    monkeypatch.setattr(tokens, "LONGEST", 100)
    pieces = list(tokens.cut(["x" * 7] * 100))
    assert "".join(pieces) == "x" * 700
    assert max(map(len, pieces)) <= 107


def test_damaged_token_files_are_made_anew(tmp_path, small, monkeypatch):
    monkeypatch.setattr(tokens, "IN_MEMORY", 0)
    (tmp_path / "x.txt").write_text(prose(100))
    corpus = load_corpus([str(tmp_path / "x.txt")])
    survey = corpus.survey()
    tokenizer = CharTokenizer(survey.characters)
    right = tokenized(corpus, survey, tokenizer, 0.1).training[:]
    (folder,) = (tmp_path / "cache" / "tokens").iterdir()
    for name in ("training", "rest", "about.json"):
        for change in (lambda d: d[:-1], lambda d: b"", lambda d: d[:9] + b"~" + d[10:]):
            path = folder / name
            path.write_bytes(change(path.read_bytes()))
            np.testing.assert_array_equal(
                tokenized(corpus, survey, tokenizer, 0.1).training[:], right
            )
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_another_text_or_tokenizer_has_other_token_files(tmp_path, small, monkeypatch):
    monkeypatch.setattr(tokens, "IN_MEMORY", 0)
    path = tmp_path / "x.txt"
    for text in ("one text. " * 30, "a text too. " * 30):
        path.write_text(text)
        for characters in (text, text + "z"):
            corpus = load_corpus([str(path)])
            tokenizer = CharTokenizer(characters)
            found = tokenized(corpus, corpus.survey(), tokenizer, 0.0)
            assert tokenizer.decode(found.training[:]) == text
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 4


def test_several_documents_are_split_each_or_as_files(tmp_path):
    lengths = (100, 40, 60)
    for i, n in enumerate(lengths):
        (tmp_path / f"{i}.txt").write_text("abc"[i] * n)
    corpus = load_corpus([str(tmp_path)])
    survey = corpus.survey()
    assert survey.lengths == lengths
    tokenizer = CharTokenizer(survey.characters)
    each = tokenized(corpus, survey, tokenizer, 0.1)
    joined = SEPARATOR.join(["a" * 90, "b" * 36, "c" * 54])
    assert tokenizer.decode(each.training[:]) == joined
    assert tokenizer.decode(each.validation[1:]) == SEPARATOR.join(["a" * 10, "b" * 4, "c" * 6])
    files = tokenized(corpus, survey, tokenizer, 0.1, "files")
    assert tokenizer.decode(files.validation[1:]) == "c" * 60
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "own.md").write_text("cab")
    names = [str(tmp_path / f"{i}.txt") for i in range(3)]
    given = load_corpus(names, validation=[str(tmp_path / "v" / "own.md")])
    found = tokenized(given, given.survey(), tokenizer, 0.1)
    assert tokenizer.decode(found.validation[1:]) == "cab"
    assert len(found.training) == 200 + 2 * len(SEPARATOR)
    with pytest.raises(ValueError, match="of one document no whole ones"):
        load_corpus(names[:1]).splits([100], 0.1, "files")


def test_documents_end_with_the_end_of_a_text_where_there_is_one(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"{name} a text a text a text " * 20)
    corpus = load_corpus([str(tmp_path)])
    survey = corpus.survey()
    tokenizer = learned("bytes", corpus, survey)
    found = tokenized(corpus, survey, tokenizer, 0.0)
    assert (found.training[:] == tokenizer.end_of_text).sum() == 1


def test_counts_are_those_that_a_loop_counts():
    rng = np.random.default_rng(0)
    training, validation = rng.integers(0, 4, 300), rng.integers(0, 4, 50)

    def slow(order):
        total = 0.0
        for i in range(1, len(validation)):
            p = (np.sum(training == validation[i]) + 1) / (len(training) + 4)
            for n in range(2, order + 1):
                if i - n + 1 < 0:
                    break
                context = validation[i - n + 1 : i].tolist()
                starts = [
                    j for j in range(len(training) - n + 1)
                    if training[j : j + n - 1].tolist() == context
                ]  # fmt: skip
                follows = sum(training[j + n - 1] == validation[i] for j in starts)
                p = (follows + p) / (len(starts) + 1)
            total -= np.log(p)
        return total / (len(validation) - 1)

    np.testing.assert_allclose(
        ngram_losses(training, validation, 4, 4), [slow(n) for n in (1, 2, 3, 4)]
    )
    assert ngram_losses(training[:1], validation, 4)[1:] == [np.log(5 / 1.0) * 0 + ngram_losses(
        training[:1], validation, 4)[0]] * 2  # fmt: skip
    assert gzip_loss("abc" * 1000, 3000) < 0.2 < gzip_loss("abc", 3)


MEMORY = """
import resource, sys
import numpy as np
from gpt.text.finding import load_corpus
from gpt.text.tokenizer_files import build_tokenizer
from gpt.text.tokens import cut, tokenized
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
corpus = load_corpus([sys.argv[1]])
survey = corpus.survey()
training, _ = corpus.splits(survey.lengths, 0.1)
pieces = cut(p for span in training for p in span.pieces())
tokenizer = build_tokenizer(sys.argv[2], survey.characters, pieces, length=survey.length)
found = tokenized(corpus, survey, tokenizer, 0.1)
rng = np.random.default_rng(0)
for _ in range(3000):
    found.training[rng.integers(0, len(found.training) - 64, 12)[:, None] + np.arange(64)]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1000)
"""


@pytest.mark.parametrize(("kind", "most"), [("characters", 60), ("bytes", 300)])
def test_memory_does_not_grow_with_the_text(tmp_path, kind, most):
    """Of 40 MB; whole, its tokens alone would take 320"""
    part = prose(20_000)
    with (tmp_path / "big.txt").open("w") as file:
        while file.tell() < 40_000_000:
            file.write(part)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path),
                   "PYTHONPATH": str(Path(__file__).parent.parent)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "big.txt"), kind],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < most


def test_folders_patterns_and_long_names_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    for i in range(40):
        (tmp_path / "src" / f"a_rather_long_name_of_a_module_{i}.py").write_text("def f(x): pass\n")
    (tmp_path / "src" / "notes.md").write_text("notes é\r\n")
    (tmp_path / "src" / "image.png").write_bytes(b"\x89PNG\0\0")
    tiny = ["--steps", "2", "--n-layer", "1", "--n-head", "1", "--n-embd", "8",
            "--block-size", "4", "--batch-size", "2", "--sample-tokens", "2"]  # fmt: skip
    assert run(["train", "src", *tiny]) == 0
    error = capsys.readouterr().err
    assert "41 files of the folders are read; 1 are left out:\n  src/image.png: not text" in error
    assert "\r" not in Path("runs/src/tokenizer.json").read_text()
    assert run(["train", "src", "--include", "*.py", *tiny, "--out", "py"]) == 0
    assert "é" not in Path("py/tokenizer.json").read_text()
    files = sorted(map(str, (tmp_path / "src").glob("*.py")))
    assert run(["train", *files, *tiny]) == 0
    (made,) = (p for p in Path("runs").iterdir() if "more" in p.name)
    assert len(made.name) <= 60
    assert run(["train", "src/*.py", "--validation-file", "src/notes.md", *tiny, "--out", "v"]) == 0
    assert run(["train", "--resume", "v", "--steps", "4"]) == 0
    assert run(["eval", "v"]) == 0
    assert run(["train", "src/*.rs", *tiny]) == 2
    assert "a pattern must fit the names of files" in capsys.readouterr().err
    assert run(["train", "src/notes.md", "--include", "*.py", *tiny, "--out", "w"]) == 2
    assert "--include picks files of folders" in capsys.readouterr().err
    Path("sample").mkdir()  # the name of the text that ships, all the same
    for name in ("sample", "src/*.py"):
        assert run(["train", name, "--include", "*.py", *tiny, "--out", "w"]) == 2
        assert f"{name} with --include *.py" in capsys.readouterr().err
    assert run(["train", "srcc", "--include", "*.py", *tiny, "--out", "w"]) == 2
    assert "'srcc', which does not exist" in capsys.readouterr().err
    twice = ["--validation-file", "src/notes.md", "--validation", "0.2"]
    assert run(["train", "src/*.py", *twice, *tiny, "--out", "w"]) == 2
    assert "texts of its own, or a share" in capsys.readouterr().err
    assert not Path("w").exists()


def test_characters_count_what_stands_between_documents(tmp_path):
    for i in range(50):
        (tmp_path / f"{i:02d}.txt").write_text("abcd\n")
    corpus = load_corpus([str(tmp_path)])
    survey = corpus.survey()
    tokenizer = CharTokenizer(survey.characters)
    found = tokenized(corpus, survey, tokenizer, 0.1)
    assert found.characters == len(found.validation) - 1  # a token for each character
    whole = tokenized(corpus, survey, tokenizer, 0.0)
    assert whole.characters == len(whole.training) - 1
    _, after = corpus.splits(survey.lengths, 0.1)
    assert sum(span.stop - span.start for span in after) == 25  # a tenth of 250


def test_the_first_word_may_be_unknown(tmp_path):
    (tmp_path / "x.txt").write_text("hi there")
    corpus = load_corpus([str(tmp_path / "x.txt")])
    found = tokenized(corpus, corpus.survey(), WordTokenizer(["there"]), 0.0)
    assert (found.characters, found.bytes) == (6, 6)


def test_a_text_that_changes_while_it_is_read_is_refused(tmp_path, small, monkeypatch):
    monkeypatch.setattr(tokens, "IN_MEMORY", 0)
    path = tmp_path / "x.txt"
    path.write_text("abcd \n" * 90)
    corpus = load_corpus([str(path)])
    survey = corpus.survey()
    path.write_text("dcba \n" * 90)
    os.utime(path, (5, 5))
    with pytest.raises(ValueError, match="a text stays as it is while it is read"):
        tokenized(corpus, survey, CharTokenizer(survey.characters), 0.1)
    assert not list((tmp_path / "cache" / "tokens").iterdir())
    same = load_corpus([str(path)], validation=[str(path)])
    copy = tmp_path / "y.txt"
    copy.write_bytes(path.read_bytes())
    other = load_corpus([str(path)], validation=[str(copy)])
    for one in (same, other):
        found = tokenized(one, one.survey(), CharTokenizer(survey.characters), 0.1)
        assert len(found.training) == 540


def test_links_to_folders_are_told(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "e").mkdir()
    (tmp_path / "d" / "x.txt").write_text("text")
    (tmp_path / "d" / "more").symlink_to("../e")
    assert load_corpus([str(tmp_path / "d")]).left_out == (
        f"{tmp_path / 'd' / 'more'}: a link to a folder",
    )


def test_one_name_needs_no_list():
    assert load_corpus("mini").name == "mini"


def test_small_ids_do_not_overflow():
    rng = np.random.default_rng(0)
    ids, held_out = rng.integers(0, 60, 500), rng.integers(0, 60, 100)
    expected = ngram_losses(ids, held_out, 60)
    assert ngram_losses(ids.astype(np.uint8), held_out.astype(np.uint8), 60) == expected


def test_many_files_take_no_more_than_their_number(tmp_path):
    """3,000 files within seconds: comparing each with each would take many times as long"""
    for i in range(3000):
        (tmp_path / f"{i:04d}.txt").write_text("a text of its own\n")
    start = time.monotonic()
    for name in (str(tmp_path), str(tmp_path / "*.txt")):
        corpus = load_corpus([name])
        assert len(corpus.survey(lambda *done: None).lengths) == 3000
    assert time.monotonic() - start < 8
