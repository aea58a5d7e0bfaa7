"""Functions of arrays that are operations of Nodes, too: what a vector-Jacobian product may be written with."""

from functools import wraps

from .. import _engine

FUNCTIONS = {}  # functions that are no ufuncs -> Rule, or a function made of other operations
REFUSED = {}  # functions that do not take Nodes -> why


def value_of(x):
    """The plain value of an operand: of what is piecewise constant no gradient is lost, masks and places."""
    return x.value if isinstance(x, _engine.Node) else x


def is_node(*operands):
    """Whether one of the operands is a Node."""
    for x in operands:  # any() of a generator takes three times as long
        if isinstance(x, _engine.Node):
            return True
    return False


def operation(forward):
    """`forward`, a function of arrays; given Nodes, an operation. Its row in the table names it as its function."""

    @wraps(forward)
    def call(*operands, **params):
        if is_node(*operands):
            return _engine.apply(FUNCTIONS[call], operands, params)
        return forward(*operands, **params)

    return call


def refuse(reason, *functions):
    """Enter why these do not take Nodes."""
    REFUSED.update(dict.fromkeys(functions, reason))
