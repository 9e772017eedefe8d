"""The language: source text in, checked model out."""
