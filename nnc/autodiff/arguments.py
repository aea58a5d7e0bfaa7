"""Which arguments of NumPy's functions Nodes can have.

A call goes through without a look at NumPy's signature. One that was refused comes to `again`: an argument that only
says what NumPy does anyway is left out, an operand given by its name goes to its place, and any other argument that
Nodes cannot have is named, with what does the same.
"""

import inspect

from .. import _engine, _explain
from .operations import Rule

Parameter = inspect.Parameter
SEVERAL = Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD


def again(function, target, args, kwargs, error):
    """function(*args, **kwargs), which `target` stands for and which has raised this TypeError: another call without
    what says nothing, or the error that helps."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):  # NumPy would not take it; or, of C functions before NumPy 2.4, cannot say
        raise error from None
    names, parameters = refused(function, target), bound.signature.parameters
    given = {name: value for name, value in bound.arguments.items() if name in names}
    for name, value in given.items():
        if not _says_nothing(value, parameters[name].default):
            raise _explain.refused_argument(function, name) from None
    by_name = {name for name in operands(function, target) if name in kwargs}
    if not given and not by_name:
        raise error
    kept = {name: value for name, value in bound.arguments.items() if name not in given}
    several = [name for name in kept if parameters[name].kind in SEVERAL]
    if several:
        raise error
    first = [name for name, p in parameters.items() if p.kind is Parameter.POSITIONAL_ONLY]
    first = first or operands(function, target) or list(kept)[:1]
    places = [kept.pop(name) for name in first if name in kept]
    return _engine.call(target, tuple(places), kept)


def _says_nothing(value, default):
    return value is None or value is default or (isinstance(value, (str, bool)) and value == default)


def refused(function, target):
    """The arguments of a NumPy function that Nodes cannot have, in its order.

    >>> import numpy as np
    >>> from nnc.autodiff.dispatch import FUNCTIONS
    >>> refused(np.mean, FUNCTIONS[np.mean])
    ('dtype', 'out', 'where')
    """
    taken = _taken(function, target)
    theirs = inspect.signature(function).parameters.values()
    return tuple(p.name for p in theirs if p.kind not in SEVERAL and p.name not in taken
                 and (p.default is not Parameter.empty or p.kind is Parameter.KEYWORD_ONLY))  # fmt: skip


def operands(function, target):
    """Of a row, the arguments that come by position here and have a name there."""
    if not isinstance(target, Rule) or target.takes:
        return ()
    theirs = inspect.signature(function).parameters.values()
    return tuple(p.name for p in theirs if p.kind not in SEVERAL)[: len(target.vjps)]


def _taken(function, target):
    if isinstance(target, Rule) and not target.takes:
        return {*operands(function, target), *target.params}
    return {*inspect.signature(target.takes if isinstance(target, Rule) else target).parameters}
