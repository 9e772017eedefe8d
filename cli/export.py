"""`hrdsl export`: a network without open choices as ONNX, safetensors, Python source or a torch.export program."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from .common import UsageError, add_file, add_space, compiled, show

if TYPE_CHECKING:
    from .common import Verbs

FORMATS = ("onnx", "python", "safetensors", "pt2")


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("export")
    add_file(parser)
    parser.add_argument(
        "--weights", metavar="FILE", type=Path, help="safetensors (default: those beside FILE, else fresh ones)"
    )
    parser.add_argument("--to", choices=FORMATS, action="append", help="the format; repeatable (default: onnx)")
    parser.add_argument(
        "-o", "--out", metavar="DIR", type=Path, default=Path(), help="the folder to write into (default: here)"
    )
    add_space(parser)


def run(args: Namespace) -> int:
    from ..runtime.export import FORMATS as SUFFIXES
    from ..runtime.export import export
    from ..runtime.results import network_of

    space = compiled(args)
    beside = args.file.with_suffix(".safetensors")
    weights = args.weights or (beside if beside.exists() else None)
    shape = space.graph.input
    size = (int(shape.width), int(shape.extent[0]), int(shape.extent[1]))
    files = []
    try:
        network = network_of(space, weights)
        for target in args.to or ["onnx"]:
            path = args.out / f"{args.file.stem}{SUFFIXES[target]}"
            checked = export(network, size, args.file.stem, target, path)
            files.append({"format": target, "path": str(path), **checked})
    except ValueError as fault:
        raise UsageError(str(fault)) from None
    words = [
        f"{f['path']}"
        + (f"  (checked: largest difference {f['largest_difference']:.1e})" if "largest_difference" in f else "")
        for f in files
    ]
    data = {"path": str(args.file), "weights": str(weights) if weights else None, "files": files}
    return show(args, data, words)
