"""`import nnc` is light, and every name of the interface is there all the same."""

import subprocess
import sys

import pytest

import nnc


def run(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_is_imported():
    """NumPy, the engine and the primitives; what is behind the other names, and all it imports, only when asked."""
    new = run("import numpy, sys; old = set(sys.modules); import nnc; print(*(set(sys.modules) - old))")
    later = {"autodiff", "checking", "display", "mlp", "sklearn", "data", "optim", "plot"}
    assert "nnc.functional" in new and later.isdisjoint(name.split(".")[1] for name in new if "nnc." in name)
    assert [name for name in new if name.partition(".")[0] not in ("nnc", "__future__", "importlib")] == []


@pytest.mark.parametrize("name", nnc.__all__)
def test_each_name_alone(name):
    """Asked for first thing, as `from nnc import name`; and it stays what it is, whatever is imported later."""
    program = f"from nnc import {name}; import nnc; print(type({name}).__name__, nnc.{name} is {name})"
    assert run(program) == [type(getattr(nnc, name)).__name__, "True"]


def test_derive_stays_a_function():
    modules = "nnc.display.derive, nnc.checking.gradcheck, nnc.checking.check_gradient, nnc"
    program = f"import {modules}; print(callable(nnc.derive), callable(nnc.grad))"
    assert run(program) == ["True", "True"]


def test_all_and_dir():
    assert run("from nnc import *; print(Node.__name__, derive.__name__, MLP.__name__)") == ["Node", "derive", "MLP"]
    assert set(nnc.__all__) <= set(dir(nnc))
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        nnc.no_such_name  # noqa: B018
