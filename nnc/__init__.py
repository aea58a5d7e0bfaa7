"""nnc: a neural network derived by hand, run line by line on NumPy arrays, checked, and trained at full speed.

The primitives stand in `nnc.functional`, each with its twin in plain NumPy in `nnc.reference`.
"""

from . import data, functional, init, reference
from ._engine import cpu_info, get_num_threads, set_num_threads
from .derive import derive
from .functional import *  # noqa: F403 - the names in its __all__
from .graph import Node
from .init import normalize
from .model import MLP

__all__ = [
    *functional.__all__,
    "MLP",
    "Node",
    "cpu_info",
    "data",
    "derive",
    "get_num_threads",
    "init",
    "normalize",
    "reference",
    "set_num_threads",
]
