"""Pruning while training: the loss with a pull on every unit, and at declared steps the removal of the least important.

One network in one store, from the largest architecture down to the last budget; each budget that is reached is kept.
HR-NAS (Ding et al. 2021, arXiv 2106.06560), Section 3.3; what is different is that the cost is met: of the units, as many
as a schedule wants go, and the strength of the pull follows how many of them had not yet faded.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...compiler.graph import Graph
from ...compiler.plan import Planner
from ...compiler.store import Store
from ...compiler.units import Group
from .. import checkpoint
from ..average import Average
from ..device import autocast
from ..optimise import Optimizer, Readings
from ..steps import Progress, Recipe, Step, require_finite
from ..task import Examples
from .choose import Allowed, Queue, Want, enough, faded, permitted
from .importance import factors, magnitude, taylor
from .penalty import Cost, Pull, marginal, mean
from .schedule import Removal, removals
from .shrink import Remaining

FADED = 1e-3
"""A factor below this has faded (HR-NAS, Section 4.1)."""
MOST = 10.0
"""The pull gets at most so many times as strong, or as weak, as it is declared."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to prune: a quarter of the steps to warm up, say, then a removal every so many, the rest to tune.

    `budgets`: the costs to reach, falling. `strength`: of the pull, at first; without `factors` as the importance there is none.
    `keep`: the share of the units of each group that stays. `multiple`: of channels or tokens, that groups keep. `rule`: as few
    units as bring the cost to what is due (`budget`), or all that have faded, by a pull that stays as it began (`faded`).
    """

    budgets: tuple[float, ...]
    every: int
    warm: float
    tune: float
    strength: float
    importance: str
    keep: float
    multiple: int
    rule: str


@dataclass(frozen=True, slots=True)
class Event:
    """A removal: after `step` steps, `counts` units are left in each group and the network costs `cost`. `forced` of the
    `removed` units had not faded."""

    step: int
    counts: tuple[int, ...]
    cost: float
    removed: int
    forced: int
    strength: float


Report = dict[str, Any]
"""What is to be known of a network that met a budget, as plain data."""


class PruneTrainer:
    """Trains and prunes one network.

    `store` holds the weights that are trained, in the midst of `averaged` their averages, where there are any.
    """

    def __init__(
        self,
        graph: Graph,
        groups: Sequence[Group],
        genes: Sequence[int],
        train: Mapping[str, Any],
        settings: Settings,
        cost: Cost,
        allowed: Allowed,
        data: Examples,
        device: torch.device,
        limits: Sequence[Want] = (),
    ) -> None:
        """`genes`: the network to begin with. `cost`: what the budgets limit; `limits`: other costs, which every network that meets
        a budget keeps. Raises RunError if there are more budgets than removals."""
        self.recipe = Recipe(train, data, device)
        self.settings = settings
        self.cost = cost
        self.allowed = allowed
        self.store = Store(graph, self.recipe.seed, device)
        self.planner = Planner(graph, self.store)
        optimizer = self.recipe.settings["optimizer"]
        self.optimizer = Optimizer(self.store, optimizer.name, optimizer.options)
        self.average = Average(self.optimizer, self.recipe.ema) if self.recipe.ema else None
        self.readings = Readings(self.planner)
        self.left = Remaining(groups, genes)
        self.start = tuple(self.left.counts())
        """The units of each group at the first step."""
        self.full = self.spent()
        self.limits = [(limit, most, self._of(limit)) for limit, most in limits]
        self.removals = {
            r.step: r
            for r in removals(
                settings.budgets, self.full, self.recipe.steps, settings.every, settings.warm, settings.tune
            )
        }
        self.strength = settings.strength if settings.importance == "factors" else 0.0
        self.events: list[Event] = []
        self.networks: dict[int, Report] = {}
        """What `run` was told of the networks that met a budget, by its number."""
        self.identity = ""
        """What a checkpoint belongs to."""
        self.done = 0
        self.seconds = 0.0
        self.updating = False
        self.mean = mean(self.left, cost)
        self.prices = self._prices()
        """Of the last unit of each group, over the mean cost of a unit: now, or, where what has faded goes, at the start."""
        self._sensitivity: list[Tensor] = self._fresh()
        self._pull = self._pulled()

    def begin(self) -> None:
        """After weights were put into the store: averages begin with them."""
        if self.average is not None:
            with torch.no_grad():
                self.average.flat.copy_(self.store.flat)

    # Steps ---------------------------------------------------------------------------------------------------------

    def step(self) -> float:
        """One optimiser step of the network that is left, after the removal that is due before it; its task loss."""
        if self.due():
            self.remove()
        recipe, step = self.recipe, self.done
        genome = self.left.genome
        plan = self.planner(genome)
        boxes = self.readings.of((genome,))
        total = 0.0
        for part, (images, labels) in enumerate(recipe.batches(step, recipe.parts, range(recipe.parts))):
            with autocast(recipe.device, recipe.precision):
                logits = plan(images, "batch")
            loss = recipe.loss(logits, labels) / recipe.parts
            with self.store.collecting(plan.parameters(), alone=part == 0):
                loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        require_finite(total, step)
        self.updating = True
        if self.settings.importance == "taylor":
            self._feel()
        if weight := self.weight(step):
            self._pull.add_gradient(self.store.flat, self.store.gradient, weight)
        if recipe.clip:
            self.optimizer.clip(boxes, recipe.clip)
        self.optimizer.step(boxes, recipe.rate(step))
        if self.average is not None:
            self.average.update(boxes)
        self.done += 1
        self.updating = False
        return total

    def weight(self, step: int) -> float:
        """The strength of the pull at a step: linear from 0 while warming up, 0 again while tuning."""
        first, last = min(self.removals), max(self.removals)
        return 0.0 if step >= last else self.strength * min(1.0, step / first)

    def due(self) -> bool:
        """Whether units are removed before the next step."""
        return self.done in self.removals and not (self.events and self.events[-1].step == self.done)

    # Removal -------------------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Remove the least important units down to the cost that is wanted, and let the pull follow."""
        queue = Queue(self.left, self.importance(), self.settings.keep, self.settings.multiple)
        first = permitted(queue, self.rule(self.removals[self.done]), self.allowed)
        values = queue.values(first)
        removed, forced = len(values), int((values >= FADED).sum())
        self.updating = True
        self.left.remove(queue.dead(first), self.store.places, self._flats())
        self.forget()
        if removed and self.settings.rule == "budget":
            self.strength = self._bounded(self.strength * math.exp(min(1.0, forced / removed) - 0.5))
        self.events.append(Event(self.done, tuple(self.left.counts()), self.spent(), removed, forced, self.strength))
        self.updating = False

    def _bounded(self, strength: float) -> float:
        """A strength that neither outgrows the task nor is lost."""
        return min(max(strength, self.settings.strength / MOST), self.settings.strength * MOST)

    def rule(self, removal: Removal) -> Callable[[Queue], int]:
        """How many blocks of a queue are due."""
        if self.settings.rule == "faded":
            return partial(faded, below=FADED)
        return partial(enough, wants=self.wants(removal))

    def wants(self, removal: Removal) -> list[Want]:
        """The most that each cost may be after a removal; the other costs fall geometrically up to the first budget."""
        others = [(cost, max(most, full * (most / full) ** removal.share)) for cost, most, full in self.limits]
        return [(self.cost, removal.wanted), *others]

    def _flats(self) -> list[Tensor]:
        """All that is laid out like the parameters."""
        flats = [self.store.flat, self.optimizer.first]
        flats += [self.optimizer.second] if self.optimizer.second is not self.optimizer.first else []
        return flats + ([self.average.flat] if self.average is not None else [])

    def importance(self) -> list[np.ndarray[Any, Any]]:
        """Of each unit of each group: of the weights or of their averages, whichever is more, so that a unit goes when both say so
        (HR-NAS, its code). A loss, by `taylor`, is taken over what the unit costs."""
        by_loss = self.settings.importance == "taylor"
        prices = np.maximum(marginal(self.left, self.cost), 1e-12) if by_loss else np.ones(len(self.left.left))
        found = [self._scores(self.store.flat)]
        found += [self._scores(self.average.flat)] if self.average is not None else []
        several = [torch.stack(scores).amax(0) for scores in zip(*found, strict=True)]
        return [t.detach().double().cpu().numpy() / price for t, price in zip(several, prices, strict=True)]

    def _scores(self, flat: Tensor) -> list[Tensor]:
        """Of each unit, by the weights in `flat`, or by what was gathered."""
        if self.settings.importance == "taylor":
            return self._sensitivity
        score = factors if self.settings.importance == "factors" else magnitude
        return [score(each.group, len(each), self.store.places, flat) for each in self.left.left]

    def _feel(self) -> None:
        """Gather what each unit means for the loss, from the gradient of this step."""
        for k, each in enumerate(self.left.left):
            self._sensitivity[k] += taylor(
                each.group, len(each), self.store.places, self.store.flat, self.store.gradient
            )

    def _fresh(self) -> list[Tensor]:
        return [torch.zeros(len(each), device=self.store.flat.device) for each in self.left.left]

    def forget(self) -> None:
        """After a removal: what was made for the larger network."""
        self.store.release()
        self.optimizer.release()
        if self.average is not None:
            self.average.release()
        self._sensitivity = self._fresh()
        if self.settings.rule == "budget":
            self.prices = self._prices()
        self._pull = self._pulled()

    def _pulled(self) -> Pull:
        return Pull(self.left, self.prices, self.store.places, self.store.flat.device)

    def _prices(self) -> list[float]:
        prices = np.maximum(marginal(self.left, self.cost), 0.0) / (self.mean if self.mean > 0 else np.inf)
        return list(prices.tolist())

    def spent(self) -> float:
        """The cost of the network that is left."""
        return self._of(self.cost)

    def _of(self, cost: Cost) -> float:
        return float(cost(np.array([self.left.genome], np.int16))[0])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the store holds the averages, where there are any."""
        if self.average is None:
            yield
            return
        self._swap(self.average)
        try:
            yield
        finally:
            self._swap(self.average)

    def _swap(self, average: Average) -> None:
        self.updating = True
        average.swap()
        self.updating = False

    # Runs ----------------------------------------------------------------------------------------------------------

    def run(
        self,
        path: Path | None = None,
        progress: Progress | None = None,
        reached: Callable[[int], Report] | None = None,
        removed: Callable[[Event], None] | None = None,
    ) -> None:
        """Train to the end; with `path`, continue from it and save to it, also when interrupted. `reached(k)` is called with the
        averages in the store when the network that meets budget k is trained: just before it shrinks on, the last one at the
        end. What it returns is kept in `networks` and in the checkpoint. `removed` hears of removals.

        Raises CheckpointError if `path` cannot be continued, RunError if training diverges or a budget cannot be met.
        """
        if path is not None and path.exists():
            self.load(checkpoint.load(path, self.recipe.device))
        before, begun = self.seconds, time.monotonic()
        with checkpoint.keeping(self, path) as tick:
            while self.done < self.recipe.steps:
                self._report(reached)
                count = len(self.events)
                loss = self.step()
                now = time.monotonic()
                self.seconds = before + now - begun
                if removed and len(self.events) > count:
                    removed(self.events[-1])
                if progress:
                    progress(Step(self.done, self.recipe.steps, loss, now - begun))
                tick()
            if self.due():
                self.remove()
                if removed:
                    removed(self.events[-1])
            self._report(reached)

    def position(self) -> tuple[int, int]:
        """The steps done, and the networks that met a budget."""
        return self.done, len(self.networks)

    def _report(self, reached: Callable[[int], Report] | None) -> None:
        """Tell of the network that the next step makes smaller, or of the last one, if it meets a budget."""
        if reached is None:
            return
        k = self._ready()
        if k is not None and k not in self.networks:
            with self.averaged():
                found = reached(k)
            self.networks[k] = found

    def _ready(self) -> int | None:
        """The budget that the network as it is was trained for."""
        if self.done == self.recipe.steps and not self.due():
            return len(self.settings.budgets) - 1
        return self.removals[self.events[-1].step].budget if self.events and self.due() else None

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        plain = {
            "genes": self.left.genes,
            "units": [each.units.tolist() for each in self.left.left],
            "events": [[e.step, e.counts, e.cost, e.removed, e.forced, e.strength] for e in self.events],
            "strength": self.strength,
            "networks": list(self.networks.items()),
        }
        own: dict[str, Any] = {
            "identity": self.identity,
            "step": self.done,
            "seconds": self.seconds,
            "store": self.store.flat,
            "pruned": json.dumps(plain),
        }
        if self.average is not None:
            own["average"] = self.average.flat
        return {**own, "sensitivity": self._sensitivity, **self.optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises CheckpointError if it is of another network or another pruning."""
        if state.get("identity") != self.identity:
            raise checkpoint.CheckpointError(
                "the checkpoint in this folder is of another network or another pruning; use another folder"
            )
        with torch.no_grad():
            self.store.flat.copy_(state["store"])
            if self.average is not None:
                self.average.flat.copy_(state["average"])
        self.optimizer.load_state_dict(state)
        plain = json.loads(state["pruned"])
        self.left.genes = plain["genes"]
        for each, units in zip(self.left.left, plain["units"], strict=True):
            each.units = np.array(units, np.int64)
        self.events = [Event(s, tuple(c), *rest) for s, c, *rest in plain["events"]]
        self.strength = plain["strength"]
        self.networks = dict(map(tuple, plain["networks"]))
        self.forget()
        self._sensitivity = list(state["sensitivity"])
        self.done, self.seconds = int(state["step"]), float(state["seconds"])
