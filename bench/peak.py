"""The processor's own limit: multiply-adds a second, measured beside the peers, in the same rounds."""

import ctypes

from .native import library

FLOP = 2e9  # of one run, on each thread


def _run(threads, dtype, *flags):
    peak = library("peak.c", f"-DREAL={'float' if dtype == 'float32' else 'double'}", *flags).peak
    peak.restype, peak.argtypes = ctypes.c_double, (ctypes.c_int, ctypes.c_double)
    assert FLOP <= peak(threads, FLOP) < 1.001 * FLOP
    yield "fma", lambda: peak(threads, FLOP)


def gflops(seconds, threads):
    return FLOP * threads / seconds * 1e-9


RUNS = {
    "peak": lambda threads, dtype, folder, quick: _run(threads, dtype),
    "peak_avx2": lambda threads, dtype, folder, quick: _run(threads, dtype, "-mno-avx512f"),
}
