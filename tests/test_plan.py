"""What is chosen for a text and a time, runs by the clock, and the counts they are raced with."""

import dataclasses
import itertools
import json
import math
import re
import time
from pathlib import Path

import numpy as np
import pytest

import gpt
from benchmarks.ngrams import kneser_ney_loss, xz_loss
from gpt.cli import run
from gpt.cli.console import TrainingLine
from gpt.config import MOST, GPTConfig, TrainConfig
from gpt.presets import PRESETS
from gpt.size import describe
from gpt.text.counts import xz_per_character
from gpt.text.named import shipped
from gpt.training.clock import LEAST_STEPS, PASSES, Clock, fit
from gpt.training.loop import StepRecord, train
from gpt.training.plan import (
    BEARS,
    CONTEXTS,
    LEAST_SHRINKS,
    MOST_DECAY,
    MOST_DROPOUT,
    SHRINKS,
    SIZES,
    STEP,
    TEXT,
    VERSE,
    for_text,
    for_time,
)
from gpt.training.run import Run
from gpt.training.state import EvalRecord, TrainState

RECIPE = PRESETS["shakespeare"]
MODEL = GPTConfig(vocab_size=65, **RECIPE.model)
TRAIN = TrainConfig(**RECIPE.train)
TINY = dict(vocab_size=7, n_layer=1, n_head=1, n_embd=8, block_size=8)
TOKENS = np.random.default_rng(0).integers(0, 7, 3000)


def test_a_large_text_takes_the_recipe_as_it_is():
    choice = for_text(MODEL, TRAIN, 1_003_854, set())  # tiny Shakespeare's
    assert (choice.model, choice.train, choice.why) == (MODEL, TRAIN, {})


@pytest.mark.parametrize("tokens", [300, 18_000, 63_000, 200_000])
def test_a_small_text_is_read_less_often_and_with_dropout(tokens):
    choice = for_text(MODEL, TRAIN, tokens, set())
    assert choice.train.steps < TRAIN.steps or choice.model.dropout > 0
    assert choice.train.warmup < choice.train.steps or choice.train.steps == 1
    assert {"steps", "dropout", "decay"} & set(choice.why)
    kept = for_text(MODEL, TRAIN, tokens, {"steps", "dropout", "weight_decay"})
    assert (kept.model, kept.train, kept.why) == (MODEL, TRAIN, {})


def test_more_time_never_chooses_a_smaller_model():
    sizes, contexts, in_step, read, dropouts = [], [], [], [], []
    for seconds in (1, 10, 60, 180, 600, 1800, 36_000):
        choice = for_time(MODEL, TRAIN, 2_000_000, set(), seconds, 1e11, VERSE)
        sizes.append(SIZES.index((choice.model.n_layer, choice.model.n_embd)))
        contexts.append(choice.model.block_size)
        in_step.append(choice.train.batch_size * choice.model.block_size)
        read.append(choice.train.steps * in_step[-1])
        dropouts.append(choice.model.dropout)
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 3
    assert contexts == sorted(contexts)
    assert set(contexts) == set(CONTEXTS)
    assert in_step == sorted(in_step)
    assert set(in_step) == {STEP, 2 * STEP}
    assert all(a < c for a, c in zip(read, read[2:], strict=False))  # a larger one reads slower
    assert dropouts == sorted(dropouts)


# Training tokens, and what xz needs, of the texts of the sweep in benchmarks/README.md
SHAKESPEARE, GERMAN, PYTHON = (1_003_854, 2.097), (900_000, 1.131), (360_000, 1.228)
AVX2, AVX512 = 6.3e10, 2e11  # operations a second, about, of the machines that it ran on


@pytest.mark.parametrize(
    ("text", "minutes", "speed", "layers", "width", "context", "in_step"),
    [
        (SHAKESPEARE, 0.2, AVX2, 2, 64, 128, STEP),
        (SHAKESPEARE, 1, AVX2, 2, 64, 128, 2 * STEP),
        (SHAKESPEARE, 3, AVX2, 3, 96, 256, 2 * STEP),
        (GERMAN, 1, AVX2, 3, 96, 128, 2 * STEP),
        (GERMAN, 3, AVX2, 3, 96, 256, 2 * STEP),
        (PYTHON, 3, AVX2, 3, 96, 256, 2 * STEP),
        (SHAKESPEARE, 0.2, AVX512, 2, 64, 128, 2 * STEP),
        (SHAKESPEARE, 1, AVX512, 3, 96, 256, 2 * STEP),
        (SHAKESPEARE, 3, AVX512, 4, 128, 512, 2 * STEP),
        (SHAKESPEARE, 10, AVX512, 4, 192, 512, 2 * STEP),
        (GERMAN, 3, AVX512, 4, 128, 512, 2 * STEP),
        (PYTHON, 3, AVX512, 4, 128, 512, 2 * STEP),
    ],
)
def test_what_was_measured_to_learn_well_is_chosen(
    text, minutes, speed, layers, width, context, in_step
):
    tokens, packed = text
    choice = for_time(MODEL, TRAIN, tokens, set(), 60 * minutes - 3, speed, packed)
    model = choice.model
    assert (model.n_layer, model.n_embd, model.block_size) == (layers, width, context)
    assert choice.train.batch_size * context == in_step


def size_for(tokens, seconds, packed):
    model = for_time(MODEL, TRAIN, tokens, set(), seconds, 1e11, packed).model
    return SIZES.index((model.n_layer, model.n_embd))


def test_a_text_that_repeats_itself_takes_a_larger_model():
    larger = 0
    for seconds in (30, 60, 120, 240, 480):
        sizes = [size_for(1_000_000, seconds, packed) for packed in (3.0, VERSE, 1.2, 0.3)]
        assert sizes == sorted(sizes)
        assert sizes[0] == sizes[1]
        larger += sizes[1] < sizes[3]
    assert larger


def test_a_small_text_bears_no_large_model():
    sizes = [size_for(tokens, 3600, VERSE) for tokens in (100, 18_000, 300_000, 10**6, 10**8)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 0 < sizes[1] == sizes[2] < sizes[3]
    assert SIZES[sizes[1]] == (4, 128)  # the best of those that were measured
    for tokens, size in ((18_000, sizes[1]), (300_000, sizes[2]), (10**6, sizes[3])):
        _, width = SIZES[size]
        bears = BEARS * (tokens / TEXT) ** (0.5 if tokens > TEXT else 0.25)
        assert 12 * SIZES[size][0] * width**2 < 1.1 * bears


def test_a_text_that_is_read_as_often_as_is_good_takes_the_largest_model_that_does_so():
    choices = [
        for_time(MODEL, TRAIN, 18_000, set(), seconds, 7e10, VERSE)
        for seconds in (5, 20, 40, 60, 120, 600)
    ]
    sizes = [SIZES.index((c.model.n_layer, c.model.n_embd)) for c in choices]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (0, 2)
    whole = [c for c in choices if "largest" in c.why["model"]]
    assert whole
    assert all("steps" in c.why for c in whole)  # which end before their time


def test_xz_sees_what_repeats_itself_far_apart():
    rng = np.random.default_rng(0)
    once = "".join(map(chr, rng.integers(65, 91, 100_000)))
    assert xz_per_character(once) == pytest.approx(math.log(26), rel=0.15)
    assert xz_per_character(10 * once) < 0.15 * math.log(26)
    assert math.isfinite(xz_per_character(""))


@pytest.mark.parametrize(
    "rates", [(0.005, 0.016), (0.5, 0.016), (0.005, 3.0), (1e-300, 1e-300), (1e308, 1e308)]
)
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_weights_shrink_in_as_many_passes_over_any_text(optimizer, rates):
    """But in no fewer steps than 20, by no decay that was not measured, and not where somebody has
    said how fast"""
    config = dataclasses.replace(TRAIN, optimizer=optimizer, lr=rates[0], muon_lr=rates[1])
    for tokens in (100, 18_000, 70_000, 10**7):
        train = for_text(MODEL, config, tokens, {"steps"}).train
        if max(rates) > 1e300:
            assert train.weight_decay == 0
            continue
        fastest = max(rates) if optimizer == "muon" else rates[0]
        steps, in_pass = 1 / (fastest * train.weight_decay), tokens / (8 * MODEL.block_size)
        if train.weight_decay < MOST_DECAY:
            assert steps == pytest.approx(max(LEAST_SHRINKS, SHRINKS * in_pass), rel=0.06)
        else:
            assert train.weight_decay == MOST_DECAY
            assert steps > max(LEAST_SHRINKS, SHRINKS * in_pass)
        kept = for_text(MODEL, config, tokens, {"weight_decay"})
        assert kept.train.weight_decay == config.weight_decay
        assert "decay" not in kept.why


def test_the_rest_of_a_model_adapts_to_what_is_given():
    widths, depths = [], []
    for seconds in (10, 6000):
        deep = dataclasses.replace(MODEL, n_layer=5)
        deep = for_time(deep, TRAIN, 10**9, {"n_layer"}, seconds, 1e10, VERSE).model
        assert deep.n_layer == 5
        assert deep.n_embd == 32 * deep.n_head
        widths.append(deep.n_embd)
        wide = dataclasses.replace(MODEL, n_embd=136)
        wide = for_time(wide, TRAIN, 10**9, {"n_embd"}, seconds, 1e10, VERSE).model
        assert (wide.n_embd, wide.n_head) == (136, MODEL.n_head)
        depths.append(wide.n_layer)
    assert widths[0] < widths[1]
    assert depths[0] < depths[1]


def test_a_text_that_is_learned_by_heart_wants_nothing_against_it():
    config = dataclasses.replace(TRAIN, validation=0.0)
    for choice in (
        for_text(MODEL, config, 2000, set()),
        for_time(MODEL, config, 2000, set(), 60, 1e10, VERSE),
    ):
        assert choice.model.dropout == 0
        assert choice.train.weight_decay == config.weight_decay
        assert not {"dropout", "decay"} & set(choice.why)


def test_a_text_that_is_read_as_often_as_is_good_keeps_small_batches():
    """Since more windows a step are fewer steps"""
    small, large = (
        for_time(MODEL, TRAIN, tokens, {"block_size"}, 600, 1e11, VERSE).train
        for tokens in (20_000, 10**7)
    )
    assert small.batch_size == TRAIN.batch_size
    assert large.batch_size == 2 * TRAIN.batch_size


@pytest.mark.parametrize("block_size", [16, 64, 128, 256, 1024, 2048])
def test_a_step_has_as_many_tokens_whatever_the_context_that_is_given(block_size):
    model = dataclasses.replace(MODEL, block_size=block_size)
    for seconds, in_step in ((1, STEP), (600, 2 * STEP)):
        choice = for_time(model, TRAIN, 10**7, {"block_size"}, seconds, 1e11, VERSE)
        assert choice.model.block_size == block_size
        assert choice.train.batch_size * block_size == max(in_step, block_size)


def test_the_default_recipe_is_where_the_rule_begins():
    assert (MODEL.block_size, TRAIN.batch_size * MODEL.block_size) == (CONTEXTS[0], STEP)


def test_a_context_is_no_longer_than_the_text_is_worth():
    """Each window of it is one of many, and what is given stays"""
    for tokens in (130, 1000, 20_000, 70_000, 10**6):
        model = for_time(MODEL, TRAIN, tokens, set(), 10**5, 1e12, 0.1).model
        assert model.block_size == MODEL.block_size or model.block_size < tokens // 40
    given = {"block_size", "batch_size"}
    choice = for_time(MODEL, TRAIN, 10**8, given, 10**5, 1e12, VERSE)
    assert (choice.model.block_size, choice.train.batch_size) == (
        MODEL.block_size,
        TRAIN.batch_size,
    )
    assert not {"context", "batch"} & set(choice.why)
    contexts = []
    for batch in (1, 8, 16, 32, 64, 256):  # a step that is large already has few to learn in
        train = dataclasses.replace(TRAIN, batch_size=batch)
        choice = for_time(MODEL, train, 10**6, {"batch_size"}, 180, 1e12, VERSE)
        contexts.append(choice.model.block_size)
        assert choice.train.batch_size == batch
    assert contexts == [512, 512, 256, 128, 128, 128]


@pytest.mark.parametrize("width", [384, 2048, 4096])
@pytest.mark.parametrize("tokens", [200, 1000, 5000, 18_000])
def test_a_wide_model_that_is_given_takes_no_context_beyond_its_text(width, tokens):
    model = dataclasses.replace(MODEL, n_embd=width, n_head=width // 32, n_layer=1)
    given = {"n_embd", "n_head", "n_layer"}
    model = for_time(model, TRAIN, tokens, given, 600, 1e12, VERSE).model
    assert model.block_size == CONTEXTS[0] or model.block_size <= tokens // 40


@pytest.mark.parametrize("block_size", [8, 16, 64])
def test_a_short_context_that_is_given_reads_a_small_text_no_more_often(block_size):
    model = dataclasses.replace(MODEL, block_size=block_size)
    for tokens in (500, 1000, 3000, 7000):
        train = for_time(model, TRAIN, tokens, {"block_size"}, 600, 1e11, VERSE).train
        least = LEAST_STEPS * TRAIN.batch_size * block_size
        assert train.steps * train.batch_size * block_size <= 1.01 * max(PASSES * tokens, least)


def test_a_text_that_is_read_without_a_limit_takes_the_size_for_the_time():
    train = dataclasses.replace(TRAIN, validation=0.0)
    choice = for_time(MODEL, train, 20_000, set(), 60, 7e10, VERSE)
    assert choice.model.n_layer < 4
    assert "largest" not in choice.why["model"]
    small = for_time(MODEL, TRAIN, 1000, set(), 1.3, 7e10, VERSE)  # no time for 300 steps
    assert (small.model.n_layer, small.model.n_embd) == (2, 64)


def test_each_preset_says_its_weight_decay():
    """What it does not say is chosen for the text"""
    assert all("weight_decay" in chosen.train for chosen in PRESETS.values())


def test_a_decay_of_a_short_text_is_not_kept_for_a_long_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--n-layer", "1", "--n-embd", "16", "--n-head", "2", "--block-size", "16"]
    sample = (Path(gpt.__file__).parent / "data" / "sample.txt").read_text("utf-8")
    (tmp_path / "short.txt").write_text("".join(sorted(set(sample))) + sample[:4000], "utf-8")
    assert run(["train", "short.txt", *small, "--steps", "3", "--out", "a"]) == 0
    first = Run.open("a").read_setup().train
    assert first.weight_decay > 1
    capsys.readouterr()
    assert run(["train", "sample", "--from", "a", "--steps", "3", "--out", "b"]) == 0
    assert "asks for less" in capsys.readouterr().out
    assert Run.open("b").read_setup().train.weight_decay < first.weight_decay / 2
    given = ["--from", "a", "--steps", "3", "--weight-decay", "2", "--out", "c"]
    assert run(["train", "sample", *given]) == 0
    assert Run.open("c").read_setup().train.weight_decay == 2
    assert run(["train", "--resume", "a", "--steps", "6"]) == 0
    assert Run.open("a").read_setup().train.weight_decay == first.weight_decay
    assert run(["train", "--resume", "a", "--steps", "9", "--muon-lr", "0.5"]) == 0
    assert Run.open("a").read_setup().train.weight_decay * 0.5 < 0.06


def test_a_resumed_run_that_has_read_its_text_often_enough_says_so(tmp_path, monkeypatch, capsys):
    """Which is known once a step was measured"""
    monkeypatch.chdir(tmp_path)
    small = ["--n-layer", "1", "--n-embd", "16", "--n-head", "2", "--block-size", "16"]
    assert run(["train", "sample", *small, "--steps", "3", "--out", "a"]) == 0

    def ended(state, *_):
        state.config = dataclasses.replace(state.config, steps=state.step)

    monkeypatch.setattr("gpt.cli.train.fit", ended)
    capsys.readouterr()
    assert run(["train", "--resume", "a", "--minutes", "1"]) == 0
    assert "nothing is left to do after step 3" in capsys.readouterr().out


def test_a_little_more_time_changes_the_dropout_little():
    """A machine a tenth faster, or slower, must not learn another way"""
    given, dropouts = {"n_embd", "n_layer"}, []
    for tenths in range(100):
        model = for_time(MODEL, TRAIN, 100_000, given, 1.1**tenths, 1e11, VERSE).model
        dropouts.append(model.dropout)
    assert dropouts[0] == 0
    assert dropouts[-1] == MOST_DROPOUT
    assert max(after - before for before, after in itertools.pairwise(dropouts)) <= 0.05


def test_what_is_given_stays():
    given = {"n_embd", "n_head", "block_size", "dropout", "batch_size", "warmup"}
    model = GPTConfig(**{**TINY, "n_embd": 64, "n_head": 4, "dropout": 0.25})
    config = TrainConfig(batch_size=3, warmup=7)
    choice = for_time(model, config, 1000, given, 600, 1e10, VERSE)
    assert choice.model == model
    assert (choice.train.batch_size, choice.train.warmup) == (3, 7)
    assert choice.train.steps != config.steps


def by_clock(minutes, **options):
    state = TrainState(
        GPTConfig(**TINY), TrainConfig(minutes=minutes, batch_size=2, patience=0, **options)
    )
    return state, list(train(state, TOKENS[:2000], TOKENS[2000:]))


def readings(monkeypatch):
    """A clock that other programs do not slow: each reading of it takes a millisecond."""
    now = itertools.count()
    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: next(now) / 1000)
    return now


def test_a_warmup_longer_than_half_of_a_run_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = ["train", "sample", "--n-layer", "1", "--n-embd", "8", "--n-head", "1", "--d-ff", "8",
            "--block-size", "8", "--steps", "6", "--sample-tokens", "0", "--force"]  # fmt: skip
    for warmup, told in (("4", 1), ("3", 0)):
        assert run([*tiny, "--warmup", warmup]) == 0
        assert capsys.readouterr().out.count("3 steps, half of all, not the 4") == told


@pytest.mark.parametrize("steps", [1, 50, 10**6])
def test_a_run_by_the_clock_ends_in_time_with_its_schedule(monkeypatch, steps):
    """However many steps were planned"""
    now = readings(monkeypatch)
    state, records = by_clock(0.05, steps=steps, schedule="plateau", min_lr=0.0)
    assert 2.2 < next(now) / 1000 < 2.4  # of 3, less TAIL
    assert state.step > 300
    assert state.step == state.config.steps
    last = [r for r in records if not isinstance(r, EvalRecord)][-1]
    assert last.lr < 0.05 * state.config.lr  # the end of the schedule
    evaluations = [r.step for r in records if isinstance(r, EvalRecord)]
    assert 2 <= len(evaluations) <= 4
    assert evaluations[-1] == state.step


def test_a_run_by_the_clock_reads_a_small_text_only_so_often(monkeypatch):
    """And its learning rates end when it does; also where it was stopped on the way"""
    readings(monkeypatch)
    state = TrainState(GPTConfig(**TINY), TrainConfig(minutes=0.5, batch_size=2, patience=0))
    list(train(state, TOKENS[:200], TOKENS[2000:]))
    assert state.step == state.config.steps == PASSES * 200 // (2 * 8)
    assert 60 * state.config.minutes - state.seconds > 5
    rates = [r.lr for r in train(state, TOKENS[:200], TOKENS[2000:]) if isinstance(r, StepRecord)]
    assert rates == []
    config = TrainConfig(minutes=0.5, batch_size=2, patience=0)
    halfway, other = (TrainState(GPTConfig(**TINY), config) for _ in range(2))
    for record in train(halfway, TOKENS[:200], TOKENS[2000:]):
        if isinstance(record, StepRecord) and record.step == 150:
            break
    other.load(halfway.arrays(), halfway.progress())
    fit(other, 0.001, 200, 16)
    assert other.config.steps == state.step
    list(train(other, TOKENS[:200], TOKENS[2000:]))
    assert other.step == other.config.steps == state.step
    more = TrainState(GPTConfig(**TINY), dataclasses.replace(config, minutes=1))
    more.load(other.arrays(), other.progress())
    list(train(more, TOKENS[:200], TOKENS[2000:]))
    assert more.step == 2 * state.step
    choice = for_time(MODEL, TRAIN, 20_000, set(), 600, 1e11, VERSE)
    read = choice.train.steps * choice.train.batch_size * MODEL.block_size
    assert read <= PASSES * 20_000 * 1.1
    assert "before its time" in choice.why["steps"]


@pytest.mark.parametrize(
    ("eval_tokens", "seconds", "in_step", "expected"),
    [
        (1, 0.01, 128, 5.2),  # one window: 1,563 batches, each as long as a third of a step
        (1, 0.001, 8, 25),  # a large model, whose steps are of one window: as long as measured
        (50_000, 1.0, 128, 4.0),
    ],
)
def test_the_last_evaluation_is_foreseen(eval_tokens, seconds, in_step, expected):
    """Also from one of few tokens, of which most of the time is the same for many"""
    state = TrainState(GPTConfig(**TINY), TrainConfig(minutes=1, eval_tokens=eval_tokens))
    clock = Clock(state, 10**7, 200_000, in_step)
    clock.pace = 0.01
    clock.evaluated(seconds)
    assert clock.last_evaluation() == pytest.approx(expected, rel=0.01)


def test_where_the_loss_rises_another_evaluation_is_foreseen(monkeypatch):
    """That of the best weights, which are earlier ones"""
    ends, clock = {}, {"now": 0.0}
    monkeypatch.setattr("gpt.training.clock.time.monotonic", lambda: clock["now"])
    for best in (500, 100):
        state = TrainState(GPTConfig(**TINY), TrainConfig(minutes=1, steps=1000))
        clock["now"] = state.began = 0.0
        state.best_step, state.evaluated = best, 500
        ticker = Clock(state, 10**7, 100, 8)
        monkeypatch.setattr(ticker, "last_evaluation", lambda: 5.0)
        while not state.done():
            clock["now"] += 0.05
            state.step += 1
            ticker.step()
        ends[best] = clock["now"]
    assert ends[500] - ends[100] == pytest.approx(5.0, abs=0.3)
    assert 54 < ends[500] < 55


def test_a_machine_that_becomes_slower_takes_fewer_steps(monkeypatch):
    state = TrainState(GPTConfig(**TINY), TrainConfig(minutes=1, steps=1000))
    now = itertools.count()
    clock = {"now": 0.0}
    monkeypatch.setattr("gpt.training.clock.time.monotonic", lambda: clock["now"])
    state.began = 0.0
    ticker, planned = Clock(state, 10**7, 100, 8), []
    while not state.done():
        clock["now"] += 0.05 if next(now) < 300 else 0.2
        state.step += 1
        ticker.step()
        planned.append(state.config.steps)
    assert 56 < clock["now"] < 60
    assert max(planned[100:300]) > 1000
    assert 450 < state.step < 560


def test_more_steps_than_a_run_may_have_are_not_planned(monkeypatch):
    choice = for_time(MODEL, TRAIN, 100, set(), 1e9, 1e12, VERSE)
    assert choice.train.steps <= MOST
    state = TrainState(GPTConfig(**TINY), TrainConfig(minutes=1e9, steps=1000))
    clock = {"now": 0.0}
    monkeypatch.setattr("gpt.training.clock.time.monotonic", lambda: clock["now"])
    state.began, ticker = 0.0, Clock(state, 10**7, 100, 8)
    for _ in range(30):
        clock["now"] += 0.01
        state.step += 1
        ticker.step()
    assert state.config.steps == MOST


def test_a_run_by_the_clock_goes_on_with_the_time_that_is_left(monkeypatch):
    now = readings(monkeypatch)
    state, _ = by_clock(0.03, steps=100)
    other = TrainState(state.model.config, TrainConfig(minutes=0.06, batch_size=2, patience=0))
    other.load(state.arrays(), state.progress())
    assert other.step == state.step
    assert other.seconds == state.seconds
    assert not other.done()
    assert 1.0 < state.seconds < 1.2  # of 1.8, less TAIL
    start = next(now)
    other.best_step = 0  # those of before would have to be evaluated, too
    list(train(other, TOKENS[:2000], TOKENS[2000:]))
    assert 2.8 < (next(now) - start) / 1000 + state.seconds < 3.0
    assert other.step > state.step


def test_a_run_by_steps_may_go_on_by_the_clock():
    one = TrainState(GPTConfig(**TINY), TrainConfig(steps=30, batch_size=2, patience=0))
    list(train(one, TOKENS[:2000], TOKENS[2000:]))
    other = TrainState(one.model.config, TrainConfig(steps=30, minutes=0.03, patience=0))
    other.load(one.arrays(), one.progress())
    assert not other.done()
    list(train(other, TOKENS[:2000], TOKENS[2000:]))
    assert other.step == other.config.steps > 30
    back = TrainState(one.model.config, TrainConfig(steps=40 + other.step, patience=0))
    back.load(other.arrays(), other.progress())
    assert back.config.steps == 40 + other.step


def test_all_windows_of_a_text_are_counted():
    """With --batches all, batch_size says nothing"""
    config = dataclasses.replace(TRAIN, batches="all", batch_size=1, steps=1000)
    windows = 1000 - MODEL.block_size
    choice = for_text(MODEL, config, 1000, set())
    assert choice.train.steps == LEAST_STEPS
    assert "300 steps on 1,000 tokens" in choice.why["steps"]
    one = for_time(MODEL, config, 1000, {"n_layer", "n_embd"}, 600, 1e10, VERSE).train
    assert one.batch_size == 1
    operations = one.steps * windows * MODEL.block_size
    operations *= describe(MODEL, 1)["training_flops_per_token"]
    assert operations == pytest.approx(600 * 1e10, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--block-size", "100000"], "must be longer than a block"),
        (["--n-embd", "400000", "--n-head", "1"], "must fit"),
        (["--batches", "all"], "65,536 or fewer"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_is_measured(
    tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("some words of a text. " * 4000)
    monkeypatch.setattr("gpt.cli.planning.measure", lambda *_: 1 / 0)
    assert run(["train", "text.txt", "--minutes", "0.1", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_run_that_patience_ended_goes_on_as_it_was_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--n-layer", "1", "--n-embd", "16", "--n-head", "2", "--block-size", "16"]
    assert run(["train", "mini", *small, "--minutes", "0.1", "--out", "a"]) == 0
    progress = Run.open("a").folder / "last"
    monkeypatch.setattr(TrainState, "overtrained", lambda s: len(s.recent) > 0)
    capsys.readouterr()
    assert progress.is_dir()
    assert run(["train", "--resume", "a"]) == 0
    said = capsys.readouterr().out
    minutes = re.search(r"nothing is left to do.*--minutes (\d+) goes on", said)[1]
    assert 60 * int(minutes) > 7
    monkeypatch.setattr("gpt.cli.train.train", lambda state, *_: iter([]))
    assert run(["train", "--resume", "a", "--minutes", minutes]) == 0
    said = capsys.readouterr().out
    assert "nothing is left" not in said
    assert f"now follow the schedule of {minutes} minutes, not of 0.1 minutes" in said


def test_a_run_of_steps_that_goes_on_by_the_clock_is_planned(tmp_path, monkeypatch, capsys):
    """From what was measured, not with twice the steps that it had"""
    monkeypatch.chdir(tmp_path)
    small = ["--n-layer", "1", "--n-embd", "16", "--n-head", "2", "--block-size", "16"]
    assert run(["train", "sample", *small, "--steps", "30", "--out", "a"]) == 0
    planned = []
    monkeypatch.setattr(
        "gpt.cli.train.train", lambda state, *_: planned.append(state.config.steps) or iter([])
    )
    capsys.readouterr()
    assert run(["train", "--resume", "a", "--minutes", "1"]) == 0
    assert planned[0] > 2000
    said = capsys.readouterr().out
    assert "now follow the schedule of 1 minutes, not of 30 steps" in said
    assert f"{planned[0]:,} steps of" in said
    line = TrainingLine(30, 30)
    line.step(StepRecord(31, 1.0, 1e-3, 1.0, 1.0, 1.0), planned[0])
    assert "step" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage",
    [
        {"seconds": -1},
        {"minutes": "1"},
        {"counted_from": 0.5},
        {"steps": 0.5},
        {"evaluated": None},
        {},
    ],
)
def test_a_damaged_clock_is_refused(damage):
    state, _ = by_clock(0.02)
    progress = json.loads(state.progress())
    progress["clock"] = {**progress["clock"], **damage} if damage else {}
    with pytest.raises((ValueError, KeyError)):
        state.load(state.arrays(), json.dumps(progress))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes", "-1"], "minutes must be finite and not negative"),
        (["--minutes", "nan"], "minutes must be finite and not negative"),
        (["--minutes", "1", "--steps", "10"], "either by steps or by the clock"),
    ],
)
def test_minutes_that_make_no_sense_are_refused(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "sample", *options]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_the_command_ends_in_time_and_says_what_it_chose(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--n-layer", "1", "--n-embd", "16", "--n-head", "2", "--block-size", "16"]
    first = ["--steps", "1", "--dropout", "0.4", "--out", "first"]
    run(["train", "sample", *small, *first])  # kernels are there
    Path("long.txt").write_text(12 * shipped("sample"))  # enough for a fast machine
    capsys.readouterr()
    start = time.monotonic()
    assert run(["train", "long.txt", *small, "--minutes", "0.12", "--name", "a"]) == 0
    assert abs(time.monotonic() - start - 7.2) < 1.0
    said = capsys.readouterr().out
    assert "7 s in all" in said or "8 s in all" in said
    assert run(["train", "mini", *small, "--minutes", "0.12", "--name", "b"]) == 0
    assert re.search(r"steps, why .* before its time", capsys.readouterr().out)
    assert run(["train", "--resume", "runs/b"]) == 0
    assert "nothing is left to do" in capsys.readouterr().out
    config = json.loads((tmp_path / "runs/a/config.json").read_text())
    assert config["train"]["steps"] == max(
        json.loads(line)["step"]
        for line in (tmp_path / "runs/a/log.jsonl").read_text().splitlines()
    )
    assert run(["train", "--resume", "runs/a"]) == 0
    assert "nothing is left to do" in capsys.readouterr().out


def test_a_model_of_counts_gives_probabilities():
    """The losses of all continuations of a context: probabilities that add up to 1"""
    rng = np.random.default_rng(3)
    training = rng.integers(0, 4, 300)
    for context in ([0, 1, 2], [3, 3, 3], [1, 2, 0]):
        total = 0.0
        for token in range(4):
            loss = kneser_ney_loss(training, np.array([*context, token]), 4, 3)
            before = kneser_ney_loss(training, np.array(context), 4, 3) * 2
            total += math.exp(before - 3 * loss)
        assert total == pytest.approx(1, abs=1e-9)


def test_counting_and_compressing_find_what_there_is_to_find():
    rng = np.random.default_rng(0)
    random = rng.integers(0, 4, 20_000)
    losses = [kneser_ney_loss(random[:15000], random[14999:], 4, n) for n in (1, 3)]
    assert losses == pytest.approx([math.log(4)] * 2, abs=0.01)
    repeated = np.tile([0, 1, 2, 3, 3], 2000)
    assert kneser_ney_loss(repeated[:5000], repeated[4999:], 4, 3) < 0.01
    assert xz_loss("ab" * 5000, "ab" * 500) < 0.2
