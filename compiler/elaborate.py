"""A space of the typed model to the architecture graph: branches, stages, head, constraints. `build` makes the nodes."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import MOST, ArchError, Diagnostic, Span
from ..dsl.model import TIMES, Model, Run, Space, Stage
from ..dsl.syntax import Binary, Expr, Name, Require
from .axis import fixed
from .build import MOST_TIMES, Builder, flatten
from .conditions import EVERYWHERE, implied
from .functions import WIDEST
from .graph import Constraint, Graph, Lane, Outputs, Source
from .judge import is_open, judge, read_prior, read_split
from .kinds import is_number
from .names import inside
from .operator import Operator
from .routes import run_routes
from .scope import Path, Scope, said
from .shape import Shape, text
from .site import counterexample
from .sym import Value, aggregate, apply, deps, is_sym, is_truth, reads
from .unused import unread
from .values import Alternatives, Cell, Flow, Named, Pipeline, Place, is_callable, kind_of


def elaborate(
    model: Model, space: Space, operators: Mapping[str, type[Operator]], settings: Mapping[str, Any] | None = None
) -> tuple[Graph, tuple[Diagnostic, ...]]:
    """The graph of a space and the warnings met. Raises ArchError. `settings` replace parameters of the space."""
    made = Elaborator(model, space, operators, settings or {})
    try:
        return made.run()
    except ArchError as fault:
        raise made.cause(fault) from None


class Elaborator(Builder):
    def __init__(
        self, model: Model, space: Space, operators: Mapping[str, type[Operator]], settings: Mapping[str, Any]
    ) -> None:
        super().__init__(operators)
        self.model = model
        self.space = space
        self.settings = settings
        self.root = Scope("space", (), model.module, entries=space.entries)
        self.branches: dict[str, Scope] = {}
        self.demands: list[Constraint] = []

    def cause(self, fault: ArchError) -> ArchError:
        """A fault of shapes, or the first doubt about shapes that came before it: mostly where it comes from."""
        shapes = all(d.code in ("E306", "E307", "E308", "E311") for d in fault.found)
        first = next((s for s in self.later or [] if shapes and implied(s.condition, s.fact) is not None), None)
        if first is None:
            return fault
        doubt = first.fault(counterexample(implied(first.condition, first.fact) or {}))
        return doubt if isinstance(doubt, ArchError) else fault

    # the space

    def run(self) -> tuple[Graph, tuple[Diagnostic, ...]]:
        found: list[Diagnostic] = []
        routed = any(s.kind == "routes" for s in self.space.stages)
        self.later = [] if self.space.requires or routed else None
        self.parameters()
        self.declare_branches()
        flows = {"": self.entry_flow()}
        for stage in self.space.stages:
            flows = self.run_stage(stage, flows)
        output = self.head(flows)
        constraints = (*(self.constraint(r, found) for r in self.space.requires), *self.demands)
        searches = {
            run.name: self.limits(run, found)
            for run in self.model.runs
            if (run.kind, run.space) == ("search", self.space.name)
        }
        splits = {
            run.name: read_split(self.evaluator, run.split, self.root, found)
            for run in self.model.runs
            if run.space == self.space.name and run.split is not None
        }
        inner = (p for p in self.priors if is_open(self.evaluator, *p))
        lines = (*((p, self.root) for p in self.space.priors), *inner)
        priors = tuple(read_prior(self.evaluator, p, scope, found) for p, scope in lines)
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
            priors,
            splits,
        )
        found += judge(graph, self.later or [])
        self.later = None
        if found:
            raise ArchError(*found)
        return graph, (*self.decisions.warnings, *unread(self.space, self.decisions.choices))

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
            place = self.static(
                self.evaluator.value(branch.place, self.root, ()), "the place of a branch", branch.place.span
            )
            if not is_number(place):
                raise ArchError(errors.bad_place(kind_of(place), branch.place.span, "1/4"))
            if not 0 < place <= 1:
                example = f"1/{place}" if isinstance(place, int) and place > 1 else "1/4"
                raise ArchError(errors.bad_place(str(place), branch.place.span, example))
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
        for n in size if isinstance(size, tuple) else ():
            self.static(n, "the size of the input", said(entry))
        whole = (
            isinstance(size, tuple)
            and len(size) == 3
            and all(isinstance(n, int) and not isinstance(n, bool) for n in size)
        )
        if not whole or not all(1 <= n <= WIDEST for n in size):
            got = f"a list of {len(size)}" if isinstance(size, tuple) and len(size) != 3 else kind_of(size)
            raise ArchError(errors.bad_input(got, said(entry)))
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
        """One stage; the flows of other branches pass by."""
        self.stage = stage.name
        done = run_routes(self, stage, flows) if stage.kind == "routes" else self.run_cells(stage, flows)
        mine = {n.text for n in stage.branches}
        kept = {n: f for n, f in flows.items() if n and n not in mine}
        order = list(self.branches)
        return dict(sorted({**kept, **done}.items(), key=lambda item: order.index(item[0])))

    def lanes(self, stage: Stage) -> dict[str, Scope]:
        """The branches of a stage, in its order; the stage can be named from here on."""
        whole = Scope("stage", (stage.name,), self.model.module, self.root, entries=stage.entries)
        lanes = {n.text: self.lane_scope(stage, n.text) for n in stage.branches}
        whole.values |= {name: self.place(scope) for name, scope in lanes.items()}
        self.root.values[stage.name] = Place(whole, "stage", stage.name)
        return lanes

    @staticmethod
    def place(lane: Scope) -> Place:
        """A branch within a stage as an expression names it."""
        return Place(lane, "branch", str(lane.path[-1]))

    def run_cells(self, stage: Stage, flows: dict[str, Flow]) -> dict[str, Flow]:
        """Each branch enters; then, as often as `rounds` says, each runs through its cells and all are fused."""
        lanes = self.lanes(stage)
        before = tuple(flows.values())
        done = {n: self.enter(stage, n, scope, flows, before) for n, scope in lanes.items()}
        rounds = self.rounds(stage)
        for k in range(1, rounds + 1):
            done = {n: self.cells(stage, n, scope, done[n]) for n, scope in lanes.items()}
            at: Path = ("fuse", k) if rounds > 1 else ("fuse",)
            done = {n: self.fuse(stage, n, scope, done, at) for n, scope in lanes.items()}
        return done

    def rounds(self, stage: Stage) -> int:
        """How often a stage does what it does."""
        found, value = self.evaluator.find("rounds", self.root.values[stage.name].scope)
        if not found:
            return 1
        span = self.entry_span(stage, "rounds")
        self.static(value, "`rounds`", span)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ArchError(errors.wrong_kind(kind_of(value), "a fixed whole number", span))
        if not 1 <= value <= MOST_TIMES:
            raise ArchError(errors.out_of_range("rounds", str(value), f"from 1 to {MOST_TIMES:,}", span))
        return value

    def own(self, stage: Stage, name: str, scope: Scope, entry: str) -> tuple[bool, Any]:
        """An entry as a branch of a stage reads it: of a list, the branch's own item."""
        found, value = self.evaluator.find(entry, scope)
        if not isinstance(value, tuple):
            return found, value
        if len(value) != len(stage.branches):
            raise ArchError(errors.wrong_length(entry, len(value), len(stage.branches), self.entry_span(stage, entry)))
        return found, value[[n.text for n in stage.branches].index(name)]

    def lane_scope(self, stage: Stage, branch: str) -> Scope:
        """Names in a branch of a stage: the lane, the stage, the branch, the space."""
        shared = Scope("stage", (stage.name,), self.model.module, self.branches[branch], entries=stage.entries)
        return Scope("lane", (stage.name, branch), self.model.module, shared)

    def enter(self, stage: Stage, name: str, scope: Scope, flows: dict[str, Flow], before: tuple[Flow, ...]) -> Flow:
        """How a branch of a stage gets its flow: its `enter`, its own flow, or one grown from the lowest resolution."""
        self.lane = name
        found, enter = self.own(stage, name, scope, "enter")
        target = self.place(scope)
        if found:
            span = self.entry_span(stage, "enter")
            flow = self.flow(self.bound(enter, target), before, (stage.name, name, "enter"), scope, span)
        elif name in flows:
            return flows[name]
        else:
            grown = "the stride of a flow that grows a branch"
            source = max(before, key=lambda f: (self.static(f.shape.stride, grown, stage.span), f.node))
            if source.lane == "" and source.shape.stride == scope.outer.outer.values["stride"]:  # type: ignore[union-attr]
                flow = source
            else:
                flow = self.grow(source, target, (stage.name, name, "enter"), scope, stage.span)
        return self.placed(self.require_flow(flow, stage.span), name, stage.span)

    def grow(self, source: Flow, target: Place, base: Path, scope: Scope, span: Span) -> Any:
        from ..dsl.modules import library

        fusion = library("fusion")
        return self.flow(Cell(fusion.cells["grow"], fusion, {"to": target}), source, base, scope, span)

    @staticmethod
    def static(value: Value, what: str, span: Span) -> Any:
        """A value that no decision changes."""
        if is_sym(value):
            raise ArchError(errors.not_static(what, span, deps(value)[0].path))
        return value

    def placed(self, flow: Flow, name: str, span: Span) -> Flow:
        """A flow as that of its branch; its stride must be the declared one."""
        declared = self.branches[name].values["stride"]
        branch = next(b for b in self.space.branches if b.name == name)
        self.site(span, self.where.within(flow.shape.present)).check(
            apply("==", flow.shape.stride, declared),
            lambda example: ArchError(
                errors.stride_mismatch(
                    name, f"1/{declared}", f"1/{text(flow.shape.stride)}{example}", span, branch.span
                )
            ),
        )
        return Flow(flow.node, flow.shape, name, flow.span)

    def cells(self, stage: Stage, name: str, scope: Scope, flow: Flow) -> Flow:
        """The cells of a lane, `times` in a row; they are counted on from round to round."""
        self.lane = name
        slots = {p[2] for p in self.decisions.overrides if p[:2] == (stage.name, name) and p[3:] == ("cell",)}
        if not self.evaluator.declares("cell", scope) and not slots:
            return flow
        times = self.own(stage, name, scope, "times")[1] if self.evaluator.declares("times", scope) else 1
        entry = self.entry_span(stage, "times")
        span, before = self.entry_span(stage, "cell"), scope.size

        def one(k: int, x: Flow) -> Flow:
            k += before
            slot = Scope("slot", (stage.name, name, k), self.model.module, scope)
            found, cell = self.own(stage, name, slot, "cell")
            if not found:
                return x
            scope.size = k
            return self.require_flow(self.flow(cell, x, (stage.name, name, k), slot, span), span)

        done = self.times(times, flow, one, (stage.name, name), entry, span)
        return self.placed(done, name, span)

    def entry_span(self, stage: Stage, name: str) -> Span:
        for entries in (stage.entries, *(b.entries for b in self.space.branches), self.space.entries):
            if name in entries:
                return said(entries[name])
        return stage.span

    def fuse(self, stage: Stage, name: str, scope: Scope, flows: dict[str, Flow], at: Path) -> Flow:
        """The `fuse` of a stage: a cell over all its flows, once for each branch."""
        self.lane = name
        found, fuse = self.own(stage, name, scope, "fuse")
        if not found or fuse is None:
            return flows[name]
        span = self.entry_span(stage, "fuse")
        out = self.fused(fuse, scope, tuple(flows.values()), flows[name], at, span)
        return self.placed(self.require_flow(out, span), name, span)

    def fused(self, fuse: Any, lane: Scope, x: tuple[Any, ...], own: Flow, at: Path, span: Span) -> Any:
        """What a `fuse` makes of a list of flows; with `none`, the branch keeps its own."""
        flow, base = self.bound(fuse, self.place(lane)), (*lane.path, *at)
        if isinstance(flow, Alternatives):
            return self.alternatives(flow, x, base, lane, span, own)
        return self.flow(flow, x, base, lane, span)

    def bound(self, value: Any, target: Place) -> Any:
        """A fusion cell with its target branch as `to`."""
        if isinstance(value, Cell):
            return Cell(value.block, value.module, {"to": target, **value.arguments})
        if isinstance(value, Alternatives):
            return Alternatives(value.select, tuple(self.bound(o, target) for o in value.options), value.labels)
        if isinstance(value, Named):
            return Named(value.label, self.bound(value.value, target))
        if isinstance(value, Pipeline):
            (first, span), *rest = value.links
            return Pipeline(((self.bound(first, target), span), *rest))
        return value

    def head(self, flows: dict[str, Flow]) -> Flow:
        """The output, or several under their names."""
        self.lane, self.stage = "", "head"
        last = tuple(flows.values())
        x = last if self.space.stages else last[0]
        if not self.space.heads:
            span = said(self.space.entries["head"])
            return self.result(self.flow(self.callable_entry("head", self.root), x, ("head",), self.root, span), span)
        scope = Scope("stage", ("heads",), self.model.module, self.root, entries=self.space.heads)
        outs = {n: self.results(n, scope, x, said(entry)) for n, entry in self.space.heads.items()}
        listed = [flow for flows in outs.values() for flow in flows]
        if not listed:
            raise ArchError(errors.no_flow(said(next(iter(self.space.heads.values())))))
        op = Outputs(tuple(n for n, flows in outs.items() for _ in flows))
        shape = Shape("outputs", fixed(0), ())
        return self.add(("heads",), op, tuple(o.node for o in listed), shape, self.space.span, listed)

    def results(self, name: str, scope: Scope, x: Any, span: Span) -> list[Flow]:
        """The flows of one of several heads: one, those of a list, or no one where the head is `none`."""
        head = self.callable_entry(name, scope)
        if head is None:
            return []
        out = self.flow(head, x, ("heads", name), scope, span)
        several = tuple(flatten(out)) if isinstance(out, tuple) else (out,)
        return [self.result(flow, span) for flow in several or (None,)]

    def result(self, value: Any, span: Span) -> Flow:
        """A flow as an output: there in every architecture, and not cut into windows."""
        out = self.require_flow(value, span)
        self.site(span, EVERYWHERE).check(out.shape.present, lambda example: ArchError(errors.no_flow(span, example)))
        self.whole(out, span)
        return out

    def whole(self, out: Flow, span: Span) -> None:
        """An output is not cut into windows."""
        copies, want, help = text(out.shape.copies), "one flow for each sample", "join the windows by `from_windows`"
        self.site(span, EVERYWHERE).check(
            apply("==", out.shape.copies, 1),
            lambda example: ArchError(errors.wrong_form("head", f"{copies} windows{example}", want, span, help)),
        )

    def lane_of(self, name: str) -> Lane:
        found, width = self.evaluator.find("width", self.branches[name])
        return Lane(name, self.branches[name].values["stride"], width if found else None)

    # constraints

    def demand(self, condition: Value, span: Span) -> None:
        """A constraint that follows from what the space is, not from a `require`."""
        demanded = Constraint(condition, Require(Name(span.text, span=span), span=span), declared=False)
        if condition is not True and demanded not in self.demands:
            self.demands.append(demanded)

    def limits(self, run: Run, found: list[Diagnostic]) -> tuple[Constraint, ...]:
        """What a search requires beyond its space; only there a latency is known."""
        self.evaluator.searching = True
        limits = tuple(self.constraint(r, found) for r in run.requires)
        self.evaluator.searching = False
        if run.settings["latency"].name != "table":
            found += [errors.latency_limit(c.syntax.span) for c in limits if reads(c.condition, TIMES)]
        return limits

    def constraint(self, line: Any, found: list[Diagnostic]) -> Constraint:
        """A `require`; its parts stay apart, because each is judged alone."""
        if len(found) >= MOST:
            return Constraint(True, line)
        parts = []
        try:
            self.evaluator.judging = True
            for part in conjuncts(line.condition):
                parts.append(self.evaluator.value(part, self.root, ()))
                if not is_truth(parts[-1]):
                    found.append(errors.undecided_constraint(part.span))
        except ArchError as fault:
            found += fault.found
            return Constraint(True, line)
        finally:
            self.evaluator.judging = False
        if not all(map(is_truth, parts)):
            return Constraint(True, line)
        condition = parts[0] if len(parts) == 1 else aggregate("all", tuple(parts))
        return Constraint(condition, line, given=condition is True and self.parametric(line.condition))

    def parametric(self, condition: Expr) -> bool:
        """Whether a condition names a parameter of the space."""
        names = {p.name for p in self.space.parameters}
        return any(isinstance(part, Name) and part.text in names for part in inside(condition))


def conjuncts(condition: Expr) -> list[Expr]:
    """`a and b and c` as its parts."""
    if isinstance(condition, Binary) and condition.operator == "and":
        return [*conjuncts(condition.left), *conjuncts(condition.right)]
    return [condition]
