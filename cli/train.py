"""`hrdsl train`: the supernet of a space, trained and kept."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..dsl import errors
from ..dsl.diagnostic import ArchError
from .common import add_file, add_space, compiled, show
from .progress import Meter
from .running import add_running, device, one_line

if TYPE_CHECKING:
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("train")
    add_file(parser)
    parser.add_argument(
        "--study", metavar="DIR", type=Path, required=True, help="the folder that keeps it; continues there"
    )
    parser.add_argument("--train", metavar="NAME", help="the `train` block of that name (default: the first)")
    add_running(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    from ..runtime.distributed import joined
    from ..runtime.searching import Listener, supernet

    space = compiled(args)
    block = space.run("train", args.train)
    if block is None:
        raise ArchError(errors.no_run("train", space.space.name, space.space.span))
    where = device(args)
    with one_line(), joined(where) as group:
        listen = Listener(training=Meter(args.quiet or not group.leads).training)
        trainer = supernet(space, block, where, args.study, listen, args.cache, group)
    if not group.leads:
        return 0
    path = args.study / "supernet.ckpt"
    data = {
        "path": str(path),
        "space": space.space.name,
        "steps": trainer.done,
        "parameters": trainer.store.flat.numel(),
    }
    return show(args, data, [f"{path}: {trainer.done} steps"])
