"""Text in, syntax tree out: an LALR(1) automaton that makes nodes as it reduces. Imports `tables`, `tokens`, `actions`, `faults`."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from .actions import Builder
from .diagnostic import MOST, ArchError, Diagnostic, Source, Span
from .faults import explain_fault
from .pieces import check_header, check_text, chunks, entry_at
from .syntax import File
from .tables import Rule, tables
from .tokens import Token, Unexpected, joined, tokens

MOST_OF_ITEM = 10
"""No item is read more often."""
AGAIN = 30_000
"""So many characters are read again behind a fault, all items together."""
_NO_STEP = -1_000_000


def parse(source: Source) -> File:
    """Read one file. Raises ArchError with the syntax faults of every item, up to what nests too deeply."""
    check_text(source)
    text = source.text + "\n"
    build = Builder(source)
    try:
        file: File = _Automaton("start", build).run(joined(tokens(text, 0, len(text))))
    except Unexpected as fault:
        raise ArchError(*_faults(source, text, fault)) from None
    if build.found:
        raise ArchError(*build.found[:MOST])
    return file


def _faults(source: Source, text: str, whole: Unexpected) -> list[Diagnostic]:
    """The faults of a file, item by item and entry by entry, so that one fault does not hide the others."""
    header, start = check_header(source)
    found = [header] if header else []
    spare = AGAIN
    for first, last in chunks(text, start):
        more = _faults_of_item(source, text, first, last, min(MOST_OF_ITEM, 1 + spare // (last - first)))
        spare = max(0, spare - (last - first) * len(more))
        found += _independent(more)
        if len(found) >= MOST:
            break
    return found[:MOST] or [explain_fault(source, text, whole, 0, len(text))]


def _faults_of_item(source: Source, text: str, first: int, last: int, most: int) -> list[Diagnostic]:
    """Up to `most` faults of an item: the entry that holds one is blanked out, and the rest is read again."""
    found: list[Diagnostic] = []
    while True:
        build = Builder(source)
        try:
            _Automaton("items", build).run(joined(tokens(text, first, last)))
            return found + build.found
        except Unexpected as fault:
            found.append(explain_fault(source, text, fault, first, last))
            if len(found) == most or found[-1].code == "E104":
                return found
            entry = entry_at(text, first, last, fault.token.start)
        if entry is None:
            return found
        start, stop = entry
        text = text[:start] + " " * (stop - start) + text[stop:]


def _independent(found: list[Diagnostic]) -> Iterator[Diagnostic]:
    """Faults without those at a word that was meant as a name, once it is said that it cannot be one."""
    taken: set[str] = set()
    for fault in found:
        word = fault.here.span.text
        if word not in taken:
            yield fault
        if fault.code == "E110":
            taken.add(word)


class _Automaton:
    """Four stacks side by side: the states, and for each symbol its value, where it starts and how deep it nests."""

    def __init__(self, start: str, build: Builder) -> None:
        self.build = build
        self.gotos = tables().gotos
        self.states = [tables().starts[start]]
        self.values: list[Any] = []
        self.starts: list[int] = []
        self.depths: list[int] = []

    def run(self, stream: Iterator[Token]) -> Any:
        """The node of the start rule. Raises Unexpected."""
        steps, rules, states = tables().steps, tables().rules, self.states
        stop = 0
        for token in stream:
            kind, _, start, end = token
            while (step := steps[states[-1]].get(kind, _NO_STEP)) < 0:
                if step == _NO_STEP:
                    raise Unexpected(token, _accepted(states))
                rule = rules[~step]
                if rule.unit:
                    states[-1] = _settled(states[-2], states[-1], kind)
                else:
                    self.reduce(rule, start, stop)
            states.append(step)
            self.values.append(token)
            self.starts.append(start)
            self.depths.append(0)
            stop = end
        return self.values[0]

    def reduce(self, rule: Rule, here: int, stop: int) -> None:
        """Replace the symbols of a rule, which end at `stop`, by its node; one without symbols stands at `here`."""
        origin, length, action, picks, lead, _ = rule
        base = len(self.values) - length
        start = self.starts[base + lead] if length else here
        depth = max(self.depths[base:], default=0)
        value: Any = _children(self.values[base:], picks)
        if action:
            depth += 1
            value = self.build.node(action, Span(self.build.source, start, stop), depth, value)
        if length:
            del self.states[-length:]
        self.states.append(self.gotos[self.states[-1]][origin])
        self.values[base:] = (value,)
        self.starts[base:] = (start,)
        self.depths[base:] = (depth,)


def _children(values: list[Any], picks: list[int | None]) -> list[Any]:
    """What a rule keeps of its symbols; a list that comes first is grown in place."""
    if picks and picks[0] is not None and picks[0] < 0:
        out: list[Any] = values[~picks[0]]
        picks = picks[1:]
    else:
        out = []
    for at in picks:
        if at is None:
            out.append(None)
        elif at < 0:
            out += values[~at]
        else:
            out.append(values[at])
    return out


@cache
def _settled(below: int, state: int, kind: str) -> int:
    """The state after all rules that hand on their only symbol, before a token of this kind."""
    steps, gotos, rules = tables().steps, tables().gotos, tables().rules
    while (step := steps[state].get(kind, 0)) < 0 and rules[~step].unit:
        state = gotos[below][rules[~step].origin]
    return state


def _accepted(states: list[int]) -> frozenset[str]:
    """The kinds of tokens that fit now."""
    return frozenset(kind for kind in tables().steps[states[-1]] if _fits(list(states), kind))


def _fits(states: list[int], kind: str) -> bool:
    steps, gotos, rules = tables().steps, tables().gotos, tables().rules
    while (step := steps[states[-1]].get(kind)) is not None:
        if step >= 0:
            return True
        rule = rules[~step]
        del states[len(states) - rule.length :]
        states.append(gotos[states[-1]][rule.origin])
    return False
