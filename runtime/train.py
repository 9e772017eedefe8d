"""Training of a supernet over its parameter store: one architecture in a step, or several, and what a checkpoint holds."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..compiler.api import Compiled
from ..compiler.plan import Planner
from ..compiler.store import Store
from . import checkpoint, compiling
from .average import Average
from .device import autocast
from .distributed import ALONE, Group
from .optimise import Boxes, Optimizer, Readings
from .sampling import Genome, Sampler
from .steps import Progress, Recipe, Step, require_finite
from .task import Examples, distillation_loss


class SupernetTrainer:
    """Trains all architectures of a space in one store, a few in each step.

    `store` holds the weights to evaluate: while training those that are trained, after it, with `ema`, their averages.
    """

    def __init__(
        self,
        compiled: Compiled,
        settings: Mapping[str, Any],
        data: Examples,
        device: torch.device,
        group: Group = ALONE,
    ) -> None:
        """`group`: the processes that train together; each makes a trainer of its own."""
        self.compiled = compiled
        self.recipe = Recipe(settings, data, device)
        self.settings = settings = self.recipe.settings
        self.data = data
        self.device = device
        self.group = group
        self.parts, self.mine = group.shares(self.recipe.parts)
        self.architectures = Sampler(compiled, settings)
        self.store = Store(compiled.graph, settings["seed"], device)
        self.planner = Planner(compiled.graph, self.store)
        self.cells = compiling.cells(self.planner) if self.recipe.compile else None
        self.optimizer = Optimizer(self.store, settings["optimizer"].name, settings["optimizer"].options)
        self.average = Average(self.optimizer, self.recipe.ema) if self.recipe.ema else None
        self.readings = Readings(self.planner)
        self.identity = _identity(self.store, settings)
        self.done = 0
        self.seconds = 0.0
        self.updating = False
        self.settled = False
        """Whether the averages are in the store."""

    def step(self) -> float:
        """One optimiser step; the mean loss of its architectures."""
        recipe, step, sample = self.recipe, self.done, self.settings["sample"]
        architectures = self.architectures(step)
        boxes = self.readings.of(tuple(architectures))
        with compiling.explained():
            loss = self._gradients(architectures, boxes)
        require_finite(loss, step)
        self.group.add(self.optimizer.gradients(boxes))
        if recipe.clip:
            self.optimizer.clip(boxes, recipe.clip)
        decayed = self.readings.of((architectures[0],)) if sample.options.get("decay") == "largest" else None
        self.updating = True
        self.optimizer.step(boxes, recipe.rate(step), decayed)
        if self.average is not None:
            self.average.update(boxes)
        self.done += 1
        self.updating = False
        return loss

    def _gradients(self, architectures: list[Genome], boxes: Boxes) -> float:
        """The mean loss of these architectures over the whole batch; the gradients of my parts of it are in the store, those of
        the mean, or with `fair` of the sum over the architectures."""
        count, sample = len(architectures), self.settings["sample"]
        scale = 1 / (self.parts * (1 if sample.name == "fair" else count))
        alone = count == len(self.mine) == 1
        if not alone:
            self.optimizer.clear(boxes)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for images, labels in self.recipe.batches(self.done, self.parts, self.mine):
            teacher = None
            for genes in architectures:
                plan = self.planner(genes)
                with autocast(self.device, self.recipe.precision):
                    logits = plan(images, "batch") if self.cells is None else self.cells(genes)(images)
                loss = self._loss(logits, labels, teacher)
                if sample.options.get("distill") and teacher is None:
                    teacher = logits.detach()
                with self.store.collecting(plan.parameters(), alone):
                    (loss * scale).backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
        self.group.add([total])
        return float(total) / (count * self.parts)

    def _loss(self, logits: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
        return self.recipe.loss(logits, labels) if teacher is None else distillation_loss(logits, teacher)

    def run(self, path: Path | None = None, progress: Progress | None = None) -> None:
        """Train to the end; with `path`, continue from it and save to it, also when interrupted.

        Raises CheckpointError if `path` cannot be continued, RunError if training diverges.
        """
        self._settle(False)
        kept = path if self.group.leads else None
        if kept is not None and kept.exists():
            self.load(checkpoint.load(kept, self.device))
        self._spread()
        before, begun = self.seconds, time.monotonic()
        with checkpoint.keeping(self, kept) as tick:
            while self.done < self.recipe.steps:
                loss = self.step()
                now = time.monotonic()
                self.seconds = before + now - begun
                if progress:
                    progress(Step(self.done, self.recipe.steps, loss, now - begun))
                tick()
        self._settle(True)

    def position(self) -> int:
        """The steps done."""
        return self.done

    def _settle(self, wanted: bool) -> None:
        """Averages into the store, if there are any, and the weights that are trained aside; or back."""
        if self.average is not None and self.settled != wanted:
            self.average.swap()
            self.settled = wanted

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: the weights that are trained as `store`, their averages as `average`."""
        own = {"identity": self.identity, "step": self.done, "seconds": self.seconds, "store": self.store.flat}
        if self.average is not None:
            flats = self.store.flat, self.average.flat
            own["store"], own["average"] = reversed(flats) if self.settled else flats
        return {**own, **self.optimizer.state_dict()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises CheckpointError if it is of another space or of another training."""
        if state.get("identity") != self.identity:
            raise checkpoint.CheckpointError(
                "the checkpoint in this study is of another space or another `train` block; use another study"
            )
        self.settled = False
        self.store.flat.copy_(state["store"])
        if self.average is not None:
            self.average.flat.copy_(state["average"])
        self.optimizer.load_state_dict(state)
        self.done, self.seconds = int(state["step"]), float(state["seconds"])

    def _spread(self) -> None:
        """Go on from what the first process of the group has."""
        if self.group.size > 1:
            state = self.state()
            numbers = torch.tensor([self.done, self.seconds], dtype=torch.float64, device=self.device)
            state["counts"] = state["counts"].to(self.device)
            self.group.spread([numbers, *(t for t in state.values() if isinstance(t, Tensor))])
            self.load({**state, "step": int(numbers[0]), "seconds": float(numbers[1])})


def _identity(store: Store, settings: Mapping[str, Any]) -> str:
    """What a checkpoint belongs to: the parameters of the space and how they are trained."""
    sizes = {name: place.size for name, place in store.places.items()}
    plain = json.dumps([sizes, {name: str(value) for name, value in settings.items()}])
    return hashlib.sha256(plain.encode()).hexdigest()
