"""gpt train"""

import contextlib
import dataclasses
import math
import shlex
import time
from argparse import Namespace
from collections.abc import Iterator

from gpt.cli import console, planning, ranks
from gpt.cli.common import announce_compilation, check_target, confirm_replacing, tell_unknown
from gpt.cli.console import say
from gpt.cli.planning import Plan
from gpt.cli.report import write_report
from gpt.cli.stopping import Stopping
from gpt.config import TrainConfig
from gpt.errors import Interrupted, require
from gpt.inside.history import read_history, sparkline
from gpt.inside.page import BEGINNING as PAGE
from gpt.inside.probes import Probe, read_probes
from gpt.text.counts import levels, standing
from gpt.text.tokenizers import Tokenizer
from gpt.text.tokens import TokenIds, Tokens
from gpt.training.clock import TAIL, fit, limit
from gpt.training.evaluate import FINAL, bits, evaluate
from gpt.training.loop import StepRecord, train, windows_of
from gpt.training.measure import least_seconds, measure, predicted_seconds
from gpt.training.run import Run
from gpt.training.saving import Saver
from gpt.training.setup import Setup
from gpt.training.signs import Signs
from gpt.training.state import EvalRecord, TrainState
from gpt.writing.sampling import Sampling, generate
from tinygrad_lite import distributed, precision, set_num_threads

SAMPLE_SEED = 42
HARDLY = 50  # steps: with fewer by the clock the user is told so
UNKNOWN_WORDS = 0.02  # of a text: more are told
LATE = 1.05  # times the time that is given: a run by the clock that takes longer is told


def train_command(args: Namespace) -> None:
    with Stopping() as stopping:
        _train(args, stopping)


def _train(args: Namespace, stopping: Stopping) -> None:
    announce_compilation()
    if args.threads is not None:
        set_num_threads(args.threads)
    require(
        args.sample_tokens >= 0,
        "train: --sample-tokens must not be negative.",
        f"{args.sample_tokens}",
        "--sample-tokens 160",
    )
    resumes = args.resume is not None
    make = planning.resumed if resumes else planning.tuned if args.start else planning.new
    plan = make(args)
    ranks.agree_on(plan.setup)
    run, tokens, config = plan.run, plan.tokens, plan.setup.train
    _say_what_is_odd(args, plan)
    state = TrainState(plan.setup.model, config)
    state.began = args.began
    if plan.weights is not None:
        state.model.load_state_dict(plan.weights)
    if distributed.rank():
        _follow(stopping, plan, state, resumes)
        return
    saver = Saver(lambda: run.save_last(state), config.save_every)
    with contextlib.ExitStack() as held:
        if resumes:
            held.enter_context(run.locked())
            run.load_last(state)
            with distributed.alone():  # others learn of it afterwards
                _go_on(args, plan, state)
            state.follow_first()
            state.began = args.began - state.seconds
            saver.started(state.step, 0.0)
        if not state.done():
            _show_card(plan, state)
        if state.done():  # also where no time is left, or the text was read so often as is good
            say(f"nothing is left to do after step {state.step}{_goes_further(args, plan, state)}")
        if not resumes:
            confirm_replacing(run)
            held.enter_context(run.locked())
            began = time.monotonic()
            run.begin(plan.setup, state, text=plan.text)
            saver.started(0, time.monotonic() - began)
        with _resumable(run, saver):
            last = _train_and_show(args, stopping, plan, state, saver)
            if state.config != plan.setup.train:  # the steps that the time was enough for
                plan.setup = dataclasses.replace(plan.setup, train=state.config)
                plan.setup.write(run.folder)
                run.setup = plan.setup
        if stopping.signal:
            raise Interrupted(stopping.signal, _goes_on(args, run, state), agreed=True)
        if state.overtrained():
            say(
                f"stopped after step {state.step}: the validation loss has risen"
                f" {config.patience} times in a row; the best weights, after step"
                f" {state.best_step}, are kept"
            )
        elif config.minutes:
            _say_how_far(state, plan)
        _say_best(run, state, tokens, last)
        reported = _report(run)
    say(f"{console.duration(time.monotonic() - args.began)} in all; everything is in {run.folder}")
    also = f", or open {run.report} in a browser" if reported else ""
    if run.weights.is_file():
        say(f"next: gpt generate {shlex.quote(str(run.folder))}{also}")


def _follow(stopping: Stopping, plan: Plan, state: TrainState, resumes: bool) -> None:
    """What all ranks but the first do: their part of each step, evaluation and save, as it comes
    there"""
    tokens = plan.tokens
    saver = Saver(state.arrays, state.config.save_every)
    if resumes:
        state.load({}, "")
        state.follow_first()
        state.began = time.monotonic() - state.seconds
        saver.started(state.step, 0.0)
    if not state.done():
        _measured(plan, state)
        ranks.described()
    if not resumes:
        state.arrays()
    stopping.patient, waiting = True, ranks.Waiting()
    for record in train(state, tokens.training, tokens.validation):
        if isinstance(record, StepRecord) and state.evaluation_due():
            continue
        if stopping.agreed() or (isinstance(record, EvalRecord) and state.done()):
            break
        saver.step_done(state.step)
    saver.save(state.step)
    waiting.told()
    if stopping.signal:
        raise Interrupted(stopping.signal, agreed=True)


def _goes_further(args: Namespace, plan: Plan, state: TrainState) -> str:
    """How a run goes on that is done"""
    if minutes := state.config.minutes:
        more = math.ceil(2 * max(minutes, state.seconds / 60))
        return f" and {console.duration(state.seconds)}; --minutes {more} goes on"
    fewer = ""
    if args.steps:
        fewer = f", and --steps {args.steps} is not more"
        planned = Setup.read(plan.run.folder).train if args.resume else state.config
        if planned.steps > state.step and not planned.minutes:
            return (
                f"{fewer}; the run was to have {planned.steps:,}: --steps {planned.steps} goes on"
            )
    return f"{fewer}; --steps {2 * max(state.step, state.config.steps)} goes on"


def _say_how_far(state: TrainState, plan: Plan) -> None:
    """That a run by the clock has ended before its time, or that this was hardly enough"""
    time_, given, training = state.seconds, 60 * state.config.minutes, len(plan.tokens.training)
    enough = state.step >= limit(state, training, _in_step(plan, state))
    if enough and time_ < 0.9 * given - TAIL:
        say(
            f"ended after {console.duration(time_)} of {console.duration(given)}: more reading of"
            f" {training:,} tokens would teach them by heart"
        )
    elif state.step < HARDLY:
        console.complain(
            f"{state.step} steps are hardly a beginning: where kernels were compiled, which takes"
            " time once on a machine, the same command trains longer now; or give it more --minutes"
        )


def _say_what_is_odd(args: Namespace, plan: Plan) -> None:
    tokenizer, training = plan.setup.tokenizer, plan.tokens.training
    tell_unknown(tokenizer, "the training text", training, UNKNOWN_WORDS)
    if plan.setup.train.validation:
        tell_unknown(tokenizer, "the validation text", plan.tokens.validation, UNKNOWN_WORDS)
    if args.verbose:
        console.windows(tokenizer, training, plan.setup.model.block_size)


def _go_on(args: Namespace, plan: Plan, state: TrainState) -> None:
    """Bring a run back to where it was saved, as `state` was; call it while the run is locked."""
    run = plan.run
    say(f"{run.folder} goes on after step {state.step}")
    if args.steps or args.minutes:  # whoever says how far wants to go on, though the loss has risen
        state.recent = []
    before, now = _length(run.read_setup().train), _length(state.config)
    if before != now and not state.done():
        say(f"learning rates now follow the schedule of {now}, not of {before}")
    lost = run.rewind(state.step)
    if lost:
        console.complain(f"{run.log} has lost {console.many(lost, 'step')} of {state.step}")
    _match_best(plan, state)
    if not state.done():  # a run that is stopped once more knows what was asked of it
        if plan.text is not None:
            run.keep_text(plan.text)
        plan.setup.write(run.folder)
    run.setup = plan.setup


def _length(config: TrainConfig) -> str:
    """Of a run, in words"""
    return f"{config.minutes:g} minutes" if config.minutes else f"{config.steps:,} steps"


def _match_best(plan: Plan, state: TrainState) -> None:
    """Make what a resumed state knows of the best weights true of those that are there: they may be
    gone, or were saved after the state, or were measured in another way."""
    run, before = plan.run, plan.run.read_setup()
    kept = run.kept_best()
    # Of what was done after the state was saved, all will be done again in the same way, unless
    # other settings were given, or the clock decides
    same = before.train == plan.setup.train and not plan.setup.train.minutes
    if not same and kept is not None and kept[0] > state.step and kept[1] <= state.best_loss:
        state.best_step, state.best_loss = kept
    if kept is not None and state.best_step and _measured_anew(before, plan.setup):
        state.recent = []
        with precision(state.config.precision):
            best = run.load_best()[0]
            state.best_loss = evaluate(best, plan.tokens.validation, state.config.eval_tokens)
    if state.best_step and kept is None:
        console.complain(
            f"the best weights, after step {state.best_step}, are gone from {run.folder}: the best"
            " of what follows will be kept"
        )
        state.best_loss, state.best_step = math.inf, 0
        if state.done():
            record = state.evaluate(plan.tokens.validation)
            run.save_best(state, record.val_loss)


def _measured_anew(before: Setup, after: Setup) -> bool:
    """Whether losses of evaluations cannot be compared with those of before"""
    one, other = before.train, after.train
    return (one.eval_tokens, one.precision) != (
        other.eval_tokens,
        other.precision,
    ) or before.corpus_sha256 != after.corpus_sha256


def _measured(plan: Plan, state: TrainState) -> tuple[float, float]:
    """Seconds of a step, and memory in MB; and as many steps as there is time for"""
    seconds, peak_mb = measure(plan.setup.model, state.config, plan.tokens.training)
    if state.config.minutes:
        fit(state, seconds, len(plan.tokens.training), _in_step(plan, state))
    return seconds, peak_mb


def _in_step(plan: Plan, state: TrainState) -> int:
    """Tokens that a step trains on"""
    size = plan.setup.model.block_size
    return windows_of(len(plan.tokens.training), state.config, size) * size


def _show_card(plan: Plan, state: TrainState) -> None:
    model, tokens = plan.setup.model, plan.tokens
    seconds, peak_mb = _measured(plan, state)
    config = state.config
    counts = (len(tokens.training), len(tokens.validation) - 1)
    parameters = sum(p.size for p in state.model.parameters())
    left = predicted_seconds(seconds, state, model, counts)
    rows = console.card_rows(model, config, plan.name, parameters, counts, left, peak_mb)
    if config.minutes:
        assert state.began is not None
        least = time.monotonic() - state.began + TAIL
        least += least_seconds(seconds, config, model, counts)
        late = least > LATE * 60 * config.minutes
        in_all = console.duration(math.ceil(least if late else 60 * config.minutes))
        rows["here"] = f"{'about' if late else 'at most'} {in_all} in all, and {peak_mb:.0f} MB"
        if late:
            rows["here"] += ": the time that is given is too short for two steps and the last"
            rows["here"] += " evaluation"
    if distributed.size() > 1:
        rows["ranks"] = ranks.described()
        windows = windows_of(counts[0], config, model.block_size)
        if windows < distributed.size():
            console.complain(
                f"{distributed.size()} ranks share steps of {windows} windows: some only wait\n"
                "  a larger --batch-size, or fewer ranks"
            )
    console.card(rows | {f"{name}, why": why for name, why in plan.why.items()})


@contextlib.contextmanager
def _resumable(run: Run, saver: Saver) -> Iterator[None]:
    """Say how a run goes on that cannot write its files, or gets no memory"""
    try:
        yield
    except (OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        what = getattr(error, "filename", None) or run.folder
        reason = getattr(error, "strerror", None) or "there is not enough memory"
        raise ValueError(
            "train: a run needs room for what it saves, and memory.\n"
            f"  got {what}: {reason}, after step {saver.step} was saved\n"
            f"  try to make room, then gpt train --resume {shlex.quote(str(run.folder))}"
        ) from error


def _train_and_show(
    args: Namespace, stopping: Stopping, plan: Plan, state: TrainState, saver: Saver
) -> EvalRecord | None:
    """The steps that are left; returns the last evaluation"""
    run, tokens, tokenizer = plan.run, plan.tokens, plan.setup.tokenizer
    probe = Probe(plan.setup.model, tokenizer, tokens.validation)
    compared = levels(tokenizer, tokens.training, tokens.validation)
    if not read_probes(run.probes)[0]:
        run.add_probe(probe.header(run.folder.resolve().name, compared))
    signs = Signs(math.log(plan.setup.model.vocab_size), state.config)
    last = None
    with console.TrainingLine(state.config.steps, state.step) as line:
        stopping.patient, waiting = True, ranks.Waiting()
        for record in train(state, tokens.training, tokens.validation):
            run.append(record)
            if isinstance(record, StepRecord):
                with stopping.unread():
                    if not stopping.signal:
                        line.step(record, state.config.steps)
                        _warn(signs.step(record))
                if state.evaluation_due():
                    continue  # which comes before anything is saved
                if stopping.agreed():
                    break
                saver.step_done(state.step)
                continue
            last = record
            with precision(state.config.precision):  # the kernels of training
                sample = _sample(state, tokenizer, tokens.training, args.sample_tokens)
                seen = probe.measure(state.model, record.step, record.val_loss, sample)
            run.add_sample(record.step, sample)
            run.add_probe(seen)
            if record.best:
                run.save_best(state, record.val_loss)
            if stopping.agreed() or state.done():
                break
            saver.step_done(state.step)
            with stopping.unread():
                line.evaluation(record, sample, *_told(record, state.config, tokens, compared))
                _warn(signs.evaluation(record))
        saver.save(state.step)
        waited = waiting.told()
        if last is not None and not stopping.signal:
            with stopping.unread():
                line.evaluation(last, sample, *_told(last, state.config, tokens, compared))
        stopping.patient = False
    if distributed.size() > 1:
        say(waited)
    return last


def _warn(sign: str | None) -> None:
    if sign:
        console.complain(sign)


def _told(
    record: EvalRecord, config: TrainConfig, tokens: Tokens, compared: dict[str, float]
) -> tuple[str, str]:
    """What of the validation split a loss is of, and what it stands for"""
    count = len(tokens.validation) - 1
    read = " on the whole split" if count <= FINAL else f" on {FINAL:,} tokens"
    size = f"{bits(record.val_loss) * count / max(tokens.characters, 1):.3f} bits per character"
    meaning = f"{size}; {standing(record.val_loss, compared)[0]}"
    return read if record.step == config.steps else "", meaning


def _say_best(run: Run, state: TrainState, tokens: Tokens, last: EvalRecord | None) -> None:
    """The loss of the best weights on the whole validation split"""
    if last is not None and last.best and last.step == state.config.steps:
        loss = last.val_loss
    elif run.kept_best() is None:
        say(f"no best weights are in {run.folder}")
        return
    else:
        model = run.load_best()[0]
        with precision(state.config.precision):
            loss = evaluate(model, tokens.validation, FINAL)
        run.note_best(model, loss)
    tokenizer = run.read_setup().tokenizer
    say(
        f"best validation loss {loss:.4f} after step {state.best_step}:"
        f" {bits(loss):.3f} bits per {console.unit(tokenizer)}"
    )


def _report(run: Run) -> bool:
    """Show the losses in a line, and write the report; whether that could be done"""
    try:
        losses = read_history(run.log).smooth
        say(f"loss {losses[0]:.2f} {sparkline(losses, 40)} {losses[-1]:.2f}")
        check_target(run.report, PAGE)
        write_report(run, run.report)
    except (ValueError, OSError) as error:  # what matters is done
        if isinstance(error, BrokenPipeError):
            raise
        console.complain(f"there is no report: {error}")
        return False
    return True


def _goes_on(args: Namespace, run: Run, state: TrainState) -> str:
    """What to say of a run that was stopped and saved"""
    if state.done():
        return f"stopped after the last step; everything is in {run.folder}"
    saved = f"stopped after step {state.step}, which is saved in {run.folder}"
    more = [
        f"--{name.replace('_', '-')}={getattr(args, name)}"
        for name in ("threads", "sample_tokens")  # the run keeps the others itself
        if getattr(args, name) != args.parser.get_default(name)
    ]
    command = shlex.join(["gpt", "train", "--resume", str(run.folder), *more])
    return f"{saved}\n  {command}\n  goes on"


def _sample(state: TrainState, tokenizer: Tokenizer, training: TokenIds, tokens: int) -> str:
    """Text from a fixed prompt and seed: the same run gives the same sample"""
    text = tokenizer.decode(training[:1000])
    prompt = tokenizer.encode("\n" if "\n" in text else text)[:1]
    ids = list(generate(state.model, prompt, tokens, Sampling(), SAMPLE_SEED))
    return tokenizer.decode([*prompt, *ids])
