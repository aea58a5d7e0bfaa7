"""Updates by a custom rule (momentum, Adam, weight decay): whether they go downhill, tested with other gradients.

Such a step is not a multiple of the gradient, so its value alone does not show whether it is right. How it changes
does: with the opposite gradient (the terms of momentum and decay cancel in the difference), with the sign of half of
the entries flipped (whether each entry follows its own gradient), with the parameter moved and the gradient fixed.
"""

import ast
import re
from difflib import SequenceMatcher

import numpy as np

from .edits_of_operations import other_operators
from .evidence import equal
from .syntax import expression, replaced, sites, value_of

LARGE = 1e3  # times the gradient: if it is small compared with a momentum, their sum has the momentum's sign
FEW = 64  # entries, up to which the masks distinguish every two of them
MOST_ENTRIES = 6  # whose signs are flipped one at a time, if the rule mixes the entries


def judge_rules(judge):
    """Blame the updates by a custom rule that do not go downhill, and list those of which that is not known."""
    run, verdicts = judge.run(), {}
    for check in judge.checks:
        is_open = check.kind == "update" and not check.skip and judge.status(check, run)[0] is None
        gradient = _gradient_of(judge, check) if is_open else None
        if gradient is not None and _is_of_the_parameter(judge, check, gradient, run):
            verdict = _verdict(judge, check, gradient, run)
            if check.is_custom or verdict[1]:  # else it is a step of zeros, as with an initial velocity
                verdicts[check] = gradient, *verdict
    down = {c.targets[0] for c in judge.checks if c.kind == "update" and judge.status(c, run)[0]}
    down |= {c.targets[0] for c, (_, is_down, *_) in verdicts.items() if is_down}
    for check in [c for c in judge.checks if c.kind == "update" and c.is_custom and c.targets[0] not in down]:
        if check not in verdicts and _leaves_its_gradient_out(judge, check):
            judge.unknown_rules.append(check)
    _blame_no_steps(judge)
    judge.rules_down += [c for c, (_, is_down, *_) in verdicts.items() if is_down]
    blamed = set()
    for check, (gradient, is_down, reason, sentence) in verdicts.items():
        if reason and (check.sid in blamed or blamed and _is_corrected(judge, check, gradient, judge.run(), {})):
            check.skip = True  # another iteration of the same line, or corrected in a function that both call
        elif reason:
            blamed.add(check.sid)
            _blame(judge, check, gradient, reason, sentence)
        elif not is_down and check.targets[0] not in down:
            judge.unknown_rules.append(check)


def _is_of_the_parameter(judge, check, gradient, run):
    """Whether it updates the parameter, and not an optimizer state such as ``mem["W"]``, the sum of its squares."""
    e, target = judge.trace.by_id[check.id], check.targets[0]
    own = [judge.trace.by_id[i] for i in (target.index, *target.aliases) if i in judge.trace.by_id]
    if (e.base, e.key) in {(o.base, o.key) for o in own}:
        return True
    kept = _kept(_Steps(judge, check, gradient, run))
    return kept is not None and kept > 0.1


def _gradient_of(judge, check):
    """The right check of the parameter's gradient on which an update depends, or None."""
    run, target = judge.run(), check.targets[0]
    if target.gradient.size < 2 or target.known is not None:
        return None
    own = [c for c in judge.checks if c.kind in ("gradient", "step") and c.targets[0] is target and c.sid != check.sid]
    own = [c for c in own if judge.status(c, run)[0] and reaches(judge, c, check)]
    return max(own, key=lambda c: (c.kind == "gradient", judge.trace.by_id[c.id].index), default=None)


def _leaves_its_gradient_out(judge, check):
    """Whether a parameter's gradient is known, but neither its update nor a state that this reads depends on it."""
    target, run = check.targets[0], judge.run()
    own = [c for c in judge.checks if c.kind == "gradient" and c.targets[0] is target and judge.status(c, run)[0]]
    if target.gradient.size < 2 or not own or any(f.sid == check.sid for f in judge.faults):
        return False
    if any(c.sid == check.sid or reaches(judge, c, check) for c in own):
        return False
    moved = {judge.trace.by_id[id_].base for c in own for id_ in judge.influenced(c.sid, c.id)}
    read = {ast.unparse(n) for n in ast.walk(judge.program.statements[check.sid].node)} - set(
        judge.names_of(check.sid)(target)
    )
    return not read & moved


def _blame_no_steps(judge):
    """Blame ``W = W`` if the gradient of W is known and W is not updated elsewhere."""
    run = judge.run()
    moved = {c.targets[0] for c in judge.checks if c.kind == "update"}
    for e in judge.events[judge.J.index + 1 :]:
        node = judge.program.statements[e.sid].node if e.sid >= 0 else None
        target = judge.reference.of.get(judge.events[e.source].id)
        if not isinstance(node, ast.Assign) or target is None or not target.is_leaf or target in moved:
            continue
        if [ast.unparse(t) for t in node.targets] != [ast.unparse(node.value)]:
            continue
        own = [c for c in judge.checks if c.kind == "gradient" and c.targets[0] is target and judge.status(c, run)[0]]
        if own:
            gradient = judge.trace.by_id[own[-1].id].name
            sentence = f"{e.name} stays as it is, and its gradient {gradient} is not used: a step is {e.name} minus a "
            judge.blame(e.sid, "no step", f"{sentence}learning rate times {gradient}", "", None)


def reaches(judge, gradient, check):
    """Whether an update depends on a gradient: one that takes signs may need a large change with the opposite sign."""
    if check.id in judge.influenced(gradient.sid, gradient.id):
        return True
    now, value = judge.value(judge.run(), check.id), judge.value(judge.run(), gradient.id)
    if value is None:
        return False
    other = judge.value(judge.run(overrides={gradient.id: -LARGE * np.asarray(value)}, stop=check.id), check.id)
    return other is not None and not equal(now, other)


class _Steps:
    """The steps of a parameter for other values of its gradient, with the statements of `patch` replaced."""

    def __init__(self, judge, check, gradient, run, patch=()):
        self.judge, self.check, self.gradient, self.patch = judge, check, gradient, dict(patch)
        self.target = check.targets[0]
        self.value = np.array(judge.value(run, gradient.id), dtype=np.float64)
        self.g = self.target.gradient
        others = [c for c in judge.checks if c.targets[0] is not self.target and c.kind in ("gradient", "update")]
        values = {c.id: judge.value(run, c.id) for c in others}
        self.fixed = {i: value for i, value in values.items() if value is not None}

    def __call__(self, gradient, moved=None):
        """The step for another gradient, and with the parameter at `moved`; None if it has no finite value."""
        changes = {self.gradient.id: gradient}
        if moved is not None:
            changes |= self.fixed
            changes[self.target.index] = moved
        try:
            run = self.judge.run(self.patch, overrides=changes, stop=self.check.id)
        except (SyntaxError, ValueError, TypeError):
            return None
        value = self.judge.value(run, self.check.id)
        laid = None if value is None else self.judge.laid_out(value, self.target)
        return None if laid is None or not np.isfinite(laid).all() else laid - self.target.value

    def flipped(self, entries, scale=1.0):
        """The gradient with the sign flipped where the mask `entries`, of the parameter's shape, is set."""
        signs = np.where(entries, -scale, scale)
        return self.value * (signs.reshape(self.value.shape) if self.value.ndim else signs.item())


def _verdict(judge, check, gradient, run, patch=()):
    """(whether it goes downhill, reason, sentence); the reason is "" if nothing is known to be wrong."""
    steps = _Steps(judge, check, gradient, run, patch)
    g, shape, name = steps.g, steps.g.shape, judge.trace.by_id[check.id].name
    known_by = judge.trace.by_id[gradient.id].name
    if steps.value.size != g.size:
        return False, "", ""
    everywhere, nowhere = np.ones(shape, bool), np.zeros(shape, bool)
    for scale in (1.0, LARGE):
        here, there = steps(steps.flipped(nowhere, scale)), steps(steps.flipped(everywhere, scale))
        if here is None or there is None:
            return False, "", ""
        odd = (here - there) / 2
        least = 1e-13 * np.max(np.abs(steps.target.value), initial=0) + 1e-7 * np.max(np.abs(odd))
        if np.any(np.abs(odd) > least):
            break
    else:
        doubled = steps(2 * steps.flipped(nowhere, 1.0))
        if doubled is None or np.max(np.abs(doubled - steps(steps.flipped(nowhere, 1.0)))) <= least:
            return False, "", ""
        return False, "wrong", f"{name} moves the same way for both signs of its gradient {known_by}"
    kept = _kept(steps)
    if kept is not None and kept < 1e-6:
        how = "does not depend on the old one" if abs(kept) < 1e-6 else "has the old one with the other sign"
        return False, "the old value is lost", f"the new {name} {how}, so this is not a step from it"
    rng = np.random.default_rng(13)
    number = np.arange(g.size).reshape(shape)
    masks = [rng.permuted(number % 2 == 0)]
    masks += [number >> k & 1 == 1 for k in range(int(g.size - 1).bit_length())] if g.size <= FEW else []
    others = 0.0  # how much entries move with the gradients of others
    for i, half in enumerate(masks):
        changes = []
        for entries in (half, ~half):
            step = steps(steps.flipped(entries, scale))
            if step is None:
                return False, "", ""
            changes.append(here - step)
            others = max(others, np.max(np.abs(changes[-1][~entries]), initial=0))
        if i == 0 and _is_one_for_all(*changes, g, least):
            sentence = f"the entries of {name} have different gradients in {known_by}, but all move by one number"
            return False, "one step for all entries", f"{sentence} computed from them"
    along = odd * np.sign(g) * (np.abs(g) > 1e-9 * np.max(np.abs(g)))
    up, down = along > least, along < -least
    if others > least:  # the rule mixes the entries
        if up.any() and not down.any():
            return False, "a step uphill", _uphill_sentence(name, known_by)
        for i in _sample(along, least, rng):
            alone = steps(steps.flipped(number == i, scale))
            if alone is not None and abs(here - alone).flat[i] <= least:
                at = [int(k) for k in np.unravel_index(i, shape)]
                return (
                    False,
                    "another entry's gradient",
                    (f"{name} at {at} is moved by other entries of {known_by}, and not by its own"),
                )
        return float(np.sum(odd * g)) < 0, "", ""
    if up.any() and not down.any():
        return False, "a step uphill", _uphill_sentence(name, known_by)
    if up.any():
        return (
            False,
            "a step uphill in some entries",
            (f"{int(up.sum())} of {g.size} entries of {name} go along their gradient in {known_by}"),
        )
    return True, "", ""


def _uphill_sentence(name, known_by):
    return f"{name} goes along its gradient {known_by}, and the cost grows: descent is against it"


def _kept(steps):
    """How much a new value moves with the old one, the gradient fixed: 1 for W - lr * dW, 0.9 with a decay, at least 0
    with a clip; or None."""
    w, found = steps.target.value, []
    signs = np.random.default_rng(17).choice([-1.0, 1.0], w.shape)
    here = steps(steps.value)
    for move in ((0.1 + 0.1 * np.abs(w)) * signs, -2 * w + 0.3 * signs):
        other = steps(steps.value, w + move)
        if here is None or other is None:
            return None
        found.append(float(np.sum((other - here) * move) / np.sum(move * move)))
    return max(found, key=abs)


def _is_one_for_all(a, b, g, least):
    """Whether two changes of a step are constant along an axis along which the gradient is not, or are parallel."""
    if min(np.max(np.abs(a)), np.max(np.abs(b))) <= least:
        return False
    is_apart = g.size == 2 and np.min(a) < 0 < np.max(a)  # as with g - g.mean(), which has one degree of freedom
    if not is_apart and abs(np.sum(a * b)) >= (1 - 1e-9) * np.linalg.norm(a) * np.linalg.norm(b):
        return True
    axes = [i for i in range(g.ndim) if g.shape[i] > 1 and np.any(np.ptp(g, axis=i))]
    return any(max(np.max(np.ptp(d, axis=i)) for d in (a, b)) <= least for i in axes)


def _sample(along, least, rng):
    moved = np.flatnonzero(np.abs(along) > least)
    return rng.permutation(moved)[:MOST_ENTRIES]


# ---- the right line --------------------------------------------------------------------------------------------------


def _blame(judge, check, gradient, reason, sentence):
    """Blame an update, or the line before it that introduced the error, with the edit that corrects it."""
    for sid in _candidates(judge, check, gradient, reason):
        for tree in _edits(judge, sid, check, reason):
            run = judge.run({sid: tree})
            if judge.status(gradient, run)[0] and _is_corrected(judge, check, gradient, run, {sid: tree}):
                judge.blame(sid, reason, sentence, ast.unparse(tree), check if sid == check.sid else None)
                judge.patches[sid] = tree
                check.skip = True
                return
    judge.blame(check.sid, reason, sentence, "", check, unexplained=True)
    check.skip = True


def _is_corrected(judge, check, gradient, run, patch):
    value = judge.value(run, check.id)
    if value is None:
        return False
    ok, k, _ = judge.status_of_update(check, value)
    if ok or k is not None:
        return bool(ok)
    kept = _kept(_Steps(judge, check, gradient, run, patch))
    return kept is not None and kept > 0.1 and _verdict(judge, check, gradient, run, patch)[0]


def _candidates(judge, check, gradient, reason):
    """The statements from the gradient to the update, in the order in which they are tried."""
    first = judge.trace.by_id[gradient.id].index
    last = judge.trace.by_id[check.id].index
    between = [e.sid for e in judge.events if first < e.index < last and e.is_array and e.sid >= 0]
    after = judge.influenced(gradient.sid, gradient.id)
    between = [
        sid
        for sid in dict.fromkeys(reversed(between))
        if sid not in (check.sid, gradient.sid)
        and any(e.id in after for e in judge.events if e.sid == sid)
        and check.id in judge.influenced(sid)
    ]
    if "uphill" not in reason:
        return [check.sid, *between]
    return [*between, check.sid] if _is_written_as_descent(judge, check) else [check.sid, *between]


def _is_written_as_descent(judge, check):
    """Whether an update has the form of another one that goes downhill or, without such, ``W - lr * step``."""
    node = judge.program.statements[check.sid].node
    others = [c for c in judge.rules_down if c.sid != check.sid]
    if others:
        return _form(node) in {_form(judge.program.statements[c.sid].node) for c in others}
    return _subtracts_a_multiple(node)


def _form(node):
    """The text of a statement without its names."""
    return re.sub(r"[A-Za-z_]\w*", "x", ast.unparse(node))


def _subtracts_a_multiple(node):
    """Whether an update is ``W - lr * step``, which goes downhill if the step has the gradient's sign."""
    value, step = value_of(node), None
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Sub):
        step = value
    elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.Sub):
        step = value.right
    return isinstance(step, ast.BinOp) and isinstance(step.op, ast.Mult | ast.Div)


def _edits(judge, sid, check, reason):
    """Copies of a statement with other signs, or with a part of an expression in place of the whole."""
    node = judge.patches.get(sid, judge.program.statements[sid].node)
    node.sid = sid
    if value_of(node) is None:
        return
    if "uphill" in reason:
        trees = [edit.tree for edit in other_operators(node, sites(node)) if edit.reason == "sign"]
        yield from sorted(trees, key=lambda tree: _edit_distance(ast.unparse(node), ast.unparse(tree)))
        return
    if "lost" in reason and sid == check.sid and isinstance(node, ast.Assign) and len(node.targets) == 1:
        own = expression(ast.unparse(node.targets[0]))
        if isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.Add | ast.Sub):
            yield from (replaced(node, {n: own}) for n in sites(node) if isinstance(n, ast.Name))
        for operator in (ast.Sub(), ast.Add()):
            yield _positive(node, ast.AugAssign(node.targets[0], operator, node.value))
    inner = []  # dW for dW.mean(), dW.T, dW[0], dW ** 2
    for n in sites(node):
        is_power = isinstance(n, ast.BinOp) and isinstance(n.op, ast.Pow)
        if is_power or isinstance(n, ast.Call | ast.Subscript | ast.Attribute):
            inner += [
                (n, m) for m in sites(n) if m is not n and isinstance(m, ast.Name | ast.Subscript | ast.Attribute)
            ]
    for n, m in sorted(inner, key=lambda pair: len(ast.unparse(pair[0])) - len(ast.unparse(pair[1]))):
        yield replaced(node, {n: m})


def _edit_distance(a, b):
    """The number of characters in which two texts differ."""
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    blocks = sum(max(i - h, k - j) for tag, h, i, j, k in blocks if tag != "equal")
    return min(blocks, sum(x != y for x, y in zip(a, b, strict=True))) if len(a) == len(b) else blocks


def _positive(node, tree):
    """``W -= lr * dW`` for ``W = -lr * dW``, whose minus was meant to be that of the step."""
    new = ast.parse(ast.unparse(tree)).body[0]
    negative = [n for n in ast.walk(new.value) if isinstance(n, ast.UnaryOp) and isinstance(n.op, ast.USub)]
    new = replaced(new, {negative[0]: negative[0].operand}) if negative else new
    new.sid = node.sid
    return new
