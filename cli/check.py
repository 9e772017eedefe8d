"""`hrdsl check`: parse, resolve and elaborate every space of every file."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler.api import Compiled, compile_module
from ..compiler.constraints import at_a_glance
from ..dsl.diagnostic import Diagnostic
from ..dsl.model import build_model
from ..dsl.modules import load
from .common import Gather, add_space, faults, settings, show

if TYPE_CHECKING:
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("check")
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="an .arch file")
    add_space(parser)


def run(args: Namespace) -> int:
    chosen = settings(args)
    reports = [check(path, args.space, chosen) for path in args.files]
    found = [d for _, diagnostics in reports for d in diagnostics]
    faults(found)
    files = [{**report, "diagnostics": [d.as_json() for d in diagnostics]} for report, diagnostics in reports]
    show(
        args, {"files": files, "diagnostics": [d.as_json() for d in found]}, (s for r, _ in reports for s in _lines(r))
    )
    return 0 if all(report["ok"] for report, _ in reports) else 1


def check(path: Path, space: str | None, chosen: dict[str, Any]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """One file: what is in it, and all faults and warnings."""
    spaces: list[dict[str, Any]] = []
    cells = 0
    with Gather() as gather:
        module = load(path)
        cells = len(module.cells)
        names = [s.name for s in build_model(module).spaces]
        for name in [space] if space else names:
            with gather:
                found = compile_module(module, name, chosen)
                gather.found += found.warnings
                gather.found += constraints(found)
                spaces.append({"space": name, "decisions": len(found.graph.decisions), "nodes": len(found.graph.nodes)})
    ok = all(d.severity != "error" for d in gather.found)
    return {"path": str(path), "ok": ok, "cells": cells, "spaces": spaces}, gather.found


def constraints(found: Compiled) -> list[Diagnostic]:
    """What is wrong with the constraints of a space and of its searches."""
    diagnostics: list[Diagnostic] = []
    for each in (found, *(found.restricted(name) for name, more in found.graph.searches.items() if more)):
        quick = at_a_glance(each.graph)
        diagnostics += each.decisions.check() if quick is None else quick
    return list(dict.fromkeys(diagnostics))


def _lines(report: dict[str, Any]) -> list[str]:
    if not report["ok"]:
        return []
    parts = [
        f"space {s['space']}, {_of(s['decisions'], 'decision')}, {_of(s['nodes'], 'node')}" for s in report["spaces"]
    ]
    return [f"ok: {report['path']}: {part}" for part in parts or [_of(report["cells"], "cell")]]


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
