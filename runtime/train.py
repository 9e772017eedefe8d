"""Training: of a supernet over its parameter store, and of one network."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..compiler.api import Compiled
from ..compiler.plan import Planner
from ..compiler.store import Store
from . import checkpoint
from .device import autocast
from .faults import RunError
from .optimise import Optimizer, Readings
from .schedule import one_cycle
from .task import Examples, class_weights, distillation_loss, segmentation_loss

Genome = tuple[int, ...]
SAVE_EVERY = 30.0
"""Seconds between checkpoints."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training stands."""

    step: int
    steps: int
    loss: float
    seconds: float


Progress = Callable[[Step], None]


def rows(seed: int, step: int, count: int, batch: int) -> Tensor:
    """The images of a step: a function of seed and step alone, so that a resumed training sees the same."""
    rng = np.random.default_rng((seed, step, 1))
    return torch.from_numpy(rng.integers(0, count, batch))


def seed_dropout(seed: int, step: int) -> None:
    """Seed torch for one step, again by seed and step alone."""
    torch.manual_seed(int(np.random.default_rng((seed, step, 3)).integers(1 << 62)))


def require_finite(loss: float, step: int) -> None:
    """Raises RunError if a loss is NaN or infinite: no later step would mend the weights."""
    if not math.isfinite(loss):
        raise RunError(f"training diverged: the loss of step {step + 1} is {loss}; lower `lr` of the optimizer")


class SupernetTrainer:
    """Trains all architectures of a space in one store, a few in each step."""

    def __init__(self, compiled: Compiled, settings: Mapping[str, Any], data: Examples, device: torch.device) -> None:
        self.compiled = compiled
        self.settings = settings
        self.data = data
        self.device = device
        self.store = Store(compiled.graph, settings["seed"], device)
        self.planner = Planner(compiled.graph, self.store)
        self.optimizer = Optimizer(self.store, settings["optimizer"].name, settings["optimizer"].options)
        self.readings = Readings(self.planner)
        self.weights = class_weights(data.classes, device)
        self.identity = _identity(self.store, settings)
        self.done = 0
        self.seconds = 0.0
        self.updating = False

    def architectures(self, step: int) -> list[Genome]:
        """What a step trains: one uniform sample, or the sandwich (Yu & Huang 2019): largest, smallest, some random."""
        sample = self.settings["sample"]
        rng = np.random.default_rng((self.settings["seed"], step, 2))
        decisions = self.compiled.decisions
        if sample.name == "single":
            drawn = decisions.sample(rng, 1)
            return [tuple(int(g) for g in row) for row in drawn]
        drawn = decisions.sample(rng, sample.options["random"])
        inner = [tuple(int(g) for g in row) for row in drawn]
        return [decisions.largest(), *inner, decisions.smallest()]

    def step(self) -> float:
        """One optimiser step; the mean loss of its architectures."""
        settings, step = self.settings, self.done
        seed_dropout(settings["seed"], step)
        images, labels = self.data.batch(
            rows(settings["seed"], step, len(self.data), settings["batch"]).to(self.device)
        )
        architectures = self.architectures(step)
        boxes = self.readings.of(tuple(architectures))
        alone = len(architectures) == 1
        if not alone:
            self.optimizer.clear(boxes)
        distil = bool(settings["sample"].options.get("distill"))
        total, teacher = 0.0, None
        for genes in architectures:
            plan = self.planner(genes)
            with autocast(self.device):
                logits = plan(images, "batch")
            if teacher is not None:
                loss = distillation_loss(logits, teacher)
            else:
                loss = segmentation_loss(logits, labels, self.weights, self.data.ignore)
                teacher = logits.detach() if distil else None
            with self.store.collecting(plan.parameters(), alone):
                (loss / len(architectures)).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        require_finite(total, step)
        self.updating = True
        self.optimizer.step(boxes, one_cycle(step, settings["steps"], self.optimizer.peak))
        self.done += 1
        self.updating = False
        return total / len(architectures)

    def run(self, path: Path | None = None, progress: Progress | None = None) -> None:
        """Train to the end; with `path`, continue from it and save to it, also when interrupted.

        Raises CheckpointError if `path` cannot be continued, RunError if training diverges.
        """
        if path is not None and path.exists():
            self.load(checkpoint.load(path, self.device))
        before, kept = self.seconds, self.done
        begun = saved = time.monotonic()
        try:
            while self.done < self.settings["steps"]:
                loss = self.step()
                now = time.monotonic()
                self.seconds = before + now - begun
                if progress:
                    progress(Step(self.done, self.settings["steps"], loss, now - begun))
                if path is not None and now - saved > SAVE_EVERY:
                    checkpoint.save(path, self.state())
                    saved, kept = now, self.done
        finally:
            # An interrupt in the midst of an update leaves half of it: then the last checkpoint stands.
            if path is not None and self.done != kept and not self.updating:
                checkpoint.save(path, self.state())

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        own = {"identity": self.identity, "step": self.done, "seconds": self.seconds, "store": self.store.flat}
        return {**own, **self.optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises CheckpointError if it is of another space or of another training."""
        if state.get("identity") != self.identity:
            raise checkpoint.CheckpointError(
                "the checkpoint in this study is of another space or another `train` block; use another study"
            )
        with torch.no_grad():
            self.store.flat.copy_(state["store"])
        self.optimizer.load_state_dict(state)
        self.done, self.seconds = int(state["step"]), float(state["seconds"])


def _identity(store: Store, settings: Mapping[str, Any]) -> str:
    """What a checkpoint belongs to: the parameters of the space and how they are trained."""
    sizes = {name: place.size for name, place in store.places.items()}
    plain = json.dumps([sizes, {name: str(value) for name, value in settings.items()}])
    return hashlib.sha256(plain.encode()).hexdigest()


def train_network(
    network: torch.nn.Module,
    settings: Mapping[str, Any],
    data: Examples,
    device: torch.device,
    progress: Progress | None = None,
) -> None:
    """Train one network from what it holds, with the optimiser, schedule, steps and batch of a `train` block.

    Raises RunError if training diverges.
    """
    options = settings["optimizer"].options
    decayed = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": float(options["weight_decay"])},
        {"params": others, "weight_decay": 0.0},
    ]
    peak = float(options["lr"])
    optimizer: torch.optim.Optimizer
    if settings["optimizer"].name == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=peak)
    else:
        optimizer = torch.optim.SGD(groups, lr=peak, momentum=float(options["momentum"]), nesterov=True)
    weights, begun = class_weights(data.classes, device), time.monotonic()
    network.to(device).train()
    for step in range(settings["steps"]):
        seed_dropout(settings["seed"], step)
        images, labels = data.batch(rows(settings["seed"], step, len(data), settings["batch"]).to(device))
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step, settings["steps"], peak)
        with autocast(device):
            loss = segmentation_loss(network(images), labels, weights, data.ignore)
        require_finite(float(loss.detach()), step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if progress:
            progress(Step(step + 1, settings["steps"], float(loss.detach()), time.monotonic() - begun))
    network.eval()
