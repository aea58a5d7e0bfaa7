"""The annotations as a type checker sees them, and the stub of the C module compared with the module."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnc
from nnc import _engine

SAMPLE = """
import numpy as np
import nnc

rng = np.random.default_rng(0)
W, b = nnc.init.kaiming(10, 784, rng), nnc.init.zeros(10)
X, mean, std = nnc.normalize(rng.integers(0, 256, (784, 64)))
y = rng.integers(0, 10, 64)
Z = nnc.linear(W, X, b, out=np.empty((10, 64)))
P = nnc.softmax(nnc.relu(Z), axis=0)
dZ = nnc.softmax_cross_entropy_backward(1 / 64, P, y)
dW, dX, db = nnc.linear_backward(dZ, W, X)
for parameter, gradient in ((W, dW), (b, db)):
    nnc.sgd(parameter, gradient, lr=0.1)
share: float = nnc.accuracy(P, y)
labels: np.ndarray = nnc.predict(P)
nnc.linear(nnc.Node(W), X, b)
nnc.leaky_relu([1.0, -1.0], 0.3)
"""
WRONG = {
    "nnc.softmax(W, axis='columns')": "axis",
    "nnc.leaky_relu(W, slope='steep')": "slope",
    "text: str = nnc.accuracy(P, y)": "str",
    "nnc.one_hot(y, n='ten')": "n",
    "nnc.matmul(W, X, W)": "argument",
    "nnc.no_such_name": "no_such_name",
}


def mypy(tmp_path, program):
    pytest.importorskip("mypy")
    path = tmp_path / "sample.py"
    path.write_text(program)
    root = Path(nnc.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", tmp_path / "cache", path]
    done = subprocess.run(command, env={"MYPYPATH": str(root)}, cwd=tmp_path, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_program_checks(tmp_path):
    code, output = mypy(tmp_path, SAMPLE)
    assert code == 0, output


@pytest.mark.slow
def test_a_wrong_program_does_not(tmp_path):
    lines = SAMPLE.count("\n")
    code, output = mypy(tmp_path, SAMPLE + "\n".join(WRONG))
    assert code == 1
    for i, (line, word) in enumerate(WRONG.items(), lines + 1):
        assert any(f":{i}: error" in row and word in row for row in output.splitlines()), f"{line}: {output}"


def test_the_stub_has_the_names_of_the_module():
    """Except the universal functions: in the stub, every other name is one."""
    stub = Path(nnc.__file__).with_name("_engine.pyi").read_text()
    names = set()
    for node in ast.parse(stub).body:
        if isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
    others = {name for name, value in vars(_engine).items() if not isinstance(value, np.ufunc)}
    assert names - {"__getattr__"} == {name for name in others if not name.startswith("_")}


def test_the_package_says_that_it_is_typed():
    assert Path(nnc.__file__).with_name("py.typed").exists()
