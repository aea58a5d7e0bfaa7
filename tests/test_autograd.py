"""autograd's own tests, from its source distribution, run on Nodes by a thin stand-in for it (`autograd_stand_in`).

They are fetched where a package index can be reached, and are no part of this project.
"""

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from autograd_stand_in import check_grads

import nnc

HERE = Path(__file__).parent
FILES = "numpy systematic scalar_ops binary_ops linalg graphs jacobian".split()

LIST = "NumPy makes an array of a list of Nodes before it asks anybody, and so it is refused: np.stack makes one"
REST = {
    "test_mean_list_of_boxes": LIST,
    "test_std_list_of_boxes": LIST,
    "test_var_list_of_boxes": LIST,
    "test_norm_list_of_boxes": LIST,
    "test_simple_append_list_2D": LIST,
    "test_cast_to_int": "np.int64 of a Node leaves the graph, and so it is refused: node.value.astype(int)",
    "test_eig_real": "the eigenvalues of such a matrix are complex, and Nodes are real",
    "test_std": "the deviation of one number is 0, where differences see a kink and the gradient is 0",
}


@pytest.fixture(scope="module")
def their_tests(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autograd")
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-binary", ":all:", "--no-deps", "-d", folder]
    done = subprocess.run([*download, "autograd==1.9.1"], capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip("the source distribution of autograd cannot be fetched: " + done.stderr.strip().splitlines()[-1])
    with tarfile.open(next(folder.glob("autograd-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("autograd-*/tests"))


@pytest.mark.slow
@pytest.mark.parametrize(("order", "least"), [(1, 0.95), (2, 0.90)])
def test_their_tests(their_tests, order, least):
    report, settings = their_tests / f"order{order}.xml", their_tests / "none.ini"
    settings.write_text("[pytest]\n")
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "autograd_stand_in", "-W", "ignore"),
        *("-c", settings, "--rootdir", ".", f"--junit-xml={report}"),
        *[f"test_{name}.py" for name in FILES],
    ]
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "NNC_ORDER": str(order)}
    done = subprocess.run(command, cwd=their_tests, capture_output=True, text=True, timeout=900, env=environment)
    assert report.exists(), done.stdout + done.stderr
    cases = list(ET.parse(report).iter("testcase"))
    failed = {case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None}
    assert len(cases) > 350
    assert failed <= set(REST), done.stdout[-5000:]
    assert 1 - len(failed) / len(cases) >= least


def wrong_twice(x):
    """Its gradient is that of sin, and its second derivative is not."""
    twisted = nnc.custom(np.cos, lambda g, y, x: g * np.cos(x))
    return nnc.custom(np.sin, lambda g, y, x: g * twisted(x))(x)


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_the_stand_in_finds_what_is_wrong(mode):
    x = np.array([0.3, -1.2, 0.7])
    check_grads(np.sin, modes=[mode])(x)
    check_grads(wrong_twice, modes=[mode], order=1)(x)
    with pytest.raises(AssertionError):
        check_grads(wrong_twice, modes=[mode], order=2)(x)
    with pytest.raises(AssertionError):
        check_grads(nnc.custom(np.sin, lambda g, y, x: 1.001 * g * np.cos(x)), modes=[mode], order=1)(x)
