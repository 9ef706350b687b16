"""The model and the recipe for a text, and for a time.

Two things limit what can be learned: how much the machine computes in the time, and how often a
text may be read before it is known by heart. The rules below are fitted to the sweeps that
benchmarks/README.md shows.
"""

import dataclasses
import math
from dataclasses import dataclass

from gpt.config import MOST, GPTConfig, TrainConfig
from gpt.size import describe
from gpt.training.clock import LEAST_STEPS, PASSES, most_steps
from gpt.training.loop import windows_of

HEAD = 32  # channels of an attention head
# Layers and width, from small to large
SIZES = ((2, 64), (3, 96), (4, 128), (4, 192), (6, 192), (6, 256), (6, 384))
# A model reads TOKENS times the root of its parameters where no other size learns more in the same
# time, in a text of which xz needs VERSE nats for a character, as of Shakespeare's. One that
# repeats itself wants a larger model, by the root of these nats
TOKENS, VERSE = 7_800, 2.1
# Parameters without the embedding that a text of so many training tokens bears at most. They grow
# with the root of a longer text, and shrink with the fourth root of a shorter one
BEARS, TEXT = 1_760_000, 427_000
# A context that is twice as long is worth its time where four times as much is read, and in a wider
# model earlier: CONTEXT tokens where a window is as long as the model is wide, but no wider than
# WIDEST, as far as was measured. A text has at least WINDOWS of a context that is not the shortest
CONTEXTS, CONTEXT, WIDEST, WINDOWS = (128, 256, 512), 350_000, 192, 40
STEP, LONG = 1024, 1_400_000  # tokens of a step; twice as many where LONG are read or more
GIVEN = 4096  # tokens of a step beyond which a batch that is given makes no longer context worth it
# Dropout grows with the logarithm of how well a text can be known by heart, a tenth each time that
# this is e times as much, from none at KNOWN; less than LEAST_DROPOUT gave nothing
KNOWN, LEAST_DROPOUT, MOST_DROPOUT = 9.0, 0.05, 0.2
# Weights that no gradient renews shrink to 1/e in so many passes over the text, but in no fewer
# steps: Wang and Aitchison 2024, arXiv 2405.13698, found one number of passes for all texts. More
# than MOST_DECAY was not measured
SHRINKS, LEAST_SHRINKS, MOST_DECAY = 1.25, 20, 3.0


@dataclass(frozen=True)
class Choice:
    """Both configurations, and why they are what they are, a line for each choice"""

    model: GPTConfig
    train: TrainConfig
    why: dict[str, str]


def for_text(model: GPTConfig, train: TrainConfig, tokens: int, given: set[str]) -> Choice:
    """The same model and recipe with no more steps than the text of so many training tokens can
    bear, and with the dropout and the weight decay that these want; but what is `given` stays"""
    why = {}
    step = windows_of(tokens, train, model.block_size) * model.block_size
    most = most_steps(train, tokens, step)
    if "steps" not in given and most < train.steps:
        why["steps"] = f"more than {_most(tokens, step)} teach them by heart"
        warmup = train.warmup if "warmup" in given else min(train.warmup, most // 8)
        train = dataclasses.replace(train, steps=most, warmup=warmup)
    return _regularized(model, train, train.steps * step, tokens, given, why)


def for_time(
    model: GPTConfig,
    train: TrainConfig,
    tokens: int,
    given: set[str],
    seconds: float,
    speed: float,
    packed: float,
) -> Choice:
    """The size, the context, the batch, the steps, the dropout and the weight decay for so many
    seconds of training on a machine that makes `speed` floating-point operations a second with such
    a model

    packed   nats a character in which xz, in its fast way, writes the text
    """
    why = {}
    if not {"n_head", "d_ff"} & given and not {"n_layer", "n_embd"} <= given:
        novelty = min(max(packed / VERSE, 0.5), 1.0)
        bearable = BEARS * (tokens / TEXT) ** (0.5 if tokens > TEXT else 0.25)
        sizes = [_resized(model, *size, given) for size in SIZES]
        borne = [size for size in sizes if _inside(size) <= bearable] or sizes[:1]

        def reads(one: GPTConfig) -> float:
            return seconds * speed / describe(one, 1)["training_flops_per_token"]

        def distance(one: GPTConfig) -> float:
            wanted = TOKENS * math.sqrt(novelty * describe(one, 1)["parameters"])
            return abs(math.log(max(reads(one), 1) / wanted))

        model = min(borne, key=distance)
        enough = max(PASSES * tokens, LEAST_STEPS * STEP)
        whole = [size for size in borne if reads(size) >= enough]
        if train.validation and whole and _inside(whole[-1]) > _inside(model):
            model = whole[-1]
            why["model"] = f"the largest for which there is time to read the text {PASSES} times"
        elif model == min(sizes, key=distance):
            read = min(reads(model), enough) / describe(model, 1)["parameters"]
            why["model"] = f"a size that reads about {read:.2g} tokens for each parameter in the"
            why["model"] += f" time: xz, in its fast way, writes {packed:.2f} nats a character"
        else:
            why["model"] = f"a larger one would know {tokens:,} tokens by heart in the time"
    read = seconds * speed / describe(model, 1)["training_flops_per_token"]
    if train.batches == "random":
        seen = min(read, PASSES * tokens)
        longest = min(model.n_embd, WIDEST) * math.sqrt(seen / CONTEXT)
        if "block_size" not in given:
            possible = [c for c in CONTEXTS if c <= min(longest, tokens / WINDOWS)]
            if "batch_size" in given:
                possible = [c for c in possible if train.batch_size * c <= GIVEN]
            model = dataclasses.replace(model, block_size=max(possible, default=CONTEXTS[0]))
            if model.block_size > CONTEXTS[0]:
                why["context"] = f"{model.block_size} tokens: the time is enough to learn from them"
            read = seconds * speed / describe(model, 1)["training_flops_per_token"]
        if "batch_size" not in given:
            long = seen >= LONG
            short = max(STEP // model.block_size, 1)
            windows = max(2 * STEP // model.block_size, 1) if long else short
            few = PASSES * tokens // (LEAST_STEPS * model.block_size)  # of a text that is short
            windows = min(windows, max(train.batch_size, few))
            train = dataclasses.replace(train, batch_size=windows)
            if windows > short:
                why["batch"] = f"{windows * model.block_size:,} tokens: larger products are faster,"
                why["batch"] += " and the time is long enough for fewer steps"
    step = windows_of(tokens, train, model.block_size) * model.block_size
    steps = min(max(1, round(read / step)), MOST)
    if steps > (most := most_steps(train, tokens, step)):
        steps, read = most, most * step
        why["steps"] = f"more than {_most(tokens, step)} teach them by heart: the run may end"
        why["steps"] += " before its time"
    warmup = train.warmup if "warmup" in given else min(train.warmup, steps // 8)
    train = dataclasses.replace(train, steps=steps, warmup=warmup)
    return _regularized(model, train, read, tokens, given, why)


def _regularized(
    model: GPTConfig,
    train: TrainConfig,
    read: float,
    tokens: int,
    given: set[str],
    why: dict[str, str],
) -> Choice:
    """With the dropout for a text that is read so often by a model of this size, which is what the
    passes, times the root of the parameters for each token of the text, ask for; and with the
    weight decay for a text of this length. A text that is to be learned by heart wants neither"""
    if train.validation == 0:
        return Choice(model, train, why)
    passes = read / max(tokens, 1)
    known = passes * math.sqrt(describe(model, 1)["parameters"] / max(tokens, 1))
    dropout = round(min(0.1 * math.log(max(known / KNOWN, 1.0)), MOST_DROPOUT), 2)
    dropout = dropout if dropout >= LEAST_DROPOUT else 0.0
    if "dropout" not in given and dropout != model.dropout:
        model = dataclasses.replace(model, dropout=dropout)
        why["dropout"] = f"{dropout}, since the text may be read {passes:.0f} times"
    decay = decay_for(train, tokens, model.block_size)
    if "weight_decay" not in given and decay != train.weight_decay:
        train = dataclasses.replace(train, weight_decay=decay)
        why["decay"] = f"a weight decay of {decay:g}: the shorter a text, the more"
    return Choice(model, train, why)


def decay_for(train: TrainConfig, tokens: int, block_size: int) -> float:
    """The weight decay with which weights shrink as they should in a pass over so many tokens, at
    the highest of the learning rates"""
    in_pass = max(tokens, 1) / (windows_of(tokens, train, block_size) * block_size)
    lr = max(train.lr, train.muon_lr) if train.optimizer == "muon" else train.lr
    decay = 1 / (lr * max(SHRINKS * in_pass, LEAST_SHRINKS))
    return float(f"{min(decay, MOST_DECAY):.2g}")


def _most(tokens: int, step: int) -> str:
    """The most that a text of so many tokens is read, in words"""
    if PASSES * tokens < LEAST_STEPS * step:
        return f"{LEAST_STEPS} steps on {tokens:,} tokens"
    return f"{PASSES} passes over {tokens:,} tokens"


def _inside(model: GPTConfig) -> int:
    """Parameters without the embedding, whose size is that of the vocabulary"""
    return describe(model, 1)["parameters"] - model.vocab_size * model.n_embd


def _resized(model: GPTConfig, layers: int, width: int, given: set[str]) -> GPTConfig:
    """With so many layers of this width, but for what is given"""
    if "n_embd" in given:
        return dataclasses.replace(model, n_layer=layers)
    layers = model.n_layer if "n_layer" in given else layers
    return dataclasses.replace(model, n_layer=layers, n_embd=width, n_head=width // HEAD, d_ff=0)
