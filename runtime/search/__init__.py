"""The searches: evolution, pruning and random sampling over one supernet."""
