"""nnc: a neural network derived by hand, run line by line on NumPy arrays, checked, and trained at full speed.

The primitives are in `nnc.functional`, each with its twin in plain NumPy in `nnc.reference`.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

try:
    from . import _engine  # noqa: F401
except ImportError as error:  # NNC_ISA=bogus in the environment, for example
    # `nnc` and `python -m nnc` import this package first; the command line reports errors in one line, no traceback.
    if sys.argv and os.path.splitext(os.path.basename(sys.argv[0]))[0] in ("-m", "nnc"):
        sys.exit(f"nnc: {error}")
    raise

from . import functional, init, reference
from ._engine import cpu_info, get_num_threads, set_num_threads
from .functional import *  # noqa: F403 - the names in its __all__
from .init import normalize

__all__ = [
    *functional.__all__,
    "MLP",
    "Node",
    "check_derivation",
    "check_gradient",
    "cpu_info",
    "custom",
    "data",
    "derive",
    "get_num_threads",
    "grad",
    "gradcheck",
    "hessian",
    "hvp",
    "init",
    "jacobian",
    "jvp",
    "normalize",
    "numerical_gradient",
    "optim",
    "plot",
    "reference",
    "set_num_threads",
    "value_and_grad",
    "vjp",
]

# The larger modules are imported when one of their names is first used, which keeps `import nnc` fast.
_WHERE = {
    "MLP": "mlp.model",
    "Node": "autodiff.node",
    "check_derivation": "checking.check_derivation",
    "check_gradient": "checking.check_gradient",
    "custom": "autodiff.custom",
    "data": "data",
    "derive": "display.derive",
    "grad": "autodiff.transforms",
    "gradcheck": "checking.gradcheck",
    "hessian": "autodiff.transforms",
    "hvp": "autodiff.transforms",
    "jacobian": "autodiff.transforms",
    "jvp": "autodiff.transforms",
    "numerical_gradient": "checking.gradcheck",
    "optim": "optim",
    "plot": "plot",
    "sklearn": "sklearn",
    "value_and_grad": "autodiff.transforms",
    "vjp": "autodiff.transforms",
}

if TYPE_CHECKING:
    from . import data, optim, plot
    from .autodiff.custom import custom
    from .autodiff.node import Node
    from .autodiff.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
    from .checking.check_derivation import check_derivation
    from .checking.check_gradient import check_gradient
    from .checking.gradcheck import gradcheck, numerical_gradient
    from .display.derive import derive
    from .mlp.model import MLP
else:  # a type checker would take this to mean that every name exists

    def __getattr__(name):
        if name not in _WHERE:
            raise AttributeError(f"module 'nnc' has no attribute {name!r}")
        module = import_module("." + _WHERE[name], __name__)
        globals()[name] = value = module if name == _WHERE[name] else getattr(module, name)
        return value


def load_ipython_extension(ipython):
    """``%load_ext nnc``: the cell magic ``%%derivation``."""
    from .checking.cell_magic import register

    register(ipython)


def __dir__():
    return sorted({*globals(), *__all__})
