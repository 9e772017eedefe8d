"""`hrdsl compile`: a summary of a space, or any of its forms between text and Python."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .architecture import add_architecture, chosen
from .common import UsageError, add_file, add_space, compiled, decided, show, table, write_text
from .count import digits, words
from .figures import add_convention, columns, figures, named
from .forms import FORMS, cost_form

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("compile")
    add_file(parser)
    parser.add_argument("--emit", choices=tuple(FORMS), help="print this form (default: a summary)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write it there")
    add_architecture(parser, " (the default for python)")
    add_convention(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    if args.emit is None:
        space = decided(args)
        data = _summary(args, space)
        lines = list(_lines(space, data, args.convention))
        if args.out:
            write_text(args.out, "\n".join([*lines, ""]))
        return show(args, data, [str(args.out)] if args.out else lines)
    if named(args) and args.emit != "cost":
        raise UsageError("compile: `--convention` is for the summary and for `--emit cost`")
    space = compiled(args)
    genes = chosen(args, space)
    text = cost_form(space, genes, args.convention) if args.emit == "cost" else FORMS[args.emit](space, genes)
    if args.out:
        write_text(args.out, text)
    data = {"path": str(args.out or args.file), "space": space.space.name, "emit": args.emit}
    if args.out:
        return show(args, data, [str(args.out)])
    return show(args, {**data, "text": text}, [text.removesuffix("\n")])


def _summary(args: Namespace, space: "Compiled") -> dict[str, Any]:
    count = space.decisions.count()
    return {
        "path": str(args.file),
        "space": space.space.name,
        "nodes": len(space.graph.nodes),
        "constraints": len(space.graph.constraints),
        "decisions": [{"path": d.path, "values": list(d.labels)} for d in space.graph.decisions],
        "count": digits(count.value),
        "exact": count.exact,
        "note": count.note,
        **named(args),
        **figures(space, space.decisions.largest(), args.convention),
        "smallest": figures(space, space.decisions.smallest(), args.convention),
        "diagnostics": [d.as_json() for d in space.warnings],
    }


def _lines(space: "Compiled", data: dict[str, Any], convention: str) -> Iterator[str]:
    yield f"space {data['space']}: {data['nodes']:,} nodes, {data['constraints']} constraints"
    yield words(int(data["count"]), data["exact"], data["note"])
    if data["decisions"]:
        yield from ("", "decisions", *table([[d["path"], ", ".join(d["values"])] for d in data["decisions"]]))
    yield from ("", *columns({"smallest": data["smallest"], "largest": data}, convention=convention))
