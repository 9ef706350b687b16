"""gpt train"""

import dataclasses
import shlex
import time
from argparse import Namespace
from pathlib import Path

import numpy as np

from gpt.cli import console
from gpt.cli.common import announce_compilation, check_target, find_corpus, split_tokens
from gpt.cli.console import say
from gpt.cli.report import write_report
from gpt.cli.stopping import Stopping
from gpt.config import GPTConfig, TrainConfig
from gpt.errors import Interrupted, require
from gpt.inside.history import read_history, sparkline
from gpt.inside.page import BEGINNING as PAGE
from gpt.inside.probes import Probe, read_probes
from gpt.presets import DEFAULT_PRESET, TOKENIZERS, preset
from gpt.text.corpus import Corpus, gpt2_folder
from gpt.text.tokenizers import Tokenizer, build_tokenizer
from gpt.training.evaluate import bits, evaluate
from gpt.training.loop import StepRecord, check_lengths, train
from gpt.training.measure import measure
from gpt.training.run import Run, default_folder
from gpt.training.state import RISES, TrainState
from gpt.writing.sampling import Sampling, generate
from tinygrad_lite import Tensor, precision, set_num_threads

SAMPLE_SEED = 42


@dataclasses.dataclass
class Plan:
    """What is going to be trained, and on what"""

    model: GPTConfig
    config: TrainConfig
    tokenizer: Tokenizer
    names: list[str]
    corpus: Corpus
    start: dict[str, Tensor] | None = None  # the weights of the run that --from names


def train_command(args: Namespace) -> None:
    with Stopping() as stopping:
        _train(args, stopping)


def _train(args: Namespace, stopping: Stopping) -> None:
    start = time.perf_counter()
    announce_compilation()
    if args.threads is not None:
        set_num_threads(args.threads)
    require(
        args.sample_tokens >= 0,
        "train: --sample-tokens must not be negative.",
        f"{args.sample_tokens}",
        "--sample-tokens 160",
    )
    plan = _resumed(args) if args.resume else _tuned(args) if args.start else _new(args)
    model, config, tokenizer = plan.model, plan.config, plan.tokenizer
    training, validation, _ = split_tokens(plan.corpus, tokenizer, config.validation)
    check_lengths(training, validation[1:], model.block_size)
    unknown = float((training == 0).mean()) if tokenizer.kind == "words" else 0.0
    if unknown > 0.02:
        console.complain(f"{unknown:.0%} of this text are words that the model has no token for")
    if args.verbose:
        console.windows(tokenizer, training, model.block_size)
    state = TrainState(model, config)  # before the folder: it may find a mistake
    name = args.name or plan.corpus.name
    run = (
        Run.open(args.resume)
        if args.resume
        else Run.create(args.out or default_folder(name), args.force, _sources(args, plan))
    )
    if args.resume:
        run.load_last(state)
        if args.steps:  # whoever says how far wants to go on, also where the loss has risen
            state.recent = []
        run.rewind_log(state.step)
        if not state.done():  # a run that is stopped once more knows what was asked of it
            run.write_setup(model, config, tokenizer, plan.names)
    else:
        if plan.start is not None:
            state.model.load_state_dict(plan.start)
        run.write_setup(model, config, tokenizer, plan.names)
    if state.done():
        more = 2 * max(state.step, config.steps)
        say(f"nothing is left to do after step {state.step}; --steps {more} goes on")
    else:
        seconds, peak_mb = measure(model, config, training)
        counts = (len(training), len(validation) - 1)
        parameters = sum(p.size for p in state.model.parameters())
        left = seconds * (config.steps - state.step)
        console.card(console.card_rows(model, config, name, parameters, counts, left, peak_mb))
    probe = Probe(model, tokenizer, validation)
    if not read_probes(run.probes)[0]:
        run.add_probe(probe.header(run.folder.resolve().name, training, validation))
    best_loss = None  # of the best weights on the whole validation split
    with console.TrainingLine(config.steps, state.step) as line:
        stopping.patient = True
        for record in train(state, training, validation):
            run.append(record)
            if isinstance(record, StepRecord):
                if not stopping.signal:
                    line.step(record)
                elif not state.evaluation_due():
                    run.save_last(state)
                    break
                continue
            sample = _sample(state, tokenizer, training, args.sample_tokens)
            run.add_sample(record.step, sample)
            run.add_probe(probe.measure(state.model, record.step, record.val_loss, sample))
            if record.best:
                run.save_best(state)
                best_loss = record.val_loss if record.step == config.steps else None
            run.save_last(state)
            if stopping.signal:  # nothing is printed: the terminal may be gone
                break
            line.evaluation(record, sample)
        stopping.patient = False
    if stopping.signal:
        raise Interrupted(stopping.signal, _goes_on(args, run, state))
    if state.overtrained():
        say(
            f"stopped after step {state.step}: the validation loss has risen {RISES} times in a"
            f" row; the best weights, after step {state.best_step}, are kept"
        )
    if best_loss is None:
        with precision(config.precision):
            best_loss = evaluate(run.load_best()[0], validation)
    say(
        f"best validation loss {best_loss:.4f} after step {state.best_step}:"
        f" {bits(best_loss):.3f} bits per {console.unit(tokenizer)}"
    )
    reported = _report(run)
    say(f"{console.duration(time.perf_counter() - start)} in all; everything is in {run.folder}")
    also = f", or open {run.report} in a browser" if reported else ""
    say(f"next: gpt generate {run.folder}{also}")


def _report(run: Run) -> bool:
    """Show the losses in a line, and write the report; whether that could be done"""
    try:
        losses = read_history(run.log).smooth
        say(f"loss {losses[0]:.2f} {sparkline(losses, 40)} {losses[-1]:.2f}")
        check_target(run.report, PAGE)
        write_report(run, run.report)
    except (ValueError, OSError) as error:  # what matters is done
        console.complain(f"there is no report: {error}")
        return False
    return True


def _new(args: Namespace) -> Plan:
    chosen = preset(args.preset or DEFAULT_PRESET)
    names, corpus = find_corpus(args.corpus or ([chosen.corpus] if chosen.corpus else []))
    config = TrainConfig(**{**chosen.train, **_given(args, TrainConfig)})
    kind = args.tokenizer or chosen.tokenizer
    tokenizer = build_tokenizer(
        kind,
        corpus.text,
        corpus.splits(config.validation)[0],
        args.vocab_size or 0,
        gpt2_folder() if kind == "gpt2" else None,
    )
    options = {**chosen.model, "vocab_size": tokenizer.vocab_size, **_given(args, GPTConfig)}
    return Plan(GPTConfig(**options), config, tokenizer, names, corpus)


def _resumed(args: Namespace) -> Plan:
    require(
        not args.corpus and not args.start,
        "train: a resumed run keeps its corpus and its weights.",
        f"--resume with {' '.join(args.corpus) or f'--from {args.start}'}",
        f"gpt train --resume {args.resume}",
    )
    run = Run.open(args.resume)
    model, config, tokenizer, names = run.read_setup()
    require(
        "-" not in names and bool(names),
        "train: a run is resumed on the files that it was trained on.",
        f"--resume {args.resume}, trained on {'standard input' if names else 'none'}",
        f"gpt train CORPUS --from {args.resume}",
    )
    run.check_last()
    names, corpus = find_corpus(names)
    config = dataclasses.replace(config, **_given(args, TrainConfig))
    return Plan(model, config, tokenizer, names, corpus)


def _tuned(args: Namespace) -> Plan:
    """A new run that begins with the weights, the tokenizer and the settings of another"""
    model, tokenizer = Run.open(args.start).load_best()
    _, config, *_ = Run.open(args.start).read_setup()
    if args.preset:
        config = TrainConfig(**preset(args.preset).train)
    wrong = [name for name in _given(args, GPTConfig) if name not in ("dropout", "block_size")]
    wrong += [n for n in ("tokenizer", "vocab_size") if getattr(args, n)]
    require(
        not wrong,
        "train: weights are those of one model and one vocabulary.",
        f"--from {args.start} with --{wrong[0].replace('_', '-') if wrong else ''}",
        "none of the model's options but --dropout and --block-size",
    )
    weights = model.state_dict()
    options = dataclasses.asdict(model.config) | _given(args, GPTConfig)
    size, most = options["block_size"], model.config.block_size
    require(
        size <= most,
        "train: a model has learned no positions beyond its block_size.",
        f"--block-size {size} with --from a model of block_size={most}",
        f"--block-size {most}",
    )
    learned = "position.embedding.weight"
    if learned in weights:
        weights[learned] = weights[learned][:size].detach()
    names, corpus = find_corpus(args.corpus)
    config = dataclasses.replace(config, **_given(args, TrainConfig))
    return Plan(GPTConfig(**options), config, tokenizer, names, corpus, weights)


def _goes_on(args: Namespace, run: Run, state: TrainState) -> str:
    """What to say of a run that was stopped and saved"""
    if state.done():
        return f"stopped after the last step; everything is in {run.folder}"
    saved = f"stopped after step {state.step}, which is saved in {run.folder}"
    if "-" in run.read_setup()[3]:
        return f"{saved}; it cannot go on: standard input is not kept"
    more = [
        f"--{name.replace('_', '-')}={getattr(args, name)}"
        for name in ("threads", "sample_tokens")  # the run keeps the others itself
        if getattr(args, name) != args.parser.get_default(name)
    ]
    command = shlex.join(["gpt", "train", "--resume", str(run.folder), *more])
    return f"{saved}\n  {command}\n  goes on"


def _sources(args: Namespace, plan: Plan) -> list[str]:
    """The files and folders that a new run is made from"""
    sources = [name for name in plan.names if Path(name).is_absolute()]  # others are shipped
    sources += [args.start] if args.start else []
    return sources + ([args.tokenizer] if args.tokenizer not in (None, *TOKENIZERS) else [])


def _given(args: Namespace, config: type) -> dict:
    """The options of a configuration that were given on the command line"""
    names = (f.name for f in dataclasses.fields(config) if f.name != "vocab_size")
    return {n: getattr(args, n) for n in names if getattr(args, n) is not None}


def _sample(state: TrainState, tokenizer: Tokenizer, training: np.ndarray, tokens: int) -> str:
    """Text from a fixed prompt and seed: the same run gives the same sample"""
    text = tokenizer.decode(training[:1000])
    prompt = tokenizer.encode("\n" if "\n" in text else text)[:1]
    ids = list(generate(state.model, prompt, tokens, Sampling(), SAMPLE_SEED))
    return tokenizer.decode([*prompt, *ids])
