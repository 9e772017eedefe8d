"""Modules in, networks found: data, training, search, measurement and reports."""
