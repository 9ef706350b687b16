"""Characters, words and merged bytes: what goes in comes out, and mistakes are explained."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt.cli import run
from gpt.presets import PRESETS
from gpt.text.named import shipped
from gpt.text.tokenizer_files import build_tokenizer, tokenizer_from_files, tokenizer_from_json
from gpt.text.tokenizers import END_OF_TEXT, UNKNOWN, ByteTokenizer, CharTokenizer, WordTokenizer
from gpt.writing.stream import TextStream

TEXT = shipped("mini")
BYTES = ByteTokenizer.of_text(TEXT, 400)
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
GPT2 = Path(os.environ.get("GPT_DATA_DIR", "")) / "gpt2"


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(UNICODE)
def test_bytes_and_characters_give_back_any_text(text):
    assert BYTES.decode(BYTES.encode(text)) == text
    if text:
        characters = CharTokenizer(text)
        assert characters.decode(characters.encode(text)) == text


def test_merges_make_texts_shorter():
    ids = BYTES.encode(TEXT)
    assert ids.dtype == np.int64
    assert BYTES.vocab_size == 400
    assert len(ids) < len(TEXT) / 2
    assert "".join(BYTES.pieces(ids)) == TEXT
    assert BYTES.pieces([BYTES.end_of_text]) == [END_OF_TEXT]


def test_words():
    words = WordTokenizer.of_text("The cat (a cat's cat) sat.\nIt's well-fed: so!")
    assert words.words[:5] == [UNKNOWN, "The", "cat", "(", "a"]
    assert "cat's" in words.words
    assert "well-fed" in words.words
    ids = words.encode("The dog sat, so.")
    assert words.pieces(ids) == ["The", UNKNOWN, "sat", UNKNOWN, "so", "."]
    text = "The cat (a cat's cat) sat.\nIt's well-fed: so!"
    assert words.decode(words.encode(text)) == text


@pytest.mark.parametrize("kind", ["characters", "words", "bytes"])
def test_saved_and_read_again(kind):
    tokenizer = build_tokenizer(kind, TEXT, TEXT)
    again = tokenizer_from_json(json.loads(json.dumps(tokenizer.as_json())))
    np.testing.assert_array_equal(again.encode(TEXT), tokenizer.encode(TEXT))
    assert again.vocab_size == tokenizer.vocab_size


@pytest.mark.skipif(not GPT2.is_dir(), reason="needs GPT-2's vocabulary in GPT_DATA_DIR/gpt2")
def test_gpt2s_ids():
    gpt2 = tokenizer_from_files(GPT2)
    assert gpt2.vocab_size == 50257
    assert gpt2.end_of_text == 50256
    # As in OpenAI's encoder
    assert gpt2.encode("Hello, world!").tolist() == [15496, 11, 995, 0]
    assert gpt2.encode(" the the  the").tolist() == [262, 262, 220, 262]
    assert gpt2.decode([464, 2068, 7586, 21831]) == "The quick brown fox"
    text = "naïve 北京 🙂\n\ttabs"
    assert gpt2.decode(gpt2.encode(text)) == text


@pytest.mark.skipif(not GPT2.is_dir(), reason="needs GPT-2's vocabulary in GPT_DATA_DIR/gpt2")
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(UNICODE)
def test_gpt2s_ids_are_those_of_transformers(text):
    transformers = pytest.importorskip("transformers", reason="judged by transformers")
    if not hasattr(test_gpt2s_ids_are_those_of_transformers, "theirs"):
        vocabulary = json.loads((GPT2 / "vocab.json").read_text("utf-8"))
        merges = (GPT2 / "merges.txt").read_text("utf-8").splitlines()[1:]
        pairs = [tuple(line.split(" ")) for line in merges if line]
        test_gpt2s_ids_are_those_of_transformers.theirs = transformers.GPT2Tokenizer(
            vocab=vocabulary, merges=pairs
        )
    theirs = test_gpt2s_ids_are_those_of_transformers.theirs
    assert tokenizer_from_files(GPT2).encode(text).tolist() == theirs(text)["input_ids"]


def test_the_size_of_a_vocabulary_follows_the_text():
    assert ByteTokenizer.of_text("to be or not to be " * 20).vocab_size < 512  # few merges
    assert ByteTokenizer.of_text(shipped("sample")).vocab_size == 512


MISTAKES = {
    "holds 256 bytes": lambda: build_tokenizer("bytes", TEXT, TEXT, 257),
    "pairs that occur more than once": lambda: build_tokenizer("bytes", "ab", "ab", 300),
    "only a vocabulary of merged bytes": lambda: build_tokenizer("words", TEXT, TEXT, 300),
    "got 'wrods'\n  try words": lambda: build_tokenizer("wrods", TEXT, TEXT),
    "there must be a tokenizer.json": lambda: build_tokenizer(__file__, TEXT, TEXT),
    "an object with a kind": lambda: tokenizer_from_json({"kind": "bytes"}),
    "merges must be as": lambda: tokenizer_from_json({"kind": "bytes", "tokenizer": {"a": 1}}),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes(message):
    with pytest.raises(ValueError, match=message):
        MISTAKES[message]()


def shown(text, stop=(), end=None):
    stream = TextStream(BYTES, [], stop, end)
    parts = [stream.feed(int(i)) for i in BYTES.encode(text)]
    return parts, stream


def test_a_stream_shows_whole_characters():
    text = "a 北京 🙂 é!"
    parts, stream = shown(text)
    assert "".join(parts) + stream.finish() == text
    assert not any("\ufffd" in part for part in parts)
    assert "" in parts  # the first bytes of a character were held back


def test_a_stream_ends_at_a_stop_string_or_token():
    parts, stream = shown("the cat sat. the dog", stop=["sat.", "dog"])
    assert "".join(parts) == "the cat "
    assert stream.done
    assert stream.finish() == ""
    parts, stream = shown("the ca", stop=["cat"])
    assert "".join(parts) == "the "  # "ca" may become "cat"
    assert stream.finish() == "ca"
    stream = TextStream(BYTES, [], (), BYTES.end_of_text)
    assert stream.feed(int(BYTES.encode("a")[0])) == "a"
    assert not stream.done
    stream.feed(BYTES.end_of_text)
    assert stream.done
    with pytest.raises(ValueError, match="a stop string must not be empty"):
        TextStream(BYTES, [], [""])


def test_words_are_streamed_with_their_spaces():
    words = WordTokenizer.of_text(TEXT)
    ids = words.encode("The cat sat, and the miller saw.")
    stream = TextStream(words, ids[:2])
    assert "".join(stream.feed(int(i)) for i in ids[2:]) == " sat, and the miller saw."


def test_the_command_shows_tokens(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    BYTES.inner.save("tokenizer.json")
    assert run(["tokenize", "tokenizer.json", "the cat"]) == 0
    out = capsys.readouterr().out
    ids = BYTES.encode("the cat")
    assert " ".join(map(str, ids)) in out
    assert f"{len(ids)} tokens, 7 characters, 7 bytes" in out
    assert run(["tokenize", "tokenizer.json", "the cat", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ids"] == ids.tolist()
    assert run(["tokenize", "nothing", "the cat"]) == 2
    assert "gpt2, or the folder of a run" in capsys.readouterr().err
    assert run(["tokenize", "mini", "the cat"]) == 2
    assert "gpt train --preset mini" in capsys.readouterr().err
    assert set(PRESETS) >= {"hello", "mini", "shakespeare", "baby", "bpe", "gpt2", "gpt2-xl"}
