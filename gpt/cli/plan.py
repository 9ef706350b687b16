"""gpt plan"""

import dataclasses
from argparse import Namespace
from pathlib import Path

from gpt.cli import console
from gpt.cli.common import announce_compilation
from gpt.cli.console import number, say
from gpt.cli.info import vocab_size_of
from gpt.config import GPTConfig, TrainConfig
from gpt.errors import require
from gpt.presets import preset
from gpt.size import describe
from gpt.training.cluster import Network, forecast, windows_of_one
from gpt.training.room import check_room
from gpt.training.run import Run

MOST_NODES = 1024


def plan_command(args: Namespace) -> None:
    require(
        1 <= args.nodes <= MOST_NODES,
        f"plan: there are 1 to {MOST_NODES} nodes.",
        f"--nodes {args.nodes}",
        "--nodes 4",
    )
    network = Network.parse(args.network, args.latency)
    if (Path(args.model) / "config.json").is_file():
        setup = Run.open(args.model).read_setup()
        model, config = setup.model, setup.train
    else:
        chosen = preset(args.model)
        model = GPTConfig(**{"vocab_size": vocab_size_of(chosen), **chosen.model})
        config = TrainConfig(**chosen.train)
    given = {"batch_size": args.batch_size, "reduce": args.reduce}
    given = {name: value for name, value in given.items() if value is not None}
    config = dataclasses.replace(config, batches="random", train_only="", **given)
    check_room(
        describe(model, config.batch_size)["training_mb"],
        f"a step of {config.batch_size} x {model.block_size} tokens",
        "a smaller --batch-size, or another preset",
    )
    announce_compilation()
    nodes = counts(args.nodes)
    shares = sorted({windows_of_one(config.batch_size, n) for n in nodes}, reverse=True)
    console.complain(f"measuring steps of {', '.join(map(str, shares))} windows ...")
    with console.WorkBar("measuring") as bar:
        rows = forecast(model, config, nodes, network, bar)
    if args.json:
        found = [dataclasses.asdict(row) | {"step": row.step} for row in rows]
        console.show_json({"model": args.model, "rows": found})
        return
    say(
        f"{args.model}: {console.shape_of(model)}, steps of {config.batch_size} x"
        f" {model.block_size} tokens; one node as measured here, {args.network} a link,"
        f" {args.latency:g} µs a message"
    )
    console.table(
        ("nodes", "windows", "sent MB", "computes", "waits", "step ms", "tokens/s", "speed-up",
         "MB"),
        [
            (f"{row.nodes}", f"{row.windows}", f"{row.sent_mb:,.1f}",
             f"{1000 * row.computing:,.1f}", f"{1000 * row.waiting:,.1f}",
             f"{1000 * row.step:,.1f}", number(row.tokens_per_second),
             f"{row.efficiency * row.nodes:.1f}", f"{row.memory_mb:,.0f}")
            for row in rows
        ],
    )  # fmt: skip
    best = max(rows, key=lambda row: row.tokens_per_second)
    if best.nodes == 1:
        say("more of them are slower: the network takes longer than they save")
        return
    say(
        f"{best.nodes} are fastest, {best.efficiency * best.nodes:.1f} times one, each used to"
        f" {best.efficiency:.0%}; {console.many(best.windows, 'window')} of a step for each"
    )


def counts(most: int) -> list[int]:
    """Numbers of nodes to tell of: all up to 4, then powers of two, and the most"""
    doubled = [2**i for i in range(3, most.bit_length()) if 2**i < most]
    return [*range(1, min(most, 4) + 1), *(n for n in doubled if n > 4), *([most] * (most > 4))]
