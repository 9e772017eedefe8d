"""What a file means, said again without the compiler: one architecture of a space, read from the syntax and run in torch.

A definitional interpreter of SPEC.md. `Reading` takes the parsed file and a function that makes each decision; values are
concrete, so an `if` has one side, and a flow is a tensor. `Wrong` says that the architecture cannot be built.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hrdsl.dsl.model import Model, Space
from hrdsl.dsl.modules import Module
from hrdsl.dsl.syntax import (
    Attribute,
    Binary,
    Call,
    Chain,
    Comprehension,
    Constant,
    Expr,
    Fix,
    If,
    Index,
    Interval,
    ListOf,
    Members,
    Name,
    Number,
    Unary,
    Vary,
    path_text,
)

from .concrete import (
    ABSENT,
    AGGREGATES,
    CALLABLE,
    FUNCTIONS,
    Cell,
    Closed,
    Links,
    Op,
    Path,
    Place,
    Repeat,
    Scope,
    arithmetic,
    flatten,
    label,
    labels,
    nothing,
    owner,
    plain,
    present,
    streams,
)
from .torch_operators import INPUTS, LISTS, NAMES, REQUIRED, Flow, Wrong, operate, signature

Choose = Callable[[str, tuple[str, ...]], int]
"""A path and the labels of its values -> the place of one."""


class Evaluation:
    """Expressions to concrete values."""

    def __init__(self, model: Model, space: Space, choose: Choose) -> None:
        self.model = model
        self.space = space
        self.choose = choose
        self.active: Callable[[str], bool] = lambda path: True
        """Whether the architecture has a decision; asked by constraints."""
        self.lane = ""
        self.costs: dict[str, int] = {}
        self.names: dict[Path, int] = {}
        self.sites: dict[Path, list[Any]] = {}
        self.overrides: dict[Path, Any] = {}
        self.decided: dict[str, Any] = {}

    # names and decisions

    def find(self, name: str, use: Scope) -> tuple[bool, Any]:
        for scope in use.chain():
            over = self.overrides.get((*scope.path, name)) if scope.kind != "item" else None
            if over is not None:
                return True, self.entry(name, over, scope, use)
            if name in scope.values:
                return True, scope.values[name]
            if name in scope.entries:
                return True, self.entry(name, scope.entries[name], scope, use)
        return False, None

    def entry(self, name: str, entry: Any, declared: Scope, use: Scope) -> Any:
        if isinstance(entry, Vary):
            return self.vary(name, entry, owner(use, declared, entry.per), use)
        base = declared.path if name in ("out", "cell") else (*declared.path, name)
        value = self.value(entry.value, use, base)
        if declared.kind == "body" and not isinstance(value, CALLABLE):
            declared.values[name] = value
        return value

    def vary(self, name: str, entry: Vary, place: Scope, use: Scope) -> Any:
        values = list(self.domain(entry.domain, place, use))
        if values == [()]:
            return ()
        path = path_text((*place.path, name))
        self.decided[path] = values[self.choose(path, labels(values))]
        return self.made(path)

    def made(self, path: str) -> Any:
        value = self.decided[path]
        if self.active(path):
            return value
        return (ABSENT,) * len(value) if isinstance(value, tuple) else ABSENT

    def domain(self, domain: Any, place: Scope, use: Scope) -> Any:
        if isinstance(domain, Interval):
            by = self.value(domain.by, use, ()) if domain.by else 1
            return range(self.value(domain.first, use, ()), self.value(domain.last, use, ()) + 1, by)
        if isinstance(domain, Members):
            return [self.value(item, use, place.path) for item in domain.items]
        return self.value(domain.value, use, place.path)

    def lookup(self, name: str, use: Scope) -> Any:
        found, value = self.find(name, use)
        if found:
            return value
        if name in use.module.cells:
            return Cell(use.module.cells[name], use.module, {})
        if name in use.module.uses:
            return use.module.uses[name]
        return Op(name, {}) if name in NAMES else FUNCTIONS.get(name) or self.costs[name]

    # expressions

    def value(self, expr: Expr, use: Scope, base: Path) -> Any:
        match expr:
            case Number(value=value):
                return plain(value)
            case Constant(value=value):
                return value
            case Name(text=text):
                return self.lookup(text, use)
            case ListOf(items=items):
                return tuple(self.value(i, use, base) for i in items)
            case Index():
                return self.index(self.value(expr.base, use, base), self.value(expr.index, use, base))
            case Attribute():
                return self.attribute(self.value(expr.base, use, base), expr.name)
            case Comprehension():
                return tuple(self.turns(expr, 0, use, base, base))
            case Unary(operator=operator, operand=operand):
                inner = self.value(operand, use, base)
                return inner if inner is ABSENT else not inner if operator == "not" else -inner
            case Binary():
                return self.binary(expr, use, base)
            case If():
                return self.either(expr, use, base)
            case Chain(links=(first, *rest)):
                return self.through(self.value(first, use, base), rest, use, base)
            case Call():
                return self.call(expr, use, base)
        raise AssertionError(expr)

    def index(self, value: Any, place: int) -> Any:
        if isinstance(value, Place):
            scope = value.scope
            return Place(Scope("slot", (*scope.path, place), scope.module, scope))
        if not 0 <= place < len(value):
            raise Wrong("no such element")
        return value[place]

    def attribute(self, value: Any, name: str) -> Any:
        match value:
            case Module():
                return Cell(value.cells[name], value, {})
            case Closed():
                return {"stride": value.stride, "branch": value.lane}[name]
            case Flow():
                if name in ("height", "columns"):
                    return value.extent[("height", "columns").index(name)]
                points = 1
                for side in value.extent:
                    points *= side
                known = {"width": value.width, "stride": plain(value.stride), "branch": value.lane, "points": points}
                return known[name]
        assert isinstance(value, Place)
        if name == "name":
            return str(value.scope.path[-1])
        if name == "branches":
            return tuple(v for v in value.scope.values.values() if isinstance(v, Place))
        path = path_text((*value.scope.path, name))
        try:
            return self.made(path) if path in self.decided else self.find(name, value.scope)[1]
        except (StopIteration, KeyError):  # what only a cell of the stage could read, and there is none
            return ABSENT

    def turns(self, expr: Comprehension, k: int, use: Scope, base: Path, at: Path) -> Iterator[Any]:
        if k == len(expr.loops):
            if expr.condition is None or self.value(expr.condition, use, base):
                yield self.value(expr.item, use, at)
            return
        loop = expr.loops[k]
        for i, item in enumerate(self.value(loop.iterable, use, base)):
            part = item.lane if isinstance(item, Flow | Closed) and item.lane else i + 1
            inner = Scope("item", use.path, use.module, use, values={loop.variable: item})
            yield from self.turns(expr, k + 1, inner, base, (*at, part))

    def binary(self, expr: Binary, use: Scope, base: Path) -> Any:
        a, b, operator = self.value(expr.left, use, base), self.value(expr.right, use, base), expr.operator
        if operator == "and":
            kept = present((a, b))
            return ABSENT if not kept else all(kept)
        if a is ABSENT or b is ABSENT:
            return ABSENT
        if any(isinstance(v, Flow | Closed) for v in (a, b)) or (a is None and b is None and operator in "+*"):
            return self.run(
                Op("sum" if operator == "+" else "multiply", {}, ((a, b),) if operator == "+" else (a, b)), None, use
            )
        if isinstance(a, CALLABLE) or isinstance(b, CALLABLE):
            a, b = (v if isinstance(v, str) else label(v) for v in (a, b))
        return arithmetic(operator, a, b)

    def either(self, expr: If, use: Scope, base: Path) -> Any:
        condition = self.value(expr.condition, use, base)
        if condition is ABSENT:
            return ABSENT
        return self.value(expr.then if condition else expr.otherwise, use, (*base, "yes" if condition else "no"))

    def through(self, value: Any, rest: list[Expr], use: Scope, base: Path) -> Any:
        if isinstance(value, CALLABLE):
            return Links((value, *(self.value(link, use, base) for link in rest)))
        for link in rest:
            value = self.flow(self.value(link, use, base), value, base, use)
        return value

    def call(self, expr: Call, use: Scope, base: Path) -> Any:
        callee = self.value(expr.function, use, base)
        given = [self.value(a, use, base) for a in expr.positional]
        if callee is Repeat:
            return Repeat(*given, **self.named(expr, "repeat", use, base))
        if isinstance(callee, Cell):
            names = [p.name for p in callee.block.parameters or ()]
            arguments = {**dict(zip(names, given, strict=False)), **self.named(expr, callee.label, use, base)}
            return replace(callee, arguments={**callee.arguments, **arguments})
        if isinstance(callee, Op) and not (callee.label == "sum" and not any(map(streams, given))):
            return self.operation(callee, given, expr, use, base)
        function = FUNCTIONS[callee.label] if isinstance(callee, Op) else callee
        if function not in [FUNCTIONS[n] for n in AGGREGATES] and ABSENT in flatten(given):
            return ABSENT
        return function(*given)

    def operation(self, callee: Op, given: list[Any], expr: Call, use: Scope, base: Path) -> Any:
        flows = tuple(v for v in given if streams(v))
        rest = [v for v in given if not streams(v)]
        settings = {**callee.settings, **dict(zip(signature(callee.label), rest, strict=False))}
        full = Op(callee.label, {**settings, **self.named(expr, callee.label, use, base)}, flows)
        complete = bool(flows) if callee.label in LISTS else len(flows) == INPUTS.get(callee.label, 1)
        return self.flow(full, None, base, use) if complete else full

    def named(self, expr: Call, callee: str, use: Scope, base: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for given in expr.named:
            name = str(given.target)
            if isinstance(given, Fix):
                out[name] = self.value(given.value, use, use.path)
                continue
            declared = next(s for s in use.chain() if s.kind not in ("item", "slot", "lane"))
            place = owner(use, declared, given.per)
            held = max((s.path for s in use.chain() if base[: len(s.path)] == s.path), key=len)
            path = self.site((*(place.path + base[len(held) :] if given.per else base), callee), expr)
            over = self.overrides.get((*path, name), given)
            where = Scope("site", path, place.module, place)
            out[name] = (
                self.vary(name, over, where, use) if isinstance(over, Vary) else self.value(over.value, use, use.path)
            )
        return out

    def site(self, path: Path, expr: Call) -> Path:
        """A second call of one name in one place is numbered."""
        seen = self.sites.setdefault(path, [])
        if expr.span not in seen:
            seen.append(expr.span)
        rank = seen.index(expr.span)
        return path if rank == 0 else (*path[:-1], f"{path[-1]}{rank + 1}")

    # flows

    def flow(self, value: Any, x: Any, base: Path, use: Scope) -> Any:
        """`x -> value`."""
        if value is None or (nothing(x) and not isinstance(value, Op)):
            return None
        match value:
            case Op():
                return self.run(value, x, use)
            case Cell():
                return self.cell(value, x, base, use)
            case Links(links=links):
                for link in links:
                    x = self.flow(link, x, base, use)
                return x
            case Repeat(body=body, times=times):
                for k in range(1, times + 1):
                    x = self.flow(body, x, (*base, body.label, k), use)
                return x
        raise Wrong(f"{value} is no cell")

    def unique(self, path: Path) -> Path:
        rank = self.names[path] = self.names.get(path, 0) + 1
        return path if rank == 1 else (*path[:-1], f"{path[-1]}{rank}")

    def cell(self, cell: Cell, x: Any, base: Path, use: Scope) -> Any:
        path = self.unique((*base, cell.label))
        arguments = dict(cell.arguments)
        defaults = Scope("body", use.path, cell.module, values=arguments)
        for p in cell.block.parameters or ():
            if p.name not in arguments:
                arguments[p.name] = self.value(p.default, defaults, ()) if p.default else self.need(p.name, use)
        lines = {str(line.target): line for line in cell.block.lines if isinstance(line, Fix | Vary)}
        entries = {n: line for n, line in lines.items() if n not in arguments}
        body = Scope("body", path, cell.module, entries=entries, values={**arguments, "x": x})
        result = "out" if "out" in lines else "cell"
        for name in entries:
            value = self.find(name, body)[1]
            if isinstance(value, CALLABLE) and name == result:
                value = self.flow(value, x, path, body)
            body.values[name] = value
        out = body.values[result]
        if isinstance(out, tuple) and len(out) == 1:
            out = out[0]
        return replace(out, lane=x.lane if isinstance(x, Flow) else self.lane) if isinstance(out, Flow) else out

    def need(self, name: str, use: Scope) -> Any:
        found, value = self.find(name, use)
        if not found:
            raise Wrong(f"{name} has no value")
        return value

    def run(self, op: Op, x: Any, use: Scope) -> Any:
        given = tuple(
            f[0] if isinstance(f, tuple) and len(f) == 1 else f for f in ((x,) if x is not None else ()) + op.flows
        )
        if op.label in LISTS:
            given = tuple(f for f in flatten(given) if not nothing(f))
            if not given:
                return None
        elif any(map(nothing, given)) or not given:
            return None
        elif len(given) != INPUTS.get(op.label, 1) or any(isinstance(f, tuple) for f in given):
            raise Wrong(f"{op.label}: {len(given)} inputs")
        settings = {
            name: op.settings[name] if name in op.settings else self.need(name, use) if default is REQUIRED else default
            for name, default in signature(op.label).items()
        }
        return operate(op.label, settings, given)
