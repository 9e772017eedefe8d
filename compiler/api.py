"""The compiler as one call: a file in, a compiled space out; costs, decisions and modules are made when first asked for."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic, Span
from ..dsl.model import TIMES, Model, Run, Space, build_model
from ..dsl.modules import Module, load
from ..dsl.syntax import Expr
from .conditions import forget
from .elaborate import elaborate
from .graph import Graph
from .ops import operators
from .passes import PASSES, Pass
from .recover import all_faults
from .sym import reads

if TYPE_CHECKING:
    from .cost import Costs
    from .decisions import Decisions
    from .vector import Array, Genes


@dataclass(frozen=True)
class Compiled:
    """One space of one file, checked and elaborated."""

    model: Model
    space: Space
    graph: Graph
    warnings: tuple[Diagnostic, ...]
    settings: Mapping[str, Any]
    shared: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What further constraints do not change: made once for a space and all its searches."""

    @property
    def costs(self) -> "Costs":
        """Exact vectorised costs of any matrix of genes."""
        if "costs" not in self.shared:
            from .cost import Costs

            self.shared["costs"] = Costs(self.graph)
        costs: Costs = self.shared["costs"]
        return costs

    def counted(self, convention: str) -> "Costs":
        """The same with `operations`, as a convention counts; `macs` adds none. Raises KeyError for an unknown name."""
        from .conventions import CONVENTIONS, DEFAULT
        from .cost import Costs

        if convention == DEFAULT:
            return self.costs
        key = f"costs as {convention}"
        if key not in self.shared:
            self.shared[key] = Costs(self.graph, CONVENTIONS[convention])
        costs: Costs = self.shared[key]
        return costs

    @cached_property
    def decisions(self) -> "Decisions":
        """Activity, canonical form, count, sampling, constraints."""
        from .decisions import Decisions

        return Decisions(self.graph, lambda: self.costs, self.latency)

    @property
    def latency(self) -> "Callable[[Genes], Array] | None":
        """Milliseconds of any matrix of genes on some device, where `timed` gave them."""
        found: Callable[[Genes], Array] | None = self.shared.get("latency")
        return found

    def timed(self, latency: "Callable[[Genes], Array]") -> "Compiled":
        """The same space on a device: constraints of searches may read `latency_ms`."""
        return replace(self, shared={**self.shared, "latency": latency})

    def prices(self, genes: "Genes", names: Iterable[str]) -> "dict[str, Array]":
        """Costs by name for a matrix of genes [P, G], each [P], as `macs` and `fine.macs`; `latency_ms` too where the space is
        timed."""
        found = self.costs.named(genes, [name for name in names if name not in TIMES])
        return {**found, **({name: self.latency(genes) for name in TIMES} if self.latency else {})}

    def restricted(self, search: str) -> "Compiled":
        """The same space under the constraints of one of its searches too; those on latency only if it is timed."""
        every = self.graph.searches.get(search, ())
        more = tuple(c for c in every if self.latency or not reads(c.condition, TIMES))
        if not more:
            return self
        return replace(self, graph=replace(self.graph, constraints=(*self.graph.constraints, *more)))

    def parts(self, search: str) -> "dict[str, Compiled]":
        """A space under the constraints of a search (`restricted`) in the parts of its `split`. Raises ArchError."""
        from .parts import parts

        return parts(self, search)

    def run(self, kind: str, name: str | None = None) -> Run | None:
        """The first `train` or `search` block for this space, if there is one, or that of a name. Raises NoSuchName."""
        found = self.model.run(kind, self.space.name, name)
        if name is not None and found is None:
            known = [r.name for r in self.model.runs if (r.kind, r.space) == (kind, self.space.name)]
            raise errors.no_such_name(f"space `{self.space.name}`", f"`{kind}` block", name, known)
        return found


def compile_file(path: Path | str, space: str | None = None, settings: Mapping[str, Any] | None = None) -> Compiled:
    """Check and elaborate one space of a file (the first, or the one named). Raises ArchError, NoSuchName, OSError."""
    return compile_module(load(Path(path)), space, settings)


def compile_module(module: Module, space: str | None = None, settings: Mapping[str, Any] | None = None) -> Compiled:
    """The same for a module that is already loaded."""
    return compile_model(build_model(module), space, settings)


def compile_model(
    model: Model,
    space: str | None = None,
    settings: Mapping[str, Any] | None = None,
    passes: Sequence[Pass] = PASSES,
) -> Compiled:
    """The same for a model that is already built, with some of the passes."""
    chosen = pick_space(model, space)
    forget()
    with uncollected():
        try:
            graph, warnings = elaborate(model, chosen, operators(), settings)
        except ArchError as first:
            raise all_faults(model, chosen, operators(), settings, first) from None
        for step in passes:
            graph = step(graph)
    return Compiled(model, chosen, graph, warnings, dict(settings or {}))


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for garbage in circles: what is made here lives on, and there are none. Nor is it searched at the
    end: it counts as old."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def pick_space(model: Model, name: str | None) -> Space:
    """The space of that name, or the first. Raises ArchError if the file has none, NoSuchName."""
    names = [s.name for s in model.spaces]
    whole = Span(model.module.source, 0, 0)
    if not names:
        raise ArchError(errors.missing_entry("a space", "this file", whole, "space some_name { ... }"))
    if name is None:
        return model.spaces[0]
    if name not in names:
        raise errors.no_such_name("this file", "space", name, names)
    return model.spaces[names.index(name)]


def read_settings(pairs: list[str]) -> dict[str, Any]:
    """`name=value` of the command line as parameters of a space; a value is an expression of the language."""
    from ..dsl.diagnostic import Source
    from ..dsl.parser import parse
    from ..dsl.settings import constant
    from ..dsl.syntax import Block, Fix

    out = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        source = Source(f"--set {pair}", f"hrdsl 1\nspace s {{\n{name.strip()} = {text.strip()}\n}}\n")
        block = parse(source).items[0]
        assert isinstance(block, Block) and isinstance(block.lines[0], Fix) and equals
        out[name.strip()] = _static(block.lines[0].value, constant)
    return out


def _static(expr: Expr, constant: Any) -> Any:
    value = constant(expr)
    return tuple(value) if isinstance(value, list) else value
