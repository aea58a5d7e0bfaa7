r"""NumPy's linear algebra: determinants, inverses, systems of equations, factorisations, norms.

The formulas are those of M. Giles, *An extended collection of matrix derivative results for forward and reverse mode
automatic differentiation* (2008), unless another source is named. All take stacks of matrices, and g with further axes
in front, since every product is one of the last two axes.

A factorisation returns several arrays, and a Node has one value: its row packs them into one (`packed`), and each array
is a slice of that. So their gradients arrive together, 0 where an array was not used. The signs of vectors, and the
basis where two eigenvalues or singular values are equal, are the library's choice: a function that depends on it has no
derivative there, and gets infinities; one that does not, such as the sum of all eigenvalues, gets its gradient.

`cholesky` and `eigh` read one triangle of A, as NumPy's do, and so the gradient of the other one is 0. Where A was
computed as a symmetric matrix, what it was computed from gets the same gradient as from one that is split evenly.
"""

import math
from collections import namedtuple
from functools import lru_cache

import numpy as np

from . import batch_axes
from .composed import implements
from .dispatch import is_node, operation, refuse, value_of
from .operations import row
from .vjps import restore_axes

EighResult = namedtuple("EighResult", ("eigenvalues", "eigenvectors"))
QRResult = namedtuple("QRResult", ("Q", "R"))
SlogdetResult = namedtuple("SlogdetResult", ("sign", "logabsdet"))
SVDResult = namedtuple("SVDResult", ("U", "S", "Vh"))


def t(A):
    """The transpose of each matrix."""
    return np.swapaxes(A, -1, -2)


def column(x):
    return np.expand_dims(x, -1)


def row_of(x):
    return np.expand_dims(x, -2)


def matrices_of(own):
    """The `batch` of a row whose result has `own` axes for each matrix: the batch axes are the operand's."""

    def batch(operand, i, node, k):
        axis = k - (node.ndim - own) + operand.ndim - 2
        return axis if k < node.ndim - own and axis >= 0 and operand.shape[axis] == node.shape[k] else None

    return batch


def triangle(S, upper):
    """The gradient of the triangle that is read: it gets the sum of S's entries on both sides of the diagonal."""
    both = S + t(S)
    is_lower = np.tri(S.shape[-1], k=-1, dtype=bool)
    return np.where(is_lower.T if upper else is_lower, both, np.where(np.eye(S.shape[-1], dtype=bool), S, 0))


def quotient(E, D):
    """E / D, and 0 where both are 0: on the diagonal, and where nothing depends on the choice of a basis.

    For Nodes, whose result may be differentiated, it is 0 on the diagonal only.
    """
    is_free = np.eye(D.shape[-1], dtype=bool)
    if not is_node(E):
        is_free = is_free | (D == 0) & (E == 0)
    return np.where(is_free, 0, E / np.where(is_free, 1, D))


def packed(front, *parts):
    """Arrays with the batch axes `front`, flattened behind these and concatenated."""
    return np.concatenate([np.reshape(part, (*front, math.prod(part.shape[len(front) :]))) for part in parts], -1)


def unpacked(x, *shapes):
    parts, start = [], 0
    for shape in shapes:
        stop = start + math.prod(shape)
        parts.append(np.reshape(x[..., start:stop], x.shape[:-1] + shape))
        start = stop
    return parts


# fmt: off

# ---- determinants and inverses


def cofactors(C, A):
    """The derivative of the determinant: det A A⁻ᵀ, and where A has no inverse one determinant for each entry."""
    n = A.shape[-1]
    is_regular = np.linalg.cond(value_of(A)) < 1e3 if is_node(A) else np.not_equal(C, 0)
    if np.all(is_regular):  # in second derivatives A⁻ᵀ loses the digits of cond² A
        return column(column(C)) * t(np.linalg.inv(A))
    others = np.array([[j for j in range(n) if j != i] for i in range(n)], int).reshape(n, max(n - 1, 0))
    minors = A[..., others[:, None, :, None], others[None, :, None, :]]
    return np.linalg.det(minors) * (-1.0) ** np.add.outer(np.arange(n), np.arange(n))


row("det", np.linalg.det, r"\det {0}",
    (lambda g, C, A: column(column(g)) * cofactors(C, A), r"{g}\,{out}\,{0}^{-T}"), batch=matrices_of(0))
row("inv", np.linalg.inv, r"{0}^{-1}", (lambda g, C, A: -(t(C) @ g @ t(C)), r"-{out}^T\,{g}\,{out}^T"),
    batch=matrices_of(2))


@operation
def logabsdet(A):
    return np.linalg.slogdet(A)[1]


row("logabsdet", logabsdet, r"\ln |\det {0}|",
    (lambda g, C, A: column(column(g)) * t(np.linalg.inv(A)), r"{g}\,{0}^{-T}"), batch=matrices_of(0))


@implements(np.linalg.slogdet)
def slogdet(a):
    """The sign is piecewise constant, and a plain array."""
    return SlogdetResult(np.linalg.slogdet(a.value)[0], logabsdet(a))


def pinv_back(g, P, A, rcond=None, rtol=None):
    """G. Golub and V. Pereyra, *The differentiation of pseudo-inverses ...* (1973), for constant rank."""
    gT, PT = t(g), t(P)
    outside = gT - A @ (P @ gT), gT - (gT @ P) @ A  # what the projections A P and P A leave out
    return outside[0] @ (P @ PT) + (PT @ P) @ outside[1] - PT @ g @ PT


row("pinv", np.linalg.pinv, r"{0}^{+}", (pinv_back,
     r"(I - {0}\,{out})\,{g}^T\,{out}\,{out}^T + {out}^T\,{out}\,{g}^T\,(I - {out}\,{0}) - {out}^T\,{g}\,{out}^T"),
    params="rcond - rtol",
    batch=matrices_of(2))

# ---- systems of equations


def solve_back(g, X, A, B):
    return np.linalg.solve(t(A), column(g))[..., 0] if B.ndim == 1 else np.linalg.solve(t(A), g)


def solve_matrix_back(g, X, A, B):
    dB = solve_back(g, X, A, B)
    return -(column(dB) @ row_of(X)) if B.ndim == 1 else -(dB @ t(X))


def solve_batch(operand, i, node, k):
    """The columns of X are those of B; its rows depend on all rows of A and B."""
    of_vector = node.inputs[1].ndim == 1
    if not of_vector and k == node.ndim - 1:
        return operand.ndim - 1 if i else None
    return matrices_of(1 if of_vector else 2)(operand, i, node, k) if operand.ndim > 1 else None


row("solve", np.linalg.solve, r"{0}^{-1}\,{1}",
    (solve_matrix_back, r"-{0}^{-T}\,{g}\,{out}^T"), (solve_back, r"{0}^{-T}\,{g}"), batch=solve_batch)


@operation
def least_squares(A, B, rcond=None):
    return np.linalg.lstsq(A, B, rcond)[0]


def least_squares_back(g, X, A, B, rcond=None):
    """dA from X = A⁺ B, with the derivative of A⁺ as in `pinv`; the vectors as columns."""
    P = np.linalg.pinv(A, rcond=least_squares_cutoff(A, rcond))
    if B.ndim == 1:
        g, X, B = column(g), column(X), column(B)
    PTg = t(P) @ g
    return (B - A @ X) @ t(P @ PTg) + (t(P) @ X) @ (t(g) - (t(g) @ P) @ A) - PTg @ t(X)


def least_squares_right(g, X, A, B, rcond=None):
    P = np.linalg.pinv(A, rcond=least_squares_cutoff(A, rcond))
    return (t(P) @ column(g))[..., 0] if B.ndim == 1 else t(P) @ g


def least_squares_cutoff(A, rcond):
    return np.finfo(A.dtype).eps * max(A.shape) if rcond is None else rcond


row("lstsq", least_squares, r"{0}^{+}\,{1}",
    (least_squares_back,
     r"({1} - {0}\,{out})\,(P\,P^T\,{g})^T + P^T\,{out}\,({g} - P\,{0}\,{g})^T - P^T\,{g}\,{out}^T"),
    (least_squares_right, r"({0}^{+})^T\,{g}"), params="rcond",
    batch=lambda operand, i, node, k: operand.ndim - 1 if i and k == node.ndim - 1 and operand.ndim > 1 else None)


@implements(np.linalg.lstsq)
def lstsq(a, b, rcond=None):
    """(x, residuals, rank, s); the rank is a plain number."""
    if np.ndim(a) != 2:
        raise np.linalg.LinAlgError(f"np.linalg.lstsq: a is {np.shape(a)}, but must be a matrix")
    x = least_squares(a, b, rcond=rcond)
    value = value_of(a)
    _, left, rank, _ = np.linalg.lstsq(value, np.zeros(len(value)), rcond)
    m, n = np.shape(a)
    residuals = np.sum((b - np.matmul(a, x)) ** 2, 0) if rank == n and m > n else left
    residuals = np.reshape(residuals, (1,)) if np.ndim(b) == 1 and np.size(residuals) else residuals
    return x, residuals, rank, np.linalg.svdvals(a)


# ---- factorisations


def cholesky_back(g, C, A, upper=False):
    """I. Murray, *Differentiation of the Cholesky decomposition* (2016)."""
    L, g = (t(C), t(g)) if upper else (C, g)
    half = np.tri(A.shape[-1]) - 0.5 * np.eye(A.shape[-1])
    P = np.linalg.solve(t(L), (t(L) @ g) * half.astype(A.dtype))
    S = t(np.linalg.solve(t(L), t(P)))
    return triangle((S + t(S)) * 0.5, upper)


row("cholesky", np.linalg.cholesky, r"\mathrm{chol}({0})",
    (cholesky_back, r"{out}^{-T}\,\Phi({out}^T\,{g})\,{out}^{-1}"), params="upper", batch=matrices_of(2))


def eigenvalues_back(g, w, A, UPLO="L"):
    V = np.linalg.eigh(A, UPLO).eigenvectors
    return triangle((V * row_of(g)) @ t(V), UPLO.upper() == "U")


row("eigvalsh", np.linalg.eigvalsh, r"\mathrm{eigvals}({0})",
    (eigenvalues_back, r"V\,\mathrm{diag}({g})\,V^T"), params="UPLO", batch=matrices_of(1))


@operation
def packed_eigh(A, UPLO="L"):
    return packed(A.shape[:-2], *np.linalg.eigh(A, UPLO))


def eigh_back(g, C, A, UPLO="L"):
    n = A.shape[-1]
    (w, V), (dw, dV) = (unpacked(x, (n,), (n, n)) for x in (C, g))
    inner = quotient(t(V) @ dV, row_of(w) - column(w)) + column(dw) * np.eye(n, dtype=A.dtype)
    S = V @ inner @ t(V)
    return triangle((S + t(S)) * 0.5, UPLO.upper() == "U")


row("eigh", packed_eigh, r"\mathrm{eigh}({0})", (eigh_back, r"V\,(\mathrm{diag}(dw) + F \circ V^T\,dV)\,V^T"),
    params="UPLO", batch=matrices_of(1))


@implements(np.linalg.eigh)
def eigh(a, UPLO="L"):
    n = a.shape[-1]
    return EighResult(*unpacked(packed_eigh(a, UPLO=UPLO), (n,), (n, n)))


def singular_values_back(g, S, A):
    """A singular value has a kink at 0, where its gradient is 0."""
    U, S, Vh = np.linalg.svd(A, full_matrices=False)
    return (U * row_of(g * np.sign(S))) @ Vh


row("svdvals", np.linalg.svdvals, r"\mathrm{svdvals}({0})",
    (singular_values_back, r"U\,\mathrm{diag}({g})\,V^T"), batch=matrices_of(1))


def svd_shapes(A):
    m, n = A.shape[-2:]
    return (m, min(m, n)), (min(m, n),), (min(m, n), n)


@operation
def packed_svd(A):
    return packed(A.shape[:-2], *np.linalg.svd(A, full_matrices=False))


def svd_back(g, C, A):
    """J. Townsend, *Differentiating the singular value decomposition* (2016)."""
    (U, S, Vh), (dU, dS, dVh) = (unpacked(x, *svd_shapes(A)) for x in (C, g))
    J, K, s = t(U) @ dU, Vh @ t(dVh), column(S)
    gaps = (row_of(S) - s) * (row_of(S) + s)
    inner = quotient(J - t(J), gaps) * row_of(S) + s * quotient(K - t(K), gaps) + s_diagonal(dS)
    dA = U @ inner @ Vh
    if A.shape[-2] > S.shape[-1]:
        dA = dA + ratio(dU - U @ J, row_of(S)) @ Vh
    if A.shape[-1] > S.shape[-1]:
        dA = dA + U @ ratio(dVh - t(K) @ Vh, s)
    return dA


def s_diagonal(dS):
    return column(dS) * np.eye(dS.shape[-1], dtype=dS.dtype)


def ratio(E, s):
    """E / s, and 0 where both are 0."""
    is_free = False if is_node(E) else (s == 0) & (E == 0)
    return E / np.where(is_free, 1, s)


row("svd", packed_svd, r"\mathrm{svd}({0})", (svd_back, r"U\,(\mathrm{diag}(dS) + \ldots)\,V^T"),
    batch=matrices_of(1))


@implements(np.linalg.svd)
def svd(a, full_matrices=True, compute_uv=True, hermitian=False):
    if hermitian:
        raise TypeError("np.linalg.svd: hermitian=True does not work on Nodes; np.linalg.eigh does")
    if not compute_uv:
        return np.linalg.svdvals(a)
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise TypeError(f"np.linalg.svd: a is {a.shape}, and the vectors that make U and V square are arbitrary and "
                        "have no derivative; give full_matrices=False")  # fmt: skip
    return SVDResult(*unpacked(packed_svd(a), *svd_shapes(a)))


def qr_shapes(A):
    m, n = A.shape[-2:]
    return (m, min(m, n)), (min(m, n), n)


@operation
def packed_qr(A):
    return packed(A.shape[:-2], *np.linalg.qr(A))


def qr_back(g, C, A):
    """M. Seeger et al., *Auto-differentiating linear algebra* (2017); D. Roberts and L. Roberts, *QR and LQ
    decomposition matrix backpropagation algorithms for square, wide, and deep matrices* (2020)."""
    (Q, R), (dQ, dR) = (unpacked(x, *qr_shapes(A)) for x in (C, g))
    m, n = A.shape[-2:]
    if m >= n:
        return qr_tall(Q, R, dQ, dR)
    dX = qr_tall(Q, R[..., :m], dQ + A[..., m:] @ t(dR[..., m:]), dR[..., :m])  # A = Q [U V], so that V = Qᵀ Y
    return np.concatenate((dX, Q @ dR[..., m:]), -1)


def qr_tall(Q, R, dQ, dR):
    M = R @ t(dR) - t(dQ) @ Q
    is_lower, is_below = (np.tri(R.shape[-1], k=k, dtype=bool) for k in (0, -1))
    M = np.where(is_lower, M, 0) + t(np.where(is_below, M, 0))
    return t(np.linalg.solve(R, t(dQ + Q @ M)))


row("qr", packed_qr, r"\mathrm{qr}({0})", (qr_back, r"(dQ + Q\,\mathrm{copyltu}(R\,dR^T - dQ^T\,Q))\,R^{-T}"),
    batch=matrices_of(1))


@implements(np.linalg.qr)
def qr(a, mode="reduced"):
    square = a.shape[-2] <= a.shape[-1]
    if mode not in ("reduced", "r") and not (mode == "complete" and square):
        raise TypeError(f"np.linalg.qr: a is {a.shape}, and the mode {mode!r} does not work on Nodes; reduced and r do")
    Q, R = unpacked(packed_qr(a), *qr_shapes(a))
    return R if mode == "r" else QRResult(Q, R)


# fmt: on

# ---- powers, chains of products, tensors -----------------------------------------------------------------------------


@implements(np.linalg.matrix_power)
def matrix_power(a, n):
    """By squaring."""
    if n == 0:
        return np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape).copy()
    if n < 0:
        a, n = np.linalg.inv(a), -n
    power = None
    while True:
        if n % 2:
            power = a if power is None else power @ a
        n //= 2
        if not n:
            return power
        a = a @ a


@implements(np.linalg.multi_dot)
def multi_dot(arrays):
    """In the order with the fewest multiplications; a vector at either end is a row or a column."""
    arrays = list(arrays)
    ends = np.ndim(arrays[0]) == 1, np.ndim(arrays[-1]) == 1
    arrays[0] = np.atleast_2d(arrays[0])
    arrays[-1] = np.expand_dims(arrays[-1], 1) if ends[1] else arrays[-1]
    sizes = [np.shape(arrays[0])[0], *[np.shape(a)[-1] for a in arrays]]

    @lru_cache(None)
    def cheapest(i, j):
        """(multiplications, where to split) for the arrays from i to j."""
        if i == j:
            return 0, None
        return min((cheapest(i, k)[0] + cheapest(k + 1, j)[0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                   for k in range(i, j))  # fmt: skip

    def product(i, j):
        k = cheapest(i, j)[1]
        return arrays[i] if k is None else np.matmul(product(i, k), product(k + 1, j))

    result = product(0, len(arrays) - 1)
    return result[(0 if ends[0] else slice(None), 0 if ends[1] else slice(None))]


@implements(np.linalg.tensorinv)
def tensorinv(a, ind=2):
    rows = math.prod(a.shape[ind:])
    return np.reshape(np.linalg.inv(np.reshape(a, (rows, -1))), a.shape[ind:] + a.shape[:ind])


@implements(np.linalg.tensorsolve)
def tensorsolve(a, b, axes=None):
    if axes is not None:
        a = np.moveaxis(a, axes, range(np.ndim(a) - len(axes), np.ndim(a)))
    shape = np.shape(a)[np.ndim(b) :]
    return np.reshape(np.linalg.solve(np.reshape(a, (np.size(b), math.prod(shape))), np.ravel(b)), shape)


# ---- norms -----------------------------------------------------------------------------------------------------------


@operation
def length(A, ord=2, axis=None, keepdims=False):
    """(Σ |A|^p)^(1/p)."""
    if ord == 2:
        return np.sqrt(np.add.reduce(A * A, axis, keepdims=keepdims))
    return np.add.reduce(abs(A) ** ord, axis, keepdims=keepdims) ** (1 / ord)


def length_back(g, C, A, ord=2, axis=None, keepdims=False):
    """g sign(A) |A / C|^(p-1), and 0 where the norm is 0."""
    g, C = restore_axes(g, A.ndim, axis, keepdims), restore_axes(C, A.ndim, axis, keepdims)
    is_zero = np.equal(C, 0)
    slope = A / np.where(is_zero, 1, C)
    slope = slope if ord == 2 else np.sign(A) * abs(slope) ** (ord - 1)
    return g * np.where(is_zero, 0, slope)


row("norm", length, r"\|{0}\|", (length_back, r"{g} \circ \frac{{0}}{{out}}"), params="ord axis keepdims",
    kinks=lambda A, **params: np.sign(length(A, **params)), batch=batch_axes.reduction)  # fmt: skip


@implements(np.linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    axes = tuple(range(x.ndim)) if axis is None else tuple(int(d) % x.ndim for d in np.atleast_1d(axis))
    if ord is None or (axis is None and (ord, x.ndim) == ("fro", 2)):
        return length(x, axis=axes, keepdims=keepdims)
    if len(axes) == 1:
        return np.linalg.vector_norm(x, axis=axes[0], keepdims=keepdims, ord=ord)
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ValueError(f"np.linalg.norm: x is {x.shape} and the axes are {axes}; a norm with an order is of "
                         "vectors, along one axis, or of matrices, along two")  # fmt: skip
    norms = np.linalg.matrix_norm(np.moveaxis(x, axes, (-2, -1)), ord=ord)
    return np.expand_dims(norms, axes) if keepdims else norms


@implements(np.linalg.vector_norm)
def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    if isinstance(ord, str):
        raise ValueError(f"np.linalg.norm: the order {ord!r} is for matrices, and x is {x.shape}")
    size = np.abs(x)
    if ord in (np.inf, -np.inf):
        return (np.max if ord > 0 else np.min)(size, axis, keepdims=keepdims)
    if ord == 0:  # how many are not 0 is a plain number
        return np.sum(np.not_equal(x, 0), axis, x.dtype, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis, keepdims=keepdims)
    return length(x, ord=ord, axis=axis, keepdims=keepdims)


@implements(np.linalg.matrix_norm)
def matrix_norm(x, /, *, keepdims=False, ord="fro"):
    if ord == "fro":
        return length(x, axis=(-2, -1), keepdims=keepdims)
    if ord in (2, -2, "nuc"):
        norms = {2: np.max, -2: np.min, "nuc": np.sum}[ord](np.linalg.svdvals(x), -1)
    elif ord in (1, -1, np.inf, -np.inf):
        sums = np.sum(np.abs(x), -2 if abs(ord) == 1 else -1)
        norms = (np.max if ord > 0 else np.min)(sums, -1)
    else:
        raise ValueError(f"np.linalg.norm: the order is {ord!r}, but of matrices must be fro nuc inf -inf 1 -1 2 or -2")
    return np.expand_dims(norms, (-2, -1)) if keepdims else norms


@implements(np.linalg.cond)
def cond(x, p=None):
    if p in (None, 2, -2):
        s = np.linalg.svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, axis=(-2, -1))


refuse("the eigenvalues of a matrix that is not symmetric may be complex numbers, which Nodes do not support; "
       "np.linalg.eigh and eigvalsh work", np.linalg.eig, np.linalg.eigvals)  # fmt: skip
refuse("a rank is an integer, and has no derivative", np.linalg.matrix_rank)
