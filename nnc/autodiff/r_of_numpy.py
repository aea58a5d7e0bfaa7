"""NumPy's `r_` and `c_` on Nodes: ``np.r_[a, 1.0, b]`` joins arrays, numbers and slices, ``np.c_[a, b]`` columns.

Both make an array of every item without dispatching. So the ``__getitem__`` of their classes is patched: it looks for
a Node among the items, and without one calls NumPy's. `np.r_` and `np.c_` stay the same objects, so that a name
imported before works, too. If they are not as expected here, they are left alone, and a TypeError names
`np.concatenate`.
"""

import sys
from types import FunctionType

import numpy as np

from .dispatch import is_node, value_of
from .joining import array, has_nodes


def join(joiner, plain, items):
    """Join Nodes as `plain`, NumPy's method, joins their values: it gives the errors, the shapes and the dtype.

    The first item may be a directive such as ``'0,2,1'`` or ``'-1'``: the axis to join along, the least number of axes,
    and where an item's own axes go among them. Axes that are added have length 1, so that each item only needs a
    reshape.
    """
    directive = tuple(x for x in items[:1] if isinstance(x, str))
    items = [item_of_nodes(x) for x in items[len(directive) :]]
    whole = plain(joiner, (*directive, *map(value_of, items)))
    if isinstance(whole, np.matrix):
        raise TypeError(f"{name_of(joiner)}[{directive[0]!r}, ...] makes a matrix, whose * is the matrix product; "
                        "of Nodes, '1,2' makes a row and '0,2,0' a column")  # fmt: skip
    arranged = [plain(joiner, (*directive, value_of(x))) for x in items]
    parts = [np.reshape(x, part.shape) if is_node(x) else part.astype(whole.dtype, copy=False)
             for x, part in zip(items, arranged, strict=True)]  # fmt: skip
    return np.concatenate(parts, int(directive[0].split(",")[0]) if directive else joiner.axis)


def item_of_nodes(x):
    """A list with Nodes in it, or a slice ``a:b:5j`` from or to a Node, as a Node; any other item as it is."""
    if not isinstance(x, slice):
        return array(x) if has_nodes(x) else x
    if not is_node(x.start, x.stop, x.step):
        return x
    if not isinstance(x.step, complex):
        raise TypeError("np.r_[a:b:step]: the number of entries would depend on the Node; a:b:5j has five, "
                        "and a + step * np.arange(n) has n")  # fmt: skip
    return np.linspace(0 if x.start is None else x.start, x.stop, int(abs(x.step)))


def name_of(joiner):
    return "np.c_" if joiner is np.c_ else "np.r_"


def patch(joiner):
    """Let ``joiner[...]`` take Nodes."""
    cls = type(joiner)
    plain = getattr(cls, "__getitem__", None)
    if type(plain) is not FunctionType or not isinstance(getattr(joiner, "axis", None), int):
        return

    def __getitem__(self, key):
        if isinstance(key, str):  # NumPy looks up its names in the caller's frame, which would be this one
            frame = sys._getframe(1)
            return np.bmat(key, frame.f_globals, frame.f_locals)
        items = key if isinstance(key, tuple) else (key,)
        with_nodes = any(has_nodes([x.start, x.stop, x.step] if isinstance(x, slice) else x) for x in items)
        return join(self, plain, items) if with_nodes else plain(self, key)

    __getitem__.__wrapped__ = plain
    cls.__getitem__ = __getitem__


patch(np.r_)
patch(np.c_)
