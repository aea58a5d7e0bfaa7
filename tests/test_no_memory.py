"""Each of Python's allocations in a call of the engine fails once: a MemoryError, and the next call is right.

Ufuncs and reductions are left out: without memory NumPy crashes while it parses arguments (`np.vecdot(A, B, axis=0)`),
or returns without an exception.
"""

import gc
import sys

import numpy as np
import pytest
from fits import network

import nnc
from nnc import _engine as engine
from nnc.autodiff.operations import RULES

memory = pytest.importorskip("_testcapi")
if not hasattr(memory, "set_nomemory"):
    pytest.skip("this Python has no set_nomemory", allow_module_level=True)

rng = np.random.default_rng(0)
W, X = rng.standard_normal((3, 4)), rng.standard_normal((4, 6))
Z, P, y = W @ X, nnc.softmax(W @ X), np.arange(6) % 3
NET = network("f8", r=6)
w, x = nnc.Node(W, name="W"), nnc.Node(X, name="X")
SUM = (np.tanh(w @ x) * (w @ x)).sum()
TEN = np.concatenate([w * w, *[W] * 9]).sum()
JOINED = np.concatenate([W, Z], axis=1)
TRAINED = NET | {"y": y, "batch_size": 4, "lr": 0.0, "momentum": 0.0, "shuffle": False, "seed": 1}
FIT = engine.Fit(**TRAINED)
SPARSE = np.array([0, 2]), np.ones((2, 4)), np.zeros(1)
SETTINGS = 0.0, 0.0, 0.9, 0.999, 1.0, 1.0, 1e-8, 0


def gradient_of(y, x):
    y.backward()
    return x.grad


CALLS = {
    "labels": lambda: engine.labels("loss", y.astype("i4"), 3, 6),
    "targets": lambda: engine.bad_targets(P, 1e-6),
    "Node": lambda: nnc.Node(W, name="W").value,
    "graph": lambda: nnc.relu(w @ x).value,
    "graph, saved": lambda: nnc.sigmoid(w).value,
    "softmax of a Node": lambda: nnc.softmax(w).value,
    "a list and a Node": lambda: (w + W.tolist()).value,
    "ten arrays joined": lambda: gradient_of(TEN, w),
    "a function for direct calls": lambda: engine.direct(engine.relu, {})(W),
    "loss of a Node": lambda: nnc.softmax_cross_entropy(w @ x, y).value,
    "NumPy's function": lambda: np.transpose(np.tanh(w)).value,
    "keywords": lambda: np.expand_dims(w, axis=1).value,
    "getitem": lambda: w[:, 1].value,
    "apply": lambda: engine.apply(RULES["reshape"], (w,), {"shape": (4, 3)}).value,
    "ancestors": lambda: np.array([n.size for n in engine.ancestors(SUM)]),
    "backward": lambda: gradient_of(SUM, w),
    "part": lambda: engine.part(1, JOINED, JOINED, W, Z, axis=1),
    "predict": lambda: engine.predict(**NET),
    "fit": lambda: engine.Fit(**TRAINED).epochs(2)[1][0],
    "an epoch": lambda: FIT.epochs(1)[0][0],
    "step of rows": lambda: engine.step_rows("sgd", W.copy(), None, None, *SPARSE, SETTINGS) is None,
    "machine": lambda: len(engine.cpu_info()),
}
if sys.version_info >= (3, 12):  # np.expand_dims crashes there
    del CALLS["keywords"]
MANY = 200  # allocations: more than any of these calls makes


@pytest.fixture(scope="module", autouse=True)
def frozen_objects():
    """Existing objects are left out of garbage collections, which then take no time."""
    gc.freeze()
    yield
    gc.unfreeze()


def fail_each(call):
    """Call it with the first allocation failing, then the second ...: (which, result or None, error or None).

    The garbage collection empties the free lists, from which small tuples, lists and floats would come.
    """
    for n in range(MANY):
        done = error = None
        gc.collect()
        memory.set_nomemory(n, n + 1)
        try:
            done = call()
        except BaseException as e:
            error = e
        memory.remove_mem_hooks()
        yield n, done, error


@pytest.mark.parametrize("name", CALLS)
def test_a_failing_allocation_is_a_memory_error(name):
    call = CALLS[name]
    right = np.copy(call())
    failed = []
    for n, done, error in fail_each(call):
        if error is None:
            np.testing.assert_array_equal(done, right, err_msg=f"allocation {n}")
        else:
            assert isinstance(error, MemoryError), (n, error)
            failed.append(n)
        np.testing.assert_array_equal(call(), right, err_msg=f"after allocation {n}")
    assert max(failed, default=0) < MANY - 20 and (failed or name == "targets")


def test_gradients_are_set_all_or_none():
    nodes = engine.ancestors(SUM)
    for n in range(MANY):
        for node in nodes:
            node.grad = None
        memory.set_nomemory(n, n + 1)
        try:
            SUM.backward()
        except MemoryError:
            pass
        memory.remove_mem_hooks()
        assert len({node.grad is None for node in nodes}) == 1, f"allocation {n}"


def test_failing_calls_leak_no_memory():
    """Leaked references or blocks of memory would grow with every round."""

    def blocks():
        for call in CALLS.values():
            for _ in fail_each(call):
                pass
        gc.collect()
        return sys.getallocatedblocks()

    blocks()
    before = blocks()
    assert blocks() - before < 50
