"""A whole pruning: the largest network of a space, or a fixed network with its widths opened, trained down to its budgets.

One folder holds everything: `pruning.ckpt`, and for each budget a network as `.arch`, weights and picture.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...compiler.api import Compiled
from ...compiler.flat import flat_text
from ...compiler.found import found_text
from ...compiler.open import opened
from ...compiler.sym import Apply, Metric, conjuncts
from ...compiler.units import Group, Refusal, units
from ...dsl.settings import Chosen, Settings
from ..evaluate import plan_miou, recalibrate
from ..faults import RunError
from ..results import Network, network_of, write_network
from ..steps import Progress
from ..task import Examples, check, examples, task_of
from .trainer import PruneTrainer
from .trainer import Settings as Pruning

Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What to prune and how: settings of a `train` block, and of the strategy `prune`. `by`: what asks, for the results."""

    compiled: Compiled
    train: Settings
    strategy: Chosen
    by: str
    recalibrate: int = 64
    validate: int = 200
    weights: Path | None = None


@dataclass(slots=True)
class Pruned:
    """What a pruning leaves."""

    compiled: Compiled
    trainer: PruneTrainer
    calibration: Examples
    networks: dict[int, Network] = field(default_factory=dict)
    """By budget."""


def prune(
    job: Job, folder: Path, device: torch.device, progress: Progress | None = None, cache: Path | None = None
) -> Pruned:
    """Train and prune. Continues where an earlier call with the same job and folder stopped.

    Raises RunError where nothing can be pruned, a budget cannot be met, or the training diverges.
    """
    compiled = with_decisions(job.compiled)
    check(compiled.graph, job.train["data"])
    size = compiled.graph.input.extent[0]
    data = examples(job.train["data"], "train", job.train["images"], size, device, cache, task_of(compiled.graph))
    validation = examples(job.train["data"], "val", job.validate, size, device, cache, task_of(compiled.graph))
    trainer = trainer_of(compiled, job, data, device)
    calibration = Examples(data.images[: job.recalibrate], data.labels, data.classes, data.ignore)
    pruned = Pruned(compiled, trainer, calibration)
    folder.mkdir(parents=True, exist_ok=True)

    def reached(budget: int) -> None:
        pruned.networks[budget] = _write(pruned, validation, folder / f"net-{budget + 1:02d}", job)

    trainer.run(folder / "pruning.ckpt", progress, reached)
    write_history(trainer, folder / "history.json")
    return pruned


def with_decisions(compiled: Compiled) -> Compiled:
    """A space as it is; a fixed network with a decision for each width."""
    if compiled.graph.decisions:
        return compiled
    return replace(compiled, graph=opened(compiled.graph), settings={}, shared={})


def trainer_of(compiled: Compiled, job: Job, data: Examples, device: torch.device) -> PruneTrainer:
    """A trainer at its first step."""
    genes = compiled.decisions.largest()
    groups, refused = units(compiled.graph, genes)
    if not groups:
        raise RunError(f"`{compiled.space.name}` has nothing that can be pruned{_why(refused)}")
    options = job.strategy.options
    name = options["cost"]

    def cost(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(compiled.prices(rows, [name])[name], np.float64)

    bounds = [c for c in compiled.graph.constraints if bound(c.condition) is not None]
    rest = [c for c in compiled.graph.constraints if c not in bounds]

    def allowed(genome: Genome) -> bool:
        return bool(compiled.decisions.feasible(np.array([genome], np.int16), rest)[0])

    full = float(cost(np.array([genes], np.int16))[0])
    budgets = sorted({full * float(share) for share in options["to"]} | _limits(bounds, name), reverse=True)
    settings = Pruning(
        budgets=tuple(budgets),
        every=options["every"],
        warm=float(options["warm"]),
        tune=float(options["tune"]),
        strength=float(options["strength"]),
        importance=options["importance"],
        keep=float(options["keep"]),
    )
    trainer = PruneTrainer(compiled.graph, groups, genes, job.train, settings, cost, allowed, data, device)
    trainer.identity = _identity(job, compiled)
    if job.weights is not None:
        fill(trainer, job.compiled, job.weights)
    return trainer


def bound(condition: Any) -> tuple[str, float] | None:
    """The cost and the limit of a constraint `cost <= limit`; None of any other."""
    if isinstance(condition, Apply) and condition.function in ("<=", "<") and isinstance(condition.args[0], Metric):
        limit = condition.args[1]
        return (condition.args[0].name, float(limit)) if isinstance(limit, int | float) else None
    return None


def _limits(bounds: list[Any], name: str) -> set[float]:
    found = [bound(part) for c in bounds for part in conjuncts(c.condition)]
    return {limit for cost, limit in filter(None, found) if cost == name}


def _why(refused: tuple[Refusal, ...]) -> str:
    return "".join(f"; {r.decision.path}: {r.reason}" for r in refused[:4])


def fill(trainer: PruneTrainer, compiled: Compiled, weights: Path) -> None:
    """Begin with the weights of a fixed network. Raises RunError if they are of another."""
    try:
        network = network_of(compiled, weights)
    except ValueError as fault:
        raise RunError(str(fault)) from None
    state = network.state_dict()
    trainer.store.load_state_dict({name: state[own] for name, own in network.meta["parameters"].items()})


def _write(pruned: Pruned, validation: Examples, base: Path, job: Job) -> Network:
    trainer = pruned.trainer
    genome = trainer.left.genome
    plan = trainer.planner(genome)
    recalibrate(plan, pruned.calibration)
    values = {"miou": plan_miou(plan, validation), job.strategy.options["cost"]: trainer.spent()}
    text_of = found_text if job.compiled.graph.decisions else _flat
    return write_network(pruned, genome, values, base, job.by, text_of=text_of)


def _flat(compiled: Compiled, genome: Genome, notes: list[str]) -> str:
    return flat_text(compiled.graph, genome, notes)


def write_history(trainer: PruneTrainer, path: Path) -> None:
    """The units left in each group after each removal, and which they are."""
    from ..files import write

    groups: list[Group] = [each.group for each in trainer.left.left]
    data = {
        "groups": [{"decision": g.path, "units": g.count} for g in groups],
        "events": [
            {
                "step": e.step,
                "units": list(e.counts),
                "cost": e.cost,
                "removed": e.removed,
                "forced": e.forced,
                "strength": e.strength,
            }
            for e in trainer.events
        ],
        "left": [each.units.tolist() for each in trainer.left.left],
    }
    write(path, json.dumps(data) + "\n")


def _identity(job: Job, compiled: Compiled) -> str:
    """What a checkpoint belongs to: the network and how it is pruned."""
    given: Mapping[str, Any] = {**job.train, "strategy": job.strategy, "weights": job.weights}
    plain = json.dumps([str(compiled.graph), {k: str(v) for k, v in given.items()}])
    return hashlib.sha256(plain.encode()).hexdigest()
