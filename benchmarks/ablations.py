"""TrioNet's Table 3 on digit scenes: supernets with everything, without the sandwich rule, without hierarchical sampling, without
multi-head sharing. What a search finds in each, with the supernet's weights and trained from scratch.

    python benchmarks/ablations.py --study DIR [--seed 0] [--only all sandwich ...]

The space is examples/trionet/space.arch at 64 x 64 pixels, a quarter of the width, with a linear head over all scales. Every
supernet has the same number of steps and of images in a step. Without the sandwich rule a step trains one architecture, not
four: `sandwich x4` has four times the steps, so as many forward passes as the others. Each search is regularised evolution
for mIoU under one budget of MACs; the best that it found is measured on 1,000 validation images (the first 200 are those of
the search) with the supernet's weights, and after training from scratch by one recipe. The folders keep everything: the
command goes on where it stopped.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from reduced import Say
from timing import ROOT, table

from hrdsl.compiler.api import compile_file
from hrdsl.runtime.device import pick
from hrdsl.runtime.files import write
from hrdsl.runtime.searching import Listener, runs_of, search
from hrdsl.runtime.trust.setting import Setting

EXAMPLE = ROOT / "examples" / "trionet" / "space.arch"
SPACE: dict[str, Any] = {"classes": 11, "size": 64, "base": 32, "splits": (1, 2), "dense": True}
HEAD = "heads.segmentation(classes)", "fusion.concat_up -> conv(1, width = classes, bias = true)"
STEPS, ALONE = 400, 800
ALL = "sandwich(random = 2, operators = same, decay = largest)"
FLAT = "sandwich(random = 2, operators = each, decay = largest, priors = false)"
VARIANTS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "all": (ALL, STEPS, {}),
    "sandwich": ("single", STEPS, {}),
    "sandwich x4": ("single", 4 * STEPS, {}),
    "sampling": (FLAT, STEPS, {}),
    "sharing": (ALL, STEPS, {"shared": False}),
}
BLOCKS = """
train ablation for trionet {{
  sample = {sample}
  optimizer = adamw(lr = 5e-3, weight_decay = 1e-2)
  steps = {steps}
  batch = 8
  seed = {seed}
}}

search ablation for trionet {{
  maximize miou
  require macs <= {budget}
  strategy = aging(
    population = 20,
    evaluations = 60,
    children = 10,
    tournament = 5,
    crossover = 1/2,
    mutation = 1/10,
    pairing = uniform,
    keep = 1/4,
  )
  validate = 200
  recalibrate = 64
  seed = {seed}
}}

search report for trionet {{
  maximize miou
  require macs <= {budget}
  strategy = random(evaluations = 1)
  validate = 1000
  recalibrate = 256
}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--device")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [["without", "supernet", "alone", "M MACs", "steps", "minutes"]]
    for name in args.only:
        found = variant(args.study, name, args.seed, pick(args.device))
        write(args.study / f"{name.replace(' ', '-')}.json", json.dumps(found, indent=2) + "\n")
        words = [f"{found[k]:.4f}" for k in ("supernet", "alone")]
        rows.append([name, *words, f"{found['macs'] / 1e6:.2f}", str(found["steps"]), f"{found['minutes']:.1f}"])
        print(" ".join(rows[-1]), flush=True)
    print(table(rows))


def variant(study: Path, name: str, seed: int, device: torch.device) -> dict[str, Any]:
    """Train a supernet, search, and measure what was found."""
    sample, steps, settings = VARIANTS[name]
    folder, say = study / name.replace(" ", "-"), Say()
    text = EXAMPLE.read_text().replace(*HEAD).replace("use std.heads\n", "use std.fusion\nuse std.heads\n")
    blocks = BLOCKS.format(sample=sample, steps=steps, seed=seed, budget=budget(folder, text))
    compiled = compile_file(write(folder / "space.arch", text + blocks), None, {**SPACE, **settings})
    listen = Listener(say.training, lambda state: say.search(name, seed, state))
    done = search(compiled, folder, device, listen, None, ("ablation", "ablation"))
    best = max(done.front.members, key=lambda member: member.values[0])
    train, report = runs_of(compiled, "ablation", "report")
    setting = Setting.of(compiled, train, report, folder, device, Listener())
    ((_, inherited),) = setting.judging(setting.trainer)([best.genome])
    own = setting.alone({"steps": ALONE})(best.genome, say.training)
    return {
        "without": name,
        "sample": sample,
        "steps": steps,
        "seed": seed,
        "searched": best.values[0],
        "supernet": inherited.values[0],
        "alone": own.accuracy,
        "macs": int(compiled.costs.one(best.genome)["macs"]),
        "minutes": done.seconds / 60,
        "choices": compiled.decisions.labels(best.genome),
    }


def budget(folder: Path, text: str) -> int:
    """MACs at two fifths between none and the sum of both ends of the space: about what the mean architecture takes."""
    compiled = compile_file(write(folder / "bare.arch", text), None, SPACE)
    ends = (compiled.costs.one(end)["macs"] for end in (compiled.decisions.smallest(), compiled.decisions.largest()))
    return 2 * int(sum(ends)) // 5


if __name__ == "__main__":
    main()
