"""What the reader may have meant: the small changes of a statement that would mend the usual mistakes.

Each is a hypothesis: whether it gives the true derivative is found out by running the code with it. The one that does
names the fault, and is the right line in the reader's own names.
"""

import ast
import functools
from dataclasses import dataclass

import numpy as np

from ..autodiff.as_numpy import derivatives
from .claims import DERIVATIVE
from .rewrite import copied


@dataclass(eq=False)
class Edit:
    tree: ast.stmt
    reason: str
    sentence: str
    cost: float
    pieces: tuple = ()  # what was inserted where: to combine edits

    @property
    def text(self):
        return ast.unparse(self.tree)


@dataclass(eq=False)
class Activation:
    """An elementwise function in the forward pass: a = f(z)."""

    kind: str
    a: object  # Target
    z: object  # Target; it may have no name
    slope: float = 0.0

    def derivative(self):
        formula = derivatives(self.kind, ["a"], ["z"], self.slope)[0]
        return eval(formula, {"np": np, "a": self.a.value, "z": self.z.value}) * 1.0

    def texts(self, names_of):
        """The derivative as the reader would write it, with the names that can be seen."""
        return derivatives(self.kind, names_of(self.a), names_of(self.z), self.slope)


def value_of(node):
    """The expression that a statement assigns."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.value.args:
        return node.value.args[-1]
    return getattr(node, "value", None)


def sites(node):
    """The expressions inside a statement that may be other ones: all that it reads, but not where it writes."""
    writes = set()
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        while target is not None:
            writes.add(target)
            target = target.value if isinstance(target, ast.Subscript | ast.Attribute) else None
    skip = set()
    found = []
    for n in ast.walk(node):
        if isinstance(n, ast.Call):
            skip.add(n.func)  # a function is no value, but what a method belongs to is one
        if isinstance(n, ast.expr) and n not in writes and n not in skip and not isinstance(n, ast.Slice | ast.keyword):
            if not (isinstance(n, ast.Name) and n.id in ("np", "numpy", "math", "range", "len")):
                found.append(n)
    return found


def replaced(node, changes):
    """A copy of the statement with some of its expressions, {expression: another}, changed."""
    order = {n: i for i, n in enumerate(ast.walk(node))}
    other = copied(node)
    nodes = list(ast.walk(other))
    new = {nodes[order[old]]: copied(to) for old, to in changes.items()}

    class Change(ast.NodeTransformer):
        def visit(self, n):
            return new[n] if n in new else self.generic_visit(n)

    other = Change().visit(other)
    if hasattr(node, "sid"):
        other.sid = node.sid
    return ast.fix_missing_locations(other)


def expression(text):
    return ast.parse(text, mode="eval").body


def product(a, b):
    return ast.BinOp(a, ast.Mult(), b)


def np_call(name, *args, **keywords):
    f = ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load())
    return ast.Call(f, list(args), [ast.keyword(k, ast.Constant(v)) for k, v in keywords.items()])


@dataclass(eq=False)
class View:
    """What a statement can see."""

    scope: dict  # {text: (value, event)}
    activations: list
    names_of: object  # of a Target: the texts in the scope that have its value
    after: set  # the texts of what was assigned after the forward pass, or beside it
    parameters: set
    helpers: list  # names of the reader's functions for an activation's derivative

    @property
    def whole(self):
        """{text: value} of the integers."""
        found = {t: v for t, (v, _) in self.scope.items() if isinstance(v, int | np.integer)}
        return {t: int(v) for t, v in found.items() if not isinstance(v, bool) and "[" not in t}


def edits(node, view, counters=None):
    """The edits of a statement's tree, the likeliest first; `counters` is {name: value} of what the loops around it
    count with, None where it stands in no loop."""
    scope, activations, names_of = view.scope, view.activations, view.names_of
    here = sites(node)
    texts = {n: ast.unparse(n) for n in here}
    arrays = {t: v for t, (v, _) in scope.items() if isinstance(v, np.ndarray) and v.size}
    arrays = {t: v for t, v in arrays.items() if v.dtype.kind in "fb" or v.dtype.kind in "iu" and v.ndim == 2}
    floats = {t for t, (v, _) in scope.items() if isinstance(v, float | np.floating)}
    computed = {t: np.asarray(scope[t][0]) for t in floats if scope[t][1] is not None}
    groups = {}
    for n in here:
        groups.setdefault(texts[n], []).append(n)
    value = value_of(node)
    yield from _derivative_of(node, groups, arrays, activations, names_of)
    yield from _comparisons(node, here)
    yield from _unwrapped(node, groups, arrays, activations, names_of)
    yield from _transposed(node, here)
    yield from _axes(node, here, value)
    yield from _operators(node, here)
    yield from _accumulated(node, counters)
    yield from _names(node, groups, arrays | computed, activations, names_of)
    yield from _operands(node, here, arrays)
    yield from _dropped(node, here)
    yield from _indices(node, here, counters or {}, view.whole)
    yield from _complements(node, here, groups, arrays)
    yield from _powers(node, groups, arrays, floats)
    yield from _of_another_function(node, here, activations, names_of)
    yield from _inserted(node, here, view, value)
    yield from _left_out(node, here, value, arrays, view.after)
    yield from _scaled_by_a_name(node, value, {t: scope[t][0] for t in floats}, view.whole)
    yield from _product_left_out(node, value, arrays, view.after)
    yield from _penalties(node, groups, view.parameters)


def _names(node, groups, arrays, activations, names_of):
    """Another array in the place of one."""
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and len(n.args) == 1]
    arguments = {n.args[0] for n in calls if not ast.unparse(n.func).startswith(("np.", "numpy."))}
    for text, places in groups.items():
        if text not in arrays:
            continue
        others = sorted(arrays, key=lambda t: (arrays[t].shape != arrays[text].shape, _apart(t, text)))[:24]
        for other in others:
            if (
                other == text
                or not np.any(arrays[other])
                or other.endswith(_DIGITS)
                and "[" not in text
                and len(others) > 12
            ):
                continue
            reason, sentence = _why(text, other, arrays, activations, names_of, arguments.issuperset(places))
            to = expression(other)
            cost = 1.0 + 0.3 * (arrays[other].shape != arrays[text].shape) + 0.02 * _apart(other, text)
            yield Edit(replaced(node, dict.fromkeys(places, to)), reason, sentence, cost)
            if len(places) > 1:
                for place in places:
                    here = _why(text, other, arrays, activations, names_of, place in arguments)
                    yield Edit(replaced(node, {place: to}), *here, cost + 0.1)


_DIGITS = tuple(f"{i}]" for i in range(10))


def _apart(a, b):
    """How unlike two names are."""
    if a == b:
        return 0
    same = sum(x == y for x, y in zip(a, b, strict=False))
    return 1 + max(len(a), len(b)) - same


def _why(text, other, arrays, activations, names_of, is_argument=False):
    for act in activations:
        if text in names_of(act.a) and other in names_of(act.z):
            return (
                "derivative taken of the activation instead of the pre-activation",
                f"the {act.kind}'s derivative is taken of {text}, its output, and is meant of {other}",
            )
        if text in names_of(act.z) and other in names_of(act.a):
            return (
                f"the pre-activation {text} where the activation {other} is meant",
                f"{text} is what goes into the {act.kind}, {other} is what comes out",
            )
        if other in names_of(act.z) and is_argument:
            return (
                f"derivative taken of {text} instead of the pre-activation {other}",
                f"the {act.kind}'s derivative is taken of {text}, not of {other}",
            )
        ratio = act.derivative()
        x, y = arrays[text], arrays[other]
        if x.shape == y.shape == ratio.shape and x.dtype.kind == y.dtype.kind == "f" and np.allclose(y, x * ratio):
            return ("activation derivative missing", f"{text} lacks the derivative of the {act.kind}; {other} has it")
    return f"{text} where {other} is meant", f"with {other} in the place of {text} it is right"


def _derivative_of(node, groups, arrays, activations, names_of):
    """f'(a) or f'(dA) where f'(z) is meant: the whole derivative, whatever it is written with."""
    for act in activations:
        a_names, z_names = names_of(act.a), names_of(act.z)
        for n in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
            yield from _applied(node, n, act, arrays, {*a_names, *z_names}, names_of)
        for text, places in groups.items():
            if text not in arrays or arrays[text].shape != act.a.shape:
                continue
            if text not in a_names and text not in z_names:
                for z in z_names[:1]:
                    for place in places:
                        if _is_compared(node, place):
                            yield Edit(
                                replaced(node, {place: expression(z)}),
                                f"derivative taken of {text} instead of the pre-activation {z}",
                                f"the {act.kind}'s derivative is taken of {text}, not of {z}",
                                0.9,
                            )


def _applied(node, call, act, arrays, own, names_of):
    """f(dA) for dA * f'(z), and f'(W @ x) for f'(a): what a function is applied to."""
    name, arguments = ast.unparse(call.func), [n for n in call.args if not isinstance(n, ast.Constant)]
    if len(arguments) != 1 or isinstance(arguments[0], ast.Starred):
        return
    x, known = arguments[0], (names_of(act.z) or names_of(act.a))[:1]
    text = ast.unparse(x)
    if text in arrays and text not in own and arrays[text].shape == act.a.shape and known:
        for factor in act.texts(names_of)[:1]:
            yield Edit(
                replaced(node, {call: product(x, expression(factor))}),
                f"derivative taken of {text} instead of the pre-activation {known[0]}",
                f"{ast.unparse(call)} applies {name} to the gradient itself: the {act.kind}'s derivative at {known[0]} "
                "is what it is multiplied by",
                1.0,
            )
    if not name.startswith(("np.", "numpy.")) and not isinstance(x, ast.Name | ast.Attribute | ast.Subscript):
        for of, reason in ((act.a, "the pre-activation where the activation is meant"), (act.z, _OF_ACTIVATION)):
            for other in names_of(of)[:1]:
                yield Edit(
                    replaced(node, {x: expression(other)}), reason, f"{name} is taken of {text}, not of {other}", 1.1
                )


_OF_ACTIVATION = "derivative taken of the activation instead of the pre-activation"


def _of_another_function(node, here, activations, names_of):
    """A factor made of nothing but z or a that is not the derivative: that of a ReLU for a leaky one's, half of it."""
    for n in here:
        if not isinstance(n, ast.BinOp | ast.Compare | ast.Call):
            continue
        read = {ast.unparse(m) for m in ast.walk(n) if isinstance(m, ast.Name | ast.Attribute | ast.Subscript)}
        for act in activations:
            own = {*names_of(act.a), *names_of(act.z)}
            roots = {text.partition(".")[0].partition("[")[0] for text in own}
            parts = [f for f in _factors(n) if _names_in(f) <= roots]
            rest = [f for f in _factors(n) if f not in parts]
            if any(_names_in(f) for f in parts) and rest:
                for text in act.texts(names_of)[:1]:
                    gone = " * ".join(ast.unparse(f) for f in parts)
                    yield Edit(
                        replaced(node, {n: product(functools.reduce(product, rest), expression(text))}),
                        "activation derivative wrong",
                        f"{gone} is not the derivative of the {act.kind}, which is {text}",
                        1.95,
                    )
            if own & read and _names_in(n) <= roots:
                for text in act.texts(names_of)[:1]:
                    yield Edit(
                        replaced(node, {n: expression(text)}),
                        "activation derivative wrong",
                        f"{ast.unparse(n)} is not the derivative of the {act.kind}, which is {text}",
                        1.9,
                    )


def _complements(node, here, groups, arrays):
    """z for 1 - z, and x for x - y, the derivative of z x + (1 - z) y by z."""
    for text, places in groups.items():
        if text not in arrays or len(places) > 1:
            continue
        n = places[0]
        if np.min(arrays[text]) >= 0 and np.max(arrays[text]) <= 1:
            new = ast.BinOp(ast.Constant(1), ast.Sub(), n)
            why = f"{text} where {ast.unparse(new)} is meant"
            yield Edit(replaced(node, {n: new}), why, f"with {ast.unparse(new)} it is right", 1.6)
        for m in here:
            if isinstance(m, ast.BinOp) and isinstance(m.op, ast.Sub) and m.right is n and _is_one(m.left):
                why = f"{ast.unparse(m)} where {text} is meant"
                yield Edit(replaced(node, {m: n}), why, f"with {text} it is right", 1.5)
        same = [t for t in arrays if t != text and arrays[t].shape == arrays[text].shape and arrays[t].ndim]
        for other in same[:16]:
            new = ast.BinOp(n, ast.Sub(), expression(other))
            yield Edit(replaced(node, {n: new}), "a term is missing", f"{other} is to be subtracted from {text}", 2.05)


def _is_one(n):
    return isinstance(n, ast.Constant) and n.value == 1


def _names_in(n):
    return {m.id for m in ast.walk(n) if isinstance(m, ast.Name)} - {"np", "numpy"}


def _scaled_by_a_name(node, value, numbers, whole):
    """A number that has a name, the temperature or the share that is kept, is missing as a factor."""
    used = {ast.unparse(n) for n in sites(node)}
    for name, number in list(numbers.items())[:12]:
        if value is None or name in used or "[" in name or not number or abs(number) == 1:
            continue
        for new, text in (
            (ast.BinOp(value, ast.Div(), expression(name)), f"/ {name}"),
            (product(expression(name), value), f"{name} *"),
        ):
            yield Edit(
                replaced(node, {value: new}), f"scale, a factor is missing: {text}", f"{text} is missing here", 1.9
            )
    for name in [name for name, n in whole.items() if n > 1][:8] if value is not None else ():
        root = f"np.sqrt({name})"
        if root not in used:
            new = ast.BinOp(value, ast.Div(), expression(root))
            why = f"scale, a factor is missing: / {root}"
            yield Edit(replaced(node, {value: new}), why, f"/ {root} is missing here", 1.9)


def _product_left_out(node, value, arrays, after):
    """A term that is a gradient times another array: the second of two ways on which a value goes into the cost."""
    if value is None or not isinstance(value, ast.BinOp | ast.Call):
        return
    gradients = [t for t in arrays if t in after and DERIVATIVE.match(t)][:8]
    for g in gradients:
        for other in [t for t in arrays if t not in after and arrays[t].shape == arrays[g].shape][:12]:
            term = expression(f"{g} * {other}")
            new = ast.BinOp(value, ast.Add(), term)
            yield Edit(replaced(node, {value: new}), "a term is missing", f"{ast.unparse(term)} is to be added", 2.4)


def _penalties(node, groups, parameters):
    """W for the sign of W, the derivative of |W|."""
    for text, places in groups.items():
        if text in parameters:
            for place in places:
                yield Edit(
                    replaced(node, {place: np_call("sign", place)}),
                    "the derivative of the absolute value is the sign",
                    f"the derivative of |{text}| is np.sign({text}), not {text}",
                    1.8,
                )


def _is_compared(node, place):
    return any(isinstance(n, ast.Compare) and place in (n.left, *n.comparators) for n in ast.walk(node))


def _comparisons(node, here):
    other = {ast.GtE: ast.Gt, ast.Gt: ast.LtE, ast.LtE: ast.Lt, ast.Lt: ast.GtE}
    closed = {ast.GtE: ast.Gt, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.Lt: ast.LtE}
    for n in here:
        if isinstance(n, ast.Compare) and len(n.ops) == 1 and type(n.ops[0]) in other:
            for table, reason, cost in (
                (closed, "derivative taken of the activation instead of the pre-activation", 0.8),
                (other, "the mask is the wrong way round", 1.0),
            ):
                new = ast.Compare(n.left, [table[type(n.ops[0])]()], n.comparators)
                text = ast.unparse(n)
                sentence = (
                    f"{text} is true of a ReLU's output everywhere"
                    if table is closed
                    else f"{text} lets through what it should stop"
                )
                yield Edit(replaced(node, {n: new}), reason, sentence, cost)


def _unwrapped(node, groups, arrays, activations, names_of):
    """f(x) -> x: a function too many, as in σ(a)(1 - σ(a))."""
    for text, places in groups.items():
        n = places[0]
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in ("transpose", "swapaxes"):
            if ast.unparse(n.func.value) not in ("np", "numpy"):
                changes = {p: p.func.value for p in places}
                yield Edit(replaced(node, changes), "transposed", f"{text} is not to be transposed", 1.0)
        if isinstance(n, ast.Call) and ast.unparse(n.func) in ("np.flip", "np.rot90", "np.transpose") and n.args:
            yield Edit(replaced(node, {p: p.args[0] for p in places}), "transposed", f"{text} is not to be turned", 1.0)
        if isinstance(n, ast.Call) and len(n.args) == 1 and not isinstance(n.args[0], ast.Starred):
            inner = ast.unparse(n.args[0])
            name = ast.unparse(n.func)
            changes = {p: p.args[0] for p in places}
            twice = (
                "derivative taken of the activation instead of the pre-activation",
                f"{text} applies {name} once more to {inner}, which is its output already",
            )
            plain = (f"{name} is too much", f"without {name} it is right")
            is_output = any(inner in names_of(act.a) for act in activations)
            is_own = not name.startswith(("np.", "numpy."))
            yield Edit(replaced(node, changes), *(twice if is_own or is_output else plain), 1.0)


def _transposed(node, here):
    def turned(n):
        if isinstance(n, ast.Attribute) and n.attr == "T":
            return n.value
        if isinstance(n, ast.Call) and ast.unparse(n.func) in ("np.transpose", "numpy.transpose") and len(n.args) == 1:
            return n.args[0]
        return ast.Attribute(n, "T", ast.Load())

    for n in here:
        pair = _product_of(n)
        if pair is None:
            continue
        a, b = pair
        for x, y in (
            (turned(a), b),
            (a, turned(b)),
            (turned(a), turned(b)),
            (b, a),
            (turned(b), a),
            (b, turned(a)),
            (turned(b), turned(a)),
        ):
            new = _with_operands(n, x, y)
            yield Edit(
                replaced(node, {n: new}), "transposed", f"{ast.unparse(n)} is meant to be {ast.unparse(new)}", 1.1
            )
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult):
            for x, y in ((a, b), (turned(a), b), (a, turned(b)), (b, a), (turned(b), a), (b, turned(a))):
                new = ast.BinOp(x, ast.MatMult(), y)
                yield Edit(
                    replaced(node, {n: new}),
                    "an elementwise product where a matrix product is meant",
                    f"{ast.unparse(n)} is meant to be {ast.unparse(new)}",
                    1.3,
                )
        else:
            yield Edit(
                replaced(node, {n: product(a, b)}),
                "a matrix product where an elementwise one is meant",
                f"{ast.unparse(n)} is meant number by number",
                1.3,
            )
    value = value_of(node)
    if value is not None:
        yield Edit(
            replaced(node, {value: ast.Attribute(value, "T", ast.Load())}),
            "transposed",
            "it is the transpose of the right one",
            1.2,
        )


def _product_of(n):
    """The two operands of a product."""
    if isinstance(n, ast.BinOp) and isinstance(n.op, ast.MatMult | ast.Mult):
        return n.left, n.right
    if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute):
        if n.func.attr in ("dot", "matmul", "multiply", "outer") and len(n.args) == 2:
            return n.args[0], n.args[1]
        if n.func.attr == "dot" and len(n.args) == 1:
            return n.func.value, n.args[0]
    return None


def _with_operands(n, x, y):
    if isinstance(n, ast.BinOp):
        return ast.BinOp(x, n.op, y)
    if len(n.args) == 2:
        return ast.Call(n.func, [x, y], n.keywords)
    return ast.Call(ast.Attribute(x, n.func.attr, ast.Load()), [y], n.keywords)


SUMS = ("sum", "mean", "max", "amax", "min")


def _axes(node, here, value):
    for n in here:
        if not isinstance(n, ast.Call):
            continue
        name = n.func.attr if isinstance(n.func, ast.Attribute) else getattr(n.func, "id", "")
        if name not in SUMS or not n.args and not isinstance(n.func, ast.Attribute):
            continue
        is_function = isinstance(n.func, ast.Name) or ast.unparse(n.func.value) in ("np", "numpy")
        if is_function and not n.args:
            continue
        operand = n.args[0] if is_function else n.func.value
        for axis in (0, 1, -1, None):
            for keep in (True, False):
                if axis is None and keep:
                    continue
                keywords = {} if axis is None else {"axis": axis, **({"keepdims": True} if keep else {})}
                new = np_call(name, operand, **keywords)
                yield Edit(
                    replaced(node, {n: new}),
                    "summed over the wrong axis",
                    f"{ast.unparse(n)} is meant to be {ast.unparse(new)}",
                    1.1,
                )
        if name in ("sum", "mean"):
            other = {"sum": "mean", "mean": "sum"}[name]
            rest = n.args[1:] if is_function else n.args
            f = ast.Attribute(ast.Name("np", ast.Load()), other, ast.Load())
            new = ast.Call(f, [operand, *rest], n.keywords)
            reason = "a mean where a sum is meant" if name == "mean" else "a sum where a mean is meant"
            yield Edit(replaced(node, {n: new}), reason, f"{ast.unparse(n)} is meant to be {ast.unparse(new)}", 1.2)
    if value is not None:
        for axis in (0, 1):
            for keep in (True, False):
                keywords = {"axis": axis, "keepdims": True} if keep else {"axis": axis}
                yield Edit(
                    replaced(node, {value: np_call("sum", value, **keywords)}),
                    "not summed over the batch",
                    f"every example adds to it: it is the sum over axis {axis}",
                    1.0 + 0.01 * axis,
                )
        yield Edit(
            replaced(node, {value: np_call("sum", value)}),
            "not summed over the batch",
            "every example adds to it: it is the sum of all",
            1.1,
        )


def _operators(node, here):
    for n in here:
        if isinstance(n, ast.BinOp):
            a, b, text = n.left, n.right, ast.unparse(n)
            if isinstance(n.op, ast.Sub):
                yield Edit(
                    replaced(node, {n: ast.BinOp(b, ast.Sub(), a)}), "sign", f"{text} is the wrong way round", 1.2
                )
                yield Edit(
                    replaced(node, {n: ast.BinOp(a, ast.Add(), b)}),
                    "sign",
                    f"in {text} the minus is meant to be a plus",
                    1.2,
                )
            if isinstance(n.op, ast.Add):
                yield Edit(
                    replaced(node, {n: ast.BinOp(a, ast.Sub(), b)}),
                    "sign",
                    f"in {text} the plus is meant to be a minus",
                    1.2,
                )
            if isinstance(n.op, ast.Mult):
                yield Edit(
                    replaced(node, {n: ast.BinOp(a, ast.Div(), b)}),
                    "multiplied where a division is meant",
                    f"{text} is meant to divide",
                    1.4,
                )
            if isinstance(n.op, ast.Div):
                yield Edit(
                    replaced(node, {n: product(a, b)}),
                    "divided where a product is meant",
                    f"{text} is meant to multiply",
                    1.4,
                )
            if isinstance(n.op, ast.FloorDiv):
                yield Edit(
                    replaced(node, {n: ast.BinOp(a, ast.Div(), b)}),
                    "integer division",
                    f"{text} cuts off what is behind the point",
                    0.9,
                )
        if isinstance(n, ast.UnaryOp) and isinstance(n.op, ast.USub):
            yield Edit(replaced(node, {n: n.operand}), "sign", f"the minus of {ast.unparse(n)} is too much", 1.2)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
        other = copied(node)
        other.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        other.sid = node.sid
        yield Edit(other, "sign", "the sign is the other one", 1.2)


def _dropped(node, here):
    """A factor or a term too many."""
    for n in here:
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult | ast.Div | ast.Add | ast.Sub | ast.Pow):
            what = {ast.Mult: "factor", ast.Div: "quotient", ast.Pow: "power"}.get(type(n.op), "term")
            for kept, gone in ((n.left, n.right), (n.right, n.left)):
                if isinstance(n.op, ast.Div | ast.Pow) and kept is n.right:
                    continue
                yield Edit(
                    replaced(node, {n: kept}), f"a {what} too many", f"{ast.unparse(gone)} does not belong here", 1.6
                )
        factors = _factors(n)
        for k in range(1, len(factors)):
            for j in range(k if len(factors) > 2 else 0):
                kept = [f for i, f in enumerate(factors) if i not in (j, k)]
                new = functools.reduce(product, kept)
                gone = f"{ast.unparse(factors[j])} * {ast.unparse(factors[k])}"
                yield Edit(replaced(node, {n: new}), "a factor too many", f"{gone} does not belong here", 1.7)
        pair = _product_of(n)
        if pair is not None and isinstance(n, ast.Call) and n.func.attr == "multiply":
            for kept, gone in (pair, pair[::-1]):
                yield Edit(
                    replaced(node, {n: kept}), "a factor too many", f"{ast.unparse(gone)} does not belong here", 1.6
                )


def _both(n):
    return n.left, n.right


def _factors(n):
    """The factors of a * b * c."""
    if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult):
        return [*_factors(n.left), *_factors(n.right)]
    return [n]


def _accumulated(node, counters):
    """``dW = …`` for ``dW += …`` in a loop, and the other way round; ``np.add.at`` where an index comes twice."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    adds = isinstance(node, ast.Assign) or isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add)
    if adds and isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
        f = expression("np.add.at")
        base = ast.Name(target.value.id, ast.Load())
        if not any(isinstance(n, ast.Slice) for n in ast.walk(target.slice)):
            new = ast.Expr(ast.Call(f, [base, target.slice, node.value], []))
            new.sid = node.sid
            yield Edit(
                ast.fix_missing_locations(ast.copy_location(new, node)),
                "overwritten where it is meant to add up",
                "an index that comes several times is written to once: np.add.at adds up",
                1.6,
            )
    if counters is None:
        return
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and not isinstance(node.targets[0], ast.Tuple):
        new = ast.AugAssign(node.targets[0], ast.Add(), node.value)
        what = "overwritten where it is meant to add up", "each turn of the loop throws away what those before it found"
    elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        new = ast.Assign([node.target], node.value)
        what = "added up where it is meant to be assigned", "what the turns of the loop before it found is still in it"
    else:
        return
    new.sid = node.sid
    yield Edit(ast.fix_missing_locations(ast.copy_location(new, node)), *what, 0.9)


def _operands(node, here, arrays):
    """Another array, or its transpose, in the place of a whole operand of a product: ``W1[:1, :]`` for ``W2.T``."""
    for n in here:
        for operand in _product_of(n) or ():
            text = ast.unparse(operand)
            for other, value in arrays.items():
                for name in (other, f"{other}.T") if value.ndim == 2 else (other,):
                    if np.any(value) and name != text and not (text in arrays and name in arrays):
                        yield Edit(
                            replaced(node, {operand: expression(name)}),
                            f"{text} where {name} is meant",
                            f"with {name} in the place of {text} it is right",
                            1.5,
                        )


def _indices(node, here, counters=(), whole=()):
    """Labels and layers that are one off, and other indices."""
    yield from _counted(node, here, counters)
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    for n in [*here, target]:
        if isinstance(n, ast.Subscript):
            for e in n.slice.elts if isinstance(n.slice, ast.Tuple) else [n.slice]:
                for other in list(whole)[:12] if isinstance(e, ast.Name) and e.id in whole else ():
                    if other != e.id and whole[other] != whole[e.id] and other not in counters:
                        yield Edit(
                            replaced(node, {e: expression(other)}),
                            f"index {e.id} where {other} is meant",
                            f"{ast.unparse(n)} takes {e.id} as its index, and is meant to take {other}",
                            1.4,
                        )
    for n in here:
        if isinstance(n, ast.Subscript):
            elements = n.slice.elts if isinstance(n.slice, ast.Tuple) else [n.slice]
        elif isinstance(n, ast.Compare):
            elements = [n.left, *n.comparators]
        else:
            continue
        yield from _shifted(node, elements)
        yield from _swapped(node, n, elements)
    if isinstance(target, ast.Subscript):
        yield from _shifted(node, target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice])
    for n in here:
        if isinstance(n, ast.Call):
            yield from _shifted(node, n.args)


def _counted(node, here, counters):
    """A fixed index, or another loop's, where the loop's own is meant."""
    for n in here:
        if isinstance(n, ast.Subscript):
            for e in n.slice.elts if isinstance(n.slice, ast.Tuple) else [n.slice]:
                is_fixed = isinstance(e, ast.Constant) and isinstance(e.value, int)
                if is_fixed or isinstance(e, ast.Name) and e.id in counters:
                    for name in counters:
                        if name != ast.unparse(e):
                            why = f"{ast.unparse(n)} is the same in every turn of the loop" if is_fixed else ""
                            yield Edit(
                                replaced(node, {e: ast.Name(name, ast.Load())}),
                                f"index {ast.unparse(e)} where {name} is meant",
                                why or f"{ast.unparse(n)} takes the index of another loop",
                                1.3,
                            )


def _swapped(node, n, elements):
    """x[j, i] for x[i, j]."""
    for i, a in enumerate(elements):
        for b in elements[:i]:
            if isinstance(n, ast.Subscript) and isinstance(a, ast.Name) and isinstance(b, ast.Name):
                why = f"{b.id} and {a.id} are the wrong way round in {ast.unparse(n)}"
                yield Edit(replaced(node, {a: b, b: a}), "indices exchanged", why, 1.5)


def _shifted(node, elements):
    for e in elements:
        if isinstance(e, ast.Name | ast.BinOp | ast.Attribute):
            base = e.left if isinstance(e, ast.BinOp) and isinstance(e.right, ast.Constant) else None
            for sign in (ast.Add(), ast.Sub()):
                new = ast.BinOp(e, sign, ast.Constant(1))
                yield Edit(replaced(node, {e: new}), "one off", f"{ast.unparse(e)} is one off", 1.7)
            if base is not None:
                yield Edit(replaced(node, {e: base}), "one off", f"{ast.unparse(e)} is one off", 1.3)


def _powers(node, groups, arrays, floats):
    """1 - a where 1 - a² is meant, and the like."""
    for text, places in groups.items():
        n = places[0]
        is_function = isinstance(n, ast.Call) and text.startswith(("np.", "numpy."))
        if text in arrays or text in floats or is_function:
            to = ast.BinOp(n, ast.Pow(), ast.Constant(2))
            for place in places:
                yield Edit(
                    replaced(node, {place: to}), "a square is missing", f"{text} is meant to be {text} ** 2", 1.8
                )
        if isinstance(n, ast.Constant) and isinstance(n.value, int | float) and not isinstance(n.value, bool):
            for k in (n.value + 1, n.value - 1, -n.value):
                for place in places:
                    yield Edit(
                        replaced(node, {place: ast.Constant(k)}),
                        f"{text} where {k} is meant",
                        f"with {k} in the place of {text} it is right",
                        1.9,
                    )


def _inserted(node, here, view, value):
    """An activation's derivative that is missing, behind any of the factors."""
    names_of = view.names_of
    for act in view.activations:
        known = names_of(act.z)[:1] + names_of(act.a)[:1]
        for text in [f"{helper}({name})" for helper in view.helpers for name in known] if value is not None else ():
            yield Edit(
                replaced(node, {value: product(value, expression(text))}),
                "activation derivative missing",
                f"the derivative of the {act.kind}, {text}, is missing",
                1.95,
            )
        if act.kind == "sigmoid" and value is not None:
            for text in [text for n in names_of(act.a)[:1] for text in (f"(1 - {n})", n)]:
                yield Edit(
                    replaced(node, {value: product(value, expression(text))}),
                    "activation derivative missing: half of it",
                    f"{text} is missing: the sigmoid's derivative is {act.texts(names_of)[0]}",
                    1.9,
                )
        for text in act.texts(names_of)[:1]:
            factor = expression(text)
            for n in [value, *here]:
                if n is None or isinstance(n, ast.Constant | ast.Compare | ast.List | ast.Tuple | ast.keyword):
                    continue
                known = names_of(act.a)[:1] or names_of(act.z)[:1]
                yield Edit(
                    replaced(node, {n: product(n, factor)}),
                    "activation derivative missing",
                    f"the derivative of the {act.kind} that gives {known[0] if known else 'the activation'} is missing",
                    2.0 + 0.1 * (n is not value),
                    ((n, factor),),
                )


def _left_out(node, here, value, arrays, after):
    """A term, which was assigned after the forward pass, or a factor that is missing."""
    if value is None or isinstance(value, ast.List | ast.Tuple | ast.Dict):
        return
    used = {ast.unparse(n) for n in sites(node)}
    unused = [t for t in arrays if t not in used]
    for other in sorted(unused, key=lambda t: t not in after)[:24]:
        if other in after or DERIVATIVE.match(other):
            operands = [x for n in here if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult) for x in _both(n)]
            for n in [value, *operands]:
                new = ast.BinOp(n, ast.Add(), expression(other))
                cost = 1.95 + 0.02 * (n is not value)
                yield Edit(replaced(node, {n: new}), "a term is missing", f"{other} is to be added", cost)
        new = product(value, expression(other))
        yield Edit(replaced(node, {value: new}), "a factor is missing", f"{other} is to be multiplied by", 2.2)
        if np.all(arrays[other]):
            new = ast.BinOp(value, ast.Div(), expression(other))
            yield Edit(replaced(node, {value: new}), "a factor is missing", f"it is to be divided by {other}", 2.3)


def combined(node, a, b):
    """Two insertions in one."""
    changes = {}
    for n, factor in (*a.pieces, *b.pieces):
        if n in changes:
            return None
        changes[n] = product(n, factor)
    nested = [n for n in changes if any(n is not m and n in set(ast.walk(m)) for m in changes)]
    if not nested:
        return Edit(replaced(node, changes), a.reason, f"{a.sentence}, and {b.sentence}", a.cost + b.cost)
    inner = nested[0]
    outer = next(n for n in changes if n is not inner and inner in set(ast.walk(n)))
    stmt = ast.Expr(outer)
    stmt.sid = 0
    new = replaced(stmt, {inner: changes[inner]}).value
    factor = next(f for n, f in (*a.pieces, *b.pieces) if n is outer)
    return Edit(
        replaced(node, {outer: product(new, factor)}), a.reason, f"{a.sentence}, and {b.sentence}", a.cost + b.cost
    )
