"""Typical mistakes: each file under golden/mistakes and corpus makes one fault, which is found where it was made, with help.

In golden/mistakes the first line says what must come, `# expects: E306 at 7:12`; some were corrected after the message
was read. In corpus the first lines say what a person would point at, `# expect 7:12 widht`, and a word that the message
must hold, `# says width`; they were written before the compiler was asked.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hrdsl.cli.check import check
from hrdsl.compiler.api import compile_module
from hrdsl.dsl.diagnostic import ArchError, Diagnostic, Source, render
from hrdsl.dsl.modules import load_source

HERE = Path(__file__).parent / "golden" / "mistakes"
CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(HERE.glob("*.arch"))
FILES = sorted(CORPUS.glob("*.arch"))
Golden = Callable[[Path, str], None]


def faults(path: Path) -> tuple[Diagnostic, ...]:
    """What `check` finds in a file: all stages up to the search for one architecture."""
    source = Source(path.name, path.read_text())
    try:
        compile_module(load_source(source, HERE)).decisions.check()
    except ArchError as fault:
        return fault.found
    return ()


def test_enough() -> None:
    assert len(CASES) >= 60
    assert len(FILES) >= 80


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_mistake(path: Path, golden: Golden) -> None:
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


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_message_points_where_a_person_would(path: Path, golden: Golden) -> None:
    expected = re.match(r"# expect (\d+):(\d+)(?: (.*))?\n(?:# says (.*)\n)?", path.read_text())
    assert expected, "the first lines say what to expect"
    line, column, place, word = int(expected[1]), int(expected[2]), expected[3] or "", expected[4] or ""
    found = check(path, None, {})[1]
    text = "\n\n".join(map(render, found)).replace(f"{CORPUS}/", "") + "\n"
    assert [d for d in found if d.severity == "error"] in ([], found[:1]), text
    at = found[0].here.span.source.place(found[0].here.span.start)
    assert at[0] == line and column <= at[1] < column + max(len(place), 1), text
    assert word.lower() in " ".join((found[0].title, found[0].here.text, found[0].help)).lower(), text
    golden(path.with_suffix(".err"), text)
