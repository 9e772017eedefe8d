"""`hrdsl check`: parse, resolve and elaborate every space of every file."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler.api import Compiled, compile_model, uncollected
from ..compiler.constraints import at_a_glance
from ..compiler.names import unknown_names
from ..compiler.ops import operators
from ..compiler.passes.drop_dead import drop_dead_apart
from ..compiler.unused import dead, unused
from ..dsl.diagnostic import MOST, Diagnostic, in_order
from ..dsl.model import build_model
from ..dsl.modules import Module, load
from .common import Gather, UsageError, add_space, faults, print_line, settings, show

if TYPE_CHECKING:
    from .common import Verbs

FORMATS = ("text", "json", "sarif", "github")


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("check")
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="an .arch file")
    help = "how diagnostics are printed: text (default), json (as --json), sarif (SARIF 2.1.0), github (annotations)"
    parser.add_argument("--format", choices=FORMATS, default="text", metavar="FORM", help=help)
    add_space(parser)


def run(args: Namespace) -> int:
    if args.json and args.format not in ("text", "json"):
        raise UsageError(f"check: --json and --format {args.format} exclude each other")
    chosen = settings(args)
    with uncollected():
        reports = [check(path, args.space, chosen) for path in args.files]
    found = [d for _, diagnostics in reports for d in diagnostics]
    if args.format in ("sarif", "github"):
        from .annotations import github, sarif

        print_line(sarif(found) if args.format == "sarif" else github(found))
    else:
        faults(found)
        args.json |= args.format == "json"
        files = [{**report, "diagnostics": [d.as_json() for d in diagnostics]} for report, diagnostics in reports]
        data = {"files": files, "diagnostics": [d.as_json() for d in found]}
        show(args, data, (line for report, _ in reports for line in _lines(report)))
    return 0 if all(report["ok"] for report, _ in reports) else 1


def check(path: Path, space: str | None, chosen: dict[str, Any]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """One file: what is in it, and all faults and warnings. How large weights are stored has none."""
    spaces: list[dict[str, Any]] = []
    cells = 0
    with Gather() as gather:
        module = load(path)
        cells = len(module.cells)
        model = build_model(module)
        names = [s.name for s in model.spaces]
        for name in [space] if space else names:
            with gather:
                found = compile_model(model, name, chosen, (drop_dead_apart,))
                gather.found += (*found.warnings, *dead(found.space, found.graph), *constraints(found))
                spaces.append({"space": name, "decisions": len(found.graph.decisions), "nodes": len(found.graph.nodes)})
        if all(d.severity != "error" for d in gather.found):
            gather.found += text_only(module)
    diagnostics = once(gather.found)
    ok = all(d.severity != "error" for d in diagnostics)
    return {"path": str(path), "ok": ok, "cells": cells, "spaces": spaces}, diagnostics


def text_only(module: Module) -> list[Diagnostic]:
    """What the text says without a space: unknown names in cells, and what nothing uses."""
    faults = unknown_names(module, operators(), module.of_kind("cell"))
    return faults or unused(module, operators())


def once(found: list[Diagnostic]) -> list[Diagnostic]:
    """Faults before warnings, each sorted by place; two spaces of a file may share one. Warnings yield to faults."""
    kinds = [[d for d in found if d.severity == kind] for kind in ("error", "warning")]
    taken: dict[tuple[str, int], Diagnostic] = {}
    for d in (d for kind in kinds for d in kind):
        taken.setdefault((d.here.span.source.name, d.here.span.start), d)
    groups = [in_order(d for d in taken.values() if d.severity == kind) for kind in ("error", "warning")]
    return [*groups[0], *groups[1]][:MOST]


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
