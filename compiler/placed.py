"""Which architecture of a space a found network is: two graphs in, genes out.

What the two have in common tells most decisions; one that is left decides what the network has no nodes for.
"""

from collections.abc import Sequence

from .align import Alignment
from .graph import Graph
from .liveness import Liveness, liveness
from .sym import at, deps


def placed(space: Graph, network: Graph) -> tuple[int, ...] | None:
    """The architecture with the nodes of a network without decisions, by name; None where there is none."""
    if network.decisions:
        return None
    choices = Alignment(space, network).choices
    found = [choices[d.path] for d in space.decisions]
    if not all(found):
        return None
    genes = [pairs[0][0] for pairs in found]
    live, theirs = liveness(space), {n.name for n in network.nodes}
    for d, pairs in zip(space.decisions, found, strict=True):
        if len(pairs) > 1:
            absent = [c for c, n in zip(live.nodes, space.nodes, strict=True) if n.name not in theirs and d in deps(c)]
            fits = (
                k for k, _ in pairs if not any(at(c, [*genes[: d.index], k, *genes[d.index + 1 :]]) for c in absent)
            )
            genes[d.index] = next(fits, genes[d.index])
    return tuple(genes) if _names(space, live, genes) == _names(network, liveness(network), ()) else None


def _names(graph: Graph, live: Liveness, genes: Sequence[int]) -> set[str]:
    """The names of what an architecture computes; operators on lists are not there where one flow is left."""
    pairs = zip(graph.nodes, live.nodes, strict=True)
    return {n.name for n, c in pairs if n.op.inputs is not None and at(c, genes)}
