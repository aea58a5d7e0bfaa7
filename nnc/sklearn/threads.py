"""The engine's number of threads, as joblib, dask and threadpoolctl limit it.

joblib and dask limit the threads of their worker processes by OMP_NUM_THREADS. Worker *threads* of joblib share one
engine: while several of them train, each has an equal share of the cores.
"""

import os
import threading
from contextlib import contextmanager

import joblib
import threadpoolctl

from .._engine import get_num_threads, set_num_threads


def follow_the_environment():
    """OMP_NUM_THREADS limits the engine as it limits the BLAS libraries; NNC_NUM_THREADS, if set, takes precedence."""
    if "NNC_NUM_THREADS" in os.environ:
        return
    try:
        limit = int(os.environ["OMP_NUM_THREADS"].split(",")[0])
    except (KeyError, ValueError):
        return
    if 1 <= limit < get_num_threads():
        set_num_threads(limit)


class EngineController(threadpoolctl.LibController):
    """The engine's thread pool for ``threadpoolctl.threadpool_info`` and ``threadpoolctl.threadpool_limits``."""

    user_api = "nnc"
    internal_api = "nnc"
    filename_prefixes = ("_engine",)
    check_symbols = ("nnc_get_num_threads", "nnc_set_num_threads")

    def get_num_threads(self):
        return self.dynlib.nnc_get_num_threads()

    def set_num_threads(self, num_threads):
        self.dynlib.nnc_set_num_threads(num_threads)

    def get_version(self):
        return None


def register_controller():
    threadpoolctl.register(EngineController)


_BLAS_SHARES = 10_000  # the length of a vector from which OpenBLAS uses several threads

_lock = threading.Lock()
_sharing = 0  # worker threads of joblib that are inside the engine
_before = 0
_limits_blas = threading.Lock()  # held by the thread that has limited the BLAS


@contextmanager
def share_of_the_cores():
    """Within a worker thread of joblib, use an equal share of the engine's threads; elsewhere all of them."""
    global _sharing, _before
    backend, _ = joblib.parallel.get_active_backend()
    if not getattr(backend, "nesting_level", 0) or threading.current_thread() is threading.main_thread():
        yield
        return
    with _lock:
        if _sharing == 0:
            _before = get_num_threads()
        _sharing += 1
        set_num_threads(max(1, _before // _sharing))
    try:
        yield
    finally:
        with _lock:
            _sharing -= 1
            set_num_threads(_before if _sharing == 0 else max(1, _before // _sharing))


@contextmanager
def one_blas_thread(size):
    """Limit the BLAS to one thread while the engine and the BLAS alternate on vectors of this size.

    OpenBLAS's threads stay awake for milliseconds after their work, on the cores that the engine's threads need.
    If another thread has set the limit already, that thread also removes it.
    """
    if size < _BLAS_SHARES or not _limits_blas.acquire(blocking=False):
        yield
        return
    try:
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            yield
    finally:
        _limits_blas.release()
