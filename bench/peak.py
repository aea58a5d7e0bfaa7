"""The processor's limit: multiply-adds per second, without loads and with those that a product needs, from L1 or from
L2; measured in the same rounds as the peers."""

import ctypes
from functools import partial

from .native import library

FLOP = 2e9  # of one run, on each thread


def _run(threads, dtype):
    found = library("peak.c", f"-DREAL={'float' if dtype == 'float32' else 'double'}")
    loops = {"fma": found.peak, "near": found.peak_with_near_loads, "far": found.peak_with_far_loads}
    for case, function in loops.items():
        function.restype, function.argtypes = ctypes.c_double, (ctypes.c_int, ctypes.c_double)
        assert FLOP <= function(threads, FLOP) < 1.001 * FLOP
        yield case, partial(function, threads, FLOP)


def gflops(seconds, threads):
    return FLOP * threads / seconds * 1e-9


RUNS = {"peak": lambda threads, dtype, folder, quick: _run(threads, dtype)}
