"""nnc: a neural network derived by hand, run line by line on NumPy arrays, checked, and trained at full speed.

The primitives stand in `nnc.functional`, each with its twin in plain NumPy in `nnc.reference`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import functional, init, reference
from ._engine import cpu_info, get_num_threads, set_num_threads
from .functional import *  # noqa: F403 - the names in its __all__
from .init import normalize

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

# The larger rooms open when somebody first asks for one of their names, so that `import nnc` takes a moment only.
_ROOMS = {
    "MLP": "model",
    "Node": "graph",
    "check_gradient": "verdict",
    "data": "data",
    "derive": "derivation",  # not derive.py: importing that would put the module in the place of the function
    "grad": "derivatives",
    "gradcheck": "check",
    "jacobian": "derivatives",
    "numerical_gradient": "check",
    "plot": "plot",
    "value_and_grad": "derivatives",
}

if TYPE_CHECKING:
    from . import data, plot
    from .check import gradcheck, numerical_gradient
    from .derivation import derive
    from .derivatives import grad, jacobian, value_and_grad
    from .graph import Node
    from .model import MLP
    from .verdict import check_gradient
else:  # a type checker would take this to mean that every name exists

    def __getattr__(name):
        if name not in _ROOMS:
            raise AttributeError(f"module 'nnc' has no attribute {name!r}")
        room = import_module("." + _ROOMS[name], __name__)
        globals()[name] = value = room if name == _ROOMS[name] else getattr(room, name)
        return value


def __dir__():
    return sorted({*globals(), *__all__})
