"""Gradients compared with finite differences, as the notes do on page 7 with h = 0.1.

`numerical_gradient` is eq. 6.2, `gradcheck` compares the graph with it, entry by entry. For a gradient derived by hand
see `nnc.checking.check_gradient`.
"""

from html import escape

import numpy as np

from ..autodiff.node import Node, ancestors, pullback

EPS = np.finfo(np.float64).eps
TOLERANCE = 1e-5
STEPS = 10.0 ** -np.arange(4, 13)  # the first is best for most f, smaller ones for an f of high curvature
KINK = 1e-7  # an entry this close to a kink has no derivative


def numerical_gradient(f, x, h=1e-6, method="central"):
    """The gradient of f at x from its values alone, always in float64.

    Parameters
    ----------
    f : callable
        Of an array like x (or a number, if x is one); returns a scalar.
    x : array_like
    h : float
        The step. Too large a step has truncation error, too small a one rounding error: see `GradientReport.plot`.
    method : {"central", "forward"}
        (f(x + h) - f(x - h)) / 2h, whose error is of the order h², or eq. 6.2 itself, (f(x + h) - f(x)) / h.

    Returns
    -------
    ndarray of the shape of x, or a float for a number

    Raises
    ------
    ValueError
        If f does not return a scalar, or h or method is not allowed.

    Examples
    --------
    >>> z = lambda w: w * 5 + 3  # page 7: x = 5, b = 3
    >>> round(nnc.numerical_gradient(z, -2.0, h=0.1, method="forward"), 12)
    5.0
    """
    if method not in ("central", "forward"):
        raise ValueError(f"numerical_gradient: method is {method!r}, but must be 'central' or 'forward'")
    if not 0 < h < np.inf:
        raise ValueError(f"numerical_gradient: h is {h}, but must be a positive number")
    x = np.array(x, dtype=np.float64)
    value = _values(f, x, "numerical_gradient")
    gradient = np.empty_like(x)
    start = value()
    for i in np.ndindex(x.shape):
        if method == "forward":
            gradient[i] = (value(i, h) - start) / h
        else:
            up, down = x[i] + h, x[i] - h  # their distance is 2 h only up to rounding
            if up == down:
                raise ValueError(f"numerical_gradient: h = {h} is lost in the rounding of x[{i}] = {x[i]}")
            gradient[i] = (value(i, h) - value(i, -h)) / (up - down)
    return gradient if gradient.ndim else float(gradient)


def _values(f, x, caller):
    """value(i, h): the number f(x) with entry i of the array x moved by h; x is left unchanged."""

    def value(i=(), h=0.0):
        moved = x.copy()
        moved[i] += h
        return _number(f(moved if moved.ndim else moved[()]), caller)

    return value


def _number(y, caller):
    y = np.asarray(y.value if isinstance(y, Node) else y)
    if y.ndim or y.dtype.kind not in "biuf":
        what = f"an array {y.shape}" if y.ndim else f"a {y.dtype}"
        raise ValueError(f"{caller}: f returns {what}, but must return a scalar, such as J = L.mean()")
    return float(y)


# ---- gradcheck -------------------------------------------------------------------------------------------------------


def gradcheck(f, *args):
    """Compare the gradient from the graph with finite differences, for every entry of every argument.

    f is called with Nodes for the graph and with plain arrays for the differences, always in float64. An entry at which
    f has a kink (ReLU at 0, a tie in max) has no derivative: it is skipped, and the report says so. An entry counts as
    one only if moving it by 1e-7 takes an operation of the graph to the other side of its kink.

    Parameters
    ----------
    f : callable
        Returns a scalar. Constants, such as labels, are best kept inside it.
    *args : array_like
        The gradient is taken with respect to all of them.

    Returns
    -------
    GradientReport
        With ``.ok``, ``.max_error``, ``.kinks``, ``.plot()``; printed, it is a table of the worst entries.

    Raises
    ------
    ValueError
        If f does not return a scalar.
    TypeError
        If f takes a number out of the graph, as ``float(node)`` or ``math.exp(node)`` would.

    Examples
    --------
    >>> report = nnc.gradcheck(lambda W, x: np.tanh(W @ x).sum(), np.eye(2), [0.5, -1.0])
    >>> report.ok, report.max_error < 1e-9
    (True, True)
    >>> nnc.gradcheck(lambda z: nnc.relu(z).sum(), [-1.0, 0.0, 2.0]).kinks
    [(0, (1,), 'relu at [1]')]
    """
    if not args:
        raise TypeError("gradcheck: give the arguments of f, too: nnc.gradcheck(f, W, b)")
    return GradientReport(f, [np.array(a.value if isinstance(a, Node) else a, dtype=np.float64) for a in args])


class GradientReport:
    """What `gradcheck` found.

    Attributes
    ----------
    ok : bool
        Every entry without a kink is right to 1e-5, and there is at least one.
    max_error : float
        The largest relative error, |graph - differences| / max(|graph|, |differences|); where it is above 1e-5, less
        what rounding explains. NaN if something is NaN or nothing was compared.
    kinks : list of (argument, index, what)
        The entries that were skipped.
    gradients, differences, errors : lists of ndarray, one for each argument
        From the graph, from finite differences, and the relative error; NaN in errors where there is a kink.
    """

    def __init__(self, f, args):
        self._f, self._args = f, args
        J = self._graph(nodes := [Node(x) for x in args])
        self._value = _number(J, "gradcheck")
        found = pullback(J, np.float64(1))
        self.gradients = [np.asarray(found.get(x, np.zeros(x.shape))) for x in nodes]
        self.differences = [np.full(x.shape, np.nan) for x in args]
        self.errors = [np.full(x.shape, np.nan) for x in args]
        self.kinks = []
        for k, x in enumerate(args):
            for i in np.ndindex(x.shape):
                self._compare(k, i)
        kinks = {(k, i) for k, i, _ in self.kinks}
        compared = [e for k, errors in enumerate(self.errors) for i, e in np.ndenumerate(errors) if (k, i) not in kinks]
        self.checked = len(compared)
        self.max_error = float(np.max(compared)) if compared else np.nan
        self.ok = bool(self.max_error < TOLERANCE)

    def _graph(self, nodes):
        J = self._f(*nodes)
        return J if isinstance(J, Node) else Node(J)  # a constant

    def _value_of(self, k):
        def f_of_one(x):
            return self._f(*self._args[:k], x, *self._args[k + 1 :])

        return _values(f_of_one, self._args[k], "gradcheck")

    def _compare(self, k, i):
        """Compare entry i of argument k, with the step that suits it best."""
        value, a = self._value_of(k), self.gradients[k][i]
        unit = max(1.0, abs(self._args[k][i]))
        with np.errstate(all="ignore"):  # a step may leave the domain of f
            n, noise, may_have_kink = _five_points(value, i, STEPS[0] * unit, self._value)
            error = _relative(a, n, noise)
            for h in STEPS[1:] * unit:
                if error < TOLERANCE:
                    break
                up, down = value(i, h), value(i, -h)
                closer, noise = (up - down) / (2 * h), _noise(h, up, down)
                if noise > 0.1 * TOLERANCE * max([abs(d) for d in (a, n, closer) if d == d], default=0.0):
                    break  # with a smaller step it might agree by chance
                if (new := _relative(a, closer, noise)) < error or error != error:
                    n, error = closer, new
            what = self._kink(k, i, KINK * unit) if may_have_kink or not error < TOLERANCE else ""
        if what:
            self.kinks.append((k, i, what))
        else:
            self.differences[k][i], self.errors[k][i] = n, error

    def _kink(self, k, i, h):
        """The first operation that changes sides when entry i of argument k is moved by h, one way or the other."""
        before, here, after = [], [], []
        for step, seen in ((-h, before), (0.0, here), (h, after)):
            moved = [x.copy() for x in self._args]
            moved[k][i] += step
            for node in reversed(ancestors(self._graph(map(Node, moved)))):
                if kinks := node._rule.kinks:
                    seen.append((node.op, node.name, kinks(*node._args, **node.params)))
        for (op, name, sides), *others in zip(here, before, after, strict=False):
            for _, _, other in others:
                if np.shape(other) == np.shape(sides) and len(changed := np.argwhere(np.not_equal(other, sides))):
                    return f"{op}{' of ' + name if name else ''} at {changed[0].tolist()}"
        return ""

    # ---- as text, table, picture -----------------------------------------------------------------------------------

    def _worst(self, most=8):
        entries = [(e, k, i) for k, errors in enumerate(self.errors) for i, e in np.ndenumerate(errors)]
        entries = [(e, k, i) for e, k, i in entries if (k, i) not in {(k, i) for k, i, _ in self.kinks}]
        entries.sort(key=lambda entry: (entry[0] == entry[0], -entry[0]))  # NaN first
        return [(k, i, self.gradients[k][i], self.differences[k][i], e) for e, k, i in entries[:most]]

    def _verdict(self):
        verdict = "the gradient is right" if self.ok else "WRONG GRADIENT" if self.checked else "nothing was compared"
        skipped = f", {len(self.kinks)} skipped at a kink" if self.kinks else ""
        return f"{verdict}: largest relative error {self.max_error:.2g} in {self.checked} entries{skipped}"

    def _skipped(self, most=8):
        lines = [f"skipped: argument {k}, entry {list(i)}: {what}" for k, i, what in self.kinks[:most]]
        return lines + [f"skipped: {len(self.kinks) - most} more"] * (len(self.kinks) > most)

    def __repr__(self):
        lines = [self._verdict(), f"{'argument':>8}  {'entry':<12} {'graph':>16} {'differences':>16} {'error':>9}"]
        lines += [f"{k:>8}  {str(list(i)):<12} {a:>16.9g} {n:>16.9g} {e:>9.2g}" for k, i, a, n, e in self._worst()]
        return "\n".join(lines + self._skipped())

    def _repr_html_(self):
        head = "<tr><th>argument</th><th>entry</th><th>graph</th><th>differences</th><th>error</th></tr>"
        rows = "".join(f"<tr><td>{k}</td><td>{list(i)}</td><td>{a:.9g}</td><td>{n:.9g}</td><td>{e:.2g}</td></tr>"
                       for k, i, a, n, e in self._worst())  # fmt: skip
        skipped = "".join(f"<div>{escape(line)}</div>" for line in self._skipped())
        mark = "✓" if self.ok else "✗"
        return f"<div><b>{mark} {escape(self._verdict())}</b></div><table>{head}{rows}</table>{skipped}"

    def plot(self, ax=None, most=16):
        """The error of both kinds of differences against h: a V, truncation error on its right, rounding on its left.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        most : int
            How many entries to follow, those with the largest gradients.

        Returns
        -------
        matplotlib Axes
        """
        import matplotlib.pyplot as plt

        from ..plot import STYLE

        kinks = {(k, i) for k, i, _ in self.kinks}
        entries = [(abs(a), k, i) for k, g in enumerate(self.gradients) for i, a in np.ndenumerate(g)]
        entries = sorted([entry for entry in entries if entry[1:] not in kinks], reverse=True)[:most]
        steps = 10.0 ** np.arange(-13, 0.5, 0.5)
        errors = {"forward": [], "central": []}
        for method, largest in errors.items():
            for h in steps:
                down = h if method == "central" else 0.0
                apart = []
                for _, k, i in entries:
                    value = self._value_of(k)
                    apart.append(_relative(self.gradients[k][i], (value(i, h) - value(i, -down)) / (h + down)))
                largest.append(max(apart, default=np.nan))
        with plt.rc_context(STYLE):
            ax = ax or plt.subplots()[1]
            for method, largest in errors.items():
                ax.loglog(steps, np.maximum(largest, EPS), "o-", label=f"{method} differences")
            ax.set(xlabel="step h", ylabel="relative error", title="too small a step: rounding — too large: bending")
            ax.legend()
        return ax


def _relative(a, n, noise=0.0):
    """|a - n| relative to the larger of the two; what the noise explains does not count against the gradient."""
    if a == n:
        return 0.0
    apart, size = abs(a - n), max(abs(a), abs(n))
    return apart / size if apart < TOLERANCE * size else max(apart - noise, 0.0) / size


def _noise(h, *values):
    """The error that rounding of f may cause in a difference quotient."""
    return 8 * EPS * max(map(abs, values)) / h


def _five_points(value, i, h, start):
    """(derivative, its rounding error, whether there may be a kink) from f at -h, -h/2, 0, h/2 and h."""
    up, down, half_up, half_down = value(i, h), value(i, -h), value(i, h / 2), value(i, -h / 2)
    wide, narrow = (up - down) / (2 * h), (half_up - half_down) / h
    n = (4 * narrow - wide) / 3  # Richardson extrapolation: the h² terms cancel
    noise = _noise(h, up, down, start)
    # for a smooth f the second difference is proportional to h², at a kink to h
    bend = 4 * (half_up - 2 * start + half_down) / h - (up - 2 * start + down) / h
    return n, noise, abs(bend) > 8 * noise + TOLERANCE * max(abs(n), abs(wide))
