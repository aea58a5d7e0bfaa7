"""nnc._engine.labels: from what people have to what the engine takes, or an error that names the first bad one."""

import numpy as np
import pytest

from nnc import _engine as engine


def test_labels_pass_through_without_a_copy():
    y = np.array([0, 2, 1])
    assert engine.labels("op", y, 3, 3) is y
    assert engine.labels("op", np.zeros(0, int), 3, 0).shape == (0,)


@pytest.mark.parametrize("y", [[0, 2, 1], (0.0, 2.0, 1.0), np.array([0, 9, 2, 9, 1])[::2], np.array([0, 2, 1], ">i2")])
@pytest.mark.parametrize("dtype", [None, "u1", "i4", "f2", "f4", "u8", "g"])
def test_labels_of_any_real_dtype(y, dtype):
    labels = engine.labels("op", y if dtype is None else np.asarray(y).astype(dtype), 3, 3)
    assert labels.dtype == np.intp and labels.flags.c_contiguous and labels.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 3], r"op: y\[2\] is 3, but labels must be whole numbers in 0\.\.2"),
        ([0, -1, 3], r"op: y\[1\] is -1,"),
        ([0, 0.5, 3], r"op: y\[1\] is 0.5,"),
        ([0, float("nan"), 1], r"op: y\[1\] is nan,"),
        ([float("inf"), 0, 1], r"op: y\[0\] is inf,"),
        (np.array([0, 2**63 + 1, 1], np.uint64), r"op: y\[1\] is 9223372036854775809,"),
        ([0, 1], r"op: y has shape \(2,\), but labels for r = 3 examples have shape \(3,\)"),
        ([[0, 1, 2]], r"op: y has shape \(1, 3\).*did you mean y.ravel\(\)\?"),
        ([[0], [1], [2]], r"op: y has shape \(3, 1\).*did you mean y.ravel\(\)\?"),
        (1, r"op: y has shape \(\)"),
    ],
)
def test_bad_labels_name_the_first(y, message):
    with pytest.raises(ValueError, match=message):
        engine.labels("op", y, 3, 3)


@pytest.mark.parametrize("y", [["a", "b", "c"], [0j, 1, 2], [None, 1, 2]])
def test_labels_that_are_no_numbers(y):
    with pytest.raises(TypeError, match="op: y has dtype"):
        engine.labels("op", y, 3, 3)
