"""What a file declares and nothing uses: warnings for `check`.

`unused` looks at the text alone; `unread` at the decisions that were made; `dead` at the graph, after the passes. Imports `dsl`, `names` and the operators.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from ..dsl import errors
from ..dsl.diagnostic import Diagnostic, Span
from ..dsl.model import ROUTES_ENTRIES, SPACE_ENTRIES, STAGE_ENTRIES, Space
from ..dsl.modules import Module
from ..dsl.syntax import Attribute, Block, Fix, Name, Use, Vary
from .graph import Choice, Graph
from .names import Operators, blocks_of, inside
from .operator import signature

GIVEN = (*SPACE_ENTRIES, *STAGE_ENTRIES, *ROUTES_ENTRIES, "out", "to", "width")
"""Names that the language itself reads or gives."""


def unused(module: Module, operators: Operators) -> list[Diagnostic]:
    """Modules, cells, parameters and entries that nothing in the file reads."""
    blocks = module.blocks
    implied = _implied(module, operators)
    reads, asked = zip(*map(_said, blocks), strict=True) if blocks else ((), ())
    found = [d for b, names in zip(blocks, reads, strict=True) if b.kind == "cell" for d in _cell(b, implied | names)]
    if not module.of_kind("space"):
        return found
    everywhere = set[str]().union(*reads)
    readers = Counter(name for names in reads for name in names)
    own = {b.name for b, names in zip(blocks, reads, strict=True) if b.kind == "cell" and b.name in names}
    for item in module.syntax.items:
        if isinstance(item, Use) and (item.alias or item.path[-1]) not in everywhere:
            found.append(errors.unused("module", item.alias or item.path[-1], item.span))
        elif isinstance(item, Block) and item.kind == "cell" and readers[str(item.name)] == (item.name in own):
            found.append(errors.unused("cell", str(item.name), item.head))
    everywhere |= implied.union(*asked, *(_said(b)[1] for used in module.uses.values() for b in used.blocks))
    for block in (b for s in module.of_kind("space") for b in blocks_of(s) if b.kind != "heads"):
        where = f"{block.kind} `{block.name}`"
        known = {"space": SPACE_ENTRIES, "routes": ROUTES_ENTRIES}.get(block.kind, ("width", *STAGE_ENTRIES))
        found += [errors.unread(n, where, s, known) for n, s in _entries(block) if n not in everywhere]
    return found


def unread(space: Space, choices: Iterable[Choice]) -> list[Diagnostic]:
    """`in` lines of a space that made no decision."""
    read = {c.span for c in choices}
    branches, stages = ((b.name, b.entries) for b in space.branches), ((s.name, s.entries) for s in space.stages)
    return [
        errors.never_read(f"{owner}.{entry.target}".lstrip("."), entry.span)
        for owner, entries in (("", space.entries), *branches, *stages)
        for entry in entries.values()
        if isinstance(entry, Vary) and entry.span not in read
    ]


def dead(space: Space, graph: Graph) -> list[Diagnostic]:
    """Branches and stages of which no node is left."""
    stages = [s for s in space.stages if s.kind == "stage"]
    run = {n.text for s in space.stages for n in s.branches}
    lanes, places = {n.lane for n in graph.nodes}, {n.stage for n in graph.nodes}
    found = [errors.dead("branch", b.name, b.span) for b in space.branches if b.name not in run or b.name not in lanes]
    return found + [errors.dead("stage", s.name, s.span) for s in stages if s.name not in places]


def _cell(cell: Block, read: set[str]) -> Iterator[Diagnostic]:
    for p in cell.parameters or ():
        if p.name not in read:
            yield errors.unused("parameter", p.name, Span(p.span.source, p.span.start, p.span.start + len(p.name)))
    result = "out" if any(name == "out" for name, _ in _entries(cell)) else "cell"
    for name, span in _entries(cell):
        if name not in read and name != result:
            yield errors.unused("entry", name, span)


def _entries(block: Block) -> Iterator[tuple[str, Span]]:
    """The entries of a block that fix a value, with the places of their names."""
    for line in block.lines:
        if isinstance(line, Fix) and len(line.target.parts) == 1:
            yield str(line.target), line.target.span


def _said(block: Block) -> tuple[set[str], set[str]]:
    """The names that a block reads, and the attributes that it asks for: entries are found through places too."""
    names: set[str] = set()
    attributes: set[str] = set()
    for node in inside(block):
        if isinstance(node, Name):
            names.add(node.text)
        elif isinstance(node, Attribute):
            attributes.add(node.name)
    return names, attributes


def _implied(module: Module, operators: Operators) -> set[str]:
    """Names that are found where a cell or an operator is used: settings and parameters without a default."""
    cells = [c for m in (module, *module.uses.values()) for c in m.cells.values()]
    own = {p.name for c in cells for p in c.parameters or () if p.default is None}
    return {*GIVEN, *own, *(f.name for kind in operators.values() for f in signature(kind) if f.required)}
