"""`python docs/systems/pictures.py`: the pictures of the four systems, as SVG beside this file."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PICTURES = {
    "hrvit": ("hrvit/b1_imagenet.arch",),
    "hrvit_space": ("hrvit/space.arch",),
    "hrnas": ("hrnas/cityscapes.arch",),
    "hrnas_found": ("hrnas/imagenet.arch", "--found", "examples/hrnas/searched_imagenet.arch"),
    "hyctas": ("hyctas/space.arch", "--set", "layers=16"),
    "hyctas_found": ("hyctas/figure4.arch", "--space", "three"),
    "trionet": ("trionet/space.arch",),
    "trionet_found": ("trionet/space.arch", "--index", "20_000_000_000_000_000_000_000_000"),
}
"""What `hrdsl render` is given for each; files stand in `examples/`."""


def main(names: list[str]) -> None:
    for name in names or PICTURES:
        file, *options = PICTURES[name]
        run = [sys.executable, "-m", "hrdsl", "render", f"examples/{file}", *options, "-o", str(HERE / f"{name}.svg")]
        subprocess.run(run, cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
