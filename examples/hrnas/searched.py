"""The network that comes with the code of HR-NAS (checkpoint.json) as `.arch`, written from the rows of its blocks.

    python examples/hrnas/searched.py ROWS.json > examples/hrnas/searched_imagenet.arch

A row is `{"block": "features.1.branches.0.0", "kernels": [3, 5, 7], "hidden": [28, 7, 5]}`: what is left of a block of the released
supernet. Which block of ours that is, the weight map tells.
"""

import fnmatch
import json
import sys
from pathlib import Path

from hrdsl.compiler.api import compile_file
from hrdsl.compiler.found import found_text
from hrdsl.runtime.weights.maps import load

SUPERNET = Path(__file__).with_name("imagenet.arch")
KERNELS = (3, 5, 7)
NOTES = (
    "The network that comes with the code of HR-NAS, found for ImageNet: 3,893,684 parameters and 259,232,935 MACs at 224x224.",
    "Written by examples/hrnas/searched.py.",
)


def main(rows: Path) -> str:
    """The supernet with every number of hidden channels fixed."""
    kept = {row["block"]: dict(zip(row["kernels"], row["hidden"], strict=True)) for row in json.loads(rows.read_text())}
    space = compile_file(SUPERNET)
    chart, section = load("hrnas")
    genes = []
    for decision in space.graph.decisions:
        weight = decision.path.removesuffix("hidden") + "conv.weight"
        theirs = next(iter(chart.sources(section, weight)))[0].names[0]
        block, _, rest = theirs.partition(".ops.")
        (row,) = fnmatch.filter(kept, block)
        genes.append(kept[row].get(KERNELS[int(rest.partition(".")[0])], 0))
    return found_text(space, genes, NOTES)


if __name__ == "__main__":
    print(main(Path(sys.argv[1])), end="")
