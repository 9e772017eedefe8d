"""`hrdsl explain`: what a diagnostic, a module, a cell, an operator or a setting is."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill, indent
from typing import TYPE_CHECKING, Any

from ..compiler.operator import Operator, signature
from ..compiler.ops import operators
from ..dsl.errors import near
from ..dsl.modules import STD, Module, load_source, read_source
from ..dsl.settings import OPTIONS, Option
from .codes import CODES
from .common import UsageError, add_json, show, table
from .forms import setting

if TYPE_CHECKING:
    from ..dsl.syntax import Block
    from .common import Verbs

WIDTH = 100
Answer = dict[str, Any]
"""`kind`, `name`, `text`, and what the kind has besides."""


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("explain")
    help = "a code (E306), a cell (std.blocks.residual), an operator (conv), a setting (train.steps); default: list all"
    parser.add_argument("topic", metavar="CODE|NAME", nargs="?", help=help)
    add_json(parser)


def run(args: Namespace) -> int:
    answers = _topics() if args.topic is None else explain(args.topic)
    data = answers[0] if len(answers) == 1 else {"answers": answers}
    return show(args, data, "\n\n".join(a["text"] for a in answers).splitlines())


def explain(topic: str) -> list[Answer]:
    """All that goes by this name."""
    if topic.upper() in CODES:
        return [_code(topic.upper())]
    found = [*_cells(topic), *_operators(topic), *_settings(topic)]
    if not found:
        raise UsageError(f"explain: nothing is named `{topic}`: {near(topic, names())}; `hrdsl explain` lists all")
    return found


def names() -> list[str]:
    """Every name that can be explained, in full and in short."""
    cells = [f"{name}.{cell}" for name, module in modules().items() for cell in module.cells]
    short = [name.rsplit(".", 1)[-1] for name in cells]
    options = [f"{block}.{name}" for block, table in OPTIONS.items() for name in table]
    return [*CODES, *modules(), *cells, *short, *operators(), *OPTIONS, *options]


def modules() -> dict[str, Module]:
    """The standard library, by the names that `use` takes."""
    return {f"std.{p.stem}": _module(p) for p in sorted(STD.glob("*.arch"))}


def _module(path: Path) -> Module:
    return load_source(read_source(path, f"std/{path.name}"), STD)


# codes -------------------------------------------------------------------------------------------------------------


def _code(name: str) -> Answer:
    code = CODES[name]
    kind = "warning" if name[0] == "W" else "error"
    where = {"file": "", "items": "", "head": ", in a space"}.get(code.place, f", in a {code.place}")
    parts = [
        f"{kind} {name}: {code.title}",
        fill(code.meaning, WIDTH),
        f"wrong{where}:\n\n{indent(code.wrong, '    ')}",
        f"mended:\n\n{indent(code.mended, '    ')}",
    ]
    plain = {"title": code.title, "meaning": code.meaning, "wrong": code.wrong, "mended": code.mended}
    return {"kind": kind, "name": name, **plain, "text": "\n\n".join(parts)}


# cells -------------------------------------------------------------------------------------------------------------


def _cells(topic: str) -> Iterator[Answer]:
    for name, module in modules().items():
        if topic in (name, module.name):
            rows = [[cell, block.docs[0] if block.docs else ""] for cell, block in module.cells.items()]
            text = f"module {name}: `use {name}`\n\n" + "\n".join(table(rows))
            yield {"kind": "module", "name": name, "cells": list(module.cells), "text": text}
        for cell, block in module.cells.items():
            if topic in (cell, f"{module.name}.{cell}", f"{name}.{cell}"):
                yield _cell(f"{name}.{cell}", block)


def _cell(name: str, block: "Block") -> Answer:
    from ..dsl.format import flat

    rows = [[p.name, "required" if p.default is None else f"default {flat(p.default)}"] for p in block.parameters or ()]
    parts = [
        f"cell {name}",
        "\n".join(fill(line, WIDTH) for line in block.docs),
        "parameters\n\n" + "\n".join(table(rows)) if rows else "",
        indent(block.span.text, "    "),
    ]
    parameters = {p.name: None if p.default is None else flat(p.default) for p in block.parameters or ()}
    plain = {"docs": list(block.docs), "parameters": parameters, "source": block.span.text}
    return {"kind": "cell", "name": name, **plain, "text": "\n\n".join(p for p in parts if p)}


# operators ---------------------------------------------------------------------------------------------------------


def _operators(topic: str) -> Iterator[Answer]:
    if topic in operators():
        yield _operator(topic, operators()[topic])


def _operator(name: str, kind: type[Operator]) -> Answer:
    from inspect import cleandoc

    flows = {0: "no flow", 1: "one flow", None: "a list of flows"}.get(kind.inputs, f"{kind.inputs} flows")
    known = signature(kind)
    rows = [[f.name, f.kind, "required" if f.required else f"default {setting(f.default)}"] for f in known]
    docs = cleandoc(kind.__doc__ or kind.summary)
    fields = "fields\n\n" + "\n".join(table(rows)) if rows else ""
    parameters = {f.name: None if f.required else setting(f.default) for f in known}
    text = "\n\n".join(p for p in (f"operator {name}, of {flows}", docs, fields) if p)
    return {"kind": "operator", "name": name, "docs": docs.splitlines(), "parameters": parameters, "text": text}


# settings ----------------------------------------------------------------------------------------------------------


def _settings(topic: str) -> Iterator[Answer]:
    for block, options in OPTIONS.items():
        if topic == block:
            text = f"the settings of a `{block}` block\n\n" + "\n".join(_option_table(options))
            yield {"kind": "block", "name": block, "settings": list(options), "text": text}
        for name, option in options.items():
            if topic in (name, f"{block}.{name}"):
                yield _setting(f"{block}.{name}", option)
            if topic in option.calls:
                rows = "\n".join(_option_table(option.calls[topic])) or "  no options"
                text = f"{topic}: a value of {block}.{name}\n\n{rows}"
                yield {"kind": "setting", "name": f"{block}.{name}", "text": text}


def _setting(name: str, option: Option) -> Answer:
    parts = [f"setting {name}: {option.docs}", f"{_takes(option)}; default {setting(option.default)}"]
    parts += [f"{call}\n\n" + "\n".join(_option_table(inner)) for call, inner in option.calls.items() if inner]
    return {"kind": "setting", "name": name, "default": setting(option.default), "text": "\n\n".join(parts)}


def _option_table(options: Any) -> list[str]:
    rows = [[name, setting(o.default), _takes(o), o.docs] for name, o in options.items()]
    return table([["name", "default", "takes", ""], *rows]) if rows else []


def _takes(option: Option) -> str:
    if option.kind == "call":
        return " or ".join(option.calls)
    if option.choices:
        return " or ".join(option.choices)
    what = {"whole": "a whole number", "number": "a number", "flag": "true or false"}.get(option.kind, option.kind)
    least = "" if option.least is None else f" from {option.least:,}"
    return what + least + ("" if option.most is None else f" to {option.most:,}")


# all ---------------------------------------------------------------------------------------------------------------


def _topics() -> list[Answer]:
    codes = table([[name, code.title] for name, code in CODES.items()])
    cells = table([[name, ", ".join(module.cells)] for name, module in modules().items()])
    ops = fill(", ".join(sorted(operators())), WIDTH, initial_indent="  ", subsequent_indent="  ")
    options = table([[block, ", ".join(known)] for block, known in OPTIONS.items()])
    listed = {
        "codes": list(CODES),
        "modules": list(modules()),
        "operators": sorted(operators()),
        "settings": list(OPTIONS),
    }
    parts = (("codes", codes), ("library", cells), ("operators", [ops]), ("settings", options))
    text = "\n\n".join("\n".join((head, *lines)) for head, lines in parts)
    return [{"kind": "topics", "name": "", **listed, "text": text}]
