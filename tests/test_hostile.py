"""Files that somebody has made to do harm: checkpoints of others, tokenizers, texts, logs.

EXAMPLES=5000 pytest tests/test_hostile.py tries more changes of each file that is read.
"""

import copy
import json
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tests import damage
from tests.damage import TEXT, told

EXAMPLES = int(os.environ.get("EXAMPLES", "150"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 150,
                suppress_health_check=list(HealthCheck))  # fmt: skip
GPT2 = ["--preset", "baby", "--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size",
        "8", "--batch-size", "2", "--steps", "2", "--sample-tokens", "4", "--tokenizer", "bytes",
        "--vocab-size", "280"]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run of bytes, and model/, the same as Hugging Face's programs write it"""
    folder = tmp_path_factory.mktemp("hostile")
    here = os.getcwd()
    os.chdir(folder)
    Path("text.txt").write_text(TEXT)
    assert told(["train", "text.txt", "--out", "run", *GPT2])[0] == 0
    assert told(["export", "run", "--out", "model"])[0] == 0
    os.chdir(here)
    return folder


@pytest.fixture
def model(made, tmp_path, monkeypatch):
    """A copy of model/ in the current folder"""
    import shutil

    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "model", "model")
    return Path("model")


def refused(command, *said):
    start = time.monotonic()
    status, out, error = told(command)
    assert status == 2, (out, error)
    assert "Traceback" not in error
    assert "\n  got " in error
    assert "\n  try " in error
    for text in said:
        assert text in error
    assert time.monotonic() - start < 20
    assert not Path("runs").exists()


def imported(*said):
    refused(["import", "model"], *said)


def change_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def tensors(model):
    import tinygrad_lite as tg

    return tg.load_state(model / "model.safetensors")


def split_with(model, weight_map):
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/../../x", 7, None])
def test_an_index_names_only_files_of_its_folder(model, name):
    split_with(model, {"wte.weight": name})
    imported("the index names files of its own folder")


def test_a_tensor_that_is_there_twice_is_refused(model):
    found = tensors(model)
    save_file(found, model / "again.safetensors")
    split_with(model, {"a": "model.safetensors", "b": "again.safetensors"})
    imported("each tensor is in one file")
    (model / "model.safetensors.index.json").unlink()
    save_file({**found, "wte.weight": found["transformer.wte.weight"] * 2},
              model / "model.safetensors")  # fmt: skip
    imported("must hold each tensor once")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(model, value):
    found = tensors(model)
    name = sorted(found)[2]
    found[name].flat[-1] = value
    save_file(found, model / "model.safetensors")
    imported("weights must be finite")


def test_a_tensor_of_an_unknown_kind_is_refused(model):
    path = model / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = "transformer.ln_f.bias"
    start, end = header[name]["data_offsets"]
    header[name] |= {"dtype": "F8_E4M3", "shape": [end - start]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    imported()


@pytest.mark.parametrize(
    "changes",
    [
        {"activation_function": []},
        {"activation_function": {"a": 1}},
        {"n_layer": "many"},
        {"n_layer": 10**9},
        {"n_embd": 2**31},
        {"vocab_size": -1},
        {"n_head": 0},
        {"n_positions": 10**30},
        {"model_type": ["gpt2"]},
        {"architectures": 5, "model_type": "x"},
        {"layer_norm_epsilon": [1]},
        {"n_inner": 1.5},
        {"tie_word_embeddings": "no"},
    ],
    ids=str,
)
def test_absurd_settings_are_refused(model, changes):
    change_json(model / "config.json", **changes)
    imported()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "5", "[]", "", "\xff", "1" * 9000]
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors.index.json"])
def test_json_of_any_form_is_refused(model, name, text):
    (model / name).write_text(text)
    imported()


def tokenizer_of(model):
    return json.loads((model / "tokenizer.json").read_text())


def with_tokenizer(model, data):
    (model / "tokenizer.json").write_text(json.dumps(data))


def test_a_regular_expression_that_is_not_known_is_refused(model):
    data = tokenizer_of(model)
    explodes = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated",
                "invert": False}  # fmt: skip
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [explodes, data["pre_tokenizer"]]}
    with_tokenizer(model, data)
    imported("the regular expression '(a+)+$', which is not known")


def test_a_vocabulary_has_no_gaps(model):
    data = tokenizer_of(model)
    last = max(data["model"]["vocab"], key=data["model"]["vocab"].get)
    data["model"]["vocab"][last] += 3
    with_tokenizer(model, data)
    imported("whose ids are not 0, ...")


def test_merges_are_of_known_tokens(model):
    data = tokenizer_of(model)
    data["model"]["merges"].insert(0, ["never", "seen"])
    with_tokenizer(model, data)
    imported()


def test_texts_are_not_cut_off_behind_the_users_back(model):
    """A tokenizer.json may ask for truncation and padding"""
    data = tokenizer_of(model)
    data["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst",
                          "stride": 0}  # fmt: skip
    data["padding"] = {"strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None,
                       "pad_id": 0, "pad_type_id": 0, "pad_token": "!"}  # fmt: skip
    with_tokenizer(model, data)
    assert told(["import", "model"])[0] == 0
    status, out, _ = told(["tokenize", "runs/model", "the quick brown fox", "--json"])
    assert status == 0
    found = json.loads(out)
    assert "".join(found["tokens"]) == "the quick brown fox"


def test_characters_in_another_order_are_refused(model):
    data = tokenizer_of(model)
    vocabulary = {"<unk>": 2, "b": 0, "a": 1}
    data["model"] = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}
    data["added_tokens"] = []
    with_tokenizer(model, data)
    change_json(model / "config.json", vocab_size=3)
    imported("words in another order than ours")


@pytest.mark.parametrize("command", [["generate", "run", "--prompt", "\udcff"],
                                     ["generate", "run", "--prompt", "a\udc80b", "--why"],
                                     ["explain", "run", "\udcff"],
                                     ["explain", "run", "a\udcff", "--loss"],
                                     ["tokenize", "run", "\udcff"]])  # fmt: skip
def test_prompts_that_are_no_unicode(made, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    refused([str(made / w) if w == "run" else w for w in command], "must be valid Unicode")


def mutated(data, rng):
    """JSON with one part replaced, removed, or doubled"""
    data = copy.deepcopy(data)
    places = [(None, None, data)]
    for _, _, part in places:
        if isinstance(part, dict):
            places += [(part, key, value) for key, value in part.items()]
        elif isinstance(part, list):
            places += [(part, i, value) for i, value in enumerate(part[:20])]
    parent, key, value = rng.choice(places[1:])
    values = [None, True, -1, 0, 2**70, 1e308, float("nan"), "", "x" * 1000, [], {}, [[]],
              "\ud800", "<unk>", {"Regex": "(x+)+y"}, value]  # fmt: skip
    if rng.random() < 0.2:
        del parent[key]
    else:
        parent[key] = rng.choice(values)
    return data


@FUZZ
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["config.json", "tokenizer.json"]))
def test_changed_files_of_a_checkpoint(made, seed, name):
    """Imported, and used, or refused in words"""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        model = Path(place, "model")
        shutil.copytree(made / "model", model)
        data = mutated(json.loads((model / name).read_text()), random.Random(seed))
        (model / name).write_text(json.dumps(data))
        out = str(Path(place, "run"))
        for command in (["import", str(model), "--out", out],
                        ["generate", out, "--prompt", "the", "--tokens", "3"]):  # fmt: skip
            status, _, error = told(command)
            assert status in (0, 2), error
            if status:
                assert "\n  got " in error
                return


@FUZZ
@given(seed=st.integers(0, 2**32))
def test_changed_bytes_of_a_checkpoint(made, seed):
    import shutil
    import tempfile

    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        model = Path(place, "model")
        shutil.copytree(made / "model", model)
        path = model / rng.choice(["config.json", "tokenizer.json", "model.safetensors"])
        kind = rng.choice(list(damage.CHANGES))
        data = path.read_bytes()
        beginning = data[:2000] if rng.random() < 0.7 else data  # where headers are
        changed = damage.CHANGES[kind](beginning, rng) + data[len(beginning) :]
        path.write_bytes(changed)
        status, _, error = told(["import", str(model), "--out", str(Path(place, "run"))])
        assert status in (0, 2), error
        assert status == 0 or "\n  got " in error


@FUZZ
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["config.json", "tokenizer.json"]))
def test_files_of_a_run_with_right_checksums(made, seed, name):
    """Whoever writes a run to do harm can add up checksums, too"""
    import hashlib
    import shutil
    import tempfile

    from gpt.training.setup import _sum_of

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "run")
        shutil.copytree(made / "run", folder)
        setup = json.loads((folder / "config.json").read_text())
        data = json.loads((folder / name).read_text())
        data = mutated(data, random.Random(seed))
        text = json.dumps(data)
        (folder / name).write_text(text)
        if name == "config.json":
            setup = data if isinstance(data, dict) else setup
        else:
            setup["tokenizer_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        setup["sha256"] = _sum_of(setup)
        (folder / "config.json").write_text(json.dumps(setup))
        for command in (["eval", str(folder), "--json"], ["info", str(folder)],
                        ["train", "--resume", str(folder), "--steps", "3"]):  # fmt: skip
            status, _, error = told(command)
            assert status in (0, 1, 2), error
            assert status != 2 or "\n  got " in error


@FUZZ
@given(st.binary(max_size=300))
def test_any_bytes_as_a_text(made, data):
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "x.txt")
        path.write_bytes(data * 3)
        for errors in ("strict", "replace"):
            status, _, error = told(["eval", str(made / "run"), str(path)])
            assert status in (0, 2), error
            assert status == 0 or "\n  got " in error
            from gpt.text.finding import load_corpus

            if errors == "replace" and data and not data.startswith(b"\x1f\x8b"):
                assert load_corpus([str(path)], errors="replace").text
