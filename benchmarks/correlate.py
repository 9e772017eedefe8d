"""Does the supernet rank networks as training them from scratch does? Kendall's tau and Pearson's rho over 20 networks.

    python benchmarks/correlate.py --study DIR [--seed 0] [--networks 20] [--repeats 1] [--one-head] [--steps 3000]

The space is examples/hyctas/space.arch, reduced (`reduced.py`); the networks are drawn as `hrdsl sample` draws them, by the
prior of the space over the number of routes, before anything is trained. Each is trained from scratch by one recipe and
measured on the 1,000 validation images that measure it with the supernet's weights too, statistics renewed on 256 training
images. What the folder holds already is not trained again. HyCTAS reports 0.58 and 0.79 over 10 networks.
"""

import argparse
import json
from pathlib import Path

import torch
from reduced import Say, reduced
from timing import Target, table

from hrdsl.runtime.device import pick
from hrdsl.runtime.trust import correlation

LEAST = (("tau", 0.6), ("rho", 0.8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1, help="trainings of each network")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the supernet, the sample and the networks; each its own folder"
    )
    parser.add_argument("--steps", type=int, default=3000, help="of each training of a network")
    parser.add_argument(
        "--one-head", action="store_true", help="all sets of routes share a head, and are trained for 3000 steps"
    )
    parser.add_argument("--device")
    args = parser.parse_args()
    torch.set_num_threads(1)
    say, given = Say(), {"steps": args.steps}
    setting = reduced(args.study, "reduced", args.seed, pick(args.device), say, args.one_head)
    found = setting.correlate(args.networks, "prior", given, say.network, args.repeats)
    labels = setting.compiled.decisions.labels
    data = {"sample": "prior", **setting.recipe(given), **correlation.as_json(found, labels)}
    correlation.write_report(found, data, args.study / "correlation")
    rows = [[f"{v:.4f}" if v is not None else "-" for v in (n.supernet, n.alone)] for n in found.networks]
    print(table([["supernet", "alone"], *rows]))
    print(json.dumps({name: data[name] for name in ("agreement", "repeated")}, indent=2))
    targets = [
        Target(f"{name}, {len(rows)} networks", least, found.agreement[name].value, least=True) for name, least in LEAST
    ]
    print(table([t.row() for t in targets]))


if __name__ == "__main__":
    main()
