"""A space of the typed model to the architecture graph: cells are expanded, shapes inferred and checked."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic, Label, Span
from ..dsl.model import Model, Space, Stage
from ..dsl.syntax import Fix, Target, Vary
from .axis import Axis, Chosen, fixed, largest
from .evaluate import WIDEST, Evaluator
from .graph import Constraint, Graph, Lane, Node, Source, Switch
from .operator import Operator, signature
from .scope import Decisions, Entry, Path, Scope, said
from .shape import Shape
from .sym import Value, apply, both, deps, either, implied, is_sym, is_truth
from .values import Alternatives, Cell, Flow, Operation, Pipeline, Place, Repeat, is_callable, kind_of

MOST_NODES = 200_000
"""A space expands to at most this many nodes."""
DEEPEST = 40
"""Cells nest at most this deep."""


class UseSite:
    """Where an operator is applied, under which condition."""

    def __init__(self, span: Span, condition: Value) -> None:
        self.span = span
        self.condition = condition

    def check(self, fact: Value, fault: Callable[[str], Exception]) -> None:
        """Raise unless `fact` holds wherever the condition does; the fault gets a counterexample as text."""
        against = implied(self.condition, fact)
        if against is not None:
            example = ", ".join(f"{d.path} = {d.labels[g]}" for d, g in against.items())
            raise fault(f" when {example}" if example else "")


def elaborate(
    model: Model, space: Space, operators: dict[str, type[Operator]], settings: Mapping[str, Any] | None = None
) -> tuple[Graph, tuple[Diagnostic, ...]]:
    """The graph of a space and the warnings met. Raises ArchError. `settings` replace parameters of the space."""
    return _Elaborator(model, space, operators, settings or {}).run()


class _Elaborator:
    def __init__(
        self, model: Model, space: Space, operators: dict[str, type[Operator]], settings: Mapping[str, Any]
    ) -> None:
        self.model = model
        self.space = space
        self.decisions = Decisions()
        self.evaluator = Evaluator(self, self.decisions, operators)
        self.operators = operators
        self.settings = settings
        self.nodes: list[Node] = []
        self.names: dict[Path, int] = {}
        self.condition: Value = True
        self.lane = ""
        self.stage = ""
        self.depth = 0
        self.within: list[tuple[Cell, Span]] = []
        self.root = Scope("space", (), model.module, entries=space.entries)
        self.branches: dict[str, Scope] = {}
        self.stages: dict[str, Scope] = {}

    # the space

    def run(self) -> tuple[Graph, tuple[Diagnostic, ...]]:
        found: list[Diagnostic] = []
        self.parameters()
        self.declare_branches()
        flows = {"": self.entry_flow()}
        for stage in self.space.stages:
            flows = self.run_stage(stage, flows)
        output = self.head(flows)
        constraints = tuple(self.constraint(r, found) for r in self.space.requires)
        searches = {
            run.name: tuple(self.constraint(r, found) for r in run.requires)
            for run in self.model.runs
            if (run.kind, run.space) == ("search", self.space.name)
        }
        found += self.decisions.unused()
        if found:
            raise ArchError(*found)
        lanes = tuple(self.lane_of(name) for name in self.branches)
        graph = Graph(
            self.space.name,
            tuple(self.nodes),
            output.node,
            tuple(self.decisions.made.values()),
            constraints,
            lanes,
            tuple(self.decisions.choices),
            searches,
        )
        return graph, (*self.decisions.warnings, *self.unread())

    def parameters(self) -> None:
        known = [p.name for p in self.space.parameters]
        for name in self.settings:
            if name not in known:
                raise ArchError(errors.unknown_argument(name, self.space.name, self.space.span, known))
        for p in self.space.parameters:
            if p.name in self.settings:
                self.root.values[p.name] = self.settings[p.name]
            elif p.default is None:
                raise ArchError(errors.missing_parameter(p.name, self.space.name, p.span))
            else:
                self.root.values[p.name] = self.evaluator.value(p.default, self.root, ())
        for entry in self.space.overrides:
            self.decisions.declare_override(entry.target.parts, entry, self.root)
        for stage in self.space.stages:
            for entry in stage.overrides:
                self.decisions.declare_override((stage.name, *entry.target.parts), entry, self.root)

    def declare_branches(self) -> None:
        for i, branch in enumerate(self.space.branches):
            place = self.evaluator.value(branch.place, self.root, ())
            if not isinstance(place, int | Fraction) or isinstance(place, bool) or place <= 0:
                raise ArchError(errors.wrong_kind(kind_of(place), "a place such as `1/4`", branch.place.span))
            scope = Scope("branch", (branch.name,), self.model.module, self.root, entries=branch.entries)
            scope.values |= {
                "stride": 1 / Fraction(place) if 1 / Fraction(place) % 1 else int(1 / Fraction(place)),
                "index": i,
            }
            self.branches[branch.name] = scope
            self.root.values[branch.name] = Place(scope, "branch", branch.name)

    def entry_flow(self) -> Flow:
        """The input image, through the stem."""
        entry = self.space.entries["input"]
        size = self.evaluator.lookup("input", self.root, entry.span)
        whole = (
            isinstance(size, tuple)
            and len(size) == 3
            and all(isinstance(n, int) and not isinstance(n, bool) for n in size)
        )
        if not whole or not all(1 <= n <= WIDEST for n in size):
            got = f"a list of {len(size)}" if isinstance(size, tuple) and len(size) != 3 else kind_of(size)
            raise ArchError(errors.wrong_kind(got, "a size `[channels, height, width]`", said(entry)))
        image = self.add(("input",), Source(), (), Shape("map", fixed(size[0]), size[1:], 1), entry.span)
        if "stem" not in self.space.entries:
            return image
        span = said(self.space.entries["stem"])
        stem = self.callable_entry("stem", self.root)
        self.stage = "stem"
        return self.require_flow(self.flow(stem, image, ("stem",), self.root, span), span)

    def callable_entry(self, name: str, scope: Scope) -> Any:
        entry = scope.entries.get(name) or self.space.entries[name]
        value = self.evaluator.lookup(name, scope, entry.span)
        if value is not None and not is_callable(value):
            raise ArchError(errors.wrong_kind(kind_of(value), "a cell", getattr(entry, "value", entry).span))
        return value

    # stages

    def run_stage(self, stage: Stage, flows: dict[str, Flow]) -> dict[str, Flow]:
        """One stage: each branch enters, runs through its cells, then all are fused."""
        self.stage = stage.name
        whole = Scope("stage", (stage.name,), self.model.module, self.root, entries=stage.entries)
        lanes = {n.text: self.lane_scope(stage, n.text) for n in stage.branches}
        whole.values |= {name: Place(scope, "branch", name) for name, scope in lanes.items()}
        self.root.values[stage.name] = Place(whole, "stage", stage.name)
        before = tuple(flows.values())
        entered = {n: self.enter(stage, n, scope, flows, before) for n, scope in lanes.items()}
        done = {n: self.cells(stage, n, scope, entered[n]) for n, scope in lanes.items()}
        fused = {n: self.fuse(stage, n, scope, done) for n, scope in lanes.items()}
        kept = {n: f for n, f in flows.items() if n and n not in fused}
        order = list(self.branches)
        return dict(sorted({**kept, **fused}.items(), key=lambda item: order.index(item[0])))

    def lane_scope(self, stage: Stage, branch: str) -> Scope:
        """Names in a branch of a stage: the lane, the stage, the branch, the space."""
        shared = Scope("stage", (stage.name,), self.model.module, self.branches[branch], entries=stage.entries)
        return Scope("lane", (stage.name, branch), self.model.module, shared)

    def enter(self, stage: Stage, name: str, scope: Scope, flows: dict[str, Flow], before: tuple[Flow, ...]) -> Flow:
        """How a branch of a stage gets its flow: its `enter`, its own flow, or one grown from the lowest resolution."""
        self.lane = name
        found, enter = self.evaluator.find("enter", scope)
        target = Place(scope, "branch", name)
        if found:
            span = said(stage.entries["enter"]) if "enter" in stage.entries else stage.span
            flow = self.flow(self.bound(enter, target), before, (stage.name, name, "enter"), scope, span)
        elif name in flows:
            return flows[name]
        else:
            source = max(before, key=lambda f: (self.static(f.shape.stride, stage.span), f.node))
            if source.lane == "" and source.shape.stride == scope.outer.outer.values["stride"]:  # type: ignore[union-attr]
                flow = source
            else:
                flow = self.grow(source, target, (stage.name, name, "enter"), scope, stage.span)
        return self.placed(self.require_flow(flow, stage.span), name, stage.span)

    def grow(self, source: Flow, target: Place, base: Path, scope: Scope, span: Span) -> Any:
        from ..dsl.modules import library

        fusion = library("fusion")
        return self.flow(Cell(fusion.cells["grow"], fusion, {"to": target}), source, base, scope, span)

    def static(self, value: Value, span: Span) -> Any:
        if is_sym(value):
            raise ArchError(errors.not_static("the stride of a flow that grows a branch", span, deps(value)[0].path))
        return value

    def placed(self, flow: Flow, name: str, span: Span) -> Flow:
        """A flow as that of its branch; its stride must be the declared one."""
        declared = self.branches[name].values["stride"]
        branch = next(b for b in self.space.branches if b.name == name)
        UseSite(span, both(self.condition, flow.shape.present)).check(
            apply("==", flow.shape.stride, declared),
            lambda example: ArchError(
                errors.stride_mismatch(name, f"1/{declared}", f"1/{flow.shape.stride}{example}", span, branch.span)
            ),
        )
        return Flow(flow.node, flow.shape, name, flow.span)

    def cells(self, stage: Stage, name: str, scope: Scope, flow: Flow) -> Flow:
        """The cells of a lane, `times` in a row."""
        self.lane = name
        slots = {p[2] for p in self.decisions.overrides if p[:2] == (stage.name, name) and p[3:] == ("cell",)}
        if not self.evaluator.declares("cell", scope) and not slots:
            return flow
        times = self.evaluator.find("times", scope)[1] if self.evaluator.declares("times", scope) else 1
        entry = self.entry_span(stage, "times")
        span = self.entry_span(stage, "cell")

        def one(k: int, x: Flow) -> Flow:
            slot = Scope("slot", (stage.name, name, k), self.model.module, scope)
            found, cell = self.evaluator.find("cell", slot)
            if not found:
                return x
            return self.require_flow(self.flow(cell, x, (stage.name, name, k), slot, span), span)

        done = self.times(times, flow, one, (stage.name, name), entry, span)
        return self.placed(done, name, span)

    def entry_span(self, stage: Stage, name: str) -> Span:
        for entries in (stage.entries, *(b.entries for b in self.space.branches), self.space.entries):
            if name in entries:
                return said(entries[name])
        return stage.span

    def fuse(self, stage: Stage, name: str, scope: Scope, flows: dict[str, Flow]) -> Flow:
        """The `fuse` of a stage: a cell over all its flows, once for each branch."""
        self.lane = name
        found, fuse = self.evaluator.find("fuse", scope)
        if not found or fuse is None:
            return flows[name]
        span = self.entry_span(stage, "fuse")
        target = Place(scope, "branch", name)
        out = self.flow(self.bound(fuse, target), tuple(flows.values()), (stage.name, name, "fuse"), scope, span)
        return self.placed(self.require_flow(out, span), name, span)

    def bound(self, value: Any, target: Place) -> Any:
        """A fusion cell with its target branch as `to`."""
        if isinstance(value, Cell):
            return Cell(value.block, value.module, {"to": target, **value.arguments})
        if isinstance(value, Alternatives):
            return Alternatives(value.select, tuple(self.bound(o, target) for o in value.options), value.labels)
        if isinstance(value, Pipeline):
            (first, span), *rest = value.links
            return Pipeline(((self.bound(first, target), span), *rest))
        return value

    def head(self, flows: dict[str, Flow]) -> Flow:
        self.lane, self.stage = "", "head"
        span = said(self.space.entries["head"])
        head = self.callable_entry("head", self.root)
        last = tuple(flows.values())
        x = last if self.space.stages else last[0]
        out = self.require_flow(self.flow(head, x, ("head",), self.root, span), span)
        UseSite(span, True).check(out.shape.present, lambda example: ArchError(errors.no_flow(span, example)))
        return out

    def lane_of(self, name: str) -> Lane:
        found, width = self.evaluator.find("width", self.branches[name])
        return Lane(name, self.branches[name].values["stride"], width if found else None)

    # constraints and warnings

    def constraint(self, line: Any, found: list[Diagnostic]) -> Constraint:
        try:
            value = self.evaluator.value(line.condition, self.root, ())
        except ArchError as fault:
            found += fault.found
            return Constraint(True, line)
        if not is_truth(value):
            found.append(errors.undecided_constraint(line.span))
        return Constraint(value, line)

    def unread(self) -> list[Diagnostic]:
        """`in` lines that nothing reads."""
        read = {c.span for c in self.decisions.choices}
        found = []
        places: list[tuple[str, Mapping[str, Entry]]] = [("", self.space.entries)]
        places += [(b.name, b.entries) for b in self.space.branches]
        places += [(s.name, s.entries) for s in self.space.stages]
        for owner, entry in ((owner, entry) for owner, entries in places for entry in entries.values()):
            if isinstance(entry, Vary) and entry.span not in read:
                found.append(errors.never_read(f"{owner}.{entry.target}".lstrip("."), entry.span))
        return found

    # flows

    def require_flow(self, value: Any, span: Span) -> Flow:
        if not isinstance(value, Flow):
            raise ArchError(
                errors.no_flow(span) if value is None else errors.wrong_kind(kind_of(value), "a flow", span)
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
                return errors.recursive(chain[0], self.within[again][1], chain)
        return errors.too_deep(span, DEEPEST)

    def repeat(self, value: Repeat, x: Any, base: Path, use: Scope, span: Span) -> Any:
        def one(k: int, flow: Flow) -> Flow:
            label = getattr(value.body, "label", "repeat")
            return self.require_flow(self.flow(value.body, flow, (*base, label, k), use, span), span)

        return self.times(value.times, x, one, base, span, span)

    def times(self, times: Value, x: Any, one: Callable[[int, Flow], Flow], base: Path, entry: Span, span: Span) -> Any:
        """`one` applied again and again; a searched number of times picks among the results."""
        values = times.values if is_sym(times) and hasattr(times, "values") else (times,)
        if not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            raise ArchError(
                errors.wrong_kind(kind_of(times) if not is_sym(times) else "not whole", "a whole number", entry)
            )
        if min(values) < 0 or max(values) > WIDEST:
            raise ArchError(errors.out_of_range("times", str(max(values)), f"from 0 to {WIDEST}", entry))
        outer, flow, results = self.condition, x, [x]
        try:
            for k in range(1, max(values) + 1):
                self.condition = both(outer, apply(">=", times, k))
                flow = one(k, flow)
                results.append(flow)
        finally:
            self.condition = outer
        if not is_sym(times):
            return flow
        first = min(values)
        return self.choose(apply("-", times, first), results[first:], (*base, "depth"), span)

    def alternatives(self, value: Alternatives, x: Any, base: Path, use: Scope, span: Span) -> Any:
        outer, results = self.condition, []
        try:
            for k, option in enumerate(value.options):
                self.condition = both(outer, apply("==", value.select, k))
                results.append(self.flow(option, x, base, use, span) if self.condition is not False else None)
        finally:
            self.condition = outer
        return self.choose(value.select, results, (*base, "choice"), span)

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
        path = self.unique((*base, cell.label))
        arguments = self.arguments(cell, use, span)
        entries = {str(line.target): line for line in cell.block.lines if isinstance(line, Fix | Vary)}
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
        out = body.values[result]
        if isinstance(out, tuple) and len(out) == 1:
            out = out[0]
        return (
            Flow(out.node, out.shape, x.lane if isinstance(x, Flow) else self.lane, span)
            if isinstance(out, Flow)
            else out
        )

    def arguments(self, cell: Cell, use: Scope, span: Span) -> dict[str, Any]:
        """Parameters: given, found outwards where the cell is used, or their default."""
        out = dict(cell.arguments)
        defaults = Scope("body", use.path, cell.module, values=out)
        for p in cell.block.parameters or ():
            if p.name in out:
                continue
            if p.default is not None:
                out[p.name] = self.evaluator.value(p.default, defaults, ())
                continue
            found, value = self.evaluator.find(p.name, use)
            if not found:
                raise ArchError(errors.missing_argument(p.name, cell.label, span))
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
        kind = operation.kind
        many = kind.inputs is None
        given = (*((x,) if x is not None else ()), *operation.flows)
        given = tuple(f[0] if isinstance(f, tuple) and len(f) == 1 else f for f in given)
        if many:
            given = tuple(f for f in flatten(given) if f is not None)
            if len(given) < 2:
                return given[0] if given else None
        elif len(given) != kind.inputs or any(not isinstance(f, Flow) for f in given):
            if any(f is None for f in given) or x is None:
                return None
            lists = [f for f in given if isinstance(f, tuple)]
            got = f"a list of {len(lists[0])}" if lists else f"{len(given)}"
            help = "join the list first: `concat -> ...`, `sum -> ...`, or take one of it: `x[0]`" if lists else ""
            raise ArchError(
                errors.wrong_form(kind.name, got, f"{kind.inputs} flow{'s' if kind.inputs != 1 else ''}", span, help)
            )
        wrong = next((f for f in given if not isinstance(f, Flow)), None)
        if wrong is not None:
            raise ArchError(errors.wrong_kind(kind_of(wrong), "a flow", span))
        op = kind(**self.operation_settings(operation, use, span))
        present = [f.shape.present for f in given]
        shapes = tuple(f.shape for f in given)
        some = apply_or(present) if many else both(*present)
        site = UseSite(span, both(self.condition, some) if not many else self.condition)
        shape = op.shape(site, *shapes).where(some)
        return self.add(self.unique((*base, op.name)), op, tuple(f.node for f in given), shape, span, given)

    def operation_settings(self, operation: Operation, use: Scope, span: Span) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for f in signature(operation.kind):
            if f.name in operation.settings:
                value = operation.settings[f.name]
            elif f.required:
                found, value = self.evaluator.find(f.name, use)
                if not found:
                    raise ArchError(errors.missing_argument(f.name, operation.label, span))
            else:
                value = f.default
            out[f.name] = self.setting(operation.label, f.name, f.kind, value, operation.places.get(f.name, span))
        return out

    @staticmethod
    def setting(label: str, name: str, kind: str, value: Any, span: Span) -> Any:
        if kind != "whole" and deps(value):
            raise ArchError(errors.not_static(f"`{name}` of `{label}`", span, deps(value)[0].path))
        good = {
            "whole": is_sym(value) or (isinstance(value, int | Fraction) and not isinstance(value, bool)),
            "number": isinstance(value, int | Fraction) and not isinstance(value, bool),
            "flag": isinstance(value, bool),
            "text": isinstance(value, str),
        }[kind]
        if not good:
            words = {"whole": "a whole number", "number": "a number", "flag": "`true` or `false`", "text": "a text"}[
                kind
            ]
            raise ArchError(errors.wrong_kind(f"{kind_of(value)} for `{name}` of `{label}`", words, span))
        return value

    def choose(self, select: Value, options: Sequence[Any], base: Path, span: Span) -> Any:
        """A switch between flows (None: `none`); no node where nothing is left to choose."""
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
        if len({f.node for f in flows}) == 1 and len(flows) == len(options):
            return flows[0]
        inputs = tuple(o.node if isinstance(o, Flow) else None for o in options)
        return self.add(self.unique(base), Switch(select), inputs, shape, span, tuple(flows))

    @staticmethod
    def chosen_shape(select: Value, options: Sequence[Any], flows: list[Flow]) -> Shape:
        shapes = [o.shape if isinstance(o, Flow) else flows[0].shape for o in options]
        first = shapes[0]

        def pick(parts: list[Value]) -> Value:
            return parts[0] if all(p == parts[0] for p in parts) else apply("select", select, *parts)

        axes: list[Axis] = [s.channels for s in shapes]
        channels = axes[0] if all(a == axes[0] for a in axes) else Chosen(select, tuple(axes))
        extent = tuple(pick([s.extent[k] for s in shapes]) for k in range(len(first.extent)))
        present = pick([s.present if isinstance(o, Flow) else False for s, o in zip(shapes, options, strict=True)])
        return Shape(first.form, channels, extent, pick([s.stride for s in shapes]), present)

    def unique(self, path: Path) -> Path:
        """`path`, numbered if it is taken."""
        count = self.names.get(path, 0) + 1
        self.names[path] = count
        if count == 1 or not path:
            return path
        last = path[-1]
        return (*path, count) if isinstance(last, int) else (*path[:-1], f"{last}{count}")

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
        for extent in (shape.width, *shape.extent):
            if largest(extent) > 1 << 40:
                raise ArchError(errors.too_large("a tensor", str(largest(extent)), 1 << 40, span))
        weights = op.weights(tuple(f.shape for f in given), shape)
        name = str(Target(path, span=span))
        self.nodes.append(Node(name, op, inputs, shape, weights, self.lane, self.stage, span))
        return Flow(len(self.nodes) - 1, shape, given[0].lane if given else self.lane, span)


def used_here(fault: Diagnostic, cell: Cell, span: Span) -> Diagnostic:
    """A fault inside a cell of another file also shows where the cell is used."""
    seen = {label.span.source for label in (fault.here, *fault.there)}
    if span.source in seen or fault.here.span.source is not cell.module.source:
        return fault
    return replace(fault, there=(*fault.there, Label(span, f"`{cell.label}` is used here")))


def flatten(items: Iterable[Any]) -> Iterator[Any]:
    """Lists within lists, one after the other."""
    for item in items:
        if isinstance(item, tuple):
            yield from flatten(item)
        else:
            yield item


def apply_or(present: list[Value]) -> Value:
    """Whether any of several flows is there."""
    return True if any(p is True for p in present) else either(*present)
