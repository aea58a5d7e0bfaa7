"""nnc: a neural network derived by hand, run line by line on NumPy arrays, checked, and trained at full speed."""

from . import init, reference
from .init import normalize

__all__ = ["init", "normalize", "reference"]
