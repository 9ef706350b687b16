"""python -m benchmarks [step|gemm|all] [--config NAME] [--peers torch,jax] [--json FILE]"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path

from benchmarks import gemm, step
from benchmarks.timing import Row, machine

BENCHMARKS = {"step": (step.run, list(step.CONFIGS)), "gemm": (gemm.run, list(gemm.SHAPES))}
PEERS = ("torch", "jax")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("benchmark", nargs="?", default="all", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--config", action="append", help="only this one (may be repeated)")
    parser.add_argument("--peers", default="torch,jax", help="comma-separated (default: torch,jax)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    args = parser.parse_args()
    wanted = [peer for peer in args.peers.split(",") if peer]
    peers = []
    for peer in wanted:
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
        chosen = [c for c in configs if args.config is None or c in args.config]
        if not chosen and args.benchmark == name:
            sys.exit(f"benchmarks: {name} has {', '.join(configs)}\n  got {args.config}")
        for config in chosen:
            found = run(config, peers)
            show(found)
            rows += found
    if args.json:
        data = {"machine": about, "rows": [row.as_json() for row in rows]}
        args.json.write_text(json.dumps(data, indent=2) + "\n", "utf-8")


def show(rows: list[Row]) -> None:
    """A line a contender, and how much faster ours is than the best of the others"""
    for row in rows:
        rate = "" if row.gflops is None else f"  {row.gflops:6.0f} GFLOP/s"
        print(
            f"{row.benchmark:5} {row.config:15} {row.contender:14} median {row.median_ms:8.2f} ms"
            f"  min {row.min_ms:8.2f} ms{rate}  first {row.first_s:.1f} s"
            f"  peak {row.peak_mb:.0f} MB"
        )
    others = [row for row in rows if not row.contender.startswith("ours")]
    if others:
        ours = next(row for row in rows if row.contender.startswith("ours"))
        best = min(others, key=lambda row: row.median_ms)
        lowest = min(row.min_ms for row in others)
        print(f"      {ours.config:15} ours is {best.median_ms / ours.median_ms:.2f} x"
              f" {best.contender} by medians, {lowest / ours.min_ms:.2f} x by minima")  # fmt: skip


if __name__ == "__main__":
    main()
