"""nnc.MLP without its training: errors, forward and backward as derived, prediction, the table of layers."""

import itertools

import nets
import numpy as np
import pytest

import nnc
from nnc import reference as ref

R = 6  # examples


def examples(m, n, r=R, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, r)), rng.integers(0, n, r)


def net_and_examples(sizes, activation, dtype=np.float64):
    """A net whose scores on its examples are not near 0, the kink of ReLU, where differences are wrong."""
    X, y = examples(sizes[0], sizes[-1])
    for seed in itertools.count():
        net = nnc.MLP(sizes, activation, init="xavier", dtype=dtype, seed=seed)
        for b in net.biases:
            b[...] = np.random.default_rng(seed).standard_normal(b.shape) / 4
        if min(np.abs(Z).min() for Z in net.forward(X).Z) > 1e-3:
            return net, X, y


def close(mine, right, tolerance):
    """Compare relative to the largest element, since elements near 0 may be all rounding error."""
    mine, right = np.asarray(mine), np.asarray(right)
    assert mine.shape == right.shape
    assert np.abs(mine - right).max(initial=0) <= tolerance * np.abs(right).max(initial=1e-300)


# ---- forward and backward --------------------------------------------------------------------------------------------

DEPTHS = [[5, 3], [5, 4, 3], [5, 4, 6, 3], [5, 4, 6, 4, 3]]


@pytest.mark.parametrize("sizes", DEPTHS, ids=lambda sizes: f"{len(sizes) - 1} layers")
@pytest.mark.parametrize("activation", nets.ACTIVATIONS)
@pytest.mark.parametrize("kind", ["labels", "one-hot", "soft"])
def test_gradients_against_finite_differences(sizes, activation, kind):
    net, X, y = net_and_examples(sizes, activation)
    if kind == "one-hot":
        y = ref.one_hot(y, sizes[-1])
    elif kind == "soft":
        y = ref.softmax(np.random.default_rng(2).standard_normal((sizes[-1], R)))
    t = net.forward(X)
    g = net.backward(t, y)
    W, b = nets.parameters(net)

    def differences(shape, cost_at):
        """∂J/∂x by central differences, element by element; J is the reference's, not the net's."""
        h = 1e-5  # truncation h² ≈ 1e-10, rounding eps/h ≈ 2e-11
        result = np.empty(shape)
        for i in np.ndindex(*shape):
            delta = np.zeros(shape)
            delta[i] = h
            result[i] = (cost_at(delta) - cost_at(-delta)) / (2 * h)
        return result

    def with_shift(where):
        return lambda delta: nets.cost(W, b, net.activations, X, y, (where, delta))

    def with_parameter(arrays, layer):
        def cost_at(delta):
            arrays[layer] += delta
            J = nets.cost(W, b, net.activations, X, y)
            arrays[layer] -= delta
            return J

        return cost_at

    assert len(g.dW) == len(g.db) == len(g.dZ) == len(sizes) - 1 and len(g.dA) == len(sizes) - 2
    for layer in range(len(sizes) - 1):
        close(g.dW[layer], differences(W[layer].shape, with_parameter(W, layer)), 1e-7)
        close(g.db[layer], differences(b[layer].shape, with_parameter(b, layer)), 1e-7)
        close(g.dZ[layer], differences(t.Z[layer].shape, with_shift(("Z", layer))), 1e-7)
        if layer < len(sizes) - 2:
            close(g.dA[layer], differences(t.A[layer].shape, with_shift(("A", layer))), 1e-7)


def test_forward_agrees_with_the_reference_line_by_line():
    net, X, _ = net_and_examples([5, 4, 6, 3], ["tanh", "leaky_relu"])
    t = net.forward(X)
    Z, A = nets.forward(*nets.parameters(net), net.activations, X)
    for mine, right in zip([*t.Z, *t.A, t.P], [*Z, *A, ref.softmax(Z[-1])], strict=True):
        close(mine, right, 100 * np.finfo(float).eps)
    assert np.array_equal(t.X, X)


def test_float32_differs_from_float64_by_rounding():
    net, X, y = net_and_examples([5, 4, 6, 3], "sigmoid")
    small = nnc.MLP(net.sizes, "sigmoid", dtype=np.float32)
    for mine, right in zip(small.weights + small.biases, net.weights + net.biases, strict=True):
        mine[...] = right
    t, t64 = small.forward(X), net.forward(X)
    for target in (y, ref.one_hot(y, 3)):  # float64 targets do not widen
        g, g64 = small.backward(t, target), net.backward(t64, target)
        for field in ("dW", "db", "dZ", "dA"):
            for mine, right in zip(getattr(g, field), getattr(g64, field), strict=True):
                assert mine.dtype == np.float32
                close(mine, right, 200 * np.finfo(np.float32).eps)
    assert {a.dtype for a in (t.X, t.P, *t.Z, *t.A)} == {np.dtype(np.float32)}


def test_slope_is_used_in_forward_and_backward():
    net = nnc.MLP([2, 1, 2], "leaky_relu", slope=0.25, init=lambda n, m: np.ones((n, m)), dtype=np.float64)
    t = net.forward([[-4.0], [0.0]])
    assert t.A[0].item() == -1.0
    g = net.backward(t, [0])
    assert g.dZ[0].item() == 0.25 * g.dA[0].item()
    close(net.predict_proba([[-4.0], [0.0]]), t.P, 1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["u1", "i2", "?", "f2", "f4", "f8", ">f4", ">i4"])
@pytest.mark.parametrize("per_input", [False, True])
def test_every_x_is_normalized(dtype, kind, per_input):
    rng = np.random.default_rng(3)
    X = rng.integers(0, 2 if kind == "?" else 120, (5, R)).astype(kind)
    mean = rng.uniform(10, 20, (5, 1)) if per_input else 12.5
    std = rng.uniform(3, 9, (5, 1)) if per_input else 7.0
    net = nnc.MLP([5, 4, 3], dtype=dtype, seed=0, mean=mean, std=std)
    right = (X.astype(np.float64) - mean) / std
    t = net.forward(X)
    eps = np.finfo(dtype).eps
    assert t.X.dtype == dtype
    close(t.X, right, 8 * eps)
    close(t.P, net.predict_proba(X), 100 * eps)
    plain = nnc.MLP([5, 4, 3], dtype=np.float64, seed=0)
    for mine, given in zip(plain.weights, net.weights, strict=True):
        mine[...] = given
    close(net.predict_proba(X), plain.predict_proba(right), 100 * eps)
    y = rng.integers(0, 3, R)
    close(net.loss(X, y), plain.loss(right, y), 100 * eps)


def test_mean_and_std_may_be_those_of_normalize():
    X = np.random.default_rng(0).uniform(0, 255, (20, 5))  # rows
    _, mean, std = nnc.normalize(X, axis=0)
    net = nnc.MLP([5, 3], mean=mean, std=std, dtype=np.float64)
    assert net.mean.shape == net.std.shape == (5, 1)
    close(net.forward(X.T).X.mean(axis=1) + 1, np.ones(5), 1e-13)


def test_forward_does_not_copy_x_of_the_right_dtype():
    net = nnc.MLP([5, 3], dtype=np.float64)
    X = np.ones((R, 5)).T
    assert np.shares_memory(net.forward(X).X, X)


# ---- prediction ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("r", [0, 1, 7, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prediction_agrees_with_forward(r, dtype):
    net = nnc.MLP([5, 9, 4], "tanh", dtype=dtype, seed=1)
    X, y = examples(5, 4, r)
    P = net.predict_proba(X)
    assert P.shape == (4, r) and P.dtype == dtype
    close(P, net.forward(X).P, 100 * np.finfo(dtype).eps)
    labels = net.predict(X)
    assert np.array_equal(labels, P.argmax(axis=0)) and labels.dtype == np.intp
    if r:
        assert net.accuracy(X, y) == (labels == y).mean() == net.accuracy(X, ref.one_hot(y, 4))
        right = nets.cost(*nets.parameters(net), net.activations, X.astype(dtype).astype(float), y)
        close(net.loss(X, y), right, 100 * np.finfo(dtype).eps)
        close(net.loss(X, ref.one_hot(y, 4)), right, 100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images", ["u1", "f4", "f8"])
@pytest.mark.parametrize("scale", ["plain", "one", "each"])
def test_a_few_examples_in_every_form(dtype, images, scale):
    """So few that the products run along the rows of W, and some more; the same bits for every layout of X."""
    rng = np.random.default_rng(0)
    mean, std = {"plain": (0, 1), "one": (100, 50), "each": (rng.uniform(90, 110, 37), rng.uniform(40, 60, 37))}[scale]
    net = nnc.MLP([37, 19, 3], dtype=dtype, seed=1, mean=mean, std=std)
    for r in (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 24, 25):
        X = rng.integers(0, 256, (37, r)).astype(images)
        P = net.predict_proba(X)
        t = net.forward(X)
        # The scores have errors of eps times their terms, exp a few bits; P changes by at most P times their sum.
        size = abs(net.weights[1]) @ (abs(net.weights[0]) @ abs(t.X)) + abs(t.Z[1])
        assert (abs(P - t.P) <= 100 * np.finfo(dtype).eps * (1 + size.max(axis=0))).all(), r
        wide = np.zeros((2 * r, 80), images)
        wide[::2, 1:75:2] = X.T
        for same in (X.T.copy().T, wide[::2, 1:75:2].T, X[::-1].copy()[::-1], X[:, ::-1].copy()[:, ::-1], X.tolist()):
            if scale == "plain" or not isinstance(same, list):
                np.testing.assert_array_equal(net.predict_proba(same), P)
            np.testing.assert_array_equal(net.predict(same), P.argmax(axis=0))


def test_the_loss_of_more_examples_than_a_chunk():
    net = nnc.MLP([3, 2], dtype=np.float64, seed=0)
    X, y = examples(3, 2, 10_001)
    close(net.loss(X, y), nets.cost(*nets.parameters(net), (), X, y), 1e-13)


def test_the_loss_is_exact_where_the_probability_underflows():
    net = nnc.MLP([1, 2], init=lambda n, m: [[0.0], [1000.0]])
    assert net.predict_proba([[1.0]])[0, 0] == 0
    assert net.loss([[1.0]], [0]) == 1000.0


def test_weights_that_are_nan_give_nan():
    net = nnc.MLP([5, 4, 3], seed=0)
    net.weights[0][...] = np.nan
    X, y = examples(5, 3)
    assert np.isnan(net.predict_proba(X)).all() and np.isnan(net.loss(X, y))
    with pytest.raises(ValueError, match=r"predict: P\[:, 0\] has a NaN, which predicts nothing"):
        net.predict(X)
    assert net.accuracy(X, np.zeros(R)) == 0
    assert np.isnan(net.backward(net.forward(X), y).dW[0]).all()


# ---- the constructor -------------------------------------------------------------------------------------------------


def test_same_seed_same_weights():
    for init in ("kaiming", "xavier", "normal", "uniform", nnc.init.kaiming):
        a, b, c = (nnc.MLP([5, 4, 3], init=init, seed=seed) for seed in (7, 7, 8))
        assert all(np.array_equal(x, y) for x, y in zip(a.weights, b.weights, strict=True))
        assert not np.array_equal(a.weights[0], c.weights[0])
    a, b = nnc.MLP([5, 4, 3]), nnc.MLP([5, 4, 3])
    assert not np.array_equal(a.weights[0], b.weights[0])


@pytest.mark.parametrize(
    "init, std, mean",
    [
        ("kaiming", (2 / 400) ** 0.5, 0),
        ("xavier", (1 / 400) ** 0.5, 0),
        ("normal", 0.01, 0),
        ("uniform", 0.01 / 12**0.5, 0.005),
    ],
)
def test_init_has_the_scale_of_its_equation(init, std, mean):
    W = nnc.MLP([400, 500, 2], init=init, dtype=np.float64, seed=0).weights[0]
    # 200,000 draws: the mean is off by std/447, the std by std/632; five times that has a chance of one in a million.
    assert abs(W.mean() - mean) < 5 * std / 447
    assert abs(W.std() - std) < 5 * std / 632


def test_parameters_are_live_and_copied_from_init():
    given = np.ones((3, 5))
    net = nnc.MLP([5, 3], init=lambda n, m: given)
    assert [W.shape for W in net.weights] == [(3, 5)] and [b.shape for b in net.biases] == [(3, 1)]
    assert all(a.flags.c_contiguous and a.dtype == np.float32 for a in net.weights + net.biases)
    assert not net.biases[0].any()
    net.weights[0][0] = 5
    assert (given == 1).all()
    X = np.ones((5, 1))
    assert net.forward(X).Z[0][0, 0] == 25 and net.predict(X) == [0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("init", ["kaiming", lambda n, m: np.ones((n, m))], ids=["kaiming", "a function"])
def test_weights_are_aligned_to_cache_lines(init, dtype):
    net = nnc.MLP([784, 200, 30, 10], init=init, dtype=dtype, seed=0)  # NumPy's own may be aligned to 16 bytes only
    assert [W.ctypes.data % 64 for W in net.weights] == [0, 0, 0]
    assert all(W.flags.c_contiguous and W.flags.writeable and W.dtype == dtype for W in net.weights)


def test_attributes():
    net = nnc.MLP([5, 4, 4, 3], ["relu", "tanh"], dtype=np.float64)
    assert list(net.sizes) == [5, 4, 4, 3] and list(net.activations) == ["relu", "tanh"]
    assert net.dtype == np.float64 and net.mean.dtype == np.float64


@pytest.mark.parametrize(
    "error, match, arguments",
    [
        (TypeError, r"sizes must be whole numbers.*784, 200, 10", dict(sizes=784)),
        (TypeError, "sizes must be whole numbers", dict(sizes=[784.0, 10])),
        (ValueError, "at least two", dict(sizes=[784])),
        (ValueError, r"from 1 up.*\[784, 0, 10\]", dict(sizes=[784, 0, 10])),
        (ValueError, "activation 'swish' is unknown; it must be one of identity, relu, ", dict(activation="swish")),
        (ValueError, "activation 'softmax' is unknown", dict(activation=["softmax"])),
        (ValueError, "names 2 functions, but there are 1 hidden layers", dict(activation=["relu", "relu"])),
        (ValueError, "init 'he' is unknown; it must be one of kaiming, xavier, normal, uniform", dict(init="he")),
        (TypeError, "init must be a name or a function", dict(init=3)),
        (ValueError, r"init\(4, 5\) gave float64 \(5, 4\)", dict(init=lambda n, m: np.ones((m, n)))),
        (ValueError, r"init\(4, 5\) gave complex128", dict(init=lambda n, m: np.ones((n, m), complex))),
        (TypeError, "dtype must be float32 or float64, not int32", dict(dtype=np.int32)),
        (TypeError, "dtype must be float32 or float64, not float16", dict(dtype="f2")),
        (ValueError, "slope must be a finite number from 0 up, not -0.1", dict(slope=-0.1)),
        (ValueError, "std must be above 0", dict(std=0)),
        (ValueError, "std must be above 0", dict(std=[1, 1, 0, 1, 1])),
        (ValueError, "std must be above 0", dict(std=-1.0)),
        (ValueError, "std must be above 0", dict(std=1e-60)),
        (ValueError, "mean must be finite", dict(mean=np.nan)),
        (ValueError, "mean must be finite in float32", dict(mean=1e300)),
        (ValueError, r"mean has shape \(4, 1\), but must be a number or \(5, 1\)", dict(mean=np.zeros((4, 1)))),
        (ValueError, r"std has shape \(1, 5\)", dict(std=np.ones((1, 5)))),
        (TypeError, "mean must be real", dict(mean=1j)),
        (TypeError, "mean must be real", dict(mean="a")),
    ],
)
def test_the_constructor_says_what_is_wrong(error, match, arguments):
    with pytest.raises(error, match="MLP: .*" + match):
        nnc.MLP(**{"sizes": [5, 4, 3]} | arguments)


# ---- wrong arguments -------------------------------------------------------------------------------------------------

CALLS = {
    "forward": lambda net, X: net.forward(X),
    "predict": lambda net, X: net.predict(X),
    "predict_proba": lambda net, X: net.predict_proba(X),
    "accuracy": lambda net, X: net.accuracy(X, [0]),
    "loss": lambda net, X: net.loss(X, [0]),
    "fit": lambda net, X: net.fit(X, [0], progress=False),
}


@pytest.mark.parametrize("op", CALLS)
@pytest.mark.parametrize(
    "error, match, X",
    [
        (ValueError, r"X is \(6, 5\), but the net has 5 inputs, .*Did you mean X.T\?", np.ones((6, 5))),
        (ValueError, r"X is \(4, 6\), but the net has 5 inputs, so it must be \(5, r\)", np.ones((4, 6))),
        (ValueError, r"X has shape \(5,\), .*For one example write X\[:, None\]", np.ones(5)),
        (ValueError, r"X has shape \(2, 5, 6\)", np.ones((2, 5, 6))),
        (TypeError, "X has dtype complex128", np.ones((5, 6), complex)),
        (TypeError, "X has dtype object", np.array([[object()] * 6] * 5)),
        (TypeError, "X has dtype <U1", np.full((5, 6), "a")),
    ],
)
def test_a_wrong_x_is_an_error_that_names_the_method(op, error, match, X):
    with pytest.raises(error, match=f"{op}: {match}"):
        CALLS[op](nnc.MLP([5, 4, 3]), X)


@pytest.mark.parametrize("op", ["backward", "accuracy", "loss", "fit"])
@pytest.mark.parametrize(
    "match, y",
    [
        (r"y\[2\]", [0, 1, 3, 0, 1, 2]),
        (r"y\[1\]", [0, -1, 2, 0, 1, 2]),
        (r"y\[4\]", [0, 1, 2, 0, 0.5, 2]),
        (r"\(5,\)", [0, 1, 2, 0, 1]),
        (r"\(6, 1\)", [[0], [1], [2], [0], [1], [2]]),
        (r"\(6, 3\)", np.eye(3)[[0, 1, 2, 0, 1, 2]]),
        (r"y\[:, 5\] sums to 2", np.eye(3)[:, [0, 1, 2, 0, 1, 2]] * [1, 1, 1, 1, 1, 2]),
    ],
)
def test_wrong_labels_are_an_error_with_their_index(op, match, y):
    net = nnc.MLP([5, 4, 3])
    X = np.ones((5, 6))
    with pytest.raises(ValueError, match=f"{op}.*{match}"):
        net.backward(net.forward(X), y) if op == "backward" else getattr(net, op)(X, y)


@pytest.mark.parametrize("op", ["backward", "accuracy", "loss", "fit"])
def test_no_examples_are_an_error(op):
    net = nnc.MLP([5, 3])
    X = np.ones((5, 0))
    with pytest.raises(ValueError, match=f"{op}: .*no example"):
        net.backward(net.forward(X), []) if op == "backward" else getattr(net, op)(X, [])


def test_backward_with_the_forward_pass_of_another_net_is_an_error():
    t = nnc.MLP([5, 4, 3]).forward(np.ones((5, 2)))
    with pytest.raises(ValueError, match="backward: t is of another net"):
        nnc.MLP([5, 6, 3]).backward(t, [0, 1])


put = list.__setitem__


@pytest.mark.parametrize("op", [*CALLS, "backward", "save"])
@pytest.mark.parametrize(
    "change, match",
    [
        (lambda net: put(net.weights, 1, np.ones((3, 4))), r"net.weights\[1\].*float64.*net.weights\[1\]\[...\] = W"),
        (lambda net: put(net.weights, 0, np.ones((5, 4), "f")), r"net.weights\[0\] must be float32 \(4, 5\)"),
        (lambda net: put(net.weights, 0, np.ones((5, 4), "f").T), r"net.weights\[0\].*not C-contiguous"),
        (lambda net: net.weights[0].setflags(write=False), r"net.weights\[0\].*read-only"),
        (lambda net: put(net.biases, 0, np.zeros(4, "f")), r"net.biases\[0\] must be float32 \(4, 1\)"),
        (lambda net: put(net.biases, 0, [0.0]), r"net.biases\[0\].* is list"),
        (lambda net: net.weights.pop(), "net.weights holds 1 arrays, but the net has 2 layers"),
    ],
)
def test_wrong_arrays_in_weights_and_biases_are_an_error(op, change, match, tmp_path):
    net = nnc.MLP([5, 4, 3])
    X = np.ones((5, 1))
    t = net.forward(X)
    change(net)
    calls = CALLS | {"backward": lambda net, X: net.backward(t, [0]), "save": lambda net, X: net.save(tmp_path / "m")}
    with pytest.raises(ValueError, match=f"{op}: {match}"):
        calls[op](net, X)
    assert not list(tmp_path.iterdir())


# ---- repr and HTML ---------------------------------------------------------------------------------------------------


def test_repr():
    main = nnc.MLP([784, 200, 10])
    assert repr(main) == "MLP([784, 200, 10], activation='relu', dtype='float32'): 159,010 parameters"
    assert repr(nnc.MLP([3, 2], dtype="f8")) == "MLP([3, 2], dtype='float64'): 8 parameters"
    mixed = nnc.MLP([3, 4, 4, 2], ["relu", "tanh"])
    assert repr(mixed) == "MLP([3, 4, 4, 2], activation=['relu', 'tanh'], dtype='float32'): 46 parameters"


def test_html_has_every_layer_and_no_colour():
    html = nnc.MLP([784, 200, 10], "tanh")._repr_html_()
    for part in ("(200, 784)", "(200, 1)", "tanh", "157,000", "(10, 200)", "softmax", "2,010", "159,010", "float32"):
        assert f">{part}<" in html or part in ("159,010", "float32") and part in html
    assert html.count("<tr>") == 3
    assert "color" not in html and "style" not in html
