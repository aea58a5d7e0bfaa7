"""Many threads that call everything at once: each result has the same bits as when it is computed alone.

The engine releases the GIL. One call at a time has the thread pool; the others run on their own thread alone.
`make tsan` runs this file on an engine with ThreadSanitizer.
"""

import functools
import importlib.util
import subprocess
import sys
import threading

import numpy as np
import pytest
from engine_rows import WITH_BACKWARD

import nnc
from nnc import _engine

THREADS, ROUNDS = 8, 3


def primitives(dtype):
    """Calls of every primitive, on operands large enough for all of the engine's threads."""
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((300, 300)).astype(dtype), rng.standard_normal((300, 500)).astype(dtype)
    b, y = rng.standard_normal((300, 1)).astype(dtype), rng.integers(0, 300, 500)
    Z, P = rng.standard_normal((300, 500)).astype(dtype), nnc.softmax(B)
    yield "matmul", lambda: nnc.matmul(A, B)
    yield "matmul of views", lambda: nnc.matmul(A.T[::2], B[:, ::-1])
    yield "linear", lambda: nnc.linear(A, B, b)
    yield "linear_backward", lambda: nnc.linear_backward(Z, A, B)
    yield "add_bias", lambda: nnc.add_bias(Z, b)
    yield "add_bias_backward", lambda: nnc.add_bias_backward(Z)
    for name in (*WITH_BACKWARD, "softmax", "log_softmax"):
        yield name, functools.partial(getattr(nnc, name), Z)
    for name in (*(f"{name}_backward" for name in WITH_BACKWARD), "softmax_backward"):
        yield name, functools.partial(getattr(nnc, name), Z, P)
    yield "softmax of rows", lambda: nnc.softmax(Z, axis=1)
    yield "cross_entropy", lambda: nnc.cross_entropy(P, y)
    yield "softmax_cross_entropy", lambda: nnc.softmax_cross_entropy(Z, y)
    yield "softmax_cross_entropy_backward", lambda: nnc.softmax_cross_entropy_backward(1 / 500, P, y)
    yield "predict and accuracy", lambda: (nnc.predict(P), nnc.accuracy(P, y))
    yield "bad shapes", lambda: error_message(lambda: nnc.matmul(A, B.T))
    yield "a bad label", lambda: error_message(lambda: nnc.cross_entropy(P, y + 300))
    yield "a Node", lambda: graph(A, B, b, y)
    yield "value_and_grad", lambda: nnc.value_and_grad(lambda W: nnc.relu(W @ B).mean())(A)


def error_message(call):
    with pytest.raises(ValueError) as info:
        call()
    return str(info.value)


def graph(A, B, b, y):
    W, c = nnc.Node(A, name="W"), nnc.Node(b, name="b")
    Z = nnc.linear(W, B, c)
    J = nnc.softmax_cross_entropy(nnc.tanh(Z), y).mean()
    J.backward()
    return J.value, W.grad, c.grad, Z.grad


def nets(dtype):
    (X, y), _ = nnc.data.digits()
    X, y = X[:600].T, y[:600]
    shared = nnc.MLP([784, 40, 10], dtype=dtype, seed=3, mean=33.0, std=78.0)

    def trained():
        net = nnc.MLP([784, 40, 10], dtype=dtype, seed=1, mean=33.0, std=78.0)
        history = net.fit(X, y, epochs=2, momentum=0.5, progress=False)
        return [history.loss, *net.weights, *net.biases]

    yield "fit", trained
    yield "predict_proba", lambda: shared.predict_proba(X)
    yield "forward and backward", lambda: shared.backward(shared.forward(X), y).dW
    yield "loss", lambda: shared.loss(X, y)


def as_bytes(result):
    if isinstance(result, (list, tuple)):
        return [as_bytes(part) for part in result]
    return result if isinstance(result, str) else np.asarray(result).tobytes()


def run_in_threads(work, threads=THREADS):
    """Run work(i) in this many threads that start at once, and raise what one of them raised."""
    barrier, errors = threading.Barrier(threads), []

    def run(i):
        try:
            barrier.wait()
            work(i)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    running = [threading.Thread(target=run, args=(i,)) for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture(autouse=True)
def four_engine_threads():
    before, interval = nnc.get_num_threads(), sys.getswitchinterval()
    nnc.set_num_threads(4)
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)
    nnc.set_num_threads(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("calls", [primitives, nets])
def test_everything_at_once(calls, dtype):
    all_calls = list(calls(dtype))
    alone = {name: as_bytes(call()) for name, call in all_calls}

    def work(i):
        order = np.random.default_rng(i)
        for _ in range(ROUNDS):
            for k in order.permutation(len(all_calls)):
                name, call = all_calls[k]
                assert as_bytes(call()) == alone[name], name

    run_in_threads(work)


def test_graphs_that_share_leaves():
    """Traversals of several threads visit the same nodes; the gradients of each thread's own nodes are right."""
    rng = np.random.default_rng(0)
    W = [nnc.Node(rng.standard_normal((5, 5)), name=f"W{i}") for i in range(30)]
    x = [rng.standard_normal((5, 1)) for _ in range(THREADS)]

    def chain(i):
        nodes = [nnc.Node(x[i])]
        for w in W:
            nodes.append(np.tanh(w @ nodes[-1]) + nodes[-1])
        nodes[-1].sum().backward()
        return [node.grad for node in nodes]

    alone = [as_bytes(chain(i)) for i in range(THREADS)]

    def work(i):
        for _ in range(20):
            assert as_bytes(chain(i)) == alone[i]

    run_in_threads(work)


def test_settings_change_while_others_work():
    A, B = (np.random.default_rng(i).standard_normal((300, 300)) for i in (0, 1))
    alone = as_bytes(nnc.matmul(A, B))

    def work(i):
        for n in range(30):
            if i == 0:
                nnc.set_num_threads(1 + n % 4)
                assert 1 <= nnc.get_num_threads() <= 4 and nnc.cpu_info()["isa"]
            else:
                assert as_bytes(nnc.matmul(A, B)) == alone

    run_in_threads(work)


def test_concurrent_training_of_one_net_waits_or_is_an_error():
    (X, y), _ = nnc.data.digits()
    net = nnc.MLP([784, 20, 10], seed=0, mean=33.0, std=78.0)
    run_in_threads(lambda i: net.fit(X[:500].T, y[:500], epochs=3, progress=False), threads=4)  # one after the other
    assert all(np.isfinite(W).all() for W in net.weights)

    zero, one = np.zeros((1, 1), "f"), np.ones((1, 1), "f")
    W, b = np.zeros((10, 784), "f"), np.zeros((10, 1), "f")
    fit = _engine.Fit([W], [b], (), 0.01, zero, one, X[:500].T, y[:500], 5, 0.01, 0.0, True, 1)
    messages = []

    def work(i):
        try:
            fit.epochs(20)
        except RuntimeError as error:
            messages.append(str(error))

    run_in_threads(work)
    assert len(messages) < THREADS and all("running already" in message for message in messages)
    assert np.isfinite(W).all()


# ---- free-threaded Python and subinterpreters ----------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(sys, "_is_gil_enabled"), reason="Python 3.13 and newer can tell")
def test_the_gil_of_a_free_threaded_python_is_on():
    """Nodes rely on the GIL, and the engine declares so: such a Python enables it when nnc is imported."""
    assert sys._is_gil_enabled()


def test_a_second_interpreter_is_refused():
    """NumPy and the engine support one interpreter; importing them in a second one is an error."""
    names = ("_interpreters", "_xxsubinterpreters")
    module = next((name for name in names if importlib.util.find_spec(name)), None)
    if module is None:
        pytest.skip("this Python has no module for interpreters")
    code = f"""
import sys
sys.path[:] = {sys.path!r}  # the package that is tested, wherever this is run
import {module} as interpreters, nnc
import numpy as np
inner = '''
import sys, warnings
from importlib.util import module_from_spec, spec_from_file_location
warnings.simplefilter("ignore")
sys.path[:] = {sys.path!r}
try: import nnc
except ImportError as error: print("refused:", error)
else: print("imported")
spec = spec_from_file_location("nnc._engine", {_engine.__file__!r})  # directly, so that NumPy does not fail first
try: spec.loader.exec_module(module_from_spec(spec))
except ImportError as error: print("engine refused:", error)
else: print("imported")
'''
made = interpreters.create()
sys.stdout.flush()
try: failed = interpreters.run_string(made, inner)
except Exception as error: print("refused:", error)
interpreters.destroy(made)
W = nnc.Node(np.ones((2, 2)))
(nnc.relu(W) @ W).sum().backward()
print("the first still works", W.grad.sum())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused:") == 2 and "imported" not in done.stdout, done.stdout
    assert "the first still works 16.0" in done.stdout


def test_an_overflow_is_reported_to_the_thread_that_caused_it():
    big = np.full((300, 300), 1e200)

    def work(i):
        with np.errstate(over="raise" if i % 2 else "ignore"):
            if i % 2:
                with pytest.raises(FloatingPointError):
                    nnc.matmul(big, big)
            else:
                assert np.isinf(nnc.matmul(big, big)).all()

    run_in_threads(work)
