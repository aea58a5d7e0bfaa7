"""Data-parallel training on the ranks of an MPI communicator, compared with training in one process.

Each program here runs under mpiexec and prints a line of JSON for each rank and case.
"""

import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import nnc

pytest.importorskip("mpi4py")
NEXT_TO_PYTHON = pathlib.Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(NEXT_TO_PYTHON) if NEXT_TO_PYTHON.exists() else shutil.which("mpiexec")
if MPIEXEC is None:
    pytest.skip("needs mpiexec", allow_module_level=True)

ROOT = pathlib.Path(nnc.__file__).parents[1]
# Without these, Open MPI refuses root, and more ranks than cores.
ALLOWED = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
           "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "OMPI_MCA_rmaps_base_oversubscribe": "1",
           "PYTHONPATH": str(ROOT)}  # fmt: skip

BEGIN = """
import json, os, signal, sys, threading, time
import numpy as np
import nnc
from mpi4py import MPI

comm = MPI.COMM_WORLD
rank, size = comm.rank, comm.size

def report(**what):
    sys.stdout.write(json.dumps({"rank": rank, **what}) + "\\n")
    sys.stdout.flush()

def examples(r, m=6, n=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, r))
    return X, rng.standard_normal((n, m)).dot(X).argmax(axis=0)
"""


def mpiexec(n, *command, timeout=300, **options):
    return subprocess.run([MPIEXEC, "-n", str(n), sys.executable, *map(str, command)], env=os.environ | ALLOWED,
                          capture_output=True, text=True, timeout=timeout, **options)  # fmt: skip


def reports(tmp_path, n, program, *arguments):
    path = tmp_path / "program.py"
    path.write_text(BEGIN + textwrap.dedent(program))
    done = mpiexec(n, path, *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_result_is_that_of_one_process(tmp_path):
    """All ranks have the same weights and history, equal but for rounding to those of one process with all examples:
    every optimizer and loss, unequal shares, a rank without examples, batches without examples of some rank."""
    lines = reports(tmp_path, 3, """
        X, labels = examples(101)
        rng = np.random.default_rng(1)
        shares = {"unequal": [0, 60, 71, 101], "one empty": [0, 40, 40, 101], "all on the last": [0, 0, 0, 101]}
        W = rng.uniform(0, 2, 101) * (rng.uniform(size=101) > 0.2)
        targets = {"cross_entropy": labels, "binary_cross_entropy": nnc.one_hot(labels, 3),
                   "squared_error": rng.standard_normal((3, 101)), "poisson": rng.poisson(1.0, (3, 101))}
        cases = [
            ("plain", {}), ("momentum", {"momentum": 0.9}), ("batch of one", {"batch_size": 1}),
            ("one batch", {"batch_size": 101}), ("more than all", {"batch_size": 1000}),
            ("in order", {"shuffle": False}), ("decay", {"weight_decay": 0.1}), ("weights", {"sample_weight": W}),
            ("patience", {"patience": 1}), ("keep_best", {"keep_best": True}), ("float32", {"dtype": "f4"}),
            ("lr of the epoch", {"lr": lambda epoch: 0.1 / (1 + epoch)}),
            ("Adam", {"optimizer": "Adam"}), ("Nesterov", {"optimizer": "Nesterov"}),
            *((loss, {"loss": loss, "lr": 0.01}) for loss in targets),
            *((f"{loss}, Adam", {"loss": loss, "optimizer": "Adam"}) for loss in targets),
            ("Adam, two fits", {"optimizer": "Adam", "fits": 2}),
            ("Nesterov, two fits", {"optimizer": "Nesterov", "fits": 2}),
            ("all options", {"optimizer": "Adam", "keep_best": True, "patience": 2, "weight_decay": 0.1,
                          "sample_weight": W, "lr of Adam": lambda epoch: 0.01 / (1 + epoch), "dtype": "f4"}),
        ]
        optimizers = {"Adam": nnc.optim.Adam, "Nesterov": lambda lr: nnc.optim.SGD(10 * lr, 0.9, nesterov=True)}

        def train(mine, validating, comm, loss="cross_entropy", dtype="f8", sample_weight=None, optimizer=None, fits=1,
                  **options):
            net = nnc.MLP([6, 150, 3], activation="tanh", seed=0, dtype=dtype, loss=loss)
            options = {"batch_size": 8, "epochs": 4, "seed": 7, "progress": False} | options
            if sample_weight is not None:
                options["sample_weight"] = sample_weight[mine]
            if optimizer:
                options["optimizer"] = optimizers[optimizer](options.pop("lr of Adam", 0.01))
            validation = X[:, validating], targets[loss][..., validating]
            for _ in range(fits):
                history = net.fit(X[:, mine], targets[loss][..., mine], comm=comm, validation=validation, **options)
            return net, history

        for number, (name, options) in enumerate(cases):
            cuts = list(shares.values())[number % 3]
            validating = [np.arange(a, b)[::2] for a, b in zip(cuts, cuts[1:])]
            net, history = train(slice(cuts[rank], cuts[rank + 1]), validating[rank], comm, **options)
            everyone = comm.allgather((net.weights, net.biases, vars(history)))
            same = all(all(map(np.array_equal, w + b, net.weights + net.biases)) and h == vars(history)
                       for w, b, h in everyone)
            one, alone = train(slice(None), np.concatenate(validating), None, **options)
            apart = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in
                        zip(net.weights + net.biases, one.weights + one.biases))
            losses = max(float(np.abs(np.subtract(a, b)).max()) if a else 0.0 for a, b in
                         [(history.loss, alone.loss), (history.validation_loss, alone.validation_loss)])
            report(case=name, same=same, apart=apart, losses=losses, accuracy=history.accuracy == alone.accuracy,
                   epochs=[len(history.loss), len(alone.loss)], lower=history.loss[-1] < history.loss[0])
    """)  # fmt: skip
    assert len(lines) == 3 * 25
    for line in lines:
        eps = 2.0**-23 if line["case"] in ("float32", "all options") else 2.0**-52
        assert line["same"] and line["accuracy"] and line["lower"], line
        assert line["epochs"][0] == line["epochs"][1], line
        # Sums of 8 or 101 terms in another order, in 4 to 404 steps, each with its rounding errors
        assert line["apart"] <= 2000 * eps and line["losses"] <= 2000 * eps, line


def test_an_error_on_one_rank_is_raised_on_all(tmp_path):
    """And the ranks can train together afterwards."""
    lines = reports(tmp_path, 3, """
        X, y = examples(30)
        mine = slice(10 * rank, 10 * rank + 10)

        def attempt(case, X=X[:, mine], y=y[mine], sizes=(6, 5, 3), seed=0, mean=0.0, then=None, **options):
            net = nnc.MLP(sizes, seed=seed, mean=mean)
            options = {"epochs": 5, "batch_size": 4, "progress": False, "seed": 0} | options
            started = time.monotonic()
            try:
                net.fit(X, y, comm=comm, **options)
                error = None
            except BaseException as raised:
                error = raised
            weights = comm.allgather(net.weights[0])
            report(case=case, error=type(error).__name__, text=str(error),
                   cause=type(getattr(error, "__cause__", None)).__name__,
                   same=all(np.array_equal(w, weights[0]) for w in weights), seconds=time.monotonic() - started,
                   handler=signal.getsignal(signal.SIGINT) is signal.default_int_handler)

        class Odd(Exception):
            def __init__(self, one, two):
                super().__init__(f"{one} {two}")

        def interrupt(epoch, history):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

        def fails(epoch, history):
            raise Odd("cannot be", "pickled")

        only = lambda callback: callback if rank == 1 else None
        attempt("labels", y=y[mine] + 7 * (rank == 1))
        attempt("shape", X=X[:, mine] if rank != 2 else X[:5, mine])
        attempt("callback", callback=only(fails))
        attempt("batch size", batch_size=4 + rank)
        attempt("mean", mean=0.5 * rank)
        attempt("no example", X=X[:, :0], y=y[:0])
        attempt("no weight", sample_weight=np.zeros(10))
        attempt("interrupt", callback=only(interrupt))
        if rank == 1:  # in the middle of an epoch
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        attempt("in an epoch", X=np.tile(X[:, mine], 5000), y=np.tile(y[mine], 5000), epochs=10**6)
        attempt("nothing")
    """)  # fmt: skip
    seen = {}
    for line in lines:
        seen.setdefault(line["case"], {})[line["rank"]] = line
    for case, error, rank, text in [
        ("labels", "ValueError", 1, "fit: y[0] is 7"), ("shape", "ValueError", 2, "fit: X is (5, 10)"),
        ("callback", "Odd", 1, "cannot be pickled"), ("batch size", "ValueError", None, "5 on rank 1"),
        ("mean", "ValueError", None, "mean must be the same"), ("no example", "ValueError", None, "no example"),
        ("no weight", "ValueError", None, "sample_weight is 0"), ("interrupt", "KeyboardInterrupt", 1, ""),
        ("in an epoch", "KeyboardInterrupt", 1, ""), ("nothing", "NoneType", None, "None"),
    ]:  # fmt: skip
        for here, line in seen.pop(case).items():
            elsewhere = rank is not None and here != rank
            assert line["error"] == ("RuntimeError" if case == "callback" and elsewhere else error), line
            assert text in line["text"] and line["same"] and line["handler"], line
            assert (line["cause"] == "Elsewhere") == elsewhere, line
            assert line["seconds"] < 20, line
    assert not seen


def test_training_starts_from_the_weights_of_rank_0_and_a_callback_stops_all(tmp_path):
    lines = reports(tmp_path, 2, """
        X, y = examples(40)
        net = nnc.MLP([6, 5, 3], seed=rank)
        before = comm.bcast(net.weights[0])
        net.fit(X[:, rank::2], y[rank::2], epochs=0, comm=comm, progress=False)
        same = np.array_equal(net.weights[0], before)
        stop = (lambda epoch, history: epoch == 2) if rank == 1 else None
        history = net.fit(X[:, rank::2], y[rank::2], comm=comm, callback=stop, progress=False)
        report(same=same, epochs=len(history.loss))
    """)  # fmt: skip
    assert [(line["same"], line["epochs"]) for line in lines] == [(True, 3)] * 2


def test_shares_may_be_memory_mapped(tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (50, 6), dtype=np.uint8)
    np.save(tmp_path / "X.npy", X)
    lines = reports(tmp_path, 2, """
        X = np.load(sys.argv[1], mmap_mode="r")
        mine = X[: 30] if rank == 0 else X[30:]
        y = np.arange(50)[: 30] % 3 if rank == 0 else np.arange(50)[30:] % 3
        options = dict(epochs=3, batch_size=8, seed=0, progress=False)
        net, one = (nnc.MLP([6, 5, 3], seed=0, mean=128, std=70, dtype="f8") for _ in range(2))
        net.fit(mine.T, y, comm=comm, **options)
        one.fit(np.array(X).T, np.arange(50) % 3, **options)
        report(apart=float(np.abs(net.weights[0] - one.weights[0]).max()), mapped=isinstance(mine.T, np.memmap))
    """, tmp_path / "X.npy")  # fmt: skip
    assert all(line["apart"] < 1e-12 and line["mapped"] for line in lines)


def test_the_command_line_prints_once(tmp_path):
    command = ["-m", "nnc", "train", "--epochs", "1", "--batch-size", "500", "--layers", "784,10"]
    done = mpiexec(2, *command, "--out", tmp_path / "net.npz")
    alone = subprocess.run([sys.executable, *command], env=os.environ | ALLOWED, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, wrote = [re.sub(r"[,;] [0-9.]+ s.*|; 2 ranks", "", line) for line in done.stdout.splitlines()]
    assert lines == [re.sub("[,;] [0-9.]+ s.*", "", line) for line in alone.stdout.splitlines()]
    assert wrote.startswith("wrote") and (tmp_path / "net.npz").exists()
    failed = mpiexec(2, "-m", "nnc", "train", "--layers", "3,2")
    assert failed.returncode != 0 and failed.stderr.count("--layers starts with 3") == 1


def test_the_program_in_the_documentation_runs(tmp_path):
    text = (ROOT / "docs" / "tutorials" / "mpi.md").read_text(encoding="utf-8")
    program, *commands = re.findall(r"```(?:{code-block} python|console)\n(.*?)```", text, re.DOTALL)
    (tmp_path / "train.py").write_text(program)
    assert "python -m mpi4py train.py" in commands[0]
    done = mpiexec(2, "-m", "mpi4py", "train.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (_, _), (X_val, y_val) = nnc.data.digits()
    assert nnc.MLP.load(tmp_path / "model.npz").accuracy(X_val.T, y_val) > 0.8


def test_a_comm_that_is_not_a_communicator_is_an_error():
    """Without mpiexec, a process is a world of one."""
    X, y = np.ones((2, 3)), [0, 1, 0]
    code = "import nnc; nnc.MLP([2, 2]).fit([[1, 2], [3, 4]], [0, 1], comm={})"
    for comm, error in [("3", "TypeError: fit: comm must be a communicator of mpi4py"),
                        ("__import__('mpi4py.MPI').MPI.COMM_NULL", "fit: comm is MPI.COMM_NULL")]:  # fmt: skip
        done = subprocess.run([sys.executable, "-c", code.format(comm)], env=os.environ | ALLOWED, capture_output=True,
                              text=True)  # fmt: skip
        assert error in done.stderr.splitlines()[-1]
    assert nnc.MLP([2, 2]).fit(X, y, comm=None, progress=False).loss


KILLS = int(os.environ.get("NNC_MPI_KILLS", 3))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS))
def test_killing_a_rank_ends_all(tmp_path, seed):
    """At any moment, also during a reduction."""
    path = tmp_path / "program.py"
    path.write_text(BEGIN + textwrap.dedent("""
        X, y = examples(3000)
        if rank == int(sys.argv[1]):
            threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
        net = nnc.MLP([6, 50, 3], seed=0)
        comm.Barrier()
        report()
        net.fit(X, y, epochs=10**9, comm=comm, validation=(X, y), progress=False)
    """))  # fmt: skip
    rng = random.Random(seed)
    after = rng.uniform(0, 1)
    start = time.monotonic()
    done = mpiexec(2, path, rng.randrange(2), after)
    assert done.returncode != 0
    assert time.monotonic() - start < 10 + after
