"""Mutated files: whatever a text says, the compiler answers with a space or with diagnostics.

`HRDSL_FUZZ=60 pytest tests/test_fuzz.py` mutates for so many seconds, from a new seed each time.
"""

import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

from hrdsl.cli.check import constraints, text_only
from hrdsl.compiler.api import compile_module
from hrdsl.dsl.diagnostic import ArchError, Source
from hrdsl.dsl.model import build_model
from hrdsl.dsl.modules import load_source

ROOT = Path(__file__).resolve().parent.parent
SECONDS = float(os.environ.get("HRDSL_FUZZ", "5"))
SEED = time.time_ns() if "HRDSL_FUZZ" in os.environ else 0
LONGEST = 4_000
"""Longer files take too long to compile over and over."""
PIECE = re.compile(r"[A-Za-z_0-9]+|[^\S\n]+|\n\s*|->|\.\.|[<>=!]=|//|.", re.DOTALL)
WORDS = """hrdsl 1 0 -1 1/2 600M 9999999999 1e-4 use as on at for in per prior require step if then else or and not true
    none maximize x width times input stem head cell out stage branch [ ] ( ) { } = == < -> .. : , . + - * / // % "s" # ##
    repeat(conv(3)) range(3) [a for a in x] min() conv bn sum concat split fusion blocks 1..3 {1,2}""".split()


def corpus() -> list[tuple[Path, str]]:
    """Every file of the repository that is not too long, with the folder that it may read."""
    folders = ("dsl", "examples", "tests")
    paths = (p for folder in folders for p in sorted((ROOT / folder).rglob("*.arch")))
    texts = ((p, p.read_bytes().decode("utf-8", "replace")) for p in paths)
    return [(p, text) for p, text in texts if len(text) <= LONGEST]


def mutated(text: str, other: str, draw: random.Random) -> str:
    """A text after a few edits: pieces dropped, doubled, swapped, replaced, taken from another text; characters changed."""
    pieces = PIECE.findall(text)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at, to = draw.randrange(len(pieces) + 1), draw.randrange(len(pieces) + 1)
        match draw.randrange(7):
            case 0:
                del pieces[at : at + draw.choice((1, 1, 2, 5))]
            case 1:
                pieces[at:at] = pieces[at : at + draw.choice((1, 3, 12))]
            case 2 if max(at, to) < len(pieces):
                pieces[at], pieces[to] = pieces[to], pieces[at]
            case 3:
                pieces[at : at + 1] = [draw.choice(WORDS)]
            case 4:
                pieces[at:at] = [" ", draw.choice(WORDS), " "]
            case 5:
                stolen = PIECE.findall(other)
                first = draw.randrange(len(stolen) + 1)
                pieces[at:at] = stolen[first : first + draw.choice((1, 4, 16))]
            case 6 if at < len(pieces):
                pieces[at] = pieces[at][:-1] + chr(draw.choice((draw.randrange(32, 127), draw.randrange(0x3000))))
    return "".join(pieces)


def check(path: Path, text: str) -> None:
    """What `hrdsl check` does with a text that stands in the place of a file."""
    try:
        module = load_source(Source(path.name, text.replace("\r\n", "\n")), path.parent)
        spaces = build_model(module).spaces
    except ArchError:
        return
    for space in spaces:
        try:
            constraints(compile_module(module, space.name))
        except ArchError as error:
            assert error.found
    text_only(module)


def fails(path: Path, text: str) -> str:
    """The exception that is no diagnostic, or nothing."""
    try:
        check(path, text)
    except Exception as fault:
        return f"{type(fault).__name__}: {fault}"[:200]
    return ""


def smallest(path: Path, text: str) -> str:
    """The text without the lines and pieces that do not matter."""
    for split in (lambda t: t.splitlines(keepends=True), PIECE.findall):
        parts = split(text)
        size = max(1, len(parts) // 2)
        while size:
            for at in range(len(parts) - size, -1, -size):
                fewer = parts[:at] + parts[at + size :]
                if fails(path, "".join(fewer)):
                    parts = fewer
            size //= 2
        text = "".join(parts)
    return text


def mutants(seconds: float, seed: int) -> Iterator[tuple[Path, str]]:
    draw, files, end = random.Random(seed), corpus(), time.monotonic() + seconds
    while time.monotonic() < end:
        path, text = draw.choice(files)
        yield path, mutated(text, draw.choice(files)[1], draw)


def test_mutated_files_are_answered() -> None:
    for path, text in mutants(SECONDS, SEED):
        fault = fails(path, text)
        assert not fault, f"{path.name}, seed {SEED}: {fault}\n{smallest(path, text)}"
