"""Ctrl-C during an epoch stops training soon, and never in the middle of a step."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import nnc

EXAMPLES = 3_000_000  # an epoch takes many seconds


def problem(batch_size):
    """The net of the notes and a large X in little memory: example i starts at byte i of one buffer.

    The labels are the same in each batch, so that the test below can take the steps one by one within one fit.
    """
    rng = np.random.default_rng(0)
    buffer = rng.integers(0, 256, EXAMPLES + 784).astype(np.uint8)
    X = np.lib.stride_tricks.as_strided(buffer, (784, EXAMPLES), (1, 1), writeable=False)
    y = np.resize(rng.integers(0, 10, batch_size), EXAMPLES)
    return nnc.MLP([784, 200, 10], seed=0, mean=128, std=74), X, y


def keywords(momentum):
    """Arguments of fit; a momentum of 2 means Adam."""
    optimizer = nnc.optim.Adam(0.001) if momentum == 2 else nnc.optim.SGD(0.01, momentum)
    return {"shuffle": False, "progress": False, "optimizer": optimizer}


def child(path, wait, batch_size, momentum):
    """Train, get a signal `wait` seconds after the first step, save the weights in `path`, print the latency."""
    net, X, y = problem(int(batch_size))
    start, sent, options = net.weights[1].copy(), [], keywords(float(momentum))

    def interrupt():
        while np.array_equal(net.weights[1], start):
            time.sleep(0.001)
        time.sleep(float(wait))
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        net.fit(X, y, 1, int(batch_size), **options)
    except KeyboardInterrupt:
        print(time.perf_counter() - sent[0])
        net.save(path)
        optimizer = options["optimizer"]
        np.savez(f"{path}.state.npz", *sum(optimizer.state.values(), []), steps=optimizer.steps)


def latency_of_interrupt(path, wait, batch_size=64, momentum=0.0, threads=1):
    arguments = [str(path), str(wait), str(batch_size), str(momentum)]
    run = subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True, text=True, timeout=60, env=os.environ | {"NNC_NUM_THREADS": str(threads)},
    )  # fmt: skip
    assert run.returncode == 0 and run.stdout, run.stderr or "training ended before the signal"
    return float(run.stdout)


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_stops_training_within_a_tenth_of_a_second(tmp_path, threads):
    # The best of three, as other processes may keep this one waiting.
    times = [latency_of_interrupt(tmp_path / "m", 0.2 + 0.013 * i, threads=threads) for i in range(3)]
    assert min(times) < 0.1


@pytest.mark.parametrize("batch_size, momentum", [(64, 0.0), (64, 0.9), (1000, 0.0), (64, 2.0)])
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_leaves_the_weights_of_a_whole_step(tmp_path, threads, batch_size, momentum):
    latency_of_interrupt(tmp_path / "m", 0.1, batch_size, momentum, threads)
    left = nnc.MLP.load(tmp_path / "m")
    # The same training without the signal, one epoch for each step: X is the step's batch, which the callback replaces.
    # It ends where the weights are equal, bit for bit.
    net, X, y = problem(batch_size)
    batch = X[:, :batch_size].copy(order="F")
    options, found = keywords(momentum), []

    def callback(epoch, history):
        batch[...] = X[:, batch_size * (epoch + 1) : batch_size * (epoch + 2)]
        pairs = zip(net.weights + net.biases, left.weights + left.biases, strict=True)
        if all(np.array_equal(a, b) for a, b in pairs):
            found.append(epoch)
            return True

    net.fit(batch, y[:batch_size], 20_000, batch_size, callback=callback, **options)
    assert found, "these are not the weights after any step"
    with np.load(tmp_path / "m.state.npz") as state:  # and the optimizer's state is of the same step
        assert state["steps"] == options["optimizer"].steps
        for i, array in enumerate(sum(options["optimizer"].state.values(), [])):
            assert np.array_equal(state[f"arr_{i}"], array)


def test_ctrl_c_may_come_at_any_point_of_the_loop(tmp_path):
    """With many short epochs; the net can be trained afterwards."""
    code = """
import os, signal, threading, numpy as np, nnc
net = nnc.MLP([2, 4, 2], seed=0)
X, y = np.ones((2, 8)), np.zeros(8, int)
for _ in range(20):
    try:
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
        net.fit(X, y, epochs=10**9, progress=False)
    except KeyboardInterrupt:
        pass
history = net.fit(X, y, epochs=2, progress=False)
print(len(history.loss), np.isfinite(net.weights[0]).all())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "2 True\n", run.stderr


if __name__ == "__main__":
    child(*sys.argv[1:])
