"""`hrdsl units`: what can be pruned in a space or a network, what each unit costs, and what goes with it."""

from argparse import Namespace
from functools import partial
from typing import TYPE_CHECKING, Any

from .common import add_file, add_space, compiled, show, table

if TYPE_CHECKING:
    from ..compiler.units import Group, Refusal
    from ..compiler.vector import Array, Genes
    from ..dsl.diagnostic import Span
    from .common import Verbs

COSTS = ("macs", "parameters")


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("units")
    add_file(parser)
    parser.add_argument("--tied", action="store_true", help="also the parameters in which each group has rows")
    add_space(parser)


def run(args: Namespace) -> int:
    import numpy as np

    from ..compiler.units import units
    from ..runtime.pruning.penalty import marginal
    from ..runtime.pruning.pruning import with_decisions
    from ..runtime.pruning.shrink import Remaining

    space = with_decisions(compiled(args))
    genes = space.decisions.largest()
    groups, refused = units(space.graph, genes)
    left = Remaining(groups, genes)

    def price(name: str, rows: "Genes") -> "Array":
        return np.asarray(space.prices(rows, [name])[name])

    prices = {name: marginal(left, partial(price, name)) for name in COSTS}
    found = [_group(group, {n: int(prices[n][k]) for n in COSTS}) for k, group in enumerate(groups)]
    data = {"space": space.space.name, "groups": found, "refused": [refusal(r) for r in refused]}
    return show(args, data, lines(data, args.tied))


def _group(group: "Group", prices: dict[str, int]) -> dict[str, Any]:
    return {
        "decision": group.path,
        "units": group.count,
        "least": group.least,
        **prices,
        "factors": [f.weight for f in group.factors],
        "offsets": [f.weight for f in group.offsets],
        "tied": [{"parameter": s.weight, "axis": s.axis, "rows": s.rows.shape[1]} for s in group.slices],
    }


def refusal(each: "Refusal") -> dict[str, Any]:
    """A decision that cannot be pruned, where it stands, and where it is read in a way that forbids it."""
    return {
        "decision": each.decision.path,
        "declared": place(each.decision.span),
        "reason": each.reason,
        "read": place(each.span),
    }


def place(span: "Span") -> str:
    """`file:line:column`."""
    line, column = span.source.place(span.start)
    return f"{span.source.name}:{line}:{column}"


def lines(data: dict[str, Any], tied: bool) -> list[str]:
    """The units for people."""
    groups, refused = data["groups"], data["refused"]
    total = sum(g["units"] for g in groups)
    out = [f"space {data['space']}: {len(groups)} groups, {total:,} units", ""]
    if groups:
        rows = [["decision", "units", "least", "MACs of one", "parameters of one", "parameters tied", "importance"]]
        for g in groups:
            by = f"{len(g['factors'])} factors" if g["factors"] else "weights"
            rows.append([g["decision"], *(f"{g[k]:,}" for k in ("units", "least", *COSTS)), str(len(g["tied"])), by])
            if tied:
                rows += [[f"  {t['parameter']}, axis {t['axis']}", *[""] * 6] for t in g["tied"]]
        out += table(rows, right=range(1, 6), indent=0)
    if refused:
        out += ["", "not prunable:"]
        out += [f"  {r['decision']} ({r['declared']}): {r['reason']} ({r['read']})" for r in refused]
    return out
