"""Other NumPy functions of Nodes, each with its arguments: NumPy's values, and gradients against finite differences.

The test runs over the tables of functions: one without examples is a failure.
"""

import operator
import re
import subprocess
import sys

import numpy as np
import pytest
from operands import away, inside, of_rank, positive, regular, reset_rng
from test_higher_order import assert_second_derivatives
from test_rules import COMPOSED, EXAMPLES, assert_gradients

import nnc
from nnc import Node
from nnc.autodiff.dispatch import FUNCTIONS, REFUSED
from nnc.autodiff.operations import RULES, Rule


def each(f, *examples, **params):
    """Examples of one function with the same keyword arguments."""
    return [(lambda *xs: f(*xs, **params), *operands) for operands in examples]


def node_of(*xs):
    """A Node for like=."""
    return next((x for x in xs if isinstance(x, Node)), None)


reset_rng()
ANY = [(away(3, 4),), (away(),), (away(2, 1, 3),)]
A34, A234 = away(3, 4), away(2, 3, 4)
WITH_NAN = np.where(away(3, 4) > 0.6, np.nan, 0.31 * away(3, 4))
SPECIAL = np.array([0.5, np.nan, np.inf, -np.inf, -0.3])
PAIRS = [(away(3, 4), away(3, 4) + 0.013), (0.93 * away(3, 1), away(4)), (away(3, 4), 0.7), (away(), away(2, 3))]
MASK = away(3, 4) > 0
POINTS = np.array([-0.8, -0.1, 0.25, 0.93])


def reduced(f, **params):
    return [
        *each(f, (A34,), (away(),), **params),
        *each(f, (A34,), axis=0, **params),
        *each(f, (A234,), axis=(0, -1), **params),
        *each(f, (A34,), axis=-1, keepdims=True, **params),
        *each(f, (A34,), keepdims=True, **params),
    ]


def of_axis(f, *operands, axes=(0, -1), **params):
    return [example for axis in axes for example in each(f, operands, axis=axis, **params)]


CASES = {
    # ---- elementwise
    **{f: each(f, *ANY) for f in (np.arcsinh, np.deg2rad, np.radians, np.rad2deg, np.degrees)},
    np.arccosh: each(np.arccosh, (1 + inside(3, 4),)),
    np.arctanh: each(np.arctanh, *ANY),
    np.sinc: [*each(np.sinc, *ANY, (5 * away(3, 4),), (0.1 * away(5),)), (np.sinc, np.array([0.3, 1 / np.pi, -2.0]))],
    np.logaddexp2: each(np.logaddexp2, *PAIRS),
    **{f: each(f, *PAIRS) for f in (np.fmax, np.fmin, np.copysign)},
    np.remainder: [
        *each(np.remainder, (3 * away(3, 4), 0.31), (3.05, away(3)), (2.2, away(3, 1) - 1.3)),
        (operator.mod, 2 * away(3), inside(3)),
        (operator.mod, 5.03, inside(3)),
        (lambda x: x % 0.4, away(3)),
    ],
    np.fmod: each(np.fmod, (3 * away(3, 4), 0.31), (3.05, away(3)), (2.2, away(3, 1) - 1.3)),
    np.floor_divide: [*each(np.floor_divide, (3 * away(3, 4), 0.31)), (operator.floordiv, 2.03, away(3))],
    np.divmod: [(lambda x, y: np.add(*np.divmod(x, y)), 3 * away(3), 0.4), (lambda x: sum(divmod(x, 0.4)), away(3))]
    + [(lambda x: sum(divmod(3.05, x)), away(3))],
    np.modf: [(lambda x: np.modf(x)[0], 3 * away(3)), (lambda x: np.modf(x)[1], 3 * away(3))],
    **{f: each(f, (3 * away(3, 4),)) for f in (np.floor, np.ceil, np.rint, np.trunc, np.fix, np.angle, np.imag)},
    **{f: [*each(f, (3 * away(3, 4),)), *each(f, (3 * away(3, 4),), decimals=1)] for f in (np.round, np.around)},
    np.ldexp: [(lambda x: np.ldexp(x, [1, -2, 0, 3]), A34)],
    np.heaviside: each(np.heaviside, (away(3, 4), 0.5), (np.array([0.0, 1.0]), away(2)))[:1]
    + [(lambda y: np.heaviside(np.array([0.0, 1.0, -2.0]), y), away(3))],
    **{f: each(f, *ANY) for f in (np.real, np.real_if_close, np.conjugate, np.copy)},
    np.nan_to_num: [
        (lambda x: np.nan_to_num(x + np.where(np.isinf(SPECIAL), np.nan, SPECIAL)), away(5)),
        (lambda x: np.nan_to_num(x + SPECIAL, nan=0.3, posinf=1.0, neginf=2.0), away(5)),
    ],
    # ---- reductions
    np.average: [
        *each(np.average, (A34,)),
        *each(np.average, (A34,), axis=0),
        *each(np.average, (A34,), axis=1, keepdims=True),
        (lambda x, w: np.average(x, weights=w), A34, inside(3, 4)),
        (lambda x, w: np.average(x, axis=0, weights=w), A34, inside(3)),
        (lambda x, w: np.average(x, axis=(2, 0), weights=w), A234, inside(4, 2)),
        (lambda x, w: sum(np.average(x, 1, w, True)), A34, inside(3, 4)),
        (lambda x: sum(np.average(x, 1, returned=True)), A34),
    ],
    **{f: [*reduced(f), *[(lambda x, f=f, p=p: f(x + WITH_NAN, **p), A34) for p in ({}, {"axis": 1})]]
       for f in (np.nansum, np.nanmean, np.nanprod, np.nanmax, np.nanmin)},
    **{f: [*each(f, (A34,)), *each(f, (A34,), axis=0, ddof=1), (lambda x, f=f: f(x + WITH_NAN, axis=1), A34)]
       for f in (np.nanvar, np.nanstd)},
    np.ptp: [*reduced(np.ptp)[:1], *reduced(np.ptp)[2:]],
    # ---- sorting
    np.sort: [*of_axis(np.sort, A34, axes=(0, 1, -1, None)), *each(np.sort, (away(7),), kind="stable")],
    np.partition: [(lambda x: np.partition(x, 2)[..., 2], A34), (lambda x: np.partition(x, (1, 3), None)[3], A34)]
    + [(lambda x: np.partition(x, 1, axis=0)[1], A34)],
    np.median: [*reduced(np.median), *each(np.median, (away(5),))],
    np.quantile: [
        (lambda x, q=q, p=p: np.quantile(x, q, **p), A234)
        for q in (0.3, [0.0, 0.55, 1.0], [[0.2], [0.9]])
        for p in ({}, {"axis": 0}, {"axis": (2, 0)}, {"axis": 1, "keepdims": True}, {"keepdims": True})
    ]
    + [
        (lambda x, m=m: np.quantile(x, [0.1, 0.52], axis=1, method=m), A34)
        for m in ("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "hazen", "weibull", "lower", "higher",
                  "midpoint", "nearest", "median_unbiased", "normal_unbiased", "interpolated_inverted_cdf")
    ],
    np.percentile: [(lambda x: np.percentile(x, 30), A34), (lambda x: np.percentile(x, [20, 75], axis=1), A34)],
    # ---- joining and splitting
    np.array: [
        (lambda x, y: np.array([[x, y], [1.0, x * y]], like=node_of(x, y)), away(), 0.3),
        (lambda x, y: np.array([x, (y, y)], like=node_of(x, y)), away(2), away()),
        (lambda x: np.array(x, like=x, ndmin=3), away(2)),
    ],
    **{f: [(lambda x, f=f: f([x, 2 * x], like=x), away(2))] for f in (np.asarray, np.asanyarray)},
    np.full: [(lambda x: np.full((2, 3), x, like=x), away(3))],
    np.full_like: [(lambda x: np.full_like(A34, 1.0) * x + np.full_like(x * A34, 2.0), away()),
                   (lambda x: np.full_like(x, x[0]), away(3))],
    np.linspace: [
        (np.linspace, away(), 2.0),
        (lambda x, y: np.linspace(x, y, 5, axis=1), away(3), away(3) + 2),
        (lambda x, y: np.linspace(x, y, 4, endpoint=False), away(3), away()),
        (lambda x, y: sum(np.linspace(x, y, 7, retstep=True)), away(), 2.0),
        (lambda x: np.linspace(x, 1, 1), away()),
    ],
    np.einsum: [
        *[(lambda x, s=s: np.einsum(s, x), away(*shape)) for s, shape in (
            ("ii", (3, 3)), ("ii->i", (3, 3)), ("iij->ij", (2, 2, 3)), ("iji->j", (2, 3, 2)), ("iii", (2, 2, 2)),
            ("...i->...", (2, 3)), ("i...", (2, 3)), ("...ii->...i", (2, 3, 3)), ("...", (2, 3)), ("ba", (2, 3)),
            ("iijj->ji", (2, 2, 3, 3)))],
        *[(lambda x, y, s=s: np.einsum(s, x, y), away(*one), away(*two)) for s, one, two in (
            ("...ij,...jk->...ik", (2, 3), (2, 3, 2)), ("...ij,...jk", (2, 1, 2, 3), (4, 3, 2)),
            ("...,...->...", (3,), (2, 3)),
            ("jk...,lj...->lk...", (3, 2, 2), (2, 3)), ("ii,jj->ij", (2, 2), (3, 3)), ("ii,ij->j", (2, 2), (2, 3)),
            ("j...k,lj...->lk...", (2, 2, 2), (2, 2, 2)), ("ij,jj->i", (2, 3), (3, 3)),
            ("...k,...nk->...", (3, 5), (3, 4, 5)))],
        (lambda x, y, z: np.einsum("ijk,lji,lli->lki", x, y, z), away(3, 4, 2), away(2, 4, 3), away(2, 2, 3)),
        (lambda x, y, z: np.einsum("ij,jk,kl->il", x, y, z, optimize=True), away(2, 3), away(3, 4), away(4, 2)),
        (lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [0, 2]), away(2, 3), away(3, 2)),
        (lambda x, y: np.einsum(x, [..., 0, 1], y, [..., 1, 2], [..., 0, 2]), away(2, 3), away(4, 3, 2)),
        (lambda x: np.einsum(x, [1, 0]), away(2, 3)),
    ],
    np.append: [(lambda x, y: np.append([x, y, 1.0], x * y), away(), away()), (np.append, A34, away(2)),
                (lambda x, y: np.append(x, y, 0), A34, away(1, 4))],
    np.vstack: [(lambda x, y: np.vstack([x, y]), away(3), away(2, 3))],
    np.hstack: [(lambda x, y: np.hstack([x, y]), away(3), away(2)), (lambda x, y: np.hstack((x, y)), A34, away(3, 1))],
    np.dstack: [(lambda x, y: np.dstack([x, y]), away(3), away(3)), (lambda x, y: np.dstack((x, y)), A34, A34)],
    np.column_stack: [(lambda x, y: np.column_stack([x, y]), away(3), away(3, 2))],
    np.block: [
        (lambda x, y: np.block([[x, np.ones((3, 1))], [y, 0.5]]), A34, away(4)),
        (lambda x, y: np.block([x, y]), away(3), away(2)),
        (lambda x: np.block(x), A34),
        (lambda x, y: np.block([[[x, y]], [[y, x]]]), A234, A234),
    ],
    np.pad: [
        *[(lambda x, w=w: np.pad(x, w), A34) for w in (0, 2, (3,), (3, 2), ((3, 2),), ((1, 2), (3, 4)))],
        (lambda x: np.pad(x, 1, constant_values=((1.0, 2.0), (3.0, 4.0))), A34),
        *[(lambda x, m=m: np.pad(x, ((1, 2), (3, 0)), m), A34) for m in ("edge", "reflect", "symmetric", "wrap")],
        *[(lambda x, m=m: np.pad(x, ((1, 2), (3, 0)), m), A34) for m in ("maximum", "minimum", "mean", "median")],
        *[(lambda x, m=m: np.pad(x, 2, m, stat_length=((1, 2), (3, 9))), A34) for m in ("maximum", "mean", "median")],
        *[(lambda x, m=m: np.pad(x, ((9, 2), (0, 11)), m, reflect_type="odd"), A34) for m in ("reflect", "symmetric")],
        (lambda x: np.pad(x, 2, "reflect", reflect_type="odd"), away(3, 1)),
        (lambda x: np.pad(x, ((3, 1), (0, 2)), "linear_ramp", end_values=((1.0, -2.0), (0.3, 4.0))), A34),
        (lambda x: np.pad(x, 3, "linear_ramp"), away(4)),
    ],
    np.split: [(lambda x: np.split(x, [1, 3], 1)[1], away(2, 4)), (lambda x: sum(np.split(x, 2)), away(4))],
    np.array_split: [(lambda x, i=i: np.array_split(x, 3, -1)[i], A34) for i in range(3)]
    + [(lambda x: np.array_split(x, [3, 1])[0], A34)],
    np.vsplit: [(lambda x: np.vsplit(x, [1])[1], A34)],
    np.hsplit: [(lambda x: np.hsplit(x, 2)[1], A34), (lambda x: np.hsplit(x, 2)[0], away(4))],
    np.dsplit: [(lambda x: np.dsplit(x, 2)[1], A234)],
    np.compress: [(lambda x: np.compress([True, False, True], x, 0), A34), (lambda x: np.compress([0, 1, 1], x), A34)],
    np.extract: [(lambda x: np.extract(MASK, x), A34)],
    np.delete: [(lambda x: np.delete(x, 1, 0), A34), (lambda x: np.delete(x, [2, 3]), A34)]
    + [(lambda x: np.delete(x, slice(1, 3), 1), A34)],
    # ---- shapes and selections
    np.fliplr: each(np.fliplr, (A34,)),
    np.flipud: each(np.flipud, (A34,)),
    np.rollaxis: [(lambda x, a=a, s=s: np.rollaxis(x, a, s), A234) for a in (0, 1, -1) for s in (0, 1, 2, 3, -1)],
    np.matrix_transpose: each(np.matrix_transpose, (A234,)),
    np.linalg.matrix_transpose: each(np.linalg.matrix_transpose, (A234,)),
    **{f: each(f, (away(),), (away(3),), (A34,), (A234,), (away(2, 1, 2, 2),))
       for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    np.broadcast_arrays: [(lambda x, y: np.multiply(*np.broadcast_arrays(x, y)), away(3, 1), away(4))],
    np.meshgrid: [
        (lambda x, y, p=p: np.divide(*np.meshgrid(x, y, **p)), away(3), away(4))
        for p in ({}, {"indexing": "ij"}, {"sparse": True})
    ],
    np.resize: [(lambda x: np.resize(x, (5, 4)), A34), (lambda x: np.resize(x, 3), A34)],
    np.diag: [(lambda v, k=k: np.diag(v, k), x) for k in (-1, 0, 2) for x in (away(4), away(3, 4))],
    np.diagflat: [(np.diagflat, A34), (lambda v: np.diagflat(v, -2), away(3))],
    np.tril: [(np.tril, A34), (lambda x: np.tril(x, -1), A234)],
    np.triu: [(np.triu, A34), (lambda x: np.triu(x, 1), A234)],
    np.select: [(lambda x, y: np.select([MASK, ~MASK & (A34 > 0.2)], [x, y * 2], x * y), A34, away(4))],
    np.choose: [(lambda x, y: np.choose([0, 1, 1, 0], [x, y]), A34, away())],
    # ---- products
    np.dot: [(np.dot, a, b) for a, b in (
        (A34, away(4, 2)), (away(4), away(4)), (away(), away(3)), (A34, away(4)), (A234, away(4)),
        (away(4), away(2, 4, 3)), (A34, away(2, 4, 3)), (A234, away(2, 4, 3)), (A234, 0.7))],
    np.vdot: [(np.vdot, away(2, 3), away(2, 3))],
    np.inner: [(np.inner, a, b) for a, b in (
        (away(3), away(3)), (away(2, 3), away(4, 3)), (A234, away(5, 4)), (A234, away(2, 2, 4)), (0.3, away(2, 3)))],
    np.outer: [(np.outer, away(3), away(2)), (np.outer, A34, away(2, 1))],
    np.linalg.outer: [(np.linalg.outer, away(3), away(2))],
    np.linalg.matmul: [(np.linalg.matmul, A34, away(4, 2))],
    np.tensordot: [(lambda a, b, axes=axes: np.tensordot(a, b, axes), a, b) for a, b, axes in (
        (away(1, 3), away(3), [(1,), (0,)]), (A234, away(4, 3, 2), [(1, 0), (1, 2)]), (away(2, 6), away(6, 3), [-1, 0]),
        (away(4), away(), 0), (A34, away(3, 4, 2), 2), (A34, away(4, 2), 1), (away(3), A34, [[0], [0]]))],
    np.linalg.tensordot: [(lambda a, b: np.linalg.tensordot(a, b, axes=1), A34, away(4, 2))],
    np.kron: [(np.kron, a, b) for a, b in (
        (away(2, 3), away(3, 2)), (away(3), away(2, 2)), (away(3), away(2)), (away(), away(2)), (A234, away(1, 2)))],
    np.cross: [
        (np.cross, away(3), away(3)), (np.cross, away(4, 3), away(3)),
        (lambda a, b: np.cross(a, b, 0, 1, 0), away(3, 4), away(4, 3)),
        (lambda a, b: np.cross(a, b, axis=1), away(2, 3, 2), away(2, 3, 2)),
    ],
    np.linalg.cross: [(lambda a, b: np.linalg.cross(a, b, axis=0), away(3, 4), away(3, 4))],
    np.vecdot: [(np.vecdot, A34, away(4)), (lambda a, b: np.vecdot(a, b, axis=0), A34, away(3, 1))],
    np.linalg.vecdot: [(np.linalg.vecdot, A34, away(4))],
    np.trace: [(np.trace, A34), (lambda x: x.trace(1), A34), (np.trace, away(3, 3, 2))],
    np.linalg.trace: [(lambda x: np.linalg.trace(x, offset=1), A234)],
    np.linalg.diagonal: [(lambda x: np.linalg.diagonal(x, offset=-1), A234)],
    # ---- differences, integrals, cumulative products, interpolation
    np.diff: [(np.diff, A34), (lambda x: np.diff(x, 2, 0), away(4, 2)), (lambda x: np.diff(x, 0), A34)]
    + [(lambda x, y: np.diff(x, prepend=y, append=1.5), A34, away())]
    + [(lambda x, y: np.diff(x, 2, 0, y), A34, away(2, 4))],
    np.ediff1d: [(np.ediff1d, A34), (lambda x, y: np.ediff1d(x, y, [1.0, 2.0]), A34, away(2))],
    np.gradient: [
        (np.gradient, away(5)),
        (lambda x: sum(np.gradient(x)), away(4, 3)),
        (lambda x: np.gradient(x, 0.3, axis=-1, edge_order=2), away(2, 4)),
        (lambda x: sum(np.gradient(x, 0.5, np.array([0.0, 1.0, 1.5, 4.0]))), away(3, 4)),
        (lambda x: np.gradient(x, np.array([0.0, 0.5, 0.7, 1.3, 2.0]), edge_order=2), away(5)),
        (lambda x: np.multiply(*np.gradient(x, 2.0, axis=(0, 2))), away(3, 2, 2)),
        (lambda x, h: np.gradient(x, h), away(2), 0.3),
    ],
    np.trapezoid: [
        (np.trapezoid, A34), (lambda y: np.trapezoid(y, dx=0.3, axis=0), A34),
        (np.trapezoid, A34, np.array([0.0, 1.0, 1.4, 2.0])), (np.trapezoid, A34, np.sort(A34)),
        (lambda y, x: np.trapezoid(y, x, axis=1), A234, away(3)),
    ],
    np.cumprod: [*of_axis(np.cumprod, A34, axes=(None, 0, -1)), *of_axis(np.cumprod, A234, axes=(1,)),
                 (np.cumprod, np.array([0.5, 0.0, 2.0, 0.0, 3.0])), (np.cumprod, away(1)), (np.cumprod, away())],
    np.nancumsum: [(lambda x: np.nancumsum(x + WITH_NAN, 1), A34)],
    np.nancumprod: [(lambda x: np.nancumprod(x + WITH_NAN, 1), A34)],
    np.convolve: [(lambda a, v, m=m: np.convolve(a, v, m), away(n), away(k))
                  for m in ("full", "same", "valid") for n, k in ((5, 2), (5, 3), (2, 5), (3, 3), (1, 4), (4, 1))],
    np.correlate: [(lambda a, v, m=m: np.correlate(a, v, m), away(n), away(k))
                   for m in ("full", "same", "valid") for n, k in ((5, 2), (5, 3), (2, 5), (3, 6), (3, 3), (1, 4))],
    np.interp: [
        (np.interp, away(7), POINTS, away(4)), (np.interp, 2 * away(2, 3), POINTS, away(4)),
        (lambda x, y: np.interp(x, POINTS, y, 2 * y[0], 0.3), 2 * away(6), away(4)),
        (lambda x, y: np.interp(x, POINTS[::-1], y, period=1.3), 3 * away(6), away(4)),
        (np.interp, 0.3, POINTS, away(4)), (lambda y: np.interp(0.3, [0.1], y), away(1)),
    ],
    np.vander: [(np.vander, away(3)), (lambda x: np.vander(x, 5, increasing=True), np.array([0.0, 0.5, -2.0]))],
    np.polyval: [(np.polyval, away(4), A34), (np.polyval, away(1), away())],
    # ---- linear algebra
    np.linalg.det: each(np.linalg.det, (regular(4, 4),), (regular(2, 3, 3),), (of_rank(2, 3, 3),), (away(1, 1),))
    + each(np.linalg.det, (np.array([[0.0, 1, 2], [0, 3, 4], [0, 5, 6]]),), (np.stack([np.eye(2), np.ones((2, 2))]),)),
    np.linalg.inv: each(np.linalg.inv, (regular(4, 4),), (regular(2, 3, 3),)),
    np.linalg.slogdet: [(lambda x: np.linalg.slogdet(x)[1], x) for x in (regular(4, 4), -regular(2, 3, 3))],
    np.linalg.pinv: each(np.linalg.pinv, (regular(4, 3),), (regular(2, 3, 4),), (regular(3, 3),))
    + [(lambda x: np.linalg.pinv(x.T @ x if x.ndim == 2 else x, rtol=1e-9), regular(3, 5))],
    np.linalg.solve: [
        (np.linalg.solve, regular(3, 3), away(3)), (np.linalg.solve, regular(3, 3), away(3, 2)),
        (np.linalg.solve, regular(2, 3, 3), away(2, 3, 2)), (np.linalg.solve, regular(2, 3, 3), away(3, 2)),
        (np.linalg.solve, regular(3, 3), away(2, 3, 1)), (np.linalg.solve, regular(2, 3, 3), away(3)),
    ],
    np.linalg.lstsq: [
        *[(lambda a, b: np.linalg.lstsq(a, b)[0], regular(m, n), away(m, *k))
          for m, n, k in ((4, 3, ()), (3, 4, (2,)), (3, 3, ()), (5, 2, (2,)))],
        (lambda a, b: np.linalg.lstsq(a, b)[1], regular(4, 3), away(4, 2)),
        (lambda a, b: np.linalg.lstsq(a, b)[1], regular(4, 3), away(4)),
        (lambda a: np.linalg.lstsq(a, np.ones(4))[3], regular(4, 3)),
    ],
    np.linalg.cholesky: [(np.linalg.cholesky, positive(4))]
    + [(lambda A: np.linalg.cholesky(A, upper=True), positive(3, 2))],
    np.linalg.eigvalsh: [(np.linalg.eigvalsh, positive(4)), (lambda A: np.linalg.eigvalsh(A, "U"), away(3, 3)),
                         (np.linalg.eigvalsh, positive(3, 2))],
    np.linalg.eigh: [(lambda A, i=i, u=u: np.linalg.eigh(A, u)[i], x) for i in (0, 1) for u in "LU"
                     for x in (positive(4), positive(3, 2), away(3, 3))],
    np.linalg.svdvals: each(np.linalg.svdvals, (regular(4, 3),), (regular(2, 3, 3),)),
    np.linalg.svd: [(lambda A, i=i: np.linalg.svd(A, False)[i], x) for i in range(3)
                    for x in (regular(4, 3), regular(3, 5), regular(2, 3, 3), regular(2, 4, 2))]
    + [(lambda A: np.linalg.svd(A)[2], regular(3, 3)), (lambda A: np.linalg.svd(A, compute_uv=False), regular(3, 5))],
    np.linalg.qr: [(lambda A, i=i: np.linalg.qr(A)[i], x) for i in range(2)
                   for x in (regular(4, 3), regular(3, 5), regular(2, 3, 3), regular(2, 4, 2))]
    + [(lambda A: np.linalg.qr(A, "r"), regular(4, 3)), (lambda A: np.linalg.qr(A, "complete")[0], regular(3, 3))],
    np.linalg.matrix_power: [(lambda A, n=n: np.linalg.matrix_power(A, n), regular(3, 3)) for n in (1, 2, 5, 6, -1, -3)]
    + [(lambda A: np.linalg.matrix_power(A, 3), regular(2, 3, 3))]
    + [(lambda A: A * np.linalg.matrix_power(A, 0), away(3, 3))],
    np.linalg.multi_dot: [
        (lambda a, b, c: np.linalg.multi_dot([a, b, c]), away(2, 3), away(3, 4), away(4, 2)),
        (lambda a, b, c, d: np.linalg.multi_dot([a, b, c, d]), away(3), away(3, 4), away(4, 2), away(2)),
        (lambda a, b: np.linalg.multi_dot([a, b]), away(3), away(3, 2)),
    ],
    np.linalg.tensorinv: [(np.linalg.tensorinv, regular(6, 6).reshape(2, 3, 6).reshape(2, 3, 3, 2)),
                          (lambda a: np.linalg.tensorinv(a, 1), regular(6, 6).reshape(6, 2, 3))],
    np.linalg.tensorsolve: [(np.linalg.tensorsolve, regular(6, 6).reshape(2, 3, 6), away(2, 3)),
                            (lambda a, b: np.linalg.tensorsolve(a, b, (0,)), regular(6, 6).reshape(6, 2, 3),
                             away(2, 3))],
    np.linalg.norm: [
        (np.linalg.norm, A34), (np.linalg.norm, A234), (np.linalg.norm, away()),
        *[(lambda x, p=p: np.linalg.norm(x, **p), A34) for p in (
            {"axis": 0, "keepdims": True}, {"axis": 1}, {"keepdims": True}, {"axis": (0, 1), "keepdims": True})],
        *[(lambda x, o=o: np.linalg.norm(x, o), away(5)) for o in (1, 2, 3, 0.5, -1, 2.5, np.inf, -np.inf)],
        *[(lambda x, o=o: np.linalg.norm(x, o), regular(3, 4)) for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)],
        *[(lambda x, o=o, k=k: np.linalg.norm(x, o, (2, 0), k), regular(2, 3, 4)) for k in (False, True)
          for o in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)],
        *[(lambda x, o=o: np.linalg.norm(x, o, 1, True), A234) for o in (None, 1, 2, 3, np.inf, -np.inf)],
    ],
    np.linalg.vector_norm: [(np.linalg.vector_norm, A34)]
    + [(lambda x: np.linalg.vector_norm(x, axis=(0, 2), ord=3), A234)],
    np.linalg.matrix_norm: [(lambda x, o=o: np.linalg.matrix_norm(x, ord=o, keepdims=True), A234)
                            for o in ("fro", "nuc", 1, 2)],
    np.linalg.cond: [(lambda x, p=p: np.linalg.cond(x, p), regular(3, 3)) for p in (None, 2, -2, 1, np.inf, "fro")],
}  # fmt: skip


def newer(name, *examples):
    """Examples of a function that older NumPy versions lack."""
    if hasattr(np, name):
        CASES[getattr(np, name)] = [(eval(call, {"np": np}), *operands) for call, *operands in examples]


newer("astype", ("lambda x: np.astype(x, np.float64)", A34))
newer("unstack", ("lambda x: np.unstack(x, axis=1)[2]", A34))
newer("matvec", ("np.matvec", A234, away(4)))
newer("vecmat", ("np.vecmat", away(3), A234))
newer("cumulative_sum", ("lambda x: np.cumulative_sum(x, axis=1, include_initial=True)", A34))
newer("cumulative_prod", ("lambda x: np.cumulative_prod(x, axis=0, include_initial=True)", A34))


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_values_and_gradients(function):
    for call, *operands in CASES[function]:
        assert_gradients(call, *operands)


def test_every_function_has_examples():
    composed = {f for f, rule in FUNCTIONS.items() if not isinstance(rule, Rule)}
    composed = {f for f in composed if not f.__module__.startswith("scipy")}  # tested in test_scipy.py
    joined = {f for f, rule in FUNCTIONS.items() if isinstance(rule, Rule) and rule.takes}
    assert composed | joined <= {*CASES, *COMPOSED}


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_second_derivatives(function):
    for call, *operands in CASES[function]:
        assert_second_derivatives(call, *operands)


@pytest.mark.parametrize(
    ("f", "x", "where"),
    [
        (np.floor, [0.5, 2.0], [1]),
        (np.round, [0.5, 2.0], [0]),
        (lambda x: x % 0.5, [0.7, 1.0, 1.3], [1]),
        (lambda x: 1.0 // x, [0.5, 0.7], [0]),
        (lambda x: np.fmax(x, 1.0), [0.5, 1.0], [1]),
        (lambda x: np.sort(x)[0], [0.3, 0.3, 2.0], [0, 1]),
        (np.median, [1.0, 3.0, 1.0, 0.5, 7.0], [0, 2]),
        (lambda x: np.quantile(x, 0.3), [1.0, 3.0, 1.0, 0.5, 7.0], [0, 2]),
        (lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 3.0, 1.0]), [0.5, 1.0, 1.5], [1]),
        (np.ptp, [1.0, 1.0, 3.0], [0, 1]),
        (lambda x: np.linalg.norm(x, np.inf), [1.0, -1.0, 0.5], [0, 1]),
        (lambda x: np.linalg.norm(x, 1), [0.0, 2.0], [0]),
        (lambda x: np.copysign(x, [1.0, -2.0]), [0.0, 3.0], [0]),
    ],
)
def test_gradcheck_finds_exactly_the_kinks(f, x, where):
    report = nnc.gradcheck(lambda x: np.sum(f(x) * (1.0 + np.arange(np.size(f(x))).reshape(np.shape(f(x))))), x)
    assert [index[0] for _, index, _ in report.kinks] == where
    assert report.ok or len(where) == len(x)


def test_the_page_of_all_functions():
    """`python -m nnc.autodiff`: a line for each row, complete formulas, and every function."""
    run = [sys.executable, "-m", "nnc.autodiff"]
    text = subprocess.run(run, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    lines = [line for line in text[: text.index("## Functions composed")].splitlines() if line.startswith("| ")]
    assert {line.split(" | ")[0][2:] for line in lines[1:]} >= {name for name in RULES if name in EXAMPLES}
    for line in lines:
        assert line.count("|") == 6 and line.count("{") == line.count("}") and line.count("$") % 2 == 0, line
        assert not re.search(r"\{(out|ones0|shape\d)\}|_\{\}|\\frac[A-Z]", line), line
    named = {name for line in text.splitlines() for name in re.findall(r"`np\.([\w.]+)`", line)}
    assert {f.__name__ for f in (*CASES, *REFUSED)} <= {name.split(".")[-1] for name in named}


def test_methods_do_what_those_of_arrays_do():
    a = away(3, 4)
    calls = [
        lambda x: x.round(1), lambda x: x.flatten(), lambda x: x.copy(), lambda x: x.conj(),
        lambda x: x.ravel(), lambda x: x.cumprod(1), lambda x: x.compress([True, False, True], 0), lambda x: x.real,
        lambda x: x.imag, lambda x: x.mT, lambda x: x.astype(np.float32), lambda x: x.dot(np.ones(4)),
        lambda x: x.trace(), lambda x: x.std(0), lambda x: x.take([1, 1]), lambda x: x.clip(-0.5, 0.5),
        lambda x: abs(x), lambda x: x % 0.4,
    ]  # fmt: skip
    for call in calls:
        y = call(Node(a))
        assert isinstance(y, Node)
        np.testing.assert_allclose(y.value, call(a), rtol=4e-16)  # std is computed in another order
        assert y.dtype == call(a).dtype
    np.testing.assert_array_equal(Node(a).ptp(1).value, np.ptp(a, 1))
    plain = [
        lambda x: x.argsort(1), lambda x: x.argmax(), lambda x: x.nonzero()[0], lambda x: x.any(0), lambda x: x.all(),
        lambda x: x[0].searchsorted(0.1), lambda x: x.argpartition(1)[:, 1], lambda x: np.isfinite(x), np.iscomplexobj,
    ]  # fmt: skip
    for call in plain:
        assert not isinstance(call(Node(a)), Node)
        np.testing.assert_array_equal(call(Node(a)), call(a))
    copied = Node(a).copy()
    assert not np.shares_memory(copied.value, a)


def test_pad_has_the_values_of_numpy():
    """Every mode with random widths, also several times as long as the array."""
    generator = np.random.default_rng(0)
    modes = "edge reflect symmetric wrap maximum minimum mean median linear_ramp constant".split()
    options = {"reflect": "reflect_type", "symmetric": "reflect_type", "linear_ramp": "end_values",
               "constant": "constant_values"} | dict.fromkeys(modes[4:8], "stat_length")  # fmt: skip
    for k in range(500):
        mode, ndim = modes[k % 10], generator.integers(1, 4)
        x, pairs = generator.standard_normal(generator.integers(1, 5, ndim)), generator.integers(1, 6, (ndim, 2))
        option = options.get(mode)
        given = {option: "odd" if option == "reflect_type" else pairs.tolist()} if option and k % 3 else {}
        widths = generator.integers(0, 9, (ndim, 2)).tolist()
        np.testing.assert_allclose(np.pad(Node(x), widths, mode, **given).value, np.pad(x, widths, mode, **given),
                                   rtol=1e-13, atol=1e-13)  # fmt: skip
    for wrong, error in ((("mean", {"constant_values": 1}), ValueError), (("mean", {"stat_length": -1}), ValueError),
                         (("empty", {}), TypeError), ((lambda *_: None, {}), TypeError)):  # fmt: skip
        with pytest.raises(error):
            np.pad(Node(A34), 1, wrong[0], **wrong[1])
    if np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        np.testing.assert_array_equal(np.pad(Node(A34), {-1: 2}).value, np.pad(A34, {-1: 2}))
