"""What a strategy needs of the goals of its search: checked from the text alone."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from . import errors
from .diagnostic import Diagnostic
from .settings import Chosen
from .syntax import Block, Fix

if TYPE_CHECKING:
    from .model import Objective


def strategy_faults(block: Block, strategy: Chosen | None, goals: "Sequence[Objective]") -> Iterator[Diagnostic]:
    """Goals that the strategy of a search cannot do with; without goals it has two, of which one is a cost."""
    from .model import METRICS

    lines = (line for line in block.lines if isinstance(line, Fix) and str(line.target) == "strategy")
    line = next(lines, None)
    if strategy is None or line is None:
        return
    count = len(goals) or 2
    weights = strategy.options.get("weights", ())
    if strategy.name == "aging" and count != 1:
        why = f"aging evolution has one goal, not {count}; what else counts is a constraint: `require macs <= 1G`"
        yield errors.bad_setting(
            "strategy", why, line.value.span, f"nsga2(population = {strategy.options['population']})"
        )
    if strategy.name == "nsga3" and count == 1:
        yield errors.bad_setting("strategy", "NSGA-III needs at least two goals", line.value.span, "aging")
    if strategy.options.get("ceiling") and goals and all(g.maximize or g.name in METRICS for g in goals):
        why = "a ceiling needs a cost that is minimised"
        yield errors.bad_setting("strategy", why, line.value.span, "nsga2(ceiling = false)")
    shares = [strategy.options.get(name) for name in ("warm", "tune")]
    if strategy.name == "prune" and sum(share for share in shares if isinstance(share, int | Fraction)) > 1:
        why = "`warm` and `tune` leave no steps to prune in"
        yield errors.bad_setting("strategy", why, line.value.span, "prune(warm = 1/4, tune = 1/4)")
    apart = [str(x.target) for x in block.lines if isinstance(x, Fix) and str(x.target) in ("split", "race")]
    if strategy.name == "prune" and apart:
        why = f"`prune` trains one network: leave out `{apart[0]}`"
        yield errors.bad_setting("strategy", why, line.value.span, "nsga2(population = 40)")
    if not isinstance(weights, tuple):
        return
    if weights and len(weights) != count:
        example = f"nsga2(weights = [{', '.join(['1'] * count)}])"
        why = f"{len(weights)} weights for {count} goals"
        yield errors.bad_setting("strategy", why, line.value.span, example)
    elif weights and not any(weights):
        yield errors.bad_setting("strategy", "all weights are zero", line.value.span, "nsga2(weights = [2, 1])")
