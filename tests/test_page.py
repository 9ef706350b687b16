"""The page and its server: the numbers that they hold, and what they refuse."""

import asyncio
import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import gpt
from gpt.cli import run
from gpt.inside.forward import record_pass
from gpt.inside.page import as_script, page_data, page_of
from gpt.inside.server import (
    MOST_BYTES,
    MOST_MODELS,
    MOST_SEEN,
    MOST_WAITING,
    Reader,
    _answer,
    application,
)
from gpt.plain_json import dumps

ROOT = Path(__file__).parent.parent


def unpacked(packed):
    data = np.frombuffer(base64.b64decode(packed["data"]), f"<{packed['kind']}")
    return data.reshape(packed["shape"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name in ("hello", "mini"):
        short = ["--steps", "20", "--eval-interval", "10", "--sample-tokens", "0"]
        assert run(["train", "--preset", name, "--out", str(folder / name), *short]) == 0
    return folder


@pytest.mark.parametrize("preset", ["hello", "baby", "shakespeare"])
def test_a_page_holds_the_numbers_of_the_pass(preset):
    tokenizer = gpt.build_tokenizer("characters", "hello world\n", "")
    options = {**gpt.preset(preset).model, "vocab_size": tokenizer.vocab_size}
    model = gpt.GPT(gpt.GPTConfig(**options))
    forward = record_pass(model, tokenizer.encode("hell"))
    data = page_data(forward, model, tokenizer, "hell")
    json.dumps(data, allow_nan=False)
    logits = unpacked(data["logits"]).astype(np.float64)
    p = np.exp(logits - logits.max())
    np.testing.assert_allclose(p / p.sum(), forward["probabilities"][-1], atol=1e-9)
    for i in range(1, model.config.n_layer + 1):
        part = forward.layer(i)
        q, k = (unpacked(data["attention"][name])[i - 1] for name in ("q", "k"))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        np.testing.assert_allclose(scores, part["scores"], atol=1e-5)
        weights = unpacked(data["attention"]["weights"])[i - 1]
        np.testing.assert_array_equal(weights, part["weights"])
    lens = data["lens"][-1][-1]
    assert lens[0][1] == pytest.approx(forward["probabilities"][-1].max(), abs=1e-4)
    assert data["labels"] == list("hell")


def test_many_numbers_travel_in_half_precision(monkeypatch):
    monkeypatch.setattr("gpt.inside.page.LARGE", 10)
    tokenizer = gpt.build_tokenizer("characters", "ab", "")
    model = gpt.GPT(gpt.GPTConfig(vocab_size=2, n_embd=16, n_head=2, n_layer=1))
    forward = record_pass(model, np.array([0, 1]))
    data = page_data(forward, model, tokenizer, "ab")
    assert data["attention"]["q"]["kind"] == "f2"
    assert data["logits"]["kind"] == "f4"
    q = unpacked(data["attention"]["q"])[0]
    np.testing.assert_allclose(q, forward["layer_1.query"], rtol=1e-3, atol=1e-6)
    forward.arrays["layer_1.query"] = forward["layer_1.query"] + 1e5  # more than float16 holds
    assert page_data(forward, model, tokenizer, "ab")["attention"]["q"]["kind"] == "f4"


def test_of_long_prompts_the_end_is_shown_as_the_model_sees_it():
    tokenizer = gpt.build_tokenizer("characters", "ab", "")
    model = gpt.GPT(gpt.GPTConfig(vocab_size=2, n_embd=16, n_head=2, n_layer=2, block_size=100))
    forward = record_pass(model, np.arange(100) % 2)
    data = page_data(forward, model, tokenizer, "ab" * 50)
    assert (data["seen"], len(data["tokens"]), len(data["lens"][0])) == (100, 64, 64)
    np.testing.assert_array_equal(
        unpacked(data["attention"]["weights"])[1], forward["layer_2.weights"][:, -64:, -64:]
    )
    np.testing.assert_array_equal(unpacked(data["rows"]["embedding"]), forward["embedding"][-64:])
    last = [p for _, p in data["lens"][-1][-1]]
    np.testing.assert_allclose(sorted(last), sorted(forward["probabilities"][-1]), atol=1e-4)


def test_a_pass_of_a_long_text_is_bounded(monkeypatch, runs):
    model = gpt.GPT(gpt.GPTConfig(vocab_size=2, n_embd=16, n_head=2, n_layer=1, block_size=1024))
    tokenizer = gpt.build_tokenizer("characters", "ab", "")
    monkeypatch.setattr("gpt.inside.server.load", lambda folder: (model, tokenizer))
    data = Reader({"a": runs / "hello"}).read({"run": "a", "tokens": [0, 1] * 1000})
    assert (data["seen"], len(data["ids"]), data["prompt"]) == (MOST_SEEN, 2000, "ab" * 1000)


def test_numbers_that_json_does_not_know_are_null():
    numbers = {"a": [1.5, float("nan")], "b": (float("inf"), np.float64("-inf"), "NaN", None)}
    assert dumps(numbers) == '{"a": [1.5, null], "b": [null, null, "NaN", null]}'


def test_text_cannot_leave_its_place():
    nasty = "</script><script>alert(1)</script><!-- ' \" & %%DATA%% \u2028"
    text = as_script({"prompt": nasty})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"prompt": nasty}
    page = page_of({"prompt": nasty}, nasty)
    assert page.count("<script") == page_of({}, "x").count("<script")
    assert page.count("alert(1)") == 3  # twice in the title and heading, once in the data
    assert "&lt;script&gt;alert(1)" in page


def test_a_page_is_whole_and_asks_for_nothing(runs, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert run(["explain", str(runs / "hello"), "hell", "--html", str(path)]) == 0
    assert f"a page to open in a browser is {path}" in capsys.readouterr().out
    page = path.read_text()
    for sign in ("http://", "https://", "src=", "@import", "url("):
        assert sign not in page.replace("http://www.w3.org/2000/svg", "")
    assert "connect-src 'none'" in page


class Served:
    """`gpt serve` in a process of its own"""

    def __init__(self, run, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gpt", "serve", str(run), "--port", "0", *options],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        line = self.process.stdout.readline()
        assert "only this machine can open it" in line, self.process.stderr.read()
        self.address = line.split()[0]
        self.port = int(self.address.rpartition(":")[2].strip("/"))

    def ask(self, method="POST", path="/read", body=b"{}", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        out, errors = self.process.communicate(timeout=20)
        return self.process.returncode, out, errors


@pytest.fixture(scope="module")
def served(runs):
    server = Served(runs / "hello", "--prompt", "hell")
    yield server
    server.process.kill()
    server.process.communicate()


def question(**asked):
    return json.dumps(asked).encode()


def test_the_server_reads_prompts_and_tokens(served, runs):
    status, page = served.ask("GET", "/")
    assert status == 200
    assert '{"runs":["hello","mini"],"run":"hello","prompt":"hell"}' in page
    status, text = served.ask(body=question(run="hello", prompt="hel"))
    assert status == 200
    data = json.loads(text)
    assert data["labels"] == list("hel")
    status, text = served.ask(body=question(run="hello", tokens=[*data["tokens"], 3, 4]))
    assert json.loads(text)["labels"] == list("ello")  # the last of them: the block is 4
    status, text = served.ask(body=question(run="mini", prompt="the river"))
    assert json.loads(text)["config"]["layers"] == 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "char 0"),
        (b"\xff", "utf-8"),
        (b"[" * 60_000, "recursion"),
        (b"[]", "there are runs named hello, mini"),
        (question(run="../hello", prompt="h"), "there are runs named"),
        (question(run=["hello"], prompt="h"), "there are runs named"),
        (question(run="hello"), "a text of at most 2000"),
        (question(run="hello", prompt="h" * 2001), "a text of at most 2000"),
        (question(run="hello", prompt=""), "at least one token"),
        (question(run="hello", prompt="x"), "knows only the characters"),
        (question(run="hello", tokens=[5]), "from 0 to 4"),
        (question(run="hello", tokens=[True]), "from 0 to 4"),
        (question(run="hello", tokens=[1.5]), "from 0 to 4"),
        (question(run="hello", tokens="1"), "from 0 to 4"),
        (question(run="mini", prompt="the \udc00 river"), "valid Unicode"),
        (question(run="hello", tokens=[1] * 2001), "from 0 to 4"),
    ],
)
def test_what_cannot_be_read_is_said(served, body, says):
    status, text = served.ask(body=body)
    assert status == 400
    assert says in json.loads(text)["error"]


def test_strangers_are_refused(served):
    good = question(run="hello", prompt="h")
    here = f"127.0.0.1:{served.port}"
    assert served.ask(body=good, Host=here, Origin=f"http://{here}")[0] == 200
    assert served.ask(body=good, Host=f"localhost:{served.port}")[0] == 200
    for headers in (
        {"Host": "example.org"}, {"Host": "127.0.0.1"}, {"Host": f"{here}.example.org"},
        {"Origin": "http://example.org"}, {"Origin": "null"}, {"Origin": f"https://{here}"},
    ):  # fmt: skip
        assert served.ask(body=good, **headers)[0] == 403
        assert served.ask("GET", "/", **headers)[0] == 403
    assert served.ask(body=good, Content_Type="text/plain")[0] == 415
    assert served.ask(body=b"x" * (MOST_BYTES + 1))[0] == 413
    assert served.ask("GET")[0] == 405
    for path in ("/config.json", "/../config.json", "/static/x", "//etc/passwd"):
        assert served.ask("GET", path)[0] == 404


def test_only_this_machine_is_listened_to(served):
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert [a for a in listening if int(a.split(":")[1], 16) == served.port] == [
        f"0100007F:{served.port:04X}"
    ]


def test_many_at_once_wait_or_are_refused(served):
    body, answers = question(run="mini", prompt="the river was high"), []
    threads = [
        threading.Thread(target=lambda: answers.append(served.ask(body=body)[0])) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 503}
    assert answers.count(200) > MOST_WAITING
    assert served.ask(body=body)[0] == 200


def test_few_models_stay_in_memory(runs):
    names = {f"run {i}": runs / "hello" for i in range(MOST_MODELS + 2)}
    reader = Reader(names)
    for name in names:
        reader.read({"run": name, "prompt": "hell"})
    assert list(reader.models) == list(names)[2:]


def test_control_c_stops_it(runs):
    server = Served(runs / "hello")
    time.sleep(0.3)
    status, out, errors = server.stop()
    assert (status, errors) == (0, "")
    assert out.endswith("stopped\n")


def test_control_c_does_not_wait_for_half_a_question(runs):
    server = Served(runs / "hello")
    with socket.create_connection(("127.0.0.1", server.port)) as half:
        head = f"POST /read HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        half.sendall(
            f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        time.sleep(0.3)
        start = time.monotonic()
        assert server.stop()[0] == 0
        assert time.monotonic() - start < 5


def test_port_80_needs_no_number(runs):
    reader = Reader({"hello": runs / "hello"})

    def status(port, host):
        sent = []

        async def receive():
            return {"type": "http.request", "body": b""}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"",
                 "headers": [(b"host", host)], "http_version": "1.1", "scheme": "http"}  # fmt: skip
        asyncio.run(application(reader, "hello", "hell", port)(scope, receive, send))
        return sent[0]["status"]

    assert [status(80, b"localhost"), status(81, b"localhost")] == [200, 403]


def test_names_of_runs_need_not_be_unicode(runs):
    odd = os.fsdecode(b"run \xff")
    reader = Reader({odd: runs / "hello"})
    answer = _answer(reader, question(run=odd, prompt="hell"))
    assert json.loads(answer.body)["run"] == odd
    assert odd in json.loads(_answer(reader, question(run="other", prompt="")).body)["error"]


def test_mistakes_before_anything_is_served(runs, served, capsys):
    for arguments, says in (
        (["--port", str(served.port)], "try --port 0"),
        (["--port", "70000"], "a port is a number"),
        (["--prompt", "xyz"], "knows only the characters"),
    ):
        assert run(["serve", str(runs / "hello"), *arguments]) == 2
        captured = capsys.readouterr()
        assert says in captured.err
        assert captured.out == ""
