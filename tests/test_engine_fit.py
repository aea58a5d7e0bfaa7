"""nnc._engine.Fit and predict, below nnc.MLP: their arguments, references and errors, and how an epoch is stopped."""

import gc
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from fits import fit, network

from nnc import _engine as engine


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_fit_changes_the_given_arrays(dtype):
    net = network(dtype, r=64)
    before = [W.copy() for W in net["weights"]]
    y = np.arange(64) % 3
    one_hot = np.eye(3, dtype=dtype)[:, y]
    with_labels = fit(dtype, r=64, **net)
    losses = [loss for loss, _ in with_labels.epochs(60)]
    assert losses[-1] < losses[0]
    assert all((a != b).any() for a, b in zip(before, net["weights"], strict=True))
    again = network(dtype, r=64)
    with_targets = fit(dtype, **again, y=one_hot)
    np.testing.assert_allclose([with_targets.epochs(1)[0][0] for _ in range(60)], losses, rtol=1e-4)
    P = engine.predict(**net)
    assert P.dtype == dtype and P.flags.c_contiguous
    np.testing.assert_allclose(P.sum(0), 1, rtol=8 * np.finfo(dtype).eps)


def test_predict_takes_x_in_any_layout():
    base = network("f4", r=30)
    images = np.random.default_rng(1).integers(0, 256, (30, 4), dtype="u1")
    wide = np.zeros((30, 9), "u1")
    wide[:, 1:9:2] = images
    forms = [images.T, images.T.copy(), wide[:, 1:9:2].T, images[::-1].copy()[::-1].T, images.T.astype("f4"),
             images.T.astype("f8")]  # fmt: skip
    results = [engine.predict(**base | {"X": X}) for X in forms]
    for P in results[1:]:
        np.testing.assert_allclose(P, results[0], rtol=1e-5, atol=1e-7)


def read_only(array):
    array.flags.writeable = False
    return array


BAD_FIT = [
    ({"weights": []}, ValueError, "biases"),
    ({"weights": None}, TypeError, None),
    ({"biases": [np.ones((5, 1), "f4"), np.ones((3, 1))]}, TypeError, r"biases\[1\] must be.*float32"),
    ({"weights": [np.ones((5, 4)), np.ones((3, 5), "f4")]}, TypeError, r"biases\[0\] must be.*float64"),
    ({"weights": [np.ones((4, 5), "f4").T, np.ones((3, 5), "f4")]}, TypeError, r"weights\[0\] must be"),
    ({"weights": [np.ones((5, 4), "f4"), np.ones((3, 6), "f4")]}, ValueError, r"weights\[1\] is \(3, 6\).*\(5, 4\)"),
    ({"weights": [np.ones((5, 4), "f4"), [[1.0]]]}, TypeError, r"weights\[1\] must be"),
    ({"weights": [np.ones((5, 4), "i4"), np.ones((3, 5), "i4")]}, TypeError, r"weights\[0\]"),
    ({"weights": [read_only(np.ones((5, 4), "f4")), np.ones((3, 5), "f4")]}, TypeError, "writeable"),
    ({"biases": [np.ones((5, 1), "f4"), np.ones((3,), "f4")]}, TypeError, r"biases\[1\]"),
    ({"biases": [np.ones((5, 1), "f4"), np.ones((4, 1), "f4")]}, ValueError, r"biases\[1\] is \(4, 1\).*\(3, 5\)"),
    ({"activations": ()}, ValueError, "activation"),
    ({"activations": ("no such function",)}, ValueError, "no such function"),
    ({"activations": (1,)}, ValueError, "there is no activation 1"),
    ({"mean": np.zeros(3, "f4")}, ValueError, "mean must be"),
    ({"std": np.zeros(1, "f8")}, ValueError, "std must be.*float32"),
    ({"X": np.zeros((3, 8), "f4")}, ValueError, r"X must be an array of shape \(4, r\)"),
    ({"X": np.zeros(4, "f4")}, ValueError, "X must be"),
    ({"X": np.zeros((4, 8), "i4")}, TypeError, "X must be an aligned"),
    ({"X": np.zeros((4, 8), ">f4")}, TypeError, "X must be an aligned"),
    ({"X": [[1.0]]}, ValueError, "X must be"),
    ({"y": np.zeros(7, int)}, ValueError, r"shape \(8,\)"),
    ({"y": np.zeros(8, "i2")}, ValueError, "intp"),
    ({"y": np.zeros((3, 8), "f8")}, ValueError, "network's dtype"),
    ({"y": np.full(8, 3)}, ValueError, "Fit: "),
    ({"y": np.full(8, -1)}, ValueError, "Fit: "),
    ({"batch_size": 0}, ValueError, "Fit: "),
    ({"batch_size": "4"}, TypeError, None),
    ({"seed": -1}, OverflowError, None),
    ({"seed": 1.5}, TypeError, None),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD_FIT)
def test_wrong_arguments_of_fit_are_errors(changes, error, message):
    with pytest.raises(error, match=message):
        fit(**changes)


@pytest.mark.parametrize(("changes", "error", "message"), [bad for bad in BAD_FIT if bad[0].keys() <= network().keys()])
def test_wrong_arguments_of_predict_are_errors(changes, error, message):
    if message == "writeable":  # predict only reads them
        engine.predict(**network() | changes)
    else:
        with pytest.raises(error, match=message):
            engine.predict(**network() | changes)


def test_many_epochs_in_one_call_are_the_same_as_one_by_one():
    together, apart = network(r=64), network(r=64)
    one_call, many_calls = (fit(r=64, shuffle=True, **net) for net in (together, apart))
    epochs = one_call.epochs(1000)
    assert len(epochs) == 64 and all(seconds > 0 for _, seconds in epochs)
    assert [loss for loss, _ in epochs] == [many_calls.epochs(1)[0][0] for _ in range(64)]
    for a, b in zip(together["weights"] + together["biases"], apart["weights"] + apart["biases"], strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(one_call.epochs(3)) == 3
    for count, error in ((0, ValueError), (-1, ValueError), (2.5, TypeError), (2**64, OverflowError)):
        with pytest.raises(error):
            one_call.epochs(count)


def test_training_stops_after_an_epoch_whose_loss_is_not_finite():
    losses = [loss for loss, _ in fit(r=64, lr=1e20).epochs(64)]
    assert len(losses) < 64 and np.isfinite(losses[:-1]).all() and not np.isfinite(losses[-1])


def test_fit_keeps_its_arrays_alive_and_frees_them():
    class Array(np.ndarray):
        pass

    arrays = network()
    for name in "mean", "std", "X":
        arrays[name] = arrays[name].view(Array)
    arrays["weights"] = [W.view(Array) for W in arrays["weights"]]
    alive = [weakref.ref(a) for a in (arrays["mean"], arrays["std"], arrays["X"], *arrays["weights"])]
    running = fit(**arrays)
    arrays.clear()
    gc.collect()
    assert all(a() is not None for a in alive)
    assert np.isfinite(running.epochs(1)).all()
    alive[2]().fit = running  # a reference cycle: the array, its __dict__, the fit
    del running
    gc.collect()
    assert all(a() is None for a in alive)


def test_fit_cannot_be_created_empty():
    for make in (lambda: engine.Fit(), lambda: engine.Fit.__new__(engine.Fit), lambda: object.__new__(engine.Fit)):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(TypeError):
        type("Sub", (engine.Fit,), {})


def slow_fit():
    """A fit with epochs of a second or more, and the number of epochs for one call."""
    r = 40_000
    X = np.random.default_rng(0).integers(0, 256, (784, 256), dtype="u1")
    X = np.repeat(X, 1 + r // 256, axis=1)[:, :r]
    return fit(sizes=(784, 400, 200, 10), r=r, X=X, activations=("relu", "relu"), batch_size=64, lr=1e-6), 1


def many_fast_epochs():
    """An epoch takes less than the time between two checks for signals, all of them much more."""
    r = 300_000
    return fit(sizes=(2, 16, 2), r=r, X=np.zeros((2, r), "f4"), batch_size=32), 64


def test_a_fit_runs_once_at_a_time_and_without_the_gil():
    running, _ = slow_fit()
    seconds = []

    def epoch():
        start = time.perf_counter()
        running.epochs(1)
        seconds.append(time.perf_counter() - start)

    thread = threading.Thread(target=epoch)
    thread.start()
    refused = attempts = 0
    while thread.is_alive():
        attempts += 1
        try:
            running.epochs(1)
        except RuntimeError as error:
            assert "running already" in str(error)
            refused += 1
        time.sleep(0.001)
    thread.join()
    assert refused > 10, (refused, attempts, seconds)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
@pytest.mark.parametrize("running", [slow_fit, many_fast_epochs])
def test_ctrl_c_stops_an_epoch(running):
    running, count = running()
    nested = []

    def handler(*_):
        try:
            running.epochs(1)
        except RuntimeError as error:
            nested.append(str(error))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            for _ in range(100):
                running.epochs(count)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert nested and "running already" in nested[0]
    signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        # training continues afterwards, and a signal handler that does not raise does not stop it
        assert np.isfinite(running.epochs(count)).all()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
