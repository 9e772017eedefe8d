"""A space of the typed model to the architecture graph: branches, stages, head, constraints. `build` makes the nodes."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic, Span
from ..dsl.model import Model, Space, Stage
from ..dsl.syntax import Vary
from .axis import fixed
from .build import Builder, UseSite
from .functions import WIDEST
from .graph import Constraint, Graph, Lane, Source
from .operator import Operator
from .scope import Entry, Path, Scope, said
from .shape import Shape
from .sym import Value, apply, both, deps, is_sym, is_truth
from .values import Alternatives, Cell, Flow, Pipeline, Place, is_callable, kind_of


def elaborate(
    model: Model, space: Space, operators: dict[str, type[Operator]], settings: Mapping[str, Any] | None = None
) -> tuple[Graph, tuple[Diagnostic, ...]]:
    """The graph of a space and the warnings met. Raises ArchError. `settings` replace parameters of the space."""
    return _Elaborator(model, space, operators, settings or {}).run()


class _Elaborator(Builder):
    def __init__(
        self, model: Model, space: Space, operators: dict[str, type[Operator]], settings: Mapping[str, Any]
    ) -> None:
        super().__init__(operators)
        self.model = model
        self.space = space
        self.settings = settings
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
