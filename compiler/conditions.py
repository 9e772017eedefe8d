"""Conditions: values that are true or false, joined, negated, and compared by what they imply.

A condition is `True`, `False`, a `Table`, or an `Apply`: a conjunction of tables and large factors, a disjunction of
such, sorted so that equal ones are one object. Values in, values out; imports `sym` only.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, product

from . import sym
from .sym import (
    LIMIT,
    LONGEST,
    Apply,
    Decision,
    Table,
    Value,
    apply,
    at,
    conjuncts,
    deps,
    joint,
    merge,
    projected,
    size,
    spread,
)


def both(*conditions: Value) -> Value:
    """Their conjunction: one table for what fits in it, large factors kept apart."""
    if len(conditions) == 1 and not isinstance(conditions[0], Apply):
        return conditions[0]
    kept = tuple([c for c in conditions if c is not True])
    if not kept or (len(kept) == 1 and not isinstance(kept[0], Apply)):
        return kept[0] if kept else True
    return _joined(kept)


@lru_cache(maxsize=1 << 14)
def _joined(conditions: tuple[Value, ...]) -> Value:
    if len(conditions) == 2 and Apply not in map(type, conditions) and joint(conditions) is not None:
        return apply("and", *conditions)
    table: Value = True
    large: list[Value] = []
    for factor in chain.from_iterable(map(conjuncts, conditions)):
        if isinstance(factor, Apply):
            if factor not in large:
                large.append(factor)
            continue
        if factor is True or factor == table:
            continue
        if table is not True and joint((table, factor)) is None:
            large.append(table)
            table = True
        table = factor if table is True else apply("and", table, factor)
    if table is False:
        return False
    factors = (*(() if table is True else (table,)), *sorted(large, key=hash))
    return True if not factors else factors[0] if len(factors) == 1 else Apply("and", factors)


def either(*conditions: Value) -> Value:
    """Their disjunction, with common factors taken out."""
    if len(conditions) < 2:
        return conditions[0] if conditions else False
    options = tuple(dict.fromkeys([c for c in conditions if c is not False]))
    if True in options:
        return True
    if len(options) < 2:
        return options[0] if options else False
    return _alternatives(options)


@lru_cache(maxsize=1 << 13)
def _alternatives(options: tuple[Value, ...]) -> Value:
    if Apply not in map(type, options) and joint(options) is not None:
        return apply("or", *options)
    factors = _narrowest([conjuncts(o) for o in options])
    common = [f for f in factors[0] if all(f in others for others in factors[1:])]
    rest = [both(*(f for f in some if f not in common)) for some in factors]
    tables = [r for r in rest if not isinstance(r, Apply)]
    large = [r for r in rest if isinstance(r, Apply)]
    joined = _united(tables)
    if any(j is True for j in joined):
        return both(*common)
    joined = [j for j in joined if j is not False]
    every = [*joined, *large]
    shared = _most_shared(every)
    if shared is not None:
        group = [o for o in every if shared in conjuncts(o)]
        inside = either(*(both(*(f for f in conjuncts(o) if f != shared)) for o in group))
        return both(*common, either(both(shared, inside), *(o for o in every if o not in group)))
    every = _absorbed(every)
    inner = every[0] if len(every) == 1 else Apply("or", tuple(sorted(every, key=hash))) if every else False
    return both(*common, inner)


def _united(tables: list[Value]) -> list[Value]:
    """A disjunction of tables in as few as hold it."""
    if len(tables) > 2 and joint(tuple(tables)) is not None:
        return [apply("or", *tables)]
    found: list[Value] = []
    for t in tables:
        for i, j in enumerate(found):
            merged = apply("or", j, t)
            if not isinstance(merged, Apply):
                found[i] = merged
                break
        else:
            found.append(t)
    return found


def _narrowest(options: list[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
    """Options as factors, without those that have all factors of another one."""
    sets = list(map(frozenset, options))
    return [o for o, mine in zip(options, sets, strict=True) if not any(other < mine for other in sets)]


def _most_shared(options: list[Value]) -> Value | None:
    """The factor that most options have, if two or more have one."""
    counts: dict[Value, int] = {}
    for factor in (f for o in options for f in conjuncts(o)):
        counts[factor] = counts.get(factor, 0) + 1
    most = max(counts, key=counts.__getitem__, default=None)
    return most if most is not None and counts[most] > 1 else None


def _absorbed(options: list[Value]) -> list[Value]:
    """Options without those that can be seen to imply another that is kept."""
    kept = list(options)
    for o in options:
        others = [k for k in kept if k is not o]
        if any(_implies(o, k) for k in others):
            kept = others
    return kept


def _implies(one: Value, other: Value, depth: int = 3) -> bool:
    """Whether `one` can be seen to imply `other`, factor by factor, through so many levels of alternatives."""
    factors = conjuncts(one)
    return all(
        any(_entails(mine, factor, depth) for mine in factors) or _follows(factors, factor)
        for factor in conjuncts(other)
    )


def _follows(factors: tuple[Value, ...], fact: Value) -> bool:
    """Whether what the tables among the factors say of the decisions of another, each by itself, implies it."""
    if not isinstance(fact, Table):
        return False
    near = [f for f in factors if isinstance(f, Table) and not {*f.deps}.isdisjoint(fact.deps)]
    if not near:
        return False
    columns = [spread(projected(f, fact.deps), fact.deps) for f in near]
    return all(fact.values[i] for i, row in enumerate(zip(*columns, strict=True)) if all(row))


def _entails(one: Value, other: Value, depth: int) -> bool:
    if one == other:
        return True
    if isinstance(one, Apply):
        return one.function == "or" and depth > 0 and all(_implies(o, other, depth - 1) for o in one.args)
    if not isinstance(one, Table) or not isinstance(other, Table) or not {*other.deps} <= {*one.deps}:
        return False  # a table says nothing about decisions that it does not read
    return all(b or not a for a, b in zip(one.values, spread(other, one.deps), strict=True))


def forget() -> None:
    """Drop what was remembered of other spaces: their values equal none of a new one."""
    sym.forget()
    _joined.cache_clear()
    _alternatives.cache_clear()


class Where:
    """What holds where something is made: conditions within each other, joined only where that is asked for."""

    __slots__ = ("_joined", "deps", "factor", "outer")

    def __init__(self, outer: "Where | None" = None, factor: Value = True) -> None:
        self.outer = outer
        self.factor = factor
        self.deps: frozenset[Decision] = outer.deps.union(deps(factor)) if outer else frozenset(deps(factor))
        self._joined: Value = None

    def within(self, factor: Value) -> "Where":
        """The same where `factor` holds too."""
        return self if factor is True else Where(self, factor)

    @property
    def condition(self) -> Value:
        if self._joined is None:
            self._joined = both(self.outer.condition, self.factor) if self.outer else self.factor
        return self._joined

    @property
    def nowhere(self) -> bool:
        """Whether the conditions exclude each other; those of different decisions do not."""
        apart = self.outer is not None and self.factor is not False and self.outer.deps.isdisjoint(deps(self.factor))
        return self.outer.nowhere if apart and self.outer else self.condition is False


EVERYWHERE = Where()


def negate(condition: Value) -> Value:
    """Its negation."""
    return apply("not", condition)


def implied(condition: Value, fact: Value) -> dict[Decision, int] | None:
    """None if `fact` holds wherever `condition` does; else one choice of the decisions where it does not.

    Exact where both fit into a table together; otherwise 2,000 fixed pseudo-random combinations are tried.
    """
    if fact is True or condition is False:
        return None
    over = merge((deps(condition), deps(fact)))
    if size(over) <= (4 * LIMIT if len(over) > 1 else LONGEST):
        if not isinstance(condition, Apply) and not isinstance(fact, Apply):
            return _exception(over, condition, fact)
        rows: Iterable[tuple[int, ...]] = product(*(range(len(d)) for d in over))
    elif _implies(condition, fact):
        return None
    else:
        rows = scatter(over, 2000)
    genes = [0] * (over[-1].index + 1 if over else 0)
    for row in rows:
        for d, g in zip(over, row, strict=True):
            genes[d.index] = g
        if at(condition, genes) and not at(fact, genes):
            return dict(zip(over, row, strict=True))
    return None


def _exception(over: tuple[Decision, ...], condition: Value, fact: Value) -> dict[Decision, int] | None:
    """The first choice at which a table holds and another does not."""
    for row, (holds, good) in enumerate(zip(spread(condition, over), spread(fact, over), strict=True)):
        if holds and not good:
            choice = {}
            for d in reversed(over):
                row, choice[d] = divmod(row, len(d))
            return dict(reversed(choice.items()))
    return None


def scatter(over: tuple[Decision, ...], count: int) -> Iterator[tuple[int, ...]]:
    """Fixed pseudo-random choices of some decisions."""
    state = 12345
    for _ in range(count):
        row = []
        for d in over:
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            row.append((state >> 33) % len(d))
        yield tuple(row)
