"""Why a primitive refused its operands, in a message that says how to fix it.

The primitives pass their operands to the engine unchecked and come here only after it has raised, so that correct calls
pay nothing for the messages. `matmul` ... `loss` return the exception to raise; each `bad_...` checks for one mistake,
and returns None if it is not that one. If none fits, the engine's own error is raised.
"""

import re
import sys

import numpy as np


def matmul(error, A, B, out):
    return (
        bad_dtype("matmul", A=A, B=B)
        or bad_product("matmul", "A", A, "B", B, least_ndim=1)
        or bad_stacks("matmul", A=A, B=B)
        or bad_out("matmul", out, lambda: product_shape(A, B))
        or error
    )


def linear(error, W, X, b, out):
    return (
        bad_dtype("linear", W=W, X=X, b=b)
        or bad_product("linear", "W", W, "X", X, least_ndim=2)
        or bad_bias("linear", "W", W, b)
        or bad_stacks("linear", W=W, X=X, b=b)
        or bad_out("linear", out, lambda: product_shape(W, X))
        or error
    )


def add_bias(error, Z, b, out):
    return (
        bad_dtype("add_bias", Z=Z, b=b)
        or bad_matrix("add_bias", "Z", Z)
        or bad_bias("add_bias", "Z", Z, b)
        or bad_stacks("add_bias", Z=Z, b=b)
        or bad_out("add_bias", out, lambda: np.shape(Z))
        or error
    )


def bad_matmul_backward(dC, A, B):
    """Before the call: the backward reshapes its operands, so the engine would not see what was meant."""
    op = "matmul_backward"
    for name, x in (("A", A), ("B", B)):
        if x.ndim > 2:
            return ValueError(f"{op}: {name} is {x.shape}, but must be 1-D or 2-D; go through a stack one by one")
    if mistake := bad_dtype(op, dC=dC, A=A, B=B) or bad_product(op, "A", A, "B", B, least_ndim=1):
        return mistake
    if np.shape(dC) != (shape := product_shape(A, B)):
        return ValueError(f"{op}: dC is {np.shape(dC)}, but A is {A.shape} and B is {B.shape}, so dC must be {shape}")
    return None


def bad_linear_backward(dZ, W, X):
    op = "linear_backward"
    if mistake := bad_dtype(op, dZ=dZ, W=W, X=X):
        return mistake
    for name, x in (("dZ", dZ), ("W", W), ("X", X)):
        if x.ndim != 2:
            return bad_matrix(op, name, x) or ValueError(f"{op}: {name} is {x.shape}, but must be 2-D")
    if mistake := bad_product(op, "W", W, "X", X, least_ndim=2):
        return mistake
    if dZ.shape != (shape := product_shape(W, X)):
        hint = " Did you mean dZ.T?" if dZ.shape == shape[::-1] else ""
        return ValueError(f"{op}: dZ is {dZ.shape}, W is {W.shape} and X is {X.shape}; dZ must be {shape}.{hint}")
    return None


def sgd(error, param, grad):
    if not isinstance(param, np.ndarray):
        return TypeError(f"sgd: param is a {type(param).__name__}, but must be an array, since it is changed in place")
    if param.dtype.kind != "f":
        return TypeError(f"sgd: param is {param.dtype}, but must be float32 or float64 to hold the step")
    if not param.flags.writeable:
        return ValueError("sgd: param is read-only, but is changed in place")
    return bad_dtype("sgd", grad=grad) or bad_same_shape("sgd", "grad", grad, "param", param) or error


def elementwise(op, error, out=None, **operands):
    return (
        bad_dtype(op, **operands)
        or bad_pair(op, **operands)
        or bad_out(op, out, lambda: np.broadcast_shapes(*map(np.shape, operands.values())))
        or error
    )


def unary(op, error, Z, out):
    """For relu, sigmoid and tanh, which are ufuncs as they are."""
    better = elementwise(op, error, out, Z=Z)
    return type(error)(f"{op}: {error}") if better is error and op not in str(error) else better


def softmax(op, error, axis, out=None, **operands):
    return (
        bad_dtype(op, **operands)
        or bad_axis(op, axis, **operands)
        or bad_pair(op, **operands)
        or bad_out(op, out, lambda: np.broadcast_shapes(*map(np.shape, operands.values())))
        or error
    )


def loss(op, error, name, P, out=None):
    return bad_dtype(op, **{name: P}) or bad_out(op, out, lambda: np.shape(P)[:-2] + np.shape(P)[-1:]) or error


# ---- one mistake each ------------------------------------------------------------------------------------------------


def bad_dtype(op, **operands):
    for name, x in operands.items():
        dtype = dtype_of(x)
        if dtype is not None and (dtype.kind not in "buif" or (dtype.kind == "f" and dtype.itemsize > 8)):
            return TypeError(f"{op}: {name} is {dtype}, but must be real: float32, float64, float16, integers or bool")
    return None


def bad_matrix(op, name, x, least_ndim=2):
    shape = np.shape(x)
    if len(shape) >= least_ndim:
        return None
    if least_ndim == 1:
        return ValueError(f"{op}: {name} is a single number, but must be a vector or a matrix. Did you mean A * B?")
    advice = f" One example is one column: {name}.reshape(-1, 1)." if len(shape) == 1 else ""
    return ValueError(f"{op}: {name} is {shape}, {len(shape)}-D, but must be a matrix, 2-D.{advice}")


def bad_product(op, left, A, right, B, least_ndim):
    a, b = np.shape(A), np.shape(B)
    if mistake := bad_matrix(op, left, A, least_ndim) or bad_matrix(op, right, B, least_ndim):
        return mistake
    rows = b[-2] if len(b) > 1 else b[0]
    if a[-1] == rows:
        return None
    hint = ""
    if len(b) == 2 and b[1] == a[-1]:
        hint = f" Did you mean {right}.T?"
    elif len(a) == 2 and a[0] == rows:
        hint = f" Did you mean {left}.T?"
    of_left = "columns" if len(a) > 1 else "length"
    of_right = "rows" if len(b) > 1 else "length"
    return ValueError(
        f"{op}: {left} is {a} and {right} is {b}; {left}'s {of_left} must equal {right}'s {of_right}.{hint}"
    )


def bad_bias(op, owner, matrix, b):
    n, shape = np.shape(matrix)[-2], np.shape(b)
    if len(shape) == 1:
        return ValueError(
            f"{op}: b is {shape}, 1-D, but must be ({n}, 1): a 1-D b would be broadcast along the batch, one number "
            "for each example instead of one for each row. Did you mean b.reshape(-1, 1)?"
        )
    if shape[-2:] == (n, 1):
        return None
    hint = " Did you mean b.T?" if shape == (1, n) else ""
    return ValueError(f"{op}: b is {shape} and {owner} is {np.shape(matrix)}; b must be ({n}, 1).{hint}")


def bad_stacks(op, **operands):
    """Batch axes that do not broadcast."""
    if _broadcastable(*(np.shape(x)[:-2] for x in operands.values())):
        return None
    *first, last = [f"{name} is {np.shape(x)}" for name, x in operands.items()]
    batches = ", ".join(str(np.shape(x)[:-2]) for x in operands.values())
    return ValueError(f"{op}: {', '.join(first)} and {last}; the axes in front of the matrices, {batches}, must be "
                      "equal or 1, aligned from the last")  # fmt: skip


def bad_pair(op, **operands):
    """Shapes that do not broadcast; broadcasting itself may be intended."""
    try:
        np.broadcast_shapes(*map(np.shape, operands.values()))
    except ValueError:
        (left, A), (right, B) = operands.items()
        return bad_same_shape(op, left, A, right, B)
    return None


def bad_same_shape(op, left, A, right, B):
    a, b = np.shape(A), np.shape(B)
    if a == b:
        return None
    hint = f" Did you mean {left}.T?" if a == b[::-1] and len(a) > 1 else ""
    if not hint and len(a) != len(b) and np.prod(a, dtype=int) == np.prod(b, dtype=int):
        hint = f" Did you mean {left}.reshape({', '.join(map(str, b))})?"
    return ValueError(f"{op}: {left} is {a} and {right} is {b}, but they must have the same shape.{hint}")


def bad_axis(op, axis, **operands):
    for name, x in operands.items():
        shape = np.shape(x)
        if not shape:
            return ValueError(f"{op}: {name} is a single number, but must be a vector or a matrix")
        if isinstance(axis, (int, np.integer)) and not -len(shape) <= axis < len(shape):
            return np.exceptions.AxisError(f"{op}: axis is {axis}, but {name} is {shape} and has {len(shape)} axes")
    return None


def bad_out(op, out, result_shape):
    if isinstance(out, tuple) and len(out) == 1:  # as NumPy takes it, too
        (out,) = out
    if isinstance(out, np.ndarray):
        if not out.flags.writeable:
            return ValueError(f"{op}: out is read-only")
        if out.shape != (shape := result_shape()):
            return ValueError(f"{op}: out is {out.shape}, but the result is {shape}")
        if out.dtype.kind not in "fcO":
            return TypeError(f"{op}: out is {out.dtype}, but must be of floats, as the result is")
    elif out is not None:
        return TypeError(f"{op}: out is a {type(out).__name__}, but must be an array")
    return None


def product_shape(A, B):
    a, b = np.shape(A), np.shape(B)
    return np.broadcast_shapes(a[:-2], b[:-2]) + a[-2:-1] + (b[-1:] if len(b) > 1 else ())


def dtype_of(x):
    """The dtype of an operand of any kind; None if it cannot become an array."""
    try:
        dtype = getattr(x, "dtype", None)
        return dtype if isinstance(dtype, np.dtype) else np.asarray(x).dtype  # a table may have a dtype of pandas
    except (TypeError, ValueError):
        return None


# ---- functions of Nodes ----------------------------------------------------------------------------------------------


def function_of_nodes(function, known, reason=None):
    """The error for a function that is not in `known`, with the reason."""
    if reason is None and (getattr(function, "__module__", None) or "").startswith("numpy.fft"):
        reason = "its results are complex numbers, or come from such, which Nodes do not support"
    if reason is None:
        near = _near(function.__name__, sorted({f.__name__ for f in known}))
        reason = f"the nearest that do are {near}" if near else "it has no row in the table of operations"
    return TypeError(f"{full_name(function)} does not work on Nodes: {reason}. For its number without a gradient take "
                     "node.value")  # fmt: skip


INSTEAD = {  # an argument that Nodes do not take -> what does the same
    "out": "the result is a new Node, y = f(x)",
    "dtype": ".astype does, before or after",
    "casting": ".astype says what becomes of a dtype",
    "where": "np.where(mask, x, a number that changes nothing) before it does, and a mean is a sum divided by "
             "np.sum(mask)",
    "initial": "+, *, np.maximum or np.minimum with it afterwards does",
    "order": "a Node's numbers are in C order; np.transpose before and after gives another",
    "descending": "np.flip afterwards does",
    "subok": "the result is always a Node",
    "signature": ".astype says which dtype it computes with",
    "axes": "np.moveaxis before does",
    "axis": "np.moveaxis before does",
    "keepdims": "np.expand_dims afterwards does",
    "mode": "indices % n wrap and np.clip of them clips, before",
    "correction": "ddof= is another name for it",
    "mean": "np.mean((x - mean) ** 2) uses a mean that is given",
    "weights": "only np.average has weights of Nodes",
    "overwrite_input": "the graph may need what would be overwritten",
    "copy": "the graph needs its values unchanged, and copies what it must",
    "ndmax": "np.reshape afterwards does",
    "hermitian": "np.linalg.eigh of a symmetric matrix does",
}


def instead_of(argument):
    return INSTEAD.get(argument, "the table of operations has no argument of that name")


def refused_argument(function, name):
    return TypeError(f"{full_name(function)}: the argument {name!r} does not work on Nodes; {instead_of(name)}")


LIKE = {  # a function -> those that do the same on Nodes, or most of it
    "copyto": "where", "place": "where", "put": "where", "putmask": "where", "put_along_axis": "where",
    "fill_diagonal": "where", "insert": "concatenate", "float_power": "power", "logspace": "linspace",
    "geomspace": "linspace", "piecewise": "select, where", "cov": "mean, matmul", "corrcoef": "mean, matmul",
    "polyadd": "add", "polysub": "subtract", "polymul": "convolve", "poly": "polyval", "einsum_path": "einsum",
    "apply_along_axis": "einsum, stack", "nanpercentile": "percentile", "unwrap": "where, diff",
}  # fmt: skip


def _near(name, known):
    """Similar functions, or functions with a similar name; or None."""
    import difflib

    if name in LIKE:
        return LIKE[name]
    return ", ".join(difflib.get_close_matches(name, known, 3, 0.76)) or None


def operation(name, error, operands):
    """NumPy's own error, with the operation's name, operands and likely fix added; a primitive's error has these."""
    text = str(error).strip().removeprefix("<lambda>() ")  # which many rules are
    # An AxisError may begin with the name of an argument instead.
    named = re.match(rf"{name}: " if isinstance(error, np.exceptions.AxisError) else r"\w+: ", text)
    if named or type(error) not in (ValueError, TypeError, IndexError, np.exceptions.AxisError):
        return error
    operands = [(getattr(x, "name", None) or f"operand {i}", np.shape(x)) for i, x in enumerate(operands, 1)]
    shapes = ", ".join(f"{operand} is {shape}" for operand, shape in operands)
    by_letter = name == "einsum"  # whose axes are aligned by letter, not by position
    if by_letter or "broadcast" not in str(error) or _broadcastable(*(shape for _, shape in operands)):
        return type(error)(f"{name}: {text} ({shapes})")
    return ValueError(f"{name}: {shapes}; sizes must be equal or 1, aligned from the last axis.{_fitting(*operands)}")


def _fitting(*operands):
    """A hint: the operand that would fit all others as a column, or else transposed."""
    fixes = (1, lambda shape: (*shape, 1), "as a column, [:, None]"), (2, lambda shape: shape[::-1], "transposed")
    for ndim, reshaped, advice in fixes:
        for i, (operand, shape) in enumerate(operands):
            others = [other for k, (_, other) in enumerate(operands) if k != i]
            if len(shape) == ndim and _broadcastable(reshaped(shape), *others):
                return f" Did you mean {operand}, {advice}?"
    return ""


def _broadcastable(*shapes):
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def number_of_a_node(convert):
    """The error for float(node) and the like, which would lose the gradient."""
    return TypeError(f"{convert}: a Node cannot become a plain number without leaving its graph. np.exp and the like "
                     "stay in it, math.exp does not; np.stack and np.concatenate make an array of Nodes. Without a "
                     "gradient its number is node.item(), its array node.value")  # fmt: skip


OF_NODES = {"softmax": "nnc.softmax", "log_softmax": "nnc.log_softmax", "logsumexp": "np.logaddexp.reduce"}


def array_of_a_node(just_entered=False):
    """The error for np.asarray(node); it names the function of SciPy that called it, if one did: those convert without
    dispatching. `just_entered`: SciPy was imported after the Node was made; from now on its functions take Nodes."""
    frame = sys._getframe(1)
    while frame and not (frame.f_globals.get("__name__", "").startswith("scipy.special")
                         and frame.f_code.co_name in OF_NODES):  # fmt: skip
        frame = frame.f_back
    if frame:
        name = frame.f_code.co_name
        if just_entered:
            return TypeError(f"scipy.special.{name}: SciPy was imported after this Node was made. It is ready for "
                             "Nodes now: call it again")  # fmt: skip
        return TypeError(f"scipy.special.{name} makes an array of what it gets, which a Node cannot become; "
                         f"{OF_NODES[name]}(Z, axis=...) takes Nodes")  # fmt: skip
    return TypeError("a Node cannot become an array without leaving its graph. np.stack and np.concatenate make an "
                     "array of Nodes, @ and np.dot multiply arrays by them. Without a gradient its array is "
                     "node.value")  # fmt: skip


def changed(op, operands):
    """The error of `backward` if one of these operands of `op` has changed."""
    names = [getattr(x, "name", None) or f"{'a Node' if hasattr(x, 'inputs') else 'an array'} {np.shape(x)}"
             for x in operands]  # fmt: skip
    names = names or ["an array among its parameters, as an index,"]
    return RuntimeError(f"backward: {' or '.join(names)} has changed after {op} was computed from it, so that the "
                        "gradient would be of old and new numbers mixed. Compute the graph again after a change; an "
                        "array that is written again and again goes in as array.copy()")  # fmt: skip


def ufunc_of_nodes(ufunc, method):
    """The error for a ufunc's other methods, and for out=."""
    if method != "__call__":
        return TypeError(f"{full_name(ufunc)}.{method} does not take Nodes; np.sum, np.max, np.cumsum, indexing "
                         "... do")  # fmt: skip
    name = full_name(ufunc).removesuffix("_columns")  # the engine's own name of nnc.softmax along axis 0
    return TypeError(f"{name}: a result with a Node in it is a new Node and cannot be written into an "
                     "array (out=, +=, -= ...): a value that the graph needs might be lost")  # fmt: skip


def full_name(function):
    """The name as one would write it: np.floor, scipy.special.gamma, nnc.relu. A ufunc does not name its module."""
    name = function.__name__
    modules = {"numpy": "np", "scipy.special": "scipy.special", f"{__package__}._engine": "nnc"}
    if module := getattr(function, "__module__", None):
        return f"{module.replace('numpy', 'np')}.{name}"
    for module, short in modules.items():
        if getattr(sys.modules.get(module), name, None) is function:
            return f"{short}.{name}"
    return name
