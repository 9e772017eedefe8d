"""Optimisers over a parameter store: a step touches what the architectures of the step read, and nothing else.

What was not read gets no momentum, no weight decay and no bias-correction step.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from ..compiler.axis import Runs
from ..compiler.plan import Planner
from ..compiler.specialise import Live
from ..compiler.store import Store

Reading = tuple[Runs, ...]
"""What one architecture reads of a parameter: the runs of each axis."""
Box = tuple[tuple[int, int], ...]
"""(start, length) on each axis."""
Boxes = Mapping[str, tuple[Box, ...]]
Views = tuple[Tensor, Tensor, Tensor, Tensor]
"""Parameter, gradient and both states of a box."""


def touched(names: tuple[str, ...], architectures: Iterable[tuple[Live, ...]]) -> Boxes:
    """What some architectures read, as disjoint boxes of each parameter. `names` are the node names of the graph."""
    found: dict[str, dict[Reading, None]] = {}
    for lives in architectures:
        for live in lives:
            for weight, runs in live.entry.weights:
                found.setdefault(f"{names[live.node]}.{weight}", {})[runs] = None
    return {name: boxes(tuple(readings)) for name, readings in found.items()}


class Readings:
    """`touched` of one graph, remembered for the last sets of architectures like the plans themselves."""

    def __init__(self, planner: Planner) -> None:
        self.names = tuple(n.name for n in planner.graph.nodes)
        self.specialiser = planner.specialiser
        self.of = lru_cache(256)(self._of)
        self.boxes_of = lru_cache(1 << 17)(self._boxes_of)

    def _of(self, architectures: tuple[tuple[int, ...], ...]) -> Boxes:
        if len(architectures) == 1:
            return {name: found for live in self.specialiser(architectures[0]) for name, found in self.boxes_of(live)}
        return touched(self.names, map(self.specialiser, architectures))

    def _boxes_of(self, live: Live) -> tuple[tuple[str, tuple[Box, ...]], ...]:
        """What one operation reads: of one architecture no other reads the same."""
        return tuple(touched(self.names, ((live,),)).items())


@lru_cache(1 << 16)
def boxes(readings: tuple[Reading, ...]) -> tuple[Box, ...]:
    """Disjoint boxes that hold what some reading reads, and nothing else."""
    kept = [r for k, r in enumerate(readings) if not any(_covers(o, r) for j, o in enumerate(readings) if j != k)]
    starts = (
        sorted({edge for runs in axis for s, n in runs for edge in (s, s + n)}) for axis in zip(*kept, strict=True)
    )
    cells = (tuple((a, b - a) for a, b in cell) for cell in product(*map(pairwise, starts)))
    return tuple(cell for cell in cells if any(_covers(r, tuple((run,) for run in cell)) for r in kept))


def _covers(outer: Reading, inner: Reading) -> bool:
    """On every axis, each run of `inner` lies within one of `outer`."""
    return all(_within(runs, many) for runs, many in zip(inner, outer, strict=True))


def _within(runs: Runs, many: Runs) -> bool:
    return all(any(s <= start and start + n <= s + m for s, m in many) for start, n in runs)


class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) or SGD with Nesterov momentum over the boxes of a store.

    State is as large as the store; matrices and kernels get weight decay, vectors (norms, biases) do not.
    """

    def __init__(self, store: Store, name: str, options: Mapping[str, Any]) -> None:
        self.store = store
        self.name = name
        self.peak = float(options["lr"])
        self.decay = float(options["weight_decay"])
        self.momentum = float(options.get("momentum", 0.9))
        self.eps = float(options.get("eps", 1e-8))
        self.first = torch.zeros_like(store.flat)
        self.second = torch.zeros_like(store.flat) if name == "adamw" else self.first
        self.counts = dict.fromkeys(store.places, 0)
        self._boxes: dict[tuple[str, Box], Views] = {}

    def _box(self, name: str, box: Box) -> Views:
        """The views of one box."""
        found = self._boxes.get((name, box))
        if found is None:
            place = self.store.places[name]
            stride = torch.empty(place.size, device="meta").stride()
            offset = place.offset + sum(start * step for (start, _), step in zip(box, stride, strict=True))
            size = tuple(n for _, n in box)
            flats = (self.store.flat, self.store.gradient, self.first, self.second)
            views = tuple(torch.as_strided(f, size, stride, offset) for f in flats)
            found = self._boxes[name, box] = views  # type: ignore[assignment]
        assert found is not None
        return found

    def release(self) -> None:
        """Drop the views of boxes that no architecture will read again."""
        self._boxes.clear()

    def _places(self, boxes: Boxes) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        return [self._box(name, box) for name, several in boxes.items() for box in several]

    def parameters(self, boxes: Boxes) -> list[Tensor]:
        """Views of the weights of some boxes."""
        return [place[0] for place in self._places(boxes)]

    def gradients(self, boxes: Boxes) -> list[Tensor]:
        """Views of their gradients."""
        return [place[1] for place in self._places(boxes)]

    @torch.no_grad()
    def clip(self, boxes: Boxes, longest: float) -> None:
        """Shorten the gradients of some boxes, taken as one vector, to this length (Pascanu et al. 2013, Algorithm 1)."""
        found = self.gradients(boxes)
        if found:
            factor = longest / (torch.nn.utils.get_total_norm(found) + 1e-6)
            torch._foreach_mul_(found, factor.clamp(max=1.0))

    @torch.no_grad()
    def step(self, boxes: Boxes, rate: float, decayed: Boxes | None = None) -> None:
        """One update at learning rate `rate`; matrices get weight decay, with `decayed` only those."""
        names = [name for name, several in boxes.items() for _ in several]
        if not names:
            return
        views = self._places(boxes)
        for name in boxes:
            self.counts[name] += 1
        if self.decay:
            self._decay([p for p in (views if decayed is None else self._places(decayed)) if p[0].dim() > 1], rate)
        parameters, gradients, first, second = ([t.contiguous() for t in column] for column in zip(*views, strict=True))
        if self.name == "adamw":
            self._adam(names, parameters, gradients, first, second, rate)
            self._write(3, views, second)
        else:
            self._sgd(parameters, gradients, first, rate)
        self._write(0, views, parameters)
        self._write(2, views, first)

    def _decay(self, places: list[Views], rate: float) -> None:
        """AdamW shrinks weights, SGD adds a share of them to their gradients."""
        parameters = [p[0] for p in places]
        if parameters and self.name == "adamw":
            torch._foreach_mul_(parameters, 1 - rate * self.decay)
        elif parameters:
            torch._foreach_add_([p[1] for p in places], parameters, alpha=self.decay)

    def _adam(
        self,
        names: list[str],
        parameters: list[Tensor],
        gradients: list[Tensor],
        first: list[Tensor],
        second: list[Tensor],
        rate: float,
    ) -> None:
        """Of dense tensors: torch's fused kernels read memory in a row, which a box with gaps is copied to before."""
        steps = torch.tensor([float(self.counts[n]) for n in names], device=self.store.flat.device).unbind()
        rates = {"lr": rate, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": self.eps}
        torch._fused_adamw_(  # type: ignore[call-overload]
            parameters, gradients, first, second, [], list(steps), amsgrad=False, maximize=False, **rates
        )

    def _sgd(self, parameters: list[Tensor], gradients: list[Tensor], first: list[Tensor], rate: float) -> None:
        rates = {"lr": rate, "momentum": self.momentum, "weight_decay": 0.0, "dampening": 0.0}
        torch._fused_sgd_(  # type: ignore[call-overload]
            parameters, gradients, first, nesterov=True, maximize=False, is_first_step=False, **rates
        )

    @staticmethod
    def _write(place: int, views: Sequence[Views], dense: Sequence[Tensor]) -> None:
        """Copies of boxes with gaps, back to the store."""
        gaps = [(v[place], d) for v, d in zip(views, dense, strict=True) if d is not v[place]]
        if gaps:
            torch._foreach_copy_([v for v, _ in gaps], [d for _, d in gaps])

    @torch.no_grad()
    def clear(self, boxes: Boxes) -> None:
        """Zero the gradients of some boxes."""
        if boxes:
            torch._foreach_zero_(self.gradients(boxes))

    def state_dict(self) -> dict[str, Tensor]:
        counts = torch.tensor(list(self.counts.values()), dtype=torch.int64)
        return {"first": self.first, "second": self.second, "counts": counts}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])
        self.counts = dict(zip(self.counts, state["counts"].tolist(), strict=True))
