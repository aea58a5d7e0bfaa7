"""Which layer a gradient without a number belongs to: ``dW`` in a loop over the layers, the last one first.

Which iteration belongs to which layer follows from the order in which the forward pass uses the parameters, from the
shapes and, where these do not decide, from the values.
"""

import numpy as np

from ..autodiff.node import ancestors
from . import claims


def by_layers(evidence, checks, is_partial):
    """{id of an event: Target} of the gradients of all layers that are assigned to one name, one after the other.
    `checks` are the claims by name, which take precedence where they distinguish the layers."""
    families, groups = _families(evidence), {}
    if max(map(len, families.values())) < 2:
        return {}
    for e in evidence.events:
        stem = _family(evidence, e)
        if stem and not is_partial(evidence, e):
            function = evidence.program.statements[e.sid].function
            groups.setdefault((function, e.base, stem), []).append(e)
    found, misshapen = {}, []
    for (function, _, stem), events in groups.items():
        family = families[stem]
        if len(events) != len(family) or len(family) < 2 or _are_distinguished(checks, events, family):
            continue
        order = _order(evidence, events, family)
        if order:
            found |= {e.id: (function, t) for e, t in zip(events, order, strict=True)}
        else:
            misshapen.append((function, events, family))
    for function, events, family in misshapen:  # if the loop assigns the other gradients in that order
        if any(function == other for other, _ in found.values()):
            found |= {e.id: (function, t) for e, t in zip(events, reversed(family), strict=True)}
    return {id_: target for id_, (_, target) in found.items()}


def _family(evidence, e):
    """Of which family a value is a gradient, "weights" or "biases", if its name says so without a number; else ""."""
    is_new = e.how in ("assigned", "in place") and (e.source == e.index or e.how == "in place")
    if not is_new or e.key is not None or not e.is_array or e.id in evidence.forward or e.sid < 0:
        return ""
    found = claims.stems(e.base)
    return claims.PARAMETERS.get(found[0].name, "") if found and found[0].kind == "gradient" else ""


def _families(evidence):
    """{"weights": Targets, "biases": Targets}, each in the order in which the forward pass uses them."""
    found = {"weights": [], "biases": []}
    if not evidence.graphical:
        return found
    users = {}
    for node in reversed(ancestors(evidence.reference.graph)):
        for x in node.inputs:
            users.setdefault(id(x), node)
    position = {id(node): i for i, node in enumerate(reversed(ancestors(evidence.reference.graph)))}
    leaves = [t for t in evidence.reference.targets if t.is_leaf and t.is_named and not evidence.is_data(t)]
    for target in sorted(leaves, key=lambda t: position.get(id(users.get(id(t.node))), 0)):
        user = users.get(id(target.node))
        if user is not None and user.op in ("add", "add_bias"):
            found["biases"].append(target)
        elif target.value.ndim == 2:
            found["weights"].append(target)
    return found


def _are_distinguished(checks, events, family):
    """Whether the caller or the names say which layer each event belongs to, or other names claim these gradients."""
    ids = {e.id for e in events}
    if any(c.explicit for c in checks if c.id in ids):
        return True
    own = {id(c.targets[0]) for c in checks if c.id in ids}
    others = {id(c.targets[0]) for c in checks if c.id not in ids and c.kind in ("gradient", "step")}
    return len(own) == len(events) or not others.isdisjoint(map(id, family))


def _order(evidence, events, family):
    """The layers in the order of the events: from the last to the first or, if the values say so, in reverse; None if
    the shapes do not fit."""
    best = []
    for order in (family[::-1], family):
        pairs = list(zip(events, order, strict=True))
        if all(evidence.laid_out(e.value, t) is not None for e, t in pairs):
            right = sum(evidence.ratio(e.value, t) is not None for e, t in pairs if np.any(t.gradient))
            best.append((right, order))
    return max(best, key=lambda x: x[0])[1] if best else None
