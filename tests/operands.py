"""Operands for the tests of operations."""

import numpy as np

rng = np.random.default_rng(7)
INITIAL_STATE = rng.bit_generator.state


def reset_rng():
    """Call it before a module's first operand, so that its examples do not depend on the modules imported before."""
    rng.bit_generator.state = INITIAL_STATE


def away(*shape):
    """Numbers of both signs, no two of them close, none close to 0 or 1: a finite difference crosses no kink."""
    size = int(np.prod(shape))
    return rng.permutation(np.linspace(-0.87, 0.9, size) if size > 1 else np.array([0.6])).reshape(shape)


def inside(*shape):
    return 0.2 + 0.7 * np.abs(away(*shape))


def positive(n, *batch):
    """Symmetric matrices with distinct eigenvalues between 1 and 3."""
    A = np.linalg.qr(rng.standard_normal((*batch, n, n)))[0]
    return A @ (np.linspace(1, 3, n)[:, None] * np.swapaxes(A, -1, -2))


def regular(*shape):
    """Matrices with distinct singular values between 1 and 2."""
    U, _, Vh = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    return U @ (np.linspace(2, 1, min(shape[-2:]))[:, None] * Vh)


def of_rank(r, *shape):
    return rng.standard_normal((*shape[:-1], r)) @ rng.standard_normal((*shape[:-2], r, shape[-1]))
