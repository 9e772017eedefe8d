"""Compiler values to plain JSON data: dataclasses field by field, values and axes once each in a shared list. No pydantic."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from typing import Any

from ...dsl.diagnostic import Source, Span
from ...dsl.syntax import Syntax
from ..axis import Axis
from ..operator import Operator
from ..sym import Apply, Decision, Metric, Table

VERSION = 1
"""Of all documents. It rises when one of the version before can no longer be read, or would mean something else."""
SAFE = 1 << 53
"""Larger integers stand as text: other languages read JSON numbers as doubles."""
AXES: tuple[Any, ...] = Axis.__args__
SHARED = (Table, Apply, Metric, *AXES)


class DocumentError(Exception):
    """A text that is no document of the kind that is read; the message is one line."""


@dataclass(frozen=True, slots=True)
class Named:
    """A cell among the values of a decision, as JSON knows it: by its label. The graph holds what it expands to."""

    label: str


def tag(kind: type) -> str | None:
    """The `type` of a class that stands in a union: `ListOf` is `list_of`."""
    if not (issubclass(kind, Syntax) or kind in SHARED):
        return None
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


class Encoder:
    """Encodes the parts of one document; `sources` and `shared` collect what they refer to.

    Without `places` spans and syntax are left out: what remains is the same for every layout of the text.
    """

    def __init__(self, places: bool = True) -> None:
        self.places = places
        self.sources: dict[Source, int] = {}
        self.shared: list[dict[str, Any]] = []
        self._entries: dict[str, int] = {}
        self._done: dict[int, tuple[int, Any]] = {}

    def __call__(self, value: Any) -> Any:
        match value:
            case None | bool() | str() | float():
                return value
            case int():
                return value if abs(value) < SAFE else {"exact": str(value)}
            case Fraction():
                return {"exact": f"{value.numerator}/{value.denominator}"}
            case tuple() | list():
                return [self(v) for v in value]
            case Mapping():
                return {str(k): self(v) for k, v in value.items()}
            case Span():
                return [self.sources.setdefault(value.source, len(self.sources)), value.start, value.stop]
            case Decision():
                return value.index
            case Operator():
                return {"operator": value.name, "settings": self(value.settings())}
        if isinstance(value, SHARED):
            return {"axis" if isinstance(value, AXES) else "value": self._share(value)}
        if is_dataclass(value):
            return self.fields(value)
        raise TypeError(f"no JSON form of {type(value).__name__}")

    def fields(self, value: Any) -> dict[str, Any]:
        """A dataclass field by field, with its `type` if it has one."""
        name = tag(type(value))
        parts = ((f.name, getattr(value, f.name)) for f in fields(value))
        kept = {n: self(part) for n, part in parts if self.places or not isinstance(part, Span | Syntax)}
        return {"type": name, **kept} if name else kept

    def decision(self, decision: Decision) -> dict[str, Any]:
        """A decision of the graph; cells among its values by their labels."""
        values = [
            self(v) if _is_plain(v) else {"cell": label}
            for v, label in zip(decision.values, decision.labels, strict=True)
        ]
        place = {"span": self(decision.span)} if self.places else {}
        return {"path": decision.path, "values": values, "labels": list(decision.labels), **place}

    def _share(self, value: Any) -> int:
        """The place of a value or an axis in `shared`: equal ones have one place, parts come before the whole."""
        waiting = [value]
        while waiting:
            missing = [part for part in _parts(waiting[-1]) if id(part) not in self._done]
            if missing:
                waiting += missing
            else:
                self._store(waiting.pop())
        return self._done[id(value)][0]

    def _store(self, value: Any) -> None:
        """An entry for a value whose parts have theirs."""
        if id(value) in self._done:
            return
        entry = self._entry(value)
        index = self._entries.setdefault(json.dumps(entry), len(self.shared))
        if index == len(self.shared):
            self.shared.append(entry)
        self._done[id(value)] = index, value

    def _entry(self, value: Any) -> dict[str, Any]:
        match value:
            case Table():
                return {"type": "table", "decisions": self(value.deps), "values": self(value.values)}
            case Apply():
                return {"type": "apply", "function": value.function, "arguments": self(value.args)}
        return self.fields(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | Fraction | str)


def _parts(value: Any) -> Iterator[Any]:
    """The shared values and axes that one refers to."""
    if isinstance(value, Apply):
        yield from (a for a in value.args if isinstance(a, SHARED))
    elif isinstance(value, AXES):
        yield from (p for f in fields(value) for p in _flat(getattr(value, f.name)) if isinstance(p, SHARED))


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield value
