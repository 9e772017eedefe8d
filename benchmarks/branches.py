"""Do branches pay? A found network against the best single branch of at least its MACs, at 128 x 128 pixels.

    python benchmarks/branches.py FOUND.arch --out DIR [--steps 800]

Each network is trained from scratch with one recipe (AdamW, one cycle, the same images in the same order) and measured on
the same 400 test images. The single branches are those of examples/single_branch.arch: at 1/2, 1/4 and 1/8.
"""

import argparse
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from hrdsl.cli.retrain import retrained

SINGLE = Path(__file__).parent.parent / "examples" / "single_branch.arch"
BRANCHES = ("eighth", "quarter", "half")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("found", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        rows.append({"network": "found", **train(args, args.found, None, seed)})
        rows += [{"network": name, **train(args, SINGLE, name, seed)} for name in BRANCHES]
    print(json.dumps(rows, indent=2))


def train(args: Namespace, file: Path, space: str | None, seed: int) -> dict[str, Any]:
    """One network from scratch; its figures. What is already in the output folder is not trained again."""
    out = args.out / f"{space or 'found'}-{seed}"
    done = out / f"{file.stem}.json"
    if done.exists():
        figures: dict[str, Any] = json.loads(done.read_text())
    else:
        figures = retrained(
            Namespace(
                file=file, space=space, set=[f"size={args.size}"], out=out, steps=args.steps, batch=None, seed=seed, train=None,
                device=None, threads=args.threads, cache=None, quiet=False,
            )
        )  # fmt: skip
    return {k: figures[k] for k in ("miou", "macs", "parameters", "steps", "size", "seed")}


if __name__ == "__main__":
    main()
