"""Strip convolutions for hrdsl: the operator `strip_conv`, and cells of it in the modules below `strips`."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where the modules are: `use strips.attention` reads `attention.arch` here."""
