"""nnc.sklearn with the tools around scikit-learn: pipelines, searches, joblib, dask, threadpoolctl, larger data."""

import copy
import os
import pathlib
import runpy
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import joblib  # noqa: E402
import threadpoolctl  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.ensemble import AdaBoostClassifier, VotingClassifier  # noqa: E402
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import nnc  # noqa: E402
from nnc.sklearn import MLPClassifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

GRID = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__hidden_layer_sizes": [10, (20, 10)]}


def _digits():
    X, y = load_digits(return_X_y=True)
    return X[:500], y[:500]


def _pipeline():
    return make_pipeline(StandardScaler(), MLPClassifier(max_iter=10, learning_rate_init=0.01, random_state=0))


def test_a_search_gives_the_same_scores_on_every_backend():
    X, y = _digits()
    serial = GridSearchCV(_pipeline(), GRID, cv=2).fit(X, y)
    assert serial.best_score_ > 0.7
    before = nnc.get_num_threads()
    for backend in ("loky", "threading"):
        with joblib.parallel_config(backend):
            search = GridSearchCV(_pipeline(), GRID, cv=2, n_jobs=2).fit(X, y)
        assert search.best_params_ == serial.best_params_
        np.testing.assert_array_equal(search.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])
    assert nnc.get_num_threads() == before


def test_a_search_on_a_cluster():
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    X, y = _digits()
    serial = GridSearchCV(_pipeline(), GRID, cv=2).fit(X, y)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client, joblib.parallel_config("dask"):
            search = GridSearchCV(_pipeline(), GRID, cv=2, n_jobs=-1).fit(X, y)
            threads = client.run(_threads)
            assert len(client.scheduler_info()["workers"]) == 2
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])
    assert set(threads.values()) == {1}  # the number that dask sets for each worker


@pytest.fixture(scope="module")
def cluster_program(tmp_path_factory):
    """The documentation's program for the workers of a cluster, as a file."""
    text = (pathlib.Path(__file__).parents[1] / "docs" / "tutorials" / "mpi.md").read_text(encoding="utf-8")
    program = text.partition("{code-block} python\n# cluster.py\n")[2].partition("```")[0]
    path = tmp_path_factory.mktemp("cluster") / "cluster.py"
    path.write_text(program)
    return path


def test_partial_fit_on_workers(cluster_program):
    pytest.importorskip("distributed", reason="needs dask.distributed")
    root = pathlib.Path(nnc.__file__).parents[1]
    done = subprocess.run([sys.executable, cluster_program], env=os.environ | {"PYTHONPATH": str(root)},
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.85


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_averaged_weights_are_those_of_a_step_with_the_summed_gradient(cluster_program, dtype):
    pytest.importorskip("distributed", reason="needs dask.distributed")
    program = runpy.run_path(cluster_program)
    X, y = (array[:500] for array in program["load"](0, 2))
    X = X.astype(dtype)
    shares = [(X[:350], y[:350]), (X[350:], y[350:])]
    shared, one = (MLPClassifier(20, solver="sgd", momentum=0, alpha=0, learning_rate_init=0.1, batch_size=500,
                                 random_state=0) for _ in range(2))  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # batch_size is larger than the share and is clipped
        for _ in range(5):
            shared = program["average"]([program["one_epoch"](copy.deepcopy(shared), share) for share in shares])
            one.partial_fit(X, y, classes=range(10))
    for mine, right in zip(shared.coefs_ + shared.intercepts_, one.coefs_ + one.intercepts_, strict=True):
        assert mine.dtype == dtype
        # Five steps of at most lr, each a sum of 500 terms in another order
        np.testing.assert_allclose(mine, right, rtol=0, atol=5 * 0.1 * 500 * np.finfo(dtype).eps)


def _threads():
    import nnc.sklearn

    return nnc.get_num_threads()


def test_other_estimators_of_scikit_learn_accept_it():
    X, y = _digits()
    X = X / 16
    model = MLPClassifier(20, max_iter=20, learning_rate_init=0.02, random_state=0)
    assert cross_val_score(model, X, y, cv=3).min() > 0.8
    vote = VotingClassifier([("net", model), ("linear", LogisticRegression(max_iter=300))], voting="soft")
    assert vote.fit(X, y).score(X, y) > 0.95
    calibrated = CalibratedClassifierCV(model, cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    assert AdaBoostClassifier(model, n_estimators=2, random_state=0).fit(X, y).score(X, y) > 0.9


def test_a_pipeline_classifies_texts():
    texts = [f"{word} {other}" for word in ("cheap", "offer") for other in ("pills", "watches", "money")]
    texts += [f"{word} {other}" for word in ("meeting", "lunch") for other in ("monday", "tomorrow", "room")]
    y = np.repeat(["spam", "ham"], 6)
    model = make_pipeline(TfidfVectorizer(), MLPClassifier(10, solver="lbfgs", random_state=0)).fit(texts, y)
    assert model.score(texts, y) == 1 and list(model.predict(["cheap money", "lunch on monday"])) == ["spam", "ham"]


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_threadpoolctl_sees_the_engine_and_limits_it():
    mine = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "nnc"]
    assert len(mine) == 1 and mine[0]["num_threads"] == nnc.get_num_threads()
    before = nnc.get_num_threads()
    with threadpoolctl.threadpool_limits(1):
        assert nnc.get_num_threads() == 1
    assert nnc.get_num_threads() == before


@pytest.mark.parametrize("omp, nnc_, expected", [("1", None, 1), ("1", "2", 2), (None, None, 2), ("text", None, 2)])
def test_the_environment_limits_the_threads(omp, nnc_, expected):
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "NNC_NUM_THREADS")}
    env |= {k: v for k, v in (("OMP_NUM_THREADS", omp), ("NNC_NUM_THREADS", nnc_)) if v}
    code = "import nnc; n = nnc.get_num_threads(); import nnc.sklearn; print(n, nnc.get_num_threads())"
    words = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout.split()
    at_first, then = map(int, words)
    assert then == min(expected, at_first)


def test_threads_of_joblib_share_the_cores():
    if nnc.get_num_threads() < 2:
        pytest.skip("needs two cores")
    X, y = _digits()
    barrier, seen = threading.Barrier(2, timeout=60), []

    def callback(epoch, model):
        if epoch == 1:  # both are training now
            barrier.wait()
            seen.append(nnc.get_num_threads())
            barrier.wait()

    models = [MLPClassifier(max_iter=3, random_state=0, callback=callback) for _ in range(2)]
    before = nnc.get_num_threads()
    with joblib.parallel_config("threading"):
        joblib.Parallel(n_jobs=2)(joblib.delayed(model.fit)(X, y) for model in models)
    assert seen == [before // 2] * 2 and nnc.get_num_threads() == before


def _blas_threads():
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("hidden, within", [(200, 1), (2, 2)])
def test_lbfgs_limits_the_threads_of_the_blas(hidden, within):
    """SciPy's BLAS, whose waiting threads would occupy the engine's cores, is limited to one for a large vector."""
    X, y = _digits()
    seen = []

    def callback(epoch, model):
        seen.append(_blas_threads())

    model = MLPClassifier(hidden, solver="lbfgs", max_iter=2, callback=callback)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        if _blas_threads() != {2}:
            pytest.skip("needs a BLAS whose threads can be set")
        model.fit(X, y)
        assert seen == [{within}] * 2
        assert _blas_threads() == {2}


def test_two_lbfgs_at_once_restore_the_threads_of_the_blas():
    X, y = _digits()
    second_has_begun, first_has_ended = threading.Event(), threading.Event()

    def in_the_first(epoch, model):
        if epoch == 0:
            other.start()
            second_has_begun.wait(60)

    def in_the_second(epoch, model):
        second_has_begun.set()
        first_has_ended.wait(60)

    first, second = (
        MLPClassifier(200, solver="lbfgs", max_iter=2, callback=callback) for callback in (in_the_first, in_the_second)
    )
    other = threading.Thread(target=second.fit, args=(X, y))
    before = _blas_threads()
    first.fit(X, y)
    first_has_ended.set()
    other.join()
    assert _blas_threads() == before


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_examples_on_disk_take_no_memory(tmp_path):
    """Twice as many examples on disk: fit on them, and partial_fit a chunk at a time, take no more memory."""
    code = textwrap.dedent("""
        import resource, sys
        import numpy as np
        from nnc.sklearn import MLPRegressor

        path, how, r = sys.argv[1], sys.argv[2], int(sys.argv[3])
        X = np.memmap(path, np.float32, "r", shape=(r, 500))
        y = np.arange(r, dtype=np.float32) / r
        model = MLPRegressor(hidden_layer_sizes=10, max_iter=1, shuffle=how == "fit")

        def anonymous():  # without pages of the file, which the system can reclaim
            status = dict(line.split(":") for line in open("/proc/self/status"))
            return int(status["RssAnon"].split()[0])

        model.partial_fit(X[:1000], y[:1000])
        before = anonymous()
        most = [before]
        model.set_params(callback=lambda epoch, model: most.append(anonymous()) and None)
        if how == "fit":
            model.fit(X, y)
        else:
            for start in range(0, r, 1000):
                model.partial_fit(X[start : start + 1000], y[start : start + 1000])
        assert len(most) > 1
        print(max(most) - before)
    """)
    path = tmp_path / "X"
    np.memmap(path, np.float32, "w+", shape=(40000, 500))[:, ::7] = 0.5  # 80 MB
    for how in ("fit", "partial_fit"):
        run = [sys.executable, "-W", "ignore", "-c", code, str(path), how]
        grown = [
            int(subprocess.run([*run, r], capture_output=True, text=True, check=True).stdout)
            for r in ("20000", "40000")
        ]
        # 20,000 more examples are 40 MB; y, the order of the examples and the engine's copy of y 1 MB.
        assert grown[1] - grown[0] < 4096, (how, grown)
        assert grown[1] < 12288, (how, grown)
