"""The allocator of the C library, in processes of their own: what is set holds for the whole process."""

import platform
import subprocess
import sys

import pytest

from hrdsl.runtime import allocator

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is set")

PROGRAM = """
import ctypes
import torch
from hrdsl.runtime import allocator

class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

def mapped():
    count = ctypes.CDLL(None).mallinfo2
    count.restype = Counts
    return count().hblkhd

done = allocator.settle()
torch.empty(24 << 20, dtype=torch.uint8)  # freed: by itself, glibc maps nothing smaller from now on
before = mapped()
kept = torch.empty(8 << 20, dtype=torch.uint8)
print(done, mapped() - before >= 8 << 20)
"""


def run(**settings: str) -> str:
    environment = {"PYTHONPATH": ":".join(sys.path), **settings}
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


@pytest.mark.skipif(
    tuple(map(int, (platform.libc_ver()[1] or "0").split("."))) < (2, 33),
    reason="mallinfo2 came with glibc 2.33",
)
def test_large_blocks_are_mapped() -> None:
    assert run() == "True True"


def test_settings_of_the_user_hold() -> None:
    assert run(MALLOC_MMAP_THRESHOLD_="33554432").startswith("False")


def test_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not allocator.settle()
