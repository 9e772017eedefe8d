"""Routes: monotone paths through a trellis of strides (Auto-DeepLab, FasterSeg, HyCTAS).

A route runs through `layers` cells, from the stride of the first branch to that of its own; `down` holds the layers in
which it halves the resolution. Each layer and stride has cells of its own. Routes that agree so far share their cells:
the later one reads what the earlier one computed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Span
from ..dsl.model import Stage
from .conditions import EVERYWHERE, both, either, negate
from .functions import WIDEST, contains
from .graph import Node, Shared, Switch
from .operator import agreements, signature
from .scope import Scope
from .sym import Value, apply, is_sym, is_truth
from .values import UNABLE, Alternatives, Cell, Flow, Named, Operation, Pipeline, kind_of

if TYPE_CHECKING:
    from .elaborate import Elaborator

Level = int
"""How often a route has halved the resolution so far."""
Pairs = list[tuple[int | None, int | None]]
Variant = tuple[int, Level, bool]
"""A cell of a route: its layer, the level it starts from, whether it halves."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one cell of a route made: the flow it read, its nodes, its result, and what later routes read."""

    entering: Flow
    first: int
    last: int
    result: Flow
    shared: Flow


@dataclass(slots=True)
class Route:
    """One route: its lane, when it exists, where it halves, and the cells made for it."""

    lane: Scope
    halvings: int
    open: Value
    down: tuple[Value, ...]
    parts: dict[Variant, Part]
    levels: list[list[Flow | None]] = field(default_factory=list)
    """The flow before each layer at each level, and after the last."""
    lasts: dict[Level, Flow | None] = field(default_factory=dict)
    """The last flow at each level that the route leaves, once asked for."""

    def level(self, layer: int) -> Value:
        """The level before a layer."""
        total: Value = 0
        for d in self.down:
            total = apply("+", total, apply("<", d, layer))
        return total

    def halves(self, layer: int) -> Value:
        return contains(self.down, layer)

    def here(self, variant: Variant) -> Value:
        """Whether the route has this cell."""
        layer, level, halving = variant
        goes = self.halves(layer)
        return both(apply("==", self.level(layer), level), goes if halving else negate(goes))


def run_routes(make: "Elaborator", stage: Stage, flows: dict[str, Flow]) -> dict[str, Flow]:
    """The flow of each route by its branch; a route that an architecture does not have is `none` there."""
    return Trellis(make, stage).run(flows)


class Trellis:
    """The routes of one block."""

    def __init__(self, make: "Elaborator", stage: Stage) -> None:
        self.make = make
        self.stage = stage
        self.names = [n.text for n in stage.branches]
        self.lanes = make.lanes(stage)
        self.strides = [make.branches[n].values["stride"] for n in self.names]
        for name, low, high in zip(stage.branches[1:], self.strides, self.strides[1:], strict=False):
            if high != 2 * low:
                raise ArchError(errors.not_halving(name.text, f"1/{high}", f"1/{low}", name.span))
        self.routes: list[Route] = []
        self.layers = 0
        self.known: dict[tuple[Level, Level, Variant], Value] = {}
        self.compared: dict[tuple[int, int], Value] = {}
        """Whether two cells are equal, by their first nodes."""

    def run(self, flows: dict[str, Flow]) -> dict[str, Flow]:
        first = self.names[0]
        start = self.make.enter(self.stage, first, self.lanes[first], flows, tuple(flows.values()))
        self.layers = self._layers()
        found = {name: self.route(k, name, start) for k, name in enumerate(self.names)}
        return {name: flow for name, flow in found.items() if flow is not None}

    # what the block says

    def _entry(self, name: str, scope: Scope) -> Any:
        found, value = self.make.evaluator.find(name, scope)
        if isinstance(value, tuple) and (name != "down" or all(isinstance(v, tuple) for v in value)):
            value = self.make.own(self.stage, str(scope.path[1]), scope, name)[1]
        if not found:
            example = {"down": "down in subsets(range(1, layers), halvings) per branch", "layers": "layers = 8"}
            where = f"routes `{self.stage.name}`"
            raise ArchError(errors.missing_entry(name, where, self.stage.span, example.get(name, f"{name} = ...")))
        return value

    def _span(self, name: str) -> Span:
        return self.make.entry_span(self.stage, name)

    def _layers(self) -> int:
        value = self._entry("layers", self.lanes[self.names[0]])
        self.make.static(value, "`layers`", self._span("layers"))
        if not isinstance(value, int) or isinstance(value, bool):
            raise ArchError(errors.wrong_kind(kind_of(value), "a fixed whole number", self._span("layers")))
        if not len(self.names) <= value <= WIDEST:
            want = f"from {len(self.names)} to {WIDEST:,}"
            raise ArchError(errors.out_of_range("layers", str(value), want, self._span("layers")))
        return value

    def _declare(self, halvings: int, name: str) -> Route:
        lane = self.lanes[name]
        lane.values |= {"halvings": halvings}
        lane.size = self.layers
        opened = self._entry("open", lane) if self.make.evaluator.declares("open", lane) else True
        if not is_truth(opened):
            raise ArchError(errors.wrong_kind(kind_of(opened), "`true` or `false`", self._span("open")))
        lane.values |= {"open": opened}
        down = self._down(halvings, lane, opened) if halvings and opened is not False else ()
        lane.values |= {"down": down}
        return Route(lane, halvings, opened, down, {})

    def _down(self, halvings: int, lane: Scope, opened: Value) -> tuple[Value, ...]:
        """The layers in which a route halves: as many as it has halvings, in order, before the last layer."""
        down, span = self._entry("down", lane), self._span("down")
        if not isinstance(down, tuple) or len(down) != halvings:
            got = f"a list of {len(down)}" if isinstance(down, tuple) else kind_of(down)
            raise ArchError(errors.wrong_kind(got, f"a list of {halvings} layer{'s' if halvings > 1 else ''}", span))
        bounds = (0, *down, self.layers)
        rising = both(*(apply("<", a, b) for a, b in pairwise(bounds)))
        self.make.site(span, self.make.where.within(opened)).check(
            rising, lambda example: ArchError(errors.bad_layers(str(lane.path[-1]), self.layers, example, span))
        )
        return down

    # one route

    def route(self, halvings: int, name: str, start: Flow) -> Flow | None:
        route = self._declare(halvings, name)
        self.routes.append(route)
        if route.open is False:
            return None
        outer = self.make.where
        try:
            self.make.where = outer.within(route.open)
            route.levels = self.walk(route, start)
            result = self.finish(route)
        finally:
            self.make.where = outer
        self.make.passed[route.lane.path] = cache(partial(self.passed, route))
        result = self.where_open(route, result, "route")
        return replace(self.make.require_flow(result, self._span("cell")), lane=name)

    def where_open(self, route: Route, flow: Any, *name: str) -> Any:
        """A flow of a route, `none` where the route is not open."""
        if route.open is True:
            return flow
        select = apply("select", route.open, 0, 1)
        return self.make.choose(select, (None, flow), (*route.lane.path, *name), self.stage.span)

    def walk(self, route: Route, start: Flow) -> list[list[Flow | None]]:
        """The flow before each layer at each level, and after the last."""
        levels: list[list[Flow | None]] = [[start, *([None] * route.halvings)]]
        for layer in range(1, self.layers + 1):
            made = {v: self.part(route, v, levels[-1][v[1]]) for v in self.variants(route, layer)}
            levels.append([self.join(route, layer, level, made) for level in range(route.halvings + 1)])
        return levels

    def variants(self, route: Route, layer: int) -> Iterator[Variant]:
        for level in range(min(route.halvings, layer - 1) + 1):
            for halving in (False, True):
                fits = level < route.halvings if halving else True
                if fits and not self.make.where.within(route.here((layer, level, halving))).nowhere:
                    yield layer, level, halving

    def part(self, route: Route, variant: Variant, x: Flow | None) -> Flow | None:
        """One cell of a route, or the same cell of an earlier route where both agree so far."""
        if x is None:
            return None
        outer, first = self.make.where, len(self.make.nodes)
        try:
            self.make.where = outer.within(route.here(variant))
            result = self.cell(route, variant, x)
        finally:
            self.make.where = outer
        if result is None:
            return None
        part, shared = Part(x, first, len(self.make.nodes), result, result), result
        for twin in self.routes[: self.routes.index(route)]:
            shared = self.share(route, twin, variant, part, shared)
        route.parts[variant] = replace(part, shared=shared)
        return shared

    def cell(self, route: Route, variant: Variant, x: Flow) -> Flow | None:
        layer, level, halving = variant
        end = level + halving
        here, there = self.names[level], self.names[end]
        self.make.lane = there
        values = {"layer": layer, "stride": self.strides[end], "branch": there}
        slot = Scope("slot", (*route.lane.path, layer), route.lane.module, route.lane, values=values)
        span = self._span("cell")
        cell, unable = strided(self._entry("cell", slot), 2 if halving else 1)
        if unable is True:
            raise ArchError(errors.cannot_halve(f"{self.stage.name}.{self.names[route.halvings]}", layer, span))
        if unable is not False:
            self.make.demand(negate(both(route.open, route.halves(layer), unable)), span)
        base = (*route.lane.path, layer, here, *(("down",) if halving else ()))
        out = self.make.flow(cell, x, base, slot, span)
        return out if out is None else self.make.placed(self.make.require_flow(out, span), there, span)

    def join(self, route: Route, layer: int, level: Level, made: dict[Variant, Flow | None]) -> Flow | None:
        """The flow behind a layer at one level: kept there, or halved from the level before."""
        kept = made.get((layer, level, False))
        halved = made.get((layer, level - 1, True))
        if kept is None or halved is None:
            return kept or halved
        select = apply("select", route.halves(layer), 0, 1)
        self.make.lane = self.names[level]
        base = (*route.lane.path, layer, self.names[level], "from")
        joined: Flow = self.make.choose(select, (kept, halved), base, self._span("cell"))
        return joined

    # sharing

    def share(self, route: Route, twin: Route, variant: Variant, part: Part, own: Flow) -> Flow:
        other = twin.parts.get(variant)
        if other is None:
            return own
        same = both(twin.open, twin.here(variant), self.agree(route, twin, variant), self.equal(part, other))
        if isinstance(same, bool):
            return other.shared if same else own
        path = self.make.unique((*route.lane.path, variant[0], self.names[variant[1]], "same"))
        op = Shared(apply("select", same, 0, 1))
        return self.make.add(path, op, (own.node, other.shared.node), own.shape, own.span, (own,))

    def agree(self, route: Route, twin: Route, variant: Variant) -> Value:
        """Whether two routes that are both at this cell came the same way, through equal cells."""
        key = (route.halvings, twin.halvings, variant)
        if key not in self.known:
            self.known[key] = variant[0] == 1 or self.agreed(route, twin, variant)
        return self.known[key]

    def agreed(self, route: Route, twin: Route, variant: Variant) -> Value:
        layer, level, _ = variant
        ways = []
        for before in ((layer - 1, level, False), (layer - 1, level - 1, True)):
            one, two = route.parts.get(before), twin.parts.get(before)
            if one is None or two is None:
                continue
            ways.append(
                both(route.here(before), twin.here(before), self.agree(route, twin, before), self.equal(one, two))
            )
        return either(*ways)

    def equal(self, one: Part, two: Part) -> Value:
        """Whether two cells do the same to the flow that they read."""
        key = (one.first, two.first)
        if key not in self.compared:
            self.compared[key] = Comparison(self.make.nodes, one, two).same(one.result.node, two.result.node)
        return self.compared[key]

    # the end

    def finish(self, route: Route) -> Any:
        """What the route gives: its last flow, or what `fuse` makes of its last flow at each stride."""
        end = route.levels[-1][route.halvings]
        evaluator, lane = self.make.evaluator, route.lane
        if end is None or not evaluator.declares("fuse", lane):
            return end
        fuse = self._entry("fuse", lane)
        if fuse is None:
            return end
        span = self._span("fuse")
        ends = (*(self.last(route, level) for level in range(route.halvings)), end)
        self.make.lane = self.names[0]
        return self.make.fused(fuse, lane, ends, end, ("fuse",), span)

    def passed(self, route: Route) -> tuple[Flow | None, ...]:
        """The last flow of a route at each stride, the highest resolution first, for who asks behind the routes."""
        outer, lane, stage = self.make.where, self.make.lane, self.make.stage
        try:
            self.make.where, self.make.stage = EVERYWHERE.within(route.open), self.stage.name
            ends = (*(self.last(route, level) for level in range(route.halvings)), route.levels[-1][route.halvings])
        finally:
            self.make.where, self.make.lane, self.make.stage = outer, lane, stage
        return tuple(self.where_open(route, f, "last", n, "route") for f, n in zip(ends, self.names, strict=False))

    def last(self, route: Route, level: Level) -> Flow | None:
        """The last flow of a route at one level, before it halves."""
        if level not in route.lasts:
            route.lasts[level] = self._last(route, level)
        return route.lasts[level]

    def _last(self, route: Route, level: Level) -> Flow | None:
        d, levels = route.down[level], route.levels
        if not is_sym(d):
            before: Flow | None = levels[d - 1][level]
            return before
        first = level + 1
        options = [levels[layer - 1][level] for layer in range(first, self.layers)]
        self.make.lane = self.names[level]
        select = apply("-", d, first)
        base = (*route.lane.path, "last", self.names[level])
        out: Flow | None = self.make.choose(select, options, base, self.stage.span)
        return out


class Comparison:
    """When two cells, made of different nodes, compute the same."""

    def __init__(self, nodes: list[Node], one: Part, two: Part) -> None:
        self.nodes = nodes
        self.one = one
        self.two = two
        self.known: dict[tuple[int | None, int | None], Value] = {(one.entering.node, two.entering.node): True}

    def same(self, a: int | None, b: int | None) -> Value:
        pair = a, b
        if pair not in self.known:
            self.known[pair] = a == b or (a is not None and b is not None and self._compared(a, b))
        return self.known[pair]

    def _compared(self, a: int, b: int) -> Value:
        """Two nodes, at most one of them from before its cell; a choice that only one has is seen through."""
        mine, theirs = self.one.first <= a < self.one.last, self.two.first <= b < self.two.last
        one, two = self.nodes[a], self.nodes[b]
        alike = mine and theirs and type(one.op) is type(two.op) and len(one.inputs) == len(two.inputs)
        if mine and isinstance(one.op, Switch) and not alike:
            return either(*(both(apply("==", one.op.select, k), self.same(i, b)) for k, i in enumerate(one.inputs)))
        if theirs and isinstance(two.op, Switch) and not alike:
            return either(*(both(apply("==", two.op.select, k), self.same(a, i)) for k, i in enumerate(two.inputs)))
        return alike and self._nodes(one, two)

    def _nodes(self, a: Node, b: Node) -> Value:
        pairs: Pairs = list(zip(a.inputs, b.inputs, strict=True))
        if isinstance(a.op, Switch) and isinstance(b.op, Switch):
            return both(apply("==", a.op.select, b.op.select), *self._picked(a.op.select, pairs))
        settings = [] if a.op is b.op else agreements(a.op, b.op)
        return both(*settings, *[self.same(*pair) for pair in pairs]) if False not in settings else False

    def _picked(self, select: Value, pairs: Pairs) -> Iterator[Value]:
        """That the pair that a switch picks is the same: options that are the same under one condition are taken together."""
        others: dict[Value, list[Value]] = {}
        for k, pair in enumerate(pairs):
            others.setdefault(self.same(*pair), []).append(apply("!=", select, k))
        return (either(both(*beside), same) for same, beside in others.items())


def strided(value: Any, stride: int) -> tuple[Any, Value]:
    """A cell told to halve (stride 2) or to keep the resolution, and when it cannot: alternatives that cannot are replaced."""
    match value:
        case Alternatives():
            return _alternatives(value, stride)
        case Named():
            told, unable = strided(value.value, stride)
            return Named(value.label, told), unable
        case Pipeline():
            (first, span), *rest = value.links
            told, unable = strided(first, stride)
            return Pipeline(((told, span), *rest)), unable
        case Cell() if any(p.name == "stride" for p in value.block.parameters or ()):
            return Cell(value.block, value.module, {"stride": stride, **value.arguments}), False
        case Operation() if any(f.name == "stride" for f in signature(value.kind)):
            return replace(value, settings={"stride": stride, **value.settings}), False
    return value, stride != 1


def _alternatives(value: Alternatives, stride: int) -> tuple[Any, Value]:
    told = [strided(o, stride) for o in value.options]
    options = tuple(UNABLE if unable is True else option for option, unable in told)
    unable = either(*(both(apply("==", value.select, k), u) for k, (_, u) in enumerate(told) if u is not False))
    return replace(value, options=options), unable
