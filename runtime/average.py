"""Averages of weights over the steps of a training, which are what is evaluated after it.

The average of a number moves when a step changes the number, by 1 - min(decay, (1 + n) / (10 + n)) of the way to it, n the
steps that have changed its parameter: so the first weights are soon forgotten. Source: Polyak & Juditsky 1992; the share of
the first steps as in TensorFlow's `ExponentialMovingAverage(num_updates)`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .optimise import Box, Boxes, Optimizer

PIECE = 1 << 20
"""Numbers that change places at once."""


def share(decay: float, steps: int) -> float:
    """How far an average moves with the n-th change of its parameter."""
    return 1 - min(decay, (1 + steps) / (10 + steps))


class Average:
    """The averages of a store: as large as it, and changed only where a step has changed the weights."""

    def __init__(self, optimizer: Optimizer, decay: float) -> None:
        self.optimizer = optimizer
        self.decay = decay
        self.flat = optimizer.store.flat.clone()
        self._views: dict[tuple[str, Box], Tensor] = {}

    @torch.no_grad()
    def update(self, boxes: Boxes) -> None:
        """After a step over these boxes."""
        places = [(name, box) for name, several in boxes.items() for box in several]
        if places:
            weights = [share(self.decay, self.optimizer.counts[name]) for name, _ in places]
            parameters = self.optimizer.parameters(boxes)
            averages = [self._view(place, like) for place, like in zip(places, parameters, strict=True)]
            torch._foreach_lerp_(averages, parameters, weights)

    def _view(self, place: tuple[str, Box], like: Tensor) -> Tensor:
        found = self._views.get(place)
        if found is None:
            found = torch.as_strided(self.flat, like.size(), like.stride(), like.storage_offset())
            self._views[place] = found
        return found

    def release(self) -> None:
        """Drop the views of boxes that no architecture will read again."""
        self._views.clear()

    @torch.no_grad()
    def swap(self) -> None:
        """Averages into the store, and its weights here; or back."""
        weights = self.optimizer.store.flat
        for start in range(0, len(weights), PIECE):
            mine, other = self.flat[start : start + PIECE], weights[start : start + PIECE]
            kept = mine.clone()
            mine.copy_(other)
            other.copy_(kept)


class NetworkAverage:
    """The averages of a network's parameters and of its statistics, by the same rule."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.live = [t for t in _tensors(network) if t.is_floating_point()]
        self.kept = [t.detach().clone() for t in self.live]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """After a step."""
        self.steps += 1
        torch._foreach_lerp_(self.kept, self.live, share(self.decay, self.steps))

    @torch.no_grad()
    def settle(self) -> None:
        """Averages into the network."""
        torch._foreach_copy_(self.live, self.kept)


def _tensors(network: nn.Module) -> Iterable[Tensor]:
    state: Mapping[str, Any] = network.state_dict()
    return state.values()
