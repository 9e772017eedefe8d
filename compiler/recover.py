"""Further faults of a space behind the first: names that nothing declares, and what other stages get wrong.

The part with the fault is left out and the space is elaborated again. What is said then about shapes may follow from the
gap, so only faults that no shape can cause are kept. Imports `dsl`, `names` and `elaborate`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..dsl.diagnostic import ArchError, Diagnostic, Span
from ..dsl.model import Model, Space
from ..dsl.syntax import Block, Fix, Name, Target
from .elaborate import elaborate
from .names import Operators, unknown_names

TRIES = 4
"""The space is elaborated again this often at most."""
LONGEST = 50_000
"""Longer files, in characters, are not tried again."""
LIMITS = ("E109", "E217", "E314", "E319")
"""Faults of the space as a whole: nothing is tried behind them."""
SURE = (
    *("E201", "E208", "E210", "E212", "E215", "E216", "E218", "E302", "E303", "E313", "E316", "E317", "E318"),
    *("E401", "E402", "E404", "E406", "E407", "E408", "E409"),
)
"""Faults that do not follow from what was left out."""


def all_faults(
    model: Model, space: Space, operators: Operators, settings: Mapping[str, Any] | None, first: ArchError
) -> ArchError:
    """The first fault of a space together with those that are independent of it."""
    blocks = [b for b in model.module.blocks if b.kind == "cell" or (b.kind == "space" and b.name == space.name)]
    unknown = unknown_names(model.module, operators, blocks)
    found = unknown + [d for d in first.found if not (unknown and _is_name(model, d))]
    fresh: tuple[Diagnostic, ...] = first.found
    for _ in range(TRIES if len(model.module.source.text) <= LONGEST else 0):
        if any(d.code in LIMITS for d in fresh):
            break
        model, space, changed = _without(model, space, fresh)
        if not changed:
            break
        try:
            elaborate(model, space, operators, settings)
            break
        except ArchError as more:
            fresh = more.found
            found += [d for d in fresh if d.code in SURE and not _is_name(model, d)]
    return ArchError(*_once(found))


def _is_name(model: Model, fault: Diagnostic) -> bool:
    """Whether a fault is a name of this file that nothing declares: those are found in the text."""
    return fault.code == "E201" and fault.here.span.source is model.module.source


def _once(found: list[Diagnostic]) -> list[Diagnostic]:
    """One diagnostic for each place, the first that was found."""
    places: dict[tuple[str, int], Diagnostic] = {}
    for d in found:
        places.setdefault((d.here.span.source.name, d.here.span.start), d)
    return list(places.values())


def _without(model: Model, space: Space, faults: tuple[Diagnostic, ...]) -> tuple[Model, Space, bool]:
    """The space without the parts that hold these faults; whether anything was left out."""
    places = [label.span for d in faults for label in (d.here, *d.there)]

    def hit(span: Span) -> bool:
        return any(p.source is span.source and span.start <= p.start < span.stop for p in places)

    cells = {name: _empty(b) if hit(b.span) else b for name, b in model.module.cells.items()}
    blocks = {str(b.name): b for s in model.module.of_kind("space") for b in s.lines if isinstance(b, Block)}
    stages = tuple(
        replace(s, entries={n: e for n, e in s.entries.items() if n not in ("cell", "enter", "fuse")}, overrides=())
        if s.name in blocks and hit(blocks[s.name].span)
        else s
        for s in space.stages
    )
    requires = tuple(r for r in space.requires if not hit(r.span))
    entries = {n: e for n, e in space.entries.items() if n in ("input", "head") or not hit(e.span)}
    head = entries.get("head")
    if head is not None and hit(head.span):
        entries["head"] = Fix(head.target, Name("concat", span=head.span), span=head.span)
    made = replace(space, stages=stages, requires=requires, entries=entries)
    module = replace(model.module, cells=cells)
    return replace(model, module=module), made, made != space or module != model.module


def _empty(cell: Block) -> Block:
    """A cell that passes its flow on."""
    at = cell.head
    return replace(cell, lines=(Fix(Target(("out",), span=at), Name("x", span=at), span=at),))
