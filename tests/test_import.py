"""`import nnc` imports little, and every public name is available nevertheless."""

import subprocess
import sys

import pytest

import nnc


def run(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_loads_only_numpy_the_engine_and_the_primitives():
    """The modules of the other names are imported at their first use."""
    new = run("import numpy, sys; old = set(sys.modules); import nnc; print(*(set(sys.modules) - old))")
    later = {"autodiff", "checking", "display", "mlp", "sklearn", "data", "optim", "plot"}
    assert "nnc.functional" in new and later.isdisjoint(name.split(".")[1] for name in new if "nnc." in name)
    assert [name for name in new if name.partition(".")[0] not in ("nnc", "__future__", "importlib")] == []


@pytest.mark.parametrize("name", nnc.__all__)
def test_each_name_can_be_imported_first(name):
    """And is the same object afterwards."""
    program = f"from nnc import {name}; import nnc; print(type({name}).__name__, nnc.{name} is {name})"
    assert run(program) == [type(getattr(nnc, name)).__name__, "True"]


def test_functions_are_not_replaced_by_modules_of_the_same_name():
    modules = "nnc.display.derive, nnc.checking.gradcheck, nnc.checking.check_gradient, nnc"
    program = f"import {modules}; print(callable(nnc.derive), callable(nnc.grad))"
    assert run(program) == ["True", "True"]


def test_all_and_dir():
    assert run("from nnc import *; print(Node.__name__, derive.__name__, MLP.__name__)") == ["Node", "derive", "MLP"]
    assert set(nnc.__all__) <= set(dir(nnc))
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        nnc.no_such_name  # noqa: B018
