"""Costs as data and as text: exact integers beside rounded units."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..compiler.conventions import CONVENTIONS, DEFAULT
from .common import table

if TYPE_CHECKING:
    from ..compiler.api import Compiled

COSTS = ("parameters", "macs", "peak_activation_bytes")
"""The costs, under their names in --json."""
QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
_WORDS = {"parameters": "parameters", "macs": "MACs", "peak_activation_bytes": "peak activation"}
_DECIMAL = ((10**12, " T"), (10**9, " G"), (10**6, " M"), (10**3, " k"), (1, ""))
_BINARY = ((2**40, " TiB"), (2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B"))


def add_convention(parser: ArgumentParser) -> None:
    """`--convention`, for verbs that show costs."""
    help = (
        f"also the operations that another counter would say: {', '.join(n for n in CONVENTIONS if n != DEFAULT)}; "
        f"`hrdsl explain NAME` tells what each counts (default: {DEFAULT})"
    )
    parser.add_argument("--convention", metavar="NAME", choices=tuple(CONVENTIONS), default=DEFAULT, help=help)


def named(args: Namespace) -> dict[str, str]:
    """The convention as a field of the data: nothing for MACs, which are always shown."""
    return {"convention": args.convention} if args.convention != DEFAULT else {}


def shown(costs: Mapping[str, Any]) -> list[str]:
    """The costs that are shown, in order: `operations` behind the MACs where they are counted."""
    names = list(COSTS)
    if "operations" in costs:
        names.insert(names.index("macs") + 1, "operations")
    return names


def figures(space: "Compiled", genes: Sequence[int], convention: str = DEFAULT) -> dict[str, Any]:
    """The costs of one architecture."""
    costs = space.counted(convention).one(genes)
    return {name: _plain(costs[name]) for name in shown(costs)}


def _plain(value: Any) -> Any:
    """A whole number, or a fraction as JSON can say it."""
    return float(value) if isinstance(value, Fraction) else value


def distribution(space: "Compiled", number: int, seed: int, convention: str = DEFAULT) -> dict[str, Any]:
    """The costs of `number` uniform architectures: for each cost the quantiles, each the figure of an architecture."""
    import numpy

    costs = space.counted(convention)(space.decisions.sample(numpy.random.default_rng(seed), number))
    return {"size": number, "seed": seed, **{name: _quantiles(costs[name]) for name in shown(costs)}}


def _quantiles(values: Any) -> dict[str, Any]:
    import numpy

    found = {word: numpy.quantile(values, q, method="nearest") for word, q in QUANTILES.items()}
    return {word: _plain(v.item() if isinstance(v, numpy.generic) else v) for word, v in found.items()}


def short(name: str, value: float) -> str:
    """`12.3 M`, `4.50 KiB`."""
    scale, unit = next((s for s in (_BINARY if name.endswith("bytes") else _DECIMAL) if value >= s[0]), (1, ""))
    if scale == 1:
        return f"{value}{' B' if name.endswith('bytes') else ''}"
    part = value / scale
    return f"{part:.{2 if part < 10 else 1 if part < 100 else 0}f}{unit}"


def columns(named: Mapping[str, Mapping[str, Any]], indent: int = 2, convention: str = "") -> list[str]:
    """A table: one row for each cost, a rounded and an exact column for each of `named`."""
    rows = [["", *(cell for name in named for cell in (name, ""))]]
    for cost in shown(next(iter(named.values()))):
        cells = [cell for one in named.values() for cell in (short(cost, one[cost]), f"{one[cost]:,}")]
        rows.append([_WORDS.get(cost, convention), *cells])
    return table(rows, range(1, len(rows[0])), indent)


def quantile_table(population: Mapping[str, Any], convention: str = "") -> list[str]:
    """A table: one row for each quantile, a rounded and an exact column for each cost."""
    costs = shown(population)
    rows = [["", *(cell for cost in costs for cell in (_WORDS.get(cost, convention), ""))]]
    for word in QUANTILES:
        cells = [cell for c in costs for cell in (short(c, population[c][word]), f"{population[c][word]:,}")]
        rows.append([f"{int(word[1:])} %" if word[0] == "q" else word, *cells])
    return table(rows, range(1, len(rows[0])))
