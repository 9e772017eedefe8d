"""`hrdsl explain`: what a diagnostic, a construct, a function, a module, a cell, an operator, a setting or a cost convention is."""

from argparse import Namespace
from collections.abc import Iterator
from textwrap import fill, indent
from typing import TYPE_CHECKING, Any

from ..compiler.conventions import CONVENTIONS
from ..compiler.functions import FUNCTIONS
from ..compiler.ops import operators
from ..dsl.errors import near
from ..dsl.settings import OPTIONS, Option
from .codes import CODES
from .common import UsageError, add_json, show, table
from .constructs import CONSTRUCTS, FUNCTION_SECTION, USES, Construct
from .forms import setting
from .library import WIDTH, Answer, find, modules

if TYPE_CHECKING:
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("explain")
    help = (
        "a code (E306), a word of the language (stage, per), a function (subsets), a module or a cell (std.blocks, "
        "std.blocks.residual, FILE.arch:cell), an operator (conv), a setting (train.steps), a cost convention (hrvit-paper); default: list all"
    )
    parser.add_argument("topic", metavar="CODE|NAME", nargs="?", help=help)
    add_json(parser)


def run(args: Namespace) -> int:
    answers = _topics() if args.topic is None else explain(args.topic)
    data = answers[0] if len(answers) == 1 else {"answers": answers}
    return show(args, data, "\n\n".join(a["text"] for a in answers).splitlines())


def explain(topic: str) -> list[Answer]:
    """All that goes by this name."""
    if topic.upper() in CODES:
        return [_code(topic.upper())]
    found = [*_constructs(topic), *_functions(topic), *find(topic), *_settings(topic), *_conventions(topic)]
    if not found:
        raise UsageError(f"explain: nothing is named `{topic}`: {near(topic, names(topic))}; `hrdsl explain` lists all")
    return found


def names(topic: str = "") -> list[str]:
    """Every name that can be explained, in full and in short; of packages, those of the one that `topic` begins with."""
    known = modules(topic)
    cells = [f"{name}.{cell}" for name, module in known.items() for cell in module.cells]
    short = [name.rsplit(".", 1)[-1] for name in cells]
    options = [f"{block}.{name}" for block, table in OPTIONS.items() for name in table]
    words = [word for name, construct in CONSTRUCTS.items() for word in (name, *construct.also)]
    return [*CODES, *words, *FUNCTIONS, *known, *cells, *short, *operators(), *OPTIONS, *options, *CONVENTIONS]


# codes -------------------------------------------------------------------------------------------------------------


def _code(name: str) -> Answer:
    code = CODES[name]
    kind = "warning" if name[0] == "W" else "error"
    parts = [
        f"{kind} {name}: {code.title}",
        fill(code.meaning, WIDTH),
        f"wrong{_where(code.place)}:\n\n{indent(code.wrong, '    ')}",
        f"mended:\n\n{indent(code.mended, '    ')}",
    ]
    plain = {"title": code.title, "meaning": code.meaning, "wrong": code.wrong, "mended": code.mended}
    return {"kind": kind, "name": name, **plain, "text": "\n\n".join(parts)}


def _where(place: str) -> str:
    return {"file": "", "cells": "", "items": "", "head": ", in a space"}.get(place, f", in a {place}")


# constructs and functions ------------------------------------------------------------------------------------------


def _constructs(topic: str) -> Iterator[Answer]:
    """The constructs of this name; `_settings` shows those that are blocks of settings."""
    for name, construct in CONSTRUCTS.items():
        if topic in (name, *construct.also) and name not in OPTIONS:
            yield _construct("construct", name)


def _construct(kind: str, name: str) -> Answer:
    return {**_page(kind, name, CONSTRUCTS[name]), "also": list(CONSTRUCTS[name].also)}


def _functions(topic: str) -> Iterator[Answer]:
    if topic in FUNCTIONS:
        function = FUNCTIONS[topic]
        page = Construct(function.summary, *USES[topic], FUNCTION_SECTION)
        yield {**_page("function", topic, page, function.calls), "calls": list(function.calls)}


def _page(kind: str, name: str, page: Construct, calls: tuple[str, ...] = ()) -> Answer:
    parts = [
        f"{kind} {name}: {page.title}",
        *(["\n".join(f"  {call}" for call in calls)] if calls else []),
        fill(page.meaning, WIDTH, break_on_hyphens=False),
        f"example{_where(page.place)}:\n\n{indent(page.example, '    ')}",
        f"more: SPEC.md, section {page.section}",
    ]
    plain = {"title": page.title, "meaning": page.meaning, "usage": page.example, "section": page.section}
    return {"kind": kind, "name": name, **plain, "text": "\n\n".join(parts)}


# settings ----------------------------------------------------------------------------------------------------------


def _settings(topic: str) -> Iterator[Answer]:
    for block, options in OPTIONS.items():
        if topic == block:
            page = _construct("block", block)
            text = f"{page['text']}\n\nits settings\n\n" + "\n".join(_option_table(options))
            yield {**page, "settings": list(options), "text": text}
        for name, option in options.items():
            if topic in (name, f"{block}.{name}"):
                yield _setting(f"{block}.{name}", option)
            if topic in option.calls:
                rows = "\n".join(_option_table(option.calls[topic])) or "  no options"
                text = f"{topic}: a value of {block}.{name}\n\n{rows}"
                yield {"kind": "setting", "name": f"{block}.{name}", "text": text}


def _setting(name: str, option: Option) -> Answer:
    parts = [f"setting {name}: {option.docs}", f"{_takes(option)}; default {setting(option.default)}"]
    parts += [f"{call}\n\n" + "\n".join(_option_table(inner)) for call, inner in option.calls.items() if inner]
    return {"kind": "setting", "name": name, "default": setting(option.default), "text": "\n\n".join(parts)}


def _option_table(options: Any) -> list[str]:
    rows = [[name, setting(o.default), _takes(o), o.docs] for name, o in options.items()]
    return table([["name", "default", "takes", ""], *rows]) if rows else []


def _takes(option: Option) -> str:
    if option.kind == "call":
        return " or ".join(option.calls)
    if option.choices:
        return " or ".join(option.choices)
    what = {
        "whole": "a whole number",
        "number": "a number",
        "numbers": "a list of numbers",
        "flag": "true or false",
    }.get(option.kind, option.kind)
    least = "" if option.least is None else f" from {option.least:,}"
    return what + least + ("" if option.most is None else f" to {option.most:,}")


# conventions -------------------------------------------------------------------------------------------------------


def _conventions(topic: str) -> Iterator[Answer]:
    if topic == "convention":
        rows = table([[name, c.title] for name, c in CONVENTIONS.items()])
        text = "\n".join(("conventions: ways to count operations, for `--convention`", "", *rows))
        yield {"kind": "conventions", "name": "convention", "conventions": list(CONVENTIONS), "text": text}
    if topic in CONVENTIONS:
        found = CONVENTIONS[topic]
        rules = [f"  {rule}" for rule in found.rules]
        more = "of the lines for one quantity, the first that fits an operator counts; more: docs/costs.md"
        parts = [f"convention {topic}: {found.title}", fill(found.meaning, WIDTH), "\n".join(rules), more]
        plain = {"title": found.title, "meaning": found.meaning, "rules": [str(rule) for rule in found.rules]}
        yield {"kind": "convention", "name": topic, **plain, "text": "\n\n".join(parts)}


# all ---------------------------------------------------------------------------------------------------------------


def _topics() -> list[Answer]:
    constructs = table([[name, construct.title] for name, construct in CONSTRUCTS.items()])
    functions = table([[", ".join(f.calls), f.summary] for f in FUNCTIONS.values()])
    codes = table([[name, code.title] for name, code in CODES.items()])
    cells = table([[name, ", ".join(module.cells)] for name, module in modules().items()])
    ops = fill(", ".join(sorted(operators())), WIDTH, initial_indent="  ", subsequent_indent="  ")
    options = table([[block, ", ".join(known)] for block, known in OPTIONS.items()])
    conventions = table([[name, c.title] for name, c in CONVENTIONS.items()])
    listed = {
        "constructs": list(CONSTRUCTS),
        "functions": list(FUNCTIONS),
        "codes": list(CODES),
        "modules": list(modules()),
        "operators": sorted(operators()),
        "settings": list(OPTIONS),
        "conventions": list(CONVENTIONS),
    }
    parts = (
        ("language", constructs),
        ("functions", functions),
        ("library", cells),
        ("operators", [ops]),
        ("settings", options),
        ("conventions", conventions),
        ("codes", codes),
    )
    text = "\n\n".join("\n".join((head, *lines)) for head, lines in parts)
    return [{"kind": "topics", "name": "", **listed, "text": text}]
