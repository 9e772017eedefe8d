"""The table of a space: its works measured or interpolated, a correction from whole networks, and the errors of both.

`build` makes one on a device, from the cache where works were measured before; `write` and `read` keep it as JSON.
"""

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...compiler.api import Compiled
from ...compiler.store import Store
from ...compiler.works import Work, Works
from ..faults import RunError
from ..files import write as write_file
from .cache import Timings
from .clock import Conditions, Timing, measure, threads
from .deploy import network, single
from .fit import Correction, Errors, Models, correction, errors, model_errors, models

SCHEMA = 1
SEED = 0
"""Of the networks that are looked at."""
SEEN = 64
"""Architectures that say which works are used most."""
LONGER = 10
"""A whole network is measured so many times as long as a work."""
FLUSH = 5.0
"""Seconds between two savings of what was measured."""

PASSES = 2
"""Everything is measured so many times, far apart, for its share of the seconds; what disturbs only adds, so the least counts."""
SLOWEST = Timing(float("inf"), 0, 0, 0, 0)

Heard = Callable[[str, int, int], None]
"""What is measured, how many are done, of how many."""
Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a table shall rest on: `seconds` for each work, at most so many works, networks to correct and to judge by."""

    seconds: float = 0.05
    works: int = 1000
    correct: int = 8
    hold: int = 8


@dataclass(frozen=True, slots=True)
class Table:
    """Nanoseconds of works by key, models for all others, and the correction to whole networks."""

    conditions: Conditions
    works: Mapping[str, float]
    models: Models
    correction: Correction
    interpolated: int
    """Works that were not measured."""
    model_error: float | None
    """The median relative error of models, on works that they were not made from; None where all were measured."""
    held: Errors | None
    """The errors on networks that the correction was not made from."""
    plain: Errors | None
    """The same without correction."""
    seconds: float
    """Spent measuring, earlier runs not counted."""

    def nanoseconds(self, key: str, kind: str) -> float:
        """A work as part of a network."""
        return self.works[key] * self.correction.factor(kind)


def key(work: Work, last: bool) -> str:
    """A work and where the channels of its maps are."""
    return f"{work.key}{'-last' if last and work.laid_out else ''}"


def works_of(compiled: Compiled) -> Works:
    """The works of a space; none that its constraints on structure rule out."""
    return Works(compiled.graph, [c.condition for c in compiled.decisions.structural])


def layouts(works: Works) -> tuple[bool, ...]:
    """Whether the architectures of a space have their channels last: one answer, or both."""
    return (works.last,) if isinstance(works.last, bool) else (False, True)


def sampled(compiled: Compiled, count: int, seed: int) -> list[Genome]:
    """Distinct architectures, uniform."""
    if not compiled.graph.decisions:
        return [()] if count else []
    rows = compiled.decisions.sample(np.random.default_rng(seed), 2 * count).tolist()
    return list(dict.fromkeys(map(tuple, rows)))[:count]


def chosen(compiled: Compiled, wish: Wish) -> tuple[list[Genome], list[Genome]]:
    """The networks to correct by, the ends of the space among them, and the others to judge by."""
    drawn = sampled(compiled, wish.correct + wish.hold + 2, SEED)
    ends = [compiled.decisions.smallest(), compiled.decisions.largest()] if wish.correct > 1 else []
    held = [g for g in drawn if g not in ends][: wish.hold]
    return list(dict.fromkeys([*map(tuple, ends), *(g for g in drawn if g not in held)]))[: wish.correct], held


def build(
    compiled: Compiled,
    works: Works,
    on: Conditions,
    device: torch.device,
    wish: Wish,
    cache: Path | None = None,
    heard: Heard | None = None,
    store: Store | None = None,
    again: bool = False,
) -> Table:
    """Measure what is not known yet. What was measured is kept at once, so that an interrupted build goes on.

    `again`: nothing that was measured before counts. Raises RunError where a work cannot run on the device.
    """
    begun = time.perf_counter()
    known = _Known(Timings(on, cache), heard or (lambda what, done, of: None), again)
    with threads(on.threads):
        wanted = _wanted(compiled, works)
        times = known.works(compiled, on, device, wish, wanted)
        corrected, held = chosen(compiled, wish)
        fresh = store or Store(compiled.graph, SEED)
        measured = known.networks(compiled, works, fresh, on, device, wish, [*corrected, *held])
    listed = [(work, times[k]) for k, work in wanted.items() if k in times]
    made = models(*zip(*listed, strict=True)) if listed else Models({})
    entries = {k: times[k] if k in times else made(work) for k, work in wanted.items()}
    missing = len(wanted) - len(times)
    off = model_errors(*zip(*listed, strict=True)) if listed and (missing or works.many) else None
    draft = Table(on, entries, made, Correction({}, 0.0), missing, _median(off), None, None, 0.0)
    sums = {genes: by_kind(works, draft, genes) for genes in (*corrected, *held)}
    fitted = correction([sums[g] for g in corrected], [measured[g] for g in corrected])
    truth = [measured[g] for g in held]
    good, plain = (errors([_total(sums[g], c) for g in held], truth) for c in (fitted, NO_CORRECTION))
    return Table(on, entries, made, fitted, missing, _median(off), good, plain, time.perf_counter() - begun)


NO_CORRECTION = Correction({}, 0.0)


def _median(values: Any) -> float | None:
    return None if values is None else float(np.median(values))


def _total(sums: Mapping[str, float], by: Correction) -> float:
    return by.constant + sum(by.factor(kind) * ns for kind, ns in sums.items())


def by_kind(works: Works, table: Table, genes: Sequence[int]) -> dict[str, float]:
    """The uncorrected nanoseconds of an architecture by kind of operator."""
    out: dict[str, float] = defaultdict(float)
    last = works.channels_last(genes)
    for node, work in works.of(genes):
        out[work.kind] += table.works[key(work, last)] if works.few(node) else table.models(work)
    return dict(out)


def _wanted(compiled: Compiled, works: Works) -> dict[str, Work]:
    """The works of a space by key, those that architectures use most first."""
    used: Counter[str] = Counter()
    ends = [compiled.decisions.smallest(), compiled.decisions.largest()]
    others = dict[str, Work]()
    for genes in (*map(tuple, ends), *sampled(compiled, SEEN if compiled.graph.decisions else 0, SEED)):
        last = works.channels_last(genes)
        for node, work in works.of(genes):
            used[key(work, last)] += 1
            if works.few(node):
                others.setdefault(key(work, last), work)
    found = {key(work, last): work for work in works.all() for last in layouts(works)}
    return dict(sorted({**others, **found}.items(), key=lambda item: -used[item[0]]))


class _Known:
    """What was measured, before and now."""

    def __init__(self, cache: Timings, heard: Heard, again: bool) -> None:
        self.cache = cache
        self.heard = heard
        self.known: dict[str, Timing] = {} if again else cache.read()

    def works(
        self, compiled: Compiled, on: Conditions, device: torch.device, wish: Wish, wanted: Mapping[str, Work]
    ) -> dict[str, float]:
        """The nanoseconds of the first works, and of those that are known anyway."""
        first = list(wanted)[: wish.works]

        def timed(k: str) -> Timing:
            try:
                return measure(
                    single(compiled.graph, wanted[k], on, device, k.endswith("-last")), device, wish.seconds / PASSES
                )
            except RuntimeError as fault:
                raise RunError(f"{wanted[k]} cannot run on {on}: {' '.join(str(fault).split())[:200]}") from fault

        self._measure("works", first, timed, {k: str(wanted[k]) for k in first})
        return {k: self.known[k].median for k in wanted if k in self.known}

    def networks(
        self,
        compiled: Compiled,
        works: Works,
        store: Store,
        on: Conditions,
        device: torch.device,
        wish: Wish,
        genomes: Sequence[Genome],
    ) -> dict[Genome, float]:
        """The nanoseconds of whole networks."""
        names = {genes: whole(works, genes) for genes in genomes}
        back = {name: genes for genes, name in names.items()}

        def timed(name: str) -> Timing:
            return measure(
                network(compiled.graph, store, back[name], on, device), device, LONGER * wish.seconds / PASSES
            )

        self._measure("networks", list(back), timed, dict.fromkeys(back, f"a network of {compiled.space.name}"))
        return {genes: self.known[name].median for genes, name in names.items()}

    def _measure(
        self, what: str, keys: Sequence[str], timed: Callable[[str], Timing], about: Mapping[str, str]
    ) -> None:
        todo = [k for k in keys if k not in self.known]
        fresh: dict[str, Timing] = {}
        saved = time.monotonic()
        try:
            for done, k in enumerate(PASSES * todo, 1):
                fresh[k] = self.known[k] = min(timed(k), self.known.get(k, SLOWEST))
                self.heard(what, done, PASSES * len(todo))
                if time.monotonic() - saved > FLUSH:
                    self.cache.keep(fresh, about)
                    fresh, saved = {}, time.monotonic()
        finally:
            self.cache.keep(fresh, about)


def profile(
    compiled: Compiled,
    genes: Genome,
    on: Conditions,
    device: torch.device,
    seconds: float,
    cache: Path | None = None,
    heard: Heard | None = None,
    again: bool = False,
) -> tuple[Timing, list[tuple[str, Work, float]]]:
    """The time of one network, and the nanoseconds of its operations by the names of their nodes, each measured alone."""
    works = works_of(compiled)
    known = _Known(Timings(on, cache), heard or (lambda what, done, of: None), again)
    last, listed = works.channels_last(genes), works.of(genes)
    wanted = {key(work, last): work for _, work in listed}
    wish = Wish(seconds, len(wanted), 0, 0)
    with threads(on.threads):
        times = known.works(compiled, on, device, wish, wanted)
        known.networks(compiled, works, Store(compiled.graph, SEED), on, device, wish, [genes])
    parts = [(compiled.graph.nodes[node].name, work, times[key(work, last)]) for node, work in listed]
    return known.known[whole(works, genes)], parts


def whole(works: Works, genes: Sequence[int]) -> str:
    """A whole network by what it does."""
    last = works.channels_last(genes)
    return "network-" + _digest([key(work, last) for _, work in works.of(genes)])


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


# Files -------------------------------------------------------------------------------------------------------------


def write(table: Table, path: Path) -> None:
    """Keep a table, whole."""
    data = {"schema": SCHEMA, **asdict(table)}
    write_file(path, json.dumps(data, indent=1, sort_keys=True) + "\n")


def read(path: Path) -> Table:
    """A table that was kept. Raises RunError where the file is no table."""
    try:
        data = json.loads(path.read_text())
        if data.pop("schema") != SCHEMA:
            raise ValueError("another version of hrdsl wrote it")
        held, plain = (Errors(**data.pop(name)) if data.get(name) else data.pop(name) for name in ("held", "plain"))
        models_of = Models({name: (c[0], c[1], c[2]) for name, c in data.pop("models")["known"].items()})
        return Table(
            conditions=Conditions(**data.pop("conditions")),
            correction=Correction(**data.pop("correction")),
            models=models_of,
            held=held,
            plain=plain,
            **data,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise RunError(f"{path} is no table of latencies ({fault}): remove it, and it is measured anew") from fault
