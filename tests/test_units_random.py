"""Units of random networks: drawn spaces with branches, routes' cells, windows, groups, attention and tokens, one architecture of each,
written flat, opened, half of its units silenced and removed."""

import numpy as np
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hrdsl.compiler.flat import flat_text
from hrdsl.compiler.found import compile_text
from hrdsl.compiler.graph import Outputs
from hrdsl.compiler.open import opened
from hrdsl.compiler.units import units

from .test_programs import space
from .test_units import output, silenced

torch.set_num_threads(1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(seed=st.integers(0, 10_000))
def test_units_of_random_networks_go_without_a_trace(seed: int) -> None:
    made, rng = space(seed), np.random.default_rng(seed)
    assume(not isinstance(made.graph.nodes[made.graph.output].op, Outputs))
    genes = tuple(int(g) for g in made.decisions.sample(rng, 1)[0])
    flat = compile_text(flat_text(made.graph, genes), made)
    assert flat.costs.one(()) == made.costs.one(genes)
    wide = opened(flat.graph)
    groups, _ = units(wide, tuple(len(d) - 1 for d in wide.decisions))
    assume(groups)
    store, left, dead = silenced(wide, seed)
    extent = [int(n) for n in wide.input.extent]
    x = torch.randn(2, int(wide.input.width), *extent, dtype=torch.float64)
    before = output(wide, store, left.genome, x)
    left.remove(dead, store.places, [store.flat])
    store.release()
    after = output(wide, store, left.genome, x)
    assert float((before - after).abs().max()) <= 1e-6 * max(1e-6, float(before.abs().max()))
