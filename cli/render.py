"""`hrdsl render`: the picture of a space or of one architecture."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from .architecture import add_architecture, chosen
from .common import add_file, add_space, compiled, print_line, show

if TYPE_CHECKING:
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("render")
    add_file(parser)
    parser.add_argument(
        "-o", "--out", metavar="OUT", type=Path, help="the picture, .svg, .png, .pdf or .dot (default: SPACE.svg)"
    )
    parser.add_argument("--detail", action="store_true", help="every cell by itself, with its name and its choices")
    add_architecture(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    from ..compiler.draw import dot, draw
    from ..compiler.outline import outline

    space = compiled(args)
    out = args.out or Path(f"{space.space.name}.svg")
    drawn = draw(dot(outline(space.graph, chosen(args, space), args.detail)), out)
    if drawn.hint:
        print_line(f"hrdsl: {drawn.hint}", sys.stderr)
    return show(args, {"path": str(drawn.path), "space": space.space.name}, [str(drawn.path)])
