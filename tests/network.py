"""One architecture of a space as a network in plain torch: what `meaning` makes of its branches, stages, routes and heads."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import torch

from hrdsl.dsl.model import Model, Space, Stage
from hrdsl.dsl.modules import library

from .concrete import ABSENT, Cell, Closed, Links, Op, Path, Place, Scope, plain
from .meaning import Choose, Evaluation
from .torch_operators import Flow, Wrong, signature


@dataclass(frozen=True, slots=True)
class Network:
    """The outputs by name (`""`: the only one), and what they cost."""

    image: tuple[int, ...]
    outputs: dict[str, tuple[int, ...]]
    parameters: int
    macs: int
    constraints: tuple[bool, ...]


def network(model: Model, space: Space, choose: Choose, active: Callable[[str], bool] = lambda path: True) -> Network:
    """The network of one architecture; `active` says which decisions it has. Raises Wrong where it cannot be built."""
    return Reader(model, space, choose).network(active)


class Reader(Evaluation):
    def __init__(self, model: Model, space: Space, choose: Choose) -> None:
        super().__init__(model, space, choose)
        self.root = Scope("space", (), model.module, entries=space.entries)
        self.branches: dict[str, Scope] = {}

    def network(self, active: Callable[[str], bool]) -> Network:
        with torch.no_grad():
            for p in self.space.parameters:
                self.root.values[p.name] = self.value(p.default, self.root, ())  # type: ignore[arg-type]
            self.override()
            self.places()
            image = self.lookup("input", self.root)
            flows = {"": Flow(torch.zeros(1, *image), Fraction(1))}
            if "stem" in self.space.entries:
                flows = {"": self.whole(self.flow(self.lookup("stem", self.root), flows[""], ("stem",), self.root))}
            for stage in self.space.stages:
                flows = self.stage(stage, flows)
            outputs = self.heads(flows)
        live = reached(list(outputs.values()))
        self.costs = {"parameters": sum(f.parameters for f in live), "macs": sum(f.macs for f in live)}
        self.active = active
        shapes = {n: tuple(f.tensor.shape[1:]) for n, f in outputs.items()}
        return Network(image, shapes, **self.costs, constraints=tuple(self.constraints()))

    def override(self) -> None:
        for entry in self.space.overrides:
            self.overrides[entry.target.parts] = entry
        for stage in self.space.stages:
            self.overrides.update({(stage.name, *e.target.parts): e for e in stage.overrides})

    def places(self) -> None:
        for i, branch in enumerate(self.space.branches):
            stride = plain(1 / Fraction(self.value(branch.place, self.root, ())))
            values = {"stride": stride, "index": i}
            scope = Scope("branch", (branch.name,), self.model.module, self.root, branch.entries, values)
            self.branches[branch.name] = scope
            self.root.values[branch.name] = Place(scope)

    def constraints(self) -> list[bool]:
        met = []
        for line in self.space.requires:
            value = self.value(line.condition, self.root, ())
            met.append(value is ABSENT or bool(value))
        return met

    def whole(self, value: Any) -> Flow:
        if not isinstance(value, Flow):
            raise Wrong("nothing flows here")
        return value

    def placed(self, value: Any, name: str) -> Flow:
        flow = self.whole(value)
        if flow.stride != self.branches[name].values["stride"]:
            raise Wrong(f"{name} is at another stride")
        return replace(flow, lane=name)

    # stages

    def stage(self, stage: Stage, flows: dict[str, Any]) -> dict[str, Any]:
        names = [n.text for n in stage.branches]
        lanes = {n: self.lane_scope(stage, n) for n in names}
        places = {n: Place(scope) for n, scope in lanes.items()}
        whole = Scope("stage", (stage.name,), self.model.module, self.root, stage.entries, {**places})
        self.root.values[stage.name] = Place(whole)
        done = self.routes(stage, names, lanes, flows) if stage.kind == "routes" else self.cells(stage, lanes, flows)
        kept = {n: f for n, f in flows.items() if n and n not in names}
        return {n: f for n in self.branches for m, f in {**kept, **done}.items() if m == n}

    def cells(self, stage: Stage, lanes: dict[str, Scope], flows: dict[str, Any]) -> dict[str, Any]:
        done = {n: self.enter(n, lane, flows, list(lanes)) for n, lane in lanes.items()}
        found, rounds = self.find("rounds", next(iter(lanes.values())))
        for k in range(rounds if found else 1):
            done = {n: self.row(stage, n, lane, done[n], k) for n, lane in lanes.items()}
            at: Path = ("fuse", k + 1) if found and rounds > 1 else ("fuse",)
            done = {n: self.fuse(n, lane, done, at) for n, lane in lanes.items()}
        return done

    def lane_scope(self, stage: Stage, name: str) -> Scope:
        shared = Scope("stage", (stage.name,), self.model.module, self.branches[name], stage.entries)
        return Scope("lane", (stage.name, name), self.model.module, shared)

    def own(self, name: str, scope: Scope, entry: str, names: list[str]) -> tuple[bool, Any]:
        """Of a list, the item of the branch."""
        found, value = self.find(entry, scope)
        return found, value[names.index(name)] if isinstance(value, tuple) else value

    def enter(self, name: str, lane: Scope, flows: dict[str, Any], names: list[str]) -> Flow:
        self.lane = name
        found, enter = self.own(name, lane, "enter", names)
        base = (*lane.path, "enter")
        if found:
            return self.placed(self.flow(bound(enter, lane), tuple(flows.values()), base, lane), name)
        if name in flows:
            return flows[name]
        source = max(flows.values(), key=lambda f: f.stride)
        if source.lane == "" and source.stride == self.branches[name].values["stride"]:
            return self.placed(source, name)
        fusion = library("fusion")
        return self.placed(self.flow(Cell(fusion.cells["grow"], fusion, {"to": Place(lane)}), source, base, lane), name)

    def row(self, stage: Stage, name: str, lane: Scope, x: Flow, turn: int) -> Flow:
        """The cells of a branch in one turn; they are counted on."""
        self.lane = name
        names = [n.text for n in stage.branches]
        found, times = self.own(name, lane, "times", names)
        times = times if found else 1
        for k in range(1, times + 1):
            slot = Scope("slot", (*lane.path, turn * times + k), self.model.module, lane)
            there, cell = self.own(name, slot, "cell", names)
            x = self.whole(self.flow(cell, x, slot.path, slot)) if there else x
        return self.placed(x, name)

    def fuse(self, name: str, lane: Scope, flows: dict[str, Flow], at: Path) -> Flow:
        self.lane = name
        found, fuse = self.own(name, lane, "fuse", list(flows))
        if not found or fuse is None:
            return flows[name]
        return self.placed(self.flow(bound(fuse, lane), tuple(flows.values()), (*lane.path, *at), lane), name)

    # routes

    def routes(self, stage: Stage, names: list[str], lanes: dict[str, Scope], flows: dict[str, Any]) -> dict[str, Any]:
        start = self.enter(names[0], lanes[names[0]], flows, names)
        shared: dict[Any, Flow] = {}
        out: dict[str, Any] = {}
        for halvings, name in enumerate(names):
            lane = lanes[name]
            lane.values["halvings"] = halvings
            opened, value = self.find("open", lane)
            lane.values["open"] = value if opened else True
            if opened and not value:
                out[name] = Closed(Fraction(self.branches[name].values["stride"]), name)
            else:
                out[name] = replace(self.route(halvings, names, lane, start, shared), lane=name)
        return out

    def route(self, halvings: int, names: list[str], lane: Scope, x: Flow, shared: dict[Any, Flow]) -> Flow:
        layers = self.find("layers", lane)[1]
        down = self.find("down", lane)[1] if halvings else ()
        lane.values["down"] = down
        if not all(a < b for a, b in pairwise((0, *down, layers))) or len(down) != halvings:
            raise Wrong("the layers do not rise")
        level, last = 0, []
        for layer in range(1, layers + 1):
            halving = layer in down
            if halving:
                last.append(x)
            key = (layer, level, halving)
            here, level = names[level], level + halving
            made = self.layer(lane, layer, here, names[level], halving, x)
            x = shared.setdefault((key, x.mark, told(made, x)), made)
        lane.values["passed"] = (*last, x)
        found, fuse = self.find("fuse", lane)
        if not found or fuse is None:
            return x
        self.lane = names[0]
        return self.whole(self.flow(bound(fuse, lane), (*last, x), (*lane.path, "fuse"), lane))

    def layer(self, lane: Scope, layer: int, here: str, there: str, halving: bool, x: Flow) -> Flow:
        self.lane = there
        values = {"layer": layer, "stride": self.branches[there].values["stride"], "branch": there}
        slot = Scope("slot", (*lane.path, layer), lane.module, lane, values=values)
        cell = strided(self.find("cell", slot)[1], 2 if halving else 1)
        base = (*slot.path, here, *(("down",) if halving else ()))
        return self.placed(self.flow(cell, x, base, slot), there)

    # heads

    def heads(self, flows: dict[str, Any]) -> dict[str, Flow]:
        self.lane = ""
        last = tuple(flows.values())
        x = last if self.space.stages else last[0]
        if not self.space.heads:
            return {"": self.whole(self.flow(self.lookup("head", self.root), x, ("head",), self.root))}
        scope = Scope("stage", ("heads",), self.model.module, self.root, self.space.heads)
        asked = {n: cell for n in self.space.heads if (cell := self.lookup(n, scope)) is not None}
        made = {n: self.flow(cell, x, ("heads", n), scope) for n, cell in asked.items()}
        listed = {n: f if isinstance(f, tuple) else (f,) for n, f in made.items()}
        return {
            n if len(f) == 1 else f"{n}[{k}]": self.whole(flow) for n, f in listed.items() for k, flow in enumerate(f)
        }


def bound(value: Any, lane: Scope) -> Any:
    """A fusion with its branch as `to`; within a chain, its first."""
    if isinstance(value, Cell):
        return replace(value, arguments={"to": Place(lane), **value.arguments})
    if isinstance(value, Links):
        return Links((bound(value.links[0], lane), *value.links[1:]))
    return value


def strided(value: Any, stride: int) -> Any:
    """A cell of a route, told its stride."""
    match value:
        case Links(links=(first, *rest)):
            return Links((strided(first, stride), *rest))
        case Cell() if any(p.name == "stride" for p in value.block.parameters or ()):
            return replace(value, arguments={"stride": stride, **value.arguments})
        case Op() if "stride" in signature(value.label):
            return replace(value, settings={"stride": stride, **value.settings})
    if stride != 1:
        raise Wrong("this cell cannot halve")
    return value


def told(flow: Flow, source: Flow) -> Any:
    """How a flow comes from another one."""
    if flow.mark is source.mark:
        return "x"
    return (flow.what, tuple(told(f, source) for f in flow.inputs), flow.tensor.shape)


def reached(flows: list[Flow]) -> list[Flow]:
    """All flows that these need, each once."""
    seen: dict[object, Flow] = {}
    while flows:
        flow = flows.pop()
        if flow.mark not in seen:
            seen[flow.mark] = flow
            flows += flow.inputs
    return list(seen.values())
