"""`hrdsl search`: train the supernet, search, write the front; the same command goes on where it stopped."""

import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import UsageError, add_file, add_space, compiled, print_line, show, table, whole
from .figures import add_convention, named
from .progress import Meter
from .running import add_running, add_workers, crew, device, one_line

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from ..runtime.results import Network
    from ..runtime.searching import Searched
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("search")
    add_file(parser)
    parser.add_argument(
        "--study", metavar="DIR", type=Path, required=True, help="the folder that keeps everything; continues there"
    )
    parser.add_argument("--seed", metavar="N", type=whole(0), help="seed of the search (default: the block's)")
    parser.add_argument("--train", metavar="NAME", help="the `train` block of that name (default: the first)")
    parser.add_argument("--search", metavar="NAME", help="the `search` block of that name (default: the first)")
    parser.add_argument(
        "--from",
        metavar="STUDY",
        dest="begin",
        type=Path,
        action="append",
        default=[],
        help="start with the front of that study, or with that found network (.arch); may be given again",
    )
    add_convention(parser)
    add_running(parser)
    add_workers(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    if not leads(args):
        return 0
    data = searched(args, command(args))
    networks = data.pop("found")
    show(args, data, lines(networks, Path(data["report"])))
    return 0 if networks else 1


def command(args: Namespace) -> str:
    """The command line that reproduces a search."""
    words = ["hrdsl", "search", str(args.file), "--study", str(args.study)]
    for name in ("seed", "train", "search", "space"):
        value = getattr(args, name)
        words += [f"--{name}", str(value)] if value is not None else []
    for source in args.begin:
        words += ["--from", str(source)]
    for pair in args.set:
        words += ["--set", pair]
    for name, value in named(args).items():
        words += [f"--{name}", value]
    return shlex.join(words)


def leads(args: Namespace) -> bool:
    """Under `torchrun`, train with the other processes first; whether this is the one that then searches."""
    from ..runtime.distributed import joined, several
    from ..runtime.pruning.block import prunes
    from ..runtime.searching import Listener, runs_of, supernet

    if not several():
        return True
    space, where = compiled(args), device(args)
    if prunes(space.run("search", args.search)):
        raise UsageError("`strategy = prune` trains in one process: leave out torchrun")
    with one_line(), joined(where) as group:
        train, _ = runs_of(space, args.train, args.search)
        listen = Listener(training=Meter(args.quiet or not group.leads).training)
        supernet(space, train, where, args.study, listen, args.cache, group)
    return group.leads


def searched(args: Namespace, reproduce: str) -> dict[str, Any]:
    """Run the search of a file and write its results; the front as data, with the networks under `found`."""
    from ..runtime.device import describe
    from ..runtime.pruning.block import prunes
    from ..runtime.report import write_report
    from ..runtime.results import as_json, write_front
    from ..runtime.searching import Listener, search

    workers, space, meter, where = crew(args), compiled(args), Meter(args.quiet), device(args)
    if prunes(space.run("search", args.search)):
        return shrunk(args, space, reproduce)
    listen = Listener(meter.training, meter.generation, meter.evaluated, meter.latency)
    with one_line():
        names = args.train, args.search
        done = search(space, args.study, where, listen, args.seed, names, args.cache, workers, args.begin)
    networks = write_front(done, args.study / "front", args.convention)
    report = write_report(done, networks, args.study / "front", reproduce, describe(where), args.convention)
    return {
        "path": str(args.study),
        "space": space.space.name,
        "evaluated": done.front.evaluated,
        "failed": done.front.failed,
        "hypervolume": done.front.hypervolume,
        "seconds": round(done.seconds, 1),
        "report": str(report),
        "evaluation": done.spent.facts(),
        **named(args),
        **parts(done),
        "front": as_json(networks),
        "found": networks,
    }


def shrunk(args: Namespace, space: "Compiled", reproduce: str) -> dict[str, Any]:
    """The same where the search prunes."""
    from ..runtime.pruning.block import job_of
    from .prune import pruned

    for given, option in ((args.workers, "--workers"), (args.begin, "--from"), (named(args), "--convention")):
        if given:
            raise UsageError(f"{option} does not go with `strategy = prune`: one network is trained, and shrinks")
    with one_line():
        names = args.train, args.search
        job = job_of(space, args.study, device(args), args.seed, names, args.cache, Meter(args.quiet).latency)
    return pruned(args, job, reproduce)


def parts(done: "Searched") -> dict[str, Any]:
    """The parts of a split search: what each has found by itself."""
    if "" in done.parts:
        return {}
    from ..runtime.objectives import objectives_of

    names = [o.name for o in objectives_of(done.run)]
    return {
        "parts": {
            value: {
                "evaluated": front.evaluated,
                "failed": front.failed,
                "hypervolume": front.hypervolume,
                "front": [dict(zip(names, m.values, strict=True)) for m in front.members],
            }
            for value, front in done.parts.items()
        }
    }


def figure(value: float) -> str:
    """An accuracy or a number of milliseconds with its digits, a count with commas."""
    return f"{value:.4f}" if value < 10 else f"{value:,.{0 if value == int(value) else 2}f}"


def lines(networks: "tuple[Network, ...]", report: Path) -> list[str]:
    """The front for people: its goals, and what each network costs."""
    if not networks:
        print_line("hrdsl: no feasible network was found", sys.stderr)
        return []
    costs = [name for name in ("macs", "parameters") if name not in networks[0].values]
    shown = [n.values | {name: float(n.costs[name]) for name in costs} for n in networks]
    rows = [["network", *shown[0], "file"]]
    rows += [[n.name, *map(figure, found.values()), str(n.arch)] for n, found in zip(networks, shown, strict=True)]
    return [*table(rows, right=range(1, len(shown[0]) + 1), indent=0), "", f"report: {report}"]
