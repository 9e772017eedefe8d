"""`hrdsl demo`: the whole way on the example `demo.arch`: search, best network retrained, exported, reported."""

from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import retrain, search
from .common import Parser, add_json, print_line, show
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
    given = {n: getattr(args, n) for n in ("json", "device", "threads", "cache", "quiet")}
    quick = ["--search", "quick", "--train", "quick"] if args.quick else []
    sought = _words(search, ["search", str(file), "--study", str(args.out), *quick], given)
    found = search.searched(sought, search.command(sought))
    networks = found.pop("found")
    if not networks:
        show(args, found, search.lines(networks, Path(found["report"])))
        return 1
    if not args.json:
        for line in search.lines(networks, Path(found["report"])):
            print_line(line)
    best = max(networks, key=lambda n: n.values["miou"])
    trained = ["--train", sought.train] if sought.train else []
    again = retrain.retrained(
        _words(retrain, ["retrain", str(best.arch), "--out", str(args.out / "retrained"), *trained], given)
    )
    exported = _export(best.arch, Path(again["weights"]), args)
    data = {**found, "retrained": again, "exported": exported}
    words = [
        f"retrained {best.name} from scratch: miou {again['miou']:.4f} on test images (supernet weights, validation: {best.values['miou']:.4f})",
        *(f"exported {path}" for path in exported),
    ]
    return show(args, data, words)


def _words(verb: ModuleType, words: list[str], given: dict[str, Any]) -> Namespace:
    """The arguments of another command, as if these words had been typed; `given` are what the demo was told itself."""
    top = Parser(prog="hrdsl")
    verb.declare(top.add_subparsers(dest="verb"))
    return Namespace(**{**vars(top.parse_args(words)), **given})


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
