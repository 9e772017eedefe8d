"""Learning-rate schedules."""

import math


def one_cycle(step: int, steps: int, peak: float, warm: float = 0.1) -> float:
    """Linear from peak/25 to the peak over the first tenth, then half a cosine to almost 0 (Smith & Topin 2019)."""
    ramp = max(1, round(steps * warm))
    if step < ramp:
        return peak * (1 / 25 + (1 - 1 / 25) * step / ramp)
    along = (step - ramp) / max(1, steps - ramp)
    return peak * (1e-4 + (1 - 1e-4) * 0.5 * (1 + math.cos(math.pi * along)))
