"""JSON forms of graphs, architectures and models: versioned, lossless, described by a schema. docs/json.md explains them."""
