"""Networks in the released encoding of HyCTAS as `.arch` text: four lists for each branch, and its terminal stride."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

ROUTES = ("high", "middle", "low")
OPERATORS = ("skip", "plain", "light", "double", "mesa")
"""As the released code numbers them."""

SPACE = """
use std.blocks
use std.heads
use std.hyctas

cell flow(k) {{ out = x[k] }}

space network(classes = {classes}, filters = {filters}, ratio = {ratio}, head = {head}) {{
  input = [3, {height}, {columns}]
  base = filters * ratio

  skip = hyctas.skip
  plain = blocks.conv_bn_relu(3)
  light = hyctas.light
  double = hyctas.light_double
  mesa = hyctas.mesa

  branch image at 1/1 {{}}
  branch quarter at 1/4 {{ width = 2 * round(4 * base) }}
  branch eighth at 1/8 {{ width = round(8 * base) }}
  branch fused at 1/8 {{}}
{branches}

  stage start on image {{ cell = identity }}
  stage stem4 on quarter {{ enter = hyctas.stem(inner = 2 * round(2 * base)) }}
  stage stem8 on eighth {{ enter = hyctas.deepen }}

  routes paths on high, middle, low {{
    enter = heads.coarsest
    layers = {layers}
    cells = {cells}
    widths = {widths}
    open = {opened}
    down = {down}
    cell = cells[halvings][layer - 1]
    width = round(stride * filters * widths[halvings][layer - 1])
    fuse = hyctas.merge(base)
  }}
  stage join on fused {{ enter = hyctas.fuse_routes }}

  heads {{
    logits = hyctas.segmentation(classes, head)
    s4 = flow(1)
    s8_stem = flow(2)
    s8_feat = flow(3)
{features}
  }}
}}
"""


def text(arch: Mapping[str, Any], filters: int, ratio: Fraction, head: int, classes: int, size: tuple[int, int]) -> str:
    """A network, without the first line. Shorter branches end in layers that nothing is left of."""
    lasts: Sequence[int] = arch["lasts"]
    layers = max(map(len, arch["ops"]))

    def of_routes(made: Any) -> str:
        """A list with one item for each route, `made(branch)`, and an empty one where there is none."""
        return f"[{', '.join(str(made(lasts.index(t))) if t in lasts else '[]' for t in range(3))}]"

    def cells(b: int) -> str:
        names = [OPERATORS[op] for op in arch["ops"][b]]
        return f"[{', '.join(names + ['identity'] * (layers - len(names)))}]"

    def widths(b: int) -> str:
        known = [Fraction(w).limit_denominator(12) for w in arch["widths"][b]] + [ratio]
        return f"[{', '.join(map(str, known + known[-1:] * (layers - len(known))))}]"

    passed = {
        "middle": [f"paths.{ROUTES[t]}.passed[1]" for t in lasts if t >= 1],
        "low": [f"paths.{ROUTES[t]}.passed[2]" for t in lasts if t == 2],
    }
    features = [
        f"    {name} = hyctas.auxiliary([{', '.join(flows)}], width = round({stride} * base))"
        for stride, (name, flows) in zip((16, 32), passed.items(), strict=True)
        if flows
    ]
    order = [*lasts, *(t for t in range(3) if t not in lasts)]
    return SPACE.format(
        classes=classes,
        filters=filters,
        ratio=ratio,
        head=head,
        height=size[0],
        columns=size[1],
        branches="\n".join(f"  branch {ROUTES[t]} at 1/{8 << t} {{}}" for t in order),
        layers=layers,
        cells=of_routes(cells),
        widths=of_routes(widths),
        opened=f"[{', '.join(str(t in lasts).lower() for t in range(3))}]",
        down=of_routes(lambda b: [layer for layer, down in enumerate(arch["downs"][b], start=1) if down]),
        features="\n".join(features),
    )
