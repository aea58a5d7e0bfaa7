"""MLP.fit: the same numbers as the training loop of the notes for X and y of every form, and the order of examples."""

import copy
import platform
import signal

import nets
import numpy as np
import pytest
from engine_rows import ACTIVATIONS
from nets import M, N, arrays, assert_equal, differ, examples, train

import nnc
from nnc import reference as ref

# In units of the smallest normal number; on x86, where subnormal results are slow, they become 0.
FLUSHED_BELOW = int(platform.machine().lower() in ("x86_64", "amd64"))


def assert_trained_as_in_the_notes(net, X, y, epochs=2, batch_size=16, lr=0.1, momentum=0.0, given=None):
    """Train `net` on `given` (by default X) and the reference in float64 on X, and compare."""
    W, b = nets.parameters(net)
    options = dict(epochs=epochs, batch_size=batch_size, lr=lr, momentum=momentum)
    history = train(net, X if given is None else given, y, **options)
    right = nets.fit(W, b, net.activations, X, y, epochs, batch_size, lr, momentum)
    # Each step rounds a few sums of at most m + r products; the rounding errors of all steps add up.
    steps = epochs * -(-X.shape[1] // batch_size)
    tolerance = 4 * steps * (max(net.sizes) + batch_size) * np.finfo(net.dtype).eps
    for mine, reference in zip(arrays(net), [*W, *b], strict=True):
        assert np.abs(mine - reference).max() <= tolerance * max(1, np.abs(reference).max())
    assert np.allclose(history.loss, right, rtol=tolerance, atol=0)
    assert len(history.loss) == epochs


# ---- the same numbers as the notes' loop -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("r, batch_size", [(50, 1), (50, 7), (50, 25), (50, 49), (50, 50), (50, 1000), (2100, 1000)])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_batch_sizes(dtype, r, batch_size, momentum):
    X, y = examples(r)
    net = nnc.MLP([M, 9, N], dtype=dtype, seed=1)
    assert_trained_as_in_the_notes(net, X.astype(dtype).astype(float), y, 2, batch_size, 0.05, momentum)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("few", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_few_examples_and_a_few_inputs(dtype, few, momentum):
    """Fewer than a vector register holds, in either dimension."""
    for m, batch_size in ((37, few), (few, 21), (few, few)):
        net = nnc.MLP([m, 19, 3], dtype=dtype, seed=few)
        net.biases[0][:, 0] = np.linspace(-1, 1, 19)
        X, y = examples(42, m, 3)
        assert_trained_as_in_the_notes(net, X.astype(dtype).astype(float), y, 2, batch_size, 0.05, momentum)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [[], [9], [9, 33], [5, 6, 17]], ids=len)
def test_activations_and_depths(dtype, activation, hidden):
    X, y = examples(40)
    net = nnc.MLP([M, *hidden, N], activation, init="xavier", dtype=dtype, seed=2)
    assert_trained_as_in_the_notes(net, X.astype(dtype).astype(float), y, momentum=0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["one-hot", "soft", "soft, transposed"])
def test_targets(dtype, kind):
    X, y = examples(40)
    Y = ref.one_hot(y, N)
    if kind != "one-hot":
        Y = ref.softmax(np.random.default_rng(3).standard_normal((N, 40)))
    if kind == "soft, transposed":
        Y = np.ascontiguousarray(Y.T).T
    net = nnc.MLP([M, 9, N], "tanh", dtype=dtype, seed=2)
    assert_trained_as_in_the_notes(net, X.astype(dtype).astype(float), Y)


@pytest.mark.parametrize("sizes", [[784, 200, 10], [1, 1], [1, 1, 1], [3, 130, 2], [100, 3, 40]], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes(dtype, sizes):
    X, y = examples(130, sizes[0], sizes[-1])
    net = nnc.MLP(sizes, "tanh", dtype=dtype, seed=2)
    assert_trained_as_in_the_notes(net, X.astype(dtype).astype(float), y, batch_size=64, epochs=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["u1", "i1", "i4", "?", "f2", "f4", "f8", ">f4", ">f8", "g"])
@pytest.mark.parametrize("scale", ["none", "numbers", "per input"])
def test_every_dtype_of_x(dtype, kind, scale):
    rng = np.random.default_rng(4)
    X = rng.integers(0, 2 if kind == "?" else 100, (M, 40)).astype(kind)
    y = rng.integers(0, N, 40)
    mean, std = {
        "none": (0.0, 100.0),  # std alone: sums of numbers near 100 would drown the comparison
        "numbers": (50.0, 29.0),
        "per input": (rng.uniform(40, 60, (M, 1)), rng.uniform(20, 40, (M, 1))),
    }[scale]
    net = nnc.MLP([M, 9, N], "tanh", dtype=dtype, seed=2, mean=mean, std=std)
    right = (X.astype(float) - net.mean.astype(float)) / net.std.astype(float)
    assert_trained_as_in_the_notes(net, right, y, given=X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["u1", "f4", "f8"])
@pytest.mark.parametrize("per_input", [False, True])
@pytest.mark.parametrize("spread", [1, 122])
def test_x_is_normalised_to_the_last_bit(dtype, kind, per_input, spread):
    """With W = 0, two classes and lr 2, one step on one example x makes W = (x, -x): P - Y is 1/2, and no sum and no
    product is rounded. So W is the normalised x, which must be correctly rounded."""
    rng, m = np.random.default_rng(6), 4000
    X = (rng.integers(0, 256, (m, 1)) if kind == "u1" else rng.standard_normal((m, 1)) * 100).astype(kind)
    size = (m, 1) if per_input else ()
    mean, std = rng.uniform(-9, 99, size), 37.0 * 2.0 ** rng.uniform(-spread, spread, size)
    if per_input:  # one whose reciprocal is infinite
        X[0], mean[0], std[0] = 1, 1, np.finfo(dtype).smallest_subnormal
    net = nnc.MLP([m, 2], dtype=dtype, mean=mean, std=std)
    net.weights[0][...] = 0
    train(net, X, [0], epochs=1, lr=2.0, batch_size=1)
    right = (X.astype(dtype) - net.mean) / net.std
    right[abs(right) < FLUSHED_BELOW * np.finfo(dtype).tiny] = 0
    assert np.array_equal(net.weights[0], np.hstack([right, -right]).T)


def keeps_subnormals():
    return all(x / np.float32(2) > 0 for x in np.full(40, np.finfo(np.float32).tiny))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("examples", [8, 100_000])  # with so many, signals are polled during the epoch
def test_subnormals_become_zero_within_an_epoch_and_nowhere_else(dtype, threads, examples):
    """X is the smallest normal number, so that dW is subnormal."""
    tiny, kept = np.finfo(dtype).tiny, []
    net = nnc.MLP([64, 400], dtype=dtype)
    for parameter in (*net.weights, *net.biases):
        parameter[...] = 0
    X = np.broadcast_to(tiny, (64, examples))
    before = nnc.get_num_threads()
    nnc.set_num_threads(threads)
    try:
        note = lambda *_: kept.append(keeps_subnormals())  # noqa: E731
        net.fit(X, np.zeros(examples, int), epochs=2, lr=0.5, progress=False, callback=note)
    finally:
        nnc.set_num_threads(before)
    assert kept == [True, True] and keeps_subnormals()
    assert np.all(net.weights[0] == 0) if FLUSHED_BELOW else np.all(net.weights[0] != 0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_a_signal_handler_during_an_epoch_computes_with_subnormals():
    kept = []
    before = signal.signal(signal.SIGALRM, lambda *_: kept.append(keeps_subnormals()))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        X, y = np.zeros((784, 20_000), np.uint8), np.zeros(20_000, int)  # an epoch is longer than a poll's interval
        nnc.MLP([784, 200, 10]).fit(X, y, epochs=100, progress=False, callback=lambda *_: len(kept) > 9)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(kept) > 9 and all(kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_infinite_x_stays_infinite(dtype):
    net = nnc.MLP([1, 1, 2], "sigmoid", dtype=dtype, seed=0, mean=3.0, std=7.0)
    net.weights[0][...] = 1
    P = net.predict_proba(np.array([[np.inf, 1e30, -np.inf, -1e30]], dtype))
    assert np.array_equal(P[:, 0], P[:, 1]) and np.array_equal(P[:, 2], P[:, 3])


LAYOUTS = {
    "C": lambda X: np.ascontiguousarray(X),
    "rows": lambda X: np.ascontiguousarray(X.T).T,
    "every other input": lambda X: np.repeat(X.T, 2, axis=1)[:, ::2].T,
    "every third example": lambda X: np.repeat(X.T, 3, axis=0)[::3].T,
    "both from the end": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "rows from the end": lambda X: np.ascontiguousarray(X[::-1, ::-1].T)[::-1, ::-1].T,
    "misaligned": lambda X: misaligned(X),
    "read-only": lambda X: read_only(X),
    "a list": lambda X: X.tolist(),
}


def misaligned(X):
    buffer = np.zeros(X.nbytes + 1, np.uint8)
    view = buffer[1:].view(X.dtype).reshape(X.shape[::-1]).T
    view[...] = X
    return view


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["u1", "f4", "f8"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layout_of_x(dtype, kind, layout):
    X = np.random.default_rng(4).integers(0, 100, (M, 40)).astype(kind)
    y = np.random.default_rng(5).integers(0, N, 40)
    given = LAYOUTS[layout](X)
    before = np.array(given)
    net = nnc.MLP([M, 9, N], "tanh", dtype=dtype, seed=2, std=100.0)
    assert_trained_as_in_the_notes(net, X.astype(float) / net.std.astype(float), y, given=given)
    assert np.array_equal(before, given)


def test_examples_with_stride_0():
    x = np.random.default_rng(0).standard_normal((M, 1))
    X = np.broadcast_to(x, (M, 40))
    assert_trained_as_in_the_notes(nnc.MLP([M, 9, N], dtype=np.float64, seed=1), X.copy(), np.full(40, 1), given=X)


@pytest.mark.parametrize("y", [[0, 1, 2] * 10, np.array([0, 1, 2] * 10, "u1"), np.array([0.0, 1, 2] * 10)], ids=type)
def test_every_dtype_of_labels(y):
    X, _ = examples(30)
    a, b = nnc.MLP([M, N], seed=0), nnc.MLP([M, N], seed=0)
    train(a, X, y)
    train(b, X, np.array([0, 1, 2] * 10))
    assert_equal(a, b)


def test_labels_are_copied():
    """The engine indexes with them, so a label changed during training must not reach it."""
    X, y = examples(30)
    y = y.astype(np.intp)
    a, b = nnc.MLP([M, N], seed=0), nnc.MLP([M, N], seed=0)
    train(a, X, y.copy(), epochs=3)
    train(b, X, y, epochs=3, callback=lambda epoch, history: y.fill(10**6))
    assert_equal(a, b)


@pytest.mark.parametrize("given", ["rows", "columns far apart"])
def test_large_x_is_copied_only_if_necessary(given):
    import tracemalloc

    X = np.zeros((4000, 784), np.uint8).T if given == "rows" else np.zeros((784, 4000), np.uint8)
    net = nnc.MLP([784, N], seed=0)
    tracemalloc.start()
    try:
        train(net, X, np.zeros(4000, np.intp), epochs=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (peak > X.nbytes) == (given != "rows")


# ---- the order of the examples ---------------------------------------------------------------------------------------


def test_same_seed_same_weights_for_any_number_of_threads():
    X, y = examples(600, 50, 10)
    trained = []
    threads = nnc.get_num_threads()
    try:
        for count in (1, 2, 3, 8):
            nnc.set_num_threads(count)
            trained.append(nnc.MLP([50, 200, 10], seed=5))  # enough work for threads
            trained[-1].fit(X, y, epochs=3, momentum=0.5, progress=False)
    finally:
        nnc.set_num_threads(threads)
    for other in trained[1:]:
        assert_equal(trained[0], other)


def test_the_order_comes_from_the_seed():
    X, y = examples(100)
    start = nnc.MLP([M, 9, N], seed=1)

    def trained(**options):
        net = copy.deepcopy(start)
        train(net, X, y, **{"epochs": 1, "shuffle": True} | options)
        return net

    assert_equal(trained(seed=3), trained(seed=3))
    assert differ(trained(seed=3), trained(seed=4))
    assert differ(trained(seed=3), trained(shuffle=False))
    assert_equal(trained(), trained())  # the generator was copied with the net
    assert_equal(trained(seed=np.random.default_rng(3)), trained(seed=3))
    # A new order in each epoch: two fits of one epoch repeat it, one fit of two does not.
    again = trained(seed=3)
    train(again, X, y, epochs=1, shuffle=True, seed=3)
    assert differ(again, trained(seed=3, epochs=2))


def test_without_a_seed_the_order_comes_from_the_nets_generator():
    X, y = examples(100)
    a, b = nnc.MLP([M, 9, N], seed=1), nnc.MLP([M, 9, N], seed=1)
    start = copy.deepcopy(a)
    for net in (a, b):
        train(net, X, y, epochs=1, shuffle=True)
    assert_equal(a, b)
    for mine, first in zip(arrays(a), arrays(start), strict=True):
        mine[...] = first
    train(a, X, y, epochs=1, shuffle=True)  # the same weights, the next order
    assert differ(a, b)
    train(b, X, y, epochs=1, shuffle=True, seed=9)  # fit's seed does not advance the net's generator
    for net in (a, b):
        for mine, first in zip(arrays(net), arrays(start), strict=True):
            mine[...] = first
    train(b, X, y, epochs=1, shuffle=True)
    c = copy.deepcopy(start)
    train(c, X, y, epochs=1, shuffle=True, lr=0.0)  # advances the generator only
    train(c, X, y, epochs=1, shuffle=True)
    assert_equal(b, c)


@pytest.mark.parametrize("r, batch_size", [(50, 8), (50, 50), (1000, 64), (1, 3)])
def test_every_example_is_seen_once_an_epoch(r, batch_size):
    """With lr = 0 the mean loss of an epoch is the loss of the net, if no example is left out or used twice."""
    X, y = examples(r)
    net = nnc.MLP([M, 9, N], init="xavier", dtype=np.float64, seed=1)
    history = net.fit(X, y, epochs=4, batch_size=batch_size, lr=0.0, progress=False)
    assert np.allclose(history.loss, net.loss(X, y), rtol=1e-13, atol=0)
