"""Names that claim a local derivative, ``d_h1_d_w1`` or ``da_dz``: of one value of the forward pass by another.

Such a line is blamed only if what is computed from it is wrong, and right with the true derivative.
"""

import numpy as np

from ..autodiff.create_graph import backward_graph
from ..autodiff.node import Node, ancestors, pullback
from . import claims
from .reference_gradients import Target

MOST_CHECKS = 4  # of one statement, in the iterations of a loop
MOST_ENTRIES = 256  # of an array differentiated with respect to a scalar


def local_targets(evidence, e):
    """The Targets that a name such as ``da_dz`` may claim: the derivative of a with respect to z, and the part of it
    that does not go through other named values; [] if it claims none."""
    if not evidence.graphical or e.how not in ("assigned", "in place") or isinstance(e.key, int) or e.value is None:
        return []
    pairs = []
    for of, by in claims.local_pairs(e.base, e.key):
        a, b = _known_as(evidence, of, e), _known_as(evidence, by, e)
        if a and b and a[1] is not b[1] and a[1].node is not evidence.reference.graph:
            pairs.append((a[0] + b[0], len(pairs), a[1], b[1], of, by))
    if not pairs:
        return []
    _, _, a, b, of, by = min(pairs, key=lambda pair: pair[:2])
    found = []
    for gradient in (_derivative(a.node, b.node), _direct(evidence, a.node, b.node)):
        if gradient is not None and np.isfinite(gradient).all():
            if np.size(e.value) == 1 and gradient.size and np.ptp(gradient) == 0:
                gradient = np.array(gradient.flat[0])  # ``dz_db = 1`` for all examples
            target = Target(by, b.value, gradient, b.index, True, False, node=b.node, of=of, root=a.node)
            if evidence.laid_out(e.value, target) is not None:
                found.append(target)
    return found


def _known_as(evidence, name, e):
    """(how near, Target) of the forward value that is called by a name, the last one before the event; or None."""
    found = []
    stem = claims.Stem(name, None, "gradient")
    for target in evidence.reference.targets:
        for id_ in (target.aliases or [target.index]) if target.is_named and target.node is not None else ():
            other = evidence.trace.by_id.get(id_)
            if other is not None and other.index < e.index:
                near = claims.nearness(stem, claims.label(other.base, other.key))
                if near is not None and near <= 2:
                    found.append((near, other.frame != e.frame, -other.index, target))
    found.sort(key=lambda x: x[:3])
    return (found[0][0], found[0][3]) if found else None


def _derivative(a, b):
    """da/db where one of them is a scalar or, entry by entry, where their shapes are equal; None if an entry of a
    depends on several of b."""
    return _entrywise(a, b, lambda seed: pullback(a, seed).get(b))


def _direct(evidence, a, b):
    """The same without the paths through other named values."""
    named = {t.node for t in evidence.reference.targets if t.is_named} - {a, b}
    inside, todo = {a}, [a]
    while todo:
        for x in todo.pop().inputs:
            if isinstance(x, Node) and x not in named and x not in inside:
                inside.add(x)
                todo += [x] if x is not b else []
    if b not in inside:
        return None
    nodes = [node for node in ancestors(a) if node in inside and node is not b]

    def gradient(seed):
        try:
            found = backward_graph([*nodes, b], {a: seed}).get(b)
        except TypeError:  # an operation that is not differentiable twice
            return None
        return found.value if isinstance(found, Node) else found

    return _entrywise(a, b, gradient)


def _entrywise(a, b, gradient):
    """da/db from `gradient`, the function from a seed for a to the gradient with respect to b."""
    if b not in set(ancestors(a)):
        return None
    ones = np.ones(a.shape)
    if a.size == 1:
        return _of_shape(gradient(ones), b.shape)
    if a.shape == b.shape:
        other = np.random.default_rng(3).uniform(1, 2, a.shape)
        found, again = _of_shape(gradient(ones), b.shape), _of_shape(gradient(other), b.shape)
        is_diagonal = found is not None and again is not None and np.allclose(again, found * other, rtol=1e-9)
        return found if is_diagonal else None
    if b.size == 1 and a.size <= MOST_ENTRIES:
        seeds = np.eye(a.size).reshape(a.size, *a.shape)
        return _of_shape([np.sum(gradient(seed)) for seed in seeds], a.shape)
    return None


def _of_shape(gradient, shape):
    if gradient is None or np.size(gradient) != np.prod(shape, dtype=int):
        return None
    return np.array(gradient, np.float64).reshape(shape)
