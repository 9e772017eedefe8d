"""What a unit with factors of 0 still hands on: its offset, through activations. Imports no torch.

Where the next to read it is a convolution of one pixel, or a linear map, it adds a constant to each channel; a batch
normalisation takes that away again. Then nothing changes with the unit's removal, in training and, with statistics of the
smaller network, in evaluation.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .graph import Graph
from .specialise import Live

if TYPE_CHECKING:
    from .units import Slice


def absorbed(graph: Graph, factors: "Iterable[Slice]", lives: Sequence[Live]) -> bool:
    """Whether batch statistics absorb the offsets of channels whose factors are 0."""
    starts = {f.weight.rpartition(".")[0] for f in factors}
    own: set[int] = set()
    """Operations whose result has a constant in the channels of the unit."""
    added: set[int] = set()
    """Those whose result has something constant added."""
    for live in lives:
        node = graph.nodes[live.node]
        mine, others = not own.isdisjoint(live.inputs), not added.isdisjoint(live.inputs)
        if node.name in starts:
            own.add(live.node)
        elif (mine or others) and node.op.mixes:
            if not node.op.level():
                return False
            added.add(live.node)
        elif others and node.op.scales:
            continue
        elif others:
            if not node.op.affine or mine:
                return False
            added.add(live.node)
        elif mine:
            if not node.op.level():
                return False
            own.add(live.node)
    return not lives or lives[-1].node not in own | added
