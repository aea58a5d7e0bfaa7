"""Functions of functions: gradients, Jacobians, Hessians and products with them, of functions of arrays.

They compose, as in ``nnc.grad(nnc.grad(f))``: if f's result depends on Nodes other than f's arguments, such as those of
an outer `grad`, the backward pass builds a graph and the results are Nodes; otherwise they are plain arrays.

Arguments, and the results of `jvp`, `vjp` and `jacobian`, may be dicts, lists and tuples of arrays.
"""

import numpy as np

from .. import _engine
from .derivatives import jacobian_of_nodes
from .node import Node, ancestors, argument, pullback
from .operations import EachOperand, Rule
from .trees import leaves, leaves_like, tree_map

ONE = np.float64(1)


def value_and_grad(f, argnums=0):
    """The function that returns f's value and its gradient.

    Parameters
    ----------
    f : callable
        Of arrays, numbers, or lists, tuples and dicts of them; it returns a scalar.
    argnums : int or tuple of int
        The arguments to differentiate with respect to.

    Returns
    -------
    callable
        Takes f's arguments; returns (value, gradient). The gradient is a tuple if argnums is one, and has the structure
        of the argument if that is a dict, a list or a tuple. It is 0 for what f does not use.

    Raises
    ------
    ValueError
        If f does not return a scalar.

    Examples
    --------
    >>> f = lambda W, x: np.sum((W @ x) ** 2)
    >>> nnc.value_and_grad(f)(np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
    (np.float64(121.0), array([[66., 88.]]))
    >>> nnc.grad(lambda p: np.sum(p["w"] * 3.0) + p["b"][0])({"w": np.ones(2), "b": [1.0]})
    {'w': array([3., 3.]), 'b': [np.float64(1.0)]}
    """

    def value_and_gradient(*args, **kwargs):
        y, variables = _call("grad", f, args, kwargs, argnums)
        y = _scalar("grad", y)
        if _is_outer(y, variables):
            found = pullback(y, y.dtype.type(1), leaves(variables), create_graph=True)
            return y, _of_argnums(tree_map(lambda x: _node_of(found, x), variables), argnums)
        y.backward()
        return y.value, _of_argnums(tree_map(lambda x: _zeros(x) if x.grad is None else x.grad, variables), argnums)

    return value_and_gradient


def grad(f, argnums=0):
    """The function that returns the gradient of f.

    Parameters
    ----------
    f : callable
    argnums : int or tuple of int
        As in `value_and_grad`, of which this is the second result.

    Returns
    -------
    callable
        Takes f's arguments; returns the gradient, of the structure of the argument: a tuple if argnums is one.

    Raises
    ------
    ValueError
        When it is called and f does not return a scalar.
    TypeError
        When it is called without an argument that argnums names.

    Examples
    --------
    >>> nnc.grad(np.tanh)(1.0)
    np.float64(0.419974341614026)
    >>> nnc.grad(nnc.grad(lambda x: x**3))(2.0)
    np.float64(12.0)
    """
    function = value_and_grad(f, argnums)
    return lambda *args, **kwargs: function(*args, **kwargs)[1]


def jacobian(y, x=None, per_example=False, argnums=0):
    """The derivative of every entry of y with respect to every entry of x; for a function, a function that returns it.

    Parameters
    ----------
    y, x : Node
        y was computed from x. Or y is a function of arrays, and x is not given.
    per_example : bool
        Pair the examples, which are y's last axis: the rows of the result are examples, as in the notes. Where x has
        the examples on its last axis, too (Z, A, X), row i is the derivative with respect to the i-th of them; the
        others' is 0. Whether x has them is decided along the graph from y to x, not by size: a W (n, r) does not.
    argnums : int or tuple of int
        Of a function, which arguments. May be given in place of x, as in ``nnc.jacobian(f, 1)``.

    Returns
    -------
    ndarray, or a function of the same arguments that returns it (a tuple, if argnums is one)
        (\\*y.shape, \\*x.shape). With per_example, for L (r,): (r, n) by Z (n, r), (r, n, m) by W (n, m), (r, n, 1) by
        b (n, 1); if y has axes in front of the examples they follow r.

    Raises
    ------
    ValueError
        If y does not depend on x, or with per_example if y is a scalar.

    Examples
    --------
    >>> W, X, b = nnc.Node(np.ones((2, 3))), nnc.Node(np.ones((3, 5))), nnc.Node(np.ones((2, 1)))
    >>> L = np.sum((W @ X + b) ** 2, axis=0)
    >>> nnc.jacobian(L, W).shape, nnc.jacobian(L, X).shape
    ((5, 2, 3), (5, 3, 5))
    >>> [nnc.jacobian(L, x, per_example=True).shape for x in (W, X, b)]  # page 16
    [(5, 2, 3), (5, 3), (5, 2, 1)]
    >>> nnc.jacobian(lambda W: W @ np.ones(3))(np.ones((2, 3))).shape
    (2, 2, 3)
    """
    if callable(y) and not isinstance(y, Node):
        return jacobian_of_function(y, argnums if x is None else x, per_example)
    for name, node in (("y", y), ("x", x)):
        if not isinstance(node, Node):
            raise TypeError(f"jacobian: {name} is a {type(node).__name__}, but must be a Node; nnc.Node wraps an array")
    if x not in set(ancestors(y)):
        raise ValueError("jacobian: y was not computed from x, as far as the graph knows")
    return jacobian_of_nodes(y, x, per_example)


def jacobian_of_function(f, argnums=0, per_example=False):
    """`jacobian` of a function of arrays: the function that returns it."""

    def jacobian(*args, **kwargs):
        y, variables = _call("jacobian", f, args, kwargs, argnums)
        return tree_map(lambda y: _of_argnums(_rows(y, variables, per_example), argnums), y)

    return jacobian


def hessian(f, argnums=0):
    """The function that returns the matrix of second derivatives of f.

    Parameters
    ----------
    f : callable
        As in `value_and_grad`.
    argnums : int or tuple of int

    Returns
    -------
    callable
        Takes f's arguments; the result has the shape ``x.shape + x.shape``. If argnums is a tuple, or the argument a
        structure, it is a structure of structures: ``H["W"]["b"]`` is of the shape of W, followed by that of b.

    Raises
    ------
    TypeError
        If an operation of f is not differentiable twice.

    Examples
    --------
    >>> nnc.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    return jacobian_of_function(grad(f, argnums), argnums)


def hvp(f, argnums=0):
    """The function that returns the product of the Hessian of f with a vector, without the Hessian.

    It costs a gradient and the gradient of that: a small number of evaluations of f, whatever the number of parameters.

    Parameters
    ----------
    f : callable
        As in `value_and_grad`.
    argnums : int or tuple of int

    Returns
    -------
    callable
        Takes f's arguments followed by the vector v, of the shape or structure of the argument (a tuple if argnums is
        one); returns H v, of the same structure.

    Raises
    ------
    ValueError
        When it is called and f does not return a scalar, or v does not have the shape of the argument.

    Examples
    --------
    >>> x, v = np.array([3.0, 5.0]), np.array([1.0, 0.0])
    >>> nnc.hvp(lambda x: x[0] ** 2 * x[1])(x, v)
    array([10.,  6.])
    """

    def product(*args, **kwargs):
        *args, v = args
        y, variables = _call("hvp", f, args, kwargs, argnums)
        y = _scalar("hvp", y)
        xs = leaves(variables)
        vs = _vectors("hvp: v", v if isinstance(argnums, tuple) else (v,), variables, xs)
        is_outer = _is_outer(y, variables) or any(isinstance(u, Node) for u in vs)
        first = pullback(y, y.dtype.type(1), xs, create_graph=True)
        found = _pull_back([first.get(x) for x in xs], vs, xs, is_outer)
        return _of_argnums(tree_map(found, variables), argnums)

    return product


def jvp(f, primals, tangents):
    """f's value, and its derivative along a direction: the product of the Jacobian with a vector.

    Parameters
    ----------
    f : callable
        It returns an array, or a structure of arrays.
    primals : tuple
        f's arguments.
    tangents : tuple
        A direction for each of them, of the same shape or structure.

    Returns
    -------
    (value, tangent)
        Of the same structure.

    Raises
    ------
    TypeError
        If primals or tangents is not a tuple.
    ValueError
        If a tangent is not of the shape of its argument.

    Notes
    -----
    The gradient is linear in its seed u; the derivative of its product with the tangents with respect to u is the
    result. So this costs a backward pass and another one through it.

    Examples
    --------
    >>> nnc.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError("jvp: primals and tangents are tuples, one entry for each argument of f: "
                        "nnc.jvp(f, (x,), (v,))")  # fmt: skip
    y, variables = _call("jvp", f, primals, {}, tuple(range(len(primals))))
    xs = leaves(variables)
    vs = _vectors("jvp: tangents", tuple(tangents), variables, xs)
    ys = [out for out in leaves(y) if isinstance(out, Node)]
    us = [Node(np.zeros(out.shape, out.dtype)) for out in ys]
    is_outer = any(_is_outer(out, variables) for out in ys) or any(isinstance(v, Node) for v in vs)
    first = pullback(_node_with_seeds(ys, us), ONE, xs, create_graph=True) if ys else {}
    found = _pull_back([first.get(x) for x in xs], vs, us, is_outer)
    tangent = dict(zip(map(id, ys), us, strict=True))
    return (
        tree_map(lambda out: _out(out, is_outer), y),
        tree_map(lambda out: found(tangent[id(out)]) if isinstance(out, Node) else _zeros(out), y),
    )


def vjp(f, *primals):
    """f's value, and the function that multiplies a vector by the Jacobian: the backward pass.

    Parameters
    ----------
    f : callable
        It returns an array, or a structure of arrays.
    *primals : array_like, or structures of arrays
        f's arguments.

    Returns
    -------
    (value, function)
        The function takes g, of the shape or structure of the value, and returns a tuple: for each argument the
        gradient of ``sum(g * value)``.

    Raises
    ------
    ValueError
        When the function is called and g is not of the shape of the value.

    Examples
    --------
    >>> value, back = nnc.vjp(lambda W, x: W @ x, np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
    >>> value, back(np.array([1.0]))
    (array([11.]), (array([[3., 4.]]), array([1., 2.])))
    """
    y, variables = _call("vjp", f, primals, {}, tuple(range(len(primals))))
    outs, xs = leaves(y), leaves(variables)
    is_outer = any(_is_outer(out, variables) for out in outs if isinstance(out, Node))

    def function(g):
        gs = _vectors("vjp: g", g, y, outs)
        nodes = [out if isinstance(out, Node) else None for out in outs]
        return tree_map(_pull_back(nodes, gs, xs, is_outer or any(isinstance(u, Node) for u in gs)), variables)

    return tree_map(lambda out: _out(out, is_outer), y), function


# ---- the calls -------------------------------------------------------------------------------------------------------


def _call(caller, f, args, kwargs, argnums):
    """f's result, and a tuple of the arguments that argnums names, as Nodes."""
    args = list(args)
    wanted = argnums if isinstance(argnums, tuple) else (argnums,)
    for i in wanted:
        if not -len(args) <= i < len(args):
            raise TypeError(f"{caller}: argnums is {argnums}, but f is called with {len(args)} positional arguments")
        args[i] = tree_map(lambda x, i=i: _argument(caller, i, x), args[i])
    return f(*args, **kwargs), tuple([args[i] for i in wanted])


def _argument(caller, i, x):
    if x is None or isinstance(x, str) or (callable(x) and not isinstance(x, (Node, np.ndarray))):
        raise TypeError(f"{caller}: argument {i} of f has {x!r} in it, but is differentiated, and so must be real "
                        "numbers; what is not a parameter can be another argument")  # fmt: skip
    return argument(x)


def _scalar(caller, y):
    """f's result as a Node, if it is a scalar."""
    if y is None or isinstance(y, (str, dict, list, tuple)):
        hint = "; is its return missing?" if y is None else ", such as J.mean()"
        raise TypeError(f"{caller}: f returns {'None' if y is None else f'a {type(y).__name__}'}, but must return a "
                        f"scalar{hint}")  # fmt: skip
    y = y if isinstance(y, Node) else Node(y)  # a constant
    if y.ndim:
        raise ValueError(f"{caller}: f returns {y.shape}, but must return a scalar, such as J.mean()")
    return y


def _is_outer(y, variables):
    """Whether y depends on Nodes made before f was called. The last of its ancestors is the oldest."""
    x = next(iter(leaves(variables)), None)
    return x is not None and ancestors(y)[-1]._serial < x._serial


def _of_argnums(results, argnums):
    return results if isinstance(argnums, tuple) else results[0]


def _vectors(what, tree, other, xs):
    """The arrays of `tree`, which must have the structure of `other` and the shapes of its arrays, xs."""
    try:
        vectors = leaves_like(tree, other)
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from None
    vectors = [v if isinstance(v, Node) else np.asarray(v) for v in vectors]
    for v, x in zip(vectors, xs, strict=True):
        if v.dtype.kind not in "biuf":
            raise TypeError(f"{what} is {v.dtype}, but must be real numbers")
        if v.shape != np.shape(x):
            raise ValueError(f"{what} is {v.shape}, but must be of the shape {np.shape(x)}")
    return vectors


# ---- several outputs -------------------------------------------------------------------------------------------------


def _seed_of(i):
    return lambda g, C, *ys, seeds: seeds[i]


_SEEDS = Rule("seeds", lambda *ys, seeds: np.float64(0), None, r"\sum {0}", EachOperand(_seed_of),
              EachOperand(_seed_of), (r"{g}",), ("seeds",), None, ())  # fmt: skip


def _node_with_seeds(ys, seeds):
    """A Node whose backward pass gives each of ys its seed. Its value is not used."""
    return _engine.apply(_SEEDS, tuple(ys), {"seeds": seeds})


def _pull_back(ys, seeds, xs, create_graph):
    """The function that returns, for one of xs, the gradient of sum(seed * y) over all ys that are Nodes."""
    pairs = [(y, _like(v, y)) for y, v in zip(ys, seeds, strict=True) if isinstance(y, Node)]
    found = pullback(_node_with_seeds(*zip(*pairs, strict=True)), ONE, xs, create_graph) if pairs else {}
    if create_graph:
        return lambda x: _node_of(found, x)
    return lambda x: found[x] if x in found else _zeros(x)


def _like(v, y):
    """v in the dtype of y, as a view, so that no gradient is the caller's array itself."""
    return v.astype(y.dtype) if isinstance(v, Node) else v.astype(y.dtype, copy=False)[...]


def _node_of(found, x):
    """x's gradient as a Node."""
    g = found.get(x)
    return g if isinstance(g, Node) else Node(_zeros(x) if g is None else g)


def _zeros(x):
    return np.zeros(np.shape(x), getattr(x, "dtype", np.float64))[()]


def _out(y, is_outer):
    return y if is_outer or not isinstance(y, Node) else y.value


def _rows(y, variables, per_example):
    """The Jacobian of y with respect to each of the variables, in their structure."""
    if not isinstance(y, Node):
        y = Node(y)
    xs, depends = leaves(variables), set(ancestors(y))
    if _is_outer(y, variables):
        if per_example:
            raise TypeError("jacobian: with per_example it cannot be differentiated again")
        seeds = np.eye(y.size, dtype=y.dtype).reshape((y.size, *y.shape))
        found = pullback(y, seeds, xs, create_graph=True)
        return tree_map(lambda x: Node(_zero_rows(y, x)) if x not in found else _as_rows(found[x], y, x), variables)
    return tree_map(lambda x: jacobian_of_nodes(y, x, per_example) if x in depends else _zero_rows(y, x), variables)


def _as_rows(rows, y, x):
    return (rows if isinstance(rows, Node) else Node(rows)).reshape(y.shape + x.shape)


def _zero_rows(y, x):
    return np.zeros(y.shape + x.shape, x.dtype)[()]
