"""Matrix products C (n, p) = A (n, m) B (m, p): those of a step of 784-200-10, a vector, and larger ones."""

import ctypes

import numpy as np

from .peers import mkl_library

TITLE = "Matrix product"
UNIT, DECIMALS = "GFLOP/s", 1
DTYPES = {"float32": slice(None), "float64": slice(0, 1)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0.05, 3

CASES = {  # name: n, m, p, and which operand is a transposed view
    "W1 X, 200×784×64": (200, 784, 64, "B"),  # X.T, images as rows
    "dZ1 Xᵀ, 200×64×784": (200, 64, 784, ""),
    "W2 A1, 10×200×64": (10, 200, 64, ""),
    "W2ᵀ dZ2, 200×10×64": (200, 10, 64, "A"),
    "dZ2 A1ᵀ, 10×64×200": (10, 64, 200, "B"),
    "one image, 200×784×1": (200, 784, 1, "B"),
    "64×64×64": (64, 64, 64, ""),
    "256×256×256": (256, 256, 256, ""),
    "1024×1024×1024": (1024, 1024, 1024, ""),
    "10,000 images, 200×784×10000": (200, 784, 10000, "B"),
}


def flop(case):
    n, m, p, _ = CASES[case]
    return 2 * n * m * p


def value(case, seconds):
    return flop(case) / seconds * 1e-9


def operands(case, dtype):
    n, m, p, transposed = CASES[case]
    rng = np.random.default_rng(0)
    A, B = (rng.standard_normal(shape).astype(dtype) for shape in ((n, m), (m, p)))
    # a transposed view has the same numbers in the other memory order
    return (np.asfortranarray(A) if "A" in transposed else A), (np.asfortranarray(B) if "B" in transposed else B)


def _runs(prepare):
    """prepare(threads) gives a function that makes one run of a pair of operands."""

    def runs(threads, dtype, folder, quick):
        run = prepare(threads)
        for case in CASES:
            A, B = operands(case, dtype)
            product = run(A, B)
            C = np.asarray(product())
            bound = 2 * A.shape[1] * np.finfo(dtype).eps * (abs(A) @ abs(B))
            assert (abs(C - A.astype(np.float64) @ B) <= bound).all(), case
            yield case, product

    return runs


def numpy(threads):
    return lambda A, B: lambda: A @ B


def nnc(threads):
    import nnc

    nnc.set_num_threads(threads)
    return lambda A, B: lambda: nnc.matmul(A, B)


def torch(threads):
    import torch

    torch.set_num_threads(threads)

    def run(A, B):
        a, b = torch.from_numpy(A), torch.from_numpy(B)  # strides are kept
        return lambda: torch.mm(a, b)

    return run


def jax(threads):
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")

    def run(A, B):
        views = [M.flags.c_contiguous for M in (A, B)]
        a, b = (jax.numpy.asarray(M if view else M.T) for M, view in zip((A, B), views, strict=True))
        product = jax.jit(lambda a, b: (a if views[0] else a.T) @ (b if views[1] else b.T))
        return lambda: product(a, b).block_until_ready()

    return run


def mkl(threads):
    lib = ctypes.CDLL(str(mkl_library()), mode=ctypes.RTLD_GLOBAL)
    lib.MKL_Set_Num_Threads(threads)
    rows, plain, transposed = 101, 111, 112  # CBLAS's constants

    def run(A, B):
        (n, m), p = A.shape, B.shape[1]
        C = np.empty((n, p), A.dtype)
        gemm, real = (lib.cblas_sgemm, ctypes.c_float) if A.dtype == np.float32 else (lib.cblas_dgemm, ctypes.c_double)
        ta, tb = (not M.flags.c_contiguous for M in (A, B))
        arguments = (rows, transposed if ta else plain, transposed if tb else plain, n, p, m, real(1),
                     ctypes.c_void_p(A.ctypes.data), n if ta else m, ctypes.c_void_p(B.ctypes.data), m if tb else p,
                     real(0), ctypes.c_void_p(C.ctypes.data), p)

        def product(operands=(A, B)):  # they must outlive their addresses
            gemm(*arguments)
            return C

        return product

    return run


RUNS = {
    "nnc": _runs(nnc),
    "numpy": _runs(numpy),
    "mkl": _runs(mkl),
    "jax": _runs(jax),
    "torch": _runs(torch),
}
