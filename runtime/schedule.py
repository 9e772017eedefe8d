"""Learning-rate schedules: the rate of a step from its number, the number of steps and the peak. Imports nothing."""

import math
from collections.abc import Callable, Mapping
from typing import Any

Shape = Callable[[int, int, Mapping[str, float]], float]
"""The share of the peak after so many of the steps that follow the warm-up."""


def rate(name: str, options: Mapping[str, Any], step: int, steps: int, peak: float) -> float:
    """The rate of a step, from 0. The first share `warm` of the steps rises linearly to the peak."""
    given = {option: float(value) for option, value in options.items()}
    if name == "one_cycle":
        return one_cycle(step, steps, peak, given["warm"])
    ramp = round(steps * given["warm"])
    if step < ramp:
        return peak * (step + 1) / ramp
    return peak * SHAPES[name](step - ramp, steps - ramp, given)


def one_cycle(step: int, steps: int, peak: float, warm: float = 0.1) -> float:
    """Linear from peak/25 to the peak over the first tenth, then half a cosine to almost 0 (Smith & Topin 2019)."""
    ramp = max(1, round(steps * warm))
    if step < ramp:
        return peak * (1 / 25 + (1 - 1 / 25) * step / ramp)
    along = (step - ramp) / max(1, steps - ramp)
    return peak * (1e-4 + (1 - 1e-4) * 0.5 * (1 + math.cos(math.pi * along)))


def _cosine(step: int, steps: int, _: Mapping[str, float]) -> float:
    """Half a cosine (Loshchilov & Hutter 2017, Eq. 5, one cycle)."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def _exponential(step: int, _: int, options: Mapping[str, float]) -> float:
    """A factor every so many steps."""
    return float(options["factor"] ** (step // int(options["every"])))


def _poly(step: int, steps: int, options: Mapping[str, float]) -> float:
    """A power of the share of steps that are left (Chen et al. 2017, arXiv 1606.00915, Section 4.1)."""
    return float((1 - step / steps) ** options["power"])


def _constant(*_: object) -> float:
    return 1.0


SHAPES: Mapping[str, Shape] = {
    "cosine": _cosine,
    "exponential": _exponential,
    "poly": _poly,
    "constant": _constant,
}
