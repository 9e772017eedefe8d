"""Calls of a plan that run as one: batch normalisations, activations and convolutions in a row.

Instructions in, fewer with the same results out: `kernels.chain` keeps less for the backward pass.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .instruction import Instruction
from .kernels import ACTIVATIONS, Convolution, Link, Room, chain, depthwise

CONVOLUTIONS = torch.conv2d, depthwise
"""What a plan calls for a convolution whose weight is in one piece."""


def merged(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Merge wherever nothing else reads what is between; the last convolution keeps its place. All share one `Room`."""
    makers = {i.out: i for i in instructions}
    readers = dict.fromkeys(makers, 0)
    for i in instructions:
        for slot in i.slots:
            readers[slot] = readers.get(slot, 0) + 1

    def sole(i: Instruction) -> Instruction | None:
        """What makes the input of a call, unless something else reads it too."""
        slot = i.slots[0]
        return makers[slot] if readers[slot] == 1 and slot in makers else None

    chains = dict[int, tuple[Instruction, ...]]()
    for i in instructions:
        if i.fn in CONVOLUTIONS and len(i.slots) == 1:
            chains[i.out] = _chain(chains, i, sole)
    gone = {c.out for several in chains.values() for c in several[:-1]}
    if not gone:
        return list(instructions)
    room = max(makers) + 1
    kept = [
        _one(chains[i.out], room) if len(chains.get(i.out, ())) > 1 else i for i in instructions if i.out not in gone
    ]
    return [Instruction(Room, (), (), {}, room), *kept]


def _chain(
    chains: dict[int, tuple[Instruction, ...]], last: Instruction, sole: Callable[[Instruction], Instruction | None]
) -> tuple[Instruction, ...]:
    """What ends in a convolution: its normalisation and activation, and, before these, a chain that becomes part of it."""
    found: tuple[Instruction, ...] = (last,)
    before = sole(last)
    if before is not None and before.fn in ACTIVATIONS:
        found, before = (before, *found), sole(before)
    if before is None or before.fn is not torch.batch_norm or len(before.slots) > 1:
        return (last,)
    found, before = (before, *found), sole(before)
    if before is not None and before.out in chains and _cheap(before):
        found = (*chains.pop(before.out), *found)
    return found


def _cheap(i: Instruction) -> bool:
    """A convolution that may run twice: of single pixels or of single channels, and not fewer channels than it reads."""
    weight = i.consts[0]
    return bool(weight.shape[1] == 1 or (weight.shape[2] == 1 and weight.shape[0] > weight.shape[1]))


def _one(calls: tuple[Instruction, ...], room: int) -> Instruction:
    links: list[Link] = []
    normal: Any = None
    activation = None
    for i in calls:
        if i.fn in CONVOLUTIONS:
            weight, bias, *how = i.consts
            links.append(Link(normal, activation, weight, bias, Convolution(*how)))
            normal, activation = None, None
        elif i.norm is not None:
            normal = i.consts[0], i.consts[1], i.consts[-2]
        else:
            activation = i.fn
    return Instruction(chain, (*calls[0].slots, room), tuple(links), {}, calls[-1].out)
