"""Errors that no edit explains: the line to blame is the one that corrects the rest when it holds its derivative."""

import ast

import numpy as np

from .chain_rule import derived_line
from .evidence import one_line, shaped
from .scopes import with_loop_counters
from .syntax import sites
from .trace import Unknown


def blame_unexplained(judge, check, e, run):
    """Blame the line before the check that makes it right when it holds a derivative, else the check's own line."""
    sid = check.sid
    raising = _raising_statement(judge, check, run)
    if raising is not None and raising != sid:
        _blame_exception(judge, raising, check, run)
        return
    if check.kind == "update":
        _blame_update(judge, check, e, run)
        return
    if not check.explicit and check.kind != "local":
        for candidate in reversed(judge.cone(check, judge.settled)):
            role = _true_role(judge, candidate, check, run)
            if role is not None:
                first = next(iter(role.values()))
                factor = _convention_for(judge, candidate, role)
                if _blame_with_derivation(judge, candidate, first, check, run, factor):
                    return
                judge.overrides |= {i: shaped(factor * t.gradient, judge.trace.by_id[i].value) for i, t in role.items()}
                judge.blame(
                    candidate,
                    "wrong",
                    f"it is not dJ/d{first.name or 'the scores'}, which the lines after it need",
                    "",
                    check,
                    unexplained=True,
                )
                return
    value = judge.value(run, check.id)
    error = next((x for id_, x, _ in judge.trace.errors if id_ == check.id), None)
    reason, sentence = _describe(judge, check, value, error)
    targets = {c.id: c.targets[0] for c in judge.checks if c.sid == sid}
    factor = 1.0 if check.kind == "local" else _convention_for(judge, sid, targets)
    wanted = factor if check.kind == "inner" else 1.0
    if reason == "wrong" and _blame_with_derivation(judge, sid, check.targets[0], check, run, wanted):
        return
    judge.blame(sid, reason, sentence, "", check, unexplained=reason == "wrong")
    right = judge.right_values(sid, factor=factor)
    if check.id in right and check.id not in judge.overrides:
        judge.overrides |= right
    else:
        check.skip = True  # it cannot be corrected: what is computed from it is not judged


def _blame_with_derivation(judge, sid, target, check, run, factor):
    """Blame a line and replace it by the chain rule's, times the factor that makes the lines after it right; return
    whether that can be written there."""
    edit = derived_line(judge, sid, target, check, run, factor) if judge.graphical else None
    if edit is None:
        return False
    judge.blame(sid, edit.reason, edit.sentence, edit.text, check, unexplained=edit.reason == "wrong")
    judge.patches[sid] = edit.tree
    return True


def _raising_statement(judge, check, run):
    """The statement whose exception leaves a check without a value, or None."""
    if judge.value(run, check.id) is not None:
        return None
    failed = [id_[0] for id_, _, _ in run.errors]
    return check.sid if check.sid in failed else failed[0] if failed else None


def _blame_exception(judge, sid, check, run):
    """Blame it, and override its value with the right one or, if that is not known, skip the checks that need it."""
    error, scope = next((x, s) for id_, x, s in run.errors if id_[0] == sid)
    role = _true_role(judge, sid, check, run)
    text = f"it raises {type(error).__name__}: {one_line(error)}{_shapes_of_operands(judge, sid, scope)}"
    judge.blame(sid, "raises", text, "", check)
    if role is not None:
        judge.overrides |= {i: np.array(t.gradient) for i, t in role.items()}
        return
    for c in judge.checks:
        if judge.value(run, c.id) is None and _raising_statement(judge, c, run) == sid:
            c.skip = True
            judge.waiting.setdefault(sid, []).append(c)


def _blame_update(judge, check, e, run):
    target, value = check.targets[0], judge.value(run, check.id)
    if value is not None and judge.laid_out(value, target) is None:
        judge.blame(
            check.sid,
            "shape",
            f"{e.name} is {target.shape}, and {np.shape(value)} after the update: a "
            "gradient of another shape was broadcast",
            "",
            check,
        )
    elif value is None:
        error = next(((x, s) for id_, x, s in run.errors if id_ == check.id), None)
        if error is not None:
            text = f"it raises {type(error[0]).__name__}: {one_line(error[0])}"
            judge.blame(check.sid, "raises", text + _shapes_of_operands(judge, check.sid, error[1]), "", check)
    check.is_custom = check.skip = True


def _true_role(judge, sid, check, run):
    """{id: Target} of the true derivative that a statement should have assigned, because the check is right with it."""
    failed = {id_ for id_, _, _ in run.errors if id_[0] == sid}
    own = [e for e in judge.events if e.sid == sid]
    ids = [e.id for e in own if e.is_array and e.source == e.index or e.id in failed]
    if not ids or len(ids) > 8:
        return None
    shape = None if ids[-1] in failed else np.shape(judge.trace.by_id[ids[-1]].value)
    tried = 0
    for target in sorted(judge.reference.targets, key=lambda t: not t.is_named):
        if shape not in (None, target.shape) or target.known is not None or not np.any(target.gradient):
            continue
        tried += 1
        if tried > 30 or judge.program.work > judge.until:
            break
        other = judge.run(overrides={ids[-1]: shaped(target.gradient, judge.trace.by_id[ids[-1]].value)})
        if judge.status(check, other)[0]:
            return {ids[-1]: target}
    return None


def _convention_for(judge, sid, targets):
    """The factor of a statement's derivatives that makes the gradients computed from them right."""
    values = {i: shaped(t.gradient, judge.trace.by_id[i].value) for i, t in targets.items()}
    run = judge.run(overrides=values)
    after = [c for c in judge.checks if c.kind == "gradient" and c.sid != sid and c.id in judge.influenced(sid)]
    ks = [judge.status(c, run)[1] for c in after]
    ks = [k.value for k in ks if k is not None]
    others = [c for c in judge.checks if c.kind == "gradient" and c.sid != sid and c not in after]
    wanted = [k.value for k in (judge.status(c, run)[1] for c in others) if k is not None]
    wanted = max(set(wanted), key=wanted.count) if wanted else 1.0  # -1 where the others are steps
    if not ks and all(c.kind == "gradient" for c in judge.checks if c.sid == sid):
        return wanted
    if ks and wanted not in ks:
        return wanted / max(set(ks), key=ks.count)
    return 1.0


def _describe(judge, check, value, error):
    """(reason, sentence) of a wrong value that no edit explains."""
    target = check.targets[0]
    name = target.title
    if value is None:
        text = f"{type(error).__name__}: {one_line(error)}" if error is not None else "what it uses is not known"
        scope = next((s for id_, _, s in judge.trace.errors if id_ == check.id), {})
        return "raises", f"it raises {text}{_shapes_of_operands(judge, check.sid, scope)}"
    value = np.asarray(value)
    g = target.gradient
    if value.shape == g.T.shape and g.ndim == 2 and judge.ratio(value.T, target) is not None:
        return "transposed", f"{name} is {g.shape}, and this is its transpose"
    if judge.laid_out(value, target) is None:
        return "shape", f"{name} is {g.shape}, and this {value.shape}"
    if not np.any(value):
        return "all zero", f"it is zero everywhere, and {name} is not"
    k = judge.number(value, target)
    if k is not None:
        return "scale", f"it is {k:.6g} times {name}"
    difference = np.abs(judge.laid_out(value, target) - g)
    at = np.unravel_index(np.argmax(difference), difference.shape)
    return "wrong", (
        f"it is not {name}: at {[int(i) for i in at]} it is {judge.laid_out(value, target)[at]:.6g} and "
        f"should be {g[at]:.6g}"
    )


def _shapes_of_operands(judge, sid, scope):
    statement = judge.program.statements[sid]
    scope = with_loop_counters(statement, judge.program.statements, scope)
    node = statement.node
    shapes = {
        t: np.shape(scope[t][0])
        for t in dict.fromkeys(ast.unparse(n) for n in sites(node))
        if t in scope and not isinstance(scope[t][0], Unknown)
    }
    text = ", ".join(f"{t} is {s}" for t, s in shapes.items() if s)
    return f"; {text}" if text else ""
