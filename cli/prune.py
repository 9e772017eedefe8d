"""`hrdsl prune`: units removed while the network trains, down to a share of its cost."""

import shlex
import sys
from argparse import ArgumentTypeError, Namespace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dsl.model import COSTS
from ..dsl.settings import OPTIONS as SEARCH
from .common import add_file, add_space, compiled, print_line, show, whole
from .progress import Meter
from .running import add_running, device, one_line
from .search import lines
from .units import place, refusal

if TYPE_CHECKING:
    from ..runtime.pruning.pruning import Job, Pruned
    from ..runtime.pruning.trainer import Event
    from .common import Verbs

OPTIONS = SEARCH["search"]["strategy"].calls["prune"]
SHOWN = 8
"""Decisions that are named one by one."""


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
        help="share of the cost to reach (default: the limit of the space, else 1/2); again for more",
    )
    parser.add_argument(
        "--cost",
        choices=[c for c in OPTIONS["cost"].choices if c in COSTS],
        default="macs",
        help="the cost that is meant (default: macs)",
    )
    parser.add_argument(
        "--importance",
        choices=OPTIONS["importance"].choices,
        default="factors",
        help="what tells how much a unit matters (default: factors)",
    )
    parser.add_argument(
        "--keep", metavar="SHARE", type=share, help="share of each group of units that stays (default: 0)"
    )
    parser.add_argument(
        "--weights", metavar="FILE", type=Path, help="begin with these weights (safetensors), not fresh"
    )
    parser.add_argument(
        "--multiple", metavar="N", type=whole(), help="channels or tokens are left in multiples of N (default 1)"
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
    try:
        number = Fraction(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        number = Fraction(0)
    if not 0 < number < 1:
        raise ArgumentTypeError(f"a share between 0 and 1 is needed, such as `1/2`, `0.5` or `50%`, not `{text}`")
    return number


def run(args: Namespace) -> int:
    from ..dsl.settings import defaults, strategy
    from ..runtime.pruning.pruning import Job, with_decisions

    space = compiled(args)
    block = space.run("train", args.train)
    given = {k: getattr(args, k) for k in ("steps", "batch", "seed") if getattr(args, k) is not None}
    train = {**(block.settings if block else defaults("train")), **given}
    more = {k: getattr(args, k) for k in ("to", "keep", "multiple", "every") if getattr(args, k) is not None}
    chosen = strategy("prune", cost=args.cost, importance=args.importance, **more)
    fixed = None if space.graph.decisions else space
    place = space.space.span
    job = Job(with_decisions(space), train, chosen, "`hrdsl prune`", place, weights=args.weights, fixed=fixed)
    data = pruned(args, job, command(args))
    return show(args, data, lines(data.pop("found"), Path(data["report"])))


def command(args: Namespace) -> str:
    """The command line that reproduces a pruning."""
    words = ["hrdsl", "prune", str(args.file), "--study", str(args.study)]
    words += [word for to in args.to or () for word in ("--to", str(to))]
    for name in (
        "cost",
        "importance",
        "keep",
        "multiple",
        "weights",
        "every",
        "steps",
        "batch",
        "seed",
        "train",
        "space",
    ):
        value = getattr(args, name)
        words += [f"--{name}", str(value)] if value is not None else []
    for pair in args.set:
        words += ["--set", pair]
    return shlex.join(words)


def pruned(args: Namespace, job: "Job", reproduce: str) -> dict[str, Any]:
    """Prune and write the results; as data, with the networks under `found`."""
    from ..runtime.device import describe
    from ..runtime.pruning.pruning import Listener, prune
    from ..runtime.pruning.report import write_report
    from ..runtime.results import as_json

    meter, where = Meter(args.quiet), device(args)
    listen = Listener(lambda begun: note(meter, begun), meter.training, lambda event: removal(meter, event))
    with one_line():
        done = prune(job, args.study, where, listen, args.cache)
    report = write_report(done, reproduce, describe(where))
    trainer = done.trainer
    return {
        "path": str(args.study),
        "space": done.compiled.space.name,
        "cost": job.strategy.options["cost"],
        "full": trainer.full,
        "budgets": list(trainer.settings.budgets),
        "units": sum(trainer.start),
        "left": sum(trainer.left.counts()),
        "seconds": round(trainer.seconds, 1),
        "report": str(report),
        "history": str(report.with_name("history.json")),
        "kept": [refusal(each) for each in done.kept],
        "front": as_json(done.networks),
        "found": done.networks,
    }


def note(meter: Meter, begun: "Pruned") -> None:
    """What is about to be pruned, and what cannot be."""
    trainer, name = begun.trainer, begun.job.strategy.options["cost"]
    units, groups, budgets = sum(trainer.start), len(trainer.start), trainer.settings.budgets
    meter.line(
        f"{units:,} units in {groups} groups, {name} {trainer.full:,.0f} to {', '.join(f'{b:,.0f}' for b in budgets)}",
        True,
    )
    if begun.kept and not meter.quiet:
        print_line("hrdsl: cannot be pruned, and stays as in the largest network:", sys.stderr)
        for each in begun.kept[:SHOWN]:
            words = f"  {each.decision.path} ({place(each.decision.span)}): {each.reason} ({place(each.span)})"
            print_line(words, sys.stderr)
        if len(begun.kept) > SHOWN:
            print_line(f"  and {len(begun.kept) - SHOWN} more: see the report", sys.stderr)


def removal(meter: Meter, event: "Event") -> None:
    """Units that went."""
    words = f"step {event.step}: {event.removed:,} units removed, {sum(event.counts):,} left, cost {event.cost:,.0f}"
    meter.line(words, True)
