"""`hrdsl retrain`: one architecture, from scratch or from given weights, measured on the test images."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import UsageError, add_file, add_space, compiled, show, whole
from .progress import Meter
from .running import add_running, device, one_line

if TYPE_CHECKING:
    from .common import Verbs

TEST = 400
"""Test images."""


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("retrain")
    add_file(parser)
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where the weights and the figures go")
    parser.add_argument(
        "--steps", metavar="N", type=whole(), help="optimiser steps (default: those of the `train` block)"
    )
    parser.add_argument(
        "--batch", metavar="N", type=whole(), help="images in a step (default: those of the `train` block)"
    )
    parser.add_argument("--seed", metavar="N", type=whole(0), help="seed of weights and batches (default: the block's)")
    parser.add_argument("--compile", action="store_true", help="train through torch.compile, whatever the block says")
    parser.add_argument("--train", metavar="NAME", help="the `train` block of that name (default: the first)")
    parser.add_argument(
        "--weights", metavar="FILE", type=Path, help="begin with these weights (safetensors), not fresh"
    )
    add_running(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    data = retrained(args)
    words = f"{data['weights']}: miou {data['miou']:.4f} on {TEST} test images, {data['macs']:,} MACs, {data['parameters']:,} parameters"
    return show(args, data, [words])


def retrained(args: Namespace) -> dict[str, Any]:
    """Train, measure, save; the figures."""
    import json

    from ..dsl.settings import defaults
    from ..runtime.evaluate import network_miou
    from ..runtime.files import write
    from ..runtime.results import network_of, save_weights
    from ..runtime.retrain import train_network
    from ..runtime.task import check, examples, task_of

    space, where = compiled(args), device(args)
    block = space.run("train", args.train)
    given = {k: getattr(args, k) for k in ("steps", "batch", "seed") if getattr(args, k) is not None}
    settings = {**(block.settings if block else defaults("train")), **given}
    settings["compile"] |= args.compile
    try:
        network = network_of(space, args.weights, seed=settings["seed"])
    except ValueError as fault:
        raise UsageError(str(fault)) from None
    size = space.graph.input.extent[0]
    with one_line():
        check(space.graph, settings["data"])
        data = examples(settings["data"], "train", settings["images"], size, where, args.cache, task_of(space.graph))
        train_network(network, settings, data, where, Meter(args.quiet).training)
        test = examples(settings["data"], "test", TEST, size, where, args.cache, task_of(space.graph))
    miou, name = network_miou(network, test), args.file.stem
    costs = space.costs.one((0,) * len(space.graph.decisions))
    path = save_weights(args.out / f"{name}.safetensors", network.state_dict(), {"name": name, "miou": f"{miou:.4f}"})
    found = {
        "path": str(args.file),
        "weights": str(path),
        "miou": miou,
        "seed": settings["seed"],
        "steps": settings["steps"],
        "size": size,
        **costs,
    }
    write(args.out / f"{name}.json", json.dumps(found, indent=2) + "\n")
    return found
