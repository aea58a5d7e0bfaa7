"""nnc: a neural network derived by hand, run line by line on NumPy arrays, checked, and trained at full speed.

The primitives stand in `nnc.functional`, each with its twin in plain NumPy in `nnc.reference`.
"""

from . import data, functional, init, plot, reference
from ._engine import cpu_info, get_num_threads, set_num_threads
from .check import gradcheck, numerical_gradient
from .derivatives import grad, jacobian, value_and_grad
from .derive import derive
from .functional import *  # noqa: F403 - the names in its __all__
from .graph import Node
from .init import normalize
from .model import MLP
from .verdict import check_gradient

__all__ = [
    *functional.__all__,
    "MLP",
    "Node",
    "check_gradient",
    "cpu_info",
    "data",
    "derive",
    "get_num_threads",
    "grad",
    "gradcheck",
    "init",
    "jacobian",
    "normalize",
    "numerical_gradient",
    "plot",
    "reference",
    "set_num_threads",
    "value_and_grad",
]
