"""Pruning: units of a compiled space removed while its largest network trains."""
