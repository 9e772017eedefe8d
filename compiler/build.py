"""Flows to nodes: what a cell, an operator, alternatives or a repetition makes of a flow. Shapes are inferred and checked."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any, cast

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic, Span
from ..dsl.syntax import Block, Fix, Prior, Vary, path_text
from .axis import Axis, Chosen
from .budget import affordable
from .conditions import EVERYWHERE, Where, both, either
from .evaluate import Evaluator
from .graph import Node, Switch
from .kinds import is_numeric
from .operator import Operator, optional, signature
from .scope import Counts, Decisions, Path, Scope, misspelt, numbered
from .shape import Shape
from .site import Suspicion, UseSite, used_here
from .sym import Apply, Table, Value, apply, deps, is_sym
from .values import UNABLE, Alternatives, Cell, Flow, Named, Operation, Pipeline, Repeat, is_callable, kind_of

MOST_NODES = 15_000
"""A space expands to at most this many nodes."""
MOST_TIMES = 1_000
"""A cell follows itself at most this often."""
JOIN = "one flow is needed here: join a list with `sum` or `concat`, or take one of it: `pair[0]`"
DEEPEST = 40
"""Cells nest at most this deep."""
SETTINGS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "whole": ("a whole number", (int, Fraction, Table, Apply)),
    "number": ("a number", (int, Fraction)),
    "flag": ("`true` or `false`", (bool,)),
    "text": ("a text", (str,)),
}
"""What a setting of an operator is, in words and in types."""


class Builder:
    """The nodes made so far; `where` is what holds where the next one is made, `lane` and `stage` where it belongs."""

    def __init__(self, operators: Mapping[str, type[Operator]]) -> None:
        self.decisions = Decisions()
        self.evaluator = Evaluator(self, self.decisions, operators)
        self.operators = operators
        self.nodes: list[Node] = []
        self.priors: list[tuple[Prior, Scope]] = []
        """Those of cells, once for each use."""
        self.names = Counts()
        self.cells_at = Counts()
        """How many cells of a name stand in a place; a choice at the end of one makes a node of the same name."""
        self.where = EVERYWHERE
        self.lane = ""
        self.stage = ""
        self.depth = 0
        self.within: list[tuple[Cell, Span]] = []
        self.texts: dict[int, tuple[dict[str, Fix | Vary], list[Prior]]] = {}
        """What the text of each cell says, by its `id`: read once."""
        self.later: list[Suspicion] | None = None
        self.passed: dict[Path, Callable[[], tuple[Flow | None, ...]]] = {}
        """What each route passed, by its place: made when it is asked for."""

    def site(self, span: Span, where: Where, operation: Operation | None = None, op: Operator | None = None) -> UseSite:
        """A place where facts are checked; with an operator, also the places of its settings."""
        if operation is None or op is None or not operation.places:
            return UseSite(span, where, later=self.later)
        return UseSite(span, where, operation.places, self.later, op)

    # flows

    def require_flow(self, value: Any, span: Span) -> Flow:
        if not isinstance(value, Flow):
            raise ArchError(
                errors.no_flow(span) if value is None else errors.wrong_kind(kind_of(value), "a flow", span, JOIN)
            )
        return value

    def flow(self, value: Any, x: Any, base: Path, use: Scope, span: Span) -> Any:
        """`x -> value`: what a cell, an operator, alternatives or a chain makes of a flow (None: `none`)."""
        if value is None or (x is None and not isinstance(value, Operation)):
            return None
        self.depth += 1
        try:
            if self.depth > DEEPEST:
                raise ArchError(self.too_deep(span))
            match value:
                case Operation():
                    return self.operation(value, x, base, use, span)
                case Cell():
                    return self.cell(value, x, base, use, span)
                case Alternatives():
                    return self.alternatives(value, x, base, use, span)
                case Named():
                    return self.flow(value.value, x, (*base, value.label), use, span)
                case Repeat():
                    return self.repeat(value, x, base, use, span)
                case Pipeline():
                    for link, place in value.links:
                        x = self.flow(link, x, base, use, place)
                    return x
        finally:
            self.depth -= 1
        raise ArchError(errors.wrong_kind(kind_of(value), "a cell or an operator", span))

    def too_deep(self, span: Span) -> Diagnostic:
        """Too many cells within each other: mostly a cell that contains itself."""
        blocks = [c.block for c, _ in self.within]
        for i, block in enumerate(blocks):
            if block in blocks[i + 1 :]:
                again = blocks.index(block, i + 1)
                chain = tuple(c.label for c, _ in self.within[i : again + 1])
                return errors.recursive_cell(chain[0], self.within[again][1], chain)
        return errors.too_deep(span, DEEPEST)

    def repeat(self, value: Repeat, x: Any, base: Path, use: Scope, span: Span) -> Any:
        def one(k: int, flow: Any) -> Any:
            label = getattr(value.body, "label", "repeat")
            out = self.flow(value.body, flow, (*base, label, k), use, span)
            return out if isinstance(out, tuple) else self.require_flow(out, span)

        return self.times(value.times, x, one, base, span, span)

    def times(self, times: Value, x: Any, one: Callable[[int, Any], Any], base: Path, entry: Span, span: Span) -> Any:
        """`one` applied again and again; a searched number of times picks among the results."""
        values = times.values if is_sym(times) and hasattr(times, "values") else (times,)
        if not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            raise ArchError(
                errors.wrong_kind("not whole" if is_numeric(times) else kind_of(times), "a whole number", entry)
            )
        wrong = next((v for v in values if not 0 <= v <= MOST_TIMES), None)
        if wrong is not None:
            raise ArchError(errors.out_of_range("times", str(wrong), f"from 0 to {MOST_TIMES:,}", entry))
        outer, flow, results = self.where, x, [x]
        try:
            for k in range(1, max(values) + 1):
                self.where = outer.within(apply(">=", times, k))
                flow = one(k, flow)
                results.append(flow)
        finally:
            self.where = outer
        if not is_sym(times):
            return flow
        first = min(values)
        return self.choose(apply("-", times, first), results[first:], (*base, "depth"), span)

    def alternatives(
        self, value: Alternatives, x: Any, base: Path, use: Scope, span: Span, none: Flow | None = None
    ) -> Any:
        """What each alternative makes of a flow; `none` is what a literal `none` stands for."""
        outer, results = self.where, []
        before, counted = self.cells_at, list[Counts]()
        try:
            for k, option in enumerate(value.options):
                self.where = outer.within(apply("==", value.select, k))
                self.cells_at = Counts(before)  # an alternative is numbered as if it stood alone
                counted.append(self.cells_at)
                reached = not self.where.nowhere and option is not UNABLE
                made = self.flow(option, x, base, use, span) if reached else None
                results.append(none if option is None else made)
        finally:
            self.where, self.cells_at = outer, before
        for path, count in (item for counts in counted for item in counts.items()):
            before[path] = max(before[path], count)
        able = next((r for r, o in zip(results, value.options, strict=True) if o is not UNABLE), None)
        results = [able if o is UNABLE else r for r, o in zip(results, value.options, strict=True)]
        return self.choose(value.select, results, (*base, "choice"), span, keep=UNABLE in value.options)

    def cell(self, cell: Cell, x: Any, base: Path, use: Scope, span: Span) -> Any:
        """The result of a cell's body for the flow (or the flows) `x`."""
        self.within.append((cell, span))
        try:
            return self.body(cell, x, base, use, span)
        except ArchError as fault:
            raise ArchError(*(used_here(d, cell, span) for d in fault.found)) from None
        finally:
            self.within.pop()

    def body(self, cell: Cell, x: Any, base: Path, use: Scope, span: Span) -> Any:
        path = numbered((*base, cell.label), self.cells_at)
        arguments = self.arguments(cell, use, span)
        entries, priors = self.said(cell.block)
        body = Scope("body", path, cell.module, entries={n: e for n, e in entries.items() if n not in arguments})
        body.values |= {**arguments, "x": x}
        result = "out" if "out" in entries else "cell"
        for name, entry in entries.items():
            if name in arguments:
                continue
            value = self.evaluator.find(name, body)[1]
            if is_callable(value) and name == result:
                value = self.flow(value, x, path, body, entry.span)
            body.values[name] = value
        self.priors += [(line, body) for line in priors]
        out = body.values[result]
        if isinstance(out, tuple) and len(out) == 1:
            out = out[0]
        return (
            Flow(out.node, out.shape, x.lane if isinstance(x, Flow) else self.lane, span)
            if isinstance(out, Flow)
            else out
        )

    def said(self, block: Block) -> tuple[dict[str, Fix | Vary], list[Prior]]:
        """The entries and the priors of a cell's text."""
        if id(block) not in self.texts:
            entries = {str(line.target): line for line in block.lines if isinstance(line, Fix | Vary)}
            self.texts[id(block)] = entries, [line for line in block.lines if isinstance(line, Prior)]
        return self.texts[id(block)]

    def arguments(self, cell: Cell, use: Scope, span: Span) -> dict[str, Any]:
        """Parameters: given, found outwards where the cell is used, or their default."""
        out = dict(cell.arguments)
        for p in cell.block.parameters or ():
            if p.name in out:
                continue
            if p.default is not None:
                out[p.name] = self.evaluator.value(p.default, Scope("body", use.path, cell.module, values=out), ())
                continue
            found, value = self.evaluator.find(p.name, use)
            if not found:
                raise ArchError(errors.missing_argument(p.name, cell.label, span, misspelt(p.name, use)))
            out[p.name] = value
        return out

    # nodes

    def operate(self, kind: str, flows: tuple[Any, ...], base: Path, use: Scope, span: Span) -> Any:
        """An operator written as `+` or `*`."""
        kept = tuple(f for f in flows if f is not None)
        wrong = next((f for f in kept if not isinstance(f, Flow)), None)
        if wrong is not None:
            raise ArchError(
                errors.not_an_operation("+" if kind == "sum" else "*", kind_of(flows[0]), kind_of(flows[1]), span)
            )
        if len(kept) < 2 and kind == "sum":
            return kept[0] if kept else None
        flows = (kept,) if kind == "sum" else kept
        return self.operation(Operation(self.operators[kind], {}, flows), None, base, use, span)

    def operation(self, operation: Operation, x: Any, base: Path, use: Scope, span: Span) -> Any:
        """One node. `none` flows through: a list leaves it out, any other operator gives `none`."""
        many = operation.kind.inputs is None
        given = self.given(operation, x, span)
        if given is None or (many and len(given) < 2):
            return given[0] if given else None
        op = made(operation.kind, self.operation_settings(operation, use, span))
        shapes = [f.shape for f in given]
        some = shapes[0].present if len(shapes) == 1 else (either if many else both)(*[s.present for s in shapes])
        where = self.where if many else self.where.within(some)
        shape = op.shape(self.site(span, where, operation, op), *shapes).where(some)
        return self.add(self.unique((*base, op.name)), op, tuple([f.node for f in given]), shape, span, given)

    def given(self, operation: Operation, x: Any, span: Span) -> tuple[Any, ...] | None:
        """The flows that an operator is given, of a list those that are there; None where it has no result."""
        wanted = operation.kind.inputs
        if wanted == 1 and isinstance(x, Flow) and not operation.flows:
            return (x,)
        given = (*((x,) if x is not None else ()), *operation.flows)
        given = tuple(f[0] if isinstance(f, tuple) and len(f) == 1 else f for f in given)
        if wanted is None:
            given = tuple(f for f in flatten(given) if f is not None)
            wrong = next((f for f in given if not isinstance(f, Flow)), None)
            if wrong is not None and len(given) > 1:
                raise ArchError(errors.wrong_kind(kind_of(wrong), "a flow", span))
        elif len(given) != wanted or any(not isinstance(f, Flow) for f in given):
            if any(f is None for f in given) or x is None:
                return None
            raise ArchError(self.ill_given(operation, given, span))
        return given

    @staticmethod
    def ill_given(operation: Operation, given: tuple[Any, ...], span: Span) -> Diagnostic:
        """Too many flows for an operator, or too few, or a list."""
        lists = [f for f in given if isinstance(f, tuple)]
        got = f"a list of {len(lists[0])}" if lists else f"{len(given)}"
        want = f"{operation.kind.inputs} flow{'s' if operation.kind.inputs != 1 else ''}"
        help = "join the list first: `concat -> ...`, `sum -> ...`, or take one of it: `x[0]`" if lists else ""
        return errors.wrong_form(operation.label, got, want, span, help)

    def operation_settings(self, operation: Operation, use: Scope, span: Span) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if not operation.settings and optional(operation.kind):
            return out
        for f in signature(operation.kind):
            if f.name in operation.settings:
                value = operation.settings[f.name]
            elif f.required:
                found, value = self.evaluator.find(f.name, use)
                if not found:
                    raise ArchError(errors.missing_argument(f.name, operation.label, span, misspelt(f.name, use)))
            else:
                continue
            out[f.name] = self.setting(operation.label, f.name, f.kind, value, operation.places.get(f.name, span))
        return out

    @staticmethod
    def setting(label: str, name: str, kind: str, value: Any, span: Span) -> Any:
        if kind != "whole" and deps(value):
            raise ArchError(errors.not_static(f"`{name}` of `{label}`", span, deps(value)[0].path))
        words, types = SETTINGS[kind]
        if type(value) not in types or not (kind != "whole" or is_numeric(value)):
            raise ArchError(errors.wrong_kind(f"{kind_of(value)} for `{name}` of `{label}`", words, span))
        return value

    def choose(self, select: Value, options: Sequence[Any], base: Path, span: Span, keep: bool = False) -> Any:
        """A switch between flows (None: `none`), or between lists of one length.

        No node where nothing is left to choose, unless `keep`: a decision that a constraint closes is still made.
        """
        lists = [o for o in options if isinstance(o, tuple)]
        if lists and all(o is None or (isinstance(o, tuple) and len(o) == len(lists[0])) for o in options):
            columns = zip(*(o if o is not None else (None,) * len(lists[0]) for o in options), strict=True)
            return tuple(self.choose(select, c, (*base, k), span, keep) for k, c in enumerate(columns, start=1))
        flows = [o for o in options if isinstance(o, Flow)]
        if not flows or not is_sym(select):
            return options[select] if not is_sym(select) else None
        wrong = next((o for o in options if o is not None and not isinstance(o, Flow)), None)
        if wrong is not None:
            raise ArchError(errors.wrong_kind(kind_of(wrong), "a flow", span))
        forms = {f.shape.form for f in flows}
        if len(forms) > 1:
            raise ArchError(errors.wrong_form("in", " and ".join(sorted(forms)), "alternatives of one form", span))
        shape = self.chosen_shape(select, options, flows)
        if len({f.node for f in flows}) == 1 and len(flows) == len(options) and not keep:
            return flows[0]
        inputs = tuple(o.node if isinstance(o, Flow) else None for o in options)
        return self.add(self.unique(base), Switch(select), inputs, shape, span, tuple(flows))

    @staticmethod
    def chosen_shape(select: Value, options: Sequence[Any], flows: list[Flow]) -> Shape:
        shapes = [o.shape if isinstance(o, Flow) else flows[0].shape for o in options]
        first = shapes[0]

        def pick(parts: list[Value]) -> Value:
            return parts[0] if all(p == parts[0] for p in parts) else apply("select", select, *parts)

        def joined(axes: list[Axis]) -> Axis:
            return axes[0] if all(a == axes[0] for a in axes) else Chosen(select, tuple(axes))

        channels = joined([s.channels for s in shapes])
        rows = joined([s.tokens for s in shapes]) if any(s.rows for s in shapes) else None
        extent = tuple(pick([s.extent[k] for s in shapes]) for k in range(len(first.extent)))
        present = pick([s.present if isinstance(o, Flow) else False for s, o in zip(shapes, options, strict=True)])
        stride, copies = pick([s.stride for s in shapes]), pick([s.copies for s in shapes])
        return Shape(first.form, channels, extent, stride, present, copies, rows)

    def unique(self, path: Path) -> Path:
        """`path`, numbered if it is taken."""
        return numbered(path, self.names)

    def add(
        self,
        path: Path,
        op: Operator,
        inputs: tuple[int | None, ...],
        shape: Shape,
        span: Span,
        given: Sequence[Flow] = (),
    ) -> Flow:
        if len(self.nodes) >= MOST_NODES:
            raise ArchError(errors.too_large("the space", f"more than {MOST_NODES:,} nodes", MOST_NODES, span))
        read = tuple([f.shape for f in given])
        weights = op.weights(read, shape)
        affordable(op, read, shape, weights, span)
        name = path_text(path)
        self.nodes.append(Node(name, op, inputs, shape, weights, self.lane, self.stage, span))
        return Flow(len(self.nodes) - 1, shape, given[0].lane if given else self.lane, span)


def made(kind: type[Operator], settings: dict[str, Any]) -> Operator:
    """An operator with these settings; one object where all are left at their defaults."""
    return kind(**settings) if settings else _plain(cast(Any, kind))


@cache
def _plain(kind: Any) -> Any:
    return kind()


def flatten(items: Iterable[Any]) -> Iterator[Any]:
    """Lists within lists, one after the other."""
    for item in items:
        if isinstance(item, tuple):
            yield from flatten(item)
        else:
            yield item
