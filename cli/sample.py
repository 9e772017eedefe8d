"""`hrdsl sample`: architectures drawn uniformly, or by the priors of the space, or by their number."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .architecture import index, line, numbered
from .common import UsageError, add_file, add_space, decided, show, whole, within, write_text
from .count import digits
from .figures import add_convention, figures, named

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("sample")
    add_file(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-n", "--number", metavar="N", type=whole(), default=1, help="how many (default 1)")
    which.add_argument("--index", metavar="N", type=index, help="the one with this number, from 0")
    parser.add_argument("--seed", metavar="S", type=whole(0), default=0, help="of the draws (default 0)")
    parser.add_argument("--emit", choices=("arch",), help="write each as a file without open decisions")
    parser.add_argument("--out", metavar="DIR", type=Path, help="the folder for --emit (default: here)")
    add_convention(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    if args.out and not args.emit:
        raise UsageError("sample: `--out` needs `--emit arch`")
    within(args.number, 1_000_000, "sample -n")
    import numpy

    space = decided(args)
    if args.index is not None:
        drawn = [numbered(args.index, space)]
    else:
        rows = space.decisions.sample(numpy.random.default_rng(args.seed), args.number)
        drawn = [tuple(map(int, row)) for row in rows]
    found: list[dict[str, Any]] = [
        {**_number(space, genes), **_costs(args, space, genes), "decisions": space.decisions.labels(genes)}
        for genes in drawn
    ]
    if args.emit:
        for i, (one, genes) in enumerate(zip(found, drawn, strict=True), 1):
            one["path"] = str(_write(space, genes, args.out or Path(), i, len(str(args.number))))
    data = {"path": str(args.file), "space": space.space.name, "seed": args.seed, **named(args), "architectures": found}
    shown = (one["path"] for one in found) if args.emit else (_line(one, args.convention) for one in found)
    return show(args, data, shown)


def _costs(args: Namespace, space: "Compiled", genes: tuple[int, ...]) -> dict[str, Any]:
    """The costs of an architecture, where a convention is asked for."""
    return figures(space, genes, args.convention) if named(args) else {}


def _number(space: "Compiled", genes: tuple[int, ...]) -> dict[str, str]:
    """The number of an architecture as digits, where architectures have numbers."""
    try:
        return {"index": digits(space.decisions.rank(genes))}
    except ValueError:
        return {}


def _line(one: dict[str, Any], convention: str) -> str:
    number = f"{one['index']}: " if "index" in one else ""
    cost = f"{one['operations']:,} {convention}: " if "operations" in one else ""
    return number + cost + line(one["decisions"])


def _write(space: "Compiled", genes: tuple[int, ...], folder: Path, number: int, width: int) -> Path:
    from ..compiler.found import found_text

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{space.space.name}-{number:0{width}}.arch"
    write_text(path, found_text(space, genes))
    return path
