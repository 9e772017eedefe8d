"""`hrdsl latency`: how long networks take on this machine: the table of a space, or one network and its operations."""

from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .architecture import add_architecture, chosen
from .common import add_file, add_space, decided, show, table, whole
from .progress import Meter
from .running import device, one_line

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from ..dsl.settings import Chosen
    from ..runtime.latency.table import Table
    from .common import Verbs

DRAWN = 1000
"""Architectures of which the spread is shown."""
SHOWN = 12
"""Operations of a network that are shown."""


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("latency")
    add_file(parser)
    add_architecture(parser)
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA when present)")
    parser.add_argument("--threads", metavar="N", type=whole(), help="CPU threads (default 1)")
    parser.add_argument("--batch", metavar="N", type=whole(), help="images at once (default 1)")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), help="default: float32")
    parser.add_argument("--seconds", metavar="S", type=_seconds, help="for each work; a network takes ten times (0.05)")
    parser.add_argument("--works", metavar="N", type=whole(), help="most works measured (default 1000)")
    parser.add_argument(
        "--networks", metavar="N", type=whole(2), help="networks measured: half correct the table, half judge it (16)"
    )
    parser.add_argument("--search", metavar="NAME", help="the `search` block whose `latency` gives the defaults")
    parser.add_argument("--again", action="store_true", help="measure again what was measured before")
    parser.add_argument("--cache", metavar="DIR", type=Path, help="where timings are kept (default: the user's cache)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_space(parser)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:
        raise ArgumentTypeError(f"seconds from 0 to 3600 are needed, not `{text}`")
    return value


def run(args: Namespace) -> int:
    space, found = decided(args), chosen_setting(args)
    genes = chosen(args, space)
    with one_line():
        one = genes is not None or not space.graph.decisions
        data, lines = _network(args, space, genes or (), found) if one else _space(args, space, found)
    return show(args, {"path": str(args.file), "space": space.space.name, **data}, lines)


def chosen_setting(args: Namespace) -> "Chosen":
    """The setting of the search block, with what the options say in its place."""
    from ..compiler.api import compile_file
    from ..dsl.settings import LATENCY, Chosen

    block = compile_file(args.file, args.space, {}).run("search", args.search) if args.search else None
    before = block.settings["latency"].options if block else {}
    given = {n: getattr(args, n) for n in ("threads", "batch", "precision", "seconds", "works")}
    half = {} if args.networks is None else {"correct": args.networks - args.networks // 2, "hold": args.networks // 2}
    known = {**{n: o.default for n, o in LATENCY.items()}, **before, **half}
    return Chosen("table", {**known, **{n: v for n, v in given.items() if v is not None}})


def _space(args: Namespace, space: "Compiled", found: "Chosen") -> tuple[dict[str, Any], list[str]]:
    """The table of a space."""
    import numpy

    from ..runtime.latency.goal import where, wish
    from ..runtime.latency.latency import Latency
    from ..runtime.latency.table import build, works_of

    place, on = where(found, _device(args))
    works = works_of(space)
    made = build(space, works, on, place, wish(found), args.cache, Meter(args.quiet).latency, again=args.again)
    latency = Latency(works, made)
    rows = space.decisions.sample(numpy.random.default_rng(0), DRAWN)
    spread = {f"q{round(100 * q):02d}": float(numpy.quantile(latency(rows), q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
    ends = {"smallest": space.decisions.smallest(), "largest": space.decisions.largest()}
    shown = {name: {"latency_ms": latency.one(genes)} for name, genes in ends.items()}
    data = {
        "conditions": asdict(on),
        "works": len(made.works),
        "interpolated": made.interpolated,
        "seconds": round(made.seconds, 1),
        "model_error": made.model_error,
        "held": asdict(made.held) if made.held else None,
        **shown,
        "population": {"size": DRAWN, "seed": 0, "latency_ms": spread},
    }
    times = [[name, f"{one['latency_ms']:.3f} ms"] for name, one in shown.items()]
    times += [[f"{int(name[1:])} % of {DRAWN:,} uniform ones", f"{ms:.3f} ms"] for name, ms in spread.items()]
    return data, [f"space {space.space.name}, on {on}", "", *_about(made), "", *table(times, right=(1,))]


def _about(made: "Table") -> list[str]:
    """What a table rests on."""
    rows = [["works", f"{len(made.works):,}"], ["measured in", f"{made.seconds:.1f} s"]]
    if made.interpolated:
        rows.append(["interpolated", f"{made.interpolated:,}, off by {made.model_error or 0:.1%} (median)"])
    if made.held:
        tau = "" if made.held.tau is None else f", Kendall's tau {made.held.tau:.2f}"
        words = f"{made.held.median:.1%} (median), {made.held.q90:.1%} (90 %){tau}"
        rows.append([f"error on {made.held.count} other networks", words])
    return table(rows)


def _network(
    args: Namespace, space: "Compiled", genes: tuple[int, ...], found: "Chosen"
) -> tuple[dict[str, Any], list[str]]:
    """One network, and its operations."""
    from ..runtime.latency.goal import where
    from ..runtime.latency.table import profile

    place, on = where(found, _device(args))
    seconds = float(found.options["seconds"])
    whole, parts = profile(space, genes, on, place, seconds, args.cache, Meter(args.quiet).latency, args.again)
    total = sum(ns for _, _, ns in parts)
    ranked = sorted(parts, key=lambda p: -p[2])
    operations = [{"node": node, "work": str(work), "latency_ms": ns / 1e6} for node, work, ns in ranked]
    data = {
        "conditions": asdict(on),
        "latency_ms": whole.median / 1e6,
        "q25": whole.low / 1e6,
        "q75": whole.high / 1e6,
        "samples": whole.samples,
        "disturbed": whole.disturbed,
        "operations": operations,
    }
    disturbed = f", {whole.disturbed} more were disturbed" if whole.disturbed else ""
    spread = f"quartiles {whole.low / 1e6:.3f} and {whole.high / 1e6:.3f} ms"
    rows = [["operation", "alone", "share", ""]]
    rows += [[node, f"{ns / 1e6:.3f} ms", f"{ns / total:.1%}", str(work)] for node, work, ns in ranked[:SHOWN]]
    return data, [
        f"{space.space.name}, on {on}",
        "",
        f"  {whole.median / 1e6:.3f} ms (median of {whole.samples} samples, {spread}{disturbed})",
        f"  {total / 1e6:.3f} ms its {len(parts)} operations one by one",
        "",
        *table(rows, right=(1, 2)),
    ]


def _device(args: Namespace) -> Any:
    """The device asked for; the threads are set where the time is taken."""
    return device(Namespace(device=args.device, threads=None))
