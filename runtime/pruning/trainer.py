"""Pruning while training: the loss with a pull on every unit, and at declared steps the removal of the least important.

One network in one store, from the largest architecture down to the last budget; each budget that is reached is kept.
HR-NAS (Ding et al. 2021, arXiv 2106.06560), Section 3.3; what is different is that the cost is met: of the units, as many
as a schedule wants go, and the strength of the pull follows how many of them had not yet faded.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from ..device import autocast
from ..optimise import Optimizer, Readings
from ..steps import Progress, Recipe, Step, require_finite
from ..task import Examples
from .choose import Allowed, Queue, permitted
from .importance import factors, magnitude, taylor
from .penalty import Cost, Pull, marginal, mean
from .shrink import Remaining

SAVE_EVERY = 30.0
"""Seconds between checkpoints."""
FADED = 1e-3
"""A factor below this has faded (HR-NAS, Section 4.1)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to prune: a quarter of the steps to warm up, say, then a removal every so many, the rest to tune.

    `budgets`: the costs to reach, falling. `strength`: of the pull, at first; it is as large as the task's loss is. `keep`: the
    share of the units of each group that stays.
    """

    budgets: tuple[float, ...]
    every: int
    warm: float
    tune: float
    strength: float
    importance: str
    keep: float


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


class PruneTrainer:
    """Trains and prunes one network."""

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
    ) -> None:
        """`genes`: the network to begin with. `cost`: what the budgets limit."""
        self.recipe = Recipe(train, data, device)
        self.settings = settings
        self.cost = cost
        self.allowed = allowed
        self.store = Store(graph, self.recipe.seed, device)
        self.planner = Planner(graph, self.store)
        optimizer = self.recipe.settings["optimizer"]
        self.optimizer = Optimizer(self.store, optimizer.name, optimizer.options)
        self.readings = Readings(self.planner)
        self.left = Remaining(groups, genes)
        self.full = self.spent()
        self.strength = settings.strength
        self.events: list[Event] = []
        self.identity = ""
        """What a checkpoint belongs to."""
        self.done = 0
        self.seconds = 0.0
        self.updating = False
        self.mean = mean(self.left, cost)
        self._sensitivity: list[Tensor] = self._fresh()
        self._pull = self._pulled()

    # Steps ---------------------------------------------------------------------------------------------------------

    def step(self) -> float:
        """One optimiser step of the network that is left; its task loss."""
        recipe, step = self.recipe, self.done
        genome = self.left.genome
        plan = self.planner(genome)
        boxes = self.readings.of((genome,))
        total = 0.0
        for part, (images, labels) in enumerate(recipe.batches(step, recipe.parts, range(recipe.parts))):
            with autocast(recipe.device, recipe.precision):
                loss = recipe.loss(plan(images, "batch"), labels) / recipe.parts
            with self.store.collecting(plan.parameters(), alone=part == 0):
                loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        require_finite(total, step)
        if self.settings.importance == "taylor":
            self._feel()
        self._pull.add_gradient(self.store.flat, self.store.gradient, self.weight(step))
        self.updating = True
        self.optimizer.step(boxes, recipe.rate(step))
        self.done += 1
        if self.due():
            self.remove()
        self.updating = False
        return total

    def weight(self, step: int) -> float:
        """The strength of the pull at a step: linear from 0 while warming up, 0 again while tuning."""
        first, last = self._ends()
        return 0.0 if step >= last else self.strength * min(1.0, step / max(1, first))

    def _ends(self) -> tuple[int, int]:
        """The steps of the first and of the last removal."""
        steps, settings = self.recipe.steps, self.settings
        first = max(1, round(settings.warm * steps))
        rounds = max(1, (round((1 - settings.tune) * steps) - first) // settings.every)
        return first, first + rounds * settings.every

    def due(self) -> bool:
        """Whether units are removed after the steps done."""
        first, last = self._ends()
        return first <= self.done <= last and (self.done - first) % self.settings.every == 0

    def wanted(self) -> float:
        """The cost that the schedule wants after the steps done: geometrically from the full one to the last budget."""
        first, last = self._ends()
        along = (self.done - first + self.settings.every) / (last - first + self.settings.every)
        aim: float = self.full * (self.settings.budgets[-1] / self.full) ** along
        reached = [b for b in self.settings.budgets if self.spent() > b >= aim]
        return max([aim, *reached])

    # Removal -------------------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Remove the least important units down to the cost that is wanted, and let the pull follow."""
        scores = self.importance()
        queue = Queue(self.left, scores, self.settings.keep)
        first = permitted(queue, self.cost, self.wanted(), self.allowed)
        forced = int((queue.value[:first] >= FADED).sum())
        flats = (self.store.flat, self.optimizer.first, self.optimizer.second)
        self.left.remove(queue.dead(first), self.store.places, flats[: 3 if self.optimizer.name == "adamw" else 2])
        self.forget()
        if first:
            self.strength *= math.exp(min(1.0, forced / first) - 0.5)
        self.events.append(Event(self.done, tuple(self.left.counts()), self.spent(), first, forced, self.strength))

    def importance(self) -> list[np.ndarray[Any, Any]]:
        """Of each unit of each group; by `taylor` and `magnitude` over what the unit costs."""
        places, flat, name = self.store.places, self.store.flat, self.settings.importance
        prices = marginal(self.left, self.cost)
        out = []
        for k, each in enumerate(self.left.left):
            if name == "factors":
                score = factors(each.group, len(each), places, flat)
            elif name == "magnitude":
                score = magnitude(each.group, len(each), places, flat) / max(prices[k], 1e-12)
            else:
                score = self._sensitivity[k] / max(prices[k], 1e-12)
            out.append(score.detach().double().cpu().numpy())
        return out

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
        self._sensitivity = self._fresh()
        self._pull = self._pulled()

    def _pulled(self) -> Pull:
        prices = marginal(self.left, self.cost) / self.mean
        return Pull(self.left, prices.tolist(), self.store.places, self.store.flat.device)

    def spent(self) -> float:
        """The cost of the network that is left."""
        return float(self.cost(np.array([self.left.genome], np.int16))[0])

    # Runs ----------------------------------------------------------------------------------------------------------

    def run(
        self,
        path: Path | None = None,
        progress: Progress | None = None,
        reached: Callable[[int], None] | None = None,
    ) -> None:
        """Train to the end; with `path`, continue from it and save to it, also when interrupted. `reached(k)` is called, again
        after an interruption, when the network meets budget k, and for the last one at the end.

        Raises CheckpointError if `path` cannot be continued, RunError if training diverges or a budget cannot be met.
        """
        if path is not None and path.exists():
            self.load(checkpoint.load(path, self.recipe.device))
        before, kept = self.seconds, self.done
        begun = saved = time.monotonic()
        try:
            while self.done < self.recipe.steps:
                loss = self.step()
                now = time.monotonic()
                self.seconds = before + now - begun
                self._report(reached)
                if progress:
                    progress(Step(self.done, self.recipe.steps, loss, now - begun))
                if path is not None and now - saved > SAVE_EVERY:
                    checkpoint.save(path, self.state())
                    saved, kept = now, self.done
        finally:
            if path is not None and self.done != kept and not self.updating:
                checkpoint.save(path, self.state())

    def _report(self, reached: Callable[[int], None] | None) -> None:
        """Tell which budgets the last removal met; the last budget counts when its network has been tuned."""
        budgets, events = self.settings.budgets, self.events
        if reached is None:
            return
        if self.done == self.recipe.steps:
            reached(len(budgets) - 1)
        elif events and events[-1].step == self.done:
            before = events[-2].cost if len(events) > 1 else math.inf
            for k, budget in enumerate(budgets[:-1]):
                if events[-1].cost <= budget < before:
                    reached(k)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        plain = {
            "genes": self.left.genes,
            "units": [each.units.tolist() for each in self.left.left],
            "events": [[e.step, e.counts, e.cost, e.removed, e.forced, e.strength] for e in self.events],
            "strength": self.strength,
        }
        own = {
            "identity": self.identity,
            "step": self.done,
            "seconds": self.seconds,
            "store": self.store.flat,
            "pruned": json.dumps(plain),
        }
        return {**own, "sensitivity": self._sensitivity, **self.optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises CheckpointError if it is of another network or another pruning."""
        if state.get("identity") != self.identity:
            raise checkpoint.CheckpointError(
                "the checkpoint in this folder is of another network or another pruning; use another folder"
            )
        with torch.no_grad():
            self.store.flat.copy_(state["store"])
        self.optimizer.load_state_dict(state)
        plain = json.loads(state["pruned"])
        self.left.genes = plain["genes"]
        for each, units in zip(self.left.left, plain["units"], strict=True):
            each.units = np.array(units, np.int64)
        self.events = [Event(s, tuple(c), *rest) for s, c, *rest in plain["events"]]
        self.strength = plain["strength"]
        self.forget()
        self._sensitivity = list(state["sensitivity"])
        self.done, self.seconds = int(state["step"]), float(state["seconds"])
