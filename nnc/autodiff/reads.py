"""Which operands a vector-Jacobian product reads: only those are checked for changes by `backward`.

The gradient of A in A B needs B and not A, and that of A in A + B neither. The check of an array costs a fraction of
the operation itself, so csrc/python/unchanged.c checks only what is needed.
"""

import dis
from types import FunctionType

ALL = -1  # all bits are set
SHAPES = {"shape", "ndim", "size", "dtype"}  # attributes that a write into an array does not change
VARARGS = 4  # inspect.CO_VARARGS


def reads(*vjps):
    """Bits: the i-th is set if one of these functions (g, C, *operands, **params) reads the i-th operand's numbers.

    A Python function cannot read an argument without naming it, so its bytecode is inspected; anything else
    counts as reading all.

    >>> bin(reads(lambda g, C, A, B: g * B))
    '0b10'
    >>> reads(lambda g, C, A: g.reshape(A.shape))
    0
    """
    bits = 0
    for vjp in vjps:
        if type(vjp) is not FunctionType:
            return ALL
        code = vjp.__code__
        operands, named = code.co_varnames[2 : code.co_argcount], _names(code)
        if code.co_argcount < 2 or _can_read_unnamed(code):
            return ALL
        for i, name in enumerate(operands):
            bits |= (name in named) << i
        others = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if code.co_flags & VARARGS else None
        if others in named:
            bits |= ALL << len(operands)
    return bits


def _can_read_unnamed(code):
    """Whether locals(), eval() or the like could read variables that are not named."""
    return bool({"locals", "vars", "eval", "exec", "dir"} & set(code.co_names))


def _names(code):
    """The variables of which more than the shape is read."""
    found, instructions = set(), list(dis.get_instructions(code))
    for this, after in zip(instructions, [*instructions[1:], None], strict=True):
        names = this.argval if isinstance(this.argval, tuple) else (this.argval,)
        if after and after.opname == "LOAD_ATTR" and after.argval in SHAPES and this.opname.startswith("LOAD_FAST"):
            names = names[:-1]
        found.update(name for name in names if isinstance(name, str))
    return found
