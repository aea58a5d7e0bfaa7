"""Labels of every form, good and bad, in the losses; one_hot, predict, accuracy."""

import re
import warnings

import numpy as np
import pytest

import nnc
from nnc import reference as ref

A34 = np.random.default_rng(0).standard_normal((3, 4))

LOSSES = [
    lambda P, y: nnc.cross_entropy(P, y),
    lambda P, y: nnc.softmax_cross_entropy(P, y),
    lambda P, y: nnc.cross_entropy_backward(0.5, P, y),
    lambda P, y: nnc.softmax_cross_entropy_backward(0.5, P, y),
    lambda P, y: nnc.accuracy(P, y),
]
TAKE_LABELS = pytest.mark.parametrize(
    "op", LOSSES, ids=["cross_entropy", "softmax_cross_entropy", "cross_entropy_backward",
                       "softmax_cross_entropy_backward", "accuracy"]
)  # fmt: skip
P34 = ref.softmax(A34)


@TAKE_LABELS
@pytest.mark.parametrize("dtype", "? i1 u1 i2 u2 i4 u4 i8 u8 >i4 <i8 f2 f4 f8 >f8".split())
def test_labels_of_any_dtype(op, dtype):
    plain = np.array([0, 1, 1, 0])
    np.testing.assert_array_equal(op(P34, plain.astype(dtype)), op(P34, plain))
    padded = np.zeros(8, dtype)
    padded[::2] = plain
    np.testing.assert_array_equal(op(P34, padded[::2]), op(P34, plain))
    np.testing.assert_array_equal(op(P34, padded[-2::-2]), op(P34, plain[::-1]))


@TAKE_LABELS
@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i4", "i8", "f2", "f4", "f8"])
def test_one_hot_labels(op, dtype):
    plain = np.array([0, 2, 1, 0])
    np.testing.assert_allclose(op(P34, nnc.one_hot(plain, 3, dtype)), op(P34, plain), rtol=1e-14)
    np.testing.assert_allclose(op(P34, nnc.one_hot(plain, 3, dtype).tolist()), op(P34, plain), rtol=1e-14)


@TAKE_LABELS
@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 3, 5], r"y\[2\].*3.*0\.\.2"),
        ([0, -1, -3, 1], r"y\[1\].*-1"),
        ([0.0, 1.0, 1.5, 0.2], r"y\[2\].*1\.5"),
        ([0.0, np.nan, 1.0, 0.0], r"y\[1\].*nan"),
        ([0.0, 1.0, 0.0, np.inf], r"y\[3\].*inf"),
        ([0.0, 1.0, 1e300, -1e300], r"y\[2\]"),
        (np.array([0, 2**63, 1, 1], np.uint64), r"y\[1\]"),
        (np.array([0, -(2**63), 1, 1], np.int64), r"y\[1\]"),
        ([0, 1, 2], r"\(3,\).*4|4.*\(3,\)"),
        ([0, 1, 2, 0, 1], r"\(5,\).*4|4.*\(5,\)"),
        ([[0, 1, 2, 0]], r"\(1, 4\)"),
        ([[0], [1], [2], [0]], r"\(4, 1\)"),
        (np.full((4, 3), 1 / 3), r"\(4, 3\).*y\.T"),
        (0, r"\(\)"),
        (np.zeros((1, 3, 4)), r"\(1, 3, 4\)"),
        ([[1, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 0.4, 0.1]], r"y\[:, 2\].*0\.9"),
        ([[1, np.nan, 0.5, 0], [0, 1, 0, 0], [0, 0, 0.4, 0.1]], r"y\[:, 1\].*nan"),
    ],
    ids=str,
)
def test_labels_out_of_range_or_of_the_wrong_shape_are_an_error_with_their_index(op, y, message):
    with pytest.raises(ValueError, match=message) as caught:
        op(P34, y)
    assert re.match(r"(softmax_)?(cross_entropy)(_backward)?: |accuracy: ", str(caught.value))


@TAKE_LABELS
@pytest.mark.parametrize("y", [np.zeros(4, complex), np.array(["0"] * 4), np.zeros(4, object), 1j * np.eye(3, 4)])
def test_labels_that_are_not_real_are_an_error(op, y):
    with pytest.raises((TypeError, ValueError), match="cross_entropy|accuracy"):
        op(P34, y)


def test_targets_of_one_class_are_all_1():
    Z = np.array([[3.0, -2.0]])
    np.testing.assert_array_equal(nnc.softmax_cross_entropy(Z, [0, 0]), [0, 0])
    np.testing.assert_array_equal(nnc.softmax_cross_entropy(Z, [[1, 1]]), [0, 0])
    with pytest.raises(ValueError, match=r"y\[:, 0\]"):
        nnc.softmax_cross_entropy(Z, [[0, 0]])


def test_a_float32_softmax_may_be_the_targets():
    """Its columns sum to 1 but for rounding, also with 1000 classes."""
    Z = 5 * np.random.default_rng(5).standard_normal((1000, 200)).astype(np.float32)
    for y in (nnc.softmax(Z), nnc.softmax(Z).astype(np.float64), nnc.softmax(Z[:10]).astype(np.float16)):
        assert np.isfinite(nnc.softmax_cross_entropy(Z[: len(y)], y)).all()


def test_a_probability_of_0_counts_only_at_the_label():
    P = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, np.nan], [0.0, 0.0, 1.0]])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(nnc.cross_entropy(P, [0, 0, 2]), [np.inf, 0, 0])
        np.testing.assert_array_equal(nnc.cross_entropy(P, nnc.one_hot([0, 0, 2], 3)), [np.inf, 0, 0])
        np.testing.assert_array_equal(nnc.cross_entropy_backward(2.0, P, [0, 0, 2])[:, 0], [-np.inf, 0, 0])
        np.testing.assert_array_equal(nnc.cross_entropy_backward(2.0, P, [0, 0, 2])[:, 2], [0, 0, -2])
        Y = nnc.one_hot([0, 0, 2], 3)
        np.testing.assert_array_equal(nnc.cross_entropy_backward(2.0, P, Y)[:, 2], [0, 0, -2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(nnc.cross_entropy(P, [1, 0, 2]), [0, 0, 0])
        np.testing.assert_array_equal(nnc.cross_entropy(P, nnc.one_hot([1, 0, 2], 3)), [0, 0, 0])


def test_the_loss_is_exact_where_the_probability_underflows():
    for dtype in (np.float32, np.float64):
        Z = np.array([[0, 1e4, -3e4], [2e4, 0, 3e4]], dtype)
        np.testing.assert_array_equal(nnc.softmax_cross_entropy(Z, [0, 1, 0]), np.array([2e4, 1e4, 6e4], dtype))
        Y = nnc.one_hot([0, 1, 0], 2, dtype)
        np.testing.assert_array_equal(nnc.softmax_cross_entropy(Z, Y), np.array([2e4, 1e4, 6e4], dtype))


def test_dl_may_be_a_number_or_one_for_each_example():
    y = np.array([0, 2, 1, 0])
    for op in (nnc.softmax_cross_entropy_backward, nnc.cross_entropy_backward):
        one = op(0.25, P34, y)
        np.testing.assert_allclose(one, 0.25 * op(1, P34, y))
        np.testing.assert_array_equal(one, op(np.full(4, 0.25), P34, y))
        np.testing.assert_array_equal(one, op([0.25] * 4, P34, y))
        np.testing.assert_array_equal(one, op(np.full(8, 0.25)[::2], P34, y))
        each = np.array([1.0, 2.0, -1.0, 0.0])
        np.testing.assert_allclose(op(each, P34, y), each * op(1, P34, y))
        for bad in (np.ones(3), np.ones((1, 4)), np.ones((4, 1)), np.ones((3, 4))):
            with pytest.raises(ValueError, match=f"{op.__name__}: dL is .*{re.escape(str(bad.shape))}"):
                op(bad, P34, y)
        with pytest.raises(TypeError, match="dL"):
            op(1j, P34, y)


# ---- one_hot, predict, accuracy --------------------------------------------------------------------------------------


def test_one_hot():
    Y = nnc.one_hot([2, 0], 3)
    np.testing.assert_array_equal(Y, [[0, 1], [0, 0], [1, 0]])
    assert Y.dtype == np.float64
    assert nnc.one_hot(np.array([2.0, 0.0], np.float32), 3, np.float32).dtype == np.float32
    assert nnc.one_hot([], 3).shape == (3, 0)
    with pytest.raises(ValueError, match=r"one_hot: y\[1\] is 3"):
        nnc.one_hot([2, 3, 4], 3)
    with pytest.raises(ValueError, match=r"one_hot: .*\(2, 1\)"):
        nnc.one_hot([[1], [0]], 3)


def test_predict():
    got = nnc.predict(A34)
    np.testing.assert_array_equal(got, A34.argmax(0))
    assert got.dtype == np.intp
    np.testing.assert_array_equal(nnc.predict(np.zeros((3, 2))), [0, 0])
    assert nnc.predict(np.zeros((3, 0))).shape == (0,)
    for bad in (np.zeros(3), np.zeros((0, 3)), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="predict: P is"):
            nnc.predict(bad)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("r", [0, 1, 255, 256, 257, 1000])
def test_predict_in_every_layout(dtype, r):
    """With ties, as there are few values; compared with NumPy's argmax."""
    P = np.random.default_rng(r).integers(0, 4, (7, r)).astype(dtype)
    P[:, r // 2 :][P[:, r // 2 :] == 3] = np.inf
    wide = np.zeros((14, 2 * r + 1), dtype)
    wide[::2, 1::2] = P
    for same in (P, P.T.copy().T, wide[::2, 1::2], P[::-1, ::-1].copy()[::-1, ::-1], P.tolist()):
        np.testing.assert_array_equal(nnc.predict(same), P.argmax(axis=0))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_column_with_a_nan_predicts_nothing(dtype, row):
    """np.argmax would return the row of the NaN."""
    P = np.array([[0.2, 0.5, 0.1], [0.5, 0.3, 0.1], [0.3, 0.2, 0.8]], dtype)
    P[row, 1:] = np.nan
    for module in (nnc, nnc.reference):
        with pytest.raises(ValueError, match=r"predict: P\[:, 1\] has a NaN, which predicts nothing"):
            module.predict(P)
        assert module.accuracy(P, np.array([1, row, row])) == 1 / 3  # also where the label is the NaN's row
        assert module.accuracy(P, np.eye(3)[:, [1, row, row]]) == 1 / 3
    with pytest.raises(ValueError, match=r"predict: P\[:, 1\]"):
        nnc.predict(nnc.Node(P))
    P[row, 1:] = np.inf  # the largest
    assert nnc.accuracy(P, [1, row, row]) == 1


def test_predict_takes_real_numbers():
    assert nnc.predict(np.array([[True, False], [False, True]])).tolist() == [0, 1]
    for bad in (np.ones((2, 2), complex), np.array([["a"], ["b"]]), np.array([[None], [1]])):
        with pytest.raises(TypeError, match="predict: P is .*, but must be real"):
            nnc.predict(bad)


def test_accuracy():
    y = A34.argmax(0)
    y[0] = (y[0] + 1) % 3
    assert nnc.accuracy(A34, y) == 0.75
    assert type(nnc.accuracy(A34, y)) is float
    assert nnc.accuracy(A34, nnc.one_hot(y, 3)) == 0.75
    assert nnc.accuracy(A34.tolist(), y.tolist()) == 0.75
    with pytest.raises(ValueError, match="accuracy"):
        nnc.accuracy(np.zeros((3, 0)), [])


@pytest.mark.parametrize("loss", [nnc.cross_entropy, nnc.softmax_cross_entropy])
@pytest.mark.parametrize(
    ("y", "message"), [([0, 3, 1, 1], r"y\[1\] is 3"), ([0, 1, 1], r"\(3,\)"), ([[0, 1, 1, 0]], r"\(1, 4\)")]
)
def test_bad_labels_of_a_node_are_an_error(loss, y, message):
    """Labels of dtype np.intp take the direct path."""
    with pytest.raises(ValueError, match=message):
        loss(nnc.Node(P34), np.array(y, np.intp))
