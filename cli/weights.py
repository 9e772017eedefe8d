"""`hrdsl weights`: released checkpoints into networks, and what checkpoints and networks hold."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .architecture import add_architecture, chosen
from .common import UsageError, add_space, compiled, print_line, show, table, within

if TYPE_CHECKING:
    from torch import fx

    from ..compiler.api import Compiled
    from ..runtime.weights.importing import Imported
    from .common import Verbs

SHOWN = 12
"""Faults that are listed."""


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("weights")
    parser.add_argument(
        "action", choices=("import", "show"), help="import NETWORK CHECKPOINT; show FILE, of either kind"
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="an .arch file, a checkpoint")
    parser.add_argument("--map", metavar="NAME[:SECTION]", help="the map of the names: one of hrdsl, or a .toml file")
    parser.add_argument("--at", metavar="PLACE", default="", help="the place of the network that the section describes")
    parser.add_argument("--fresh", metavar="PATTERN", action="append", default=[], help="what keeps fresh values")
    parser.add_argument(
        "--ignore", metavar="PATTERN", action="append", default=[], help="what of the checkpoint may stay"
    )
    parser.add_argument("--key", metavar="NAME", help="the dictionary of the checkpoint (default: the usual ones)")
    parser.add_argument("-o", "--out", metavar="FILE", type=Path, help="the weights file (.safetensors)")
    parser.add_argument("--dry-run", action="store_true", help="only list what goes where")
    add_architecture(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    from ..runtime.weights.checkpoints import CheckpointFault
    from ..runtime.weights.maps import MapError

    try:
        return _import(args) if args.action == "import" else _show(args)
    except (CheckpointFault, MapError) as fault:
        raise UsageError(str(fault)) from None


def _show(args: Namespace) -> int:
    """The names and shapes of a network or a checkpoint."""
    from ..runtime.weights.checkpoints import read
    from ..runtime.weights.importing import names

    within(len(args.files), 1, "weights show")
    (path,) = args.files
    if path.suffix == ".arch":
        args.file = path
        network = _network(args, compiled(args))
        state = network.state_dict()
        found = {name: state[key] for name, key in names(network).items()}
    else:
        found = read(path, args.key)
    shapes = {name: list(value.shape) for name, value in found.items()}
    total = sum(value.numel() for value in found.values())
    rows = [(name, str(shape)) for name, shape in shapes.items()]
    return show(
        args,
        {"path": str(path), "tensors": shapes},
        [*table(rows, indent=0), f"{len(rows)} tensors, {total:,} numbers"],
    )


def _import(args: Namespace) -> int:
    from ..runtime.weights.checkpoints import read
    from ..runtime.weights.importing import fit
    from ..runtime.weights.maps import load

    if len(args.files) != 2 or args.map is None or not (args.out or args.dry_run):
        raise UsageError("weights import: write `hrdsl weights import NETWORK.arch CHECKPOINT --map NAME -o FILE`")
    args.file, checkpoint = args.files
    if args.out and args.out.suffix != ".safetensors":
        raise UsageError(f"--out: a weights file ends in .safetensors, not `{args.out.name}`")
    space = compiled(args)
    network = _network(args, space)
    chart, section = load(args.map)
    made = fit(network, read(checkpoint, args.key), chart, section, args.at, args.fresh, args.ignore)
    if not made.faults and not args.dry_run:
        _write(args, space, network, made)
    return _report(args, made)


def _network(args: Namespace, space: "Compiled") -> "fx.GraphModule":
    """The network of the space, or of the architecture that the options name."""
    from ..compiler.module import extract
    from ..runtime.results import network_of

    genes = chosen(args, space)
    try:
        return network_of(space) if genes is None else extract(space.graph, None, genes).eval()
    except ValueError as fault:
        raise UsageError(f"{fault}, or name one with --arch, --largest or --index") from None


def _write(args: Namespace, space: "Compiled", network: "fx.GraphModule", made: "Imported") -> None:
    """The weights; of a space with open choices also the architecture they are for."""
    from ..compiler.found import compile_text, found_text
    from ..compiler.module import extract
    from ..runtime.files import write
    from ..runtime.results import renamed, save_weights

    state, genes = made.state, chosen(args, space)
    if genes is not None and space.decisions.count().value != 1:
        text, path = found_text(space, genes), args.out.with_suffix(".arch")
        if path.resolve() == args.file.resolve():
            raise UsageError(f"--out: the architecture would be written over {args.file}; choose another name")
        network.load_state_dict(state)
        state = renamed(network, extract(compile_text(text, space).graph, None, ()))
        write(path, text)
    save_weights(args.out, state, {"name": args.file.stem, "map": args.map})


def _report(args: Namespace, made: "Imported") -> int:
    data: dict[str, Any] = {
        "path": str(args.file),
        "checkpoint": str(args.files[1]),
        "map": args.map,
        "weights": None if made.faults or args.dry_run else str(args.out),
        "tensors": [{"name": r.ours, "from": list(r.theirs), "shape": list(r.shape)} for r in made.rows],
        "fresh": made.fresh,
        "ignored": made.ignored,
        "faults": made.faults,
    }
    rows = [(r.ours, str(list(r.shape)), " + ".join(r.theirs)) for r in made.rows] if args.dry_run else []
    notes = [f"{len(made.rows)} tensors", *([f"{len(made.fresh)} fresh"] if made.fresh else [])]
    notes += [f"{len(made.ignored)} ignored"] if made.ignored else []
    head = "nothing is written" if data["weights"] is None else args.out
    show(args, data, [*(table(rows, indent=0) if rows else []), f"{head}: {', '.join(notes)}"])
    if made.faults and not args.json:
        import sys

        more = [f"... and {len(made.faults) - SHOWN} more"] if len(made.faults) > SHOWN else []
        for line in [*made.faults[:SHOWN], *more]:
            print_line(f"hrdsl: {line}", sys.stderr)
    return 1 if made.faults else 0
