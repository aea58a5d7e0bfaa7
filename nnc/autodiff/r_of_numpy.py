"""NumPy's `r_` and `c_` of Nodes: ``np.r_[a, 1.0, b]`` joins arrays, numbers and slices, ``np.c_[a, b]`` columns.

Both make an array of every item without dispatching. So their classes get another ``__getitem__``, which looks for
a Node among the items, and without one calls NumPy's. `np.r_` and `np.c_` stay the same objects, which is what a
``from numpy import r_`` made before has. Where they are not what is expected here, they stay as they are: a TypeError
names `np.concatenate`.
"""

import sys
from types import FunctionType

import numpy as np

from .dispatch import is_node, value_of
from .joining import array, has_nodes


def join(joiner, plain, items):
    """What `plain`, NumPy's, does of the values, done of the Nodes: it says what is wrong, every shape, and the dtype.

    A directive as ``'0,2,1'`` or ``'-1'`` is the first item: the axis to join along, the least number of axes, and
    where those that an item has go among them. All others that it gets are of length 1, so that to lay it out is a
    reshape.
    """
    directive = tuple(x for x in items[:1] if isinstance(x, str))
    items = [item_of_nodes(x) for x in items[len(directive) :]]
    whole = plain(joiner, (*directive, *map(value_of, items)))
    if isinstance(whole, np.matrix):
        raise TypeError(f"{name_of(joiner)}[{directive[0]!r}, ...] makes a matrix, whose * is a product of matrices; "
                        "of Nodes, '1,2' makes a row and '0,2,0' a column")  # fmt: skip
    laid_out = [plain(joiner, (*directive, value_of(x))) for x in items]
    parts = [np.reshape(x, part.shape) if is_node(x) else part.astype(whole.dtype, copy=False)
             for x, part in zip(items, laid_out, strict=True)]  # fmt: skip
    return np.concatenate(parts, int(directive[0].split(",")[0]) if directive else joiner.axis)


def item_of_nodes(x):
    """A slice from or to a Node that counts its numbers, ``a:b:5j``, and a list with Nodes in it, as a Node."""
    if not isinstance(x, slice):
        return array(x) if has_nodes(x) else x
    if not is_node(x.start, x.stop, x.step):
        return x
    if not isinstance(x.step, complex):
        raise TypeError("np.r_[a:b:step]: how many numbers that makes depends on the Node; a:b:5j makes five of them, "
                        "and a + step * np.arange(n) as many as you say")  # fmt: skip
    return np.linspace(0 if x.start is None else x.start, x.stop, int(abs(x.step)))


def name_of(joiner):
    return "np.c_" if joiner is np.c_ else "np.r_"


def enter(joiner):
    """Let ``joiner[...]`` take Nodes."""
    its_class = type(joiner)
    plain = getattr(its_class, "__getitem__", None)
    if type(plain) is not FunctionType or not isinstance(getattr(joiner, "axis", None), int):
        return

    def __getitem__(self, key):
        if isinstance(key, str):  # NumPy looks the names in it up where it is called from, which would be here
            frame = sys._getframe(1)
            return np.bmat(key, frame.f_globals, frame.f_locals)
        items = key if isinstance(key, tuple) else (key,)
        with_nodes = any(has_nodes([x.start, x.stop, x.step] if isinstance(x, slice) else x) for x in items)
        return join(self, plain, items) if with_nodes else plain(self, key)

    __getitem__.__wrapped__ = plain
    its_class.__getitem__ = __getitem__


enter(np.r_)
enter(np.c_)
