"""Validated forms back to compiler values. Operators and functions by registered name only; what does not fit together is refused."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import prod
from typing import Any

from ...dsl.diagnostic import Source, Span
from ..graph import Graph, Node, Outputs, Shared, Switch
from ..graph import Source as Input
from ..operator import Operator, signature
from ..ops import operators
from ..sym import FUNCTIONS, Apply, Decision, Table, is_sym
from . import forms
from .encode import AXES, DocumentError, Named

ARGUMENTS = dict.fromkeys(("+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!=", "ceil"), 2) | dict.fromkeys(
    ("not", "whole", "round", "log2"), 1
)
"""How many arguments functions take; the others take any number of them."""
INTERNAL = (Input, Switch, Shared, Outputs)
"""Operators that the compiler adds and `.arch` cannot name."""


class Decoder:
    """Builds what the forms of one document stand for."""

    def __init__(self, sources: Iterable[forms.SourceForm], decisions: Iterable[forms.DecisionForm] = ()) -> None:
        self.sources = [Source(s.name, s.text) for s in sources]
        self.decisions: list[Decision] = []
        self.shared: list[Any] = []
        self.operators: Mapping[str, type[Operator]] = {**operators(), **{k.name: k for k in INTERNAL}}
        for form in decisions:
            self.decisions.append(self._decision(form))

    def __call__(self, form: Any) -> Any:
        match form:
            case list() | tuple():
                return tuple(map(self, form))
            case dict():
                return {k: self(v) for k, v in form.items()}
            case forms.Exact():
                return Fraction(form.exact) if "/" in form.exact else int(form.exact)
            case forms.ValueAt():
                return self._shared(form.value, axis=False)
            case forms.AxisAt():
                return self._shared(form.axis, axis=True)
            case forms.DecisionAt():
                return self._at(self.decisions, form.root, "decision")
            case forms.Place():
                return self._span(*form.root)
            case forms.CellForm():
                return Named(form.cell)
            case forms.OperatorForm():
                return self._operator(form.operator, self(form.settings))
            case forms.TableForm():
                return self._table(self._many(form.decisions), self(form.values))
            case forms.ApplyForm():
                return self._apply(form.function, self(form.arguments))
            case forms.Form():
                return form.origin(**self.given(form, type(form).model_fields))
        return form

    def given(self, form: forms.Form, names: Iterable[str]) -> dict[str, Any]:
        """Those of the named fields that the document holds."""
        return {n: self(getattr(form, n)) for n in names if n in form.model_fields_set and n != "type"}

    def share(self, entries: Iterable[Any]) -> None:
        """The shared values and axes, in order: each refers to earlier ones only."""
        for entry in entries:
            self.shared.append(self(entry))

    def _at(self, items: list[Any], index: int, what: str) -> Any:
        if index >= len(items):
            raise DocumentError(f"{what} {index} is not there, or not yet")
        return items[index]

    def _shared(self, index: int, axis: bool) -> Any:
        found = self._at(self.shared, index, "shared value")
        if isinstance(found, AXES) != axis:
            raise DocumentError(f"shared value {index} is {'no' if axis else 'an'} axis")
        return found

    def _span(self, source: int, start: int, stop: int) -> Span:
        found = self._at(self.sources, source, "source")
        if not start <= stop <= len(found.text):
            raise DocumentError(f"a span from {start} to {stop} does not lie in `{found.name}`")
        return Span(found, start, stop)

    def _decision(self, form: forms.DecisionForm) -> Decision:
        if len(form.values) != len(form.labels) or len(set(form.labels)) != len(form.labels):
            raise DocumentError(f"decision `{form.path}` needs one label for each value")
        labels = tuple(form.labels)
        return Decision(form.path, len(self.decisions), self(form.values), labels, self(form.span))

    def _many(self, numbers: list[int]) -> tuple[Decision, ...]:
        if sorted(set(numbers)) != numbers:
            raise DocumentError("the decisions of a table stand in order, each once")
        return tuple(self._at(self.decisions, n, "decision") for n in numbers)

    def _table(self, decisions: tuple[Decision, ...], values: tuple[Any, ...]) -> Table:
        if len(values) != prod(map(len, decisions)):
            raise DocumentError("a table needs one value for each combination of its decisions")
        return Table(decisions, values)

    def _apply(self, function: str, arguments: tuple[Any, ...]) -> Apply:
        if function not in FUNCTIONS:
            raise DocumentError(f"no function `{function}`")
        if not arguments or len(arguments) != ARGUMENTS.get(function, len(arguments)):
            raise DocumentError(f"function `{function}` does not take {len(arguments)} arguments")
        return Apply(function, arguments)

    def _operator(self, name: str, settings: dict[str, Any]) -> Operator:
        if name not in self.operators:
            raise DocumentError(f"no operator `{name}`; a package that adds it may be missing")
        kind = self.operators[name]
        known = {f.name: f.kind for f in signature(kind)}
        if set(settings) != set(known):
            raise DocumentError(f"operator `{name}` has the settings {', '.join(known) or 'none'}")
        for setting, value in settings.items():
            if not _fits(known[setting], value):
                raise DocumentError(f"operator `{name}`: `{setting}` is {value!r}")
        return kind(**settings)


def _fits(kind: str, value: Any) -> bool:
    """Whether a setting can have this value: `whole`, `number`, `flag`, `text`, or a list of names."""
    if isinstance(value, tuple):
        return all(isinstance(v, str) for v in value)
    if is_sym(value):
        return kind != "text"
    if isinstance(value, bool) or kind == "flag":
        return isinstance(value, bool) and kind == "flag"
    return isinstance(value, {"whole": int, "number": int | Fraction | float, "text": str}[kind])


def verify(graph: Graph) -> Graph:
    """A graph whose nodes refer to earlier ones, as often as their operators want."""
    names = [n.name for n in graph.nodes]
    if not names or not isinstance(graph.nodes[0].op, Input):
        raise DocumentError("node 0 is not the input")
    if len(set(names)) != len(names) or len({d.path for d in graph.decisions}) != len(graph.decisions):
        raise DocumentError("two nodes or two decisions have one name")
    if graph.output >= len(names):
        raise DocumentError(f"node {graph.output}, the output, is not there")
    for i, node in enumerate(graph.nodes):
        _verify(i, node)
    return graph


def _verify(i: int, node: Node) -> None:
    if any(k is not None and not 0 <= k < i for k in node.inputs):
        raise DocumentError(f"node `{node.name}` reads a node that does not come before it")
    if node.op.inputs is not None and len(node.inputs) != node.op.inputs:
        raise DocumentError(f"node `{node.name}` needs {node.op.inputs} inputs")
    if node.op.inputs is None and not node.inputs:
        raise DocumentError(f"node `{node.name}` has no inputs")
