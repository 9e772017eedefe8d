"""`hrdsl render`: the picture of a space or of one architecture."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from .architecture import add_architecture, chosen
from .common import UsageError, add_file, add_space, compiled, print_line, show

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("render")
    add_file(parser)
    parser.add_argument(
        "-o", "--out", metavar="OUT", type=Path, help="the picture, .svg, .png, .pdf or .dot (default: SPACE.svg)"
    )
    parser.add_argument("--detail", action="store_true", help="every cell by itself, with its name and its choices")
    add_architecture(parser)
    parser.add_argument("--found", metavar="NETWORK", type=Path, help="the architecture that this found network is")
    add_space(parser)


def run(args: Namespace) -> int:
    from ..compiler.draw import dot, draw
    from ..compiler.outline import outline

    space = compiled(args)
    out = args.out or Path(f"{space.space.name}.svg")
    genes = chosen(args, space) if args.found is None else found(args.found, space)
    drawn = draw(dot(outline(space.graph, genes, args.detail)), out)
    if drawn.hint:
        print_line(f"hrdsl: {drawn.hint}", sys.stderr)
    return show(args, {"path": str(drawn.path), "space": space.space.name}, [str(drawn.path)])


def found(path: Path, space: "Compiled") -> tuple[int, ...]:
    """The architecture of a space that a found network is."""
    from ..compiler.api import compile_file
    from ..compiler.placed import placed

    genes = placed(space.graph, compile_file(path).graph)
    if genes is None:
        raise UsageError(f"--found: {path} is no architecture of `{space.space.name}`")
    return genes
