"""Exact numbers with units: `600M`, `1e-4`, `4Ki`, `12ms`."""

import re
from fractions import Fraction
from functools import lru_cache

from . import errors
from .diagnostic import ArchError, Span

_NUMBER = re.compile(r"([0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE]-?[0-9]{1,3})?)([A-Za-z]*)")
DIGITS = 40
"""No number of the language has more digits."""

SCALES: dict[str, tuple[int | Fraction, str]] = {
    "": (1, ""),
    "k": (1_000, ""),
    "M": (1_000_000, ""),
    "G": (1_000_000_000, ""),
    "T": (1_000_000_000_000, ""),
    "Ki": (1 << 10, "bytes"),
    "Mi": (1 << 20, "bytes"),
    "Gi": (1 << 30, "bytes"),
    "us": (Fraction(1, 1000), "ms"),
    "ms": (1, "ms"),
    "s": (1000, "ms"),
}
"""Suffix -> (factor, unit of the value)."""


def read_number(text: str, span: Span) -> tuple[Fraction, str]:
    """The value and the unit (`""`, `bytes` or `ms`). Raises E106."""
    found = _read(text)
    if isinstance(found, str):
        shown = text if len(text) <= DIGITS else text[:12] + "..."
        raise ArchError(errors.bad_number(shown, span, found))
    return found


@lru_cache(1024)
def _read(text: str) -> tuple[Fraction, str] | str:
    """The value and the unit, or why there is none."""
    if len(text) > DIGITS:
        return f"longer than {DIGITS} characters"
    match = _NUMBER.fullmatch(text)
    if match is None:
        return "not the form of a number"
    digits, suffix = match.groups()
    if suffix not in SCALES:
        return f"`{suffix}` is no unit; there are {', '.join(f'`{s}`' for s in SCALES if s)}"
    factor, unit = SCALES[suffix]
    return Fraction(digits.replace("_", "")) * factor, unit
