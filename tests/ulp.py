"""How many units in the last place exp, log, sigmoid and tanh are off, measured. One process measures one ISA.

    NNC_ISA=avx2 python tests/ulp.py            dense samples, seconds
    NNC_ISA=avx2 python tests/ulp.py every      every float32, 10^7 float64 a function: minutes
    NNC_ISA=avx2 python tests/ulp.py every tanh

The exact value comes from a wider format: double for float32, long double for float64 (its own error is below 0.01
units of a double), and mpmath, with 113 bits, on a subset, which is a check of the other two as well.
"""

import json
import sys

import mpmath
import numpy as np

from nnc import _engine


def sigmoid(x):
    # 1 / (1 + e^-x) would overflow for negative x, and it would round e^-x away next to the 1.
    e = np.exp(-abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


WIDER = {"exp": np.exp, "log": np.log, "sigmoid": sigmoid, "tanh": np.tanh}
MPMATH = {
    "exp": mpmath.exp,
    "log": lambda x: mpmath.log(x) if x > 0 else mpmath.nan if x < 0 else -mpmath.inf,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
}
# Where the result is finite and not yet at its limit, and the parts of it where rounding errors are largest.
RANGES = {
    "exp": [(-750, 715), (-105, 90), (-1, 1), (-1e-3, 1e-3)],
    "log": [(0.5, 2), (0.99, 1.01), (0, 1e3)],
    "sigmoid": [(-750, 50), (-105, 20), (-1, 1)],
    "tanh": [(-25, 25), (-10, 10), (-1, 1), (0.5, 0.6), (-1e-3, 1e-3)],
}


def unit(x):
    """The unit in the last place of x; np.spacing says infinity for the largest number, so large ones are halved."""
    x = abs(x)
    return np.where(x > 1, 2 * np.spacing(x / 2), np.spacing(x))


def units(got, exact):
    """|got - exact| in units in the last place of the exact value as rounded to got's dtype; infinite if a NaN is lost.

    Infinity counts as the number after the largest one, on either side: an overflow a unit too early is one unit off.
    """
    f = np.finfo(got.dtype)
    top = exact.dtype.type(2) ** f.maxexp
    rounded = np.clip(exact, -f.max, f.max).astype(got.dtype)
    off = abs(np.clip(got.astype(exact.dtype), -top, top) - np.clip(exact, -top, top)) / unit(rounded)
    both, either = np.isnan(got) & np.isnan(exact), np.isnan(got) | np.isnan(exact)
    return np.where(both, 0, np.where(either, np.inf, off)).astype(float)


def worst(name, x):
    """The largest error over x, and where."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        off = units(getattr(_engine, name)(x), WIDER[name](x.astype(wide)))
    i = int(off.argmax())
    return float(off[i]), float(x[i])


def worst_by_mpmath(name, x):
    mpmath.mp.prec = 113
    with np.errstate(all="ignore"):
        got = getattr(_engine, name)(x)
    largest = 0.0
    for a, g in zip(x, got, strict=True):
        exact = MPMATH[name](mpmath.mpf(float(a)))
        if mpmath.isnan(exact) or mpmath.isinf(exact) or abs(exact) > np.finfo(x.dtype).max:
            continue  # `worst` covers these
        off = abs(mpmath.mpf(float(g)) - exact) / float(unit(x.dtype.type(exact)))
        largest = max(largest, float(off))
    return largest


def samples(name, dtype, count, rng):
    """Random bits (all exponents equally likely) and uniform numbers from RANGES."""
    bits = rng.integers(0, 2 ** (8 * np.dtype(dtype).itemsize), count // 2, np.uint64)
    parts = [bits.astype(f"u{np.dtype(dtype).itemsize}").view(dtype)]
    for low, high in RANGES[name]:
        parts.append(rng.uniform(low, high, count // 2 // len(RANGES[name])).astype(dtype))
    x = np.concatenate(parts)
    with np.errstate(invalid="ignore"):
        return abs(x) if name == "log" else x


def worst_of_every_float32(name):
    """As `worst` of all 2^32 numbers, in chunks that stay in the cache.

    A quick measure, by the power of 2 below, finds candidates for a larger error; `units` measures those.
    """
    function, exact_function, largest, where = getattr(_engine, name), WIDER[name], 0.5, 0.0
    exponent = np.uint32(0x7F800000)
    for start in range(0, 2**32, 2**15):
        x = np.arange(start, start + 2**15, dtype=np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            got, exact = function(x), exact_function(x.astype(np.float64))
            bits, rounded = got.view(np.uint32), exact.astype(np.float32).view(np.uint32)
            if np.array_equal(bits, rounded) or (np.isnan(got).all() and np.isnan(exact).all()):
                continue
            power = np.minimum(bits & exponent, rounded & exponent).view(np.float32)
            i = np.flatnonzero(~(abs(got - exact) <= power * (largest * 2.0**-23)))
            off = units(got[i], exact[i])
        if off.size and off.max() > largest:
            largest, where = float(off.max()), float(x[i[off.argmax()]])
    return largest, where


def measure(full=False, names=tuple(WIDER)):
    """{"exp float32": worst units, ...}"""
    rng = np.random.default_rng(0)
    table = {}
    for name in names:
        dense = np.arange(0, 2**32, 8191, dtype=np.uint32).view(np.float32)
        f32 = [worst_of_every_float32(name)] if full else [worst(name, dense)]
        table[f"{name} float32"] = max(*f32, worst(name, samples(name, np.float32, 200_000, rng)))
        f64 = (samples(name, np.float64, 500_000, rng) for _ in range(20 if full else 1))
        table[f"{name} float64"] = max(worst(name, x) for x in f64)
        for dtype in (np.float32, np.float64):
            x = samples(name, dtype, 100_000 if full else 2_000, rng)
            table[f"{name} {np.dtype(dtype)} mpmath"] = worst_by_mpmath(name, x), None
    return table


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1:2] == ["every"], tuple(sys.argv[2:]) or tuple(WIDER))))
