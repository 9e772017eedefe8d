"""One call of a plan: a function, the registers it reads and writes, and its constants. Imports torch and the operators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pkgutil import resolve_name
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .ops.elementwise import TRAINING


class Normalised(NamedTuple):
    """Whose statistics an instruction takes."""

    node: str
    channels: int


class Instruction(NamedTuple):
    """`registers[out] = fn(*registers[slots], *consts, **kwargs)`, for training with statistics of the batch."""

    fn: Callable[..., Any]
    slots: tuple[int, ...]
    consts: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: int
    norm: Normalised | None = None
    flags: tuple[int, ...] = ()
    """Places in `consts` that say whether the network trains."""


Program = list[tuple[Instruction, tuple[int, ...]]]
"""Instructions, each with the registers that are read for the last time by it."""


class Register(NamedTuple):
    """A value that is known when the plan runs."""

    number: int


def run(program: Program, registers: dict[int, Any]) -> Any:
    """The result of the last instruction. Registers are freed after their last use."""
    out = 0
    for (fn, slots, consts, kwargs, out, _, _), dead in program:
        registers[out] = fn(*[registers[s] for s in slots], *consts, **kwargs)
        for r in dead:
            del registers[r]
    return registers[out]


def last_uses(instructions: Sequence[Instruction]) -> list[tuple[int, ...]]:
    """For each instruction the registers that nothing reads after it."""
    seen: set[int] = {instructions[-1].out} if instructions else set()
    out: list[tuple[int, ...]] = []
    for i in reversed(instructions):
        dead = tuple({s for s in i.slots if s not in seen})
        seen.update(dead)
        out.append(dead)
    out.reverse()
    return out


def instruction(fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], out: int) -> Instruction:
    """A call with some arguments in registers: at once where they come first, else through a template."""
    lead = next((k for k, a in enumerate(args) if not isinstance(a, Register)), len(args))
    slots = tuple(a.number for a in args[:lead])
    rest = tuple(args[lead:])
    if any(map(_holds_register, rest)):
        registers: list[int] = []
        constants: list[Any] = []
        template = _number(args, registers, constants, _count(args))
        fn, slots, rest = Placed(fn, template), tuple(registers), tuple(constants)
    flags = tuple(k for k, a in enumerate(rest) if isinstance(a, str) and a == TRAINING)
    consts = tuple(True if k in flags else a for k, a in enumerate(rest))
    return Instruction(fn, slots, consts, kwargs, out, None, flags)


def _holds_register(value: Any) -> bool:
    return isinstance(value, Register) or (isinstance(value, list) and any(map(_holds_register, value)))


def _count(value: Any) -> int:
    if isinstance(value, Register):
        return 1
    return sum(map(_count, value)) if isinstance(value, list | tuple) else 0


def _number(args: Sequence[Any], registers: list[int], constants: list[Any], first: int) -> list[Any]:
    """Arguments as places in registers + constants; a list stays a list."""
    out: list[Any] = []
    for a in args:
        if isinstance(a, Register):
            registers.append(a.number)
            out.append(len(registers) - 1)
        elif isinstance(a, list):
            out.append(_number(a, registers, constants, first))
        else:
            constants.append(a)
            out.append(first + len(constants) - 1)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A function of arguments that stand in lists: `template` has their places among the values that a call is given."""

    fn: Callable[..., Any]
    template: list[Any]

    def __call__(self, *values: Any, **kwargs: Any) -> Any:
        return self.fn(*_filled(self.template, values), **kwargs)


def _filled(places: list[Any], values: tuple[Any, ...]) -> list[Any]:
    return [values[p] if isinstance(p, int) else _filled(p, values) for p in places]


# Functions ---------------------------------------------------------------------------------------------------------


def size(x: Tensor) -> torch.Size:
    """The extent of a map."""
    return x.shape[2:]


def length(x: Tensor, axis: int) -> int:
    """The length of an axis; that of axis 0 is the number of samples, or of their windows."""
    return x.shape[axis]


def repeat(w: Tensor, n: int) -> Tensor:
    """Tokens [1, N, C], the same for each of n samples."""
    return w.expand(n, -1, -1)


PSEUDO: dict[str, Callable[..., Any]] = {"hrdsl.size": size, "hrdsl.length": length, "hrdsl.repeat": repeat}


@cache
def function(path: str) -> Callable[..., Any]:
    """The function that an operator names by its dotted path."""
    if path.startswith(METHOD):
        return partial(_method, path.removeprefix(METHOD))
    found: Callable[..., Any] = PSEUDO.get(path) or resolve_name(path)
    return found


METHOD = "torch.Tensor."


def _method(name: str, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """A method by its name, so that what is traced may stand for a tensor."""
    return getattr(x, name)(*args, **kwargs)
