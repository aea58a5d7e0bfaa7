"""A hundred thousand calls, failing or not, leak no references and no memory."""

import copy
import ctypes
import gc
import sys
from dataclasses import replace

import numpy as np
import pytest
from engine_rows import ELEMENTWISE_LOSSES

import nnc
from nnc.autodiff.operations import RULES, UFUNCS

CALLS = 100_000
W, X, Y = np.ones((3, 5)), np.ones((5, 6)), np.arange(6) % 3
X_WRONG, Y_WRONG, Y_LONG = np.ones((6, 5)), np.full(6, 7), np.zeros(9, int)
TARGETS_WRONG = np.ones((3, 6))
RULE = RULES["multiply"]
ERRORS = (ValueError, TypeError, AttributeError, IndexError, ArithmeticError)
net = nnc.MLP([5, 4, 3], seed=0)
t = net.forward(X)

ENGINE = dict(
    weights=net.weights, biases=net.biases, activations=net.activations, slope=0.01, mean=net.mean, std=net.std,
    X=X, y=Y.astype(np.intp), batch_size=2, lr=0.1, momentum=0.0, shuffle=True, seed=0,
)  # fmt: skip


def engine(**wrong):
    return lambda: nnc._engine.Fit(*(ENGINE | wrong).values())


def graph(**wrong):
    """The backward pass of a graph with an input on two paths, a broadcast input, and a node with wrong attributes."""
    x, b = nnc.Node(X), nnc.Node(X[:1])
    y = x * x + b
    for name, value in wrong.items():
        setattr(y.inputs[0], name, value)
    seed = np.ones_like(X)
    return lambda: y.backward(seed)


def cycle():
    """Nodes in a reference cycle, which only the garbage collector frees."""
    x, y = nnc.Node(X), nnc.Node(X)
    x.grad, y.name = x, y


def with_wrong_weights():
    other = nnc.MLP([5, 4, 3], seed=0)
    other.weights[0] = X
    return other


WRONG = with_wrong_weights()

FAILING = {
    "constructor, sizes": lambda: nnc.MLP([5, 0, 3]),
    "constructor, activation": lambda: nnc.MLP([5, 4, 3], "swish"),
    "constructor, mean": lambda: nnc.MLP([5, 3], mean=X),
    "forward": lambda: net.forward(X_WRONG),
    "forward, weights": lambda: WRONG.forward(X),
    "backward, label": lambda: net.backward(t, Y_WRONG),
    "backward, targets": lambda: net.backward(t, TARGETS_WRONG),
    "predict": lambda: net.predict(X_WRONG),
    "loss": lambda: net.loss(X, Y_LONG),
    "accuracy": lambda: net.accuracy(X, Y_WRONG),
    "fit, X": lambda: net.fit(X_WRONG, Y, progress=False),
    "fit, y": lambda: net.fit(X, Y_WRONG, progress=False),
    "fit, lr": lambda: net.fit(X, Y, lr=np.nan, progress=False),
    "fit, validation": lambda: net.fit(X, Y, validation=(X, Y_WRONG), progress=False),
    "fit, weights": lambda: WRONG.fit(X, Y, progress=False),
    "load": lambda: nnc.MLP.load(__file__),
    "engine, weights": engine(weights=[X, X]),
    "engine, biases": engine(biases=net.biases[:1]),
    "engine, activation": engine(activations=("swish",)),
    "engine, X": engine(X=X_WRONG),
    "engine, y": engine(y=np.full(6, 9, np.intp)),
    "engine, batch": engine(batch_size=0),
    "engine, mean": engine(mean=np.zeros((2, 1), np.float32)),
    "engine, seed": engine(seed=-1),
    "engine, predict": lambda: nnc._engine.predict(
        net.weights, net.biases, net.activations, 0.01, net.mean, net.std, X_WRONG
    ),
    "graph, rule": graph(_rule=None),
    "graph, a rule with too few VJPs": graph(_rule=replace(RULES["add"], vjps=())),
    "graph, a rule that raises": graph(_rule=replace(RULES["multiply"], vjps=(lambda *_: 1 / 0,) * 2)),
    "graph, not a Node": lambda: nnc._engine.backward((nnc.Node(X), X), X, (), None, None, False),
    "graph, order": lambda: nnc._engine.backward((nnc.Node(X), nnc.Node(X)), X, (), None, None, True),
    "graph, ancestors": lambda: nnc._engine.ancestors(X),
    "apply, operands": lambda: nnc._engine.apply(RULES["add"], 3),
    "apply, not a Node": lambda: nnc._engine.apply(RULES["add"], (X, X)),
    "apply, dtype": lambda: nnc.Node(X) * 1j,
    "apply, shapes": lambda: nnc.Node(X) + X[:2, :3],
    "apply, a rule without a name": lambda: nnc._engine.apply(
        replace(RULES["add"], name=None, forward=lambda A, B: 1 / 0), (nnc.Node(X), X)
    ),
    "apply, a ragged list": lambda: nnc.Node(X) + [[1.0], [2.0, 3.0]],
    "apply, constant": lambda: np.where(nnc.Node(X), X, X),
    "apply, constants": lambda: nnc._engine.apply(replace(RULES["add"], constants=[]), (nnc.Node(X), X)),
    "apply, an empty rule": lambda: nnc._engine.apply(nnc._engine.Rule(), (nnc.Node(X), X)),
    "apply, not a rule": lambda: nnc._engine.apply(None, (nnc.Node(X), X)),
    "call, no arguments": lambda: nnc._engine.call(RULES["sum"], X, {}),
    "call, not a rule": lambda: nnc._engine.call(None, (nnc.Node(X),), {}),
    "call, refused by name": lambda: np.sum(nnc.Node(X), dtype=np.float32),
    "call, refused by position": lambda: np.sum(nnc.Node(X), 0, np.float32),
    "call, a rule without params": lambda: nnc._engine.call(replace(RULE, params=None), (nnc.Node(X), X, X), {}),
    "call, operands": lambda: np.stack([nnc.Node(X), X[0]]),
    "call, a rule whose takes returns None": lambda: nnc._engine.call(
        replace(RULES["stack"], takes=lambda arrays: None), ([nnc.Node(X)],), {}
    ),
    "call, composed": lambda: np.dot(nnc.Node(X), X[None]),
    "part, not an array": lambda: nnc._engine.part(0, X, X),
    "part, axis": lambda: nnc._engine.part(0, X, X, X, axis="0"),
    "part, lengths": lambda: nnc._engine.part(1, X, X, X, X),
    "Node, value": lambda: nnc.Node("text"),
    "Node, set value": lambda: setattr(nnc.Node(X), "value", 1j),
    "Node, delete value": lambda: delattr(nnc.Node(X), "value"),
    "linear of Nodes": lambda: nnc.linear(nnc.Node(X), X, X),
    "loss of a Node": lambda: nnc.softmax_cross_entropy(nnc.Node(Z), Y_WRONG),
    "engine, labels": lambda: nnc._engine.labels("op", Y_WRONG, 3, 6),
}  # fmt: skip

ADAM, WEIGHTS = nnc.optim.Adam(), np.ones(X.shape[1])
regression = nnc.MLP([X.shape[0], 4, 3], loss="squared_error", seed=0)
LOSS_PAIRS = [(getattr(nnc, name), getattr(nnc, f"{name}_backward")) for name in ELEMENTWISE_LOSSES]

WORKING = {
    "fit": lambda: net.fit(X, Y, epochs=1, progress=False),
    "fit, stopped": lambda: net.fit(X, Y, epochs=3, progress=False, callback=lambda epoch, history: True),
    "fit, Adam and weights": lambda: net.fit(
        X, Y, epochs=1, progress=False, optimizer=ADAM, sample_weight=WEIGHTS, weight_decay=0.1
    ),
    "fit, targets": lambda: regression.fit(X, X[:3], epochs=1, progress=False),
    "loss and gradient": lambda: net.loss_and_gradient(X, Y, sample_weight=WEIGHTS),
    "elementwise losses": lambda: [(loss(Z, Z), backward(1.0, Z, Z)) for loss, backward in LOSS_PAIRS],
    "predict": lambda: net.predict(X),
    "forward and backward": lambda: net.backward(net.forward(X), Y),
    "constructor": lambda: nnc.MLP([5, 4, 3]),
    "graph": graph(),
    "graph, direct": lambda: nnc.softmax_cross_entropy(nnc.linear(nnc.Node(W), X, W[:, :1]), Y).mean().backward(),
    "graph, arguments": lambda: nnc.Node(X).sum(axis=0).backward(X[0]),
    "graph, copies": lambda: copy.deepcopy(np.exp(nnc.Node(X))).backward(X),
    "call, by position and name": lambda: np.sum(nnc.Node(X), 0, None, keepdims=True).backward(X[:1]),
    "call, of a list": lambda: np.stack([nnc.Node(X), X], axis=1),
    "call, composed": lambda: np.clip(nnc.Node(X), 0, 1),
    "graph, concatenate": lambda: np.concatenate([nnc.Node(X), nnc.Node(X)], axis=1).backward(1),
    "graph, a cycle": lambda: cycle(),
    "engine": engine(),
}

Z, HUGE = np.ones((3, 6), np.float32), np.full((6, 3), 1e30, np.float32)
DIRECT_LOSS = nnc._engine.direct(nnc._engine.softmax_cross_entropy, {}, lambda *operands: None)
DIRECT_GRADIENT = nnc._engine.direct(nnc._engine.softmax_cross_entropy_backward, {})
DIRECT_MATMUL = nnc._engine.direct(nnc._engine.matmul, nnc.autodiff.operations.UFUNCS)
OUT, READ_ONLY = np.empty((6, 6), np.float32), np.broadcast_to(np.float32(0), (6, 6))


def overflows(mode):
    with np.errstate(over=mode):
        DIRECT_MATMUL(HUGE, Z * 1e30)


DIRECT = {  # paths through a direct call
    "plain": lambda: DIRECT_MATMUL(HUGE, Z),
    "a number": lambda: DIRECT_GRADIENT(0.5, Z, Y),
    "fallback": lambda: DIRECT_GRADIENT(0.5, Z, Y_WRONG[:3]),
    "another dtype": lambda: DIRECT_MATMUL(HUGE, X[:3]),
    "a Node": lambda: DIRECT_MATMUL(nnc.Node(W), X),
    "a Node that saves for backward": lambda: nnc.softmax_cross_entropy(nnc.Node(Z), Y[:6]).backward(1),
    "a Node that does not fit": lambda: DIRECT_MATMUL(nnc.Node(W), W),
    "a bad label": lambda: DIRECT_LOSS(Z, Y_WRONG),
    "targets": lambda: nnc._engine.bad_targets(Z, 1e-6),
    "targets, whole numbers": lambda: nnc._engine.bad_targets(X.astype(int), 1e-6),
    "ignored overflow": lambda: overflows("ignore"),
    "overflow": lambda: overflows("raise"),
    "elementwise": lambda: nnc.relu(Z),
    "elementwise, a Node": lambda: nnc.sigmoid(nnc.Node(Z)),
    "elementwise, fallback": lambda: nnc.relu(Z.T),
    "out": lambda: DIRECT_MATMUL(HUGE, Z, out=OUT),
    "out, fallback": lambda: DIRECT_MATMUL(OUT, OUT, out=OUT),
    "out, read-only": lambda: DIRECT_MATMUL(HUGE, Z, out=READ_ONLY),
    "a new direct function": lambda: nnc._engine.direct(nnc._engine.matmul, {}, repeat),
    "an error for a new one": lambda: nnc._engine.direct(np.add, {}, repeat),
    "a new one that saves for backward": lambda: nnc._engine.direct(
        nnc._engine.softmax_cross_entropy, {}, repeat, nnc._engine.softmax_cross_entropy_saving
    ),
    "attributes": lambda: (nnc.relu.__class__, nnc.relu.__doc__, nnc.relu.nin, repr(nnc.relu), copy.copy(nnc.relu)),
    "comparisons": lambda: (hash(nnc.relu), nnc.relu == nnc.tanh, nnc.relu != 1),
    "a missing attribute": lambda: nnc.relu.nonsense,
}


class Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    _fields_ = [(name, ctypes.c_size_t) for name in names]


def allocated():
    """Bytes allocated by malloc (glibc), which Python's own count of small blocks does not include."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd


def malloc_is_counted():
    """Not with another C library, or if malloc is replaced, as by AddressSanitizer."""
    try:
        before, buffer = allocated(), ctypes.create_string_buffer(10_000)
        return allocated() - before >= len(buffer)
    except AttributeError:
        return False


counted = pytest.mark.skipif(not malloc_is_counted(), reason="this malloc does not report its memory")


def repeat(function, calls, error):
    for _ in range(calls):
        try:
            function()
        except error:
            pass


def references():
    """The reference counts of every array and object that the calls above take, and of every operation."""
    given = [X, Y, X_WRONG, Y_WRONG, Y_LONG, TARGETS_WRONG, net, t, WRONG, *t.Z, *t.A]
    given += [Z, HUGE, DIRECT_LOSS, nnc._engine.matmul, repeat, RULE.forward, RULE.constants, RULE.vjps]
    given += [*RULES.values(), *UFUNCS.values()]
    given += [RULES["sum"].params, RULES["sum"].takes, RULES["stack"].takes, *RULES["sum"].params, np.float32]
    given += [ADAM, WEIGHTS, *sum(ADAM.state.values(), []), *regression.weights]
    given += [*net.weights, *net.biases, *WRONG.weights, *WRONG.biases, *ENGINE.values(), np.dtype("f4"), None]
    return [sys.getrefcount(thing) for thing in given]


def assert_no_leak(function, calls, error=()):
    repeat(function, calls // 10, error)  # caches and the allocator's pools fill
    gc.collect()
    before, memory, blocks = references(), allocated(), sys.getallocatedblocks()
    repeat(function, calls, error)
    gc.collect()
    # One leaked reference a call would be `calls` of them; the smallest block of malloc has 24 bytes.
    assert max(abs(now - then) for now, then in zip(references(), before, strict=True)) < calls // 10
    assert sys.getallocatedblocks() - blocks < calls // 10
    assert allocated() - memory < 12 * calls


@counted
@pytest.mark.parametrize("leak", ["reference", "object", "memory"])
def test_a_leak_is_found(leak):
    kept, malloc = [], ctypes.CDLL(None).malloc
    leaks = {"reference": lambda: kept.append(X), "object": lambda: kept.append([]), "memory": lambda: malloc(1)}
    with pytest.raises(AssertionError):
        assert_no_leak(leaks[leak], CALLS // 10)


@pytest.mark.parametrize("name", FAILING)
def test_the_failing_calls_fail(name):
    with pytest.raises(ERRORS):
        FAILING[name]()


@counted
@pytest.mark.parametrize("name", FAILING)
def test_failing_calls_leak_nothing(name):
    # Together more than CALLS; a tenth of it for each is enough, as a leak grows with every call.
    assert_no_leak(FAILING[name], CALLS // 10, ERRORS)


@pytest.mark.slow
@counted
@pytest.mark.parametrize("name", FAILING)
def test_a_hundred_thousand_failing_calls_leak_nothing(name):
    assert_no_leak(FAILING[name], CALLS, ERRORS)


@counted
@pytest.mark.parametrize("name", WORKING)
def test_working_calls_leak_nothing(name):
    assert_no_leak(WORKING[name], CALLS // 20)


@counted
@pytest.mark.parametrize("name", DIRECT)
def test_direct_calls_leak_nothing(name):
    assert_no_leak(DIRECT[name], CALLS, (ValueError, TypeError, FloatingPointError, AttributeError))
