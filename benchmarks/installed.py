"""The supernets of other libraries, over the spaces of `elastic.arch` and `chain.arch`, where those libraries are installed.

Each is built from the library's own modules, and switches as the library does. A space is as large as the library allows:
ModelOpt varies widths in multiples of 32, and not the one before the classifier.
"""

import queue
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from modules import KERNEL, SPACE, Supernet, Tree
from torch import Tensor, nn

ELASTIC = (64, 64, 128, 128)
"""The largest widths in the chain; before them a convolution of 32 channels, after them one of 128."""
CHAIN = (3, 32, *ELASTIC, 128)


def ofa() -> Supernet:
    """The layers of Once-for-All over `elastic.arch`; smaller kernels are the centre of larger ones."""
    six = types.ModuleType("torch._six")  # of torch before 1.13, which this release of `ofa` imports
    six.__dict__.update(queue=queue, string_classes=(str, bytes), container_abcs=__import__("collections.abc").abc)
    sys.modules.setdefault("torch._six", six)
    from ofa.imagenet_classification.elastic_nn.modules import DynamicMBConvLayer
    from ofa.imagenet_classification.elastic_nn.modules.dynamic_op import DynamicSeparableConv2d
    from ofa.utils import MyNetwork

    MyNetwork.CHANNEL_DIVISIBLE = 8
    DynamicSeparableConv2d.KERNEL_TRANSFORM_MODE = None

    class Layer(nn.Module):
        def __init__(self, inner: int, outer: int, stride: int) -> None:
            super().__init__()
            self.conv = DynamicMBConvLayer([inner], [outer], [3, KERNEL], [3, 4, 6], stride, "relu6")
            self.conv.active_out_channel = outer
            self.shortcut = inner == outer and stride == 1

        def activate(self, kernel: int, expand: int) -> None:
            self.conv.active_kernel_size, self.conv.active_expand_ratio = kernel, expand

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(x)
            return x + y if self.shortcut else y

    return Tree(Layer)


def modelopt() -> Supernet:
    """AutoNAS of ModelOpt over `chain.arch`, without its patches, which sample anew in every forward pass of training and copy
    what is shown."""
    import modelopt.torch.nas as mtn
    from modelopt.torch.nas.utils import set_modelopt_patches_enabled

    set_modelopt_patches_enabled(False)
    names = [f"{3 * k}.out_channels" for k in range(1, 1 + len(ELASTIC))]

    class Chain(Supernet):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            for inner, outer in pairwise(CHAIN):
                layers += [nn.Conv2d(inner, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
            end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHAIN[-1], 10)]
            self.net = mtn.convert(nn.Sequential(*layers, *end), "autonas")

        def activate(self, choices: Sequence[int]) -> None:
            mtn.select(self.net, dict(zip(names, choices, strict=True)), strict=False)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x)
            return out

    return Chain()


def nni() -> Supernet:
    """NNI's random one-shot supernet over `chain.arch`."""
    import nni as root
    from nni.nas.nn.pytorch import ModelSpace, MutableBatchNorm2d, MutableConv2d, MutableLinear
    from nni.nas.oneshot.pytorch.strategy import RandomOneShot
    from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule

    class Space(ModelSpace):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layers, inner = list[nn.Module](), CHAIN[0]
            for k, most in enumerate(CHAIN[1:]):
                outer = root.choice(f"width{k}", [most // 2, most]) if 0 < k <= len(ELASTIC) else most
                layers += [MutableConv2d(inner, outer, 3, padding=1, bias=False), MutableBatchNorm2d(outer), nn.ReLU()]
                inner = outer
            self.body, self.head = nn.Sequential(*layers), MutableLinear(inner, 10)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.body(x).mean((2, 3)))
            return out

    class Chain(Supernet):
        def __init__(self) -> None:
            super().__init__()
            self.net = RandomOneShot().mutate_model(Space())
            self.choosing = [m for m in self.net.modules() if isinstance(m, BaseSuperNetModule)]

        def activate(self, choices: Sequence[int]) -> None:
            chosen: dict[str, Any] = {f"width{k}": value for k, value in enumerate(choices, 1)}
            for module in self.choosing:
                module.resample(chosen)

        def weigh(self, norm: Any, share: float) -> None:
            if isinstance(norm, BaseSuperNetModule):
                norm.init_arguments["momentum"] = share
            else:
                norm.momentum = share

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x)
            return out

    return Chain()


INSTALLED: dict[str, tuple[str, Path, Callable[[], Supernet]]] = {
    "ofa": ("ofa", SPACE, ofa),
    "nni": ("nni", SPACE.with_name("chain.arch"), nni),
    "nvidia-modelopt": ("modelopt", SPACE.with_name("chain.arch"), modelopt),
}
"""The package to import, the space, and what builds its supernet."""


def found() -> Iterator[tuple[str, Path, Callable[[], Supernet]]]:
    """Those that can be imported."""
    for name, (package, space, make) in INSTALLED.items():
        if find_spec(package) is not None:
            yield name, space, make
