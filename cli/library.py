"""What a module, a cell or an operator is: documentation, parameters, decisions, what it uses, an example with costs."""

from collections.abc import Iterator
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path
from textwrap import fill, indent, wrap
from typing import Any

from ..compiler.operator import Operator, signature
from ..compiler.ops import operators
from ..dsl.diagnostic import ArchError, Source, Span
from ..dsl.errors import near
from ..dsl.flat import flat
from ..dsl.modules import STD, Module, load, load_source, read_source
from ..dsl.packages import module_folder, module_roots
from ..dsl.syntax import Attribute, Block, Name, Syntax, Vary
from .common import UsageError, table
from .figures import columns, figures
from .forms import setting

WIDTH = 100
Answer = dict[str, Any]
"""`kind`, `name`, `text`, and what the kind has besides."""
EXAMPLE = "\n\nspace explained {{\n  input = [16, 32, 32]\n  width = 16\n  kernel = 3\n  head = {}\n}}\n"
"""What is applied alone, and to what."""
GIVEN = "a map [16, 32, 32], with `width = 16` and `kernel = 3` where nothing else is said"


# what there is -----------------------------------------------------------------------------------------------------


def modules(topic: str = "") -> dict[str, Module]:
    """The standard library, and the modules of the package that `topic` begins with, by the names that `use` takes."""
    folders = {"std": STD}
    root = topic.partition(".")[0]
    if root != "std" and root in (roots := module_roots()):
        folders[root] = module_folder(roots[root], _span(topic))
    return {
        f"{first}.{p.stem}": _module(first, p)
        for first, folder in folders.items()
        for p in sorted(folder.glob("*.arch"))
    }


def _span(topic: str) -> Span:
    return Span(Source("explain", topic), 0, len(topic))


def _module(root: str, path: Path) -> Module:
    return load_source(read_source(path, f"{root}/{path.name}"), path.parent)


def find(topic: str) -> Iterator[Answer]:
    """All modules, cells and operators that go by this name."""
    if ".arch" in topic:
        yield _of_file(topic)
        return
    known = modules(topic)
    inside = {name: module for name, module in known.items() if name.startswith(f"{topic}.")}
    if inside:
        yield _folder(topic, inside)
    for name, module in known.items():
        if topic in (name, module.name):
            yield _module_answer(name, module)
        for cell in module.cells:
            if topic in (cell, f"{module.name}.{cell}", f"{name}.{cell}"):
                yield _cell(f"{name}.{cell}", cell, module)
    if topic in operators():
        yield _operator(topic, operators()[topic])


def _of_file(topic: str) -> Answer:
    """`FILE.arch`, or `FILE.arch:cell`."""
    file, _, cell = topic.partition(".arch:")
    module = load(Path(file if not cell else f"{file}.arch"))
    if not cell:
        return _file(topic, module)
    if cell not in module.cells:
        raise UsageError(f"explain: {file}.arch has no cell `{cell}`: {near(cell, module.cells)}")
    return _cell(topic, cell, module)


# modules and cells -------------------------------------------------------------------------------------------------


def _folder(name: str, inside: dict[str, Module]) -> Answer:
    lines = {
        path: fill(", ".join(m.cells), WIDTH, initial_indent="  ", subsequent_indent="  ") for path, m in inside.items()
    }
    text = "\n\n".join([f"library {name}", *(f"{path}\n{cells}" for path, cells in lines.items())])
    return {"kind": "library", "name": name, "modules": list(inside), "text": text}


def _module_answer(name: str, module: Module) -> Answer:
    rows = [[cell, block.docs[0] if block.docs else ""] for cell, block in module.cells.items()]
    text = _joined(f"module {name}: `use {name}`", "\n".join(table(rows)) if rows else "  no cells")
    return {"kind": "module", "name": name, "cells": list(module.cells), "text": text}


def _file(name: str, module: Module) -> Answer:
    rows = [[b.kind, b.name or "", b.docs[0] if b.docs else ""] for b in module.blocks]
    text = _joined(f"file {name}", "\n".join(table(rows)) if rows else "  nothing is declared")
    return {"kind": "file", "name": name, "cells": list(module.cells), "text": text}


def _cell(name: str, cell: str, module: Module) -> Answer:
    block = module.cells[cell]
    parameters = {p.name: None if p.default is None else flat(p.default) for p in block.parameters or ()}
    decisions = [flat(v) for v in parts(block) if isinstance(v, Vary)]
    uses = _uses(block, module)
    example = _example(Source(module.source.name, module.source.text + EXAMPLE.format(cell)), module)
    text = _joined(
        f"cell {name}",
        "\n".join(fill(line, WIDTH) for line in block.docs),
        _titled("parameters", [[n, "required" if d is None else f"default {d}"] for n, d in parameters.items()]),
        _titled("decisions", [[line] for d in decisions for line in wrap(d, WIDTH - 2, subsequent_indent="  ")]),
        _titled("uses", [[", ".join(uses)]] if uses else []),
        _applied(example),
        indent(block.span.text, "    "),
    )
    plain = {"docs": list(block.docs), "parameters": parameters, "decisions": decisions, "uses": uses}
    return {"kind": "cell", "name": name, **plain, "example": example, "source": block.span.text, "text": text}


def _uses(block: Block, module: Module) -> list[str]:
    """The cells and operators that a body names, each once."""
    own = {p.name for p in block.parameters or ()} | {str(getattr(line, "target", "")) for line in block.lines}
    found: list[str] = []
    for part in parts(block):
        match part:
            case Attribute(base=Name(text=alias), name=cell) if alias in module.uses:
                found.append(f"{alias}.{cell}")
            case Name(text=text) if text not in own and (text in module.cells or text in operators()):
                found.append(text)
    return list(dict.fromkeys(found))


def parts(syntax: Any) -> Iterator[Syntax]:
    """Every part of a syntax tree, in the order of the text."""
    if isinstance(syntax, tuple):
        for item in syntax:
            yield from parts(item)
    elif isinstance(syntax, Syntax):
        yield syntax
        for f in fields(syntax):
            yield from parts(getattr(syntax, f.name))


# operators ---------------------------------------------------------------------------------------------------------


def _operator(name: str, kind: type[Operator]) -> Answer:
    flows = {0: "no flow", 1: "one flow", None: "a list of flows"}.get(kind.inputs, f"{kind.inputs} flows")
    known = signature(kind)
    rows = [[f.name, f.kind, "required" if f.required else f"default {setting(f.default)}"] for f in known]
    docs = cleandoc(kind.__doc__ or kind.summary)
    example = _example(Source("explain", "hrdsl 1" + EXAMPLE.format(name)))
    text = _joined(f"operator {name}, of {flows}", docs, _titled("fields", rows), _applied(example))
    parameters = {f.name: None if f.required else setting(f.default) for f in known}
    plain = {"docs": docs.splitlines(), "parameters": parameters, "example": example}
    return {"kind": "operator", "name": name, **plain, "text": text}


# the example -------------------------------------------------------------------------------------------------------


def _example(source: Source, module: Module | None = None) -> dict[str, Any]:
    """What comes out of a cell or an operator alone: `shape`, and the costs of both ends; or `why` it cannot stand alone."""
    from ..compiler.api import compile_module

    try:
        root = Path(module.source.name).resolve().parent if module else None
        space = compile_module(load_source(source, root), "explained")
    except ArchError as fault:
        return {"why": fault.found[0].title}
    ends = (
        {"": ()}
        if not space.graph.decisions
        else {"smallest": space.decisions.smallest(), "largest": space.decisions.largest()}
    )
    shape = str(space.graph.nodes[space.graph.output].shape)
    return {"shape": shape, "costs": {end: figures(space, tuple(genes)) for end, genes in ends.items()}}


def _applied(example: dict[str, Any]) -> str:
    if "why" in example:
        return f"example\n\n  it cannot be applied alone to a map: {example['why']}"
    head = fill(f"applied to {GIVEN}: {example['shape']}", WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    costs = columns(example["costs"])
    return f"example\n\n{head}\n\n" + "\n".join(costs if costs[0] else costs[1:])


# text --------------------------------------------------------------------------------------------------------------


def _titled(title: str, rows: list[list[str]]) -> str:
    return f"{title}\n\n" + "\n".join(table(rows)) if rows else ""


def _joined(*paragraphs: str) -> str:
    return "\n\n".join(p for p in paragraphs if p)
