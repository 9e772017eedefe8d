"""A whole pruning: the largest network of a space, or a fixed network with its widths opened, trained down to its budgets.

One folder holds everything: `pruning.ckpt`, and in `front` for each budget a network as `.arch`, weights and picture.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...compiler.api import Compiled
from ...compiler.flat import flat_text
from ...compiler.found import blocks_of, found_text
from ...compiler.open import opened
from ...compiler.units import Refusal
from ...dsl.diagnostic import Span
from ...dsl.settings import Chosen, Settings
from ..evaluate import plan_miou, recalibrate
from ..faults import RunError
from ..results import Network, network_of, write_network
from ..steps import Progress
from ..task import Examples, check, examples, task_of
from .history import write_history
from .limits import Limits
from .trainer import Event, PruneTrainer
from .trainer import Settings as Pruning

Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What to prune and how: settings of a `train` block, and of the strategy `prune`. `by`: what asks, for the results;
    `asked`: where the budgets stand. `fixed`: the network of which `compiled` is opened; `weights`: what it begins with."""

    compiled: Compiled
    train: Settings
    strategy: Chosen
    by: str
    asked: Span
    recalibrate: int = 64
    validate: int = 200
    weights: Path | None = None
    fixed: Compiled | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of progress; nothing here prints. `begun`: of what is about to be pruned."""

    begun: Callable[["Pruned"], None] | None = None
    training: Progress | None = None
    removed: Callable[[Event], None] | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning leaves."""

    compiled: Compiled
    trainer: PruneTrainer
    calibration: Examples
    validation: Examples
    job: Job
    kept: tuple[Refusal, ...]
    """What could not be pruned."""
    folder: Path

    @property
    def networks(self) -> tuple[Network, ...]:
        """Those that met a budget, cheapest first."""
        found = sorted(self.trainer.networks.items(), reverse=True)
        return tuple(self._network(report) for _, report in found)

    def _network(self, report: Mapping[str, Any]) -> Network:
        genome, base = tuple(report["genome"]), self.folder / "front" / report["name"]
        costs, choices = self.compiled.costs.one(genome), self.compiled.decisions.labels(genome)
        picture = base.with_name(report["picture"])
        arch, weights = base.with_suffix(".arch"), base.with_suffix(".safetensors")
        return Network(base.name, genome, report["values"], costs, choices, arch, weights, picture)


def prune(job: Job, folder: Path, device: torch.device, listen: Listener, cache: Path | None = None) -> Pruned:
    """Train and prune. Continues where an earlier call with the same job and folder stopped.

    Raises ArchError where nothing can be pruned or a budget cannot be met, RunError where the training fails.
    """
    compiled, train = job.compiled, job.train
    check(compiled.graph, train["data"])
    limits = Limits(compiled)
    size, task = compiled.graph.input.extent[0], task_of(compiled.graph)
    data = examples(train["data"], "train", train["images"], size, device, cache, task)
    validation = examples(train["data"], "val", job.validate, size, device, cache, task)
    calibration = data.first(job.recalibrate)
    trainer = trainer_of(limits, job, data, device)
    pruned = Pruned(limits.space, trainer, calibration, validation, job, limits.kept, folder)
    if listen.begun:
        listen.begun(pruned)
    folder.mkdir(parents=True, exist_ok=True)
    trainer.run(folder / "pruning.ckpt", listen.training, lambda k: _write(pruned, k), listen.removed)
    write_history(pruned, folder / "front" / "history.json")
    return pruned


def with_decisions(compiled: Compiled) -> Compiled:
    """A space as it is; a fixed network with a decision for each width."""
    if compiled.graph.decisions:
        return compiled
    return replace(compiled, graph=opened(compiled.graph), settings={}, shared={})


def trainer_of(limits: Limits, job: Job, data: Examples, device: torch.device) -> PruneTrainer:
    """A trainer at its first step. Raises ArchError if a budget cannot be met, RunError."""
    options = job.strategy.options
    name, keep, multiple = options["cost"], float(options["keep"]), options["multiple"]
    if options["rule"] == "faded":
        limits.require_none(options, job.asked)
        budgets: tuple[float, ...] = (limits.full(name),)
    else:
        budgets = limits.budgets(name, options["to"])
        limits.require_reachable(name, budgets[-1], keep, multiple, job.asked)
    settings = Pruning(
        budgets=budgets,
        every=options["every"],
        warm=float(options["warm"]),
        tune=float(options["tune"]),
        strength=float(options["strength"]),
        importance=options["importance"],
        keep=keep,
        multiple=multiple,
        rule=options["rule"],
    )
    space, cost, others = limits.space, limits.cost(name), limits.others(name)
    trainer = PruneTrainer(
        space.graph, limits.groups, limits.genes, job.train, settings, cost, limits.allowed, data, device, others
    )
    trainer.identity = _identity(job, limits, settings)
    fill(trainer, job)
    return trainer


def fill(trainer: PruneTrainer, job: Job) -> None:
    """Begin with the weights of a fixed network. Raises RunError if they are of another, or the job is of a space."""
    if job.weights is None:
        return
    if job.fixed is None:
        raise RunError(f"`{job.compiled.space.name}` has decisions: only a network without any begins with weights")
    try:
        network = network_of(job.fixed, job.weights)
    except ValueError as fault:
        raise RunError(str(fault)) from None
    state = network.state_dict()
    trainer.store.load_state_dict({name: state[own] for name, own in network.meta["parameters"].items()})
    trainer.begin()


def _write(pruned: Pruned, budget: int) -> dict[str, Any]:
    """The network as it is, on disk, and what is to be known of it. The cheapest is the first by name."""
    trainer, job, compiled = pruned.trainer, pruned.job, pruned.compiled
    row = compiled.decisions.canonical(np.array([trainer.left.genome], np.int16))[0]
    genome: Genome = tuple(row.tolist())
    plan = trainer.planner(genome)
    recalibrate(plan, pruned.calibration)
    values = {"miou": plan_miou(plan, pruned.validation), job.strategy.options["cost"]: trainer.spent()}
    base = pruned.folder / "front" / f"net-{len(trainer.settings.budgets) - budget:02d}"
    text_of = found_text if job.fixed is None else _flat
    network = write_network(pruned, genome, values, base, job.by, text_of=text_of)
    plain = {"name": base.name, "step": trainer.done, "genome": genome, "values": values}
    return {**plain, "budget": trainer.settings.budgets[budget], "picture": network.picture.name}


def _flat(compiled: Compiled, genome: Genome, notes: list[str]) -> str:
    text = compiled.model.module.source.text
    blocks = [text[b.span.start : b.span.stop] for b in blocks_of(compiled, "train")]
    return flat_text(compiled.graph, genome, notes, blocks)


def _identity(job: Job, limits: Limits, settings: Pruning) -> str:
    """What a checkpoint belongs to: the network, how it is pruned, and how what is found is measured."""
    given: Mapping[str, Any] = {**job.train, "weights": job.weights, "images": (job.recalibrate, job.validate)}
    asked = [str(settings), str([(b.cost, b.most) for b in limits.bounds]), [str(c.condition) for c in limits.rest]]
    plain = json.dumps([str(limits.space.graph), {k: str(v) for k, v in given.items()}, *asked])
    return hashlib.sha256(plain.encode()).hexdigest()
