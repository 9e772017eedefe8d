"""The compiler: checked model in, architecture graphs, costs and torch.fx modules out."""
