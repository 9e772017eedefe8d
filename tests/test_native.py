"""The libraries below torch, in processes of their own: what is set holds for the whole process."""

import platform
import subprocess
import sys

import pytest
from torch.backends import mkldnn

from hrdsl.runtime import native

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is set")

MEMORY = """
import ctypes
import torch
from hrdsl.runtime import native

class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

def mapped():
    count = ctypes.CDLL(None).mallinfo2
    count.restype = Counts
    return count().hblkhd

done = native.map_large_blocks()
torch.empty(24 << 20, dtype=torch.uint8)  # freed: by itself, glibc maps nothing smaller from now on
before = mapped()
kept = torch.empty(8 << 20, dtype=torch.uint8)
print(done, mapped() - before >= 8 << 20)
"""
KERNELS = """
import torch
from torch.backends import mkldnn
from hrdsl.runtime import native

native.settle()

def convolve():
    for width in range(1200):
        torch.conv2d(torch.ones(1, 8, 4, 8 + width), torch.ones(8, 1, 3, 3), groups=8)

with torch.no_grad():
    convolve()
    with mkldnn.verbose(mkldnn.VERBOSE_ON_CREATION):
        convolve()
"""


def run(program: str, **settings: str) -> str:
    environment = {"PYTHONPATH": ":".join(sys.path), **settings}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


@glibc
@pytest.mark.skipif(
    tuple(map(int, (platform.libc_ver()[1] or "0").split("."))) < (2, 33),
    reason="mallinfo2 came with glibc 2.33",
)
def test_large_blocks_are_mapped() -> None:
    assert run(MEMORY) == "True True"


@glibc
def test_settings_of_the_user_hold() -> None:
    assert run(MEMORY, MALLOC_MMAP_THRESHOLD_="33554432").startswith("False")


def test_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not native.map_large_blocks()


@pytest.mark.skipif(not mkldnn.is_available(), reason="torch without oneDNN")
def test_kernels_are_kept() -> None:
    made = [line for line in run(KERNELS).splitlines() if "create" in line]
    assert len(made) > 1200 and all("cache_hit" in line for line in made)
    assert "cache_miss" in run(KERNELS, ONEDNN_PRIMITIVE_CACHE_CAPACITY="1024")
