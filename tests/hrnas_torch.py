"""HR-NAS in plain torch, from a state dictionary with the names of its code: written from its description, independent of ours.

Which modules there are is read from the names; strides, sides and activations are told. For evaluation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class HRNAS:
    """The released modules over one state dictionary. `eps` is of the convolutional normalisations, `side` of transformers."""

    state: Mapping[str, Tensor]
    eps: float = 1e-3
    side: int = 8
    act: Callable[[Tensor], Tensor] = torch.relu

    def has(self, name: str) -> bool:
        return any(n.startswith(name) for n in self.state)

    def norm(self, x: Tensor, name: str, eps: float | None = None) -> Tensor:
        s = self.state
        mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, s[f"{name}.weight"], s[f"{name}.bias"], eps=eps or self.eps)

    def cbr(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        """Convolution, normalisation, activation; one input channel in the weight means depthwise."""
        w = self.state[f"{name}.0.weight"]
        groups = x.shape[1] // w.shape[1]
        return self.act(self.norm(F.conv2d(x, w, None, stride, w.shape[-1] // 2, 1, groups), f"{name}.1"))

    def block(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        out = x
        if self.has(f"{name}.residual"):
            w = self.state[f"{name}.residual.weight"]
            out = F.conv2d(x, w, None, stride, groups=x.shape[1] // w.shape[1])
        made = [self.kernel(x, f"{name}.ops.{i}", stride) for i in range(9) if self.has(f"{name}.ops.{i}.")]
        if made:
            out = out + self.norm(torch.stack(made).sum(0), f"{name}.pw_bn")
        if self.has(f"{name}.transformer"):
            out = out + self.transformer(x, f"{name}.transformer", out.shape[2:])
        return out

    def kernel(self, x: Tensor, name: str, stride: int) -> Tensor:
        if f"{name}.1.weight" in self.state:  # without an expansion
            return F.conv2d(self.cbr(x, f"{name}.0", stride), self.state[f"{name}.1.weight"])
        hidden = self.cbr(self.cbr(x, f"{name}.0"), f"{name}.1", stride)
        return F.conv2d(hidden, self.state[f"{name}.2.weight"])

    def transformer(self, x: Tensor, name: str, size: Sequence[int]) -> Tensor:
        s = self.state
        small = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        if s[f"{name}.input_proj.weight"].shape[1] == x.shape[1] + 2:
            small = torch.cat([small, positions(self.side).expand(len(x), -1, -1, -1)], 1)
        tokens = self.norm(F.conv2d(small, s[f"{name}.input_proj.weight"]), f"{name}.input_norm", 1e-5)
        memory = tokens.flatten(2).permute(1, 0, 2)
        memory = self.layer(memory, memory, memory, f"{name}.encoder", "self_attn")
        if self.has(f"{name}.decoder"):
            queries = s[f"{name}.query_embed.weight"].unsqueeze(1).expand(-1, len(x), -1)
            memory = self.layer(queries, memory, memory, f"{name}.decoder", "multihead_attn")
        back = memory.permute(1, 2, 0).permute(0, 2, 1).unflatten(2, (self.side, self.side))
        back = self.norm(F.conv2d(back, s[f"{name}.reverse_proj.weight"]), f"{name}.reverse_norm", 1e-5)
        return F.interpolate(back, tuple(size), mode="bilinear", align_corners=False)

    def layer(self, q: Tensor, kv: Tensor, onto: Tensor, name: str, attention: str) -> Tensor:
        """Attention, then two linear layers, each added and normalised. Tokens are [N, B, d]."""
        s, d = self.state, q.shape[-1]
        weights = s[f"{name}.{attention}.in_proj_weight"], s[f"{name}.{attention}.out_proj.weight"]
        seen, _ = F.multi_head_attention_forward(
            q,
            kv,
            kv,
            d,
            1,
            weights[0],
            None,
            None,
            None,
            False,
            0.0,
            weights[1],
            None,
            training=False,
            need_weights=False,
        )
        z = F.layer_norm(onto + seen, (d,), s[f"{name}.norm1.weight"], s[f"{name}.norm1.bias"])
        inner = torch.relu(z @ s[f"{name}.linear1.weight"].T) @ s[f"{name}.linear2.weight"].T
        return F.layer_norm(z + inner, (d,), s[f"{name}.norm2.weight"], s[f"{name}.norm2.bias"])

    def fuse(self, flows: list[Tensor], name: str, count: int) -> list[Tensor]:
        """Each branch from its neighbours; branches beyond the inputs grow from the one before."""
        out = [self.row(flows, f"{name}.fuse_layers.{i}", i) for i in range(min(count, len(flows)))]
        for i in range(len(flows), count):
            out.append(self.block(out[-1], f"{name}.fuse_layers.{i}.0", 2))
        return out

    def row(self, flows: list[Tensor], name: str, i: int) -> Tensor:
        terms: list[Tensor] = []
        for j in range(max(0, i - 1), min(len(flows), i + 2)):
            place = f"{name}.{j}" if i == j else f"{name}.{j}.0"
            term = self.block(flows[j], place, 2 if j < i else 1)
            terms.append(F.interpolate(term, scale_factor=2, mode="nearest") if j > i else term)
        total = terms[0]
        for term in terms[1:]:
            if term.shape[2:] != total.shape[2:]:
                term = F.interpolate(term, total.shape[2:], mode="bilinear", align_corners=False)
            total = total + term
        return self.act(total)

    def parallel(self, flows: list[Tensor], name: str) -> list[Tensor]:
        """Blocks that keep the shape; one without names has nothing left and is skipped."""
        out = []
        for i, x in enumerate(flows):
            for k in range(4):
                x = self.block(x, f"{name}.branches.{i}.{k}")
            out.append(x)
        return out

    def network(self, x: Tensor, branches: Sequence[int]) -> Tensor:
        """`branches`: how many there are behind each fusion."""
        i = 0
        while self.has(f"downsamples.{i}."):
            x, i = self.cbr(x, f"downsamples.{i}", 2), i + 1
        flows = [x]
        for i, count in enumerate(branches):
            flows = self.parallel(self.fuse(flows, f"features.{2 * i}", count), f"features.{2 * i + 1}")
        head = f"features.{2 * len(branches)}"
        return self.classify(flows, head) if self.has(f"{head}.") else self.dense(flows)

    def dense(self, flows: list[Tensor]) -> Tensor:
        size = flows[0].shape[2:]
        x = torch.cat([F.interpolate(f, size, mode="bilinear", align_corners=False) for f in flows], 1)
        x = self.block(x, "transform") if self.has("transform.residual") else self.cbr(x, "transform")
        return F.conv2d(x, self.state["classifier.weight"], self.state["classifier.bias"])

    def classify(self, flows: list[Tensor], name: str) -> Tensor:
        x = self.block(flows[0], f"{name}.incre_modules.0")
        for k, flow in enumerate(flows[1:]):
            x = self.block(flow, f"{name}.incre_modules.{k + 1}") + self.block(x, f"{name}.downsamp_modules.{k}", 2)
        features = self.cbr(x, f"{name}.final_layer").mean((2, 3))
        return F.linear(features, self.state["classifier.1.weight"], self.state["classifier.1.bias"])


def positions(side: int) -> Tensor:
    """[2, s, s]: the column and the row of each pixel, each with mean 0 and deviation 1."""
    row, column = np.mgrid[0:side, 0:side].astype(np.float64)
    grids = [(g - g.mean()) / g.std() for g in (column, row)]
    return torch.tensor(np.stack(grids)).float()
