"""The reference derivatives: of the cost with respect to every value that its forward pass assigns.

The forward lines are run on Nodes, and the graph gives all gradients at once; they are compared with finite differences
through the reader's own code along random directions. If a line does not run on Nodes, or the two do not agree, finite
differences are taken entry by entry, for large arrays at a sample of entries. Entries at a kink, where the gradient
jumps when the values are moved by 1e-11, are not judged.
"""

from dataclasses import dataclass, field

import numpy as np

from ..autodiff.node import Node, ancestors, pullback

SAMPLE = 60  # entries of an array to take finite differences of, if it has more than MANY
MANY = 400
STEP = 1e-4
NOISE = 1e-11


@dataclass(eq=False)
class Target:
    """A value to differentiate with respect to: one that was assigned, or one inside an expression."""

    name: str
    value: np.ndarray
    gradient: np.ndarray
    index: tuple  # id of the event that assigned it, or whose expression contains it
    is_named: bool
    is_leaf: bool  # not computed from other values of the forward pass: a parameter, or data
    known: np.ndarray = None  # mask of the entries that are known and not at a kink; None: all
    aliases: list = field(default_factory=list)  # other events with the same value
    node: object = None  # in the graph, if there is one
    of: str = "J"  # the name of what is differentiated
    root: object = None  # its node; None: that of J

    @property
    def shape(self):
        return self.gradient.shape

    @property
    def title(self):
        return f"d{self.of}/d{self.name}"


class ReferenceGradients:
    """The targets, and how they were found.

    Attributes
    ----------
    targets : list of Target
    scalars : list of Target
        Scalars inside expressions, without a name.
    of : dict
        {id of an event: Target}
    how : "graph" or "finite differences"
    why : str
        Why the graph is not used; "" if it is.
    kinks : int
        The number of entries at a kink, which are left out.
    """

    def __init__(self, program, events, J, names, patches=()):
        self.J, self.value, self.targets, self.of, self.kinks = J.id, float(np.squeeze(J.value)), [], {}, 0
        self.program, self.patches, self.sampled, self.scalars = program, dict(patches), False, []
        self.why = self._graph(events, names)
        self.how = "graph" if not self.why else "finite differences"
        if self.why:
            self._differences(events)

    # ---- by the graph ----------------------------------------------------------------------------------------------

    def _graph(self, events, names):
        """Fill in the targets; return "" or why the graph cannot be used."""
        run, found = self._on_nodes(names)
        if isinstance(why := found, str):
            run, found = self._on_nodes(set())
            if isinstance(found, str):
                return why
        J = run.by_id[self.J].node
        if not np.allclose(J.value, self.value, rtol=1e-6, atol=1e-12):
            return f"on Nodes {run.by_id[self.J].name} is {float(J):.6g} and not {self.value:.6g}"
        self.graph = J
        shaken = [self._shaken(names, seed) for seed in (1, 2)]
        nodes = list(reversed(ancestors(J)))
        largest = max((np.max(np.abs(found[node]), initial=0) for node in nodes if node is not J), default=0.0)
        at = {}
        for e in run.events:
            if e.node is not None and e.node in found:
                at.setdefault(e.node, []).append(e.id)
        is_computed = {node: any(isinstance(x, Node) for x in node.inputs) for node in nodes}
        inside = {}
        for node in reversed(nodes):  # the event whose expression contains the node: that of the nearest user
            here = at.get(node, [None])[0]
            for x in node.inputs:
                if isinstance(x, Node) and x not in at:
                    inside.setdefault(x, here if here is not None else inside.get(node, self.J))
        for position, node in enumerate(nodes):
            if node is J:
                continue
            indices = at.get(node, [inside.get(node, self.J)])
            gradient = np.asarray(found[node], np.float64)
            if np.max(np.abs(gradient), initial=0) <= 1e-14 * largest:
                gradient = np.zeros_like(gradient)  # as for a bias before batch normalization
            known = np.ones(gradient.shape, bool)
            for others in shaken:
                if others is not None and len(others) == len(nodes) and others[position].shape == gradient.shape:
                    size = np.max(np.abs(gradient), initial=0)
                    known &= (
                        np.abs(others[position] - gradient)
                        <= 1e-5 * np.abs(gradient) + 1e-5 * size + 100 * NOISE * largest
                    )
            self.kinks += int(np.sum(~known)) if node in at else 0
            target = Target(
                run.by_id[indices[0]].name if node in at else "",
                np.asarray(node.value, np.float64),
                gradient,
                indices[0],
                node in at,
                not is_computed[node],
                None if known.all() else known,
                indices,
                node,
            )
            if not node.ndim and node not in at:
                self.scalars.append(target)
                continue
            self.targets.append(target)
            if node in at:
                self.of |= dict.fromkeys(indices, target)
        return self._disagreement(events)

    def _on_nodes(self, names, shake=None):
        run = self.program.run(self.patches, nodes=names, stop=self.J, shake=shake)
        if self.J not in run.by_id:
            error = run.error or (run.errors and run.errors[0][1]) or "it ends early"
            return run, f"the forward lines do not run on Nodes ({error})"
        J = run.by_id[self.J].node
        if J is None:
            return run, "the cost leaves the graph"
        if J.ndim:
            J = run.by_id[self.J].node = J.reshape(())
        return run, pullback(J, np.float64(1))

    def _shaken(self, names, seed):
        """The gradients, in the order of the nodes, with all values moved slightly; None if they cannot be computed."""
        rng = np.random.default_rng(seed)

        def shake(x):
            value = x.value if isinstance(x, Node) else x
            if np.asarray(value).dtype.kind != "f" or not np.size(value) or _is_labels(x):
                return x
            size = np.abs(value)  # a low quantile of it, as masked scores of -1e9 must not move the others
            step = NOISE * (1 + size + np.quantile(size, 0.25)) * rng.uniform(-1, 1, np.shape(value))
            if not isinstance(x, Node):
                return x + step
            x = x + step
            x.name = "shaken"
            return x

        run, found = self._on_nodes(names, shake=shake)
        if isinstance(found, str):
            return None
        # shaking adds a node after each value; those are the nodes whose gradients are compared
        J = run.by_id[self.J].node
        nodes = list(reversed(ancestors(J)))
        shakes = {n.inputs[0] for n in nodes if n.op == "add" and getattr(n, "name", None) == "shaken"}
        return [np.asarray(found[n]) for n in nodes if n not in shakes]

    def _disagreement(self, events):
        """How finite differences along random directions disagree with the graph; "" if they do not."""
        rng = np.random.default_rng(0)
        for target in [t for t in self.targets if t.is_named and t.known is None][:40]:
            x = target.value
            if target.is_leaf and _is_labels(x):
                continue
            signs, size = rng.choice([-1.0, 1.0], x.shape), np.max(np.abs(x), initial=0)
            for d in (signs * (np.abs(x) + 0.01 * size + 1e-6), signs * x):
                n, noise = self._along(target.index, x, d)
                a = float(np.sum(target.gradient * d))
                size = max(abs(a), float(np.sqrt(np.sum((target.gradient * d) ** 2))))
                is_near = abs(a - n) <= 1e-4 * size + 10 * noise + 1e-9
                if is_near or not np.all(x):
                    break  # else try a step in proportion to x, for tiny values such as exponentials
            if not is_near:
                if abs(a - self._along(target.index, x, d, STEP / 100)[0]) <= 1e-3 * size + 1000 * noise + 1e-9:
                    continue  # a kink nearby
                return f"the graph's dJ/d{target.name} is not that of finite differences"
        return ""

    # ---- by finite differences -------------------------------------------------------------------------------------

    def _along(self, index, x, d, h=STEP):
        """(derivative of the cost along d, its rounding error)."""
        f = [self._cost({index: x + k * h * d}) for k in (1, -1, 2, -2)]
        noise = 8 * np.finfo(float).eps * max(map(abs, f)) / h
        return (8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * h), noise

    def _cost(self, overrides):
        run = self.program.run(self.patches, overrides=overrides, stop=self.J)
        try:
            return float(np.squeeze(run.by_id[self.J].value))
        except (KeyError, TypeError, ValueError):
            return np.nan

    def _differences(self, events):
        self.targets, self.of, self.kinks = [], {}, 0
        rng = np.random.default_rng(0)
        for e in events:
            if e.id == self.J:
                break
            value = np.asarray(e.value, np.float64) if _is_number(e.value) else None
            if value is None or not np.isfinite(value).all() or value.size == 0:
                continue
            if e.source != e.index and events[e.source].id in self.of:
                self.of[e.id] = self.of[events[e.source].id]
                continue
            d = rng.choice([-1.0, 1.0], value.shape)
            if np.asarray(e.value).dtype.kind != "f" or not self._along(e.id, value, d)[0]:
                continue
            gradient, known = np.zeros(value.shape), np.zeros(value.shape, bool)
            entries = list(np.ndindex(value.shape))
            if len(entries) > MANY:
                entries = [entries[i] for i in rng.choice(len(entries), SAMPLE, replace=False)]
                self.sampled = True
            for i in entries:
                step = np.zeros(value.shape)
                step[i] = unit = abs(value[i]) + 0.01 * np.max(np.abs(value)) or 1.0
                gradient[i], noise = (x / unit for x in self._along(e.id, value, step))
                near = self._along(e.id, value, step, STEP / 10)[0] / unit
                known[i] = abs(near - gradient[i]) <= 1e-5 * abs(near) + 100 * noise + 1e-9
                self.kinks += not known[i]
            target = Target(e.name, value, gradient, e.id, True, True, None if known.all() else known)
            self.targets.append(target)
            self.of[e.id] = target
        self._leaves()

    def _leaves(self):
        """Find the leaves: the values that stay the same when any other one is moved."""
        for target in self.targets:
            if not target.is_leaf:
                continue
            run = self.program.run(self.patches, stop=self.J, overrides={target.index: target.value * 1.1 + 0.01})
            for other in self.targets:
                if other is not target and other.index in run.by_id:
                    other.is_leaf &= bool(np.array_equal(np.asarray(run.by_id[other.index].value), other.value))


def _is_labels(x):
    """Whether it is data of zeros and ones that code may compare with: labels, a one-hot matrix, a mask."""
    is_computed = isinstance(x, Node) and any(isinstance(y, Node) for y in x.inputs)
    value = np.asarray(x.value if isinstance(x, Node) else x)
    return not is_computed and np.ptp(value) == 1 and bool(np.isin(value, (0.0, 1.0)).all()) if value.size else False


def _is_number(x):
    return isinstance(x, float | np.floating | np.ndarray) and np.asarray(x).dtype.kind in "fiu"
