"""nnc._engine with one wrong argument at a time; and data-parallel training by two threads instead of two processes,
which add up their gradients in Python."""

import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from fits import fit, network

import nnc
from nnc import _engine as engine
from nnc.autodiff.operations import RULES

PARAMETERS = 5 * (4 + 1) + 3 * (5 + 1)
STATE = [np.zeros(shape, "f4") for shape in ((5, 4), (5, 1), (3, 5), (3, 1))]
TARGETS = np.full((3, 8), 1 / 3, "f4")


def nothing():
    pass


def misaligned(array):
    memory = np.zeros(array.nbytes + 1, "u1")
    copy = memory[1:].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


SHARED = {"reduce": nothing, "sum": np.zeros(PARAMETERS + 1, "f4"), "first": 0, "total": 8}
ADAM = {"optimizer": "adam", "momentum": 0.9}
BAD_FIT = [
    {"optimizer": 1}, {"optimizer": "no such optimizer"}, {"loss": "no such loss"}, {"loss": "squared_error"},
    {"y": [0] * 8}, {"y": np.zeros(16, int)[::2]}, {"y": TARGETS[:2]}, {"y": TARGETS[:, :7]}, {"y": TARGETS[None]},
    {"y": misaligned(TARGETS)}, {"y": misaligned(np.zeros(8, np.intp))},
    {"sample_weight": np.ones(7, "f4")}, {"sample_weight": np.ones(8)}, {"sample_weight": np.ones((8, 1), "f4")},
    {"sample_weight": np.full(8, -1, "f4")}, {"sample_weight": np.full(8, np.nan, "f4")}, {"sample_weight": 1},
    {"state": STATE}, {"optimizer": "momentum", "state": STATE[:3]},
    {"optimizer": "momentum", "state": [*STATE[:3], np.zeros((3, 1))]},
    {"optimizer": "momentum", "state": [*STATE[:3], np.zeros((4, 1), "f4")]},
    {"optimizer": "gradient"}, {"optimizer": "gradient", "state": STATE},
    {"weight_decay": -1.0}, {"weight_decay": np.nan}, {"steps": -1},
    ADAM | {"momentum": 1.0}, ADAM | {"momentum": -0.1}, ADAM | {"momentum": np.nan},
    ADAM | {"beta2": 1.0}, ADAM | {"beta2": -0.1}, ADAM | {"eps": -1.0}, ADAM | {"eps": 1e30},
    SHARED | {"reduce": 1}, SHARED | {"sum": None}, SHARED | {"sum": np.zeros(PARAMETERS + 1)},
    SHARED | {"sum": np.zeros(PARAMETERS, "f4")}, SHARED | {"first": -1}, SHARED | {"first": 1}, SHARED | {"total": 0},
    SHARED | {"total": 2**32}, SHARED | {"optimizer": "gradient", "state": STATE, "batch_size": 8},
]  # fmt: skip


@pytest.mark.parametrize("changes", BAD_FIT, ids=lambda changes: "-".join(changes))
def test_wrong_arguments_of_fit_are_errors(changes):
    weights = network()["weights"]
    before = [W.copy() for W in weights]
    with pytest.raises(ValueError, match="Fit: "):
        fit(**{"weights": weights} | changes)
    assert all(map(np.array_equal, weights, before))


def test_wrong_arguments_of_epochs_are_errors():
    training = fit(lr=0.0)
    for order in (list(range(8)), np.arange(8.0), np.arange(7), np.arange(8)[:, None], np.arange(16)[::2],
                  np.arange(8) - 1, np.arange(8) + 1):  # fmt: skip
        with pytest.raises(ValueError, match="order must"):
            training.epochs(1, None, order)
    for arguments in ((), (1, "fast"), (1, None, None, None)):
        with pytest.raises(TypeError):
            training.epochs(*arguments)
    with pytest.raises(TypeError):
        fit(state=5)
    assert len(training.epochs(2)) == 2


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_an_order_permutes_the_examples(dtype):
    order = np.random.default_rng(3).permutation(8)
    given = network(dtype)
    permuted = [W.copy() for W in given["weights"]]
    fit(dtype, weights=given["weights"]).epochs(1, 0.2, order)
    fit(dtype, weights=permuted, X=np.ascontiguousarray(given["X"][:, order]), y=order % 3, lr=0.2).epochs(1)
    assert all(map(np.array_equal, given["weights"], permuted))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sizes", [(4, 5, 3), (4, 9, 70, 3)])
def test_the_penalty_is_half_the_weight_decay_times_the_sum_of_squares(sizes, threads):
    before = nnc.get_num_threads()
    nnc.set_num_threads(threads)
    try:
        training = fit("f8", sizes=sizes, lr=0.0, weight_decay=0.3, penalty=True)
        training.epochs(1)
        shared = fit("f8", sizes=sizes, lr=0.0, weight_decay=0.3, penalty=True, decay_is_shared=True)
        shared.epochs(1)
    finally:
        nnc.set_num_threads(before)
    squares = sum((W**2).sum() for W in network("f8", sizes)["weights"])
    np.testing.assert_allclose(training.penalty, 0.15 * squares, rtol=1e-13)
    np.testing.assert_allclose(shared.penalty, 0.15 * squares / 4, rtol=1e-13)


# ---- two processes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("changes", [{}, {"momentum": 0.5}, ADAM, {"shuffle": True}], ids="-".join)
def test_two_processes_train_as_one(dtype, changes):
    """The first has 5 examples and the second 3: unshuffled, the first batch of 4 has no example of the second."""
    whole = network(dtype)
    y = np.arange(8) % 3
    fit(dtype, weights=whole["weights"], biases=whole["biases"], y=y, **changes).epochs(3)

    barrier = threading.Barrier(2, timeout=60)
    sums = [np.zeros(PARAMETERS + 1, dtype) for _ in range(2)]
    nets = [network(dtype), network(dtype)]
    errors = []

    def train(rank):
        def reduce():
            barrier.wait()
            if rank == 0:
                sums[0] += sums[1]
                sums[1][:] = sums[0]
            barrier.wait()

        mine = slice(0, 5) if rank == 0 else slice(5, 8)
        X = np.ascontiguousarray(nets[rank]["X"][:, mine])
        try:
            fit(dtype, **nets[rank] | {"X": X, "y": y[mine].copy(), "first": mine.start, "total": 8,
                                       "sum": sums[rank], "reduce": reduce} | changes).epochs(3)  # fmt: skip
        except Exception as error:
            errors.append(error)
            barrier.abort()

    ranks = [threading.Thread(target=train, args=(rank,)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert not errors
    for name, net in itertools.product(("weights", "biases"), nets):
        for mine, right in zip(net[name], whole[name], strict=True):
            np.testing.assert_allclose(mine, right, rtol=0, atol=400 * np.finfo(dtype).eps)


def test_another_process_can_stop_training():
    total = np.zeros(PARAMETERS + 1, "f4")
    weights = network()["weights"]
    before = [W.copy() for W in weights]

    def reduce():
        total[-1] = 1

    assert fit(weights=weights, reduce=reduce, sum=total, first=0, total=8).epochs(5) == []
    assert all(map(np.array_equal, weights, before))


def test_an_error_in_reduce_is_raised():
    with pytest.raises(ZeroDivisionError):
        fit(reduce=lambda: 1 / 0, sum=np.zeros(PARAMETERS + 1, "f4"), first=0, total=8).epochs(1)


# ---- functions of the engine -----------------------------------------------------------------------------------------

ROWS = {
    "name": "adam", "param": np.ones((3, 2)), "state0": np.zeros((3, 2)), "state1": np.zeros((3, 2)),
    "which": np.array([0, 2]), "grad": np.ones((2, 2)), "squares": np.zeros(1),
}  # fmt: skip
SETTINGS = (0.1, 0.0, 0.9, 0.999, 1.0, 1.0, 1e-8, 0)


def step_rows(**changes):
    return engine.step_rows(*(ROWS | changes).values(), SETTINGS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "no such optimizer"), ("name", "gradient"), ("param", [[1.0]]), ("param", np.ones((3, 2), "i4")),
        ("param", np.ones((3, 4))[:, ::2]), ("param", np.ones(3)), ("state0", None), ("state0", np.zeros((2, 2))),
        ("state1", None), ("state1", np.zeros((3, 2), "f4")), ("which", [0, 2]), ("which", np.array([[0, 2]])),
        ("which", np.array([0, 1, 2])), ("grad", np.ones((2, 2), "f4")), ("grad", np.ones(4)),
        ("grad", np.ones((2, 3))), ("squares", np.zeros(1, "f4")), ("squares", np.zeros(0)),
    ],
)  # fmt: skip
def test_wrong_arguments_of_step_rows_are_errors(name, value):
    before = ROWS["param"].copy()
    with pytest.raises(ValueError, match="step_rows"):
        step_rows(**{name: value})
    assert np.array_equal(ROWS["param"], before)


@pytest.mark.parametrize("which", [[0, 3], [-1, 0], [1, 1], [2, 0]])
def test_rows_must_be_in_increasing_order_and_in_range(which):
    with pytest.raises(ValueError):
        step_rows(which=np.array(which), param=np.ones((3, 2)))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam"])
def test_step_rows_is_the_step_of_the_whole_matrix(name, dtype):
    """For every optimizer; squares is the sum of squares before the step."""
    param = np.arange(6, dtype=dtype).reshape(3, 2)
    other = param.copy()
    states = [np.zeros((3, 2), dtype) for _ in range(4)]
    grad, squares = np.ones((3, 2), dtype), np.zeros(1)
    engine.step_rows(name, param, *states[:2], np.arange(3), grad, squares, SETTINGS)
    for row in range(3):
        step = [a[row : row + 1] for a in (other, states[2], states[3])]
        engine.step_rows(name, *step, np.array([0]), grad[:1], np.zeros(1), SETTINGS)
    assert np.array_equal(param, other) and squares[0] == 55


w = nnc.Node(np.ones((2, 3)), name="w")
TANH = RULES["tanh"]
ERRORS = {
    "labels: count": (TypeError, lambda: engine.labels("op", np.zeros(6, int), 3)),
    "labels: name": (TypeError, lambda: engine.labels(1, np.zeros(6, int), 3, 6)),
    "labels: n": (TypeError, lambda: engine.labels("op", np.zeros(6, int), "3", 6)),
    "labels: n is huge": (OverflowError, lambda: engine.labels("op", np.zeros(6, int), 10**30, 6)),
    "labels: r": (TypeError, lambda: engine.labels("op", np.zeros(6, int), 3, "6")),
    "labels: y": (ValueError, lambda: engine.labels("op", [[0], [0, 1]], 3, 2)),
    "labels: a column": (ValueError, lambda: engine.labels("op", np.zeros((2, 3), int), 3, 6)),
    "bad_targets: not an array": (TypeError, lambda: engine.bad_targets([[1.0]], 1e-6)),
    "bad_targets: 1-D": (ValueError, lambda: engine.bad_targets(np.ones(3), 1e-6)),
    "bad_targets: strings": ((TypeError, ValueError), lambda: engine.bad_targets(np.array([["a"]], object), 1e-6)),
    "ancestors": (TypeError, lambda: engine.ancestors(1)),
    "backward: arguments": (TypeError, lambda: engine.backward(1)),
    "backward: not a Node": (TypeError, lambda: engine.backward((1,), 1, (), None, None, True)),
    "apply: count": (TypeError, lambda: engine.apply(TANH)),
    "apply: too many": (TypeError, lambda: engine.apply(TANH, (w,), {}, 1)),
    "apply: params": (TypeError, lambda: engine.apply(TANH, (w,), 1)),
    "apply: rule": (TypeError, lambda: engine.apply("tanh", (w,))),
    "apply: operands": (TypeError, lambda: engine.apply(TANH, 1)),
    "apply: no operands": (Exception, lambda: engine.apply(TANH, ())),
    "apply: not a Node": (TypeError, lambda: engine.apply(TANH, (np.ones(3),))),
    "predict_plain: count": (TypeError, lambda: engine.predict_plain(1, 2)),
    "predict_plain: slope": (
        TypeError,
        lambda: engine.predict_plain(*(network() | {"slope": "steep"}).values(), "cross_entropy", (4, 5, 3),
                                     np.dtype("f4")),
    ),
    "core to core": (TypeError, lambda: engine.set_core_to_core("near")),
    "threads": (TypeError, lambda: engine.set_num_threads("many")),
    "threads: negative": (ValueError, lambda: engine.set_num_threads(-(10**30))),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_wrong_arguments_of_functions_are_errors(name):
    error, call = ERRORS[name]
    with pytest.raises(error):
        call()


def test_predict_plain_and_argmax_return_none_for_other_operands():
    net = network()
    ends = "cross_entropy", (4, 5, 3), np.dtype("f4")
    assert engine.predict_plain(*net.values(), *ends).shape == (3, 8)
    for changes, end in (
        ({}, ("cross_entropy", [4, 5, 3], ends[2])), ({}, ("cross_entropy", (4,), ends[2])),
        ({}, ("cross_entropy", (4, 5, 3), "f4")), ({}, ("cross_entropy", (4,) * 40, ends[2])),
        ({"X": net["X"].tolist()}, ends), ({"X": net["X"][0]}, ends), ({"X": net["X"][:3]}, ends),
        ({"X": net["X"].astype("i4")}, ends), ({"weights": tuple(net["weights"])}, ends),
        ({"weights": net["weights"][:1]}, ends), ({"biases": [b[:, 0] for b in net["biases"]]}, ends),
        ({"biases": [b.T for b in net["biases"]]}, ends),
    ):  # fmt: skip
        assert engine.predict_plain(*(net | changes).values(), *end) is None
    assert engine.argmax(np.ones((2, 3), "f2")) is None and engine.argmax(np.ones((0, 3))) is None


@pytest.mark.parametrize("name", ["mmx", ""])
def test_the_instruction_set_is_chosen_by_name(name):
    done = subprocess.run([sys.executable, "-c", "import nnc"], env=os.environ | {"NNC_ISA": name}, text=True,
                          capture_output=True, timeout=120)  # fmt: skip
    assert (done.returncode == 0) == (name == "")
    assert name == "" or "NNC_ISA is 'mmx'" in done.stderr
