"""`hrdsl prune`: units removed while the network trains, down to a share of its cost."""

from argparse import Namespace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import UsageError, add_file, add_space, compiled, show, table, whole
from .progress import Meter
from .running import add_running, device, one_line

if TYPE_CHECKING:
    from ..runtime.pruning.pruning import Pruned
    from .common import Verbs

COSTS = ("macs", "parameters", "peak_activation_bytes")
IMPORTANCE = ("factors", "magnitude", "taylor")


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("prune")
    add_file(parser)
    parser.add_argument(
        "--study", metavar="DIR", type=Path, required=True, help="the folder that keeps everything; continues there"
    )
    parser.add_argument(
        "--to",
        metavar="SHARE",
        type=share,
        action="append",
        help="share of the cost to reach (default 1/2); again for more",
    )
    parser.add_argument("--cost", choices=COSTS, default="macs", help="the cost that is meant (default: macs)")
    parser.add_argument(
        "--importance", choices=IMPORTANCE, default="factors", help="what tells how much a unit matters"
    )
    parser.add_argument(
        "--weights", metavar="FILE", type=Path, help="begin with these weights (safetensors), not fresh"
    )
    parser.add_argument("--every", metavar="N", type=whole(), help="steps between two removals (default 50)")
    parser.add_argument(
        "--steps", metavar="N", type=whole(), help="optimiser steps (default: those of the `train` block)"
    )
    parser.add_argument(
        "--batch", metavar="N", type=whole(), help="images in a step (default: those of the `train` block)"
    )
    parser.add_argument("--seed", metavar="N", type=whole(0), help="seed of weights and batches (default: the block's)")
    parser.add_argument("--train", metavar="NAME", help="the `train` block of that name (default: the first)")
    add_running(parser)
    add_space(parser)


def share(text: str) -> Fraction:
    """`1/2`, `0.5` or `50%`."""
    number = Fraction(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < number < 1:
        raise ValueError
    return number


def run(args: Namespace) -> int:
    from ..dsl.settings import defaults, strategy
    from ..runtime.pruning.pruning import Job, prune

    space = compiled(args)
    block = space.run("train", args.train)
    if args.train is not None and block is None:
        raise UsageError(f"space `{space.space.name}` has no `train` block `{args.train}`")
    given = {k: getattr(args, k) for k in ("steps", "batch", "seed") if getattr(args, k) is not None}
    train = {**(block.settings if block else defaults("train")), **given}
    more = {"every": args.every} if args.every is not None else {}
    chosen = strategy("prune", to=args.to or [Fraction(1, 2)], cost=args.cost, importance=args.importance, **more)
    job = Job(space, train, chosen, "`hrdsl prune`", weights=args.weights)
    with one_line():
        pruned = prune(job, args.study, device(args), Meter(args.quiet).training, args.cache)
    return show(args, data(pruned, args.study), lines(pruned))


def data(pruned: "Pruned", folder: Path) -> dict[str, Any]:
    """The networks as plain data."""
    from ..runtime.results import as_json

    networks = [pruned.networks[k] for k in sorted(pruned.networks)]
    return {"path": str(folder), "space": pruned.compiled.space.name, "networks": as_json(networks)}


def lines(pruned: "Pruned") -> list[str]:
    """The networks for people."""
    networks = [pruned.networks[k] for k in sorted(pruned.networks)]
    names = list(networks[0].values)
    rows = [["network", *names, "file"]]
    rows += [
        [n.name, *(f"{v:.4f}" if v < 10 else f"{v:,.0f}" for v in n.values.values()), str(n.arch)] for n in networks
    ]
    return table(rows, right=range(1, len(names) + 1), indent=0)
