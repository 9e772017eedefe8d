"""Evaluation of candidates: a whole generation at once, each part that saves time switchable."""

from .evaluator import Evaluator, Options, Paired

__all__ = ["Evaluator", "Options", "Paired"]
