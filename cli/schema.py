"""`hrdsl schema`: the JSON Schema of a kind of document; with files, whether they are documents of that kind."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import add_json, show

if TYPE_CHECKING:
    from .common import Verbs

KINDS = ("graph", "architecture", "model")


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("schema")
    parser.add_argument("kind", metavar="KIND", choices=KINDS, help=f"{', '.join(KINDS[:-1])} or {KINDS[-1]}")
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="JSON files to check")
    add_json(parser)


def run(args: Namespace) -> int:
    if not args.files:
        import json

        from ..compiler.interchange.forms import schema

        found = schema(args.kind)
        return show(args, found, [json.dumps(found, indent=1)])
    files = [{"path": str(path), **_check(args.kind, path)} for path in args.files]
    lines = (f"{f['path']}: {f['error'] or 'ok'}" for f in files)
    show(args, {"kind": args.kind, "files": files}, lines)
    return 0 if all(f["ok"] for f in files) else 1


def _check(kind: str, path: Path) -> dict[str, Any]:
    from ..compiler.interchange.documents import READERS
    from ..compiler.interchange.encode import DocumentError

    try:
        READERS[kind](path.read_bytes())
    except DocumentError as fault:
        return {"ok": False, "error": str(fault)}
    return {"ok": True, "error": ""}
