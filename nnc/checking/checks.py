"""Which line claims what: the values that are judged, and whose gradients they are by their names and shapes."""

import ast
import re
from dataclasses import dataclass

import numpy as np

from . import claims
from .layers import by_layers
from .local_derivatives import MOST_CHECKS, local_targets


@dataclass(eq=False)
class Check:
    """A value that claims to be a derivative, or an update of a parameter."""

    id: tuple
    targets: list  # whose derivative it may be
    kind: str  # "gradient" of a parameter, "inner", "local", "step", "update"
    explicit: bool = False
    strict: bool = True  # its name says derivative, so a multiple of it is wrong
    skip: bool = False  # its name was misunderstood
    is_custom: bool = False  # an update or a step by another rule than gradient descent, such as Adam's
    parts: tuple = ()  # ids of the terms of a gradient that several calls of a function add, one for each example

    @property
    def sid(self):
        return self.id[0]


def find_checks(evidence, names):
    """The checks of all values that claim a derivative or update a parameter; `names` are the caller's."""
    found, partial = [], []
    depends = evidence.depends()
    explicit = _explicit(evidence, names)
    for e in evidence.events:
        if e.id in explicit and e.id not in evidence.forward:
            target = explicit[e.id]
            found.append(_check(evidence, e, [target], True))
            continue
        if e.id in evidence.forward or e.how in ("bound", "returned"):
            continue
        if targets := local_targets(evidence, e):
            if sum(c.sid == e.sid for c in found) < MOST_CHECKS:
                found.append(Check(e.id, targets, "local"))
            continue
        if e.id not in depends and e.value is not None and not _is_final(evidence, e):
            continue
        if is_partial(evidence, e):
            partial += [(e, t) for t in _claimed(evidence, e)[0][:1]]
            continue
        of_state = _state_of(evidence, e)
        if of_state is not None:
            found.append(Check(e.id, [of_state], "step", strict=False, is_custom=True))
            continue
        update = _updated_parameter(evidence, e)
        if update is not None:
            found.append(Check(e.id, [update], "update", strict=False))
            continue
        targets, stem = _claimed(evidence, e)
        if e.source != e.index:  # the same object: returned by a function that was judged, or another name for it
            origin = next((c for c in found if c.id == evidence.events[e.source].id), None)
            is_known = origin is not None and not set(origin.targets).isdisjoint(targets)
            is_known = is_known and not (targets[0].is_leaf and len(origin.targets) > len(targets))
            if is_known and (len(targets) == 1 or not evidence.is_plain_copy(e)) or e.how == "in place":
                continue
        if targets:
            found.append(_check(evidence, e, targets, False, stem))
    layers = by_layers(evidence, found, is_partial)
    found = [c for c in found if c.id not in layers]
    found += [_check(evidence, evidence.trace.by_id[id_], [target], False) for id_, target in layers.items()]
    found.sort(key=lambda c: evidence.trace.by_id[c.id].index)
    _require_gradients(evidence, found)
    return _mark_intermediates(evidence, _of_last_iterations(evidence, found, partial))


def _require_gradients(evidence, checks):
    """What the caller calls a parameter's derivative must be the gradient, and not a step along it, unless its name or
    an update of the parameter suggests a step."""
    updated = {id(c.targets[0]) for c in checks if c.kind == "update"}
    for c in checks:
        e = evidence.trace.by_id[c.id]
        is_unnamed = c.kind == "step" and c.explicit and not claims.stems(e.base, e.key)
        if is_unnamed and id(c.targets[0]) not in updated and not claims.STEP.match(claims.last(e.base)):
            c.kind, c.strict = "gradient", True


def _of_last_iterations(evidence, checks, partial):
    """Without the checks of a parameter's gradient that a loop assigns again later: the last one counts."""
    last = {}
    for e, target in sorted(
        [*partial, *((evidence.trace.by_id[c.id], c.targets[0]) for c in checks)], key=lambda x: x[0].index
    ):
        last[e.sid, e.base, e.key, e.frame, target] = e.id
    kept = set(last.values())
    checks = [c for c in checks if c.id in kept or c.kind not in ("gradient", "step") or c.explicit]
    return _merge_calls(evidence, checks)


def _mark_intermediates(evidence, checks):
    """With "inner" for a gradient that goes into another one of the same parameter: ``dw`` of a helper, to which the
    caller adds the penalty's term, or which it divides by m."""
    gradients = [c for c in checks if c.kind == "gradient" and not c.explicit]
    last = {c.targets[0]: c for c in gradients}
    for c in gradients:
        final = last[c.targets[0]]
        if final.sid != c.sid and final.id in evidence.influenced(c.sid, c.id):
            c.kind, c.strict = "inner", False
    return checks


def _merge_calls(evidence, checks):
    """With one check for what the calls of a function, one for each example or time step, add to a gradient."""
    groups, found = {}, []
    for c in checks:
        if c.kind in ("gradient", "step") and not c.explicit and not c.is_custom:
            e = evidence.trace.by_id[c.id]
            groups.setdefault((e.sid, e.base, e.key, e.shape, c.targets[0]), []).append(c)
    for c in checks:
        e = evidence.trace.by_id[c.id]
        group = groups.get((e.sid, e.base, e.key, e.shape, c.targets[0]), [c])
        if len({evidence.trace.by_id[g.id].frame for g in group}) < 2:
            found.append(c)
        elif c is group[-1]:
            parts = tuple(g.id for g in group)
            found.append(Check(c.id, c.targets, "inner", strict=False, parts=parts))
    return found


def _check(evidence, e, targets, explicit, stem=None):
    leaf = targets[0].is_leaf and (_is_gradient_of_owner(e) or not evidence.is_data(targets[0]))
    own = claims.stems(e.base, e.key)
    kind = stem.kind if stem else own[0].kind if own else "weak"
    strict = kind == "gradient" or kind == "delta" and not leaf
    if leaf and len(targets) == 1:
        return Check(e.id, targets, "gradient" if kind == "gradient" else "step", explicit, strict)
    return Check(e.id, targets, "inner", explicit, strict and not leaf)


def _is_final(evidence, e):
    """Whether this is the last value of something named as a derivative. It is judged even if it does not depend on the
    parameters: zeros may be wrong, and so may ones, which are right for a plain sum."""
    if not (e.is_array and claims.is_strict(e.base, e.key)) or np.any(e.value) and e.index < evidence.J.index:
        return False
    return not any((o.base, o.key) == (e.base, e.key) for o in evidence.events[e.index + 1 :])


def is_partial(evidence, e):
    """Whether the next assignment to the same variable changes it: in place, or as in ``dW = dW / m``."""
    if _is_gradient_of_owner(e):
        name = claims.last(e.base)
        return any(o.owner == e.owner and claims.last(o.base) == name for o in evidence.events[e.index + 1 :])
    statement = evidence.program.statements[e.sid].node if e.sid >= 0 else None
    for other in evidence.events[e.index + 1 :]:
        if (other.base, other.key) == (e.base, e.key) and other.frame == e.frame:
            if other.how == "in place":
                return other.was in (None, e.index, e.source)  # else it is another object of that name
            node = evidence.program.statements[other.sid].node if other.sid >= 0 else None
            if other.sid != e.sid and isinstance(node, ast.Assign) and claims.is_strict(e.base, e.key):
                reads_itself = e.base in {ast.unparse(n) for n in ast.walk(node.value)}
                if reads_itself and other.shape == e.shape and statement is not other and _is_elementwise(node, e.base):
                    return True
            return False
    return False


def _is_elementwise(node, base):
    """Whether ``dW = dW / m`` or ``dW = dW + reg * W``: elementwise in the variable itself."""
    todo = [node.value]
    while todo:
        n = todo.pop()
        if ast.unparse(n) == base:
            return True
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            todo += [n.left, n.right]
        elif isinstance(n, ast.UnaryOp):
            todo.append(n.operand)
    return False


def _updated_parameter(evidence, e):
    """The parameter that this updates; or None."""
    if isinstance(e.key, str) and claims.holds_gradients(e.base) or e.id == evidence.J.id:
        return None  # grads["W1"] does not update params["W1"]
    if e.source != e.index and e.how != "in place" and evidence.events[e.source].id in evidence.forward:
        return None  # ``W1 = parameters["W1"]``: another name for it
    known, found = claims.label(e.base, e.key), []
    for target in evidence.reference.targets:
        if target.is_leaf and target.is_named:
            other = evidence.trace.by_id[target.index]
            if _origin(evidence, e) == other.index:
                return target  # changed in place, under any name
            named = evidence.named(target)
            if any(_replaces_item(evidence.trace.by_id.get(id_), e) for id_ in _aliases(target)):
                return target
            is_near = known == claims.label(named.base, named.key) and other.index < e.index
            own = [evidence.trace.by_id[id_] for id_ in _aliases(target) if id_ in evidence.trace.by_id]
            apart = min(_owner_distance(e, o) for o in own)
            has_owner = e.owner is not None and any(o.owner for o in own)
            if is_near and (apart == 0 or not has_owner):  # not ``self.data`` of another object
                was = None if e.was is None else evidence.events[evidence.events[e.was].source].id
                found.append((was not in _aliases(target), apart, target))
    return min(found, key=lambda x: x[:2])[2] if found else None


def _replaces_item(before, e):
    """Whether it assigns an item of a layer, such as ``theta[0][1]``, again."""
    is_item = before is not None and "[" in e.base and before.index < e.index
    return is_item and (before.base, before.key) == (e.base, e.key)


_MOMENT = re.compile(r"(v|s|m|vs|ms|vel\w*|mom\w*|first\w*|second\w*)(_\w+)?")


def _state_of(evidence, e):
    """The parameter of which an item of a dictionary is the velocity, or another optimizer state: ``velocity["W1"]``,
    ``v["dW1"]`` or ``updates["W1"]`` of ``params["W1"]``; or None."""
    if not isinstance(e.key, str) or not e.is_array or e.source != e.index or e.index < evidence.J.index:
        return None
    if claims.holds_gradients(e.base):
        return None
    name, key = claims.last(e.base), e.key
    if _MOMENT.fullmatch(name):
        key = re.sub(r"^d_?(?=[A-Za-z])", "", key)
    for target in evidence.reference.targets:
        if not (target.is_leaf and target.is_named) or target.shape != e.shape or evidence.is_data(target):
            continue
        own = [evidence.trace.by_id[id_] for id_ in _aliases(target) if id_ in evidence.trace.by_id]
        if all(claims.label(o.base, o.key)[0] not in (e.key, key) for o in own):
            continue
        is_own = any(o.key == e.key and (claims.last(o.base), o.owner) == (name, e.owner) for o in own)
        is_changed = _origin(evidence, e) in {o.index for o in own}
        if not is_own and not is_changed and not evidence.moves_with(e, target):
            return target
    return None


def _origin(evidence, e):
    """The index of the event that created the object which `e` assigns or changes in place; None if it is unknown."""
    while e.how == "in place" and e.was is not None:
        e = evidence.events[e.was]
    return None if e.how == "in place" else e.source


def _owner_distance(a, b):
    """2 if two attributes belong to two objects: ``self.dW`` of one layer, ``self.W`` of the next; 1 if only one of
    them belongs to an object; else 0."""
    return 0 if a.owner == b.owner else 1 if None in (a.owner, b.owner) else 2


def _claimed(evidence, e):
    """(the targets that the name may mean, the likeliest first; the stem), or ([], None) if it claims nothing."""
    if e.value is None or not isinstance(e.value, float | np.floating | np.ndarray):
        if e.value is not None:
            return [], None
    for stem in [*_of_the_cost(evidence, e), *claims.stems(e.base, e.key)]:
        found = []
        for target in evidence.reference.targets:
            if not target.is_named:
                continue
            for id_ in _aliases(target):
                other = evidence.trace.by_id.get(id_)
                if other is None or other.index > e.index and other.index > evidence.J.index:
                    continue
                near = claims.nearness(stem, claims.label(other.base, other.key))
                if near is not None and not (near > 3 and target.is_leaf):
                    fits = e.value is None or evidence.laid_out(e.value, target) is not None
                    later = other.index > e.index
                    off = not fits and not target.is_leaf
                    apart = _owner_distance(e, other)
                    iteration = _iteration_distance(e, other)
                    elsewhere = other.frame != e.frame
                    misfit = elsewhere and not fits
                    found.append((near, apart, off, elsewhere, misfit, later, iteration, -other.index, target))
        found.sort(key=lambda x: x[:8])
        if found:
            best = [t for near, apart, off, *_, t in found if (near, apart) == found[0][:2] and not off]
            if stem.kind in ("delta", "weak"):
                best = _with_preactivations(evidence, best + [t for *_, t in found])
                best = [t for t in best if e.value is None or evidence.laid_out(e.value, t) is not None]
            best = list(dict.fromkeys(best))
            if best:
                several = stem.kind in ("delta", "weak") or found[0][0] > 3 or _are_from_a_loop(best)
                if found[0][3] and not found[0][4] and not several:  # ``w`` of a function that each layer calls
                    best = (
                        [t for t in best if evidence.laid_out(e.value, t) is not None] if e.value is not None else best
                    )
                    several = bool(best) and best[0].is_leaf
                return (best[:6] if several else best[:1]), stem
    return _claimed_by_shape(evidence, e)


def _of_the_cost(evidence, e):
    """The stems of a name like ``dE_total_dw5``, where E_total is the cost."""
    cost = claims.label(evidence.J.base, evidence.J.key)
    pairs = [(claims.Stem(of, None, "gradient"), by) for of, by in claims.local_pairs(e.base, e.key)]
    near = [(claims.nearness(of, cost), by) for of, by in pairs]
    return [claims.Stem(by, None, "gradient") for rank, by in near if rank is not None and rank <= 2]


def _iteration_distance(e, other):
    """0 if the loop counters that two assignments share agree, or one's is the other's index in a list; else 1."""
    if e.frame == other.frame and (shared := e.counts.keys() & other.counts.keys()):
        if all(e.counts[name] == other.counts[name] for name in shared):
            return 0
    return 0 if isinstance(other.key, int) and other.key in e.counts.values() else 1


def _are_from_a_loop(targets):
    """Whether the first two were assigned by one line, in two iterations of a loop, and are not parameters."""
    return len(targets) > 1 and not targets[0].is_leaf and targets[0].index[0] == targets[1].index[0]


def _is_gradient_of_owner(e):
    """Whether it is ``x.grad``: the gradient of what else the object x holds, ``x.data``."""
    return e.owner is not None and e.key is None and bool(claims.GRADIENT.fullmatch(claims.last(e.base)))


def _claimed_by_shape(evidence, e):
    """``grad``: the gradient of the parameter of its shape, if there is only one."""
    if _is_gradient_of_owner(e):
        by_id, own = evidence.trace.by_id, []
        for t in evidence.reference.targets:
            owners = [by_id[id_].owner for id_ in _aliases(t) if id_ in by_id]
            own += [t] if t.is_named and t.shape == e.shape and e.owner in owners else []
        return (own[-1:], claims.Stem(own[-1].name, None, "gradient")) if own else ([], None)
    if e.value is None or not claims.GRADIENT.fullmatch(claims.last(e.base)) or np.ndim(e.value) == 0:
        return [], None
    leaves = [t for t in evidence.reference.targets if t.is_leaf and t.is_named and not evidence.is_data(t)]
    leaves = [t for t in leaves if t.shape == np.shape(e.value)]
    return (leaves, claims.Stem(leaves[0].name, None, "gradient")) if len(leaves) == 1 else ([], None)


def _aliases(target):
    return target.aliases or [target.index]


def _with_preactivations(evidence, targets):
    found = []
    for t in targets:
        found += [act.z for act in evidence.activations if act.a is t] + [t]
    return list(dict.fromkeys(found))


def _explicit(evidence, names):
    """{id of an event: Target} for the names that the caller gave."""
    found = {}
    for key, of in names.items():
        name, _, k = key.partition("#")
        events = [
            e
            for e in evidence.events
            if name in _spellings(e) and e.how not in ("bound", "returned") and e.id not in evidence.forward
        ]
        if k:
            own = [e for e in events if e.index > evidence.J.index] or events
            events = own if len(own) >= int(k) else events
            events = [events[int(k) - 1]] if len(events) >= int(k) else []
        else:
            events = [e for e in events if not is_partial(evidence, e)]
        target = _target_named(evidence, of)
        if target is None or not events:
            what = f"{key} is assigned" if target is not None else f"the cost depends on {of}"
            evidence.remarks.append(f"names says that {key} is dJ/d{of}, but it was not seen that {what}")
            continue
        for e in events:  # in a loop: the one of the same iteration
            before = None if "#" in of or e.index > evidence.J.index else _target_named(evidence, of, e.index)
            found[e.id] = before or target
    return found


def _target_named(evidence, of, before=None):
    name, _, k = of.partition("#")
    ids = [
        e.id
        for e in evidence.events
        if e.id in evidence.reference.of
        and name in _spellings(e)
        and e.index <= (before or evidence.J.index)
        and e.how != "bound"
    ]
    ids = ids or [e.id for e in evidence.events if e.id in evidence.reference.of and name in _spellings(e)]
    if not ids or k and int(k) > len(ids):
        return None
    return evidence.reference.of[ids[int(k) - 1] if k else ids[-1]]


def _spellings(e):
    """The texts by which a caller may refer to an assignment."""
    name = e.name.replace('"', "'")
    return (
        {e.base, name}
        if e.key is None
        else {name, name.replace("'", '"'), str(e.key) if isinstance(e.key, str) else name}
    )
