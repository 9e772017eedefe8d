"""What all training shares: the images and the seed of a step, the rates, how far it is, and what a setting means in torch."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..dsl.settings import completed
from .faults import RunError
from .feed import Feed
from .schedule import rate
from .task import Examples, class_weights, segmentation_loss


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training stands."""

    step: int
    steps: int
    loss: float
    seconds: float


Progress = Callable[[Step], None]


class Recipe:
    """The settings of a `train` block that hold for a supernet and for one network alike."""

    def __init__(self, settings: Mapping[str, Any], data: Examples, device: torch.device) -> None:
        """Settings that are left out have their defaults."""
        self.settings = settings = completed("train", settings)
        self.data = data
        self.device = device
        self.steps: int = settings["steps"]
        self.batch: int = settings["batch"]
        self.seed: int = settings["seed"]
        self.parts: int = settings["accumulate"]
        self.precision: str = settings["precision"]
        self.compile: bool = settings["compile"]
        self.clip = float(settings["clip"])
        self.ema = float(settings["ema"])
        self.peak = float(settings["optimizer"].options["lr"])
        self._smoothing = float(settings["label_smoothing"])
        self._weights = class_weights(data, device)
        self._feed = Feed(data, lambda step: rows(self.seed, step, len(data), self.batch))

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        chosen = self.settings["schedule"]
        return rate(chosen.name, chosen.options, step, self.steps, self.peak)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return segmentation_loss(logits, labels, self._weights, self.data.ignore, self._smoothing)

    def batches(self, step: int, parts: int, mine: range) -> Iterator[tuple[Tensor, Tensor]]:
        """Those of the equal parts of a step's batch that are mine, each with torch seeded for it."""
        share = self.batch // parts
        if share * parts != self.batch:
            raise RunError(f"a batch of {self.batch} images has no {parts} equal parts; choose another `batch`")
        images, labels = self._feed(step)
        for part in mine:
            seed_dropout(self.seed, step, part)
            own = slice(part * share, (part + 1) * share)
            yield self.data.ready(images[own], labels[own])


def rows(seed: int, step: int, count: int, batch: int) -> Tensor:
    """The images of a step: a function of seed and step alone, so that a resumed training sees the same."""
    rng = np.random.default_rng((seed, step, 1))
    return torch.from_numpy(rng.integers(0, count, batch))


def seed_dropout(seed: int, step: int, part: int = 0) -> None:
    """Seed torch for one part of a step, again by these numbers alone."""
    torch.manual_seed(int(np.random.default_rng((seed, step, 3, part)).integers(1 << 62)))


def require_finite(loss: float, step: int) -> None:
    """Raises RunError if a loss is NaN or infinite: no later step would mend the weights."""
    if not math.isfinite(loss):
        raise RunError(f"training diverged: the loss of step {step + 1} is {loss}; lower `lr` of the optimizer")
