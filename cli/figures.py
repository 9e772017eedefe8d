"""Costs as data and as text: exact integers beside rounded units."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .common import table

if TYPE_CHECKING:
    from ..compiler.api import Compiled

COSTS = ("parameters", "macs", "peak_activation_bytes")
"""The costs, under their names in --json."""
QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
_WORDS = {"parameters": "parameters", "macs": "MACs", "peak_activation_bytes": "peak activation"}
_DECIMAL = ((10**12, " T"), (10**9, " G"), (10**6, " M"), (10**3, " k"), (1, ""))
_BINARY = ((2**40, " TiB"), (2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B"))


def figures(space: "Compiled", genes: Sequence[int]) -> dict[str, int]:
    """The costs of one architecture."""
    costs = space.costs.one(genes)
    return {name: costs[name] for name in COSTS}


def distribution(space: "Compiled", number: int, seed: int) -> dict[str, Any]:
    """The costs of `number` uniform architectures: for each cost the quantiles, each the figure of an architecture."""
    import numpy

    costs = space.costs(space.decisions.sample(numpy.random.default_rng(seed), number))
    return {"size": number, "seed": seed, **{name: _quantiles(costs[name]) for name in COSTS}}


def _quantiles(values: Any) -> dict[str, int]:
    import numpy

    return {word: int(numpy.quantile(values, q, method="nearest")) for word, q in QUANTILES.items()}


def short(name: str, value: int) -> str:
    """`12.3 M`, `4.50 KiB`."""
    scale, unit = next((s for s in (_BINARY if name.endswith("bytes") else _DECIMAL) if value >= s[0]), (1, ""))
    if scale == 1:
        return f"{value}{' B' if name.endswith('bytes') else ''}"
    part = value / scale
    return f"{part:.{2 if part < 10 else 1 if part < 100 else 0}f}{unit}"


def columns(named: Mapping[str, Mapping[str, int]], indent: int = 2) -> list[str]:
    """A table: one row for each cost, a rounded and an exact column for each of `named`."""
    rows = [["", *(cell for name in named for cell in (name, ""))]]
    for cost in COSTS:
        cells = [cell for one in named.values() for cell in (short(cost, one[cost]), f"{one[cost]:,}")]
        rows.append([_WORDS[cost], *cells])
    return table(rows, range(1, len(rows[0])), indent)


def quantile_table(population: Mapping[str, Any]) -> list[str]:
    """A table: one row for each quantile, a rounded and an exact column for each cost."""
    rows = [["", *(cell for cost in COSTS for cell in (_WORDS[cost], ""))]]
    for word in QUANTILES:
        cells = [cell for c in COSTS for cell in (short(c, population[c][word]), f"{population[c][word]:,}")]
        rows.append([f"{int(word[1:])} %" if word[0] == "q" else word, *cells])
    return table(rows, range(1, len(rows[0])))
