"""nnc._engine.labels and bad_targets: labels as the engine takes them, the first bad label or column of targets."""

import numpy as np
import pytest
from test_strides import laid_out

from nnc import _engine as engine


def test_labels_of_the_right_dtype_are_not_copied():
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
def test_bad_labels_are_an_error_that_names_the_first(y, message):
    with pytest.raises(ValueError, match=message):
        engine.labels("op", y, 3, 3)


@pytest.mark.parametrize("y", [["a", "b", "c"], [0j, 1, 2], [None, 1, 2]])
def test_labels_that_are_not_numbers_are_a_type_error(y):
    with pytest.raises(TypeError, match="op: y has dtype"):
        engine.labels("op", y, 3, 3)


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "f2", "u1", "?"])
@pytest.mark.parametrize("n, r", [(3, 1), (2, 257), (4, 600)])
def test_bad_targets_finds_the_first_column_that_does_not_sum_to_one(dtype, n, r):
    Y = np.zeros((n, r), dtype)
    Y[np.arange(r) % n, np.arange(r)] = 1
    layouts = (Y, np.asfortranarray(Y), np.repeat(Y, 2, 1)[:, ::2], Y[::-1, ::-1], laid_out(Y, "misaligned"))
    assert [engine.bad_targets(y, 1e-6) for y in layouts] == [-1] * 5
    for i in {0, r // 2, r - 1}:
        Y[:, [i, -1]] = 0
        assert engine.bad_targets(Y, 1e-6) == engine.bad_targets(np.asfortranarray(Y), 1e-6) == i
        Y[0, i] = 1
        if Y.dtype.kind == "f":
            Y[0, i] = np.nan
            assert engine.bad_targets(Y, 1e-6) == i
            Y[0, i] = 1.25
            assert engine.bad_targets(Y, 0.2) == i and engine.bad_targets(Y, 1.0) == -1
            Y[0, i] = 1


def test_targets_without_classes_or_examples():
    assert engine.bad_targets(np.zeros((0, 2)), 1e-6) == 0
    assert engine.bad_targets(np.zeros((2, 0)), 1e-6) == -1
    with pytest.raises(ValueError, match="2-D"):
        engine.bad_targets(np.zeros(3), 1e-6)
