"""`hrdsl demo`: the whole way on the example `demo.arch`: search, best network retrained, exported, reported."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..compiler.conventions import DEFAULT
from . import retrain, search
from .common import add_json, print_line, show
from .running import add_running

if TYPE_CHECKING:
    from .common import Verbs

EXAMPLES = Path(__file__).parent.parent / "examples"


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("demo")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("hrdsl-demo"),
        help="where everything goes (default: hrdsl-demo)",
    )
    parser.add_argument("--quick", action="store_true", help="a much smaller run, to see that everything works")
    add_running(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    file = EXAMPLES / ("tiny.arch" if args.quick else "demo.arch")
    common = {
        "space": None,
        "set": [],
        "json": args.json,
        "device": args.device,
        "threads": args.threads,
        "cache": args.cache,
    }
    common |= {"quiet": args.quiet, "train": None, "seed": None, "convention": DEFAULT}
    common |= {"workers": None, "time_limit": None, "memory_limit": None}
    sought = Namespace(**common, file=file, study=args.out, search="quick" if args.quick else None)
    if args.quick:
        sought.train = "quick"
    found = search.searched(sought, search.command(sought))
    networks = found.pop("found")
    if not networks:
        show(args, found, search.lines(networks, Path(found["report"])))
        return 1
    if not args.json:
        for line in search.lines(networks, Path(found["report"])):
            print_line(line)
    best = max(networks, key=lambda n: n.values["miou"])
    again = retrain.retrained(
        Namespace(
            **{**common, "train": sought.train, "weights": None},
            file=best.arch,
            out=args.out / "retrained",
            steps=None,
            batch=None,
            compile=False,
        )
    )
    exported = _export(best.arch, Path(again["weights"]), args)
    data = {**found, "retrained": again, "exported": exported}
    words = [
        f"retrained {best.name} from scratch: miou {again['miou']:.4f} on test images (supernet weights, validation: {best.values['miou']:.4f})",
        *(f"exported {path}" for path in exported),
    ]
    return show(args, data, words)


def _export(arch: Path, weights: Path, args: Namespace) -> list[str]:
    """The retrained network in every format that this environment can write."""
    from importlib.util import find_spec

    from ..runtime.export import FORMATS
    from ..runtime.export import export as write
    from ..runtime.results import network_of
    from .common import compiled

    space = compiled(Namespace(file=arch, space=None, set=[]))
    shape, paths = space.graph.input, []
    for target in ("python", "onnx") if find_spec("onnxruntime") and find_spec("onnxscript") else ("python",):
        path = args.out / "retrained" / f"{arch.stem}{FORMATS[target]}"
        write(
            network_of(space, weights),
            (int(shape.width), int(shape.extent[0]), int(shape.extent[1])),
            arch.stem,
            target,
            path,
        )
        paths.append(str(path))
    return paths
