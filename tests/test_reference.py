"""Every primitive against its twin in NumPy, and the twins against finite differences."""

import inspect

import numpy as np
import pytest
from error_bounds import ROWS, cast, check
from finite_differences import PAIRS, check_gradients

import nnc
from nnc import reference as ref

SIZES = [(3, 4, 5), (1, 1, 1), (7, 9, 1), (1, 33, 65), (17, 1, 31), (10, 200, 64), (31, 63, 127), (64, 64, 64)]
EMPTY = [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", SIZES + EMPTY, ids=str)
@pytest.mark.parametrize("row", ROWS, ids=repr)
def test_every_primitive_matches_its_twin(row, size, dtype):
    if size[0] == 0 and row.name in ("softmax", "log_softmax", "softmax_cross_entropy"):
        pytest.skip("the twin has no maximum of no scores; see test_no_classes")
    rng = np.random.default_rng(size)
    check(row, cast(row.operands(rng, *size), dtype), dtype)


def test_no_classes():
    for op in (nnc.softmax, nnc.log_softmax):
        assert op(np.zeros((0, 4))).shape == (0, 4)
    assert nnc.softmax_cross_entropy(np.zeros((0, 0)), []).shape == (0,)


@pytest.mark.parametrize("namespace", [nnc, ref], ids=["engine", "reference"])
@pytest.mark.parametrize("pair", PAIRS, ids=repr)
def test_finite_differences(pair, namespace):
    check_gradients(pair, namespace)


def test_same_names():
    assert set(ref.__all__) == set(nnc.functional.__all__) <= set(nnc.__all__)


@pytest.mark.parametrize("name", [name for name in ref.__all__ if not isinstance(getattr(nnc, name), np.ufunc)])
def test_same_signature(name):
    """The same arguments with the same defaults; only the engine has out and dtype."""
    ours = inspect.signature(getattr(nnc, name)).parameters.values()
    twins = inspect.signature(getattr(ref, name)).parameters.values()
    assert [(p.name, p.default) for p in ours if p.kind is not p.KEYWORD_ONLY] == [(p.name, p.default) for p in twins]
    assert {p.name for p in ours if p.kind is p.KEYWORD_ONLY} <= {"out", "dtype"}


def test_the_reference_does_not_change_its_operands():
    rng = np.random.default_rng(0)
    for row in ROWS:
        operands = row.operands(rng, 3, 4, 5)
        before = [np.array(x) for x in operands]
        getattr(ref, row.name)(*operands)
        for x, was in list(zip(operands, before, strict=True))[row.name == "sgd" :]:
            assert np.array_equal(x, was), row.name
