"""Constant factors, and how they are written: m, 1 / m, -2, products and quotients of sizes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Factor:
    """A number that is made of a sign, twos, sizes and named numbers: sign · numerator / denominator."""

    value: float
    over: tuple  # texts of the numerator's factors
    under: tuple
    sizes: tuple = ()  # the (size, exponent) in it

    @property
    def text(self):
        over, under = list(self.over), list(self.under)
        sign = "-" if self.value < 0 else ""
        top = " * ".join(over) or "1"
        if not under:
            return sign + top
        bottom = under[0] if len(under) == 1 else f"({' * '.join(under)})"
        return f"{sign}{top} / {bottom}"

    @property
    def is_one(self):
        return self.value == 1


class Factors:
    """All factors that a convention may have.

    Parameters
    ----------
    sizes : dict
        {size: text}, the numbers of examples first.
    numbers : dict
        {value: text} of further numbers that a step may have, such as the learning rate.
    rtol : float
        How near a number must be to count as one of them.
    """

    def __init__(self, sizes, numbers, rtol):
        self.rtol = rtol
        self.plain = self._table(sizes, {})
        self.with_numbers = self._table(sizes, numbers)

    def _table(self, sizes, numbers):
        sizes = [(n, t) for n, t in sizes.items() if n > 1][:7]
        powers = [()]
        powers += [((n, t, p),) for n, t in sizes for p in (1, -1)]
        powers += [((n, t, p),) for n, t in sizes[:2] for p in (2, -2)]
        powers += [
            ((a, ta, p), (b, tb, q))
            for i, (a, ta) in enumerate(sizes)
            for b, tb in sizes[:i]
            for p in (1, -1)
            for q in (1, -1)
        ]
        extra = [()] + [((x, t, p),) for x, t in numbers.items() for p in (1, -1)]
        found = []
        for two, over, under in (
            (1.0, (), ()),
            (2.0, ("2",), ()),
            (0.5, (), ("2",)),
            (4.0, ("4",), ()),
            (0.25, (), ("4",)),
        ):
            for power in powers:
                for number in extra:
                    value, top, bottom = two, over, under
                    for n, t, p in (*power, *number):
                        value *= float(n) ** p
                        top, bottom = (top + (t,) * p, bottom) if p > 0 else (top, bottom + (t,) * -p)
                    for sign in (1, -1):
                        found.append(Factor(sign * value, top, bottom, tuple((n, p) for n, _, p in power)))
        found.sort(key=lambda f: (len(f.over) + len(f.under) + (f.value < 0) * 0.5, len(f.under)))
        return found, np.array([f.value for f in found])

    def nice(self, k, with_numbers=False):
        """The simplest Factor that is k, or None."""
        if not np.isfinite(k) or k == 0:
            return None
        for table, values in (self.plain, self.with_numbers)[: 1 + with_numbers]:
            near = np.flatnonzero(np.abs(values - k) <= self.rtol * abs(k))
            if near.size:
                return table[near[0]]
        return None


def number_text(k, numbers):
    """A number as a product or quotient of the named ones."""
    best = None
    items = [(1.0, "")] + list(numbers.items())
    for two, t2 in ((1.0, ""), (2.0, "2"), (0.5, "0.5"), (-1.0, "-1"), (-2.0, "-2"), (-0.5, "-0.5")):
        for a, ta in items:
            for b, tb in items:
                if b and abs(two * a / b - k) <= 1e-6 * abs(k):
                    text = " * ".join(t for t in (t2, ta) if t) or "1"
                    text += f" / {tb}" if tb else ""
                    size = len([t for t in (t2, ta, tb) if t])
                    if best is None or size < best[0]:
                        best = size, text
    return best[1] if best else f"{k:.6g}"
