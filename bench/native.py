"""Compiles the C programs of this folder for the processor it runs on."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent


def library(source, *flags):
    """`source` compiled and loaded; RuntimeError with the compiler's last line if that fails."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "native.so")
        compiler = os.environ.get("CC") or next(filter(None, map(shutil.which, ("gcc", "cc", "clang"))), "cc")
        options = ["-std=gnu11", "-O3", "-march=native", "-pthread", "-shared", "-fPIC", "-o", str(target)]
        command = [compiler, *options, str(SOURCES / source), *flags, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{source}: {done.stderr.strip().splitlines()[-1]}")
        return ctypes.CDLL(str(target))


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)
