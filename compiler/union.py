"""The plans of several architectures as one program: what two of them compute alike is computed once.

Genomes and a planner in, programs over one input out. A result is known by a Merkle key: what is called, with which weights
and on which results; equal keys mean equal tensors, also with statistics of the batch, which depend on nothing else. A key
is kept as a number, which is the register of the result as well.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .instruction import Instruction
from .plan import Planner, channels_last, laid_out
from .specialise import Entry, Genes, Live
from .sym import at

MOST = 1 << 18
"""How many operations are known before all are forgotten."""
INPUT, INPUT_LAST = 0, 1
"""The registers of the input, and of the input with its channels last."""

WEIGHT = -1
"""Whose memory a view of a weight lies in."""

Moments = tuple[Tensor, Tensor]
"""Mean and variance [C] of a batch normalisation."""


class Size(NamedTuple):
    """Of a flow: its copies in one sample, and the size of each."""

    copies: int
    inner: tuple[int, ...]

    def blank(self, x: Tensor) -> Tensor:
        """A flow of this size without contents, for as many samples as `x` has."""
        return torch.empty((), device="meta").expand(len(x) * self.copies, *self.inner)


class Op(NamedTuple):
    """One operation: its calls, over registers of the union, the last of which makes the result. What operations of one
    `kind` make of inputs of one size has the same sizes."""

    key: int
    calls: tuple[Instruction, ...]
    kind: str

    @property
    def reads(self) -> tuple[int, ...]:
        """The registers that others fill."""
        own = {i.out for i in self.calls}
        return tuple(dict.fromkeys(s for i in self.calls for s in i.slots if s not in own))


@dataclass(frozen=True, slots=True)
class Trace:
    """What one architecture computes, in order; `result` is the register of its output."""

    ops: tuple[Op, ...]
    result: int

    @property
    def order(self) -> tuple[int, ...]:
        """Sorted by this, traces are walked depth first: those with a common beginning stand side by side."""
        return tuple(op.key for op in self.ops)


class Tracer:
    """Architectures of one planner as traces. `last`: all have their channels last, whatever their plans have."""

    def __init__(self, planner: Planner, last: bool = False) -> None:
        self.planner = planner
        self.last = last and planner.graph.input.form == "map"
        self._ops: dict[Any, Op] = {}
        self._kinds: dict[Entry, str] = {}
        self._registers = INPUT_LAST

    @property
    def full(self) -> bool:
        return len(self._ops) > MOST

    def forget(self) -> None:
        """Forget every operation. Numbers are not given again, so what was kept under an old one is never met."""
        self._ops.clear()
        self._kinds.clear()

    def __call__(self, genes: Genes) -> Trace:
        """Raises ValueError if the architecture has no output."""
        lives = self.planner.specialiser(tuple(genes))
        last = self.last or channels_last(self.planner.graph, lives)
        where = {0: INPUT_LAST if last else INPUT}
        ops = list[Op]()
        for live in lives:
            op = self._op(live, where, genes)
            where[live.node] = op.key
            ops.append(op)
        return Trace(tuple(ops), ops[-1].key if ops else INPUT)

    def _op(self, live: Live, where: Mapping[int, int], genes: Genes) -> Op:
        like = self.planner.graph.nodes[live.node].op.like
        read = tuple([self._size(i, genes) if k in like else where[i] for k, i in enumerate(live.inputs)])
        key = live.entry if live.entry.weights else self._kind(live.entry), read
        found = self._ops.get(key)
        if found is None:
            found = self._ops[key] = self._make(live, read)
        return found

    def _size(self, node: int, genes: Genes) -> Size:
        """All that matters of an input that is read for its size only."""
        shape = self.planner.graph.nodes[node].shape
        inner = (shape.width, *shape.extent) if shape.form != "tokens" else (*shape.extent, shape.width)
        return Size(at(shape.copies, genes), tuple(at(value, genes) for value in inner))

    def _kind(self, entry: Entry) -> str:
        """What an entry calls, and how long the runs of its weights are. One without weights is no more than that, at
        whatever node; one with weights belongs to its own."""
        found = self._kinds.get(entry)
        if found is None:
            runs = [[[length for _, length in axis] for axis in axes] for _, axes in entry.weights]
            found = self._kinds[entry] = repr((entry.steps, runs))
        return found

    def _make(self, live: Live, read: Sequence[int | Size]) -> Op:
        calls = list[Instruction]()
        names = dict[int, int]()
        for i, source in zip(live.inputs, read, strict=True):
            if not isinstance(source, Size):
                names[i] = source
            elif i not in names:
                calls.append(Instruction(source.blank, (INPUT,), (), {}, self._fresh()))
                names[i] = calls[-1].out
        for call in self.planner.piece(live).instructions:
            slots = tuple([names[s] for s in call.slots])
            names[call.out] = self._fresh()
            calls.append(call._replace(slots=slots, out=names[call.out]))
        return Op(names[live.node], tuple(calls), self._kind(live.entry))

    def _fresh(self) -> int:
        self._registers += 1
        return self._registers


def operations(traces: Iterable[Trace]) -> list[Op]:
    """Those of all, each once, in an order in which they can run."""
    return [*{op.key: op for trace in traces for op in trace.ops}.values()]


def union(traces: Iterable[Trace]) -> list[Instruction]:
    """Their calls."""
    return [i for op in operations(traces) for i in op.calls]


def needed(calls: Sequence[Instruction], wanted: Iterable[int]) -> list[Instruction]:
    """Those that these registers depend on."""
    seen, out = set(wanted), list[Instruction]()
    for i in reversed(calls):
        if i.out in seen:
            seen.update(i.slots)
            out.append(i)
    return out[::-1]


def normalised(i: Instruction, moments: Moments, momentum: float | None = None) -> Instruction:
    """A batch normalisation with stored statistics; with a momentum it takes those of the batch and gathers them."""
    how = (*moments, momentum is not None, momentum or 0.0)
    return i._replace(consts=(*i.consts[:-6], *how, *i.consts[-2:]))


def evaluating(i: Instruction) -> Instruction:
    """A call as it is when nothing trains: without dropout."""
    if not i.flags:
        return i
    return i._replace(consts=tuple(False if k in i.flags else c for k, c in enumerate(i.consts)))


class Program:
    """Calls with the registers that each frees, and the results that each completes."""

    def __init__(
        self, calls: Sequence[Instruction], results: Iterable[int], constants: Mapping[int, Any] | None = None
    ) -> None:
        """`constants`: registers that are filled before the first call, and stay."""
        self.calls = list(calls)
        self.constants = dict(constants or {})
        wanted = set(results)
        self.given = tuple(wanted & {INPUT, INPUT_LAST})
        self.done = [i.out in wanted for i in self.calls]
        self.dead = _last_uses(self.calls, set(self.constants))
        read = {s for i in self.calls for s in i.slots} | set(self.given)
        self.inputs = tuple(sorted(read & {INPUT, INPUT_LAST}))

    def uses(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Step by step the registers that are filled and those that are freed."""
        yield self.inputs, ()
        for i, dead in zip(self.calls, self.dead, strict=True):
            yield (i.out,), dead

    def __call__(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Each result with its register, as soon as it is known. Registers are freed after their last use."""
        registers = {**self.constants, **{r: laid_out(x) if r == INPUT_LAST else x for r in self.inputs}}
        for given in self.given:
            yield given, registers[given]
        for (fn, slots, consts, kwargs, out, _, _), done, dead in zip(self.calls, self.done, self.dead, strict=True):
            registers[out] = fn(*[registers[s] for s in slots], *consts, **kwargs)
            if done:
                yield out, registers[out]
            for r in dead:
                del registers[r]


def _last_uses(calls: Sequence[Instruction], kept: set[int]) -> list[tuple[int, ...]]:
    """For each call the registers that nothing reads after it, its own among them if nothing reads it at all."""
    seen, out = set(kept), list[tuple[int, ...]]()
    for i in reversed(calls):
        dead = tuple({r for r in (*i.slots, i.out) if r not in seen})
        seen.update(dead)
        out.append(dead)
    return out[::-1]


# Memory ------------------------------------------------------------------------------------------------------------


class Made(NamedTuple):
    """The result of a call: a tensor without contents, the number of the memory that it lies in, and the bytes of that. What
    is no tensor, or lies in a weight, takes no memory."""

    value: Any
    place: int = 0
    size: int = 0


class Sizes:
    """What the results of calls take, from their shapes alone: calls run on tensors without contents, once for each kind of
    operation and each size of its inputs."""

    def __init__(self, x: Tensor) -> None:
        """`x`: an input as the calls will meet it, with its batch; its contents are not read."""
        plain = torch.empty_like(x, device="meta")
        self._places = 0
        self._inputs = {INPUT: self._new(plain)}
        self._inputs[INPUT_LAST] = self._new(laid_out(plain)) if x.dim() == 4 else self._inputs[INPUT]
        self._made = dict(self._inputs)
        self._known: dict[Any, list[tuple[Any, int | None]]] = {}

    def forget(self) -> None:
        """Forget the registers; what was learnt of kinds stays."""
        self._made = dict(self._inputs)

    def add(self, ops: Iterable[Op]) -> None:
        """Learn the sizes of what these operations make; what they read is known."""
        for op in ops:
            if op.key not in self._made:
                reads = op.reads
                key = op.kind, *(_size(self._made[r].value) for r in reads)
                if key not in self._known:
                    self._known[key] = self._tried(op, reads)
                known = [self._made[r] for r in reads]
                for i, (value, owner) in zip(op.calls, self._known[key], strict=True):
                    known.append(self._made_of(value, owner, known))
                    self._made[i.out] = known[-1]

    def peak(self, program: Program) -> int:
        """The most bytes that the input and the registers of a program hold at once. Views take nothing of their own."""
        _, place, size = self._made[INPUT]
        readers, now = {place: 1}, size
        most = now
        for filled, dead in program.uses():
            for r in filled:
                _, place, size = self._made[r]
                now += 0 if readers.get(place) else size
                readers[place] = readers.get(place, 0) + 1
            most = max(most, now)
            for r in dead:
                _, place, size = self._made[r]
                readers[place] -= 1
                now -= 0 if readers[place] else size
        return most

    def _made_of(self, value: Any, owner: int | None, known: Sequence[Made]) -> Made:
        if owner is None:
            return self._new(value)
        return Made(value) if owner == WEIGHT else known[owner]._replace(value=value)

    def _new(self, value: Any) -> Made:
        if not isinstance(value, Tensor):
            return Made(value)
        self._places += 1
        return Made(value, self._places, value.untyped_storage().nbytes())

    @torch.no_grad()
    def _tried(self, op: Op, reads: Sequence[int]) -> list[tuple[Any, int | None]]:
        """What each call makes, and in whose memory: None for its own, WEIGHT, or a place among what is read and made before."""
        values = [self._made[r].value for r in reads]
        owners = {v.untyped_storage()._cdata: k for k, v in enumerate(values) if isinstance(v, Tensor)}
        registers, out = dict(zip(reads, values, strict=True)), list[tuple[Any, int | None]]()
        kept = list[Any]()  # as long as a tensor is there, its memory is told from that of others
        for i in map(evaluating, op.calls):
            consts = [_bare(c) for c in i.consts]
            owners |= {c.untyped_storage()._cdata: WEIGHT for c in consts if isinstance(c, Tensor)}
            kept.append(consts)
            value = i.fn(*[registers[s] for s in i.slots], *consts, **i.kwargs)
            place = value.untyped_storage()._cdata if isinstance(value, Tensor) else 0
            out.append((value, owners.get(place)))
            owners.setdefault(place, len(values) + len(out) - 1)
            registers[i.out] = value
        return out


def _size(value: Any) -> Any:
    return (*value.shape, value.stride()) if isinstance(value, Tensor) else value


def _bare(value: Any) -> Any:
    """Weights without contents."""
    if isinstance(value, Tensor):
        return torch.empty_like(value, device="meta")
    return [_bare(v) for v in value] if isinstance(value, list) else value


def grouped(traces: Sequence[Trace], sizes: Sequence[Sizes], most: int) -> Iterator[list[Trace]]:
    """Traces in order, cut into unions whose peak is at most `most` bytes; one that is alone may exceed it."""
    members = list(traces)
    program = Program(union(members), (t.result for t in members))
    if len(members) > 1 and max(s.peak(program) for s in sizes) > most:
        half = len(members) // 2
        yield from grouped(members[:half], sizes, most)
        yield from grouped(members[half:], sizes, most)
    else:
        yield members
