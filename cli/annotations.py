"""Diagnostics for other programs: SARIF 2.1.0 for code hosts and editors, workflow commands for GitHub. Text out."""

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from ..dsl.diagnostic import Diagnostic, Label
from .codes import CODES

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(found: Sequence[Diagnostic]) -> str:
    """One run with a rule for each code that occurs."""
    from .. import __version__

    codes = sorted({d.code for d in found})
    driver = {"name": "hrdsl", "version": __version__, "rules": [_rule(code) for code in codes]}
    results = [_result(d, codes.index(d.code)) for d in found]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(code: str) -> dict[str, Any]:
    meaning = CODES[code]
    return {
        "id": code,
        "shortDescription": {"text": meaning.title},
        "fullDescription": {"text": meaning.meaning},
        "help": {"text": f"wrong:\n\n{meaning.wrong}\n\nmended:\n\n{meaning.mended}"},
        "defaultConfiguration": {"level": "warning" if code.startswith("W") else "error"},
    }


def _result(d: Diagnostic, rule: int) -> dict[str, Any]:
    text = "\n".join(part for part in (d.title, d.here.text, d.help) if part)
    there = [{"id": i, **_location(label)} for i, label in enumerate(d.there, 1)]
    related = {"relatedLocations": there} if there else {}
    return {
        "ruleId": d.code,
        "ruleIndex": rule,
        "level": d.severity,
        "message": {"text": text},
        "locations": [_location(d.here)],
        **related,
    }


def _location(label: Label) -> dict[str, Any]:
    span = label.span
    line, column = span.source.place(span.start)
    end_line, end_column = span.source.place(span.stop)
    region = {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}
    place = {"artifactLocation": {"uri": _uri(span.source.name)}, "region": region}
    return {"physicalLocation": place, **({"message": {"text": label.text}} if label.text else {})}


def _uri(name: str) -> str:
    path = PurePath(name)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def github(found: Sequence[Diagnostic]) -> str:
    """One workflow command a line, `::error file=...,line=...::message`."""
    return "\n".join(map(_command, found))


def _command(d: Diagnostic) -> str:
    line, column = d.here.span.source.place(d.here.span.start)
    end_line, end_column = d.here.span.source.place(d.here.span.stop)
    properties = {"file": d.here.span.source.name, "line": line, "col": column, "endLine": end_line}
    if end_line == line:  # columns are shown only where the place lies on one line
        properties["endColumn"] = max(end_column - 1, column)
    properties["title"] = f"{d.code}: {d.title}"
    text = "\n".join(part for part in (d.here.text, d.help) if part) or d.title
    shown = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{d.severity} {shown}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
