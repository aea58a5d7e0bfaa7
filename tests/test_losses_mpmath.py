"""Every loss and its gradient as functions of the scores, against mpmath, far into the tails.

Errors are in units in the last place of the result, or of the largest term where terms of a sum cancel: a probability
near its target, a mean near its count. Other tests compare the instruction sets with each other.
"""

import numpy as np
import pytest

import nnc

mp = pytest.importorskip("mpmath")

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
rng = np.random.default_rng(7)
MAGNITUDES = np.concatenate([10.0 ** np.arange(-300, 0, 9.7), rng.uniform(0, 40, 60), [1, 20, 88, 104, 700, 746, 800]])
SCORES = np.concatenate([MAGNITUDES, -MAGNITUDES, [0.0]])
SHARES = [0, 1, 0.5, 0.3, 1e-3, 1 - 2.0**-20]
COUNTS = [0, 1, 3, 0.25, 1000]


@pytest.fixture(autouse=True)
def precision():
    with mp.workprec(2200):  # so that 1 + e^-800 is not 1
        yield


def exactly(x):
    return mp.mpf(float(x))


def ulps(found, exact, scale, dtype):
    """The error in units in the last place of the scale; 0 if both overflow, infinite if only one does."""
    f = np.finfo(dtype)
    if abs(exact) > exactly(f.max):
        return 0 if np.isinf(found) and (found > 0) == (exact > 0) else np.inf
    if not np.isfinite(found):
        return np.inf
    unit = np.spacing(dtype(min(float(max(scale, abs(exact))), float(f.max) / 2)))
    return float(abs(exactly(found) - exact) / exactly(unit))


def worst(found, exact, scale, dtype, points):
    errors = [ulps(*row, dtype) for row in zip(found, exact, scale, strict=True)]
    k = int(np.argmax(errors))
    return errors[k], points[k], found[k], float(exact[k])


def sigmoid(z):
    return 1 / (1 + mp.exp(-z))


def xlogy(x, y):
    return x * mp.log(y) if x else mp.mpf(0)


# loss: (targets, the exact loss of one output, the size of its terms where they cancel, the output A)
LOSSES = {
    "binary_cross_entropy": (
        SHARES,
        lambda z, y: -xlogy(y, sigmoid(z)) - xlogy(1 - y, sigmoid(-z)),
        lambda z, y: mp.mpf(0),  # no terms cancel
        sigmoid,
    ),
    "squared_error": (
        [*SHARES, -1e-30, 2.5e18],
        lambda a, y: (a - y) ** 2 / 2,
        lambda a, y: mp.mpf(0),
        lambda a: a,
    ),
    "poisson": (
        COUNTS,
        lambda z, y: xlogy(y, y) - y * z - y + mp.exp(z),
        lambda z, y: abs(xlogy(y, y)) + abs(y * z) + y + mp.exp(z),
        mp.exp,
    ),
}
LIMIT = 4


def points_of(name, dtype):
    """Z and Y (1, r): every score with every target."""
    Z, Y = np.meshgrid(SCORES.astype(dtype), np.array(LOSSES[name][0], dtype))
    return Z.reshape(1, -1), Y.reshape(1, -1)


@DTYPES
@pytest.mark.parametrize("name", LOSSES)
def test_elementwise_losses(name, dtype):
    _, loss, terms, _ = LOSSES[name]
    Z, Y = points_of(name, dtype)
    with np.errstate(over="ignore", under="ignore"):
        found = getattr(nnc, name)(Z, Y)
    assert found.dtype == dtype
    points = [(exactly(z), exactly(y)) for z, y in zip(Z[0], Y[0], strict=True)]
    exact, scale = [loss(*p) for p in points], [terms(*p) for p in points]
    error = worst(found, exact, scale, dtype, list(zip(Z[0], Y[0], strict=True)))
    assert error[0] <= LIMIT, error


@DTYPES
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_elementwise_losses(name, dtype):
    """By the graph, and by the backward function of the output A; for y = 0 the gradient is A dL."""
    _, _, _, output = LOSSES[name]
    Z, Y = points_of(name, dtype)
    dL = dtype(0.375)
    with np.errstate(over="ignore", under="ignore"):
        found = nnc.grad(lambda Z: (dL * getattr(nnc, name)(Z, Y)).sum())(Z)[0]
        A = {"binary_cross_entropy": nnc.sigmoid, "squared_error": np.copy, "poisson": np.exp}[name](Z)
        by_hand = getattr(nnc, f"{name}_backward")(dL, A, Y)[0]
    assert found.dtype == by_hand.dtype == dtype
    outputs, targets = [output(exactly(z)) for z in Z[0]], [exactly(y) for y in Y[0]]
    exact = [exactly(dL) * (a - y) for a, y in zip(outputs, targets, strict=True)]
    # A, which has the dtype of Z, may overflow although dL A would not
    exact = [mp.mpf("inf") if a > exactly(np.finfo(dtype).max) else e for a, e in zip(outputs, exact, strict=True)]
    scale = [exactly(dL) * max(abs(a), abs(y)) for a, y in zip(outputs, targets, strict=True)]
    scale = [exact[k] if mp.isinf(exact[k]) else s for k, s in enumerate(scale)]
    points = list(zip(Z[0], Y[0], strict=True))
    for gradient in (found, by_hand):
        error = worst(gradient, exact, scale, dtype, points)
        assert error[0] <= LIMIT, error


def scores(n, r, dtype, spread):
    """Z (n, r) whose differences are exact in the dtype, so that only the loss is rounded."""
    return (rng.integers(-spread * 64, spread * 64 + 1, (n, r)) / 64).astype(dtype)


def soft_targets(n, r, dtype):
    Y = rng.integers(0, 5, (n, r)) * rng.integers(0, 2, (n, r))  # many zeros
    Y[0] += Y.sum(axis=0) == 0
    return (Y / Y.sum(axis=0)).astype(dtype)


def softmax(z):
    powers = [mp.exp(exactly(a)) for a in z]
    total = mp.fsum(powers)
    return [p / total for p in powers]


@DTYPES
@pytest.mark.parametrize("n", [2, 10])
@pytest.mark.parametrize("spread", [1, 40, 400])
@pytest.mark.parametrize("kind", ["labels", "targets"])
def test_softmax_cross_entropy(kind, spread, n, dtype):
    r = 40
    Z, y = scores(n, r, dtype, spread), rng.integers(0, n, r)
    Y = np.eye(n, dtype=dtype)[:, y] if kind == "labels" else soft_targets(n, r, dtype)
    given = y if kind == "labels" else Y
    weight = rng.uniform(0.1, 3, r).astype(dtype)
    found = nnc.softmax_cross_entropy(Z, given)
    gradient = nnc.grad(lambda Z: (weight * nnc.softmax_cross_entropy(Z, given)).sum())(Z)
    by_hand = nnc.softmax_cross_entropy_backward(weight, nnc.softmax(Z), given)
    assert found.dtype == gradient.dtype == by_hand.dtype == dtype
    for i in range(r):
        P, targets = softmax(Z[:, i]), [exactly(t) for t in Y[:, i]]
        exact = -mp.fsum(xlogy(t, p) for t, p in zip(targets, P, strict=True))
        # where the sum in the logarithm is near 1, the error of the loss is that of the sum
        assert ulps(found[i], exact, mp.mpf(1), dtype) <= LIMIT + n / 2, (Z[:, i], Y[:, i], found[i])
        w = exactly(weight[i])
        for k in range(n):
            slope, scale = w * (P[k] - targets[k]), w * max(P[k], targets[k])
            for g in (gradient[k, i], by_hand[k, i]):
                assert ulps(g, slope, scale, dtype) <= LIMIT + n / 2, (Z[:, i], Y[:, i], k, g)


@DTYPES
@pytest.mark.parametrize("name", ["cross_entropy", *LOSSES])
def test_a_weighted_mean_of_a_net(name, dtype):
    """J = Σ w L / Σ w and its gradient, for a net whose scores are its input."""
    n, r = 3, 30
    Z = scores(n, r, dtype, 5)
    if name == "cross_entropy":
        Y = soft_targets(n, r, dtype)
        losses = [-mp.fsum(map(xlogy, map(exactly, Y[:, i]), softmax(Z[:, i]))) for i in range(r)]
        outputs = [softmax(Z[:, i]) for i in range(r)]
    else:
        targets, loss, _, output = LOSSES[name]
        Y = rng.choice(np.array(targets[:4], dtype), (n, r))
        pairs = [[(exactly(z), exactly(t)) for z, t in zip(Z[:, i], Y[:, i], strict=True)] for i in range(r)]
        losses = [mp.fsum(loss(*pair) for pair in pairs[i]) for i in range(r)]
        outputs = [[output(z) for z, _ in pairs[i]] for i in range(r)]
    weight = rng.uniform(0, 3, r).astype(dtype)
    weight[::7] = 0
    net = nnc.MLP([n, n], init=lambda n, m: np.eye(n, m), loss=name, dtype=dtype)
    J, (dW,), (db,) = net.loss_and_gradient(Z, Y, weight)
    w = [exactly(a) for a in weight]
    exact = mp.fsum(a * b for a, b in zip(w, losses, strict=True)) / mp.fsum(w)
    eps = exactly(np.finfo(dtype).eps)
    assert abs(exactly(J) - exact) <= (LIMIT + r / 2) * eps * exact
    slopes = [[w[i] * (outputs[i][k] - exactly(Y[k, i])) / mp.fsum(w) for i in range(r)] for k in range(n)]
    sizes = [[w[i] * max(abs(outputs[i][k]), abs(exactly(Y[k, i]))) / mp.fsum(w) for i in range(r)] for k in range(n)]
    for k in range(n):
        assert abs(exactly(db[k, 0]) - mp.fsum(slopes[k])) <= (LIMIT + r / 2) * eps * mp.fsum(sizes[k])
        for m in range(n):
            X = [exactly(x) for x in Z[m]]
            slope = mp.fsum(s * x for s, x in zip(slopes[k], X, strict=True))
            size = mp.fsum(s * abs(x) for s, x in zip(sizes[k], X, strict=True))
            assert abs(exactly(dW[k, m]) - slope) <= (LIMIT + r / 2) * eps * size


def test_ulps_sees_small_errors_lost_tails_and_wrong_overflows():
    third = mp.mpf(1) / 3
    assert ulps(1 / 3, third, 0, np.float64) < 0.51
    assert 5 < ulps(1 / 3 + 6 * np.spacing(1 / 3), third, 0, np.float64) < 7
    tail = mp.exp(-40)
    assert ulps(float(tail), tail, 0, np.float64) < 0.51 < LIMIT < ulps(0.0, tail, 0, np.float64)
    for lost in (np.inf, np.nan):
        assert ulps(lost, third, 0, np.float64) == np.inf
    assert ulps(1e308, mp.mpf(10) ** 400, 0, np.float64) == np.inf
