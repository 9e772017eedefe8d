"""Data-parallel training under `torchrun`: every process trains the same architectures on its share of the images.

What is drawn depends on seed and step alone, so nothing but gradients and losses travels. Source: Goyal et al. 2017
(arXiv 1706.02677), Section 3, synchronous steps over equal shares.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
import torch.distributed as dist
from torch import Tensor

BUCKET = 1 << 22
"""Numbers that travel at once, unless one gradient has more."""


@dataclass(frozen=True, slots=True)
class Group:
    """The processes that train together, and which of them this is. One process is a group too."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process reads and writes files."""
        return self.rank == 0

    def shares(self, parts: int) -> tuple[int, range]:
        """Into how many equal parts a batch goes that is asked for in `parts`, and which of them are mine: the fewest that all
        processes can share out."""
        total = math.lcm(parts, self.size)
        each = total // self.size
        return total, range(self.rank * each, (self.rank + 1) * each)

    @torch.no_grad()
    def add(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its sum over all processes."""
        if self.size > 1:
            for bucket in buckets(tensors):
                starts = [0, *accumulate(t.numel() for t in bucket)]
                flat = torch.empty(starts[-1], dtype=bucket[0].dtype, device=bucket[0].device)
                views = [flat[a:b].view(t.shape) for (a, b), t in zip(pairwise(starts), bucket, strict=True)]
                torch._foreach_copy_(views, bucket)
                dist.all_reduce(flat)
                torch._foreach_copy_(bucket, views)

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes that of the first process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)


ALONE = Group()


def buckets(tensors: Sequence[Tensor], limit: int = BUCKET) -> list[list[Tensor]]:
    """Tensors in order, in as few lists as have at most `limit` numbers each; a larger tensor stands alone."""
    out: list[list[Tensor]] = []
    room = 0
    for tensor in tensors:
        if not out or tensor.numel() > room:
            out.append([])
            room = limit
        out[-1].append(tensor)
        room -= tensor.numel()
    return out


def local_rank() -> int | None:
    """Which of the processes on this machine, and so which of its GPUs; None where there is one."""
    return int(os.environ.get("LOCAL_RANK", "0")) if several() else None


def several() -> bool:
    """Whether `torchrun` started this process and others."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ) and int(os.environ["WORLD_SIZE"]) > 1


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """The processes that `torchrun` started, over NCCL on CUDA and over Gloo on the CPU; otherwise this one alone."""
    if not several():
        yield ALONE
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
