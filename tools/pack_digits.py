#!/usr/bin/env python
"""Pack scikit-learn's handwritten digits and its two photographs into `runtime/assets/digits.npz`.

    python tools/pack_digits.py [SOURCE] [OUTPUT]

SOURCE is a scikit-learn wheel or the folder that holds `datasets/`, by default the installed package. Needs pillow.
The result holds `digits` uint8 [1797, 8, 8] (0..16), `labels` uint8 [1797], `china` and `flower` uint8 [213, 320, 3]
(the photographs at half their size), and `about`, the attribution.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

OUTPUT = Path(__file__).resolve().parent.parent / "runtime" / "assets" / "digits.npz"
ABOUT = """\
digits: Optical Recognition of Handwritten Digits (test part), E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning
  Repository, doi:10.24432/C50P49, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/); as shipped by scikit-learn.
china: photograph by danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/,
  CC BY 2.0 (https://creativecommons.org/licenses/by/2.0/); changed: halved in size.
flower: photograph by vultilion, https://www.flickr.com/photos/vultilion/6056698931/,
  CC BY 2.0 (https://creativecommons.org/licenses/by/2.0/); changed: halved in size.
"""

Bytes = npt.NDArray[np.uint8]


def read(source: Path, name: str) -> bytes:
    """The file `datasets/NAME` of a scikit-learn wheel or folder."""
    if source.is_dir():
        return (source / "datasets" / name).read_bytes()
    with zipfile.ZipFile(source) as wheel:
        return wheel.read(f"sklearn/datasets/{name}")


def digits(source: Path) -> tuple[Bytes, Bytes]:
    """The digits [1797, 8, 8], ink 0..16, and their classes [1797], 0..9."""
    text = gzip.decompress(read(source, "data/digits.csv.gz")).decode("ascii")
    rows = np.array([[int(float(cell)) for cell in row] for row in csv.reader(io.StringIO(text))], dtype=np.uint8)
    return rows[:, :64].reshape(-1, 8, 8), rows[:, 64]


def photo(source: Path, name: str) -> Bytes:
    """One photograph [H, W, 3], at half its size."""
    image = Image.open(io.BytesIO(read(source, f"images/{name}.jpg"))).convert("RGB")
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    return np.asarray(half, dtype=np.uint8)


def pack(source: Path, output: Path) -> None:
    """Write the asset; the same source always gives the same bytes."""
    ink, labels = digits(source)
    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        output,
        digits=ink,
        labels=labels,
        china=photo(source, "china"),
        flower=photo(source, "flower"),
        about=np.array(ABOUT),
    )


def installed() -> Path:
    """The folder of the installed scikit-learn."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-learn is not installed: name a wheel or a folder")
    return Path(spec.origin).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", nargs="?", type=Path, help="wheel or folder (default: the installed scikit-learn)")
    parser.add_argument("output", nargs="?", type=Path, default=OUTPUT)
    options = parser.parse_args()
    pack(options.source or installed(), options.output)
    print(f"{options.output}: {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
