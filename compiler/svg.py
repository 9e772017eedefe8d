"""The SVG that Graphviz writes, made small: no comments, no names that a tooltip hides, arcs of pies as arcs."""

import re
from math import atan2, pi

COMMENT = re.compile(rb"<!--.*?-->\n", re.DOTALL)
HIDDEN = re.compile(rb'<title>[^<]*</title>\n(<g id="a_\w+"><a xlink:title)')
POINTS = re.compile(rb'(?<= )(?:d|points)="([^"]*)"')
FRACTION = re.compile(rb"(\.[1-9])\d*|\.0\d*")
WEDGE = re.compile(rb'd="M([-\d.]+,[-\d.]+)C\1 ([-\d.]+,[-\d.]+) \2 ([^"]* )([-\d.]+,[-\d.]+) \4 \1 \1"')
"""From the centre to the rim, along it in small steps, and back."""


def lean(picture: bytes) -> bytes:
    """The same picture, to a tenth of a point."""
    picture = HIDDEN.sub(rb"\1", COMMENT.sub(b"", picture))
    return POINTS.sub(lambda m: FRACTION.sub(lambda f: f[1] or b"", m[0]), WEDGE.sub(_arc, picture))


def _arc(found: "re.Match[bytes]") -> bytes:
    """A slice of a pie, counterclockwise, as one arc."""
    (x, y), (x1, y1), (x2, y2) = ((float(c) for c in point.split(b",")) for point in found.group(1, 2, 4))
    turn = (atan2(y1 - y, x1 - x) - atan2(y2 - y, x2 - x)) % (2 * pi)
    radius = ((x1 - x) ** 2 + (y1 - y) ** 2) ** 0.5
    rim = f"A{radius:.1f},{radius:.1f} 0 {int(turn > pi)} 0 {x2:.1f},{y2:.1f}"
    return f'd="M{x:.1f},{y:.1f}L{x1:.1f},{y1:.1f}{rim}Z"'.encode()
