"""The peers that are measured, what each needs, and the process it is measured in.

Each peer runs in its own process, so that no library's threads or settings affect another's. The process sets its work
up, then waits: the caller asks one peer after another for a round of measurements, so that other load on the machine
affects all of them alike.
"""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Peer:
    title: str
    needs: tuple = ()  # modules
    distribution: str = ""  # whose version to name


PEERS = {
    "peak": Peer("FMA peak"),
    "nnc": Peer("nnc"),
    "nnc_uint8": Peer("nnc, uint8 images"),
    "nnc_forward": Peer("nnc, line by line"),
    "blas_loop": Peer("C loop on OpenBLAS", ("scipy_openblas32",), "scipy-openblas32"),
    "mkl": Peer("MKL", ("mkl",), "mkl"),
    "numpy": Peer("NumPy", ("numpy",), "numpy"),
    "scipy": Peer("SciPy", ("scipy",), "scipy"),
    "jax": Peer("JAX", ("jax",), "jax"),
    "torch": Peer("PyTorch", ("torch",), "torch"),
    "torch_compile": Peer("PyTorch, compiled", ("torch",), "torch"),
    "onnxruntime": Peer("ONNX Runtime", ("onnxruntime", "onnx"), "onnxruntime"),
    "sklearn": Peer("scikit-learn", ("sklearn",), "scikit-learn"),
    "autograd": Peer("autograd", ("autograd",), "autograd"),
}


def installed(name):
    if name == "mkl":
        return mkl_library() is not None
    return all(importlib.util.find_spec(module) for module in PEERS[name].needs)


def mkl_library():
    """MKL's wheel has no module to import, only a library under the environment's lib folder."""
    return next(iter(sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))), None)


def version(name):
    return importlib.metadata.version(PEERS[name].distribution) if PEERS[name].distribution else ""


class Process:
    """One peer at one kind of work, on so many threads: `seconds = process.round(budget)` measures each case once."""

    def __init__(self, name, work, *, threads, dtype, folder, quick):
        # The first two choose OpenBLAS kernels by hand; a peer is measured with the kernels that it chooses itself.
        env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NNC_ISA")}
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NNC_NUM_THREADS")
        env |= dict.fromkeys(names, str(threads))
        if threads == 1:
            env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        arguments = [name, work, str(threads), dtype, str(folder), "quick" if quick else "full"]
        self.name = name
        self.errors = open(Path(folder, f"{name}.{work}.{dtype}.{threads}.log"), "w+")
        self.child = subprocess.Popen([sys.executable, "-m", "bench.worker", *arguments], cwd=ROOT, text=True, env=env,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)

    def _answer(self):
        line = self.child.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError((self.errors.read().strip().splitlines() or ["it ended without a message"])[-1])
        return json.loads(line)

    def ready(self):
        """Wait until the work is set up; RuntimeError with the last line of its errors if that fails."""
        return self._answer()

    def round(self, budget):
        """{case: [best, median] seconds of one run}, with `budget` seconds for each case."""
        self.child.stdin.write(f"{budget}\n")
        self.child.stdin.flush()
        return self._answer()

    def close(self):
        with contextlib.suppress(BrokenPipeError):  # the process may have ended without reading everything
            self.child.stdin.close()
        self.child.wait()
        self.child.stdout.close()
        self.errors.close()
