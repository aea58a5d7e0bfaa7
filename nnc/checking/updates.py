"""Errors in the update of a parameter, or because of one."""

import ast

import numpy as np

from . import claims
from .checks import Check
from .edits_of_operations import other_operators
from .evidence import equal
from .scales import blame_factor, intermediates
from .syntax import expression, replaced, sites, value_of
from .update_rules import reaches


def _has_term(n, text):
    """Whether a tree is a sum or difference with `text` as a term."""
    if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub):
        return any(ast.unparse(part) == text or _has_term(part, text) for part in (n.left, n.right))
    return False


def blame_update_of_gradient(judge, check, e, run):
    """Blame ``db1 = b1 - alpha * db1``, an update that is assigned to the gradient."""
    value, target = judge.value(run, check.id), check.targets[0]
    if check.kind not in ("gradient", "step") or value is None or not target.is_leaf:
        return False
    laid = judge.laid_out(value, target)
    if laid is None or not np.any(target.gradient):
        return False
    fake = Check(check.id, [target], "update")
    ok, k, _ = judge.status_of_update(fake, laid)
    if k is None or not np.any(target.value) and ok is not None and k == 1:
        return False
    if not np.any(target.value):
        return False
    node = judge.program.statements[check.sid].node
    name = judge.names_of(check.sid)(target)[:1] or [target.name]
    is_multiple = laid.size == 1 or judge.number(value, target) is not None
    if is_multiple and not _has_term(value_of(node), name[0]):
        return False  # any scalar is the parameter plus a multiple of its gradient
    right = f"{name[0]} = {ast.unparse(value_of(node))}" if isinstance(node, ast.Assign) else ""
    judge.blame(
        check.sid,
        "the update is assigned to the gradient instead of the parameter",
        f"{e.name} becomes the new {name[0]}, and {name[0]} itself stays as it is",
        right,
        check,
    )
    judge.overrides |= judge.right_values(check.sid)
    return True


def blame_early_update(judge, check, e, run):
    """Blame a line that uses weights after their update."""
    updates = [
        c
        for c in judge.checks
        if c.kind == "update"
        and c is not check
        and judge.trace.by_id[c.id].index < e.index
        and c.sid != check.sid
        and not (check.kind == "update" and c.targets[0] is check.targets[0])  # a decay, then a step from the result
    ]
    updates = [c for c in updates if check.id in judge.influenced(c.sid)]
    if not updates:
        return False
    back = {c.id: c.targets[0].value for c in updates}
    other = judge.run(overrides=back)
    if not judge.status(check, other)[0]:
        return False
    names = [
        judge.trace.by_id[c.id].name
        for c in updates
        if not judge.status(check, judge.run(overrides={i: v for i, v in back.items() if i != c.id}))[0]
    ]
    names = names or [judge.trace.by_id[updates[-1].id].name]
    sid = _first_to_use(judge, check, other, run)
    text = judge.program.statements[sid].text
    earliest = judge.program.line(min(c.sid for c in updates if judge.trace.by_id[c.id].name in names))
    judge.blame(
        sid,
        "uses updated weights",
        f"{', '.join(names)} was updated in {earliest}, before it is used here; the gradient needs the old value",
        f"{text}  # before {earliest}",
        check,
    )
    for c in judge.checks:
        if c.sid == sid and judge.value(other, c.id) is not None:
            judge.overrides[c.id] = judge.value(other, c.id)
    for event in other.events:
        if event.sid == sid:
            judge.overrides[event.id] = event.value
    return True


def _first_to_use(judge, check, other, run):
    """The first statement whose value changes with the old weights, else the check's own."""
    for event in other.events:
        now = run.by_id.get(event.id)
        if event.id in judge.overrides or now is None or event.how in ("in place", "bound"):
            continue
        if any(c.id == event.id and c.kind == "update" for c in judge.checks):
            continue
        if event.is_array and not equal(event.value, now.value) and check.id in judge.influenced(event.sid):
            return event.sid
    return check.sid


def blame_unused_gradient(judge, check, e, run):
    """Blame an update that does not depend on its parameter's gradient, as ``W1 = W1 - lr * db1``."""
    if check.kind != "update":
        return False
    target, node = check.targets[0], judge.program.statements[check.sid].node
    value = judge.value(run, check.id)
    own = [c for c in judge.checks if c.kind in ("gradient", "step") and c.targets[0] is target]
    if own and any(c.sid == check.sid or reaches(judge, c, check) for c in own):
        ok, k, _ = judge.status(check, run)
        if ok is False and k is None and value is not None and judge.laid_out(value, target) is not None:
            check.is_custom = True  # a custom rule: momentum, decay, Adam
            return True
        return False
    ids = {i for c in own for i in (judge.trace.by_id[c.id].index, judge.trace.by_id[c.id].source)}
    names = [t for t, (_, index) in judge.scope(check.sid).items() if index in ids]
    ours = judge.names_of(check.sid)(target)
    others = {judge.trace.by_id[c.id].name for c in judge.checks if c.kind in ("gradient", "step") and c not in own}
    # Another gradient is replaced first; replacing the learning rate of a scalar's update would look right as well.
    first = sorted(sites(node), key=lambda n: not others & {ast.unparse(m) for m in ast.walk(n)})
    for n in first if names else ():
        text = ast.unparse(n)
        if text in ours or not isinstance(n, ast.Name | ast.Subscript | ast.Attribute | ast.Call):
            continue
        edit = replaced(node, {n: expression(min(names, key=len))})
        if judge.status(check, judge.run({check.sid: edit}))[0]:
            judge.blame(
                check.sid,
                "the update takes another parameter's gradient",
                f"{e.name} is updated with {text}, and its gradient is {min(names, key=len)}",
                ast.unparse(edit),
                check,
            )
            judge.patches[check.sid] = edit
            return True
    return False


def scalar_steps(judge):
    """{update of a scalar parameter: step / gradient}; any step of a scalar is a multiple of its gradient."""
    run = judge.run()
    numbers = [c for c in judge.checks if c.kind == "update" and c.targets[0].gradient.size == 1]
    found = {c: judge.status(c, run)[1] for c in numbers}
    return {c: k for c, k in found.items() if k is not None}


def blame_other_gradient(judge, check):
    """Blame the update of a scalar if it does not depend on its gradient."""
    gradients = [c for c in judge.checks if c.kind in ("gradient", "step")]
    own = [c for c in gradients if c.targets[0] is check.targets[0]]
    if not own or any(check.id in judge.influenced(c.sid, c.id) or c.sid == check.sid for c in own):
        return
    node, scope = judge.program.statements[check.sid].node, judge.scope(check.sid)
    events = {c: judge.trace.by_id[c.id] for c in gradients}
    named = {c: [t for t, (_, i) in scope.items() if i in (e.index, e.source)] for c, e in events.items()}
    mine = min((t for c in own for t in named[c]), key=len, default=events[own[0]].name)
    other = {t for c in gradients if c not in own for t in named[c]}
    found = [n for n in sites(node) if ast.unparse(n) in other]
    edit = replaced(node, {n: expression(mine) for n in found[:1]})
    name, taken = judge.trace.by_id[check.id].name, ast.unparse(found[0]) if found else "something else"
    judge.blame(
        check.sid,
        "the update takes another parameter's gradient",
        f"{name} is updated with {taken}, and its gradient is {mine}",
        ast.unparse(edit) if found else "",
        check,
    )
    check.skip = True


def blame_varying_step(judge, check):
    """Blame the update of a scalar whose step / gradient changes with the values of the parameters."""
    if any(
        check.id in judge.influenced(c.sid, c.id)
        for c in judge.checks
        if c.kind in ("gradient", "step") and c.targets[0] is check.targets[0]
    ):
        check.is_custom = check.skip = True  # a custom rule
        return
    name = judge.trace.by_id[check.id].name
    judge.blame(
        check.sid,
        "wrong",
        f"{name} does not go along dJ/d{check.targets[0].name}: for other values of the parameters the step is "
        "another multiple of it",
        "",
        check,
        unexplained=True,
    )
    check.skip = True


def blame_uphill_step(judge, check, e, run):
    """Blame the sign with which an update goes uphill: its own, or that of a line before it."""
    if check.kind != "update":
        return False
    ok, k, target = judge.status(check, run)
    if ok is False and k is not None and k > 0:
        if _blame_sign_of_step(judge, check, run) or _blame_sign_of_derivative(judge, run):
            return True
        sentence = f"{e.name} goes along its gradient, and the cost grows: descent is against it"
        return _correct_sign(judge, check, check, "a step uphill", sentence)
    return False


def _correct_sign(judge, line, update, reason, sentence):
    """Blame the check `line` and change a sign in it so that `update` is right; return whether there is such a sign."""
    node = judge.program.statements[line.sid].node
    for edit in other_operators(node, sites(node)):
        if edit.reason == "sign" and judge.status(update, judge.run({line.sid: edit.tree}))[0]:
            judge.blame(line.sid, reason, sentence, edit.text, line)
            judge.patches[line.sid] = edit.tree
            return True
    return False


def _blame_sign_of_step(judge, check, run):
    """Blame the step that an update adds if the other parameters' steps have the opposite sign, or if it is a velocity
    that already has the learning rate in it and is added as it is."""
    factors = {c: judge.status(c, run)[1] for c in judge.checks if c.kind == "step"}
    factors = {c: k.value for c, k in factors.items() if k is not None}
    own = [c for c, k in factors.items() if c.targets[0] is check.targets[0] and k > 0]
    others = [k < 0 for c, k in factors.items() if c.targets[0] is not check.targets[0]]
    others_go_down = bool(others) and all(others)
    size = judge.status(check, run)[1]
    for step in [c for c in own if others_go_down or judge.is_velocity(c) and abs(factors[c] - size) <= 1e-6 * size]:
        name = judge.trace.by_id[step.id].name
        sentence = f"{name} goes along the gradient, and is added to the parameter: descent is against it"
        if _correct_sign(judge, step, check, "a step uphill, sign", sentence):
            return True
    return False


def _blame_sign_of_derivative(judge, run):
    """Blame the line that claims a derivative and holds its negative, if all updates go uphill because of it."""
    updates = {c: judge.status(c, run)[1] for c in judge.checks if c.kind == "update"}
    if not all(k is not None and k > 0 for k in updates.values()):
        return False
    for sid, name, factor, target, _ in intermediates(judge, run):
        e = next(e for e in judge.events if e.sid == sid)
        claims_derivative = claims.is_strict(e.base, e.key) or e.how == "returned" and claims.PRIME.search(e.base)
        if claims_derivative and factor < 0 and all(c.id in judge.influenced(sid) for c in updates):
            blame_factor(judge, sid, name, -1.0, f"dJ/d{target.name}" if target.name else "the derivative")
            judge.overrides |= {x.id: -judge.value(run, x.id) for x in judge.events if x.sid == sid and x.is_array}
            return True
    return False
