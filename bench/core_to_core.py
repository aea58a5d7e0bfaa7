"""How long a message takes between cores: the gain of two threads over one depends on it, and a virtual machine may be
moved between near and far cores. Measured before and after every figure of more than one thread."""

import ctypes
import functools
import os
from concurrent.futures import ThreadPoolExecutor

from .native import library

NEAR = 130e-9  # seconds: 40 to 110 ns where the two cores share a cache, 170 and more where they do not


@functools.cache
def _core_to_core():
    function = library("core_to_core.c").core_to_core
    function.restype, function.argtypes = ctypes.c_double, (ctypes.c_int, ctypes.c_int)
    return function


def seconds(threads):
    """Seconds of a message, one way, from the first of the cores that `threads` threads work on to the farthest."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    first, *others = cores[:threads]
    with ThreadPoolExecutor(1) as executor:  # a thread that may be pinned to a core
        return max((executor.submit(_core_to_core(), first, other).result() for other in others), default=0.0)


def note(before, after):
    """The remark below a table."""
    if not (before and after):
        return ""
    far = ["near" if time < NEAR else "far" for time in (before, after)]
    return (f"from core to core {before * 1e9:.0f} ns before and {after * 1e9:.0f} ns after: "
            + (far[0] if far[0] == far[1] else "moved between near and far"))
