"""The typed model: what a file declares, structure checked, names of blocks resolved, nothing evaluated yet."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from . import errors
from .diagnostic import ArchError, Diagnostic, Span
from .modules import Module
from .settings import Settings, read_settings, split_of
from .strategies import strategy_faults
from .syntax import Attribute, Block, Clause, Expr, Fix, Goal, Line, Name, Parameter, Prior, Require, Vary

SPACE_BLOCKS = ("branch", "stage", "routes", "heads")
SPACE_ENTRIES = ("input", "stem", "head")
STAGE_ENTRIES = ("cell", "times", "rounds", "enter", "fuse")
ROUTES_ENTRIES = ("layers", "down", "cell", "open", "enter", "fuse")

Entry = Fix | Vary


@dataclass(frozen=True, slots=True)
class Branch:
    """`branch name at 1/4 { ... }`: `stride` is the reciprocal of its place."""

    name: str
    place: Expr
    entries: dict[str, Entry]
    span: Span = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stage:
    """`stage name on branches { ... }` or `routes ...`; `overrides` are the entries with a dotted target."""

    kind: str
    name: str
    branches: tuple[Name, ...]
    entries: dict[str, Entry]
    overrides: tuple[Entry, ...]
    span: Span = field(repr=False)


@dataclass(frozen=True, slots=True)
class Space:
    """`space name(parameters) { ... }`."""

    name: str
    docs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    entries: dict[str, Entry]
    overrides: tuple[Entry, ...]
    branches: tuple[Branch, ...]
    stages: tuple[Stage, ...]
    heads: dict[str, Entry]
    requires: tuple[Require, ...]
    priors: tuple[Prior, ...]
    span: Span = field(repr=False)


@dataclass(frozen=True, slots=True)
class Objective:
    """One goal of a search."""

    name: str
    maximize: bool
    span: Span = field(repr=False)


@dataclass(frozen=True, slots=True)
class Run:
    """`train name for space { ... }` or `search name for space { ... }`."""

    kind: str
    name: str
    space: str
    settings: Settings
    objectives: tuple[Objective, ...]
    requires: tuple[Require, ...]
    span: Span = field(repr=False)
    split: Expr | None = None
    """What a search has a part of its own for each value of."""


@dataclass(frozen=True, slots=True)
class Model:
    """All that one file declares."""

    module: Module
    spaces: tuple[Space, ...]
    runs: tuple[Run, ...]

    def run(self, kind: str, space: str, name: str | None = None) -> Run | None:
        """The first `train` or `search` of a space, or the one of that name."""
        return next((r for r in self.runs if (r.kind, r.space) == (kind, space) and name in (None, r.name)), None)


def build_model(module: Module) -> Model:
    """Check the structure of every block. Raises ArchError with all faults."""
    found: list[Diagnostic] = []
    spaces = tuple(_space(b, found) for b in module.of_kind("space"))
    for cell in module.of_kind("cell"):
        _check_cell(cell, found)
    branches = {s.name: tuple(b.name for b in s.branches) for s in spaces}
    several = {s.name for s in spaces if s.heads}
    runs = tuple(_run(b, branches, found) for kind in ("train", "search") for b in module.of_kind(kind))
    found += [errors.several_heads(r.kind, r.space, r.span) for r in runs if r and r.space in several]
    if found:
        raise ArchError(*found)
    return Model(module, spaces, tuple(r for r in runs if r is not None))


def _check_cell(cell: Block, found: list[Diagnostic]) -> None:
    results = [
        line for line in cell.lines if isinstance(line, Fix | Vary) and line.target.parts in (("out",), ("cell",))
    ]
    if not results:
        found.append(errors.missing_entry("out", f"cell `{cell.name}`", cell.head, "out = x -> conv(3) -> bn -> relu"))
    if cell.parameters is None:
        found.append(errors.missing_entry("()", f"cell `{cell.name}`", cell.head, f"cell {cell.name}()"))
    entries, _ = _entries(cell.lines, "a cell", (), found)
    _twice((*_parameters(cell), *_targets(entries)), found)


def _space(block: Block, found: list[Diagnostic]) -> Space:
    entries, overrides = _entries(block.lines, "a space", SPACE_BLOCKS, found, require=True)
    branches: list[Branch] = []
    stages: list[Stage] = []
    for b in block.lines:
        if isinstance(b, Block) and b.kind == "branch":
            branches.append(_branch(b, found))
        elif isinstance(b, Block) and b.kind in ("stage", "routes"):
            stages.append(_stage(b, found))
    heads = _heads([b for b in block.lines if isinstance(b, Block) and b.kind == "heads"], entries, found)
    blocks = (*((b.name, b.span) for b in branches), *((s.name, s.span) for s in stages))
    _twice((*_parameters(block), *blocks, *_targets(entries)), found)
    known = {b.name for b in branches}
    for stage in stages:
        for name in stage.branches:
            if name.text not in known and len(known) == len(branches):
                found.append(errors.unknown_name(name.text, "branch", name.span, known))
        _twice(((n.text, n.span) for n in stage.branches), found)
    for needed, example in (("input", "input = [3, 224, 224]"), ("head", "head = concat -> conv(1, width = classes)")):
        if needed not in entries and not (needed == "head" and heads):
            found.append(errors.missing_entry(needed, f"space `{block.name}`", block.head, example))
    requires = tuple(line for line in block.lines if isinstance(line, Require))
    return Space(
        block.name or "",
        block.docs,
        block.parameters or (),
        entries,
        overrides,
        tuple(branches),
        tuple(stages),
        heads,
        requires,
        tuple(line for line in block.lines if isinstance(line, Prior)),
        block.head,
    )


def _branch(block: Block, found: list[Diagnostic]) -> Branch:
    entries, _ = _entries(block.lines, "a branch", (), found)
    place = _clause(block, "at", "1/4", found)
    if place is None or place.value is None:
        return Branch(block.name or "", Name("missing", span=block.head), entries, block.head)
    return Branch(_named(block, found), place.value, entries, block.head)


def _stage(block: Block, found: list[Diagnostic]) -> Stage:
    entries, overrides = _entries(block.lines, "a stage", (), found)
    on = _clause(block, "on", "some_branch", found)
    return Stage(block.kind, _named(block, found), on.names if on else (), entries, overrides, block.head)


def _heads(blocks: list[Block], others: dict[str, Entry], found: list[Diagnostic]) -> dict[str, Entry]:
    """The outputs of a space that has several, by name."""
    if not blocks:
        return {}
    first = blocks[0]
    for again in blocks[1:]:
        found.append(errors.declared_twice("heads", again.head, first.head))
    if "head" in others:
        found.append(errors.declared_twice("head", others["head"].target.span, first.head))
    entries, _ = _entries(first.lines, "a `heads` block", (), found)
    if not entries:
        found.append(
            errors.missing_entry("a head", "the `heads` block", first.head, "labels = concat -> conv(1, width = 4)")
        )
    return entries


def _named(block: Block, found: list[Diagnostic]) -> str:
    if block.name is None:
        found.append(errors.missing_entry("a name", f"this {block.kind}", block.head, f"{block.kind} some_name"))
    return block.name or ""


def _clause(block: Block, kind: str, example: str, found: list[Diagnostic]) -> Clause | None:
    for clause in block.clauses:
        if clause.kind == kind:
            return clause
        found.append(
            errors.misplaced(
                f"`{clause.kind}`", f"the head of a {block.kind}", clause.span, f"write `{kind} {example}`"
            )
        )
    found.append(errors.missing_entry(f"{kind}", f"{block.kind} `{block.name}`", block.head, f"{kind} {example}"))
    return None


PRIORS = "priors stand in the space or in a cell"


def _entries(
    lines: Iterable[Line], where: str, blocks: tuple[str, ...], found: list[Diagnostic], require: bool = False
) -> tuple[dict[str, Entry], tuple[Entry, ...]]:
    """Entries by name, and those with a dotted target; what has no place here is a fault."""
    entries: dict[str, Entry] = {}
    overrides: list[Entry] = []
    for line in lines:
        if isinstance(line, Block):
            if line.kind not in blocks:
                found.append(errors.unknown_block(line.kind, where, line.head, blocks))
        elif isinstance(line, Goal):
            found.append(errors.misplaced(f"`{line.direction}`", where, line.span, "goals stand in a `search` block"))
        elif isinstance(line, Prior):
            if not require and where != "a cell":
                found.append(errors.misplaced("`prior`", where, line.span, PRIORS))
        elif isinstance(line, Require):
            if not require:
                found.append(
                    errors.misplaced("`require`", where, line.span, "constraints stand in the space or the search")
                )
        elif len(line.target.parts) > 1:
            if where not in ("a stage", "a space"):
                found.append(errors.misplaced("a dotted name", where, line.target.span, "set it in a stage"))
            overrides.append(line)
        else:
            name = str(line.target.parts[0])
            if name in entries:
                found.append(errors.declared_twice(name, line.target.span, entries[name].target.span))
            entries[name] = line
    return entries, tuple(overrides)


def _parameters(block: Block) -> Iterable[tuple[str, Span]]:
    return ((p.name, p.span) for p in block.parameters or ())


def _targets(entries: dict[str, Entry]) -> Iterable[tuple[str, Span]]:
    return ((name, entry.target.span) for name, entry in entries.items())


def _twice(names: Iterable[tuple[str, Span]], found: list[Diagnostic]) -> None:
    seen: dict[str, Span] = {}
    for name, span in names:
        if name in seen:
            found.append(errors.declared_twice(name, span, seen[name]))
        seen.setdefault(name, span)


def _run(block: Block, spaces: dict[str, tuple[str, ...]], found: list[Diagnostic]) -> Run | None:
    """A block of a run; `spaces`: the names of the branches of each space."""
    clause = _clause(block, "for", next(iter(spaces), "some_space"), found)
    if clause is None:
        return None
    space = clause.names[0]
    if space.text not in spaces:
        found.append(errors.unknown_name(space.text, "space", space.span, spaces))
    goals = [line for line in block.lines if isinstance(line, Goal)]
    requires = tuple(line for line in block.lines if isinstance(line, Require))
    for prior in (line for line in block.lines if isinstance(line, Prior)):
        found.append(errors.misplaced("`prior`", f"a `{block.kind}` block", prior.span, PRIORS))
    if block.kind == "train":
        for line in (*goals, *requires):
            found.append(
                errors.misplaced("a goal or a constraint", "a `train` block", line.span, "put it into `search`")
            )
    objectives = tuple(o for o in (_objective(goal, spaces.get(space.text, ()), found) for goal in goals) if o)
    settings = read_settings(block, found)
    if block.kind == "search":
        found += strategy_faults(block, settings["strategy"], objectives)
    return Run(block.kind, block.name or "", space.text, settings, objectives, requires, block.head, split_of(block))


COSTS = {"macs": "", "parameters": "", "peak_activation_bytes": "bytes"}
"""Costs that a goal or a constraint may name, with their units."""
ADDITIVE = ("macs", "parameters")
"""Those of them that are sums over operations: a branch has them too, as `fine.macs`."""
TIMES = {"latency_ms": ""}
"""What a search may name besides: it depends on a device."""
METRICS = ("miou", "accuracy", "loss")
"""What a task can measure."""


def is_cost(name: str) -> bool:
    """Whether a goal is a cost, of the network or of a branch."""
    return name.rpartition(".")[2] in COSTS


def _objective(goal: Goal, branches: tuple[str, ...], found: list[Diagnostic]) -> Objective | None:
    known = (*COSTS, *TIMES, *METRICS)
    match goal.value:
        case Name(text=name) if name in known:
            return Objective(name, goal.direction == "maximize", goal.span)
        case Attribute(base=Name(text=branch), name=name) if branch in branches and name in ADDITIVE:
            return Objective(f"{branch}.{name}", goal.direction == "maximize", goal.span)
        case Attribute(base=Name(text=branch), name=name, span=span) if branch in branches and name in known:
            found.append(errors.no_cost_of(name, branch, span, branch, ADDITIVE))
        case Attribute(base=Name(text=branch), span=span) if branch in branches:
            found.append(errors.unknown_objective(span.text, span, [f"{branch}.{name}" for name in ADDITIVE]))
        case value:
            found.append(errors.unknown_objective(value.span.text, value.span, known))
    return None


__all__ = [
    "ADDITIVE",
    "COSTS",
    "METRICS",
    "TIMES",
    "Branch",
    "Model",
    "Objective",
    "Run",
    "Space",
    "Stage",
    "build_model",
    "is_cost",
]
