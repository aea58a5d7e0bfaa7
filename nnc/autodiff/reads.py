"""Which operands a vector-Jacobian product reads: those, and no others, `backward` compares with what they were.

The gradient of A in A B needs B and not A, and that of A in A + B neither. To compare an array takes a part of the time
that the operation takes, so csrc/python/unchanged.c compares what is needed.
"""

import dis
from types import FunctionType

ALL = -1  # as bits: every one is set
SHAPES = {"shape", "ndim", "size", "dtype"}  # what does not change when an array is written into
VARARGS = 4  # inspect.CO_VARARGS


def reads(*vjps):
    """Bits: the i-th is set if one of these functions (g, C, *operands, **params) reads the i-th operand's numbers.

    A Python function cannot read an argument without naming it, and so its code is asked; of anything else, all bits.

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
        if code.co_argcount < 2 or _has_inner_names(code):
            return ALL
        for i, name in enumerate(operands):
            bits |= (name in named) << i
        others = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if code.co_flags & VARARGS else None
        if others in named:
            bits |= ALL << len(operands)
    return bits


def _has_inner_names(code):
    """Whether locals(), eval() or the like could read what is not named."""
    return bool({"locals", "vars", "eval", "exec", "dir"} & set(code.co_names))


def _names(code):
    """The variables that are read, but for their shape alone."""
    found, instructions = set(), list(dis.get_instructions(code))
    for this, after in zip(instructions, [*instructions[1:], None], strict=True):
        names = this.argval if isinstance(this.argval, tuple) else (this.argval,)
        if after and after.opname == "LOAD_ATTR" and after.argval in SHAPES and this.opname.startswith("LOAD_FAST"):
            names = names[:-1]
        found.update(name for name in names if isinstance(name, str))
    return found
