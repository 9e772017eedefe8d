"""The forms of `--emit`, each as text made for golden files: no ids, no paths, no versions."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..compiler.conventions import DEFAULT
from ..dsl.diagnostic import Span
from ..dsl.settings import Chosen
from .architecture import Genes

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from ..dsl.model import Model, Run, Space
    from ..dsl.syntax import Fix, Require, Vary


def _syntax(space: "Compiled", genes: Genes | None) -> str:
    return _text(tree(space.model.module.syntax))


def _model(space: "Compiled", genes: Genes | None) -> str:
    return _text(model_lines(space.model))


def _graph(space: "Compiled", genes: Genes | None) -> str:
    return str(space.graph)


def cost_form(space: "Compiled", genes: Genes | None, convention: str = DEFAULT) -> str:
    """The costs of an architecture, or of both ends; with a convention, its `operations`."""
    from .figures import figures

    ends = {"": genes} if genes is not None else {w: getattr(space.decisions, w)() for w in ("largest", "smallest")}
    named = {word: figures(space, one, convention) for word, one in ends.items()}
    return _text(f"{word} {cost} = {value}".strip() for word, one in named.items() for cost, value in one.items())


def _dot(space: "Compiled", genes: Genes | None) -> str:
    from ..compiler.draw import dot
    from ..compiler.outline import outline

    return dot(outline(space.graph, genes))


def _fx(space: "Compiled", genes: Genes | None) -> str:
    from ..compiler.module import extract, supernet
    from ..compiler.store import Store

    store = Store(space.graph)
    module = supernet(space.graph, store) if genes is None else extract(space.graph, store, genes)
    return f"{module.code.strip()}\n\n{module.graph}\n"


def _python(space: "Compiled", genes: Genes | None) -> str:
    from ..compiler.module import extract
    from ..compiler.source import python_source

    genes = space.decisions.largest() if genes is None else genes
    return python_source(extract(space.graph, None, genes), space.space.name)


def _json(space: "Compiled", genes: Genes | None) -> str:
    from ..compiler.interchange.documents import architecture_document, dumps, graph_document

    return dumps(graph_document(space.graph) if genes is None else architecture_document(space, genes))


def _model_json(space: "Compiled", genes: Genes | None) -> str:
    from ..compiler.interchange.documents import dumps, model_document

    return dumps(model_document(space.model))


FORMS: dict[str, Callable[["Compiled", Genes | None], str]] = {
    "syntax": _syntax,
    "model": _model,
    "model-json": _model_json,
    "graph": _graph,
    "json": _json,
    "cost": cost_form,
    "dot": _dot,
    "fx": _fx,
    "python": _python,
}
"""Each form by its name: a space and an architecture (None: the whole space) to text."""


def _text(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


# the syntax tree ---------------------------------------------------------------------------------------------------


def tree(value: Any, label: str = "", depth: int = 0) -> Iterator[str]:
    """A tree of dataclasses, one a line: its plain fields behind its name, the others below it. Spans are left out."""
    head = f"{'  ' * depth}{f'{label}: ' if label else ''}"
    if not is_dataclass(value):
        yield f"{head}{_plain(value)}"
        return
    parts = [(f.name, getattr(value, f.name)) for f in fields(value)]
    shown = [(name, part) for name, part in parts if not isinstance(part, Span) and part not in (None, (), "")]
    if type(value).__name__ == "Constant":
        shown = parts[1:]
    plain = " ".join(f"{name}={_plain(part)}" for name, part in shown if not _nested(part))
    yield f"{head}{type(value).__name__}{f' {plain}' if plain else ''}"
    for name, part in shown:
        if _nested(part):
            for i, one in enumerate(part if isinstance(part, tuple) else (part,)):
                yield from tree(one, f"{name}[{i}]" if isinstance(part, tuple) else name, depth + 1)


def _nested(part: Any) -> bool:
    return is_dataclass(part) or (isinstance(part, tuple) and any(map(is_dataclass, part)))


def _plain(part: Any) -> str:
    match part:
        case bool() | None:
            return str(part).lower()
        case str():
            return f'"{part}"'
        case tuple():
            return f"[{', '.join(map(_plain, part))}]"
        case _:
            return str(part)


# the typed model ---------------------------------------------------------------------------------------------------


def model_lines(model: "Model") -> Iterator[str]:
    """What a file declares: modules, cells, spaces, and runs with every setting."""
    for alias, module in sorted(model.module.uses.items()):
        yield f"module {alias}: {', '.join(sorted(module.cells)) or 'no cells'}"
    for name, cell in model.module.cells.items():
        yield f"cell {name}({', '.join(p.name for p in cell.parameters or ())})"
    for space in model.spaces:
        yield from _space(space)
    for run in model.runs:
        yield from _run(run)


def _space(space: "Space") -> Iterator[str]:
    from ..dsl.flat import flat

    yield f"space {space.name}({', '.join(map(flat, space.parameters))})"
    yield from (f"  ## {line}" for line in space.docs)
    yield from _entries((*space.entries.values(), *space.overrides), 2)
    for branch in space.branches:
        yield f"  branch {branch.name} at {flat(branch.place)}"
        yield from _entries(tuple(branch.entries.values()), 4)
    for stage in space.stages:
        yield f"  stage {stage.name} on {', '.join(n.text for n in stage.branches)}"
        yield from _entries((*stage.entries.values(), *stage.overrides), 4)
    yield from _requires(space.requires)


def _run(run: "Run") -> Iterator[str]:
    yield f"{run.kind} {run.name} for {run.space}"
    yield from (f"  {'maximize' if o.maximize else 'minimize'} {o.name}" for o in run.objectives)
    yield from _requires(run.requires)
    yield from (f"  {name} = {setting(value)}" for name, value in run.settings.items())


def _entries(entries: "tuple[Fix | Vary, ...]", indent: int) -> Iterator[str]:
    from ..dsl.flat import flat

    yield from (" " * indent + flat(e) for e in entries)


def _requires(requires: "tuple[Require, ...]") -> Iterator[str]:
    from ..dsl.flat import flat

    yield from (f"  require {flat(r.condition)}" for r in requires)


def setting(value: Any) -> str:
    """The value of a setting as `.arch` writes it."""
    if isinstance(value, Chosen):
        inner = ", ".join(f"{k} = {setting(v)}" for k, v in value.options.items())
        return f"{value.name}({inner})" if inner else value.name
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(setting, value))}]"
    return str(value)
