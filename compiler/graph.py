"""The architecture graph: what elaboration makes, what passes rewrite, what every lowering reads.

`Graph` holds frozen nodes in topological order; `as_networkx` is its public form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from ..dsl.diagnostic import Span
from ..dsl.syntax import Expr, Require
from .operator import Ask, Call, In, Operator, Site, Step, Weight
from .record import record
from .shape import Shape
from .sym import Decision, Value, deps, merge

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, slots=True)
class Source(Operator):
    """The network's input."""

    name: ClassVar[str] = "input"
    inputs: ClassVar[int | None] = 0

    def shape(self, site: Site, *x: Shape) -> Shape:
        raise NotImplementedError

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Switch(Operator):
    """The input that `select` names; None among the inputs is `none`."""

    name: ClassVar[str] = "switch"
    inputs: ClassVar[int | None] = None

    select: Value

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Shared(Switch):
    """The second input where a route does the same as an earlier one, else the first. The result is the same either way."""

    name: ClassVar[str] = "shared"


@dataclass(frozen=True, slots=True)
class Outputs(Operator):
    """Several results under their names, as a dictionary: input k under `names[k]`, in a list where a name occurs again."""

    name: ClassVar[str] = "outputs"
    inputs: ClassVar[int | None] = None

    names: tuple[str, ...]

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        found: dict[str, list[Any]] = {}
        for k, name in enumerate(self.names):
            found.setdefault(name, []).append(In(k))
        pairs = [[name, several if len(several) > 1 else several[0]] for name, several in found.items()]
        return (Call("builtins.dict", (pairs,)),)


@record(frozen=True, slots=True)
class Node:
    """One operator applied to the nodes numbered in `inputs` (None: `none`). `lane` is the branch it belongs to."""

    name: str
    op: Operator
    inputs: tuple[int | None, ...]
    shape: Shape
    weights: tuple[Weight, ...]
    lane: str
    stage: str
    span: Span = field(repr=False, compare=False)

    @property
    def deps(self) -> tuple[Decision, ...]:
        """The decisions that change what this node computes, apart from which inputs reach it."""
        return merge(
            (
                self.op.deps(),
                self.shape.deps,
                *(axis.deps for w in self.weights for axis in w.axes),
                deps(self.shape.present),
            )
        )


@dataclass(frozen=True, slots=True)
class Constraint:
    """`condition` is a value over decisions and costs: a `require`, or (not `declared`) what follows from the space.

    `given`: it says what the parameters of the space may be, and holds.
    """

    condition: Value
    syntax: Require
    declared: bool = True
    given: bool = False


@dataclass(frozen=True, slots=True)
class Prior:
    """A `prior`: how likely each value of `quantity` is when architectures are drawn; values that are not listed are not."""

    quantity: Value
    weights: tuple[tuple[Any, Fraction], ...]
    syntax: Any


@dataclass(frozen=True, slots=True)
class Split:
    """The `split` of a search: one part of it for each value of `quantity`, which is the number of a label if it has some."""

    quantity: Value
    labels: tuple[str, ...]
    syntax: Expr


@dataclass(frozen=True, slots=True)
class Lane:
    """A branch as the picture shows it."""

    name: str
    stride: Value
    width: Value


@dataclass(frozen=True, slots=True)
class Graph:
    """A space, elaborated: nodes in an order in which each comes after its inputs."""

    name: str
    nodes: tuple[Node, ...]
    output: int
    decisions: tuple[Decision, ...]
    constraints: tuple[Constraint, ...]
    lanes: tuple[Lane, ...]
    sites: tuple["Choice", ...]
    searches: Mapping[str, tuple[Constraint, ...]] = field(default_factory=dict, compare=False)
    """What each search of the space requires beyond `constraints`."""
    priors: tuple[Prior, ...] = ()
    splits: Mapping[str, Split] = field(default_factory=dict, compare=False)
    """What splits each search that is split."""

    @property
    def input(self) -> Shape:
        return self.nodes[0].shape

    def as_networkx(self) -> "networkx.MultiDiGraph[Any]":
        """Nodes keyed by name with one `payload`; edges carry the input's `position`."""
        import networkx

        view: networkx.MultiDiGraph[Any] = networkx.MultiDiGraph(name=self.name)
        view.add_nodes_from((n.name, {"payload": n}) for n in self.nodes)
        view.add_edges_from(
            (self.nodes[i].name, n.name, k, {"position": k})
            for n in self.nodes
            for k, i in enumerate(n.inputs)
            if i is not None
        )
        return view

    def __str__(self) -> str:
        """The printed form: decisions, then one node a line."""
        rows = [f"space {self.name}"]
        rows += [f"decision {d.path} in {{{', '.join(d.labels)}}}" for d in self.decisions]
        rows += [self._row(n) for n in self.nodes]
        return "\n".join([*rows, f"return {self.nodes[self.output].name}", ""])

    def _row(self, n: Node) -> str:
        inputs = ", ".join("none" if i is None else self.nodes[i].name for i in n.inputs)
        settings = ", ".join(f"{k} = {show(v)}" for k, v in n.op.settings().items())
        weights = " ".join(f"{w.name}[{', '.join(str(a.limit) for a in w.axes)}]" for w in n.weights)
        return f"{n.name} = {n.op.name}({settings})({inputs}) : {n.shape}{'  ' + weights if weights else ''}"


def unshared(graph: Graph) -> Graph:
    """The same graph with cells of its own for every route: what is shared changes no decision's meaning."""
    if not any(isinstance(n.op, Shared) for n in graph.nodes):
        return graph
    nodes = tuple(replace(n, op=Switch(0)) if isinstance(n.op, Shared) else n for n in graph.nodes)
    return replace(graph, nodes=nodes)


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a decision comes from: the `in` at `span`, evaluated for the place `owner`, made `decision`."""

    decision: Decision
    owner: tuple[str | int, ...]
    name: str
    span: Span = field(repr=False)


def show(value: Value) -> str:
    """A value for the printed form: `24`, or `{decision: 24, 32, 48}`."""
    from .sym import Apply, Table

    if isinstance(value, Table):
        inside = ", ".join(map(show, value.values[:12])) + (", ..." if len(value.values) > 12 else "")
        return f"{{{' x '.join(d.path for d in value.deps)}: {inside}}}"
    if isinstance(value, Apply):
        return f"{value.function}({', '.join(a.function + '(...)' if isinstance(a, Apply) else show(a) for a in value.args)})"
    return str(value).lower() if isinstance(value, bool) else str(value)
