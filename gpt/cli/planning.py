"""What `gpt train` is asked for: a new run, one that goes on, or one that begins with weights."""

import dataclasses
import time
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path

from gpt.cli import console
from gpt.cli.common import find_corpus, has_corpus, surveyed, tokens_of
from gpt.config import GPTConfig, TrainConfig
from gpt.errors import require
from gpt.presets import DEFAULT_PRESET, TOKENIZERS, preset
from gpt.size import describe
from gpt.text.corpus import Corpus, Source, Survey
from gpt.text.counts import COMPRESSED, xz_per_character
from gpt.text.finding import is_known, may_be_folder
from gpt.text.named import gpt2_folder
from gpt.text.tokenizer_files import build_tokenizer
from gpt.text.tokenizers import CharTokenizer
from gpt.text.tokens import Tokens, cut
from gpt.training.loop import check_lengths, windows_of
from gpt.training.measure import measure
from gpt.training.places import default_folder, latest_run
from gpt.training.plan import Choice, decay_for, for_text, for_time
from gpt.training.room import check_room
from gpt.training.run import Run
from gpt.training.setup import Setup
from tinygrad_lite import Tensor, distributed

# What a resumed run cannot change: it would not be the same run
FIXED = ("seed", "optimizer", "train_only", "validation", "split", "batches")
OF_NEW_RUNS = ("preset", "out", "name", "force", "tokenizer", "vocab_size", "include", "errors",
               "validation_file")  # fmt: skip
MOST_WINDOWS = 1 << 16
MEASURED = 0.5  # seconds of steps from which a size is chosen
ENOUGH = 8  # tokens of training text for each of the vocabulary


@dataclass
class Plan:
    """What is going to be trained, on what, and where"""

    run: Run
    setup: Setup
    tokens: Tokens
    name: str  # of the corpus, or of the run
    weights: dict[str, Tensor] | None = None  # that a run begins with
    text: Path | None = None  # standard input in a file, which the run keeps
    why: dict[str, str] = field(default_factory=dict)  # what was chosen for the text and the time


def new(args: Namespace) -> Plan:
    chosen = preset(args.preset or DEFAULT_PRESET)
    config = TrainConfig(**{**chosen.train, **_given(args, TrainConfig)})
    config = _with_validation(args, _timed(args, config))
    source, corpus = find_corpus(_source(args, [chosen.corpus] if chosen.corpus else []))
    name, run = _place(args, source, corpus)
    survey = surveyed(corpus)
    training, _ = corpus.splits(survey.lengths, config.validation, config.split)
    kind = args.tokenizer or chosen.tokenizer
    tokenizer = build_tokenizer(
        kind,
        survey.characters,
        cut(piece for span in training for piece in span.pieces()),
        args.vocab_size or 0,
        gpt2_folder() if kind == "gpt2" else None,
        sum(span.stop - span.start for span in training),
    )
    options = {**chosen.model, "vocab_size": tokenizer.vocab_size, **_given(args, GPTConfig)}
    setup = Setup(GPTConfig(**options), config, tokenizer, source, survey.sha256)
    tokens = tokens_of(corpus, survey, tokenizer, config)
    choice = _chosen(args, setup, tokens) if _adapts(args) else None
    if choice is not None:
        setup = dataclasses.replace(setup, model=choice.model, train=choice.train)
    plan = _planned(run, setup, corpus, survey, name, tokens)
    plan.why = choice.why if choice is not None else {}
    return _with_warmup_told(args, plan)


def _adapts(args: Namespace) -> bool:
    """Whether the text and the time decide what nobody has said"""
    return args.preset is None or bool(args.minutes)


def _chosen(args: Namespace, setup: Setup, tokens: Tokens) -> Choice:
    """What the text and the time ask for, of all that was not said"""
    _check_size(setup, tokens)  # before it is measured
    model, train, training = setup.model, setup.train, tokens.training
    given = {*_given(args, GPTConfig)}
    given |= {*_given(args, TrainConfig)}
    if args.preset is not None:
        given |= {*dataclasses.asdict(model), *preset(args.preset).train} - {"steps"}
    if not args.minutes:
        return for_text(model, train, len(training), given)
    seconds, _ = measure(model, train, training, MEASURED)
    step = windows_of(len(training), train, model.block_size) * model.block_size
    speed = describe(model, 1)["training_flops_per_token"] * step / seconds
    packed = xz_per_character(setup.tokenizer.decode(training[:COMPRESSED]))
    packed = distributed.from_first(packed)
    left = distributed.from_first(max(60 * args.minutes - (time.monotonic() - args.began), 1.0))
    return for_time(model, train, len(training), given, left, speed, packed)


def asked_for(corpus: list[str], chosen: str, out: str) -> Namespace:
    """The arguments of `gpt train CORPUS --preset NAME --out RUN`, without any other option"""
    from gpt.cli.grammar import parse

    return parse(["train", *corpus, "--preset", chosen, "--out", out])


def resumed(args: Namespace) -> Plan:
    """A run that goes on where it stopped"""
    folder = args.resume or latest_run()
    require(
        not args.start,
        "train: a resumed run keeps its weights.",
        f"--resume with --from {args.start}",
        f"gpt train --resume {folder}",
    )
    run = Run.open(folder)
    setup = run.read_setup()
    _check_kept(args, setup, folder)
    source = setup.source
    if args.corpus:  # the same text in another place
        source = dataclasses.replace(source, names=tuple(args.corpus))
    gone = [n for n in (*source.names, *source.validation) if not is_known(n)]
    require(
        bool(args.corpus) or (has_corpus(run) and not gone),
        "train: a run is resumed on the text that it was trained on.",
        f"--resume {folder}, whose text " + (f"was {gone[0]}" if gone else "is not kept"),
        f"gpt train CORPUS --resume {folder}, if it is elsewhere",
    )
    run.check_last()
    _check_standard_input(args)
    piped = "-" in (args.corpus or ())  # read anew, not from what the run has kept
    source, corpus = find_corpus(source, None if piped else run.text)
    survey = surveyed(corpus)
    require(
        not setup.format or survey.sha256 == setup.corpus_sha256 or args.allow_changed_corpus,
        "train: a run goes on with the text that it began with.",
        f"{', '.join(source.names)}, which has changed since",
        f"gpt train CORPUS --from {folder}, or --allow-changed-corpus"
        if not isinstance(setup.tokenizer, CharTokenizer)
        or set(survey.characters) <= set(setup.tokenizer.characters)
        else "gpt train CORPUS, a new run: the model lacks characters of this text",
    )
    given = _given(args, TrainConfig)
    config = _timed(args, dataclasses.replace(setup.train, **given))
    setup = dataclasses.replace(setup, train=config, source=source, corpus_sha256=survey.sha256)
    plan = _planned(run, setup, corpus, survey, args.name or corpus.name)
    return _with_less_decay(args, plan) if {"lr", "muon_lr", "batch_size"} & {*given} else plan


def tuned(args: Namespace) -> Plan:
    """A new run that begins with the weights, the tokenizer and the settings of another"""
    other = Run.open(args.start)
    model, tokenizer = other.load_best()
    config = TrainConfig(**preset(args.preset).train) if args.preset else other.read_setup().train
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
    source, corpus = find_corpus(_source(args, []))
    name, run = _place(args, source, corpus)
    survey = surveyed(corpus)
    config = _timed(args, dataclasses.replace(config, **_given(args, TrainConfig)))
    config = _with_validation(args, config)
    setup = Setup(GPTConfig(**options), config, tokenizer, source, survey.sha256)
    plan = _planned(run, setup, corpus, survey, name)
    plan.weights = weights
    return _with_warmup_told(args, _with_less_decay(args, plan))


def _with_warmup_told(args: Namespace, plan: Plan) -> Plan:
    """Learning rates rise in no more than half of the steps, also where more were asked for"""
    given, steps = _given(args, TrainConfig).get("warmup", 0), plan.setup.train.steps
    if given > steps // 2:
        plan.why["warmup"] = f"{steps // 2} steps, half of all, not the {given:,} that are given"
    return plan


def _with_less_decay(args: Namespace, plan: Plan) -> Plan:
    """Where the weight decay that a run had is too much for its new text or learning rates"""
    train, size = plan.setup.train, plan.setup.model.block_size
    most = decay_for(train, len(plan.tokens.training), size)
    if train.weight_decay > most and "weight_decay" not in _given(args, TrainConfig):
        plan.setup = dataclasses.replace(
            plan.setup, train=dataclasses.replace(train, weight_decay=most)
        )
        plan.why["decay"] = f"a weight decay of {most:g} for {train.weight_decay:g}: the text, or a"
        plan.why["decay"] += " learning rate, asks for less"
    return plan


def _planned(
    run: Run,
    setup: Setup,
    corpus: Corpus,
    survey: Survey,
    name: str,
    tokens: Tokens | None = None,
) -> Plan:
    """With the tokens, after checks that it can be trained"""
    tokens = tokens or tokens_of(corpus, survey, setup.tokenizer, setup.train)
    _check_size(setup, tokens)
    if corpus.given or setup.train.split == "files":
        splits = corpus.splits(survey.lengths, setup.train.validation, setup.train.split)
        learned, judged = ({span.document.place for span in spans} for spans in splits)
        if learned & judged and setup.train.validation:
            console.complain("a text is for training and for validation: the losses say little")
    piped = [d.path for d in corpus.documents if d.name == "standard input"]
    training = len(tokens.training)
    few = training < ENOUGH * setup.tokenizer.vocab_size
    if few and setup.tokenizer.kind != "characters":
        console.complain(
            f"a vocabulary of {setup.tokenizer.vocab_size:,} is large for {training:,} tokens of"
            " training text: most occur too seldom to be learned\n  try --tokenizer characters"
        )
    return Plan(run, setup, tokens, name, text=piped[0] if piped else None)


def _check_size(setup: Setup, tokens: Tokens) -> None:
    """ValueError unless the text is long enough for a step, and the machine large enough"""
    model, config, training = setup.model, setup.train, len(tokens.training)
    check_lengths(training, len(tokens.validation) - 1, model.block_size)
    windows = windows_of(training, config, model.block_size)
    require(
        config.batches == "random" or windows <= MOST_WINDOWS,
        f"train: a step takes all windows of a text only where they are {MOST_WINDOWS:,} or fewer.",
        f"{windows:,} windows",
        "--batches random",
    )
    check_room(
        describe(model, windows)["training_mb"],
        f"a step of {windows:,} x {model.block_size} tokens, {model.n_layer} layers, {model.n_embd}"
        " wide",
        "a smaller --batch-size, --block-size or model"
        + ("" if config.batches == "random" else ", or --batches random"),
    )


def _place(args: Namespace, source: Source, corpus: Corpus) -> tuple[str, Run]:
    """The name and the folder of a new run"""
    name = args.name or corpus.name
    made_from = [n for n in source.names + source.validation if Path(n).is_absolute()]
    made_from += [args.start] if args.start else []
    made_from += [args.tokenizer] if args.tokenizer not in (None, *TOKENIZERS) else []
    folder = args.out or default_folder(name)
    if distributed.rank():  # the first looks whether it may be written
        return name, Run(Path(folder))
    return name, Run.create(folder, args.force, made_from)


def _check_standard_input(args: Namespace) -> None:
    require(
        distributed.size() == 1 or "-" not in (args.corpus or ()),
        "train: each rank reads the text, and only the first has a standard input.",
        f"- with {distributed.size()} ranks",
        "a file",
    )


def _source(args: Namespace, default: list[str]) -> Source:
    _check_standard_input(args)
    names = tuple(args.corpus or default)
    require(
        not args.include or any(map(may_be_folder, (*names, *(args.validation_file or ())))),
        "train: --include picks files of folders, and there is none.",
        f"{' '.join(names) or 'no CORPUS'} with --include {' '.join(args.include or ())}",
        "the path of a folder, or no --include",
    )
    require(
        not (args.validation and args.validation_file),
        "train: validation has texts of its own, or a share of the others.",
        f"--validation {args.validation} and {len(args.validation_file or ())} --validation-file",
        "one of them",
    )
    return Source(
        names,
        tuple(args.include or ()),
        args.errors or "strict",
        tuple(args.validation_file or ()),
    )


def _given(args: Namespace, config: type) -> dict:
    """The options of a configuration that were given on the command line"""
    names = (f.name for f in dataclasses.fields(config) if f.name != "vocab_size")
    return {n: getattr(args, n) for n in names if getattr(args, n) is not None}


def _timed(args: Namespace, config: TrainConfig) -> TrainConfig:
    """The configuration with --steps or --minutes, of which a run has one"""
    require(
        not (args.steps and args.minutes),
        "train: a run is as long as it is told, either by steps or by the clock.",
        f"--steps {args.steps} and --minutes {args.minutes}",
        "one of them",
    )
    return dataclasses.replace(config, minutes=0.0) if args.steps else config


def _with_validation(args: Namespace, config: TrainConfig) -> TrainConfig:
    """Where texts are given for validation, it is no part of the training text, whatever share"""
    if args.validation_file and config.validation == 0:
        return dataclasses.replace(config, validation=TrainConfig.validation)
    return config


def _check_kept(args: Namespace, setup: Setup, folder: Path | str) -> None:
    """ValueError for options that a resumed run cannot take"""
    wrong = [
        f"--{n.replace('_', '-')}" for n in OF_NEW_RUNS if getattr(args, n) not in (None, False, [])
    ]
    kept = dataclasses.asdict(setup.model) | {n: getattr(setup.train, n) for n in FIXED}
    for name, value in (_given(args, GPTConfig) | _given(args, TrainConfig)).items():
        if name in kept and value != kept[name]:
            wrong.append(f"--{name.replace('_', '-')} {value} (it has {kept[name]})")
    require(
        not wrong,
        "train: a resumed run keeps its model, its text, its folder and its random numbers.",
        f"--resume {folder} with {', '.join(wrong)}",
        f"--resume without it, or gpt train CORPUS --from {folder}",
    )
