"""Which functions Nodes support, and how a function of arrays becomes an operation of the graph."""

from functools import wraps

from .. import _engine

FUNCTIONS = {}  # functions that are not ufuncs -> Rule, or a function composed of other operations
REFUSED = {}  # functions that do not take Nodes -> why


def value_of(x):
    """The plain value of an operand, for masks and indices: they are piecewise constant, so no gradient is lost."""
    return x.value if isinstance(x, _engine.Node) else x


def is_node(*operands):
    """Whether one of the operands is a Node."""
    for x in operands:  # any() of a generator takes three times as long
        if isinstance(x, _engine.Node):
            return True
    return False


def operation(forward):
    """Make a function of arrays an operation where it is given Nodes. Its row in the table has it as its function."""

    @wraps(forward)
    def call(*operands, **params):
        if is_node(*operands):
            return _engine.apply(FUNCTIONS[call], operands, params)
        return forward(*operands, **params)

    return call


def refuse(reason, *functions):
    """Register why these functions do not take Nodes."""
    REFUSED.update(dict.fromkeys(functions, reason))
