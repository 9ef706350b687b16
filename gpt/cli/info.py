"""gpt info: without the engine, so that it answers at once"""

from argparse import Namespace
from pathlib import Path

from gpt.cli import console
from gpt.cli.console import number, say
from gpt.config import GPTConfig
from gpt.errors import require
from gpt.presets import Preset, preset
from gpt.size import describe
from gpt.text.named import shipped
from gpt.text.tokenizer_files import build_tokenizer


def info_command(args: Namespace) -> None:
    if (Path(args.model) / "config.json").is_file():
        from gpt.training.run import Run  # with the engine, which takes long to start

        require(
            args.vocab_size is None,
            "info: the vocabulary of a run is that of its tokenizer.",
            f"{args.model} with --vocab-size {args.vocab_size}",
            "a preset, or no --vocab-size",
        )
        run = Run.open(args.model)
        setup = run.read_setup()
        config, train = setup.model, setup.train
        batch_size, trained = train.batch_size, run.told() | {"corpus": setup.corpus}
    else:
        trained = {}
        chosen = preset(args.model)
        options = {"vocab_size": vocab_size_of(chosen), **chosen.model}
        if args.vocab_size is not None:
            options["vocab_size"] = args.vocab_size
        config, batch_size = GPTConfig(**options), chosen.train["batch_size"]
    about = describe(config, batch_size) | trained
    if args.json:
        console.show_json(about)
        return
    shape = console.shape_of(config)
    say(f"{args.model}: {shape}, block {config.block_size}, vocabulary {config.vocab_size}")
    console.table(
        ("component", "shape", "each", "times", "parameters"),
        [
            (part["name"], part["shape"], number(part["each"]), str(part["times"]),
             number(part["each"] * part["times"]))
            for part in about["components"]
        ] + [("all", "", "", "", number(about["parameters"]))],
    )  # fmt: skip
    if trained:
        steps, best, at = (trained[name] for name in ("steps", "best_loss", "best_step"))
        console.card(
            {
                "corpus": ", ".join(trained["corpus"]) or "none",
                "trained": f"{number(steps)} of {number(train.steps)} steps" if steps else "before",
                "best loss": "not measured" if best is None else
                f"{best:.4f} in validation, after step {number(at)}",
            }
        )  # fmt: skip
    console.card(
        {
            "forward": f"{number(about['flops_per_token'])} FLOPs a token, in a full block",
            "training": f"{number(about['training_flops_per_token'])} FLOPs a token",
            "to train": f"about {about['training_mb']:,.0f} MB: weights, gradients, AdamW and the"
            f" activations of {batch_size} x {config.block_size} tokens",
            "to write": f"about {about['inference_mb']:,.0f} MB: weights, and keys and values of"
            f" {config.block_size} positions",
        }
    )


def vocab_size_of(chosen: Preset) -> int:
    """Of the corpus that the preset is trained on unless another is named"""
    if chosen.corpus:
        text = shipped(chosen.corpus)
        return build_tokenizer(chosen.tokenizer, text, text).vocab_size
    return {"characters": 65, "bytes": 2048}.get(chosen.tokenizer, 0)
