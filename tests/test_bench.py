"""The benchmarks measure what they say: figures of a report, pictures, a real peer beside nnc. No speed is judged."""

import os
import pathlib

import numpy as np
import pytest

import bench.__main__ as program
from bench import (
    core_to_core,
    epoch,
    estimators,
    matmul,
    overhead,
    peak,
    pictures,
    predict,
    ranks,
    report,
    threads,
    worker,
)  # fmt: skip
from bench.peers import Process, installed

# 2e9 operations in a millisecond: 2000 GFLOP/s per thread; with loads 1600
FMA = {"fma": [[0.002, 0.004], [0.001, 0.002]], "near": [[0.00125, 0.002], [0.002, 0.002]],
       "far": [[0.002, 0.002]]}  # fmt: skip


def results(work, case, nnc, *others):
    rounds = {"nnc": {case: nnc}, "numpy": {case: others[0]}, "jax": {case: others[1]}, "peak": FMA}
    return report.Results(work, "float32", 1, rounds)


def test_best_median_ratio_and_share_of_the_peak():
    flop = epoch.flop("60,000 images")
    assert flop == 60000 * (2 * 2 * (784 * 200 + 200 * 10) + 2 * 200 * 10)  # forward, dW, and dA of the hidden layer
    seconds = flop / 2000e9
    nnc, jax = [[2 * seconds, 3 * seconds]] * 3, [[4 * seconds, 5 * seconds], [9, 9]]
    found = results(epoch, "60,000 images", nnc, [[9, 9]], jax)
    assert found.ahead("60,000 images") == "2.00×" and found.ratio("numpy", "60,000 images") == f"{4.5 / seconds:.0f}×"
    assert found.share("nnc", "60,000 images") == "50%" and found.share("jax", "60,000 images") == "25%"
    first, *_ = [line for line in report.table([found]).splitlines() if line.startswith("| nnc")]
    assert found.heading() == ("float32, 1 thread: the median 50% above the best; FMA peak 2000 GFLOP/s, with a "
                               "product's loads 1600, from L2 1000")
    assert first.split("|")[2].strip() == f"{2 * seconds:.3f}, 1.00×, 50%"


def test_a_table_has_a_row_for_each_case():
    case, other = list(matmul.CASES)[:2]
    rounds = {"nnc": {case: [[1e-4, 1e-4]], other: [[1e-4, 1e-4]]}, "numpy": {case: [[2e-4, 3e-4]]}, "peak": FMA}
    faster = rounds | {"numpy": {case: [[25e-4, 3e-3]]}}
    settings = ("float32", 1, rounds), ("float32", 2, faster), ("float64", 1, rounds)
    group = [report.Results(matmul, *arguments) for arguments in settings]
    head, _, *lines = report.table(group).splitlines()[:4]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (head, *lines)]
    assert cells[0] == ["float32, threads: 1 / 2", "nnc, GFLOP/s", "NumPy", "best, float64", "of the peak"]
    rate = matmul.value(case, 1e-4)
    assert cells[1] == [case, f"{rate:.1f} / {rate:.1f}", "2.00× / 25.0×", "2.00×",
                        f"{rate / 2000:.0%} / {rate / 4000:.0%}"]  # fmt: skip
    assert cells[2][0] == other and cells[2][2] == cells[2][3] == "" and len(set(map(len, (head, *lines)))) == 1


def test_a_block_of_a_page_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- figures: written by python -m bench --write -->\nold\n<!-- end of figures -->\nz\n")
    report.write(page, "figures", "new")
    report.write(page, "figures", "newer")
    assert page.read_text().splitlines()[::2] == ["a", "newer", "z"]
    with pytest.raises(ValueError, match="no block 'speed'"):
        report.write(page, "speed", "new")


def test_pictures(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    found = results(epoch, "60,000 images", [[0.1, 0.2]], [[0.3, 0.3]], [[0.4, 0.4]])
    assert pictures.epoch([found]).endswith("/epoch.png)") and (tmp_path / "epoch.png").stat().st_size > 1000


def test_the_model_of_ranks_is_the_one_of_the_documentation():
    page = (pathlib.Path(program.__file__).parents[1] / "docs" / "tutorials" / "mpi.md").read_text(encoding="utf-8")
    lines = list(ranks.tables())
    assert len(lines) == 2 + 12 + 1 + 2 + 4 and set(lines) <= set(page.splitlines())
    n = 784 * 200 + 200 + 200 * 10 + 10
    flop = 4 * (784 * 200 + 200 * 10) + 2 * 200 * 10
    alone, r = 512 * flop / ranks.RATE + 12 * n / ranks.MEMORY, 256 + np.sqrt(256 * np.log(2))
    assert ranks.step(ranks.SMALL, 512, 1, 1, 1) == pytest.approx(alone)
    both = r * flop / ranks.RATE + 12 * n / ranks.MEMORY + 2 * 1e-3 + 4 * n / 1e9
    assert ranks.step(ranks.SMALL, 512, 2, 1e-3, 1e9) == pytest.approx(both)
    hidden = both - ranks.step(ranks.SMALL, 512, 2, 1e-3, 1e9, overlap=True)  # the second layer's 1.4 %
    assert hidden == pytest.approx((2e-3 + 4 * n / 1e9) * (1 - 784 * 200 / n))


def test_a_measurement_is_of_one_run():
    calls = []
    best, middle = worker.measure(lambda: calls.append(0), 0.01)
    assert 0 < best <= middle < 1e-3 and len(calls) > 100
    assert worker.measure(lambda: None, 0)[0] < 5e-5  # although a sample takes longer than 1e-4


@pytest.mark.parametrize("peer", ["nnc", "numpy"])
def test_a_peer_is_measured_in_a_process(peer, tmp_path):
    process = Process(peer, "overhead", threads=1, dtype="float32", folder=tmp_path, quick=True)
    cases = process.ready()
    found = process.round(0.001)
    process.close()
    assert list(found) == cases and "matmul, 4×4" in cases
    assert all(0 < best <= middle for best, middle in found.values())


def test_a_peer_that_fails_says_why(tmp_path):
    process = Process("nnc", "epoch", threads=1, dtype="float32", folder=tmp_path, quick=True)  # without its images
    with pytest.raises(RuntimeError, match=r"X\.npy"):
        process.ready()
    process.close()


def test_the_peak_is_a_number_of_operations():
    runs = dict(peak.RUNS["peak"](1, "float64", None, True))
    assert set(runs) == set(FMA) and all(run() >= peak.FLOP for run in runs.values())
    assert peak.gflops(0.001, 2) == pytest.approx(4000)


def test_the_time_from_core_to_core():
    assert core_to_core.seconds(1) == 0
    if len(os.sched_getaffinity(0)) > 1:
        assert 1e-9 < core_to_core.seconds(2) < 1e-2
    assert core_to_core.note(0, 0) == ""
    assert core_to_core.note(44e-9, 50e-9) == "from core to core 44 ns before and 50 ns after: near"
    assert core_to_core.note(44e-9, 180e-9).endswith("moved between near and far")
    far = report.Results(overhead, "float32", 2, {"nnc": {"add": [[1, 1]]}}, core_to_core.note(180e-9, 190e-9))
    assert far.heading() == ("float32, 2 threads: the median 0% above the best; "
                             "from core to core 180 ns before and 190 ns after: far")


def test_the_model_of_threads():
    """A step of 784-200-10 has 4 n m operations an example, 6 n m as the model counts them, and three barriers."""
    alone, barriers, lines = threads.work((784, 200, 10), 64)
    assert alone == 6 * 158800 * 64 / 256 + 4 * (158800 + 210) * 2 / 64 and (barriers, lines) == (3, 210 * 64 * 4 / 64)
    assert threads.best((784, 200, 10), 64, 2, 60)[0] == 2 and threads.best((64, 64, 10), 1, 8, 60) == (1, 1.0)
    assert threads.best((784, 200, 10), 64, 128, 1e6) == (1, 1.0)
    page = (report.HERE.parent / "csrc" / "README.md").read_text()
    shown = [row for row in threads.rows() if row in page]
    assert len(shown) == 10  # csrc/README.md has some of them


@pytest.mark.parametrize("peer", predict.RUNS)
def test_all_peers_predict_the_same(peer, tmp_path):
    """Every peer is compared with the net, line by line, before it is measured."""
    if not installed(peer):
        pytest.skip("not installed")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.integers(0, 256, (70, 784), np.uint8))
    np.save(tmp_path / "y.npy", np.arange(70) % 10)
    cases = [case for case, _ in predict.RUNS[peer](1, "float32", tmp_path, True)]
    assert "1 image" in cases and "64 images, uint8" in cases
    assert ("8 images, classes" in cases) == (peer != "nnc_forward")


def test_a_peer_that_dies_is_left_out(monkeypatch, tmp_path, capsys):
    """The others go on, and their rows are printed."""

    class Fake:
        def __init__(self, name, work, **options):
            self.name, self.rounds = name, 0

        def ready(self):
            return ["matmul, 1×1"]

        def round(self, budget):
            self.rounds += 1
            if self.name == "numpy" and self.rounds == 2:
                raise BrokenPipeError("gone")
            return {"matmul, 1×1": [1e-6, 2e-6]}

        def close(self):
            closed.append(self.name)

    closed = []
    monkeypatch.setattr(program, "Process", Fake)
    monkeypatch.setattr(program, "REST", 0)
    monkeypatch.setattr(overhead, "ROUNDS", 3)
    found = program.compete("overhead", "float32", 1, tmp_path, quick=False)
    assert "NumPy is left out: gone" in capsys.readouterr().out
    assert "nnc" in found.peers and "numpy" not in found.peers and closed[0] == "numpy"
    assert sorted(closed) == sorted({"numpy", *found.peers})


def test_what_is_compared_with_scikit_learn(tmp_path):
    """Every case has its data, and both modules an estimator that takes them; PyTorch has the row of Adam."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.integers(0, 256, (40, 784), np.uint8))
    np.save(tmp_path / "y.npy", np.arange(40) % 10)
    for case, shape in (("table", (1000, 20)), ("regression", (20640, 8)), ("sparse", (400, 100000))):
        (name,) = (name for name in estimators.CASES if case in name)
        X, y = estimators.data(name, "float32", tmp_path, True)
        assert X.shape == shape and len(y) == X.shape[0]
    for peer in estimators.MODULES:
        assert [case for case, _ in estimators.RUNS[peer](1, "float32", tmp_path, True)] == list(estimators.CASES)
    assert {"torch", "torch_compile"} < set(estimators.RUNS) and estimators.ADAM in estimators.CASES
