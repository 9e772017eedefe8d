"""What evaluating took and what it saved, for reports. Kept beside the study, so that interrupted runs count as well."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..files import write

clock = time.process_time
"""Seconds of the processor: what else the machine does counts little."""


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
        self.seconds[part] = self.seconds.get(part, 0.0) + clock() - begun

    def group(self, group: Mapping[Any, Any], calls: Sequence[Any]) -> None:
        """Candidates that run together, and what their union runs."""
        self.candidates += len(group)
        self.asked += sum(len(op.calls) for trace in group.values() for op in trace.ops)
        self.run += len(calls)

    @staticmethod
    def read(path: Path) -> "Spent":
        """What was kept; nothing where there is no such file."""
        return Spent(**json.loads(path.read_text())) if path.exists() else Spent()

    def write(self, path: Path) -> None:
        write(path, json.dumps(asdict(self), indent=2) + "\n")

    def facts(self) -> dict[str, Any]:
        """For people and as JSON: `images` for each candidate, `shared` the share of calls that were spared."""
        each = round(self.images / self.candidates, 1) if self.candidates else 0.0
        seconds = {part: round(spent, 2) for part, spent in self.seconds.items()}
        return {
            "candidates": self.candidates,
            "stopped": self.stopped,
            "images": each,
            "shared": round(self.shared, 3),
            "seconds": seconds,
        }

    @property
    def shared(self) -> float:
        """The share of calls that were spared, since another candidate made them too."""
        return 1 - self.run / self.asked if self.asked else 0.0
