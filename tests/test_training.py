"""Around the epochs of MLP.fit: history, validation, the callback, the best epoch, threads, bad options."""

import os
import signal
import sys
import threading
import warnings

import nets
import numpy as np
import pytest
from nets import M, N, arrays, assert_equal, examples, train

import nnc
from nnc import reference as ref

# ---- between two epochs ----------------------------------------------------------------------------------------------


def test_history():
    X, y = examples(100)
    X_val, y_val = examples(37, seed=8)
    net = nnc.MLP([M, 9, N], seed=1)
    seen = []

    def callback(epoch, history):
        assert history.accuracy[-1] == net.accuracy(X_val, y_val)
        seen.append((epoch, len(history.loss), len(history.accuracy), len(history.seconds)))

    history = train(net, X, y, epochs=5, validation=(X_val, y_val), callback=callback)
    assert seen == [(i, i + 1, i + 1, i + 1) for i in range(5)]
    assert all(type(x) is float for x in history.loss + history.accuracy + history.seconds)
    assert all(s > 0 for s in history.seconds)
    assert repr(history).startswith("History(5 epochs, loss ") and "in epoch" in repr(history)


def test_training_without_a_callback_is_the_same():
    X, y = examples(100)
    nets = [nnc.MLP([M, 9, N], seed=1) for _ in range(2)]
    unwatched = train(nets[0], X, y, epochs=150)  # more than the engine runs in one go
    watched = train(nets[1], X, y, epochs=150, callback=lambda epoch, history: None)
    assert unwatched.loss == watched.loss and len(unwatched.seconds) == 150
    for a, b in zip(arrays(nets[0]), arrays(nets[1]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("targets", [False, True])
def test_validation_takes_what_fit_takes(targets):
    X, y = examples(60)
    images = (X * 30 + 128).clip(0, 255).astype(np.uint8)
    net = nnc.MLP([M, 9, N], mean=128, std=30, seed=0)
    history = train(net, images, y, epochs=1, validation=(images, ref.one_hot(y, N) if targets else y))
    assert history.accuracy == [net.accuracy(images, y)]


def test_without_validation_there_is_no_accuracy():
    X, y = examples(30)
    history = train(nnc.MLP([M, N]), X, y, epochs=3)
    assert history.accuracy == [] and len(history.loss) == 3
    assert repr(history).startswith("History(3 epochs, loss ") and "accuracy" not in repr(history)


def test_no_epochs():
    X, y = examples(30)
    net, same = nnc.MLP([M, N], seed=0), nnc.MLP([M, N], seed=0)
    history = train(net, X, y, epochs=0, validation=(X, y), keep_best=True)
    assert history.loss == [] and repr(history) == "History(0 epochs, 0 s)"
    assert_equal(net, same)


@pytest.mark.parametrize("value, epochs", [(True, 2), (np.True_, 2), (None, 4), (1, 4), ("stop", 4), (False, 4)])
def test_only_true_stops(value, epochs):
    X, y = examples(30)
    history = train(nnc.MLP([M, N]), X, y, epochs=4, callback=lambda epoch, _: value if epoch == 1 else None)
    assert len(history.loss) == epochs


def test_an_error_in_the_callback_is_raised_by_fit():
    X, y = examples(30)
    net = nnc.MLP([M, N], seed=0)
    with pytest.raises(ZeroDivisionError):
        train(net, X, y, callback=lambda epoch, history: 1 / 0)
    train(net, X, y)  # and the net can be trained again


def train_and_record(net, X, y, validation, **options):
    """(the weights and biases after each epoch, the history)"""
    after = []

    def callback(epoch, history):
        after.append([array.copy() for array in arrays(net)])

    return after, train(net, X, y, validation=validation, callback=callback, **options)


def test_keep_best_is_the_first_epoch_of_the_highest_accuracy():
    X, y = examples(60)
    validation = examples(10, seed=3)  # few, so that accuracies repeat
    net = nnc.MLP([M, 9, N], seed=3)
    after, history = train_and_record(net, X, y, validation, epochs=30, lr=1.0, keep_best=True)
    best = int(np.argmax(history.accuracy))
    assert history.accuracy.count(max(history.accuracy)) > 1 and best < 29  # a tie before the end
    for mine, right in zip(arrays(net), after[best], strict=True):
        assert np.array_equal(mine, right)
    assert net.accuracy(*validation) == max(history.accuracy)
    other = nnc.MLP([M, 9, N], seed=3)  # without keep_best: the weights of the last epoch
    after, _ = train_and_record(other, X, y, validation, epochs=30, lr=1.0)
    for mine, right in zip(arrays(other), after[-1], strict=True):
        assert np.array_equal(mine, right)


@pytest.mark.parametrize("how", ["stopped", "interrupted"])
def test_keep_best_of_a_training_that_ends_early(how):
    X, y = examples(60)
    validation = examples(10, seed=3)
    net = nnc.MLP([M, 9, N], seed=3)
    kept, accuracies = [], []

    def callback(epoch, history):
        kept.append([a.copy() for a in arrays(net)])
        accuracies.append(history.accuracy[-1])
        if epoch == 12:
            if how == "interrupted":
                raise KeyboardInterrupt
            return True

    try:
        train(net, X, y, epochs=30, lr=1.0, validation=validation, callback=callback, keep_best=True)
    except KeyboardInterrupt:
        assert how == "interrupted"
    assert len(accuracies) == 13 and int(np.argmax(accuracies)) < 12
    for mine, right in zip(arrays(net), kept[int(np.argmax(accuracies))], strict=True):
        assert np.array_equal(mine, right)


def test_a_callback_may_write_into_the_weights():
    X, y = examples(30)
    net = nnc.MLP([M, 9, N], seed=0, dtype=np.float64)
    W, b = nets.parameters(net)
    train(net, X, y, epochs=2, callback=lambda epoch, history: net.weights[0].__imul__(0.5))
    for _ in range(2):
        nets.fit(W, b, net.activations, X, y, 1, 16, 0.1)
        W[0] *= 0.5
    assert np.allclose(net.weights[0], W[0], rtol=1e-12) and np.allclose(net.weights[1], W[1], rtol=1e-12)


def test_a_callback_may_not_replace_the_weights():
    X, y = examples(30)
    net = nnc.MLP([M, 9, N], seed=0)
    with pytest.raises(ValueError, match=r"callback replaced an array.*net.weights\[0\]\[\.\.\.\] = W"):
        train(net, X, y, callback=lambda epoch, history: net.weights.__setitem__(0, net.weights[0].copy()))


def test_a_callback_may_train_a_little_more():
    X, y = examples(30)
    net = nnc.MLP([M, 9, N], seed=0)
    history = train(net, X, y, epochs=2, callback=lambda epoch, history: train(net, X, y, epochs=1) and None)
    assert len(history.loss) == 2


def test_a_training_that_diverges_warns_and_returns():
    X, y = examples(60)
    net = nnc.MLP([M, 9, N], seed=0)
    with pytest.warns(RuntimeWarning, match="the loss of epoch .* too large") as caught:
        history = train(net, X * 1e10, y, epochs=5, lr=1e10, validation=(X, y), keep_best=True)
    assert len(history.loss) == 5 and not np.isfinite(history.loss[-1])
    assert len(caught) == 1 and caught[0].filename == nets.__file__  # one, located at the caller of fit
    net.weights[0][...] = np.nan
    with pytest.warns(RuntimeWarning, match="epoch 1 is nan"):
        assert np.isnan(train(net, X, y).loss[-1])


def test_an_x_that_is_not_finite_is_named():
    X, y = examples(30)
    X[3, 7] = np.nan
    with pytest.warns(RuntimeWarning, match=r"epoch 1 is nan: X\[3, 7\] is nan"):
        train(nnc.MLP([M, N], seed=0), X, y)


def test_a_training_that_converges_does_not_warn():
    X, y = examples(30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(nnc.MLP([M, N], seed=0), X, y)


def test_a_training_learns():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    X = np.stack([np.cos(3 * rng.random(400)) * (1 - 2 * y), rng.random(400) - y]) + 0.1 * rng.standard_normal((2, 400))
    net = nnc.MLP([2, 16, 2], seed=0)
    history = net.fit(X, y, epochs=60, lr=0.3, momentum=0.5, progress=False)
    assert net.accuracy(X, y) > 0.9 and history.loss[-1] < history.loss[0] / 2


# ---- progress, threads -----------------------------------------------------------------------------------------------


def test_progress_bar(capsys):
    X, y = examples(30)
    net = nnc.MLP([M, N])
    train(net, X, y, epochs=3, progress=True, validation=(X, y))
    shown = capsys.readouterr()
    assert "3/3" in shown.err and "accuracy" in shown.err and shown.out == ""
    train(net, X, y, progress=False)
    shown = capsys.readouterr()
    assert shown.out == shown.err == ""


def test_without_progress_tqdm_is_not_imported(monkeypatch):
    X, y = examples(30)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    train(nnc.MLP([M, N]), X, y, progress=False)
    with pytest.raises(ImportError):
        train(nnc.MLP([M, N]), X, y, progress=True)


def test_two_threads_on_one_net_wait_for_each_other():
    X, y = examples(2000)
    net, right = nnc.MLP([M, 50, N], seed=0), nnc.MLP([M, 50, N], seed=0)
    threads = [threading.Thread(target=lambda: train(net, X, y, epochs=5)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in threads:
        train(right, X, y, epochs=5)
    assert_equal(net, right)


def test_two_threads_on_two_nets_do_not_disturb_each_other():
    X, y = examples(2000, 100)
    nets_, right = [nnc.MLP([100, 50, N], seed=0) for _ in range(3)], nnc.MLP([100, 50, N], seed=0)
    threads = [threading.Thread(target=lambda net=net: train(net, X, y, epochs=5)) for net in nets_]
    for thread in threads:
        thread.start()
    train(right, X, y, epochs=5)
    for thread, net in zip(threads, nets_, strict=True):
        thread.join()
        assert_equal(net, right)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_can_train_a_net_that_a_thread_of_its_parent_was_training():
    X, y = examples(2000, 100)
    net = nnc.MLP([100, 50, N], seed=0)
    training, stop = threading.Event(), threading.Event()

    def callback(epoch, history):
        training.set()
        return stop.is_set()

    thread = threading.Thread(target=lambda: train(net, X, y, epochs=10**9, callback=callback))
    thread.start()
    training.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # instead of waiting for a thread that is not there
        try:
            os._exit(0 if train(net, X, y).loss else 1)
        finally:
            os._exit(1)
    stop.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_other_threads_run_during_an_epoch():
    net = nnc.MLP([784, 200, 10], seed=0)
    X, y = np.zeros((20000, 784), np.uint8).T, np.zeros(20000, np.intp)
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.002):
            ticks.append(0)

    thread = threading.Thread(target=tick)
    thread.start()
    train(net, X, y, epochs=1, batch_size=64)
    during = len(ticks)
    done.set()
    thread.join()
    assert during >= 3  # an epoch of some 30 ms or more; with the GIL held there would be none


def test_a_net_may_lose_its_arrays_while_it_trains():
    X, y = examples(500, 100)

    def work():
        net = nnc.MLP([100, 50, N], seed=0)
        train(net, X, y, epochs=3, callback=lambda epoch, history: net.weights.clear())

    with pytest.raises(ValueError, match="callback replaced"):
        work()


# ---- options that are errors, before any training --------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, match, options",
    [
        (TypeError, "epochs must be a whole number, not 2.5", dict(epochs=2.5)),
        (ValueError, "epochs must be at least 0, not -1", dict(epochs=-1)),
        (ValueError, "batch_size must be at least 1, not 0", dict(batch_size=0)),
        (TypeError, "batch_size must be a whole number", dict(batch_size="64")),
        (ValueError, "lr must be a finite number from 0 up, not nan", dict(lr=np.nan)),
        (ValueError, "lr must be a finite number from 0 up, not -0.1", dict(lr=-0.1)),
        (ValueError, "momentum must be a finite number from 0 up, not inf", dict(momentum=np.inf)),
        (ValueError, r"keep_best .* needs validation=\(X, y\)", dict(keep_best=True)),
        (ValueError, r"validation must be a pair \(X, y\)", dict(validation=np.ones(3))),
        (ValueError, r"validation X is \(5, 7\).* Did you mean valid", dict(validation=(np.ones((5, 7)), [0]))),
        (ValueError, "validation X is .* no example", dict(validation=(np.ones((7, 0)), []))),
        (ValueError, r", validation: y\[1\]", dict(validation=(np.ones((7, 2)), [0, 4]))),
    ],
)
def test_wrong_options_are_errors(error, match, options):
    X, y = examples(30)
    net, same = nnc.MLP([M, N], seed=0), nnc.MLP([M, N], seed=0)
    with pytest.raises(error, match="fit.*" + match):
        train(net, X, y, **options)
    assert_equal(net, same)
    for n in (net, same):  # the generator has not advanced either
        train(n, X, y, shuffle=True)
    assert_equal(net, same)
