"""Typical mistakes: each file under golden/mistakes makes one fault, at the place that its first line names, with help.

The first line says what must come, `# expects: E306 at 7:12`; some were corrected after the message was read.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hrdsl.compiler.api import compile_module
from hrdsl.dsl.diagnostic import ArchError, Diagnostic, Source, render
from hrdsl.dsl.modules import load_source

HERE = Path(__file__).parent / "golden" / "mistakes"
CASES = sorted(HERE.glob("*.arch"))


def faults(path: Path) -> tuple[Diagnostic, ...]:
    """What `check` finds in a file: all stages up to the search for one architecture."""
    source = Source(path.name, path.read_text())
    try:
        compile_module(load_source(source, HERE)).decisions.check()
    except ArchError as fault:
        return fault.found
    return ()


def test_enough() -> None:
    assert len(CASES) >= 30


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_mistake(path: Path, golden: Callable[[Path, str], None]) -> None:
    expected = re.match(r"# expects: (\w+) at (\d+):(\d+)\n", path.read_text())
    assert expected, "the first line says what to expect"
    found = faults(path)
    text = "\n\n".join(map(render, found)).replace(str(HERE), "") + "\n"
    assert len(found) == 1, text
    [one] = found
    place = (one.code, *map(str, one.here.span.source.place(one.here.span.start)))
    assert place == expected.groups(), text
    assert one.help, text
    assert one.here.span.stop - one.here.span.start <= 80 or "\n" not in one.here.span.text, text
    golden(path.with_suffix(".err"), text)
