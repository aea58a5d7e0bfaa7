"""The thread pool seen from Python: the same bits for any number of threads, forks, concurrent callers."""

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from engine_rows import WITH_BACKWARD

import nnc
from nnc import _engine

rng = np.random.default_rng(0)
COUNTS = [1, 2, 3, 8]


@pytest.fixture(autouse=True)
def threads():
    """Two threads in each test, on any machine; afterwards the number from before."""
    before = nnc.get_num_threads()
    nnc.set_num_threads(2)
    yield
    nnc.set_num_threads(before)


def run(code, timeout=120, **environment):
    """Run code in a new process, without the warning against forks, which are tested here."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=timeout)


# ---- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("r", [1, 5, 8, 64, 130, 700])
def test_predictions_have_the_same_bits_for_any_number_of_threads(r):
    """Split by chunks of examples or by units of the layers, whichever gives every thread some work."""
    net = nnc.MLP([300, 257, 129, 10], "tanh", seed=0)
    X = rng.standard_normal((300, r)).astype(np.float32)
    seen = set()
    for count in COUNTS:
        nnc.set_num_threads(count)
        seen.add(net.predict_proba(X).tobytes())
    assert len(seen) == 1
    P = net.forward(X).P
    assert np.abs(net.predict_proba(X) - P).max() <= 600 * np.finfo(np.float32).eps


def operations(dtype):
    """Name -> function without arguments, on operands large enough to be split among threads."""
    A, B = rng.uniform(-1, 1, (301, 403)).astype(dtype), rng.uniform(-1, 1, (403, 257)).astype(dtype)
    Z, y = rng.uniform(-9, 9, (10, 40_000)).astype(dtype), rng.integers(0, 10, 40_000)
    flat, P = Z.ravel(), nnc.softmax(Z)
    b = rng.uniform(-1, 1, (301, 1)).astype(dtype)
    tall = rng.uniform(-1, 1, (701, 403)).astype(dtype)
    deep = rng.uniform(-1, 1, (2, 70, 5003)).astype(dtype)
    return {
        "matmul": lambda: nnc.matmul(A, B),
        "matmul of views": lambda: nnc.matmul(B.T[::-1], A.T),
        "matmul, deep": lambda: nnc.matmul(deep[0], deep[1].T),
        "matrix times vector": lambda: nnc.matmul(tall, B[:, 0]),
        "linear": lambda: nnc.linear(A, B, b),
        **{name: partial(getattr(nnc, name), flat) for name in WITH_BACKWARD},
        "tanh_backward": lambda: nnc.tanh_backward(flat, np.tanh(flat)),
        "softmax": lambda: nnc.softmax(Z),
        "softmax of rows": lambda: nnc.softmax(Z.T.copy(), axis=1),
        "log_softmax": lambda: nnc.log_softmax(Z),
        "softmax_backward": lambda: nnc.softmax_backward(Z, P),
        "softmax_cross_entropy": lambda: nnc.softmax_cross_entropy(Z, y),
        "cross_entropy_backward": lambda: nnc.cross_entropy_backward(1.0, P, y),
        "loss gradient": lambda: nnc.softmax_cross_entropy_backward(1 / 40_000, P, y),
        "loss gradient of rows": lambda: nnc.softmax_cross_entropy_backward(Z[0], P.T.copy().T, y),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", operations(np.float32))
def test_the_same_bits_for_any_number_of_threads(name, dtype):
    operation = operations(dtype)[name]
    nnc.set_num_threads(1)
    alone = operation()
    assert np.isfinite(alone).all()
    for count in COUNTS[1:]:
        nnc.set_num_threads(count)
        assert operation().tobytes() == alone.tobytes(), f"{count} threads give other bits"


def trained(dtype, activation, momentum):
    X = np.random.default_rng(1).integers(0, 256, (784, 600), dtype=np.uint8)
    y = np.random.default_rng(2).integers(0, 10, 600)
    net = nnc.MLP([784, 120, 50, 10], activation, dtype=dtype, seed=3, mean=33.0, std=78.0)
    history = net.fit(X, y, epochs=3, batch_size=64, lr=0.05, momentum=momentum, seed=4, progress=False)
    return [a.tobytes() for a in (*net.weights, *net.biases, net.predict_proba(X), np.array(history.loss))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [2_600, 40_003])
def test_the_gradient_of_many_examples(columns, dtype):
    """Every element is P - Y, whichever thread computes it, in whichever block of examples."""
    P, y = nnc.softmax(rng.uniform(-9, 9, (101, columns)).astype(dtype)), rng.integers(0, 101, columns)
    dL = rng.uniform(1, 2, columns).astype(dtype)
    expected = (P - np.eye(101, dtype=dtype)[:, y]) * dL
    for operand in (P, np.asfortranarray(P), np.repeat(P, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(nnc.softmax_cross_entropy_backward(dL, operand, y), expected)
    for wrong in (0, columns - 1):
        labels = y.copy()
        labels[wrong] = 101
        with pytest.raises(ValueError, match=f"softmax_cross_entropy_backward.*101.*{wrong}|{wrong}.*101"):
            nnc.softmax_cross_entropy_backward(dL, P, labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation, momentum", [("relu", 0.0), ("tanh", 0.9)])
def test_the_same_weights_for_any_number_of_threads(dtype, activation, momentum):
    nnc.set_num_threads(1)
    alone = trained(dtype, activation, momentum)
    for count in COUNTS[1:]:
        nnc.set_num_threads(count)
        assert trained(dtype, activation, momentum) == alone, f"{count} threads give other weights"


@pytest.mark.parametrize("batch", [1, 4, 8, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_batches_give_the_same_weights_for_any_number_of_threads(dtype, batch):
    """The same weights for any number of threads, whether the latency between cores (0: the measured one) makes them
    worthwhile or not; and 4 and 8 threads finish on two cores."""
    X = np.random.default_rng(1).random((96, 784), dtype)
    y, seen = np.arange(96) % 10, set()
    try:
        for nanoseconds in (1, 0, 10**9):
            _engine.set_core_to_core(nanoseconds)
            for count in (1, 2, 3, 4, 8):
                nnc.set_num_threads(count)
                net = nnc.MLP([784, 200, 10], dtype=dtype, seed=3)
                net.fit(X.T, y, epochs=1, batch_size=batch, seed=4, progress=False)
                seen.add(b"".join(a.tobytes() for a in (*net.weights, *net.biases)))
    finally:
        _engine.set_core_to_core(1)
    assert len(seen) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(784, 200, 10), (300, 130, 70, 3)])
def test_the_same_predictions_for_any_number_of_threads(dtype, sizes):
    """Split by units, by the examples of a chunk, and by chunks."""
    X, net = np.random.default_rng(1).random((sizes[0], 300), np.float32), nnc.MLP(sizes, dtype=dtype, seed=3)
    for count in (8, 9, 16, 17, 24, 25, 33, 48, 64, 100, 127, 128, 129, 257, 300):
        seen = set()
        for threads in (1, 2, 3, 8):
            nnc.set_num_threads(threads)
            P = net.predict_proba(X[:, :count])
            np.testing.assert_allclose(P, net.forward(X[:, :count].astype(dtype)).P, rtol=2e-5)
            seen.add(P.tobytes())
        assert len(seen) == 1, f"{count} examples"


def test_threads_that_would_slow_training_are_not_started():
    """A step of this size runs on one thread if the latency between cores is high, on two if it is low."""
    code = """if True:
        import numpy as np, os, nnc
        from nnc import _engine
        nnc.set_num_threads(2)
        X, y, net = np.zeros((784, 64), np.float32), np.arange(64) % 10, nnc.MLP([784, 200, 10], seed=0)
        for nanoseconds in (10**6, 50):
            before = len(os.listdir("/proc/self/task"))
            _engine.set_core_to_core(nanoseconds)
            net.fit(X, y, epochs=2, batch_size=8, progress=False)
            print(len(os.listdir("/proc/self/task")) - before)
        """
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("needs /proc to count threads")
    done = run(code)
    assert done.stdout.split() == ["0", "1"], done.stderr


# ---- floating-point errors on a thread reach its caller --------------------------------------------------------------


@pytest.mark.parametrize("where", [0, 250_000, 499_999])
def test_an_overflow_on_any_thread_is_reported_to_the_caller(where):
    x = np.zeros(500_000, np.float32)
    with np.errstate(all="raise"):
        _engine.exp(x)
    x[where] = 1e4
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        _engine.exp(x)
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert _engine.exp(x)[where] == np.inf


@pytest.mark.parametrize("row", [0, 299])
def test_an_overflow_in_a_product_is_reported_to_the_caller(row):
    A, B = np.ones((300, 300), np.float32), np.full((300, 300), 1e10, np.float32)
    with np.errstate(all="raise"):
        nnc.matmul(A, B)
    A[row] = 1e30
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        nnc.matmul(A, B)


# ---- several callers -------------------------------------------------------------------------------------------------


def test_concurrent_python_threads():
    A = rng.uniform(-1, 1, (400, 400)).astype(np.float32)
    right, weights = nnc.matmul(A, A).tobytes(), trained(np.float32, "relu", 0.0)
    barrier = threading.Barrier(4)

    def work(i):
        barrier.wait()
        wrong = 0
        for k in range(10):
            nnc.set_num_threads(1 + (i + k) % 4)
            wrong += nnc.matmul(A, A).tobytes() != right
        return wrong, trained(np.float32, "relu", 0.0) == weights

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [(0, True)] * 4


def test_training_finishes_while_all_cores_are_busy():
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        done = run(
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_threads import *\n"
            "for n in (2, 4): nnc.set_num_threads(n); trained(np.float32, 'relu', 0.9)",
            timeout=300,
        )
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert done.returncode == 0, done.stderr


# ---- forks -----------------------------------------------------------------------------------------------------------

FORK = """
import os, signal, threading
import numpy as np
import nnc
nnc.set_num_threads(2)
A = np.random.default_rng(0).uniform(-1, 1, (400, 400)).astype(np.float32)
right = nnc.matmul(A, A).tobytes()
stop = False
def inside():
    while not stop:
        nnc.matmul(A, A)
others = [threading.Thread(target=inside) for _ in range(OTHERS)]
for other in others:
    other.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        ok = all(nnc.matmul(A, A).tobytes() == right for _ in range(5)) and nnc.get_num_threads() == 2
        os._exit(0 if ok else 1)
    status = os.waitpid(child, 0)[1]
    assert status == 0, status
stop = True
for other in others:
    other.join()
assert nnc.matmul(A, A).tobytes() == right
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("others", [0, 2])
def test_the_child_of_a_fork_computes_the_same(others):
    done = run(FORK.replace("OTHERS", str(others)))
    assert done.stdout == "done\n", done.stderr


MULTIPROCESSING = """
import multiprocessing, numpy as np, nnc
A = np.random.default_rng(0).uniform(-1, 1, (400, 400))
def work(i):
    return nnc.matmul(A, A).tobytes()
if __name__ == "__main__":
    nnc.set_num_threads(2)
    right = work(0)
    with multiprocessing.get_context("METHOD").Pool(2) as pool:
        assert pool.map_async(work, range(8)).get(timeout=60) == [right] * 8
    print("done")
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(MULTIPROCESSING.replace("METHOD", method))
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "done\n", done.stderr


# ---- the number of threads (its other tests are in test_engine.py) ---------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_the_default_is_the_cores_that_this_process_may_use():
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}])\nimport nnc; print(nnc.get_num_threads())"
    done = run(code, NNC_NUM_THREADS="")
    assert done.stdout == "1\n", done.stderr
