"""`hrdsl render`: the picture of a space or of one architecture."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from .architecture import add_architecture, chosen
from .common import add_file, add_space, compiled, show, write_text

if TYPE_CHECKING:
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("render")
    add_file(parser)
    parser.add_argument("-o", "--out", metavar="OUT", type=Path, help="the picture, .svg or .dot (default: SPACE.svg)")
    add_architecture(parser, "")
    add_space(parser)


def run(args: Namespace) -> int:
    from ..compiler import draw

    space = compiled(args)
    out = args.out or Path(f"{space.space.name}.svg")
    text = draw.dot(draw.outline(space.graph, chosen(args, space)))
    write_text(out, text if out.suffix in (".dot", ".gv") else draw.svg(text))
    return show(args, {"path": str(out), "space": space.space.name}, [str(out)])
