"""Calls of a plan that run as one: a batch normalisation, its activation and the convolution behind it.

A program in, a shorter one with the same results out: `kernels.normal_convolution` keeps less for the backward pass.
"""

import torch

from .instruction import Instruction, Program
from .kernels import ACTIVATIONS, Convolution, depthwise, normal_convolution

CONVOLUTIONS = torch.conv2d, depthwise


def merged(program: Program) -> Program:
    """Merge wherever nothing else reads what is between: the calls follow each other, and what one gives dies in the next."""
    out: Program = []
    k = 0
    while k < len(program):
        step, count = program[k], 1
        if step[0].norm is not None and (found := _one(program, k)) is not None:
            step, count = found
        out.append(step)
        k += count
    return out


def _one(program: Program, k: int) -> tuple[tuple[Instruction, tuple[int, ...]], int] | None:
    """The calls from a normalisation on as one, and how many they are; None where they do not fit."""
    norm, dead = program[k]
    last = k + 1
    activation = None
    if norm.fn is not torch.batch_norm or last == len(program) or not _follows(program, last):
        return None
    if program[last][0].fn in ACTIVATIONS:
        activation, last = program[last][0].fn, last + 1
        if last == len(program) or not _follows(program, last):
            return None
    convolution, freed = program[last]
    if convolution.fn not in CONVOLUTIONS:
        return None
    factor, offset, eps = norm.consts[0], norm.consts[1], norm.consts[-2]
    weight, bias, *how = convolution.consts
    consts = factor, offset, eps, activation, weight, bias, Convolution(*how)
    inner = {program[j][0].out for j in range(k, last)}
    made = Instruction(normal_convolution, norm.slots, consts, {}, convolution.out)
    return (made, (*dead, *(r for r in freed if r not in inner))), last - k + 1


def _follows(program: Program, k: int) -> bool:
    """A call reads nothing but the result of the one before, and is the last to read it."""
    (step, dead), before = program[k], program[k - 1][0].out
    return step.slots == (before,) and before in dead
