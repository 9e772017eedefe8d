"""Evolution against random search with four times its evaluations, on one trained supernet, three seeds: hypervolume of the front.

    python benchmarks/front.py --study DIR [--seeds 3] [--times 4]

The supernet is that of `correlate.py`, in the same folder; it is trained if it is not there. Both searches see the same
supernet, the same images and the ends of the space; the hypervolume (mIoU x saved MACs, as a share of the whole rectangle)
is measured from an mIoU of 0 at the MACs of the largest architecture.
"""

import argparse
import json
from pathlib import Path

import torch
from reduced import Say, reduced
from timing import Target, table

from hrdsl.runtime.device import pick
from hrdsl.runtime.trust import comparison


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--times", type=int, default=4, help="evaluations of random search for each of evolution")
    parser.add_argument("--device")
    args = parser.parse_args()
    torch.set_num_threads(1)
    say = Say()
    setting = reduced(args.study, "reduced_front", 0, pick(args.device), say)
    found = setting.compare(range(args.seeds), args.times, say.search)
    data = comparison.as_json(found)
    comparison.write_report(found, data, args.study / "comparison")
    gains = {s: v - found.finals["random"][s] for s, v in found.finals["nsga2"].items()}
    for race in found.races:
        print(race.name, race.evaluations, {s: round(v, 4) for s, v in found.finals[race.name].items()})
    print(json.dumps({"difference": data["difference"], "needed": data["needed"]}))
    print(
        table(
            [
                Target(f"seed {s}: evolution less random search", 0.0, gain, least=True).row()
                for s, gain in gains.items()
            ]
        )
    )


if __name__ == "__main__":
    main()
