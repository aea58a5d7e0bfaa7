"""A page of NumPy that a reader derived by hand, judged line by line.

`check_derivation` runs the code, works out which derivative each line claims to be and what its value should be, and
names the lines in which the errors begin. The parts: `rewrite` and `trace` run the code and record every assignment,
`claims` reads the names, `reference_gradients` computes the derivatives, `judge` gives the verdict, `edits` proposes
right lines, `derivation_report` prints the result.
"""

import ast
import re

import numpy as np

from . import claims
from .derivation_report import DerivationReport, Line
from .edits import other_names
from .edits_of_indices import other_indices
from .edits_of_operations import other_axes, other_operators, other_way_round
from .judge import Judge
from .syntax import expression, np_call, replaced, sites
from .trace import Program
from .updates import blame_varying_step, scalar_steps

MOST_WORK = 100_000_000  # of the search for the intended forward pass, in units of `Program.work`


def check_derivation(what, *args, cost=None, names=None, namespace=None, **kwargs):
    """Say which line of a derivation, written in NumPy, is wrong, why, and what the right line is.

    The code is run as it is: with examples in rows or columns, with or without functions, methods and loops. The file
    is never changed. What a line claims is read off its names, the shapes, and the values: ``dW1``, ``grad_W1``,
    ``grads["W1"]``, ``delta2``. The reference values come from the graph if the forward lines run on Nodes, else from
    finite differences. An intermediate value may be a constant multiple of its derivative if the parameters' gradients
    computed from it are right. A wrong line is corrected before the lines after it are judged.

    Parameters
    ----------
    what : callable, list of callables, or str
        A function; functions to call one after the other, each with the arguments, local variables and results of
        those before it, matched by the names of its parameters; or source code.
    *args, **kwargs
        The arguments of the function; further functions may come before them.
    cost : str, optional
        The name of the scalar that is differentiated. By default J, cost, loss, L, E or the like, or else the last
        scalar that is computed from the parameters.
    names : dict, optional
        Which name is which derivative, where the names do not say so: ``{"delta3": "Z3"}`` says that delta3 is dJ/dZ3.
        ``"back#2"`` is the second assignment to that name.
    namespace : dict, optional
        For source code: the names that it uses but does not define.

    Returns
    -------
    DerivationReport
        ``.ok``, None if no line is wrong but no gradient or update was judged either; ``.unjudged``, the lines that
        claim one but could not be judged; ``.lines``, one for each statement, with ``.number``, ``.text``, ``.name``,
        ``.ok`` (None if it claims nothing), ``.reason``, ``.sentence``, ``.right``; ``.first_wrong``, a line or None.
        Printed, it is a table.

    Raises
    ------
    ValueError
        If no cost is found, or the source of a function is not.
    TypeError
        If `what` is neither source code nor a function written in Python, or its arguments do not fit.

    Examples
    --------
    >>> report = nnc.check_derivation('''
    ... m = X.shape[1]
    ... Z = W @ X + b
    ... A = np.tanh(Z)
    ... J = np.sum((A - Y) ** 2) / (2 * m)
    ... dA = A - Y
    ... dZ = dA * (1 - Z ** 2)
    ... dW = dZ @ X.T / m
    ... db = np.sum(dZ, axis=1, keepdims=True) / m
    ... ''', namespace={"W": np.eye(2, 3), "b": np.zeros((2, 1)), "X": np.arange(12.0).reshape(3, 4) / 9, "Y": 0.5})
    >>> report.ok, report.first_wrong.right
    (False, 'dZ = dA * (1 - A ** 2)')
    """
    functions = []
    if callable(what) and not isinstance(what, str):
        functions, args = [what], list(args)
        while (
            args
            and callable(args[0])
            and not isinstance(args[0], type)
            and hasattr(args[0], "__code__" if not hasattr(args[0], "__func__") else "__func__")
        ):
            functions.append(args.pop(0))
        what = functions
    program = Program(what, tuple(args), kwargs, namespace)
    with np.errstate(all="ignore"):
        return _check(program, cost, names or {})


def _check(program, cost, names):
    trace = program.run(first=True, scopes=True, limited=True)
    trace.loop_ends = {}
    J, trace = _find_cost(program, trace, cost, names)
    if J is None:
        return _without_cost(program, trace, cost)
    report = _check_forward_values(program, trace, J)
    if report is not None:
        return report
    judge = _judge(program, trace, J, names)
    judge = _judge_intended_forward(program, trace, J, names, judge) or judge
    if not judge.faults:
        trace, judge = _judge_at_other_values(program, trace, J, names, judge)
    return DerivationReport(program, trace, judge.J, judge)


def _judge(program, trace, J, names, patches=()):
    if patches:
        loop_ends = trace.loop_ends
        trace = program.run(patches, scopes=True, limited=True, loop_ends=loop_ends)
        trace.loop_ends, J = loop_ends, trace.by_id[J.id]
    wrap = {name.partition("#")[0] for name in names.values()}
    for e in trace.events:
        wrap |= {s.name for s in claims.stems(e.base, e.key)}
        wrap |= {name for pair in claims.local_pairs(e.base, e.key) for name in pair}
    wrap |= claims.same_names(wrap)
    before = {e.base for e in trace.events[: J.index] if _is_scalar(e.value)} - {J.base}
    wrap |= {e.base for e in trace.events[J.index + 1 :] if e.base in before and _is_scalar(e.value)}  # it is updated
    return Judge(program, trace, J, names, patches, wrap=wrap).judge()


def _judge_at_other_values(program, trace, J, names, judge):
    """(trace, judge) with other values for the parameters that are scalars or have equal entries, if an error shows
    only there: with zeros a missing term or factor does not, and any step of a scalar is a multiple of its gradient."""
    parameters = {
        c.targets[0].index: c.targets[0]
        for c in judge.checks
        if c.kind in ("gradient", "step", "update") and c.targets[0].is_leaf and not np.ptp(c.targets[0].value)
    }
    if not parameters:
        return trace, judge
    rng = np.random.default_rng(11)
    for id_, target in parameters.items():
        moved = target.value + (0.1 + 0.1 * np.abs(target.value)) * rng.uniform(0.5, 1.5, target.shape)
        program.moved[id_] = moved if isinstance(trace.by_id[id_].value, np.ndarray) else float(moved)
    run = program.run(scopes=True, limited=True, loop_ends=trace.loop_ends)
    run.loop_ends = trace.loop_ends
    other = None
    if J.id in run.by_id and _is_scalar(run.by_id[J.id].value) and np.isfinite(run.by_id[J.id].value).all():
        other = _judge(program, run, run.by_id[J.id], names)
        if other.faults:
            moved = ", ".join(dict.fromkeys(target.name for target in parameters.values()))
            other.remarks.append(f"seen with other values of {moved}: with the given ones, right and wrong lines agree")
            return run, other
    other_steps = {} if other is None else {c.id: k for c, k in scalar_steps(other).items()}
    program.moved = {}
    for check, k in scalar_steps(judge).items():
        if abs(other_steps.get(check.id, k) - k) > 1e-3 * abs(k):
            blame_varying_step(judge, check)
    return trace, judge


# ---- the cost --------------------------------------------------------------------------------------------------------


def _find_cost(program, trace, cost, names):
    """(the event that assigns the cost, the trace up to the end of the loop iteration that it is in)."""
    scalars = [e for e in trace.events if e.how not in ("bound",) and _is_scalar(e.value)]
    if cost is not None:
        found = [
            e for e in scalars if cost in (e.base, e.name, e.name.replace("'", '"'), claims.label(e.base, e.key)[0])
        ]
        if not found:
            seen = ", ".join(dict.fromkeys(e.name for e in scalars if e.how != "returned")) or "none"
            raise ValueError(
                f"check_derivation: cost is {cost!r}, but no scalar of that name is assigned (the scalars are: {seen})"
            )
    else:
        found = []
        for name, most_axes in [
            *((name, 32) for name in claims.COSTS),
            *((name, axes) for axes in (0, 32) for name in claims.POSSIBLE_COSTS),
        ]:
            found = [e for e in scalars if claims.label(e.base, e.key)[0] == name and _is_float(e.value)]
            found = [e for e in found if np.ndim(e.value) <= most_axes]
            found = [e for e in found if e.how != "appended"]  # a list of the costs so far
            if found:
                break
        found = found or _last_scalar(program, trace, scalars)
    if not found:
        return None, trace
    loop_ends = _loops_to_cut(program, trace, found)
    if loop_ends:
        cut = program.run(scopes=True, limited=True, loop_ends=loop_ends)
        cut.loop_ends = loop_ends
        ids = {e.id for e in found}
        return _origin_of_cost([e for e in cut.events if e.id in ids][-1], cut), cut
    return _origin_of_cost(found[-1], trace), trace


def _origin_of_cost(J, trace):
    """The assignment inside the function that returned the cost, or J itself."""
    origin = trace.events[J.source]
    return origin if origin.how not in ("bound", "returned") and _is_scalar(origin.value) else J


def _is_scalar(value):
    return (
        isinstance(value, int | float | np.generic | np.ndarray) and np.size(value) == 1 and not isinstance(value, bool)
    )


def _is_float(value):
    return np.asarray(value).dtype.kind == "f"


def _last_scalar(program, trace, scalars):
    """The last scalar that depends on arrays of floats or, if there are none, on the numbers that were given."""
    own = [e for e in trace.events if e.source == e.index]
    arrays = {e.id: e.value * 1.1 + 0.01 for e in own if e.is_array and np.ndim(e.value)}
    given = [e for e in own if (e.how == "bound" or e.sid < 0) and _is_scalar(e.value)]
    numbers = {e.id: e.value * 1.1 + 0.01 for e in given}
    overrides = dict(list((arrays or numbers).items())[:50])
    run = program.run(overrides=overrides)
    moved = [
        e
        for e in scalars
        if _is_float(e.value)
        and e.id in run.by_id
        and e.id not in overrides
        and not np.array_equal(run.by_id[e.id].value, e.value)
    ]
    labels = {claims.label(e.base, e.key)[0] for e in trace.events}
    named = [e for e in moved if not _is_named_as_derivative(e, labels)]
    return [e for e in trace.events if named and e.base == named[-1].base and e in scalars]


def _is_named_as_derivative(e, labels):
    """Whether its name is that of a derivative, given the other names: ``dW`` if there is a W, but not ``data``."""
    if any(of in labels and by in labels for of, by in claims.local_pairs(e.base, e.key)):
        return True
    stems = claims.stems(e.base, e.key)
    return bool(stems) and stems[0].kind != "weak" and any(stem.name in labels for stem in stems)


def _loops_to_cut(program, trace, found):
    """{loop: 2} for the loops whose first iteration is the whole derivation: over epochs, or updating weights."""
    cut, end = {}, len(trace.events)
    for loop, starts in sorted(trace.began.items(), key=lambda item: item[1][0]):
        began = [index for index in starts if index < end]
        if len(began) < 2 or not any(began[0] <= e.index < began[1] for e in found):
            continue
        costs = {e.sid for e in found}
        later = next((e for e in trace.events[began[1] : end] if e.sid in costs), None)  # it may have no value there
        if later is None:
            continue
        node = program.statements[later.sid].node
        reads = {ast.unparse(n) for n in ast.walk(node) if isinstance(getattr(n, "ctx", None), ast.Load)}
        adds_up = isinstance(node, ast.AugAssign) or later.base in reads
        inside = [e for e in found if e.index < end]
        if not adds_up and not cut or _updates(program, trace, inside, began):
            cut[loop], end = 2, began[1]
    for loop, starts in () if cut else trace.began.items():
        if len(starts) > 1 and starts[0] > found[-1].index and _trains(program, trace, found[-1], starts):
            return {loop: 2}
    return cut


def _trains(program, trace, J, began):
    """Whether a loop after the cost changes an array that the cost depends on, and changes it again in its second
    iteration: its gradients are then those of the cost in the first iteration only."""
    end = began[2] if len(began) > 2 else len(trace.events)
    latest = {}
    for e in trace.events[:end]:
        name = (e.frame, e.base, e.key)
        before, latest[name] = latest.get(name), e
        if e.index < began[1] or not e.is_array or before is None or not began[0] <= before.index < began[1]:
            continue
        if before.sid != e.sid or not _reads_itself(program, e):
            continue
        origin = before.was
        if origin is None:
            own = [x for x in trace.events[: began[0]] if (x.frame, x.base, x.key) == name]
            origin = own[-1].source if own else None
        if origin is None or origin >= began[0]:
            continue
        run = program.run(overrides={trace.events[origin].id: lambda x: x * 1.3 + 0.02})
        now = run.by_id.get(J.id)
        if now is not None and not np.array_equal(now.value, J.value):
            return True
    return False


def _reads_itself(program, e):
    """Whether an assignment is a change: ``W -= dW``, ``W = W - dW``."""
    node = program.statements[e.sid].node
    reads = {ast.unparse(n) for n in ast.walk(node) if isinstance(getattr(n, "ctx", None), ast.Load)}
    return isinstance(node, ast.AugAssign) or e.base in reads


def _updates(program, trace, found, began):
    """Whether the first iteration of a loop changes an array from before the loop on which the cost of later iterations
    depends, but not the cost of this one, as it would on the state of a recurrent network."""
    before = {(e.base, e.key) for e in trace.events[: began[0]] if e.is_array}
    earlier = {e.index for e in trace.events[: began[0]]}
    costs = {e.base for e in found}
    own = [e for e in found if e.index < began[1]][-1]
    tried = set()
    for e in trace.events[began[0] : began[1]]:
        is_known = (e.base, e.key) in before or e.was in earlier
        if not is_known or e.base in costs or e.how == "bound" or not e.is_array or e.sid in tried:
            continue
        tried.add(e.sid)
        run = program.run(overrides={e.id: lambda x: x * 1.3 + 0.02})
        last, now = run.by_id.get(found[-1].id), run.by_id.get(own.id)
        if now is not None and np.array_equal(now.value, own.value):
            if last is None or not np.array_equal(last.value, found[-1].value):
                return True
    return False


def _without_cost(program, trace, cost):
    error = trace.error or (trace.errors[0][1] if trace.errors else None)
    if error is not None:
        return DerivationReport(program, trace, None, None, error=error)
    raise ValueError(
        "check_derivation: there is no cost: no scalar called J, cost, loss, L or E is assigned, and no other "
        "depends on the parameters; name it with cost="
    )


# ---- the forward pass ------------------------------------------------------------------------------------------------


def _check_forward_values(program, trace, J):
    """A report, if the cost is not finite or an integer overflowed: of the line where that begins."""
    value = np.asarray(J.value, np.float64)
    if np.isfinite(value).all():
        return _overflow(program, trace, J)
    first = next(
        (
            e
            for e in trace.events
            if isinstance(e.value, float | np.floating | np.ndarray)
            and np.asarray(e.value).dtype.kind == "f"
            and not np.isfinite(e.value).all()
        ),
        J,
    )
    statement = program.statements[first.sid]
    text = ast.unparse(statement.node)
    right, reason = "", "not a number"
    what = "infinite" if np.isinf(np.asarray(first.value)).any() else "nan"
    sentence = f"{first.name} has entries that are {what}, and so has the cost"
    if "log" in text and ("exp" not in text or "-inf" in str(first.value)):
        reason, sentence = "log(0)", f"{first.name} is {what}: the logarithm is taken of 0"
    if "exp" in text:
        reason, sentence = "overflow of exp", f"{first.name} is {what}: exp overflows above 709"
        right = _shifted_exp(statement.node, _axis_of_softmax(program, statement, first))
    elif reason == "log(0)":
        right = _guarded_log(statement.node)
    line = Line(statement.number, statement.text, first.name, False, reason, sentence, right)
    return DerivationReport(program, trace, J, None, forward_error=(first.sid, line))


def _axis_of_softmax(program, statement, event):
    """The axis over which the exponentials are summed, in this statement or a later one; or None."""
    for other in program.statements[statement.id :]:
        used = {ast.unparse(n) for n in sites(other.node)} if not hasattr(other.node, "body") else ()
        if other is statement or event.name in used or event.base in used:
            for n in ast.walk(other.node):
                if isinstance(n, ast.Call) and ast.unparse(n.func).endswith("sum"):
                    return next((k.value for k in n.keywords if k.arg == "axis"), None)
    return None


def _shifted_exp(node, axis):
    """``np.exp(Z)`` -> ``np.exp(Z - np.max(Z, axis=…, keepdims=True))`` of a softmax."""
    for n in sites(node):
        if (
            isinstance(n, ast.Call)
            and ast.unparse(n.func).endswith("exp")
            and n.args
            and not isinstance(n.args[0], ast.UnaryOp)
        ):
            keywords = {"axis": axis.value, "keepdims": True} if isinstance(axis, ast.Constant) else {}
            shift = ast.BinOp(n.args[0], ast.Sub(), np_call("max", n.args[0], **keywords))
            same = [m for m in sites(node) if ast.unparse(m) == ast.unparse(n)]
            return ast.unparse(replaced(node, {m.args[0]: shift for m in same}))
    return ""


def _guarded_log(node):
    changes = {}
    for n in sites(node):
        if isinstance(n, ast.Call) and ast.unparse(n.func).endswith("log") and n.args:
            changes[n.args[0]] = ast.BinOp(n.args[0], ast.Add(), ast.Constant(1e-12))
    return ast.unparse(replaced(node, changes)) if changes else ""


def _overflow(program, trace, J):
    """A report, if narrow integers have wrapped around."""
    wider = {s.id: tree for s in program.statements if (tree := _widened(s.node)) is not None}
    if not wider and not any(
        isinstance(e.value, np.ndarray) and e.value.dtype.kind in "iu" and e.value.dtype.itemsize < 8
        for e in trace.events
    ):
        return None
    wide = program.run(wider, widen=True, loop_ends=trace.loop_ends)
    for e in trace.events:
        other = wide.by_id.get(e.id)
        if other is None or not isinstance(e.value, np.ndarray | np.generic | float) or isinstance(e.value, bool):
            continue
        if np.shape(e.value) == np.shape(other.value) and not np.allclose(
            np.asarray(e.value, float), np.asarray(other.value, float)
        ):
            statement = program.statements[e.sid]
            names = [
                n
                for n, (v, _) in trace.scopes.get(e.sid, {}).items()
                if isinstance(v, np.ndarray)
                and v.dtype.kind in "iu"
                and v.dtype.itemsize < 8
                and n in {ast.unparse(x) for x in sites(statement.node)}
            ]
            kind = trace.scopes[e.sid][names[0]][0].dtype if names else "a narrow integer"
            changed = wider.get(e.sid)
            if changed is not None:
                names, kind = [], _NARROW.search(statement.text)[0]
            right = ast.unparse(
                changed
                or replaced(
                    statement.node,
                    {
                        n: expression(f"{names[0]}.astype(float)")
                        for n in sites(statement.node)
                        if names and ast.unparse(n) == names[0]
                    },
                )
            )
            line = Line(
                statement.number,
                statement.text,
                e.name,
                False,
                "integer overflow",
                f"{names[0] if names else ast.unparse(statement.node.value)} is {kind}, and the result wraps around",
                right,
            )
            return DerivationReport(program, trace, J, None, forward_error=(e.sid, line))
    return None


_NARROW = re.compile(r"\bu?int(8|16|32)\b")


def _widened(node):
    """The statement with float in place of its narrow integer types; or None."""
    if hasattr(node, "body") or not _NARROW.search(ast.unparse(node)):
        return None
    narrow = [n for n in sites(node) if isinstance(n, ast.Attribute) and _NARROW.fullmatch(n.attr)]
    narrow += [n for n in sites(node) if isinstance(n, ast.Constant) and _NARROW.fullmatch(str(n.value))]
    return replaced(node, dict.fromkeys(narrow, ast.Name("float", ast.Load()))) if narrow else None


def _judge_intended_forward(program, trace, J, names, judge):
    """The judge of the intended forward pass, if one small change of it makes all of the backward pass right."""
    unexplained = [f for f in judge.faults if f.unexplained]
    if not judge.faults:
        return None
    if unexplained and judge.mostly_right:
        return None  # the forward pass is not to blame for one wrong gradient if most are right
    if all(c.targets[0].gradient.size == 1 for c in judge.checks if c.kind != "inner"):
        return None  # any scalar is a multiple of any other
    # with one explained error, only the edits that are more likely than an error in the backward pass
    is_explained = len(judge.faults) == 1 and not unexplained
    most_work = program.work + MOST_WORK
    judged = sum(bool(judge.status(c, judge.run())[0]) for c in judge.checks)
    tried = set()
    for sid, edit in _forward_edits(program, trace, J, judge):
        if (sid, edit.text) in tried:
            continue
        tried.add((sid, edit.text))
        node = program.statements[sid].node
        is_shorter = edit.reason == "labels one off" and len(edit.text) < len(ast.unparse(node))
        if is_explained and not is_shorter and edit.reason != "softmax over the wrong axis":
            continue
        try:
            run = program.run({sid: edit.tree}, stop=J.id)
            value = float(np.squeeze(run.by_id[J.id].value))
        except (KeyError, SyntaxError, ValueError, TypeError):
            continue
        if not np.isfinite(value) or value == judge.reference.value and edit.reason != "sign":
            continue
        if not _gradients_match(program, trace, J, sid, edit, judge):
            continue
        if program.work > most_work:
            break
        other = _judge(program, trace, J, names, {sid: edit.tree})
        targets = judge.reference.targets, other.reference.targets
        before, after = (sum(t.is_leaf and bool(np.any(t.gradient)) for t in found) for found in targets)
        if after < before:
            continue  # the cost no longer depends on all parameters and data
        if not other.faults and sum(bool(other.status(c, other.run())[0]) for c in other.checks) >= judged:
            other.blame(sid, edit.reason, edit.sentence + "; the backward pass is right for that", edit.text, None)
            return other
    return None


def _gradients_match(program, trace, J, sid, edit, judge):
    """A quick check: whether the gradients are those of the changed forward pass, up to a factor."""
    if not judge.graphical:
        return True
    run = program.run({sid: edit.tree}, nodes=judge.wrap, stop=J.id)
    last = run.by_id.get(J.id)
    if last is None or last.node is None or last.node.ndim:
        return False
    from ..autodiff.node import pullback

    found = pullback(last.node, np.float64(1))
    whole = program.run({sid: edit.tree}, loop_ends=trace.loop_ends)
    kinds = ("gradient", "update", *(["step"] if all(c.kind != "gradient" for c in judge.checks) else []))
    compared = 0
    for c in judge.checks:
        if c.kind in kinds and not c.is_custom:
            target = run.by_id.get(c.targets[0].index)
            mine = whole.by_id.get(c.id)
            if target is None or target.node not in found or mine is None or np.size(mine.value) != target.node.size:
                return False
            a, b = np.ravel(mine.value), np.ravel(found[target.node])
            if c.kind == "update":
                a = a - np.ravel(target.value)
            square = float(b @ b)
            if square < 1e-20 or not np.allclose(a, (a @ b) / square * b, rtol=1e-5, atol=1e-7 * np.max(np.abs(b))):
                return False
            compared += 1
    return compared > 0


def _involves_exp(program, trace, statement, node):
    """Whether exp is in the statement, in its function, or in a line that assigned what it uses."""
    used = {ast.unparse(n) for n in sites(node)}
    lines = {program.statements[e.sid].text for e in trace.events if e.base in used and e.sid >= 0}
    return any("exp" in text or "softmax" in text for text in (statement.text, statement.function or "", *lines))


def _forward_edits(program, trace, J, judge):
    """Edits of forward lines that might be what was intended: a difference the other way round, an axis, another
    operand, labels off by one, a sign."""
    for e in trace.events[: J.index]:
        node = program.statements[e.sid].node
        if e.id in judge.reference.of and isinstance(node, ast.Assign | ast.AugAssign | ast.Return):
            for edit in other_way_round(node, sites(node)):
                yield e.sid, edit
    seen = set()
    for e in trace.events:
        if e.index > J.index or e.sid in seen or e.sid < 0:
            continue
        seen.add(e.sid)
        statement = program.statements[e.sid]
        node = statement.node
        if not isinstance(node, ast.Assign | ast.AugAssign | ast.Return) or e.value is None:
            continue
        here = sites(node)
        for edit in other_axes(node, here, None):
            if edit.reason == "summed over the wrong axis":
                if _involves_exp(program, trace, statement, node):
                    edit.reason = "softmax over the wrong axis"
                yield e.sid, edit
        if e.id not in judge.reference.of and e.index > judge.J.index:
            continue
        scope = trace.scopes.get(e.sid, {})
        arrays = {t: v for t, (v, _) in scope.items() if isinstance(v, np.ndarray) and v.size}
        groups = {}
        for n in here:
            groups.setdefault(ast.unparse(n), []).append(n)
        if e.id in judge.reference.of:
            parameters = {
                t
                for target in judge.reference.targets
                if target.is_leaf and not judge.is_data(target)
                for t in judge.names_of(e.sid)(target)
            }
            shown = {t: v for t, v in groups.items() if t not in parameters}
            for edit in other_names(node, shown, arrays, judge.activations, judge.names_of(e.sid)):
                if not edit.reason.startswith("derivative taken of"):  # a missing activation is not a typo
                    yield e.sid, edit
            for edit in other_operators(node, here):
                yield e.sid, edit
        whole = {t for t, (v, _) in scope.items() if np.asarray(v).dtype.kind in "iu"} if arrays else set()
        for edit in other_indices(node, here) if any(ast.unparse(n) in whole for n in here) else ():
            edit.reason = "labels one off"
            yield e.sid, edit
