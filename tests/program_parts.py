"""What random programs are made of: names, library cells and cells that stand in each of them."""

BRANCHES = ("fine", "coarse", "low")
ACTIVATIONS = ("relu", "gelu", "silu", "hardswish", "tanh", "softmax", "dropout(1/10)", "bn", "ln", "scale", "identity")
STD = {
    "blocks.residual": ("kernel",),
    "blocks.bottleneck": ("kernel",),
    "blocks.inverted_residual": ("kernel",),
    "blocks.separable": ("kernel",),
    "blocks.light_attention": (),
    "blocks.conv_bn_relu(3)": (),
}
HALVING = ("blocks.residual", "blocks.conv_bn_relu(3)", "blocks.inverted_residual(expand = 2)", "skip", "plain")
"""Cells of routes that can halve the resolution."""
EVERY = """
cell skip(width, stride = 1) { out = x -> conv(1, width, stride) -> bn }

cell plain(width, stride = 1) {
  kernel in {1, 3}
  out = x -> conv(kernel, width, stride) -> relu
}

cell around(body, width) {
  inner = x -> conv(1, width)
  out = inner + (inner -> body)
}

cell two(width) { out = [x -> conv(1, width), x -> depthwise(3) -> conv(1, width)] }

cell first_and_last() { out = x[0] + x[1] }

cell edge(to, like, width) {
  open in {true, false}
  out = if open then x -> conv(1, width) -> resize(like) else none
}

cell near(to) {
  own = [f for f in x if f.stride == to.stride]
  far = [f -> edge(to, own[0], own[0].width) for f in x for k in range(1, 3) if f.stride == to.stride * 2 and k == 1]
  out = [own, far] -> sum -> relu
}

cell blend(to) {
  like = [f for f in x if f.stride == to.stride]
  out = [f -> conv(1, to.width) -> resize(like[0], mode = "nearest") for f in x] -> sum
}

cell coarsest(to) { out = x[length(x) - 1] -> fusion.grow(to) }

cell twice() { out = [x[0] -> global_pool -> linear(2), x[length(x) - 1] -> global_pool] }
cell concat_all() { out = [f -> resize(x[0]) for f in x] -> concat }

cell means() { out = [f -> global_pool for f in x] -> concat }

cell last() { out = x[length(x) - 1] }
"""
