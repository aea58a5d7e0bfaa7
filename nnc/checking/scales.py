"""Factors: which multiple of a derivative is a convention, and which a fault.

An intermediate value (dZ = A - Y) may hold any factor, if the gradients of the parameters that come of it are right.
If all of these are off by the same factor, the line whose name says derivative and which brought the factor in is the
fault; if there is none, each gradient is. A gradient with a minus that is added to its parameter is a step.
"""

import ast
from itertools import product

import numpy as np

from .checks import is_partial
from .claims import DERIVATIVE, last
from .edits_of_operations import dropped, other_axes, other_operators
from .evidence import is_one
from .factors import number_text
from .syntax import expression, replaced, sites, value_of


def judge_factors(judge):
    for _ in range(30):
        run = judge.run()
        if not (_a_line_in_between(judge, run) or _a_parameter(judge, run)):
            break
    _name_conventions(judge, judge.run())


def _gradients(judge, run):
    """{check: factor} of the parameters' gradients; that of a step downhill counts as 1."""
    found, downhill = {}, []
    for c in judge.checks:
        if c.kind == "gradient" and not c.skip:
            ok, k, target = judge.status(c, run)
            if ok and np.any(target.gradient):
                found[c] = float(np.sign(k.value)) if _is_made_up_for(judge, run, c, target) else k.value
                if k.value < 0 and _goes_downhill(judge, run, c, target):
                    downhill.append(c)
    if downhill:
        judge.steps = True
        step = found[downhill[0]]
        found = {c: 1.0 if c in downhill else k / step for c, k in found.items()}
    return found


def _is_made_up_for(judge, run, check, target):
    """Whether the parameter's step is the learning rate times its derivative: what divides by m stands there."""
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
    """[(statement, name, factor, Target, strict)] of the lines in between, in order: claimed, or recognised."""
    found, seen = [], set()
    claimed = {c.id: c for c in judge.checks}
    for e in judge.events:
        value = judge.value(run, e.id)
        if e.sid in seen or e.sid < 0 or e.id in judge.forward or value is None or e.how == "bound":
            continue
        c = claimed.get(e.id)
        if c is not None:
            if c.kind != "inner" or c.skip or is_partial(judge, e):
                continue
            ok, k, target = judge.status(c, run)
            if ok and k.value != 1 or ok:
                found.append((e.sid, e.name, k.value, target, c.strict))
                seen.add(e.sid)
        elif e.is_array and e.source == e.index and not is_partial(judge, e):
            known = judge.recognised(value)
            if known is not None:
                strict = bool(DERIVATIVE.match(last(e.base)))
                if not strict and np.size(value) == 1:
                    continue  # any number
                found.append((e.sid, e.name, known[1].value, known[0], strict))
                seen.add(e.sid)
    return found


def brought_in(judge, run, check):
    """[(statement, name, factor, Target)] of the claimed lines before a check that bring a factor in."""
    lines = intermediates(judge, run)
    for place, (sid, name, factor, target, strict) in enumerate(lines):
        if strict and sid != check.sid and check.id in judge.influenced(sid):
            ids = [c.id for c in judge.checks if c.sid == sid]
            before = [line for line in lines[:place] if any(i in judge.influenced(line[0]) for i in ids)]
            if before and before[-1][4] and _near(factor, before[-1][2]):
                continue  # it has come from there
            for off in dict.fromkeys((factor / before[-1][2] if before else factor, factor)):
                if not _near(off, 1):
                    yield sid, name, off, target


def _a_line_in_between(judge, run):
    gradients = _gradients(judge, run)
    lines = intermediates(judge, run)
    for place, (sid, name, factor, target, strict) in enumerate(lines):
        after = {k for c, k in gradients.items() if c.id in judge.influenced(sid) and c.sid != sid}
        if not after or after == {1.0} or not strict or sid in judge.rescaled:
            continue
        ids = [e.id for e in judge.events if e.sid == sid]
        before = [line for line in lines[:place] if line[0] != sid and any(i in judge.influenced(line[0]) for i in ids)]
        if len(after) == 1:
            off = after.pop()
            if before and not _near(factor / before[-1][2], off):
                continue
            if not before and (_near(factor, 1) or factor * off < 0):
                continue  # it is what its name says, or has the other sign: that is not where it comes from
            if not _mends(judge, sid, ids, off, gradients):
                continue
        else:  # in a loop over the layers it enters once more with each of them
            off = factor / before[-1][2] if before else factor
            if _near(off, 1) or len(ids) < 2 or not _mends(judge, sid, ids, off, gradients):
                continue
        blame_factor(judge, sid, name, off, f"dJ/d{target.name}" if target.name else "the derivative")
        for e in judge.events:
            if e.sid == sid and e.is_array and judge.value(run, e.id) is not None:
                judge.overrides[e.id] = (lambda x, off=off: x / off) if len(ids) > 1 else judge.value(run, e.id) / off
        return True
    return False


def _mends(judge, sid, ids, off, gradients):
    """Whether all gradients that a statement goes into are right without a factor in it."""
    run = judge.run(overrides=dict.fromkeys(ids, lambda x: x / off))
    now = _gradients(judge, run)
    return all(c in now and _near(now[c], 1) for c in gradients if c.id in judge.influenced(sid) and c.sid != sid)


def _a_parameter(judge, run):
    for c, k in _gradients(judge, run).items():
        if k != 1 and not _near(k, 1.0) and c.sid not in judge.rescaled:
            name = judge.trace.by_id[c.id].name
            blame_factor(judge, c.sid, name, k, f"dJ/d{c.targets[0].name}")
            judge.overrides |= judge.right_values(c.sid)
            return True
    return False


def _near(a, b):
    return abs(a - b) <= 1e-6 * abs(b)


def blame_factor(judge, sid, name, off, what):
    """A statement's value is `off` times what it should be."""
    judge.rescaled.add(sid)
    reason, sentence = describe(judge, off, what, sid)
    fault = next((f for f in judge.faults if f.sid == sid), None)
    right = right_text(judge, sid, off)
    if fault is None:
        check = next((c for c in judge.checks if c.sid == sid), None)
        judge.blame(sid, reason, sentence, right, check)
    elif reason not in fault.reason:
        fault.reason, fault.sentence, fault.right = f"{fault.reason}, {reason}", f"{fault.sentence}; {sentence}", right


def describe(judge, off, what, sid):
    """(reason, sentence) of a factor."""
    scope = judge.scope(sid)
    numbers = {
        float(v): t
        for t, (v, _) in reversed(scope.items())
        if isinstance(v, int | float) and not isinstance(v, bool) and v not in (0, 1) and "[" not in t
    }
    sign = "sign, " if off < 0 else ""
    size = abs(off)
    minus = "the sign is the other one, and " if off < 0 else ""
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
        new = _with_factor(judge, sid, node, _signs, -1.0)
        if new is not None:
            node, off = new, -off
            node.sid = sid
    new = _with_factor(judge, sid, node, _simple, 1 / off)
    if new is not None:
        return ast.unparse(new)
    scope, sizes = judge.scope(sid), {}
    for text, (v, _) in scope.items():
        if isinstance(v, int) and not isinstance(v, bool) and v > 1 and "[" not in text:
            sizes.setdefault(float(v), text)
    for r in judge.batches():
        sizes.setdefault(float(r), _size_text(judge, r, scope))
    new = _with_factor(judge, sid, node, lambda node: _multiplied(node, off, sizes), 1 / off)
    if new is not None:
        return ast.unparse(new)
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    adds = isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub)
    if adds or isinstance(target, ast.Subscript) and judge.trace.by_id[(sid, 0)].how == "in place":
        whole = ast.unparse(target.value if isinstance(target, ast.Subscript) else target)
        return f"{ast.unparse(node)}; {whole} /= {number_text(off, sizes)}"  # only a part of it is assigned here
    return ast.unparse(next(_multiplied(node, off, sizes)))


def _with_factor(judge, sid, node, hypotheses, factor):
    """The first of the hypothetical statements whose value is that of the statement, times the factor."""
    ids = [c.id for c in judge.checks if c.sid == sid] or [e.id for e in judge.events if e.sid == sid and e.is_array]
    names = {i: judge.trace.by_id[i].name.partition("[")[0] for i in ids}
    ids = [i for i in ids if i == next(j for j in ids if names[j] == names[i])]  # a loop's later turns go on with it
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


def _signs(node):
    return (e.tree for e in other_operators(node, sites(node)) if e.reason == "sign")


def _simple(node):
    """A factor less, the other sign, a mean for a sum or the other way round."""
    here = sites(node)
    yield from _signs(node)
    yield from (e.tree for e in dropped(node, here))
    yield from (e.tree for e in other_axes(node, here, None) if "mean" in e.reason)


def _multiplied(node, off, sizes):
    """The statement with its value divided by a number; ``x /= m`` the other way round."""
    value = value_of(node)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div):
        off = 1 / off
    if abs(off) >= 1 and not _near(abs(off), 2) or _near(off, -1):
        text = number_text(off, sizes)
        new = ast.UnaryOp(ast.USub(), value) if _near(off, -1) else ast.BinOp(value, ast.Div(), expression(text))
    else:
        new = ast.BinOp(expression(number_text(1 / off, sizes)), ast.Mult(), value)
    yield replaced(node, {value: new})


def _size_text(judge, r, scope):
    """An expression for the number of examples where it has no name."""
    for text, (v, _) in scope.items():
        shape = getattr(v, "shape", ())
        if len(shape) == 1 and shape[0] == r:
            return f"len({text})"
    for text, (v, _) in scope.items():
        shape = getattr(v, "shape", ())
        if r in shape and "[" not in text:
            return f"{text}.shape[{shape.index(r)}]"
        if getattr(v, "size", 0) == r and shape:
            return f"{text}.size"
    return str(r)


def _name_conventions(judge, run):
    """Which lines hold a multiple of what their names say, and are right all the same."""
    blamed = {f.sid for f in judge.faults}
    before = set()
    for sid, name, factor, target, _ in intermediates(judge, run):
        if factor != 1 and sid not in blamed and sid not in judge.conventions:
            k = judge.factors.nice(factor, True)
            what = f"dJ/d{target.name}" if target.name else "a derivative"
            text = k.text if k else f"{factor:.6g}"
            if text not in before:
                before.add(text)
                judge.conventions[sid] = f"{name} is {text} times {what}; what comes of it makes up for that"
    for c in judge.checks:
        ok, k, target = judge.status(c, run)
        if c.kind in ("gradient", "step") and ok and k.value != 1 and c.sid not in blamed:
            why = "a step" if k.value < 0 or c.kind == "step" else "the update makes up for that"
            judge.conventions[c.sid] = f"{judge.trace.by_id[c.id].name} is {k.text} times dJ/d{target.name}: {why}"


def rescaled_before(judge, check, e, run):
    """A factor in a line before, which a sum with another term has made more than a factor."""
    if check.kind != "gradient" and not (check.kind == "inner" and check.strict):
        return False
    right = {c.id for c in judge.checks if c.kind == "gradient" and is_one(judge.status(c, run))}
    for sid, name, factor, target in brought_in(judge, run, check):
        for off in (factor, -1.0) if factor < 0 else (factor,):  # the rest of it may be a convention
            own = {c.id: judge.value(run, c.id) for c in judge.checks if c.sid == sid and c.kind == "inner"}
            mended = {id_: value / off for id_, value in own.items() if value is not None}
            other = judge.run(overrides=mended)
            if is_one(judge.status(check, other)) and all(
                is_one(judge.status(c, other)) for c in judge.checks if c.id in right
            ):
                blame_factor(judge, sid, name, off, f"dJ/d{target.name}" if target.name else "the derivative")
                judge.overrides |= mended
                return True
    return False
