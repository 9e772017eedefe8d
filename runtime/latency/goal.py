"""Latency as a search block asks for it: a table that is kept in the study, or a measurement of each candidate."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...compiler.api import Compiled
from ...compiler.store import Store
from ...compiler.sym import reads
from ...compiler.works import Works
from ...dsl.model import TIMES, Run, is_cost
from ...dsl.settings import Chosen
from ..device import pick
from ..faults import RunError
from ..search.problem import Evaluation, Measure
from .clock import Conditions, conditions, measure, threads
from .deploy import network
from .latency import Latency
from .table import Heard, Table, Wish, build, read, works_of, write

FILE = "latency.json"
"""The table of a study."""

Genome = tuple[int, ...]


def tabled(run: Run) -> bool:
    """Whether the latency of a search comes from a table, and so is as cheap as a cost."""
    return bool(run.settings["latency"].name == "table")


def needed(compiled: Compiled, run: Run) -> bool:
    """Whether a goal or a limit of a search names a latency, or its strategy counts by one."""
    limits = compiled.graph.searches.get(run.name, ())
    named = [*(o.name for o in run.objectives), run.settings["strategy"].options.get("cost")]
    return any(name in TIMES for name in named) or any(reads(c.condition, TIMES) for c in limits)


def where(chosen: Chosen, device: torch.device) -> tuple[torch.device, Conditions]:
    """The device and the conditions that a setting asks for. Raises RunError where there is no such device."""
    options: dict[str, Any] = dict(chosen.options)
    if options["device"] not in ("same", device.type):
        try:
            device = pick(options["device"])
        except ValueError as fault:
            raise RunError(f"latency: {fault}") from None
    return device, conditions(device, options["threads"], options["batch"], options["precision"])


def timed(
    compiled: Compiled,
    run: Run,
    folder: Path,
    device: torch.device,
    cache: Path | None = None,
    heard: Heard | None = None,
) -> Compiled:
    """The space with the latencies that a search asks for: those of the table in `folder`, which is made once.

    A search without such goals and limits, and one that measures, gets the space back. Raises RunError.
    """
    if not needed(compiled, run) or not tabled(run):
        return compiled
    works, path = works_of(compiled), folder / FILE
    table = read(path) if path.exists() else _built(compiled, works, run, path, device, cache, heard)
    try:
        return compiled.timed(Latency(works, table))
    except KeyError:
        raise RunError(f"{path} is the table of another space: use another folder, or remove it") from None


def _built(
    compiled: Compiled,
    works: Works,
    run: Run,
    path: Path,
    device: torch.device,
    cache: Path | None,
    heard: Heard | None,
) -> Table:
    chosen: Chosen = run.settings["latency"]
    device, on = where(chosen, device)
    table = build(compiled, works, on, device, wish(chosen), cache, heard)
    write(table, path)
    return table


def wish(chosen: Chosen) -> Wish:
    """What a table shall rest on, from its setting."""
    options = chosen.options
    return Wish(float(options["seconds"]), options["works"], options["correct"], options["hold"])


def with_latency(measure_others: Measure, compiled: Compiled, run: Run, device: torch.device, store: Store) -> Measure:
    """A measure that also takes the time of each candidate, where a goal of the search asks for that."""
    names = [o.name for o in run.objectives if o.name in TIMES]
    if not names or tabled(run):
        return measure_others
    place = [o.name for o in run.objectives if not is_cost(o.name)].index(names[0])
    chosen: Chosen = run.settings["latency"]
    device, on = where(chosen, device)
    clock = milliseconds(compiled, store, on, device, float(chosen.options["seconds"]))

    def measured(genomes: Sequence[Genome]) -> Iterable[tuple[Genome, Evaluation]]:
        for genome, answer in measure_others(genomes):
            if answer.error is None:
                values = (*answer.values[:place], clock(genome), *answer.values[place:])
                answer = replace(answer, values=values)
            yield genome, answer

    return measured


def milliseconds(
    compiled: Compiled, store: Store, on: Conditions, device: torch.device, seconds: float
) -> Callable[[Genome], float]:
    """The median of one architecture, measured on the device for about `seconds`."""

    def clock(genome: Genome) -> float:
        with threads(on.threads):
            return measure(network(compiled.graph, store, genome, on, device), device, seconds).median / 1e6

    return clock
