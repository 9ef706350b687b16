"""The loop and the run's folder: determinism, resuming, crashes, damage."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import tinygrad_lite as tg
from gpt.config import GPTConfig, TrainConfig
from gpt.errors import NonFiniteError
from gpt.text.corpus import Source
from gpt.text.tokenizers import CharTokenizer
from gpt.training.loop import StepRecord, train
from gpt.training.run import Run
from gpt.training.setup import Setup
from gpt.training.state import FINAL, EvalRecord, TrainState

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
TOKENIZER = CharTokenizer(TEXT)
IDS = TOKENIZER.encode(TEXT)
SPLITS = IDS[:1500], IDS[1499:]
MODEL = GPTConfig(TOKENIZER.vocab_size, n_layer=1, n_head=2, n_embd=16, block_size=16, dropout=0.1)
MUON = TrainConfig(steps=12, batch_size=4, optimizer="muon", eval_interval=5, warmup=2, lr=3e-3)
ADAMW = TrainConfig(steps=12, batch_size=4, eval_interval=5, warmup=2, lr=3e-3, grad_clip=0.0)


def losses(config, threads=None):
    before = tg.get_num_threads()
    try:
        tg.set_num_threads(threads or before)
        state = TrainState(MODEL, config)
        records = list(train(state, *SPLITS))
    finally:
        tg.set_num_threads(before)
    return [r.loss if isinstance(r, StepRecord) else r.val_loss for r in records]


@pytest.mark.parametrize("config", [MUON, ADAMW], ids=["muon", "adamw"])
def test_the_same_seed_gives_the_same_bits_with_any_threads(config):
    first = losses(config)
    assert first == losses(config)
    assert first == losses(config, threads=1)
    assert first[0] > first[-1]


def test_evaluations_come_at_the_interval_and_at_the_end():
    records = list(train(TrainState(MODEL, MUON), *SPLITS))
    assert [r.step for r in records if isinstance(r, EvalRecord)] == [5, 10, 12]
    assert [r.step for r in records if isinstance(r, StepRecord)] == list(range(1, 13))


def run_of(folder, config=MUON, stop=None):
    """Train with checkpoints as the command line does; stop after that step without warning"""
    run, state = Run.create(folder), TrainState(MODEL, config)
    with run.locked():
        run.begin(Setup(MODEL, config, TOKENIZER, Source(("x.txt",))), state)
    for record in train(state, *SPLITS):
        run.append(record)
        if isinstance(record, EvalRecord):
            if record.best:
                run.save_best(state)
            run.save_last(state)
        if record.step == stop:
            break
    return run, state


@pytest.mark.parametrize("config", [MUON, ADAMW], ids=["muon", "adamw"])
def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path, config):
    _, whole = run_of(tmp_path / "whole", config)
    run, _ = run_of(tmp_path / "part", config, stop=8)  # two steps after its checkpoint
    state = TrainState(MODEL, config)
    run.load_last(state)
    assert run.rewind(state.step) == 0
    assert state.step == 5
    for record in train(state, *SPLITS):
        run.append(record)
    for a, b in zip(whole.model.parameters(), state.model.parameters(), strict=True):
        assert (a.numpy() == b.numpy()).all()
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k not in ("ms", "tokens_per_second")}
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "part")
    ]
    assert logs[0] == logs[1]
    assert set(logs[0][0]) == {"step", "loss", "lr", "grad_norm"}
    assert set(logs[0][5]) == {"step", "val_loss", "best"}


def test_the_best_weights_are_loaded_with_their_tokenizer(tmp_path):
    run, state = run_of(tmp_path / "run")
    model, tokenizer = Run.open(run.folder).load_best()
    assert tokenizer.characters == TOKENIZER.characters
    assert state.best_step == 12
    for a, b in zip(model.parameters(), state.model.parameters(), strict=True):
        assert (a.numpy() == b.numpy()).all()


def test_a_non_finite_loss_names_the_tensor():
    state = TrainState(MODEL, MUON)
    name, parameter = list(state.model.named_parameters())[3]
    parameter.data[0, 0] = np.nan
    with pytest.raises(
        NonFiniteError,
        match=rf"loss nan .* norm nan after 0 steps.* not finite: {name}",
    ):
        list(train(state, *SPLITS))


def test_a_short_text_is_refused():
    with pytest.raises(ValueError, match="the training split must be longer than a block"):
        list(train(TrainState(MODEL, MUON), IDS[:10], IDS[:5]))


def damaged(tmp_path, name, change):
    run, _ = run_of(tmp_path / "run")
    change(run.folder / name)
    return run.folder


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_file_is_named(tmp_path, name):
    cut = damaged(tmp_path, name, lambda path: path.write_bytes(path.read_bytes()[:20]))
    with pytest.raises(ValueError, match=rf"run: {name} must be as it was written"):
        Run.open(cut).load_best()


def test_a_run_whose_last_checkpoint_is_damaged_still_has_its_best_weights(tmp_path):
    run, state = run_of(tmp_path / "run")
    run.save_last(state)
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:20])
    with pytest.raises(ValueError, match="try gpt train CORPUS --from") as error:
        run.load_last(state)
    assert str(error.value).count("must be") == 1  # not a message within a message
    run.weights.unlink()
    with pytest.raises(ValueError, match="try another run"):
        run.load_last(state)


def test_missing_files_are_named(tmp_path):
    folder = damaged(tmp_path, "model.safetensors", lambda path: path.unlink())
    with pytest.raises(ValueError, match="a run has a model when it has been evaluated once"):
        Run.open(folder).load_best()
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match="RUN must be the folder of a training run"):
        Run.open(folder)


def test_a_foreign_tokenizer_is_refused(tmp_path):
    run, _ = run_of(tmp_path / "run")
    other = json.dumps(CharTokenizer("abc").as_json())
    (run.folder / "tokenizer.json").write_text(other)
    with pytest.raises(ValueError, match="its checksum differs from that"):
        run.load_best()
    old = json.loads((run.folder / "config.json").read_text())
    del old["format"]  # as the first runs were, which had no checksums
    (run.folder / "config.json").write_text(json.dumps(old | {"corpus": ["x.txt"]}))
    with pytest.raises(ValueError, match="the same vocabulary"):
        run.load_best()


def test_nothing_is_overwritten_without_force(tmp_path):
    run, _ = run_of(tmp_path / "run")
    weights = run.weights.read_bytes()
    with pytest.raises(ValueError, match="--force to replace that run"):
        Run.create(run.folder)
    assert run.weights.read_bytes() == weights
    Run.create(run.folder, force=True)
    assert run.weights.read_bytes() == weights  # before anything takes its place
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(ValueError, match="never overwritten"):
            Run.create(other, force)
    with pytest.raises(ValueError, match="which is a file"):
        Run.create(other / "thesis.txt")


def test_a_crash_while_saving_keeps_the_checkpoint(tmp_path, monkeypatch):
    run, state = run_of(tmp_path / "run")
    before = run.checkpoint.read_bytes()
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("power cut")))
    with pytest.raises(OSError, match="power cut"):
        run.save_last(state)
    assert run.checkpoint.read_bytes() == before
    assert [p.name for p in run.checkpoint.parent.iterdir()] == ["checkpoint.safetensors"]
    monkeypatch.undo()
    shutil.rmtree(run.folder)


STEP = """
import hashlib, sys
import numpy as np
import tinygrad_lite as tg
from gpt.config import GPTConfig, TrainConfig
from gpt.training.measure import measure
from gpt.training.state import TrainState
from gpt.training.loop import train_step
compiled = []
tg.on_compile(lambda: compiled.append(1))
model = GPTConfig(vocab_size=20, n_layer=1, n_embd=32, block_size=16)
config = TrainConfig(steps=3, batch_size=4)
tokens = np.random.default_rng(0).integers(0, 20, 1000)
measure(model, config, tokens)
state = TrainState(model, config)
for _ in range(3):
    train_step(state, tokens)
digest = hashlib.sha256(b"".join(p.data.tobytes() for p in state.parameters)).hexdigest()
print(digest, len(compiled))
"""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels are plain Python here")
def test_freshly_compiled_and_cached_kernels_give_the_same_bits(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    (cold, compiled), (warm, again) = (
        subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True,
                       text=True, check=True).stdout.split()
        for _ in range(2)
    )  # fmt: skip
    assert cold == warm
    assert int(compiled) > 0
    assert int(again) == 0


PLANNED = """
import sys
from pathlib import Path
from tinygrad_lite.kernels import ahead
given = []
ahead.compile_for = lambda kernel, kinds: given.append(kernel)  # this process compiles nothing
exec(sys.argv[1].partition("compiled = []")[0])
model = GPTConfig(vocab_size=20, n_layer=1, n_embd=32, block_size=16)
state = TrainState(model, TrainConfig(batch_size=4))
ids = np.zeros((4, 16), int)
ahead.compile_ahead(lambda: state.apply(state.gradients(ids, ids)[-1]))
print(len(given))
"""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled here")
def test_compiling_ahead_runs_nothing_of_the_current_folder(tmp_path):
    for name in ("numbers", "json", "numba", "tinygrad_lite", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open('ran-{name}', 'w')\n")
    root = str(Path(__file__).parent.parent)
    kept = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-P", "-c", PLANNED, STEP], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": root, "NUMBA_CACHE_DIR": str(kept)}, check=True,
    )  # fmt: skip
    assert not list(tmp_path.glob("ran-*"))
    compiled = {path.name.split("-")[0] for path in kept.rglob("*.nbc")}
    assert len(compiled) >= int(done.stdout) / 2 > 0


# Letters in no order: what is learned of them by heart does not hold for others
NOISE = np.random.default_rng(0).integers(0, TOKENIZER.vocab_size, 600)
HEART = NOISE[:300], NOISE[299:]
BY_HEART = TrainConfig(steps=2000, batch_size=8, eval_interval=20, eval_tokens=64, lr=1e-2)


def by_heart(state):
    return [(r.step, r.val_loss, r.best) for r in train(state, *HEART) if isinstance(r, EvalRecord)]


def test_a_run_ends_when_its_validation_loss_only_rises():
    whole, half = TrainState(MODEL, BY_HEART), TrainState(MODEL, BY_HEART)
    records = by_heart(whole)
    *_, best, second, third, fourth = [loss for _, loss, _ in records]
    assert best < second < third < fourth
    last = records[-1][0]
    assert last == whole.step < 1000
    assert whole.best_step == max(step for step, _, best in records if best) <= last - 60
    assert by_heart(whole) == []
    for record in train(half, *HEART):
        if isinstance(record, EvalRecord) and record.step == last - 20:
            break
    resumed = TrainState(MODEL, BY_HEART)
    resumed.load({name: array.copy() for name, array in half.arrays().items()}, half.progress())
    assert by_heart(resumed) == records[-1:]
    ended = TrainState(MODEL, BY_HEART)
    ended.load(whole.arrays(), whole.progress())
    assert by_heart(ended) == []


def test_without_a_validation_split_a_run_does_not_end_before_its_steps():
    state = TrainState(MODEL, dataclasses.replace(BY_HEART, validation=0.0, steps=400))
    state.recent = [1.0, 2.0, 3.0, 4.0]
    assert by_heart(state)[-1][0] == 400


def test_patience_may_change():
    for patience, recent, ends in ((2, [3.0, 2.0, 2.1, 2.2], True), (3, [2.0, 2.1, 2.2], False),
                                   (0, [1.0, 2.0, 3.0, 4.0], False)):  # fmt: skip
        state = TrainState(MODEL, dataclasses.replace(BY_HEART, patience=patience))
        state.recent = recent
        assert state.overtrained() == ends


def test_evaluations_are_compared_on_the_same_tokens(monkeypatch):
    parts, wholes = iter([3.0, 2.0, 2.5]), iter([1.0])
    monkeypatch.setattr(
        "gpt.training.state.evaluate",
        lambda model, ids, most, over_ranks: next(wholes if most == FINAL else parts),
    )
    state = TrainState(MODEL, dataclasses.replace(BY_HEART, steps=60))
    assert by_heart(state) == [(20, 3.0, True), (40, 2.0, True), (60, 1.0, False)]
    assert (state.best_loss, state.best_step) == (2.0, 40)


@pytest.mark.parametrize(("steps", "count"), [(5, 5), (12, 12), (35, 12), (40, 10)])
def test_a_run_is_evaluated_at_least_ten_times(steps, count):
    config = dataclasses.replace(MUON, steps=steps, eval_interval=0)
    records = list(train(TrainState(MODEL, config), *SPLITS))
    assert sum(isinstance(record, EvalRecord) for record in records) == count
