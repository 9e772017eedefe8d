"""`hrdsl sample`: architectures drawn uniformly."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .architecture import line
from .common import UsageError, add_file, add_space, decided, show, whole, within, write_text

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("sample")
    add_file(parser)
    parser.add_argument("-n", "--number", metavar="N", type=whole(), default=1, help="how many (default 1)")
    parser.add_argument("--seed", metavar="S", type=whole(0), default=0, help="of the draws (default 0)")
    parser.add_argument("--emit", choices=("arch",), help="write each as a file without open decisions")
    parser.add_argument("--out", metavar="DIR", type=Path, help="the folder for --emit (default: here)")
    add_space(parser)


def run(args: Namespace) -> int:
    if args.out and not args.emit:
        raise UsageError("sample: `--out` needs `--emit arch`")
    within(args.number, 1_000_000, "sample -n")
    import numpy

    space = decided(args)
    drawn = [tuple(map(int, row)) for row in space.decisions.sample(numpy.random.default_rng(args.seed), args.number)]
    found: list[dict[str, Any]] = [{"decisions": space.decisions.labels(genes)} for genes in drawn]
    if args.emit:
        for i, (one, genes) in enumerate(zip(found, drawn, strict=True), 1):
            one["path"] = str(_write(space, genes, args.out or Path(), i, len(str(args.number))))
    data = {"path": str(args.file), "space": space.space.name, "seed": args.seed, "architectures": found}
    shown = (one["path"] for one in found) if args.emit else (line(one["decisions"]) for one in found)
    return show(args, data, shown)


def _write(space: "Compiled", genes: tuple[int, ...], folder: Path, number: int, width: int) -> Path:
    from ..compiler.found import found_text

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{space.space.name}-{number:0{width}}.arch"
    write_text(path, found_text(space, genes))
    return path
