"""The images of training steps. Those in main memory are fetched for a device while it computes the step before."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from .task import Examples

Fetched = tuple[Tensor, Tensor]


class Feed:
    """Batches of uint8 images and labels by step; which rows a step has is a function of its number alone."""

    def __init__(self, data: Examples, rows: Callable[[int], Tensor]) -> None:
        self._data = data
        self._rows = rows
        self._thread = ThreadPoolExecutor(1, "feed") if data.target is not None else None
        self._ahead: tuple[int, Future[Fetched]] | None = None

    def __call__(self, step: int) -> Fetched:
        """The batch of a step; the next one is begun."""
        if self._thread is None:
            return self._fetch(step)
        known, self._ahead = self._ahead, (step + 1, self._thread.submit(self._fetch, step + 1))
        return known[1].result() if known is not None and known[0] == step else self._fetch(step)

    def _fetch(self, step: int) -> Fetched:
        return self._data.fetch(self._rows(step))
