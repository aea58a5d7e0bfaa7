"""Which arguments of NumPy's functions work on Nodes.

Calls are made without looking at NumPy's signature. One that raised a TypeError comes to `retry`: arguments that have
NumPy's default value are left out, operands given by keyword become positional, and any other argument that does not
work on Nodes is named in an error, with an equivalent.
"""

import inspect

from .. import _engine, _explain
from .operations import Rule

Parameter = inspect.Parameter
VARIADIC = Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD


def retry(function, target, args, kwargs, error):
    """Call `target`, which implements `function` and has raised this TypeError, without the arguments that have NumPy's
    default values; or raise an error that names the argument that does not work."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):  # NumPy would refuse it; or a C function before NumPy 2.4
        raise error from None
    names, parameters = refused(function, target), bound.signature.parameters
    given = {name: value for name, value in bound.arguments.items() if name in names}
    for name, value in given.items():
        if not _is_default(value, parameters[name].default):
            raise _explain.refused_argument(function, name) from None
    by_name = {name for name in operands(function, target) if name in kwargs}
    if not given and not by_name:
        raise error
    kept = {name: value for name, value in bound.arguments.items() if name not in given}
    variadic = [name for name in kept if parameters[name].kind in VARIADIC]
    if variadic:
        raise error
    first = [name for name, p in parameters.items() if p.kind is Parameter.POSITIONAL_ONLY]
    first = first or operands(function, target) or list(kept)[:1]
    positional = [kept.pop(name) for name in first if name in kept]
    return _engine.call(target, tuple(positional), kept)


def _is_default(value, default):
    return value is None or value is default or (isinstance(value, (str, bool)) and value == default)


def refused(function, target):
    """The arguments of a NumPy function that do not work on Nodes, in its order.

    >>> import numpy as np
    >>> from nnc.autodiff.dispatch import FUNCTIONS
    >>> refused(np.mean, FUNCTIONS[np.mean])
    ('dtype', 'out', 'where')
    """
    supported = _supported(function, target)
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind not in VARIADIC and p.name not in supported
                 and (p.default is not Parameter.empty or p.kind is Parameter.KEYWORD_ONLY))  # fmt: skip


def operands(function, target):
    """NumPy's names for the operands of a row, which are positional here."""
    if not isinstance(target, Rule) or target.takes:
        return ()
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind not in VARIADIC)[: len(target.vjps)]


def _supported(function, target):
    if isinstance(target, Rule) and not target.takes:
        return {*operands(function, target), *target.params}
    return {*inspect.signature(target.takes if isinstance(target, Rule) else target).parameters}
