"""Texts: files, folders, standard input, names; and a download that may go wrong."""

import gc
import hashlib
import io
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.cli import run
from gpt.text import finding, named
from gpt.text.corpus import Corpus, Document
from gpt.text.finding import default_corpus, load_corpus
from gpt.text.named import download, shakespeare, shipped
from gpt.text.tokenizer_files import tokenizer_from_json
from gpt.text.tokenizers import CharTokenizer

# A failed request leaves its socket to the garbage collector, which warns of it, in whichever test
# it happens to run: `no_data` makes it run here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TEXT = b"a text to download\n" * 5000
SHA256 = hashlib.sha256(TEXT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(TEXT)))
        self.end_headers()
        body = {"/half": TEXT[: len(TEXT) // 2], "/wrong": TEXT.replace(b"text", b"toxt")}
        self.wfile.write(body.get(self.path, TEXT))

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server():
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path):
    monkeypatch.delenv("GPT_DATA_DIR", raising=False)
    for module in (named, finding):
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    yield
    gc.collect()


def test_a_download_is_complete_and_reports_progress(server, tmp_path):
    seen = []
    download(f"{server}/good", tmp_path / "new" / "x.txt", SHA256, lambda *n: seen.append(n))
    assert (tmp_path / "new" / "x.txt").read_bytes() == TEXT
    assert seen[-1] == (len(TEXT), len(TEXT))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.txt"]


@pytest.mark.parametrize("page", ["half", "wrong", "missing"])
def test_a_bad_download_leaves_nothing(server, tmp_path, page):
    with pytest.raises(OSError, match=r"download: .* must be reachable") as error:
        download(f"{server}/{page}", tmp_path / "x.txt", SHA256)
    assert "gpt train sample" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_no_network(tmp_path):
    with pytest.raises(OSError, match="gpt train sample"):
        download("http://127.0.0.1:1/x", tmp_path / "x.txt", SHA256, timeout=1)
    assert list(tmp_path.iterdir()) == []


def test_shakespeare_from_data_dir_cache_and_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(named, "SHAKESPEARE_SHA256", SHA256)
    assert shakespeare(url=f"{server}/good").read_bytes() == TEXT
    assert shakespeare(url=f"{server}/missing").read_bytes() == TEXT  # from the cache
    (tmp_path / "cache" / named.SHAKESPEARE_FILE).unlink()
    with pytest.raises(OSError, match="404"):
        shakespeare(url=f"{server}/missing")
    monkeypatch.setenv("GPT_DATA_DIR", str(tmp_path))
    (tmp_path / named.SHAKESPEARE_FILE).write_bytes(TEXT)
    assert shakespeare(url=f"{server}/missing").parent == tmp_path
    (tmp_path / named.SHAKESPEARE_FILE).write_bytes(TEXT[:-1])
    with pytest.raises(ValueError, match="tiny Shakespeare has a known SHA-256"):
        shakespeare()


def test_the_default_falls_back_to_the_sample(monkeypatch):
    monkeypatch.setattr(named, "SHAKESPEARE_URL", "http://127.0.0.1:1/x")
    monkeypatch.setattr(named.shakespeare, "__defaults__", (None, 1.0, "http://127.0.0.1:1/x"))
    found, wanted = default_corpus(timeout=1.0)
    assert (found.name, wanted) == ("sample", False)


def test_real_shakespeare(shakespeare):
    assert len(shakespeare) == 1_115_394
    assert CharTokenizer(shakespeare).vocab_size == 65
    path = Path(os.environ["GPT_DATA_DIR"]) / named.SHAKESPEARE_FILE
    found = Corpus("x", (Document("shakespeare", path),))
    assert found.text == shakespeare
    _, (span,) = found.splits(found.survey().lengths, 0.1)
    assert span.stop - span.start == 111_540
    assert "".join(span.pieces()) == shakespeare[-111_540:]


def test_the_sample_is_a_play_of_its_own():
    text = shipped("sample")
    assert len(text) >= 60_000
    speakers = {line for line in text.splitlines() if line.endswith(":") and line.isupper()}
    assert len(speakers) >= 10
    assert "Romeo" not in text
    assert len(set(text.splitlines())) > 0.6 * len(text.splitlines())


def test_files_folders_and_standard_input(tmp_path, monkeypatch):
    (tmp_path / "b.txt").write_text("bé")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "a.md").write_text("no")
    (tmp_path / "c.bin").write_bytes(b"a\0b")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("hidden")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "samples.txt").write_text("written by a model")
    (tmp_path / "run" / "log.jsonl").write_text("")
    found = load_corpus([str(tmp_path)])
    assert found.text == "no\n\na\n\nbé"
    assert sorted(line.split(": ")[1] for line in found.left_out) == [
        "a hidden folder", "not text", "written by a training run", "written by a training run",
    ]  # fmt: skip
    assert load_corpus([str(tmp_path)], include=["*.txt"]).text == "a\n\nbé"
    assert load_corpus([str(tmp_path / "b.txt"), str(tmp_path / "a.md")]).text == "bé\n\nno"
    assert load_corpus([str(tmp_path / "*.txt")]).text == "a\n\nbé"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("né".encode())))
    assert load_corpus(["-"]).text == "né"


BAD = {
    "must be encoded as UTF-8": "é".encode("latin-1"),
    "must not be binary": b"abc\0def",
}


@pytest.mark.parametrize("beginning", BAD)
def test_bad_files(tmp_path, beginning):
    (tmp_path / "x.txt").write_bytes(BAD[beginning])
    with pytest.raises(ValueError, match=beginning):
        load_corpus([str(tmp_path / "x.txt")]).survey()


def test_an_empty_text_is_refused(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"")
    with pytest.raises(ValueError, match="there must be text"):
        load_corpus([str(tmp_path / "x.txt")]).survey()


def test_bad_names(tmp_path):
    with pytest.raises(ValueError, match="try gpt train shakespeare"):
        load_corpus(["shakespeer"])
    with pytest.raises(ValueError, match="a folder must hold"):
        load_corpus([str(tmp_path)])


@given(st.text(min_size=1))
def test_characters_round_trip(text):
    tokenizer = CharTokenizer(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(text)
    assert tokenizer_from_json(tokenizer.as_json()).characters == tokenizer.characters


def test_an_unknown_character_is_named_with_its_place():
    with pytest.raises(ValueError, match=r"got '€' \(U\+20AC\) at position 2"):
        CharTokenizer("abc").encode("ab€")
    with pytest.raises(ValueError, match="a tokenizer file is"):
        tokenizer_from_json({"kind": "words"})


def test_an_empty_name_is_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("words of a text " * 100)
    assert run(["train", "", "--steps", "1"]) == 2
    assert "got '', an empty one" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
