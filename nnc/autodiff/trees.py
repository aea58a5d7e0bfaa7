"""Structures of arrays, as people keep their parameters: dicts, lists and tuples, nested in any way.

>>> over(lambda x: 2 * x, {"W": [1.0, 2.0], "b": (3.0,)})
{'W': [2.0, 4.0], 'b': (6.0,)}
>>> leaves({"W": [1.0, 2.0], "b": (3.0,)})
[1.0, 2.0, 3.0]
"""


def over(f, tree):
    """The same structure, with f of every array instead of the array."""
    if isinstance(tree, dict):
        return {key: over(f, branch) for key, branch in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_make"):  # a namedtuple
        return tree._make([over(f, branch) for branch in tree])
    if isinstance(tree, (list, tuple)):
        return type(tree)([over(f, branch) for branch in tree])
    return f(tree)


def leaves(tree):
    """All arrays, one after another."""
    found = []
    over(found.append, tree)
    return found


def leaves_like(tree, other):
    """The arrays of `tree`, in the order of `other`, of whose structure it is to be; a TypeError if it is not.

    >>> leaves_like({"b": 3.0, "W": [1.0, 2.0]}, {"W": ["first", "second"], "b": "third"})
    [1.0, 2.0, 3.0]
    """
    first, second = over(lambda x: None, tree), over(lambda x: None, other)
    if first != second:
        raise TypeError(f"the structure is {_shown(first)}, but must be {_shown(second)}")
    return leaves(_ordered(tree, other))


def _ordered(tree, other):
    """The same with the keys of every dict in the order of `other`, since equal dicts may have them in any."""
    if isinstance(other, dict):
        return {key: _ordered(tree[key], branch) for key, branch in other.items()}
    if isinstance(other, (list, tuple)):
        return [_ordered(*pair) for pair in zip(tree, other, strict=True)]
    return tree


def _shown(structure):
    return str(structure).replace("None", "*")
