"""`python docs/systems/table.py`: the printed figures of published.toml beside those of our networks, as table.md.

With `--check` nothing is written, and the exit status is 1 where the file is not what would be written.
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / ".path"))
PAGE = HERE / "table.md"
HEAD = """# The papers' figures beside ours

Written by `python docs/systems/table.py` from [published.toml](published.toml) and the files under `examples/`; do not edit
it. What each convention counts stands in [costs.md](../costs.md).

**equal**: our figure rounds to the printed digits. **cut**: it begins with the printed digits, and the paper did not round
them. **last digit**: the difference of two printed, rounded figures, one off in its last digit. **differs**: the reason
stands below the table.
"""
SUFFIXES = {"k": 3, "M": 6, "G": 9, "B": 9}
COLUMNS = {"parameters": "parameters", "operations": "operations", "architectures": "architectures"}


@dataclass(frozen=True)
class Figure:
    """A printed figure and ours; a difference is one of two printed figures, each rounded."""

    printed: str
    ours: int | None
    difference: bool = False

    @property
    def verdict(self) -> str:
        if self.ours is None:
            return "differs"
        printed, unit = scaled(self.printed)
        steps = Decimal(self.ours) / unit
        if steps.to_integral_value(ROUND_HALF_UP) * unit == printed:
            return "equal"
        if steps.to_integral_value(ROUND_DOWN) * unit == printed:
            return "cut"
        near = abs(Decimal(self.ours) - printed) <= 3 * unit / 2
        return "last digit" if self.difference and near else "differs"


@dataclass(frozen=True)
class Row:
    """A network: its name, its figures by column, and why one differs."""

    name: str
    why: str
    figures: Mapping[str, Figure]

    @property
    def differs(self) -> bool:
        return any(f.verdict == "differs" for f in self.figures.values())


@dataclass(frozen=True)
class Table:
    title: str
    convention: str
    notes: str
    rows: tuple[Row, ...] = field(repr=False)


def scaled(printed: str) -> tuple[Decimal, Decimal]:
    """A printed figure and the unit of its last digit."""
    zeros = SUFFIXES.get(printed[-1], 0)
    value = Decimal(printed[:-1] if zeros else printed).scaleb(zeros)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return value, Decimal(1).scaleb(exponent)


# ours --------------------------------------------------------------------------------------------------------------


def costs(row: Mapping[str, Any], convention: str, settings: Mapping[str, Any]) -> dict[str, int]:
    """The figures of one network by column."""
    space = compiled(row.get("file", ""), source(row), frozen(settings))
    if "architectures" in row:
        return {"architectures": space.decisions.count().value}
    found = space.counted(convention).one(genes(space, row.get("arch", {})))
    return {"parameters": found["parameters"], "operations": found.get("operations", found["macs"])}


def genes(space: Any, arch: Mapping[str, str]) -> Any:
    """The architecture with these decisions, all others as in the largest."""
    import numpy

    row = numpy.array([space.decisions.largest()], dtype=numpy.int16).reshape(1, -1)
    for decision in space.graph.decisions:
        if decision.path in arch:
            row[0, decision.index] = decision.labels.index(arch[decision.path])
    assert {d.path for d in space.graph.decisions} >= set(arch)
    return space.decisions.canonical(row)[0]


def source(row: Mapping[str, Any]) -> str:
    """The text of a row that is a cell."""
    if "cell" not in row:
        return ""
    uses = "".join(f"use {module}\n" for module in row.get("use", ()))
    return f"hrdsl 1\n\n{uses}\nspace row {{\n  input = {row['input']}\n  head = {row['cell']}\n}}\n"


def frozen(value: Any) -> Any:
    """Settings as the compiler takes them, and as a key."""
    if isinstance(value, Mapping):
        return tuple((k, frozen(v)) for k, v in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list) else value


@cache
def compiled(file: str, text: str, settings: tuple[tuple[str, Any], ...]) -> Any:
    from hrdsl.compiler.api import compile_file, compile_module
    from hrdsl.dsl.diagnostic import Source
    from hrdsl.dsl.modules import load_source

    if text:
        return compile_module(load_source(Source("row.arch", text)), None, dict(settings))
    return compile_file(ROOT / "examples" / f"{file}.arch", None, dict(settings))


def figures(row: Mapping[str, Any], convention: str) -> dict[str, Figure]:
    """What a row prints, each beside ours."""
    columns = [c for c in COLUMNS if c in row]
    if "file" not in row and "cell" not in row:
        return {c: Figure(row[c], None) for c in columns}
    ours, minus = costs(row, convention, row.get("set", {})), row.get("minus")
    if minus is not None:
        other = costs(row, convention, minus)
        ours = {c: ours[c] - other[c] for c in ours}
    return {c: Figure(row[c], ours[c], minus is not None) for c in columns}


def tables() -> list[Table]:
    """Every table of published.toml with our figures."""
    found = []
    for table in tomllib.loads((HERE / "published.toml").read_text(encoding="utf-8"))["table"]:
        rows = (shared(table) | r | {"arch": table.get("arch", {}) | r.get("arch", {})} for r in table["row"])
        made = tuple(Row(r["name"], r.get("why", ""), figures(r, r["convention"])) for r in rows)
        found.append(Table(table["title"], table["convention"], table.get("notes", ""), made))
    return found


def shared(table: Mapping[str, Any]) -> dict[str, Any]:
    """What a table says for all of its rows."""
    return {k: table[k] for k in ("convention", "file", "why") if k in table}


# the page ----------------------------------------------------------------------------------------------------------


def page() -> str:
    return "\n".join([HEAD, *(line for table in tables() for line in lines(table))])


def lines(table: Table) -> Iterator[str]:
    columns = [c for c in COLUMNS if any(c in row.figures for row in table.rows)]
    yield from (f"## {table.title}", "")
    if "operations" in columns:
        yield f"Operations by the convention `{table.convention}`.{f' {table.notes}' if table.notes else ''}"
        yield ""
    head = [cell for c in columns for cell in (f"{c}, printed", "ours", "")]
    yield f"| network | {' | '.join(head)} |"
    yield f"|---|{'--:|--:|---|' * len(columns)}"
    for row in table.rows:
        yield f"| {row.name} | {' | '.join(cell for c in columns for cell in cells(row.figures.get(c)))} |"
    yield ""
    reasons: dict[str, list[str]] = {}
    for row in table.rows:
        if row.differs:
            reasons.setdefault(row.why, []).append(row.name)
    yield from (f"- {'; '.join(names)}: {why}." for why, names in reasons.items())
    yield from [""] if reasons else []


def cells(figure: Figure | None) -> tuple[str, str, str]:
    if figure is None:
        return "", "", ""
    digits, suffix = (
        (figure.printed[:-1], f" {figure.printed[-1]}") if figure.printed[-1] in SUFFIXES else (figure.printed, "")
    )
    shown = f"{int(digits):,}" if digits.isdigit() and not suffix else digits
    return f"{shown}{suffix}", "-" if figure.ours is None else f"{figure.ours:,}", figure.verdict


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
