"""nnc: a neural network derived by hand, run line by line on NumPy arrays, checked, and trained at full speed."""

from . import init, reference
from .graph import Node
from .init import normalize

__all__ = ["Node", "init", "normalize", "reference"]
