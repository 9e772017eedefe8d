"""Damaged files: every `.arch` file of the repository with one to four mutations; only diagnostics may come out."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from hrdsl.cli.check import text_only
from hrdsl.compiler.api import compile_module
from hrdsl.dsl.diagnostic import ArchError, Source
from hrdsl.dsl.model import build_model
from hrdsl.dsl.modules import Module, load_source

from .programs import program
from .spaces import SPACES

ROOT = Path(__file__).resolve().parents[1]
TOKEN = re.compile(r'"[^"\n]*"|#[^\n]*|\w+(?:\.\d+)?|->|\.\.|//|[<>=!]=|[^\S\n]+|[^\w\s]|\n')
NUMBERS = ("0", "-1", "1/3", "10^12", "1T", "1", "2", "0.5", "3/2", "1000", "9999999", "64Ki", "12ms", "-(2)")
RESERVED = (
    *("in", "per", "if", "then", "else", "for", "or", "and", "not", "true", "false", "none", "require", "prior", "use"),
    *("step", "on", "at", "as", "hrdsl", "maximize", "minimize"),
)
NAMES = (
    *(
        "space",
        "branch",
        "stage",
        "routes",
        "heads",
        "cell",
        "head",
        "stem",
        "input",
        "width",
        "stride",
        "kernel",
        "times",
    ),
    *("rounds", "fuse", "enter", "out", "to", "x", "open", "down", "layers", "halvings", "layer", "name", "branches"),
    *(
        "conv",
        "depthwise",
        "linear",
        "bn",
        "ln",
        "relu",
        "sum",
        "concat",
        "split",
        "resize",
        "attention",
        "global_pool",
    ),
    *(
        "repeat",
        "range",
        "subsets",
        "min",
        "max",
        "log2",
        "gcd",
        "round",
        "length",
        "all",
        "any",
        "count",
        "distinct",
        "contains",
    ),
    *("macs", "parameters", "peak_activation_bytes", "height", "points", "blocks", "fusion"),
)
MARKS = (
    "->",
    "..",
    "=",
    "==",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ":",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "<=",
    "\n",
    '"',
)
OPERATORS = ("+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!=", "=")
SECONDS = 2.0
"""Processor time that one file may take."""


class Slow(BaseException):
    """A file took too long. Nothing may catch it on the way."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise Slow after so much processor time."""

    def stop(*_: Any) -> None:
        raise Slow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@cache
def originals() -> tuple[tuple[str, Path], ...]:
    """Texts and the folders that they belong to, in a fixed order."""
    files = sorted(p for layer in ("dsl", "examples", "tests") for p in (ROOT / layer).rglob("*.arch"))
    texts = [(p.read_bytes().decode("utf-8", "replace"), p.parent) for p in files]
    return (*((t, p) for t, p in texts if len(t) < 20_000), *((t, ROOT) for t in SPACES.values()))


@cache
def sound() -> tuple[tuple[str, Path], ...]:
    """Texts without faults, and random programs."""
    whole = ("examples", "std", "stages", "constructs", "tiny", "diff", "library")
    texts = [(t, p) for t, p in originals() if p == ROOT or p.name in whole or p.parent.name in whole]
    return (*texts, *((program(seed), ROOT) for seed in range(len(texts))))


def mutant(seed: int) -> tuple[str, Path]:
    """One damaged text, and its folder; equal seeds, equal texts."""
    rng = Random(seed)
    text, folder = rng.choice(originals()) if rng.random() < 0.4 else rng.choice(sound())
    gentle = rng.random() < 0.6
    for _ in range(rng.randint(1, 4)):
        if gentle:
            text = by_kind(rng, text)
        else:
            text = by_token(rng, text) if rng.random() < 0.8 else by_character(rng, text)
    return text, folder


KINDS = (re.compile(rf"(?!({'|'.join(RESERVED)})$)[A-Za-z_]\w*$"), re.compile(r"\d"), re.compile(r"[-+*/%<>=!]=?$|//$"))


def by_kind(rng: Random, text: str) -> str:
    """A name, a number or an operator becomes another one of the file or of the language; or a line goes, or comes twice."""
    tokens, lines = TOKEN.findall(text), text.split("\n")
    if rng.random() < 0.2:
        k, m = rng.randrange(len(lines)), rng.randrange(len(lines))
        return "\n".join(lines[:k] + rng.choice(([], [lines[k], lines[m]])) + lines[k + 1 :])
    kind, more = rng.choice(list(zip(KINDS, (NAMES, NUMBERS, OPERATORS), strict=True)))
    others = [t for t in tokens if kind.match(t)]
    places = [k for k, t in enumerate(tokens) if kind.match(t)]
    if not places:
        return text
    tokens[rng.choice(places)] = rng.choice(others if rng.random() < 0.5 else more)
    return "".join(tokens)


def by_token(rng: Random, text: str) -> str:
    tokens = TOKEN.findall(text)
    places = [i for i, t in enumerate(tokens) if t.strip() or t == "\n"] or [0]
    i, j = rng.choice(places), rng.choice(places)
    if not tokens:
        return rng.choice(NAMES)
    match rng.randrange(8):
        case 0:
            del tokens[i]
        case 7:
            other = TOKEN.findall(rng.choice(originals())[0])
            first = rng.randrange(len(other) + 1)
            tokens[i:i] = other[first : first + rng.choice((1, 4, 16))]
        case 1:
            tokens.insert(i, tokens[i])
        case 2:
            tokens[i], tokens[j] = tokens[j], tokens[i]
        case 3:
            tokens[i] = tokens[j]
        case 4:
            lines = text.split("\n")
            k, m = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines.insert(k, lines[m])
            return "\n".join(lines)
        case 5:
            numbers = [k for k in places if tokens[k][0].isdigit()] or [i]
            tokens[rng.choice(numbers)] = rng.choice(NUMBERS)
        case _:
            tokens[i] = rng.choice(rng.choice((RESERVED, NAMES, MARKS, NUMBERS)))
    return "".join(tokens)


def by_character(rng: Random, text: str) -> str:
    i = rng.randrange(len(text) + 1)
    match rng.randrange(4):
        case 0:
            return text[:i] + text[i + 1 :]
        case 1:
            return text[:i] + text[i : i + 1] + text[i:]
        case 2:
            return text[:i] + text[i + 1 : i + 2] + text[i : i + 1] + text[i + 2 :]
    return text[:i] + rng.choice('{}[]()=->.,:"#\\\t\0\u202e\u00e9%019_ \n') + text[i + 1 :]


def judge(text: str, folder: Path) -> str:
    """Everything up to a sample and its costs: `whole`, or the code of the first diagnostic."""
    try:
        with limit(SECONDS):
            module = load_source(Source(str(folder / "mutant.arch"), text.replace("\r\n", "\n")), folder)
            spaces = build_model(module).spaces
            for space in spaces:
                try_space(module, space.name)
            text_only(module)
    except ArchError as fault:
        str(fault)
        return fault.found[0].code
    return "whole"


def try_space(module: Module, name: str) -> None:
    space = compile_module(module, name)
    decisions = space.decisions
    decisions.check()
    decisions.count()
    [genes] = decisions.sample(np.random.default_rng(0), 1)
    decisions.labels(genes)
    space.costs.one(genes)


def fault(text: str, folder: Path) -> str:
    """What came out that is no diagnostic."""
    try:
        judge(text, folder)
    except (Exception, Slow) as found:
        return f"{type(found).__name__}: {found}"[:200]
    return ""


def smallest(text: str, folder: Path) -> str:
    """A text with a fault, without the lines and the tokens that do not matter."""
    for split in (lambda t: t.splitlines(keepends=True), TOKEN.findall):
        parts = split(text)
        size = max(1, len(parts) // 2)
        while size:
            for at in range(len(parts) - size, -1, -size):
                fewer = parts[:at] + parts[at + size :]
                if fault("".join(fewer), folder):
                    parts = fewer
            size //= 2
        text = "".join(parts)
    return text
