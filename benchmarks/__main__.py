"""python -m benchmarks
[gemm|kernels|conv|models|step|start|memory|threads|busy|scale|mpi|generate|tokens|all]
[--config NAME] [--peers torch,jax,transformers,llama_cpp] [--json FILE];
python -m benchmarks chart --json FILE draws FILE;
python -m benchmarks learn|sweep [--text FILE] [--minutes 0.2,1,3] [--json FILE]: by the clock,
beside nanoGPT in PyTorch, and beside ten fixed configurations (--config chosen: without these)"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import (
    busy,
    conv,
    gemm,
    generate,
    kernels,
    memory,
    models,
    mpi,
    scale,
    start,
    step,
    sweep,
    threads,
    tokens,
)
from benchmarks.timing import Row, machine
from tinygrad_lite import get_num_threads

BENCHMARKS = {
    "gemm": (gemm.run, list(gemm.SHAPES)),
    "kernels": (kernels.run, list(kernels.SHAPES)),
    "conv": (conv.run, list(conv.CONFIGS)),
    "models": (models.run, list(models.CONFIGS)),
    "step": (step.run, list(step.CONFIGS)),
    "start": (start.run, start.CONFIGS),
    "memory": (memory.run, memory.CONFIGS),
    "threads": (threads.run, threads.CONFIGS),
    "busy": (busy.run, busy.CONFIGS),
    "scale": (scale.run, list(scale.AXES)),
    "mpi": (mpi.run, mpi.CONFIGS),
    "generate": (generate.run, list(generate.CONFIGS)),
    "tokens": (tokens.run, list(tokens.CONFIGS)),
}
PEERS = ("torch", "jax", "transformers", "llama_cpp")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    choices = [*BENCHMARKS, "all", "chart", "learn", "sweep"]
    parser.add_argument("benchmark", nargs="?", default="all", choices=choices)
    parser.add_argument("--config", action="append", help="only this one (may be repeated)")
    parser.add_argument(
        "--peers", default=",".join(PEERS), help=f"comma-separated (default: {','.join(PEERS)})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    parser.add_argument("--text", type=Path, metavar="FILE", help="learn: in place of Shakespeare")
    parser.add_argument("--minutes", default="0.2,1,3", help="learn: of each run")
    args = parser.parse_args()
    if args.benchmark == "chart":
        if args.json is None or not args.json.exists():
            sys.exit(
                "benchmarks: a chart is drawn of a JSON file.\n"
                f"  got --json {args.json}\n  try --json FILE with a file of a run"
            )
        from benchmarks.chart import draw

        draw(args.json, args.json.with_suffix(".png"))
        print(args.json.with_suffix(".png"))
        return
    named = {name: configs for name, (_, configs) in BENCHMARKS.items()}
    named["sweep"] = list(sweep.CONFIGS)
    unknown = set(args.config or []) - {c for configs in named.values() for c in configs}
    if unknown:
        known = "; ".join(f"{name}: {', '.join(c)}" for name, c in named.items())
        sys.exit(
            "benchmarks: each --config is one of a benchmark's.\n"
            f"  got {unknown.pop()!r}\n  try {known}"
        )
    if args.benchmark in ("learn", "sweep"):
        learned(args)
        return
    peers = []
    for peer in (p for p in args.peers.split(",") if p):
        if peer in PEERS and importlib.util.find_spec(peer):
            peers.append(peer)
        else:
            print(f"{peer} is not installed, or unknown here: not raced")
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    rows: list[Row] = []
    for name, (run, configs) in BENCHMARKS.items():
        if args.benchmark not in (name, "all"):
            continue
        for config in (c for c in configs if args.config is None or c in args.config):
            found = run(config, peers)
            if found:
                show(found, about)
            rows += found
            if args.json:  # after each, so that a run that is stopped has its rows
                data = {"machine": about, "rows": [row.as_json() for row in rows]}
                args.json.write_text(json.dumps(data, indent=2) + "\n", "utf-8")


def learned(args: argparse.Namespace) -> None:
    from benchmarks import learn
    from gpt.text.named import shakespeare

    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    text = args.text or shakespeare()
    minutes = list(dict.fromkeys(float(m) for m in args.minutes.split(",")))
    if args.benchmark == "sweep":
        if args.json:  # before hours are spent
            try:
                sweep.saved(args.json)
            except ValueError as error:
                sys.exit(str(error))
        names = [name for name in sweep.CONFIGS if args.config is None or name in args.config]
        for row in sweep.run(text, minutes, names):
            if args.json:  # a sweep takes hours: what is measured stays
                sweep.save([{**row, "machine": about}], args.json)
        if args.json:
            print(args.json.with_suffix(".png"))
        return
    found = learn.race(text, minutes, get_num_threads(), args.peers.split(","))
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        learn.draw(found, args.json.with_suffix(".png"))
        print(args.json.with_suffix(".png"))


def show(rows: list[Row], about: dict[str, Any]) -> None:
    """A line a contender, and how much faster ours is than the best of the others"""
    for row in rows:
        rate = ""
        if row.gflops is not None:
            rate = f"  {row.gflops:.0f} GFLOP/s, {row.gflops / about['peak_gflops']:.0%} of peak"
        if row.gb_per_s is not None:
            reads = row.tokens_per_second is not None
            share = row.gb_per_s / about["reading_gb_s" if reads else "bandwidth_gb_s"]
            rate = f"  {row.gb_per_s:.1f} GB/s, {share:.0%} of {'reading' if reads else 'copying'}"
        if row.tokens_per_second is not None:
            rate = f"  {row.tokens_per_second:.1f} tokens/s{rate}"
        if row.waiting is not None:
            rate += f"  waiting {row.waiting:.1%}"
        print(
            f"{row.benchmark:7} {row.config:14} {row.contender:14} median {row.median_ms:9.2f} ms"
            f"  min {row.min_ms:9.2f} ms{rate}  first {row.first_s:.1f} s"
            f"  peak {row.peak_mb:.0f} MB",
            flush=True,
        )
    ours, *rivals = sorted(rows, key=lambda row: (not row.contender.startswith("ours"),
                                                  row.median_ms))  # fmt: skip
    others = [r for r in rivals if not r.contender.startswith("ours")] or rivals
    if not others:
        return
    best = min(others, key=lambda row: row.median_ms)
    lowest = min(row.min_ms for row in others)
    print(
        f"        {ours.config:14} {ours.contender} is {best.median_ms / ours.median_ms:.2f} x"
        f" {best.contender} by medians, {lowest / ours.min_ms:.2f} x the best minimum;"
        f" memory {ours.peak_mb / min(row.peak_mb for row in others):.2f} x",
        flush=True,
    )


if __name__ == "__main__":
    main()
