"""Exact numbers with units: `600M`, `1e-4`, `4Ki`, `12ms`."""

import re
from fractions import Fraction

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
    if len(text) > DIGITS:
        raise ArchError(errors.bad_number(text[:12] + "...", span, f"longer than {DIGITS} characters"))
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ArchError(errors.bad_number(text, span, "not the form of a number"))
    digits, suffix = match.groups()
    if suffix not in SCALES:
        known = ", ".join(f"`{s}`" for s in SCALES if s)
        raise ArchError(errors.bad_number(text, span, f"`{suffix}` is no unit; there are {known}"))
    factor, unit = SCALES[suffix]
    return Fraction(digits.replace("_", "")) * factor, unit
