"""`docs/systems/table.md`: it is what its command writes, and what it claims holds."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "systems"
PAGE = (FOLDER / "table.md").read_text(encoding="utf-8")
TABLES = tomllib.loads((FOLDER / "published.toml").read_text(encoding="utf-8"))["table"]
CELLS = re.compile(r"\| ([\d.,e]+)( [kMG])? \| ([\d,]+|-) \| (\w[\w ]*) ")
"""A printed figure, its suffix, ours, the verdict."""
VERDICTS = {"equal", "cut", "last digit", "differs"}
FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("table", FOLDER / "table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["table"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_page_is_what_the_command_writes() -> None:
    command = [sys.executable, str(FOLDER / "table.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "python docs/systems/table.py"


def test_every_row_is_there() -> None:
    names = re.findall(r"^\| ([^|]+) \| (?:[\d|]|[ ])", PAGE, re.MULTILINE)
    assert names == [row["name"] for table in TABLES for row in table["row"]]


def test_claims_round_to_the_printed_digits() -> None:
    found = CELLS.findall(PAGE)
    figures = [
        row[c] for t in TABLES for row in t["row"] for c in ("parameters", "operations", "architectures") if c in row
    ]
    assert [digits.replace(",", "") + suffix.strip() for digits, suffix, _, _ in found] == figures
    for digits, suffix, ours, verdict in found:
        printed, factor = Decimal(digits.replace(",", "")), FACTORS[suffix.strip()]
        unit = Decimal((0, (1,), printed.as_tuple().exponent)) * factor
        off = None if ours == "-" else Decimal(ours.replace(",", "")) - printed * factor
        assert verdict in VERDICTS
        assert (verdict == "equal") == (off is not None and -unit / 2 <= off < unit / 2)
        assert verdict != "cut" or (off is not None and unit / 2 <= off < unit)
        assert verdict != "last digit" or (off is not None and abs(off) <= 3 * unit / 2)


def test_each_that_differs_has_a_reason() -> None:
    sections = PAGE.split("\n## ")[1:]
    for section, table in zip(sections, TABLES, strict=True):
        differ = {line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if "| differs |" in line}
        reasons = dict(re.findall(r"^- (.+?): (\S.*)\.$", section, re.MULTILINE))
        assert {name for names in reasons for name in names.split("; ")} == differ
        assert all(len(reason) > 20 for reason in reasons.values())
        assert table["title"] == section.splitlines()[0]


@pytest.mark.parametrize(
    ("printed", "ours", "verdict"),
    [
        ("19.7M", 19_685_152, "equal"),
        ("19.7M", 19_750_000, "cut"),
        ("19.7M", 19_650_000, "equal"),
        ("19.7M", 19_649_999, "differs"),
        ("28.0G", 28_013_084_672, "equal"),
        ("7.2e25", 71_810_804_455_625_701_830_000_000, "equal"),
        ("7.3e25", 71_810_804_455_625_701_830_000_000, "differs"),
        ("0.000G", 224_000, "equal"),
        ("12", 12, "equal"),
        ("12", 13, "differs"),
        ("12", None, "differs"),
    ],
)
def test_verdicts(table: ModuleType, printed: str, ours: int | None, verdict: str) -> None:
    assert table.Figure(printed, ours).verdict == verdict


def test_differences_of_printed_figures(table: ModuleType) -> None:
    assert table.Figure("0.106G", 105_080_192, difference=True).verdict == "last digit"
    assert table.Figure("0.106G", 105_080_192).verdict == "differs"
    assert table.Figure("0.106G", 104_400_000, difference=True).verdict == "differs"
