"""nnc.optim and the losses of MLP in training, compared with PyTorch and with the formulas in NumPy, in float64."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
from engine_rows import ELEMENTWISE_LOSSES
from finite_differences import output_of
from nets import arrays, assert_equal

import nnc
from nnc import reference as ref

R, M = 96, 7
LOSSES = {"cross_entropy": 4, **dict.fromkeys(ELEMENTWISE_LOSSES, 3), "poisson": 2}  # with the number of outputs


def make_y(loss, n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "cross_entropy": lambda: rng.integers(0, n, R),
        "squared_error": lambda: rng.standard_normal((n, R)),
        "poisson": lambda: rng.poisson(2, (n, R)).astype(float),
    }.get(loss, lambda: rng.random((n, R)))()


def examples(seed=1):
    return np.random.default_rng(seed).standard_normal((R, M)).T


def make(loss="cross_entropy", dtype=np.float64, n=None):
    return nnc.MLP([M, 9, n or LOSSES[loss]], "tanh", "xavier", dtype, seed=1, loss=loss)


# ---- every loss and optimizer, written out in NumPy ------------------------------------------------------------------

LOSS_AND_OUTPUT = {
    "cross_entropy": (ref.softmax_cross_entropy, ref.softmax, ref.softmax_cross_entropy_backward),
    **{name: (getattr(ref, name), output_of(name), getattr(ref, f"{name}_backward")) for name in ELEMENTWISE_LOSSES},
}


def gradient(W, b, loss, X, y, w):
    L, output, backward = LOSS_AND_OUTPUT[loss]
    A = ref.tanh(W[0] @ X + b[0])
    Z = W[1] @ A + b[1]
    dZ = backward(w / w.sum(), output(Z), y)
    dZ0 = ref.tanh_backward(W[1].T @ dZ, A)
    J = (w * L(Z, y)).sum() / w.sum()
    return J, [dZ0 @ X.T, dZ @ A.T, dZ0.sum(axis=1, keepdims=True), dZ.sum(axis=1, keepdims=True)]


def sgd(lr, momentum=0.0, nesterov=False):
    v = {}

    def step(i, p, g):
        v[i] = momentum * v.get(i, 0) + g
        p -= lr * (g + momentum * v[i] if nesterov else v[i])

    return step


def adam(lr, beta1=0.9, beta2=0.999, eps=1e-8, epsilon_hat=False):
    m, v, t = {}, {}, {}

    def step(i, p, g):
        t[i] = t.get(i, 0) + 1
        m[i] = beta1 * m.get(i, 0) + (1 - beta1) * g
        v[i] = beta2 * v.get(i, 0) + (1 - beta2) * g * g
        c1, c2 = 1 - beta1 ** t[i], 1 - beta2 ** t[i]
        if epsilon_hat:
            p -= lr * np.sqrt(c2) / c1 * m[i] / (np.sqrt(v[i]) + eps)
        else:
            p -= lr * (m[i] / c1) / (np.sqrt(v[i] / c2) + eps)

    return step


OPTIMIZERS = {
    "sgd": (lambda: nnc.optim.SGD(0.02), lambda: sgd(0.02)),
    "momentum": (lambda: nnc.optim.SGD(0.01, 0.9), lambda: sgd(0.01, 0.9)),
    "nesterov": (lambda: nnc.optim.SGD(0.01, 0.9, nesterov=True), lambda: sgd(0.01, 0.9, True)),
    "adam": (lambda: nnc.optim.Adam(0.01), lambda: adam(0.01)),
    "adam, other settings": (
        lambda: nnc.optim.Adam(0.01, 0.5, 0.9, 1e-2, epsilon_hat=True),
        lambda: adam(0.01, 0.5, 0.9, 1e-2, True),
    ),
}


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_hundred_steps_match_the_formulas(loss, optimizer, weighted, weight_decay):
    X, y, net = examples(), make_y(loss, LOSSES[loss]), make(loss)
    w = np.random.default_rng(2).random(R) + 0.1 if weighted else np.ones(R)
    W, b = [a.copy() for a in net.weights], [a.copy() for a in net.biases]
    mine, step = (f() for f in OPTIMIZERS[optimizer])
    history = []
    for _ in range(2):  # two fits: the optimizer keeps its state
        history += net.fit(X, y, epochs=17, batch_size=32, shuffle=False, optimizer=mine, weight_decay=weight_decay,
                           sample_weight=w if weighted else None, progress=False).loss  # fmt: skip
    expected = []
    for _ in range(34):
        expected.append(0)
        for batch in (slice(i, i + 32) for i in range(0, R, 32)):
            J, grads = gradient(W, b, loss, X[:, batch], y[..., batch], w[batch])
            expected[-1] += J / 3
            for i, (p, g) in enumerate(zip([*W, *b], grads, strict=True)):
                step(i, p, g + weight_decay * p * (i < 2))
    # 102 steps, each of which rounds sums of 32 terms of order 1
    for a, p in zip(arrays(net), [*W, *b], strict=True):
        np.testing.assert_allclose(a, p, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(history, expected, rtol=1e-11)
    assert mine.steps == 102 and mine.epochs == 34


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_pytorch_takes_the_same_steps(optimizer):
    torch = pytest.importorskip("torch")
    X, y, net = examples(), make_y("cross_entropy", 4), make()
    layers = [torch.nn.Linear(m, n, dtype=torch.float64) for m, n in pairwise(net.sizes)]
    for layer, W, b in zip(layers, net.weights, net.biases, strict=True):
        layer.weight.data, layer.bias.data = torch.tensor(W.copy()), torch.tensor(b[:, 0].copy())
    optimizer_of_torch = {
        "sgd": lambda groups: torch.optim.SGD(groups, 0.02),
        "momentum": lambda groups: torch.optim.SGD(groups, 0.01, 0.9),
        "nesterov": lambda groups: torch.optim.SGD(groups, 0.01, 0.9, nesterov=True),
        "adam": lambda groups: torch.optim.Adam(groups, 0.01),
    }[optimizer]([
        {"params": [layer.weight for layer in layers], "weight_decay": 0.1},
        {"params": [layer.bias for layer in layers]},
    ])
    model = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])
    for _ in range(34):
        for batch in (slice(i, i + 32) for i in range(0, R, 32)):
            optimizer_of_torch.zero_grad()
            torch.nn.functional.cross_entropy(model(torch.tensor(X.T[batch])), torch.tensor(y[batch])).backward()
            optimizer_of_torch.step()
    net.fit(X, y, 34, 32, shuffle=False, optimizer=OPTIMIZERS[optimizer][0](), weight_decay=0.1, progress=False)
    for layer, W, b in zip(layers, net.weights, net.biases, strict=True):
        np.testing.assert_allclose(W, layer.weight.detach().numpy(), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(b[:, 0], layer.bias.detach().numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("batch_size", [64, 150])
@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "adam, other settings"])
def test_the_weights_of_a_large_layer_are_updated_panel_by_panel(optimizer, batch_size):
    """Rows of W are updated as soon as their gradient is complete: in a larger batch, after its last chunk."""
    rng = np.random.default_rng(3)
    X, y = rng.random((784, 300)), rng.integers(0, 10, 300)
    net = nnc.MLP([784, 200, 10], "tanh", "xavier", np.float32, seed=1)
    W, b = [a.astype(float) for a in net.weights], [a.astype(float) for a in net.biases]
    mine, step = (f() for f in OPTIMIZERS[optimizer])
    net.fit(X, y, 1, batch_size, shuffle=False, optimizer=mine, progress=False)
    for batch in (slice(i, i + batch_size) for i in range(0, 300, batch_size)):
        _, grads = gradient(W, b, "cross_entropy", X[:, batch], y[batch], np.ones(len(y[batch])))
        for i, (p, g) in enumerate(zip([*W, *b], grads, strict=True)):
            step(i, p, g)
    for a, p in zip(arrays(net), [*W, *b], strict=True):  # below 1, after steps of about 1e-3
        np.testing.assert_allclose(a, p, rtol=0, atol=5e-7)


@pytest.mark.parametrize("batch_size", [1, 5, 96, 200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_any_number_of_threads_gives_the_same_bits(optimizer, dtype, batch_size):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 130)).T, rng.standard_normal((3, 300))
    before, nets = nnc.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            nnc.set_num_threads(threads)
            net = nnc.MLP([130, 67, 33, 3], seed=0, dtype=dtype, loss="squared_error")
            net.fit(X, y, 2, batch_size, seed=1, optimizer=OPTIMIZERS[optimizer][0](), weight_decay=0.01,
                    sample_weight=1 + np.arange(300) % 3, progress=False)  # fmt: skip
            nets.append(net)
    finally:
        nnc.set_num_threads(before)
    for net in nets[1:]:
        assert_equal(nets[0], net)
    assert np.isfinite(nets[0].weights[0]).all()


# ---- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_gradient(loss, weighted):
    X, y, net = examples(), make_y(loss, LOSSES[loss]), make(loss)
    w = np.random.default_rng(2).random(R) if weighted else None
    J, dW, db = net.loss_and_gradient(X, y, w)
    expected = gradient(net.weights, net.biases, loss, X, y, np.ones(R) if w is None else w)
    assert abs(J - expected[0]) < 1e-13 and abs(J - net.loss(X, y, w)) < 1e-13
    g = net.backward(net.forward(X), y, w)
    for in_c, exact, by_layers in zip([*dW, *db], expected[1], [*g.dW, *g.db], strict=True):
        np.testing.assert_allclose(in_c, exact, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(by_layers, exact, rtol=1e-12, atol=1e-14)


def test_loss_and_gradient_of_many_examples_changes_nothing():
    rng = np.random.default_rng(0)
    X, y, net = rng.integers(0, 255, (1000, M), dtype=np.uint8).T, rng.integers(0, 4, 1000), make(dtype=np.float32)
    before = copy.deepcopy(net)
    J, dW, _ = net.loss_and_gradient(X, y)
    assert_equal(net, before)
    assert dW[0].dtype == np.float32 and abs(J - net.loss(X, y)) < 1e-5 * J


# ---- settings and state ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_a_copied_optimizer_continues_like_the_original(name, how):
    X, y, net, optimizer = examples(), make_y("cross_entropy", 4), make(), OPTIMIZERS[name][0]()
    net.fit(X, y, 3, optimizer=optimizer, seed=0, progress=False)
    twin, copied = copy.deepcopy(net), how(optimizer)
    net.fit(X, y, 3, optimizer=optimizer, seed=1, progress=False)
    twin.fit(X, y, 3, optimizer=copied, seed=1, progress=False)
    assert_equal(net, twin)
    assert copied.steps == optimizer.steps == 12
    fresh = make()
    fresh.fit(X, y, 3, optimizer=OPTIMIZERS[name][0](), seed=0, progress=False)
    fresh.fit(X, y, 3, optimizer=OPTIMIZERS[name][0](), seed=1, progress=False)
    assert fresh.weights[0].tobytes() != net.weights[0].tobytes()


def test_the_state_for_another_net_is_an_error():
    optimizer = nnc.optim.Adam()
    make().fit(examples(), make_y("cross_entropy", 4), 1, optimizer=optimizer, progress=False)
    other = nnc.MLP([M, 5, 4], seed=0, dtype=np.float64)
    before = copy.deepcopy(other)
    with pytest.raises(ValueError, match="Adam: its state is of another net"):
        other.fit(examples(), make_y("cross_entropy", 4), 1, optimizer=optimizer, progress=False)
    assert_equal(other, before)
    with pytest.raises(ValueError, match="float32"):
        make(dtype=np.float32).fit(examples(), make_y("cross_entropy", 4), 1, optimizer=optimizer, progress=False)
    optimizer.reset()
    other.fit(examples(), make_y("cross_entropy", 4), 1, optimizer=optimizer, progress=False)


def test_a_learning_rate_schedule_continues_across_fits():
    X, y = examples(), make_y("cross_entropy", 4)
    a, b, c = make(), make(), make()
    epochs = []
    schedule = nnc.optim.SGD(lambda epoch: epochs.append(epoch) or 0.5 / (1 + epoch))
    a.fit(X, y, 2, optimizer=schedule, shuffle=False, progress=False)
    a.fit(X, y, 2, optimizer=schedule, shuffle=False, progress=False)
    for epoch in range(4):
        b.fit(X, y, 1, lr=0.5 / (1 + epoch), shuffle=False, progress=False)
    c.fit(X, y, 4, lr=lambda epoch: 0.5 / (1 + epoch), shuffle=False, progress=False)
    assert_equal(a, b)
    assert_equal(c, b)
    assert set(epochs) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nnc.optim.SGD(-1), "lr"),
        (lambda: nnc.optim.SGD(0.1, float("nan")), "momentum"),
        (lambda: nnc.optim.SGD(0.1, nesterov=True), "nesterov"),
        (lambda: nnc.optim.Adam(beta1=1), "beta1"),
        (lambda: nnc.optim.Adam(eps=-1), "eps"),
        (lambda: fit(optimizer=nnc.optim.Adam(), lr=0.5), "of the optimizer"),
        (lambda: fit(weight_decay=-1), "weight_decay"),
        (lambda: fit(sample_weight=np.ones(3)), r"sample_weight has shape \(3,\)"),
        (lambda: fit(sample_weight=np.full(R, -1.0)), r"sample_weight\[0\] is -1"),
        (lambda: fit(sample_weight=np.zeros(R)), "all of sample_weight is 0"),
        (lambda: fit(patience=3), "patience"),
        (lambda: fit(patience=0, validation=(examples(), make_y("cross_entropy", 4))), "patience"),
        (lambda: nnc.MLP([2, 1], loss="no such loss"), "loss 'no such loss' is unknown"),
        (lambda: make("binary_cross_entropy").fit(examples(), make_y("cross_entropy", 4)), "must be"),
        (lambda: make("binary_cross_entropy").fit(examples(), np.full((3, R), 2.0)), r"\[0, 0\] is 2.0"),
        (lambda: make("poisson").fit(examples(), np.full((2, R), -1.0)), r"\[0, 0\] is -1.0"),
        (lambda: make("squared_error").fit(examples(), np.full((3, R), np.nan)), r"\[0, 0\] is nan"),
        (lambda: make("squared_error").accuracy(examples(), make_y("squared_error", 3)), "no classes"),
    ],
)
def test_bad_settings_are_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def fit(**options):
    return make().fit(examples(), make_y("cross_entropy", 4), progress=False, **options)


def test_an_optimizer_is_one_of_nnc_optim():
    with pytest.raises(TypeError, match=r"nnc\.optim"):
        fit(optimizer="adam")


# ---- predictions, validation and files by loss -----------------------------------------------------------------------


def test_predictions_of_each_loss():
    X = examples()
    net = make("binary_cross_entropy")
    P = net.predict_proba(X)
    assert np.array_equal(net.predict(X), P > 0.5) and np.array_equal(P, net.forward(X).P)
    assert net.accuracy(X, (P > 0.5).astype(int)) == 1
    net = make("squared_error", n=1)
    assert net.predict(X).shape == (R,) and np.array_equal(net.predict(X), net.forward(X).Z[-1][0])
    net = make("poisson")
    np.testing.assert_allclose(net.predict(X), np.exp(net.forward(X).Z[-1]), rtol=1e-15)


def test_a_net_of_one_output_takes_a_one_dimensional_y():
    X, y = examples(), np.random.default_rng(0).standard_normal(R)
    a, b = make("squared_error", n=1), make("squared_error", n=1)
    a.fit(X, y, 2, seed=0, progress=False)
    b.fit(X, y.reshape(1, -1), 2, seed=0, progress=False)
    assert_equal(a, b)
    assert a.loss(X, y) == b.loss(X, y[None])


def test_validation_loss_patience_and_keep_best_without_classes():
    X, y = examples(), make_y("squared_error", 3)
    net = make("squared_error")
    losses = []
    history = net.fit(X, y, 40, lr=lambda epoch: 0.1 if epoch < 5 else 3.0, validation=(X, y), patience=4, seed=0,
                      keep_best=True, progress=False,
                      callback=lambda *_: losses.append(net.loss(X, y)))  # fmt: skip
    assert np.allclose(history.validation_loss, losses) and not history.accuracy
    best = int(np.argmin(history.validation_loss))
    assert len(history.loss) == best + 5 < 40
    assert net.loss(X, y) == pytest.approx(min(losses))


def test_sample_weights_count_as_repetitions():
    X, y = examples(), make_y("cross_entropy", 4)
    times = np.random.default_rng(0).integers(0, 3, R)
    a, b = make(), make()
    a.fit(X, y, 20, batch_size=R, sample_weight=times, shuffle=False, progress=False)
    b.fit(np.repeat(X, times, axis=1), np.repeat(y, times), 20, batch_size=10**6, shuffle=False, progress=False)
    for mine, other in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12)


def test_a_batch_without_weight_changes_nothing():
    X, y = examples(), make_y("cross_entropy", 4)
    w = np.ones(R)
    w[32:64] = 0
    a, b = make(), make()
    history = a.fit(X, y, 1, batch_size=32, sample_weight=w, shuffle=False, progress=False)
    b.fit(np.delete(X, range(32, 64), axis=1), np.delete(y, range(32, 64)), 1, batch_size=32, shuffle=False,
          progress=False)  # fmt: skip
    assert np.isfinite(history.loss).all()
    for mine, other in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-14)


def test_the_loss_is_stored_in_files_and_copies(tmp_path):
    net = make("poisson")
    net.save(tmp_path / "net.npz")
    for other in (nnc.MLP.load(tmp_path / "net.npz"), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert other.loss_name == "poisson"
        assert np.array_equal(other.predict(examples()), net.predict(examples()))
    assert "poisson" in repr(net) and "exp" in net._repr_html_()


# ---- out of core -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["u1", "f4"])
def test_a_memory_mapped_file_is_not_copied(tmp_path, kind):
    rng = np.random.default_rng(0)
    images = np.memmap(tmp_path / "X", kind, "w+", shape=(500, M))
    images[...] = rng.integers(0, 100, images.shape)
    a, b = make(dtype=np.float32), make(dtype=np.float32)
    y = rng.integers(0, 4, 500)
    a.fit(images.T, y, 2, seed=0, progress=False)
    b.fit(np.array(images).T, y, 2, seed=0, progress=False)
    assert_equal(a, b)
    columns = np.memmap(tmp_path / "C", kind, "w+", shape=(M, 500))
    columns[...] = images.T
    c = make(dtype=np.float32)
    c.fit(columns, y, 2, seed=0, progress=False)
    assert_equal(a, c)
