"""What evaluating took and what it saved, for reports."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Spent:
    """`asked` calls would have run for one image with each candidate by itself, `run` did. `images` counts the images that
    candidates were validated on. `seconds` are by part; those of `metric` are part of `validate`."""

    candidates: int = 0
    stopped: int = 0
    images: int = 0
    asked: int = 0
    run: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, part: str, begun: float) -> None:
        """The time of a part, from `begun` on."""
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begun

    def group(self, group: Mapping[Any, Any], calls: Sequence[Any]) -> None:
        """Candidates that run together, and what their union runs."""
        self.candidates += len(group)
        self.asked += sum(len(op.calls) for trace in group.values() for op in trace.ops)
        self.run += len(calls)

    @property
    def shared(self) -> float:
        """The share of calls that were spared, since another candidate made them too."""
        return 1 - self.run / self.asked if self.asked else 0.0
