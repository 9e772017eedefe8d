import random, sys
from pathlib import Path
import numpy as np
from hrdsl.compiler.sym import at
from .spaces import SPACES, compile_text, EXAMPLES
from hrdsl.compiler.api import compile_file
from .network import network

def check(c, n=5, seed=0):
    rng = np.random.default_rng(seed)
    d = c.decisions
    rows = [*d.sample(rng, n).tolist(), d.largest(), d.smallest()]
    index = {x.path: x for x in d.decisions}
    for genes in rows:
        genes=tuple(genes)
        costs = c.costs.one(genes)
        def choose(path, labels):
            x = index[path]
            assert tuple(x.labels) == tuple(labels), (path, x.labels, labels)
            return genes[x.index]
        made = network(c.model, c.space, choose)
        assert (made.parameters, made.macs) == (costs["parameters"], costs["macs"]), (genes, made, costs)

def test_spaces():
    for name, text in SPACES.items():
        print(name)
        check(compile_text(text))

def test_examples():
    for p in EXAMPLES:
        print(p)
        check(compile_file(p), 2)
    check(compile_file("/tmp/routes.arch"), 10)
