"""`hrdsl render`: the picture of a space or of one architecture."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from .architecture import add_architecture, chosen
from .common import add_file, add_space, compiled, print_line, show, write_text

if TYPE_CHECKING:
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("render")
    add_file(parser)
    parser.add_argument("-o", "--out", metavar="OUT", type=Path, help="the picture, .svg or .dot (default: SPACE.svg)")
    add_architecture(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    from ..compiler.draw import dot, draw
    from ..compiler.outline import outline

    space = compiled(args)
    out = args.out or Path(f"{space.space.name}.svg")
    text = dot(outline(space.graph, chosen(args, space)))
    if out.suffix in (".dot", ".gv"):
        write_text(out, text)
    else:
        out = draw(text, wanted := out).path
        if out.suffix != wanted.suffix:
            print_line("hrdsl: no Graphviz here: kept as DOT; install `dot` or `hrdsl[render]`", sys.stderr)
    return show(args, {"path": str(out), "space": space.space.name}, [str(out)])
