"""gpt verify-resume"""

import tempfile
from argparse import Namespace
from pathlib import Path

from gpt.cli import console, planning
from gpt.cli.common import announce_compilation
from gpt.cli.console import many, say
from gpt.errors import require
from gpt.presets import preset
from gpt.training.verify import shortened, spread, verify_resume


def verify_resume_command(args: Namespace) -> None:
    announce_compilation()
    for name in ("steps", "stops"):
        require(
            getattr(args, name) > 0,
            f"verify-resume: --{name} must be positive.",
            f"{getattr(args, name)}",
            f"--{name} 3",
        )
    with tempfile.TemporaryDirectory(prefix="gpt-verify-") as folder:
        corpus = args.corpus or [preset(args.preset).corpus or "sample"]
        asked = planning.asked_for(corpus, args.preset, str(Path(folder) / "unused"))
        plan = planning.new(asked)
        setup = shortened(plan.setup, args.steps)
        stops = spread(args.steps, args.stops, args.seed)
        after = ", ".join(map(str, stops)) or "none"
        say(
            f"{many(args.steps, 'step')} of {args.preset} without a stop; and stopped after {after}"
        )
        with console.WorkBar("steps") as bar:
            found = verify_resume(
                setup, plan.tokens.training, plan.tokens.validation, stops, Path(folder), bar
            )
    for name, different in found.items():
        told = "the same bits" if not different else f"DIFFERENT: {', '.join(different[:5])}"
        say(f"  {name:<10}  {told}", "bold" if different else None)
    if any(found.values()):
        raise SystemExit(1)
    say("a run that is stopped and resumed ends as one that was not")
