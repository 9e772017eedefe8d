"""Do branches pay? A found network against the best single branch of at least its MACs, at 128 x 128 pixels.

    python benchmarks/branches.py FOUND.arch --out DIR [--steps 800]

Each network is trained from scratch with one recipe (the defaults of a `train` block: AdamW at 3e-3, one cycle, batch 16, the
same images in the same order) and measured on the same 400 test images. The single branches are those of
examples/single_branch.arch, at 1/2, 1/4 and 1/8. What is already in the output folder is not trained again.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from hrdsl.compiler.api import compile_file
from hrdsl.dsl.settings import defaults
from hrdsl.runtime.device import pick
from hrdsl.runtime.evaluate import network_miou
from hrdsl.runtime.files import write
from hrdsl.runtime.results import network_of
from hrdsl.runtime.retrain import train_network
from hrdsl.runtime.steps import Step
from hrdsl.runtime.task import examples

SINGLE = Path(__file__).parent.parent / "examples" / "single_branch.arch"
BRANCHES = ("eighth", "quarter", "half")
TEST = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("found", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name, file, space in (("found", args.found, None), *((b, SINGLE, b) for b in BRANCHES)):
        kept = args.out / f"{name}-{args.seed}.json"
        if not kept.exists():
            write(kept, json.dumps(train(args, file, space), indent=2) + "\n")
        figures = json.loads(kept.read_text())
        print(
            f"{name:8s} miou {figures['miou']:.4f}  {figures['macs']:>12,} MACs  {figures['parameters']:>9,} parameters",
            flush=True,
        )


def train(args: argparse.Namespace, file: Path, space: str | None) -> dict[str, Any]:
    """One network from scratch; its figures."""
    compiled, device = compile_file(file, space, {"size": args.size}), pick(args.device)
    settings = {**defaults("train"), "steps": args.steps, "seed": args.seed}
    network = network_of(compiled, seed=args.seed)
    data = examples(settings["data"], "train", settings["images"], args.size, device)

    def heard(step: Step) -> None:
        if step.step % 50 == 0:
            print(f"{space or 'found'} {step.step}/{step.steps} loss {step.loss:.3f}", file=sys.stderr, flush=True)

    train_network(network, settings, data, device, heard)
    miou = network_miou(network, examples(settings["data"], "test", TEST, args.size, device))
    return {
        "miou": miou,
        "steps": args.steps,
        "size": args.size,
        **compiled.costs.one((0,) * len(compiled.graph.decisions)),
    }


if __name__ == "__main__":
    main()
