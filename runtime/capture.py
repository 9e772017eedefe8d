"""What is computed again and again on batches of one size, replayed on CUDA as one graph: a launch instead of hundreds.

Source: CUDA graphs as torch records them (`torch.cuda.graph`). Elsewhere everything runs as it always does.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

WORTH = 4
"""From how many equal batches on recording pays: the first runs, the second is recorded."""
ROOM = 1 << 28
"""Bytes that the results of a graph may take: they are all there at once."""
Results = Iterable[tuple[int, Tensor]]
"""Tensors with their numbers."""
Call = Callable[[Tensor], Results]
Recorded = tuple[Callable[[], None], list[tuple[int, Tensor]]]
"""What computes the results anew, in place."""


class Recorder:
    """Records graphs that never run at the same time, so they share their memory; after a failure it records no more."""

    def __init__(self, record: Callable[[Call, Tensor], Recorded]) -> None:
        self._record = record
        self.works = True

    def __call__(self, call: Call, x: Tensor) -> Recorded | None:
        try:
            return self._record(call, x)
        except RuntimeError as fault:
            self.works = False
            why = next(iter(str(fault).splitlines()), type(fault).__name__)
            log.warning("no CUDA graphs: %s; everything is launched call by call", why)
            return None


def recorder(device: torch.device) -> Recorder | None:
    """What records on a device; None where there are no graphs."""
    if device.type != "cuda":
        return None
    pool = torch.cuda.graph_pool_handle()

    def record(call: Call, x: Tensor) -> Recorded:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            results = list(call(x))
        return graph.replay, results

    return Recorder(record)


class Repeated:
    """A call for batches of one size. Its second batch is recorded, and that and later ones are replayed: then results hold
    until the next batch. A batch of another size, the last and smaller one, runs as ever."""

    def __init__(self, call: Call, records: Recorder | None, batches: int) -> None:
        """`batches`: how many of one size will come."""
        self._call = call
        self._records = records if batches >= WORTH else None
        self._like: Any = None
        self._input: Tensor | None = None
        self._recorded: Recorded | None = None

    def __call__(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Each result, with its number."""
        like = x.shape, x.stride(), x.dtype
        if self._records is None or not self._records.works:
            yield from self._call(x)
        elif self._like is None:
            self._like = like
            yield from self._first(x)
        elif like != self._like:
            yield from self._call(x)
        else:
            yield from self._replayed(x, self._records)

    def _first(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """As ever, and a look at what the results take."""
        taken = 0
        for number, result in self._call(x):
            taken += result.nbytes
            yield number, result
        if taken > ROOM:
            self._records = None

    def _replayed(self, x: Tensor, records: Recorder) -> Iterator[tuple[int, Tensor]]:
        if self._input is None:
            self._input = x.clone()  # keeps the layout
            self._recorded = records(self._call, self._input)
        if self._recorded is None:
            yield from self._call(x)
            return
        replay, results = self._recorded
        self._input.copy_(x)
        replay()
        yield from results
