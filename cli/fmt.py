"""`hrdsl fmt`: files in their one canonical form."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dsl.format import format_text
from ..dsl.modules import read_source
from .common import Gather, UsageError, add_json, faults, show, write_text

if TYPE_CHECKING:
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("fmt")
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="an .arch file")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file would change")
    mode.add_argument("--stdout", action="store_true", help="print the text of one file, write nothing")
    add_json(parser)


def run(args: Namespace) -> int:
    if args.stdout and len(args.files) > 1:
        raise UsageError("fmt: `--stdout` takes one file")
    gather = Gather()
    reports: list[dict[str, Any]] = []
    for path in args.files:
        with gather:
            reports.append(_format(args, path))
    faults(gather.found)
    if args.stdout and not args.json:
        sys.stdout.write("".join(r["text"] for r in reports))
    else:
        word = "would change" if args.check else "formatted"
        lines = [f"{word if r['changed'] else 'unchanged'}: {r['path']}" for r in reports]
        show(args, {"files": reports, "diagnostics": [d.as_json() for d in gather.found]}, lines)
    late = args.check and any(r["changed"] for r in reports)
    return 1 if gather.found or late else 0


def _format(args: Namespace, path: Path) -> dict[str, Any]:
    text = format_text(read_source(path))
    changed = path.read_bytes() != text.encode()
    if changed and not args.check and not args.stdout:
        write_text(path, text)
    return {"path": str(path), "changed": changed, **({"text": text} if args.stdout else {})}
