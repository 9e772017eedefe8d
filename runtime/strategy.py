"""How a search block searches: its strategy as settings and engine."""

from ..compiler.api import Compiled
from ..dsl.model import Run
from ..dsl.settings import Chosen
from .objectives import objectives_of
from .search.problem import Config


def config_of(run: Run, compiled: Compiled, seed: int | None) -> Config:
    """The strategy's settings; hypervolume is measured from no accuracy at the worst end of each cost."""
    strategy: Chosen = run.settings["strategy"]
    options = strategy.options
    ends = {
        False: compiled.costs.one(compiled.decisions.largest()),
        True: compiled.costs.one(compiled.decisions.smallest()),
    }
    reference = tuple(float(ends[o.maximize][o.name]) if o.exact else 0.0 for o in objectives_of(run))
    chosen = run.settings["seed"] if seed is None else seed
    if strategy.name == "random":
        total = options["evaluations"]
        return Config(
            seed=chosen,
            population=min(40, total),
            generations=-(-total // min(40, total)),
            evaluations=total,
            reference=reference,
        )
    return Config(
        seed=chosen,
        population=options["population"],
        generations=options["generations"],
        crossover_rate=float(options["crossover"]),
        mutation_rate=float(options["mutation"]),
        reference=reference,
    )
