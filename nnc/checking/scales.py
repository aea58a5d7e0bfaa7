"""Factors: which multiple of a derivative is a convention, and which an error.

An intermediate value (dZ = A - Y) may hold any factor if the parameters' gradients computed from it are right. If all
of these are off by the same factor, the line that introduced it is to blame if its name says derivative; if there is no
such line, each gradient is. A negative gradient that is added to its parameter is a step.
"""

import ast
from itertools import product

import numpy as np

from .checks import is_partial
from .claims import DATA, DERIVATIVE, last
from .edits_of_operations import dropped, other_axes, other_operators, superfluous
from .evidence import is_one
from .factors import number_text
from .syntax import expression, replaced, sites, value_of


def judge_factors(judge):
    for _ in range(30):
        run = judge.run()
        if not (_blame_intermediate(judge, run) or _blame_parameter(judge, run)):
            break
    _record_conventions(judge, judge.run())


def _gradients(judge, run):
    """{check: factor} of the parameters' gradients; that of a step downhill counts as 1."""
    found, downhill = {}, []
    for c in judge.checks:
        if c.kind == "gradient" and not c.skip:
            ok, k, target = judge.status(c, run)
            if ok and np.any(target.gradient):
                found[c] = float(np.sign(k.value)) if _is_compensated(judge, run, c, target) else k.value
                if k.value < 0 and _goes_downhill(judge, run, c, target):
                    downhill.append(c)
    if downhill:
        judge.are_steps = True
        step = found[downhill[0]]
        found = {c: 1.0 if c in downhill else k / step for c, k in found.items()}
    return found


def _is_compensated(judge, run, check, target):
    """Whether the parameter's step is the learning rate times its derivative, because the update divides by m."""
    for c in judge.checks:
        if c.kind == "update" and c.targets[0] is target and c.id in judge.influenced(check.sid):
            ok, k, _ = judge.status(c, run)
            rates = [v for v, _ in judge.scope(c.sid).values() if isinstance(v, float)]
            if k and target.gradient.size > 1 and any(_near(abs(k), abs(rate)) for rate in rates if rate):
                return True
    return False


def _goes_downhill(judge, run, check, target):
    """Whether the parameter is updated with this value, and the cost falls."""
    return any(
        c.kind == "update"
        and c.targets[0] is target
        and c.id in judge.influenced(check.sid)
        and judge.status(c, run)[0]
        for c in judge.checks
    )


def intermediates(judge, run):
    """[(statement, name, factor, Target, strict)] of the lines with intermediate derivatives, claimed or recognised."""
    found, seen = [], set()
    claimed = {c.id: c for c in judge.checks}
    for e in judge.events:
        value = judge.value(run, e.id)
        if e.sid in seen or e.sid < 0 or e.id in judge.forward or value is None or e.how == "bound":
            continue
        c = claimed.get(e.id)
        if c is not None and (c.kind != "inner" or is_partial(judge, e)):
            continue
        if c is not None and not c.skip:
            ok, k, target = judge.status(c, run)
            if ok:
                found.append((e.sid, e.name, k.value, target, c.strict))
                seen.add(e.sid)
        elif e.is_array and e.source == e.index and not is_partial(judge, e):
            known = judge.recognised(value)
            if known is not None:
                strict = bool(DERIVATIVE.match(last(e.base))) if c is None else c.strict
                if (c is not None or not strict) and np.size(value) == 1:
                    continue  # any scalar is a multiple of any other
                found.append((e.sid, e.name, known[1].value, known[0], strict))
                seen.add(e.sid)
    return found


def introduced_factors(judge, run, check):
    """Yield (statement, name, factor, Target) for the claimed lines before a check that introduce a factor."""
    lines = intermediates(judge, run)
    for position, (sid, name, factor, target, strict) in enumerate(lines):
        if strict and sid != check.sid and check.id in judge.influenced(sid):
            ids = [e.id for e in judge.events if e.sid == sid]
            before = [line for line in lines[:position] if any(i in judge.influenced(line[0]) for i in ids)]
            if before and before[-1][4] and _near(factor, before[-1][2]):
                continue  # it comes from the line before
            for off in dict.fromkeys((factor / before[-1][2] if before else factor, factor)):
                if not _near(off, 1):
                    yield sid, name, off, target


def _blame_intermediate(judge, run):
    gradients = _gradients(judge, run)
    lines = intermediates(judge, run)
    for position, (sid, name, factor, target, strict) in enumerate(lines):
        after = {k for c, k in gradients.items() if c.id in judge.influenced(sid) and c.sid != sid}
        if not after or after == {1.0} or not strict or sid in judge.rescaled:
            continue
        ids = [e.id for e in judge.events if e.sid == sid]
        before = [
            line for line in lines[:position] if line[0] != sid and any(i in judge.influenced(line[0]) for i in ids)
        ]
        if len(after) == 1:
            off = after.pop()
            if before and not _near(factor / before[-1][2], off):
                continue
            if not before and (_near(factor, 1) or factor * off < 0):
                continue  # it is what its name says, or has the opposite sign: the factor is from elsewhere
            if not _is_right_without(judge, sid, ids, off, gradients):
                continue
        else:  # in a loop over the layers it enters again with each layer
            off = factor / before[-1][2] if before else factor
            if _near(off, 1) or len(ids) < 2 or not _is_right_without(judge, sid, ids, off, gradients):
                continue
        own = _arrays(judge, run, sid)
        _blame_origin_of_factor(judge, run, sid, name, off, target, own, len(ids) > 1)
        return True
    return False


def _blame_origin_of_factor(judge, run, sid, name, off, target, own, in_each):
    """Blame a statement for a factor in its values `own`, and remove it. If the statement changes a value that has the
    factor already, that one is to blame: ``dh = dout @ W.T / m`` before ``dh *= 1 - h ** 2``. With `in_each`, the
    factor may enter again in each iteration of a loop."""
    judge.rescaled.add(sid)
    e = next(e for e in judge.events if e.sid == sid and e.name == name)
    changed = judge.recognised(judge.value(run, e.id))
    while changed is not None and (before := changed_by(judge, e)) is not None:
        value = judge.value(run, before.id)
        known = judge.recognised(value) if value is not None and np.size(value) > 1 else None
        if known is None or not _near(known[1].value, changed[1].value):
            break
        if known[0] is changed[0]:  # the statement only scales the value, so the factor belongs there
            break
        e, target = before, known[0]
        own = [i for i in _arrays(judge, run, e.sid) if judge.trace.by_id[i].base == e.base]
    blame_factor(judge, e.sid, e.name, off, f"dJ/d{target.name}" if target.name else "the derivative")
    for id_ in own:
        judge.overrides[id_] = (lambda x: x / off) if in_each else judge.value(run, id_) / off


def _arrays(judge, run, sid):
    """The ids of the arrays that a statement assigns."""
    return [e.id for e in judge.events if e.sid == sid and e.is_array and judge.value(run, e.id) is not None]


def changed_by(judge, e):
    """The event whose value another one changes, for ``dh *= …`` that of ``dh = …``; or None."""
    if e.how == "in position" and e.was is not None:
        return judge.events[e.was]
    same = [x for x in judge.events[: e.index] if (x.base, x.key, x.frame) == (e.base, e.key, e.frame)]
    return same[-1] if same and is_partial(judge, same[-1]) else None


def _is_right_without(judge, sid, ids, off, gradients):
    """Whether all gradients that depend on a statement are right without the factor."""
    run = judge.run(overrides=dict.fromkeys(ids, lambda x: x / off))
    now = _gradients(judge, run)
    return all(c in now and _near(now[c], 1) for c in gradients if c.id in judge.influenced(sid) and c.sid != sid)


def _blame_parameter(judge, run):
    gradients = _gradients(judge, run)
    for c, k in gradients.items():
        if k != 1 and not _near(k, 1.0) and c.sid not in judge.rescaled:
            judge.rescaled.add(c.sid)
            name, what = judge.trace.by_id[c.id].name, f"dJ/d{c.targets[0].name}"
            earlier = _unscaled_line(judge, c, k, gradients)
            if earlier is not None:
                sid, tree = earlier
                blame_factor(judge, sid, name, k, what, ast.unparse(tree))
                judge.patches[sid] = tree
                return True
            blame_factor(judge, c.sid, name, k, what)
            judge.overrides |= judge.right_values(c.sid)
            return True
    return False


def _unscaled_line(judge, check, off, gradients):
    """(statement, right tree) of the line before ``dW /= m`` that has a factor too many or too few, or None: it is to
    blame if dividing by m is right for another gradient, or if the factor is not explained by the batch size."""
    node = judge.program.statements[check.sid].node
    shape = _scaling(node)
    if not shape:
        return None
    alike = [c for c, k in gradients.items() if k == 1 and _scaling(judge.program.statements[c.sid].node) == shape]
    is_of_sizes = any(_near(abs(off), k * two) for r in judge.batches() for k in (r, 1 / r) for two in (1, 2, 0.5))
    if not alike and is_of_sizes:
        return None
    e, tried = judge.trace.by_id[check.id], {check.sid}
    while (e := changed_by(judge, e)) is not None:
        if e.sid in tried or e.sid < 0:
            continue
        tried.add(e.sid)
        node = judge.patches.get(e.sid, judge.program.statements[e.sid].node)
        node.sid = e.sid
        if value_of(node) is None:
            continue
        for tree in [*_simple_edits(node), *_multiplied(node, off, _sizes(judge, e.sid))]:
            try:
                now = _gradients(judge, judge.run({e.sid: tree}))
            except (SyntaxError, ValueError, TypeError):
                continue
            if all(c in now and (_near(now[c], 1) if c is check else _near(now[c], k)) for c, k in gradients.items()):
                return e.sid, tree
    return None


def _scaling(node):
    """The operator and the operand of ``gW /= n`` or ``gW = gW / n``, as text; "" for other statements."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult | ast.Div):
        return f"{type(node.op).__name__} {ast.unparse(node.value)}"
    value = node.value if isinstance(node, ast.Assign) else None
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult | ast.Div):
        own = ast.unparse(node.targets[0])
        if ast.unparse(value.left) == own:
            return f"{type(value.op).__name__} {ast.unparse(value.right)}"
        if isinstance(value.op, ast.Mult) and ast.unparse(value.right) == own:
            return f"Mult {ast.unparse(value.left)}"
    return ""


def _near(a, b):
    return abs(a - b) <= 1e-6 * abs(b)


def blame_factor(judge, sid, name, off, what, right=None):
    """Blame a statement whose value is `off` times what it should be."""
    judge.rescaled.add(sid)
    reason, sentence = describe(judge, off, what, sid)
    fault = next((f for f in judge.faults if f.sid == sid), None)
    if fault is None or reason not in fault.reason:
        right = right_text(judge, sid, off) if right is None else right
        judge.blame(sid, reason, sentence, right, next((c for c in judge.checks if c.sid == sid), None))


def describe(judge, off, what, sid):
    """(reason, sentence) for a factor."""
    scope = judge.scope(sid)
    numbers = {
        float(v): t
        for t, (v, _) in reversed(scope.items())
        if isinstance(v, int | float) and not isinstance(v, bool) and v not in (0, 1) and "[" not in t
    }
    sign = "sign, " if off < 0 else ""
    size = abs(off)
    minus = "the sign is wrong, and " if off < 0 else ""
    batches = judge.batches() if not _near(size, 1) else []
    twos = [(1, "")]
    if not _near(size, 2) and not _near(size, 0.5):
        twos += [(2, ", and there is a factor 2 too many"), (0.5, ", and a factor 2 is missing")]
    for r, (extra, also) in product(batches, twos):
        m = numbers.get(float(r), "r")
        name = f"{m} = {r}"
        if _near(size, extra * r):
            return (
                f"{sign}missing 1/m",
                f"{minus}it is {number_text(off, {float(r): m})} times {what}: J is a mean over {name}{also}",
            )
        if _near(size, extra / r):
            return f"{sign}extra 1/m", (
                f"{minus}it is {number_text(off, {float(r): m})} times {what}: the 1/{m} of the "
                f"mean over {name} enters once{also}"
            )
    if _near(off, -1):
        return "sign", f"it is the negative of {what}"
    if _near(size, 0.5):
        return f"{sign}scale", f"{minus}it is half of {what}: the factor 2 of the square's derivative is missing"
    if _near(size, 2):
        return f"{sign}scale", f"{minus}it is twice {what}: there is a factor 2 too many"
    return f"{sign}scale", f"it is {off:.6g} times {what}"


def right_text(judge, sid, off):
    """The statement without the factor."""
    node = judge.patches.get(sid, judge.program.statements[sid].node)
    node.sid = sid
    if value_of(node) is None:
        return ""
    if off < 0 and not _near(off, -1):  # first the sign, then the size
        new = _with_factor(judge, sid, node, _sign_edits, -1.0)
        if new is not None:
            node, off = new, -off
            node.sid = sid
    new = _with_factor(judge, sid, node, _simple_edits, 1 / off)
    if new is not None:
        return ast.unparse(new)
    for edit in superfluous(node):
        if _with_factor(judge, sid, node, lambda _, edit=edit: [edit.tree], 1 / off):
            return edit.text
    sizes = _sizes(judge, sid)
    new = _with_factor(judge, sid, node, lambda node: _multiplied(node, off, sizes), 1 / off)
    if new is not None:
        return ast.unparse(new)
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    adds = isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub)
    if adds or isinstance(target, ast.Subscript) and judge.trace.by_id[(sid, 0)].how == "in position":
        whole = ast.unparse(target.value if isinstance(target, ast.Subscript) else target)
        return f"{ast.unparse(node)}; {whole} /= {number_text(off, sizes)}"  # only a part of the array is assigned here
    return ast.unparse(next(_multiplied(node, off, sizes)))


def _sizes(judge, sid):
    """{number: text} of the integers that a statement can use: by their names, or as the length of an array."""
    scope, sizes = judge.scope(sid), {}
    for text, (v, _) in scope.items():
        if isinstance(v, int) and not isinstance(v, bool) and v > 1 and "[" not in text:
            sizes.setdefault(float(v), text)
    for r in judge.batches():
        sizes.setdefault(float(r), _size_text(judge, r, sid))
    return sizes


def _with_factor(judge, sid, node, hypotheses, factor):
    """The first hypothesis whose value is the factor times that of the statement, or None."""
    ids = [c.id for c in judge.checks if c.sid == sid] or [e.id for e in judge.events if e.sid == sid and e.is_array]
    names = {i: judge.trace.by_id[i].name.partition("[")[0] for i in ids}
    ids = [i for i in ids if i == next(j for j in ids if names[j] == names[i])]  # later iterations build on the first
    if not ids:
        return None
    run = judge.run({sid: node})
    before = [judge.value(run, i) for i in ids]
    for new in hypotheses(node):
        try:
            run = judge.run({sid: new})
        except (SyntaxError, ValueError, TypeError):
            continue
        after = [judge.value(run, i) for i in ids]
        if all(
            now is not None and was is not None and judge.same_shape_and_value(now, was, factor)
            for now, was in zip(after, before, strict=True)
        ):
            return new
    return None


def _sign_edits(node):
    return (e.tree for e in other_operators(node, sites(node)) if e.reason == "sign")


def _simple_edits(node):
    """Hypotheses: without a factor, with the opposite sign, a mean for a sum or a sum for a mean."""
    here = sites(node)
    yield from _sign_edits(node)
    yield from (e.tree for e in dropped(node, here))
    yield from (e.tree for e in other_axes(node, here, None) if "mean" in e.reason)


def _multiplied(node, off, sizes):
    """The statement with its value divided by a number; in ``x /= m`` the divisor is multiplied."""
    value = value_of(node)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div):
        off = 1 / off
    if abs(off) >= 1 and not _near(abs(off), 2) or _near(off, -1):
        text = number_text(off, sizes)
        new = ast.UnaryOp(ast.USub(), value) if _near(off, -1) else ast.BinOp(value, ast.Div(), expression(text))
    else:
        new = ast.BinOp(expression(number_text(1 / off, sizes)), ast.Mult(), value)
    yield replaced(node, {value: new})


def _size_text(judge, r, sid):
    """An expression for the batch size if it has no name, from the data where possible."""
    names_of = judge.names_of(sid)
    parameters = {text for t in judge.reference.targets if t.is_leaf and not judge.is_data(t) for text in names_of(t)}
    scope = judge.scope(sid)
    parts = {text: last(text) for text in scope}
    texts = sorted(
        scope, key=lambda text: (2 * (text in parameters) - bool(DATA.fullmatch(parts[text])), parts[text] != text)
    )
    shapes = {text: getattr(scope[text][0], "shape", ()) for text in texts}
    for text, shape in shapes.items():
        if len(shape) == 1 and shape[0] == r and text not in parameters:
            return f"len({text})"
    for text, shape in shapes.items():
        if r in shape and "[" not in text:
            return f"{text}.shape[{shape.index(r)}]"
        if shape and np.prod(shape, dtype=int) == r:
            return f"{text}.size"
    return str(r)


def _record_conventions(judge, run):
    """Record the lines that hold a multiple of what their names say, and are right by convention."""
    blamed = {f.sid for f in judge.faults}
    before = set()
    for sid, name, factor, target, _ in intermediates(judge, run):
        if factor != 1 and sid not in blamed and sid not in judge.conventions:
            k = judge.factors.nice(factor, True)
            what = f"dJ/d{target.name}" if target.name else "a derivative"
            text = k.text if k else f"{factor:.6g}"
            if text not in before:
                before.add(text)
                judge.conventions[sid] = f"{name} is {text} times {what}; the lines after it make up for that"
    for c in judge.checks:
        ok, k, target = judge.status(c, run)
        if c.kind in ("gradient", "step") and ok and k.value != 1 and c.sid not in blamed:
            why = "a step" if k.value < 0 or c.kind == "step" else "the update makes up for that"
            size = f"{k.value:.6g}" if c.is_custom else k.text  # with the learning rate in it
            judge.conventions[c.sid] = f"{judge.trace.by_id[c.id].name} is {size} times dJ/d{target.name}: {why}"


def blame_earlier_factor(judge, check, e, run):
    """Blame an earlier line for its factor, which after a sum with another term is no longer a factor of the check."""
    if check.kind != "gradient" and not (check.kind == "inner" and check.strict):
        return False
    right = {c.id for c in judge.checks if c.kind == "gradient" and is_one(judge.status(c, run))}
    for sid, name, factor, target in introduced_factors(judge, run, check):
        own = [c.id for c in judge.checks if c.sid == sid and c.kind == "inner"]
        own = [i for i in own or _arrays(judge, run, sid) if judge.value(run, i) is not None]
        for off in (factor, -1.0) if factor < 0 else (factor,):  # its size may be a convention
            other = judge.run(overrides={i: judge.value(run, i) / off for i in own})
            if is_one(judge.status(check, other)) and all(
                is_one(judge.status(c, other)) for c in judge.checks if c.id in right
            ):
                _blame_origin_of_factor(judge, run, sid, name, off, target, own, False)
                return True
    return False
