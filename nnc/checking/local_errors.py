"""Whether a line that claims a local derivative, as ``da_dz`` does, is to blame: if what is computed from it is wrong,
and right with the true derivative."""

import ast

import numpy as np

from .syntax import expression, replaced, sites
from .updates import scalar_steps


def is_harmful(judge, check, run):
    """Whether something computed from a wrong local derivative is right with the true one, which then becomes the
    first of the check's targets."""
    locals_ = [c for c in judge.checks if c.kind == "local" and judge.status(c, run)[0] is False]
    after = [c for c in judge.checks if c.kind != "local" and c.id in judge.influenced(check.sid)]
    others = {}
    for c in locals_:
        others |= judge.right_values(c.sid) if c.sid != check.sid else {}
    for target in check.targets:
        own = {c.id: target for c in judge.checks if c.sid == check.sid and target in c.targets}
        right = judge.right_values(check.sid, own)
        for rest in ({}, others) if others else ({},):
            before, now = judge.run(overrides=rest), judge.run(overrides={**rest, **right})
            if any(_is_corrected(judge, c, before, now) for c in after):
                check.targets = [target, *[t for t in check.targets if t is not target]]
                return True
    return False


def _is_corrected(judge, check, before, now):
    (ok_before, k_before, _), (ok, k, _) = judge.status(check, before), judge.status(check, now)
    if check.kind == "update" and check.targets[0].gradient.size == 1:  # any step is a multiple of its gradient
        usual = _usual_steps(judge, check, now)
        return _is_in(k, usual) and not _is_in(k_before, usual)
    return ok is True and ok_before is not True


def _usual_steps(judge, check, run):
    """The likely factors of a step, as multiples of the gradient: those of the other parameters' steps, and the numbers
    in the line."""
    found = [judge.status(c, run)[1] for c in judge.checks if c.kind == "update" and c is not check]
    scope, node = judge.scope(check.sid), judge.program.statements[check.sid].node
    for n in sites(node):
        value = n.value if isinstance(n, ast.Constant) else scope.get(ast.unparse(n), (None,))[0]
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            found.append(-abs(float(value)))
    return [k for k in found if k]


def _is_in(k, numbers):
    return k is not None and any(abs(k - x) <= 1e-6 * abs(x) for x in numbers)


def blame_local_factors(judge):
    """Blame the updates of scalars that have the wrong local derivative as a factor."""
    names = {judge.trace.by_id[c.id].name for c in judge.checks if c.kind == "local"}
    for check, k in scalar_steps(judge).items() if names else ():
        run = judge.run()
        if not _is_in(k, _usual_steps(judge, check, run)):
            _correct_local_factor(judge, check, names, run)


def _correct_local_factor(judge, check, names, run):
    node, usual = judge.program.statements[check.sid].node, _usual_steps(judge, check, run)
    for n in sites(node):
        text = ast.unparse(n)
        for other in sorted(names - {text}) if text in names else ():
            edit = replaced(node, {n: expression(other)})
            ok, k, _ = judge.status(check, judge.run({check.sid: edit}))
            if ok and _is_in(k, usual):
                judge.blame(
                    check.sid,
                    f"{text} where {other} is meant",
                    f"with {other} in the place of {text} the step follows the gradient",
                    ast.unparse(edit),
                    check,
                )
                judge.patches[check.sid] = edit
                return
