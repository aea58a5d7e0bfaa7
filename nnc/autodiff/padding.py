"""np.pad of Nodes: axis by axis, so that a corner is padding of padding, as in NumPy."""

import numpy as np

from .composed import stands_for
from .dispatch import value_of

STATISTICS = {"maximum": np.max, "minimum": np.min, "mean": np.mean, "median": np.median}
MIRRORED = ("edge", "reflect", "symmetric", "wrap")


@stands_for(np.pad)
def pad(array, pad_width, mode="constant", **options):
    """With constants, with numbers of its own, with statistics of these, or with ramps."""
    shape = np.shape(array)
    if isinstance(pad_width, dict):  # the widths of some axes
        pad_width = [pad_width[d] if d in pad_width else pad_width.get(d - len(shape), 0) for d in range(len(shape))]
        pad_width = [(w, w) if np.ndim(w) == 0 else w for w in pad_width]
    widths = in_pairs(pad_width, shape).tolist()
    if mode not in ("constant", "linear_ramp", *STATISTICS, *MIRRORED):
        known = " ".join(["constant linear_ramp", *STATISTICS, *MIRRORED])
        raise TypeError(f"np.pad: the mode {mode!r} does not work on Nodes; {known} do")
    # NumPy's own errors: of widths, of options that are not the mode's
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
    """One number for both ends of all axes, a pair for all, or a pair for each."""
    return np.broadcast_to(x, (len(shape), 2))


def between(first, array, last, axis, before, after):
    """The array with `before` times what is of length 1 in front, and `after` times what is behind."""
    sides = (np.repeat(side, n, axis) for side, n in ((first, before), (last, after)))
    return np.concatenate((next(sides), array, next(sides)), axis)


def constants(array, axis, before, after, values):
    rest = array.shape[:axis], array.shape[axis + 1 :]
    first, last = (np.full((*rest[0], 1, *rest[1]), x) for x in values)
    return between(first, array, last, axis, before, after)


def part(array, axis, places):
    return array[(slice(None),) * axis + (places,)]


def ramps(array, axis, before, after, ends):
    """From the end, which is given, in even steps to the edge, which is not repeated."""

    def ramp(edge, end, n):
        t = np.arange(n, dtype=array.dtype).reshape((n,) + (1,) * (array.ndim - axis - 1)) / max(n, 1)
        return end + (edge - end) * t

    first = ramp(part(array, axis, slice(0, 1)), ends[0], before)
    last = np.flip(ramp(part(array, axis, slice(-1, None)), ends[1], after), axis)
    return np.concatenate((first, array, last), axis)


def statistics(array, axis, before, after, lengths, function):
    """The statistic of the numbers next to each end."""
    n = array.shape[axis]
    first, last = (n if length is None else min(length, n) for length in lengths)
    first = function(part(array, axis, slice(0, first)), axis, keepdims=True)
    last = function(part(array, axis, slice(n - last, n)), axis, keepdims=True)
    return between(first, array, last, axis, before, after)


def odd(array, axis, before, after, mode):
    """Mirrored at a point, the edge: x(-i) = 2 x(0) - x(i). So after a period, there and back, all is the same but for
    twice the difference of the edges."""
    n = array.shape[axis]
    if n == 1:
        mode = "edge"
    places = np.arange(-before, n + after)
    if mode == "edge":
        return part(array, axis, np.clip(places, 0, n - 1))
    period = 2 * (n - (mode == "reflect"))
    times, place = places // period, places % period
    is_turned = place >= n
    column = (-1,) + (1,) * (array.ndim - axis - 1)
    there = part(array, axis, np.where(is_turned, period - (mode == "symmetric") - place, place))
    first, last = part(array, axis, slice(0, 1)), part(array, axis, slice(-1, None))
    turned, times = is_turned.reshape(column), times.reshape(column)
    # as NumPy has it, in this order, where the numbers are just mirrored
    return np.where(turned, 2 * last - there, there) + 2 * times * (last - first)
