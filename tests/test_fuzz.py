"""Damaged files: whatever a text says, the compiler answers with a space or with diagnostics, soon.

`HRDSL_FUZZ=60 pytest tests/test_fuzz.py` damages for so many seconds, from a new seed each time.
"""

import os
import time
from itertools import count

import pytest

from .mutate import ROOT, fault, judge, mutant, smallest

SECONDS = float(os.environ.get("HRDSL_FUZZ", "5"))
SEED = time.time_ns() % 10**9 if "HRDSL_FUZZ" in os.environ else 0
SPACE = """hrdsl 1
space s {{
  input = [3, 16, 16]
  wide in {{4, 8}}
  head = {0}
}}
"""
FOUND = {
    "conv(1, width = wide * macs)": "E301",
    "if macs > 3 then relu else bn": "E301",
    "conv(3, width = 10^12) -> conv(3, width = 8)": "E107",
    "conv(3, width = 1T) -> conv(3, width = 8 * wide)": "E314",
    "conv(3, width = 1G) -> conv(3, width = 1G)": "E314",
    "up_conv(3, width = 8, stride = 1M)": "E314",
}


def test_damaged_files_are_answered() -> None:
    end = time.monotonic() + SECONDS
    for seed in count(SEED):
        if time.monotonic() > end:
            return
        text, folder = mutant(seed)
        found = fault(text, folder)
        assert not found, f"seed {seed}: {found}\n{smallest(text, folder)}"


@pytest.mark.parametrize(("head", "code"), FOUND.items())
def test_what_damage_found(head: str, code: str) -> None:
    assert judge(SPACE.format(head), ROOT) == code
