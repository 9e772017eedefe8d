"""`hrdsl cost`: exact parameters, MACs and activation memory of a space."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from .common import add_file, add_space, decided, show, whole, within
from .figures import add_convention, columns, distribution, figures, named, quantile_table

if TYPE_CHECKING:
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("cost")
    add_file(parser)
    parser.add_argument(
        "--population", metavar="N", type=whole(), help="also the distribution over N uniform architectures"
    )
    parser.add_argument("--seed", metavar="S", type=whole(0), default=0, help="of the population (default 0)")
    add_convention(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    within(args.population or 0, 10_000_000, "cost --population")
    space = decided(args)
    ends = (space.decisions.largest(), space.decisions.smallest())
    largest, smallest = (figures(space, genes, args.convention) for genes in ends)
    data: dict[str, Any] = {
        "path": str(args.file),
        "space": space.space.name,
        **named(args),
        **largest,
        "smallest": smallest,
    }
    lines = [
        f"space {space.space.name}",
        "",
        *columns({"smallest": smallest, "largest": largest}, convention=args.convention),
    ]
    data["diagnostics"] = [d.as_json() for d in space.warnings]
    if args.population:
        population = data["population"] = distribution(space, args.population, args.seed, args.convention)
        lines += [
            "",
            f"{args.population:,} uniform architectures, seed {args.seed}",
            "",
            *quantile_table(population, args.convention),
        ]
    return show(args, data, lines)
