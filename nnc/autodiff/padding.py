"""np.pad of Nodes: axis by axis, so that a corner is padding of padding, as in NumPy."""

import numpy as np

from .composed import implements
from .dispatch import value_of

STATISTICS = {"maximum": np.max, "minimum": np.min, "mean": np.mean, "median": np.median}
MIRRORED = ("edge", "reflect", "symmetric", "wrap")


@implements(np.pad)
def pad(array, pad_width, mode="constant", **options):
    """With constants, the array's own numbers, statistics of them, or ramps."""
    shape = np.shape(array)
    if isinstance(pad_width, dict):  # the widths of some axes
        pad_width = [pad_width[d] if d in pad_width else pad_width.get(d - len(shape), 0) for d in range(len(shape))]
        pad_width = [(w, w) if np.ndim(w) == 0 else w for w in pad_width]
    widths = in_pairs(pad_width, shape).tolist()
    if mode not in ("constant", "linear_ramp", *STATISTICS, *MIRRORED):
        known = " ".join(["constant linear_ramp", *STATISTICS, *MIRRORED])
        raise TypeError(f"np.pad: the mode {mode!r} does not work on Nodes; {known} do")
    # for NumPy's errors: bad widths, options that the mode does not have
    np.pad(np.ones(shape, bool), widths, mode, **{name: value_of(x) for name, x in options.items()})
    if mode in MIRRORED and options.get("reflect_type", "even") == "even":
        return np.reshape(array, -1)[np.pad(np.arange(array.size).reshape(shape), widths, mode)]
    given = options.get("end_values" if mode == "linear_ramp" else "constant_values", 0)
    given = in_pairs(given, shape).astype(array.dtype)
    lengths = options.get("stat_length")
    lengths = [(None, None)] * len(shape) if lengths is None else in_pairs(lengths, shape).tolist()
    for axis, (before, after) in enumerate(widths):
        if mode == "constant":
            array = constants(array, axis, before, after, given[axis])
        elif mode == "linear_ramp":
            array = ramps(array, axis, before, after, given[axis])
        elif mode in STATISTICS:
            array = statistics(array, axis, before, after, lengths[axis], STATISTICS[mode])
        else:
            array = odd(array, axis, before, after, mode)
    return array


def in_pairs(x, shape):
    """A pair for each axis, from one number, one pair, or a pair for each."""
    return np.broadcast_to(x, (len(shape), 2))


def between(first, array, last, axis, before, after):
    """The array between `before` copies of `first` and `after` copies of `last`, which have length 1."""
    sides = (np.repeat(side, n, axis) for side, n in ((first, before), (last, after)))
    return np.concatenate((next(sides), array, next(sides)), axis)


def constants(array, axis, before, after, values):
    rest = array.shape[:axis], array.shape[axis + 1 :]
    first, last = (np.full((*rest[0], 1, *rest[1]), x) for x in values)
    return between(first, array, last, axis, before, after)


def at(array, axis, index):
    return array[(slice(None),) * axis + (index,)]


def ramps(array, axis, before, after, ends):
    """In even steps from the given end value to the edge, which is not repeated."""

    def ramp(edge, end, n):
        t = np.arange(n, dtype=array.dtype).reshape((n,) + (1,) * (array.ndim - axis - 1)) / max(n, 1)
        return end + (edge - end) * t

    first = ramp(at(array, axis, slice(0, 1)), ends[0], before)
    last = np.flip(ramp(at(array, axis, slice(-1, None)), ends[1], after), axis)
    return np.concatenate((first, array, last), axis)


def statistics(array, axis, before, after, lengths, function):
    """The statistic of the numbers next to each end."""
    n = array.shape[axis]
    first, last = (n if length is None else min(length, n) for length in lengths)
    first = function(at(array, axis, slice(0, first)), axis, keepdims=True)
    last = function(at(array, axis, slice(n - last, n)), axis, keepdims=True)
    return between(first, array, last, axis, before, after)


def odd(array, axis, before, after, mode):
    """Point reflection at the edges: x(-i) = 2 x(0) - x(i). After a period, forward and back, everything repeats, plus
    twice the difference of the edges."""
    n = array.shape[axis]
    if n == 1:
        mode = "edge"
    indices = np.arange(-before, n + after)
    if mode == "edge":
        return at(array, axis, np.clip(indices, 0, n - 1))
    period = 2 * (n - (mode == "reflect"))
    times, index = indices // period, indices % period
    is_reversed = index >= n
    column = (-1,) + (1,) * (array.ndim - axis - 1)
    mirrored = at(array, axis, np.where(is_reversed, period - (mode == "symmetric") - index, index))
    first, last = at(array, axis, slice(0, 1)), at(array, axis, slice(-1, None))
    is_reversed, times = is_reversed.reshape(column), times.reshape(column)
    # NumPy's order of operations where the numbers are mirrored once
    return np.where(is_reversed, 2 * last - mirrored, mirrored) + 2 * times * (last - first)
