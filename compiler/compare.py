"""Two spaces or two networks compared by what they mean: decisions, constraints, nodes, weights, costs, architectures.

Two compiled spaces in, one `Comparison` out. Layout, comments, names of spaces and the order of entries play no part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from ..dsl.flat import flat
from ..dsl.syntax import Constant, Require
from .align import Alignment, Undecided, may_hand_on
from .api import Compiled
from .decisions import Count, Decisions
from .graph import Constraint, Graph, Node, Switch, show
from .interchange.documents import digest
from .member import member
from .sym import Apply, Decision, Table, Value, apply, depends_on_cost, tabulate

Sides = tuple[Compiled, Compiled]


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """What became of a decision. `before`, `after`: its labels, None where it is no decision; `value`: what it is fixed at.

    `change`: added, removed, fixed, opened (the reverse), narrowed, widened, replaced, reordered.
    """

    path: str
    change: str
    before: tuple[str, ...] | None
    after: tuple[str, ...] | None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class ConstraintChange:
    """A constraint, as its text, that is `added` or `removed`, or `changed`: the same text says something else."""

    change: str
    text: str


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node that is `added`, `removed` or `changed`; `parts`: what changed in it, before and after.

    It is `unclear` where too many choices would have to be compared.
    """

    name: str
    change: str
    operator: str
    parts: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class WeightChange:
    """A parameter: `same` size, `resized`, `added` or `removed`. `before`, `after`: its largest size; `copied`: numbers kept."""

    name: str
    change: str
    before: tuple[int, ...] | None
    after: tuple[int, ...] | None
    copied: int


@dataclass(frozen=True, slots=True)
class Relation:
    """How two sets of architectures lie: equal, subset (the second within the first), superset, overlap, disjoint, undecided."""

    kind: str
    common: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences of two spaces. `costs`: for each the costs of its smallest and its largest architecture."""

    decisions: tuple[DecisionChange, ...]
    constraints: tuple[ConstraintChange, ...]
    nodes: tuple[NodeChange, ...]
    weights: tuple[WeightChange, ...]
    relation: Relation
    counts: tuple[Count, Count]
    costs: tuple[Mapping[str, Mapping[str, int]], Mapping[str, Mapping[str, int]]]

    @property
    def equal(self) -> bool:
        return not (self.decisions or self.constraints or self.nodes)


def compare(first: Compiled, second: Compiled) -> Comparison:
    """What changed from the first space to the second."""
    sides = first, second
    alignment = Alignment(first.graph, second.graph)
    nodes = () if digest(first.graph) == digest(second.graph) else tuple(_nodes(alignment))
    decisions = tuple(_decision(alignment, sides, path) for path in alignment.choices if not _same(alignment, path))
    counts = first.decisions.count(), second.decisions.count()
    costs = _ends(first), _ends(second)
    relation = _relation(alignment, sides, bool(nodes), counts, costs)
    if relation.kind == "undecided":
        for side, (space, network) in enumerate((sides, sides[::-1])):
            genes = member(space, network)
            if genes is not None:
                nodes, decisions = (), tuple(_taken(space, genes, side))
                relation = Relation("superset" if side else "subset", 1)
    constraints, weights = tuple(_constraints(alignment)), tuple(_weights(first.graph, second.graph))
    return Comparison(decisions, constraints, nodes, weights, relation, counts, costs)


def _ends(space: Compiled) -> Mapping[str, Mapping[str, int]]:
    return {end: space.costs.one(getattr(space.decisions, end)()) for end in ("smallest", "largest")}


# decisions ---------------------------------------------------------------------------------------------------------


def _same(alignment: Alignment, path: str) -> bool:
    one, other = (known.get(path) for known in alignment.decisions)
    return one is not None and other is not None and one.labels == other.labels


def _decision(alignment: Alignment, sides: Sides, path: str) -> DecisionChange:
    one, other = (known.get(path) for known in alignment.decisions)
    if one is not None and other is not None:
        return DecisionChange(path, _domains(one.labels, other.labels), one.labels, other.labels)
    side = 0 if one is not None else 1
    labels = alignment.decisions[side][path].labels
    before, after = (labels, None) if side == 0 else (None, labels)
    fixed = path in alignment.fixed
    if not fixed and not idle(alignment, sides, path):
        return DecisionChange(path, "added" if side else "removed", before, after)
    value = labels[alignment.choices[path][0][side]] if fixed else None
    return DecisionChange(path, "opened" if side else "fixed", before, after, value)


def idle(alignment: Alignment, sides: Sides, path: str) -> bool:
    """Whether a decision of one graph is never active under the choices that both have in common."""
    if path not in alignment.loose or path in alignment.torn:
        return False
    side = 0 if path in alignment.decisions[0] else 1
    return alignment.never(sides[side].decisions.active[alignment.decisions[side][path].index], side)


def _taken(space: Compiled, genes: tuple[int, ...], side: int) -> Iterator[DecisionChange]:
    """Every decision of a space, closed in a network that is one of its architectures."""
    values = space.decisions.labels(genes)
    for d in space.graph.decisions:
        before, after = (None, d.labels) if side else (d.labels, None)
        yield DecisionChange(d.path, "opened" if side else "fixed", before, after, values.get(d.path))


def _domains(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    before, after = set(one), set(other)
    if before == after:
        return "reordered"
    return "narrowed" if after < before else "widened" if before < after else "replaced"


# constraints -------------------------------------------------------------------------------------------------------


def _constraints(alignment: Alignment) -> Iterator[ConstraintChange]:
    """Matched by text first, then by what they say."""
    before, after = (list(g.constraints) for g in alignment.graphs)
    for c in list(before):
        twin = next((d for d in after if _text(d) == _text(c)), None)
        if twin is not None:
            before.remove(c)
            after.remove(twin)
            if not _agree(alignment, c.condition, twin.condition):
                yield ConstraintChange("changed", _text(c))
    for c in list(before):
        twin = next((d for d in after if _says(c) and _agree(alignment, c.condition, d.condition)), None)
        if twin is not None:
            before.remove(c)
            after.remove(twin)
    yield from (ConstraintChange("removed", _text(c)) for c in before)
    yield from (ConstraintChange("added", _text(c)) for c in after)


def _text(constraint: Constraint) -> str:
    return flat(constraint.syntax.condition)


def _says(constraint: Constraint) -> bool:
    return not isinstance(constraint.condition, bool)


def _agree(alignment: Alignment, one: Value, other: Value) -> bool:
    try:
        return alignment.agree(one, other)
    except Undecided:
        return False


# nodes -------------------------------------------------------------------------------------------------------------


def _nodes(alignment: Alignment) -> Iterator[NodeChange]:
    """Switches are decisions, not nodes; a node that only narrower choices leave out has not changed."""
    for name, one in alignment.nodes[0].items():
        other = alignment.nodes[1].get(name)
        if other is None:
            if not _needless(alignment, 0, one):
                yield NodeChange(name, "removed", one.op.name, {})
        elif not isinstance(one.op, Switch):
            yield from _changed(alignment, one, other)
    for name, other in alignment.nodes[1].items():
        if name not in alignment.nodes[0] and not _needless(alignment, 1, other):
            yield NodeChange(name, "added", other.op.name, {})


def _needless(alignment: Alignment, side: int, node: Node) -> bool:
    """Whether the other graph need not have this node: it is never computed, or hands one flow on."""
    graph = alignment.graphs[side]
    if isinstance(node.op, Switch) or alignment.never(alignment.live[side][node.name], side):
        return True
    if not may_hand_on(graph, node):
        return False
    present = [graph.nodes[k].shape.present for k in node.inputs if k is not None]
    paths = alignment.over(*present)
    try:
        return all(alignment.count(present, paths, row, side) < 2 for row in alignment.rows(paths))
    except Undecided:
        return False


def _changed(alignment: Alignment, one: Node, other: Node) -> Iterator[NodeChange]:
    try:
        parts = dict(_parts(alignment, one, other))
    except Undecided:
        yield NodeChange(one.name, "unclear", other.op.name, {})
        return
    if parts:
        yield NodeChange(one.name, "changed", other.op.name, parts)


def _parts(alignment: Alignment, one: Node, other: Node) -> Iterator[tuple[str, tuple[str, str]]]:
    if one.op.name != other.op.name:
        yield "operator", (one.op.name, other.op.name)
        return
    before, after = (_traits(n) for n in (one, other))
    for word in {**before, **after}:
        if not alignment.agree(before.get(word), after.get(word)):
            yield word, (show(before.get(word)), show(after.get(word)))
    reads = _reads(alignment, one.name)
    if reads:
        yield "inputs", reads


def _traits(node: Node) -> dict[str, Value]:
    """What a node computes, by name; sizes stand under other names than settings."""
    shape = node.shape
    sizes = {"channels": shape.width, **{f"extent[{k}]": e for k, e in enumerate(shape.extent)}, "copies": shape.copies}
    return {"form": shape.form, **sizes, **node.op.settings()}


def _reads(alignment: Alignment, name: str) -> tuple[str, str] | None:
    """Where a node reads in each graph, if that differs for some common choice."""
    (mine, one), (theirs, other) = alignment.reads(0, name), alignment.reads(1, name)
    paths = sorted({*mine, *theirs})
    for row in alignment.rows(paths):
        found = [reader(alignment.genes(paths, row, side)) for side, reader in enumerate((one, other))]
        if found[0] != found[1]:
            return ", ".join(found[0]) or "none", ", ".join(found[1]) or "none"
    return None


# weights -----------------------------------------------------------------------------------------------------------


def _weights(first: Graph, second: Graph) -> Iterator[WeightChange]:
    before, after = _sizes(first), _sizes(second)
    for name, one in before.items():
        other = after.get(name)
        if other is None:
            yield WeightChange(name, "removed", one, None, 0)
        elif one == other:
            yield WeightChange(name, "same", one, other, prod(one))
        else:
            copied = prod(map(min, one, other)) if len(one) == len(other) else 0
            yield WeightChange(name, "resized", one, other, copied)
    yield from (WeightChange(n, "added", None, size, 0) for n, size in after.items() if n not in before)


def _sizes(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {f"{n.name}.{w.name}": tuple(a.limit for a in w.axes) for n in graph.nodes for w in n.weights}


# architectures -----------------------------------------------------------------------------------------------------


def _relation(
    alignment: Alignment, sides: Sides, differ: bool, counts: tuple[Count, Count], costs: tuple[Any, Any]
) -> Relation:
    """By counting the architectures of the first that meet what the second demands too."""
    if all((c.exact, c.value) == (True, 1) for c in counts) and costs[0] != costs[1]:
        return Relation("disjoint", 0)
    if differ:
        return Relation("undecided", note="the networks differ in their nodes")
    open_ = [p for p in alignment.loose - alignment.fixed if not idle(alignment, sides, p)]
    if open_:
        return Relation("undecided", note=f"what became of `{min(open_)}` is not known")
    if not all(c.exact for c in counts):
        return Relation("undecided", note="the number of architectures is not exact")
    try:
        common = _common(alignment, sides)
    except Undecided:
        return Relation("undecided", note="too many choices to compare")
    if not common.exact:
        return Relation("undecided", note=common.note)
    return Relation(_kind(counts[0].value, counts[1].value, common.value), common.value)


def _kind(first: int, second: int, common: int) -> str:
    if not common:
        return "disjoint"
    if first == second == common:
        return "equal"
    return "subset" if second == common else "superset" if first == common else "overlap"


def _common(alignment: Alignment, sides: Sides) -> Count:
    """How many architectures of the first are architectures of the second. The graphs agree on every common choice."""
    first, second = sides
    carry = _Carry(alignment)
    found = Decisions(first.graph, lambda: first.costs)
    conditions = [_allowed(alignment, found, d) for d in first.graph.decisions]
    conditions += [carry(c.condition) for c in second.decisions.constraints]
    if any(c is False for c in conditions):
        return Count(0, True)
    nothing = Require(Constant(True, span=first.space.span), span=first.space.span)
    more = tuple(Constraint(c, nothing) for c in conditions if c is not True)
    found.constraints = (*found.constraints, *more)
    found.structural = tuple(c for c in found.constraints if not depends_on_cost(c.condition))
    found.priced = tuple(c for c in found.constraints if depends_on_cost(c.condition))
    return found.count()


def _allowed(alignment: Alignment, decisions: Decisions, decision: Decision) -> Value:
    """Where the decision is active, it takes a value that the second has too."""
    genes = {pair[0] for pair in alignment.choices[decision.path]}
    inside = tabulate((decision,), lambda row: row[0] in genes)
    return apply("or", apply("not", decisions.active[decision.index]), inside)


class _Carry:
    """Values of the second graph as values of the first; choices that the first alone has do not matter."""

    def __init__(self, alignment: Alignment) -> None:
        self.alignment = alignment
        self.done: dict[int, tuple[Value, Value]] = {}

    def __call__(self, value: Value) -> Value:
        if id(value) not in self.done:
            self.done[id(value)] = value, self._carry(value)
        return self.done[id(value)][1]

    def _carry(self, value: Value) -> Value:
        if isinstance(value, Apply):
            return apply(value.function, *map(self, value.args))
        return self._table(value) if isinstance(value, Table) else value

    def _table(self, table: Table) -> Value:
        first, second = self.alignment.decisions
        over = tuple(sorted((first[d.path] for d in table.deps if d.path in first), key=lambda d: d.index))
        places = {d.path: dict(self.alignment.choices[d.path]) for d in over}
        alone = {d.index: self.alignment.choices[d.path][0][1] for d in table.deps if d.path not in first}

        def value(row: tuple[int, ...]) -> Value:
            mine = {second[d.path].index: places[d.path].get(g, 0) for d, g in zip(over, row, strict=True)}
            genes: Any = {**alone, **mine}
            return table.at(genes)

        return tabulate(over, value)
