"""Progress on stderr: one line that moves on a terminal, a line now and then elsewhere."""

import sys
import time
from typing import TYPE_CHECKING

from .common import print_line

if TYPE_CHECKING:
    from ..runtime.search.problem import Progress as Generation
    from ..runtime.steps import Step

EVERY = {True: 0.2, False: 10.0}
"""Seconds between lines, on a terminal and elsewhere."""


class Meter:
    """Prints how far long work is. Silent with `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet or sys.stderr is None
        self.live = not self.quiet and sys.stderr.isatty()
        self.last = 0.0
        self.begun = time.monotonic()
        self.first: int | None = None
        self.measured = 0

    def line(self, text: str, final: bool = False) -> None:
        """One line; dropped if the last one was a moment ago, unless it is the final one of its kind."""
        now = time.monotonic()
        if self.quiet or (not final and now - self.last < EVERY[self.live]):
            return
        self.last = now
        if self.live:
            sys.stderr.write(f"\r\x1b[2K{text}" + ("\n" if final else ""))
            sys.stderr.flush()
        else:
            print_line(text, sys.stderr)

    def training(self, step: "Step") -> None:
        """A training step."""
        if self.first is None:
            self.first = step.step - 1
        left = eta(step.seconds, step.step - self.first, step.steps - step.step)
        done = step.step == step.steps
        self.line(f"training {step.step}/{step.steps}  loss {step.loss:.3f}  {left}", done)
        if done:
            self.first, self.begun = None, time.monotonic()

    def evaluated(self, count: int) -> None:
        """A candidate measured within a generation."""
        self.measured = count
        self.line(f"evaluated {count} in this run  {time.monotonic() - self.begun:.0f} s")

    def latency(self, what: str, done: int, count: int) -> None:
        """A work or a network whose time was taken."""
        if done == 1:
            self.begun = time.monotonic()
        left = eta(time.monotonic() - self.begun, done, count - done)
        self.line(f"latency: {what} {done}/{count}  {left}", done == count)
        if done == count:
            self.begun = time.monotonic()

    def generation(self, state: "Generation") -> None:
        """A finished generation: its front, its hypervolume, the time left."""
        left = eta(state.seconds, self.measured, state.total - state.evaluated)
        volume = f"  hypervolume {state.hypervolume:.4g}" if state.hypervolume is not None else ""
        best = (
            "  best "
            + " / ".join(f"{v:.3f}" if v < 10 else f"{v:,.{0 if v == int(v) else 2}f}" for v in state.front[0].values)
            if state.front
            else ""
        )
        part = f"  part {state.part}" if state.part else ""
        words = f"generation {state.generation}/{state.generations}{part}  {state.evaluated}/{state.total} evaluated"
        self.line(f"{words}  front {len(state.front)}{volume}{best}  {left}", True)


def eta(seconds: float, done: int, left: int) -> str:
    """The time that is left, from the time that was taken."""
    if left <= 0 or done <= 0:
        return f"{clock(seconds)} taken"
    return f"{clock(seconds / done * left)} left"


def clock(seconds: float) -> str:
    whole = round(seconds)
    return (
        f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02d}"
    )
