"""The search for the edit that corrects a check: of its own line, or of one before it."""

import ast

import numpy as np

from . import claims
from .edits import combined, edits
from .edits_by_value import edits_by_value, rescaled
from .edits_of_activations import derivative_inserted
from .hypotheses import View
from .scopes import counters
from .syntax import sites, value_of

MOST_EDITS = 1500
MOST_WORK, MOST_WORK_IN_ALL = 120_000_000, 220_000_000  # for one error, and for all of them: see `Program.work`


def search(judge, check, run, quick=False):
    """(statement, Edit) that corrects a check, and as many of the others as possible; or None."""
    program = judge.program
    until = min(program.work + MOST_WORK, judge.until)
    own = check.sid
    cone = [] if quick else judge.cone(check, judge.settled)
    recognised = set()
    for sid in cone:
        values = [judge.value(run, e.id) for e in judge.events if e.sid == sid]
        if values and all(v is not None and judge.recognised(v) for v in values):
            recognised.add(sid)
    doubtful = {
        c.sid
        for c in judge.checks
        if c.kind == "inner"
        and len(c.targets) > 1
        and judge.status(c, run)[2] is not c.targets[0]
        and not claims.is_weak(judge.trace.by_id[c.id].base)
    }  # a delta that is dJ/da, and should be dJ/dz
    claimed = {c.sid for c in judge.checks}
    activated = {act.a for act in judge.activations}
    for e in judge.events:
        if e.sid in cone and e.sid not in claimed and e.is_array and claims.DERIVATIVE.match(claims.last(e.base)):
            value = judge.value(run, e.id)
            if value is not None and (known := judge.recognised(value)) and known[0] in activated:
                doubtful.add(e.sid)
    found, tried = [], 0
    named = check.explicit or check.kind == "gradient"
    order = [own] + [s for s in cone if s not in recognised] + [s for s in cone if s in recognised][:3]
    singles = {}
    before = judge.wrong_statements(run)
    for position, sid in enumerate(order):
        if sid in judge.patches and sid != own:
            continue
        node = judge.patches.get(sid, judge.program.statements[sid].node)
        if not hasattr(node, "value") and not isinstance(node, ast.AugAssign | ast.Return):
            continue
        soon = program.work + 0.4 * (until - program.work)  # leave some of the work for the lines before it
        known = {}  # text -> (the first edit with this result, its rank)
        for edit in _all_edits(judge, sid, check, run):
            tried += 1
            if tried > MOST_EDITS or program.work > soon:
                break
            if edit.cost >= 2 and not edit.is_instead:
                singles.setdefault(sid, []).append(edit)
            if edit.text not in known:
                doubt = _doubt(judge, sid, recognised, doubtful)
                known[edit.text] = edit, _rank(judge, check, sid, edit, position, doubt, before)
            same, rank = known[edit.text]
            if rank is not None:
                rank = (*rank[:2], rank[2] - same.cost + edit.cost)
                found.append((rank, len(found), sid, edit))
                if rank[:2] == (0, False) and rank[2] < 1.15:
                    return sid, edit  # everything is right with it, and no edit is much smaller
        if found and (min(found)[0] < (0, False, 1.45) or position == 0 and named and not cone or tried > MOST_EDITS):
            break
    if not quick and found and min(found)[0][0]:
        found += _missing_derivative(judge, check, run, cone, activated, before)
    if not found and not quick:
        for sid, inserted in singles.items():
            inserted = [e for e in inserted if e.pieces][:40]
            for i, a in enumerate(inserted):
                for b in inserted[:i]:
                    if program.work > until:
                        break
                    edit = combined(judge.patches.get(sid, judge.program.statements[sid].node), b, a)
                    if edit is None:
                        continue
                    rank = _rank(
                        judge, check, sid, edit, order.index(sid), _doubt(judge, sid, recognised, doubtful), before
                    )
                    if rank is not None:
                        found.append((rank, len(found), sid, edit))
            if found:
                break
    if not found and not quick:
        found = _missing_after_call(judge, check, before)
    if not found:
        return None
    _, _, sid, edit = min(found, key=lambda x: x[:2])
    return sid, edit


def _missing_derivative(judge, check, run, cone, activated, before):
    """The ranked edits that insert an activation's derivative into earlier lines which are right as dJ/da, but are used
    as dJ/dz; only those that leave nothing wrong."""
    found = []
    right = {c.sid for c in judge.checks if c.kind == "inner" and judge.status(c, run)[2] in activated}
    for sid in [s for s in judge.cone(check, ()) if s in right and s not in cone and s not in judge.patches]:
        node = judge.program.statements[sid].node
        node.sid = sid
        for edit in derivative_inserted(node, sites(node), _view(judge, sid), value_of(node)):
            rank = _rank(judge, check, sid, edit, 1, 0.0, before)
            if rank is not None and not rank[0]:
                found.append((rank, len(found) + MOST_EDITS, sid, edit))
    return found


def _missing_after_call(judge, check, before):
    """The ranked edits that insert an activation's derivative after ``grad = layer.backward(grad)``, where the call of
    the activation's own backward pass is missing."""
    found, seen = [], {check.sid}
    for e in reversed(judge.events[judge.J.index : judge.trace.by_id[check.id].index]):
        node = judge.program.statements[e.sid].node if e.sid >= 0 else None
        is_call = isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if not is_call or e.source == e.index or e.sid in seen or not e.is_array:
            continue
        seen.add(e.sid)
        node.sid = e.sid
        for edit in derivative_inserted(node, [], _view(judge, e.sid), node.value):
            rank = _rank(judge, check, e.sid, edit, 1, 0.0, before)
            if rank is not None:
                found.append((rank, len(found), e.sid, edit))
    return found


def _doubt(judge, sid, recognised, doubtful):
    """How unlikely a line is to be wrong: more if it is known to be right, slightly more for a helper that computes an
    activation's derivative than for its call."""
    statement = judge.program.statements[sid]
    if statement.function in {name.removeprefix("self.") for name in _helpers(judge)}:
        return 0.1
    return -1.0 if sid in doubtful else float(sid in recognised)


def _rank(judge, check, sid, edit, position, recognised, before):
    """The rank of an edit, the best is the smallest; None if it does not help."""
    try:
        run = judge.run({sid: edit.tree}, stop=check.id)
    except (SyntaxError, ValueError, TypeError):
        return None
    ok, k, target = judge.status(check, run)
    if not ok:
        return None
    other_shape = np.shape(judge.value(run, check.id)) != target.shape
    run = judge.run({sid: edit.tree})
    left = judge.wrong_statements(run)
    raising = {id_[0] for id_, _, _ in run.errors} - judge.program.raising
    if left > before or raising:  # as when another call of the same function has values of another shape
        return None
    one = isinstance(k, float) or k.is_one or not check.strict
    # a further line that becomes right counts for an edit, editing a line that was right already counts against it
    return left, not one, edit.cost + 0.5 * recognised + 0.3 * (position > 0) + 0.2 * other_shape


def _all_edits(judge, sid, check, run):
    """The edits of the reader's line and, if it was corrected before, those of the corrected one."""
    node = judge.program.statements[sid].node
    patched = judge.patches.get(sid, node)
    if patched is not node:
        node.sid = sid
        for edit in _edits(judge, node, sid, check, run):
            edit.is_instead = True
            yield edit
    patched.sid = sid
    yield from _edits(judge, patched, sid, check, run)


def _edits(judge, node, sid, check, run):
    scope = judge.scope(sid)
    names_of = judge.names_of(sid)
    yield from edits_by_value(judge, node, sid, check, run, scope, names_of)
    statement = judge.program.statements[sid]
    counted = counters(statement, judge.program.statements, judge.trace.scopes.get(sid, {}))
    yield from edits(node, _view(judge, sid), counted if statement.loops else None)
    yield from rescaled(judge, node, sid, scope)


def _view(judge, sid):
    scope, names_of = judge.scope(sid), judge.names_of(sid)
    after = {text for text, (_, i) in scope.items() if _is_after_forward(judge, i)}
    parameters = {text for target in judge.reference.targets if target.is_leaf for text in names_of(target)}
    return View(scope, judge.activations, names_of, after, parameters, _helpers(judge))


def _is_after_forward(judge, index):
    return index is not None and index < len(judge.events) and judge.events[index].id not in judge.forward


def _helpers(judge):
    """The names of the reader's functions and methods that look like an activation's derivative."""
    found = []
    for n in judge.functions():
        own = "self." if n.args.args and n.args.args[0].arg == "self" else ""
        if len(n.args.args) == 1 + bool(own) and claims.PRIME.search(n.name):
            found.append(own + n.name)
    return found
