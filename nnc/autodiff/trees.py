"""Structures of arrays, as people keep their parameters: dicts, lists and tuples, nested in any way.

>>> tree_map(lambda x: 2 * x, {"W": [1.0, 2.0], "b": (3.0,)})
{'W': [2.0, 4.0], 'b': (6.0,)}
>>> leaves({"W": [1.0, 2.0], "b": (3.0,)})
[1.0, 2.0, 3.0]
"""


def tree_map(f, tree):
    """The same structure, with f applied to every array."""
    if isinstance(tree, dict):
        return {key: tree_map(f, branch) for key, branch in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_make"):  # a namedtuple
        return tree._make([tree_map(f, branch) for branch in tree])
    if isinstance(tree, (list, tuple)):
        return type(tree)([tree_map(f, branch) for branch in tree])
    return f(tree)


def leaves(tree):
    """All arrays, in order."""
    found = []
    tree_map(found.append, tree)
    return found


def leaves_like(tree, other):
    """The arrays of `tree` in the order of `other`; a TypeError if their structures differ.

    >>> leaves_like({"b": 3.0, "W": [1.0, 2.0]}, {"W": ["first", "second"], "b": "third"})
    [1.0, 2.0, 3.0]
    """
    first, second = tree_map(lambda x: None, tree), tree_map(lambda x: None, other)
    if first != second:
        raise TypeError(f"the structure is {_shown(first)}, but must be {_shown(second)}")
    return leaves(_ordered(tree, other))


def _ordered(tree, other):
    """The same tree with the keys of every dict in the order of `other`; equal dicts may differ in it."""
    if isinstance(other, dict):
        return {key: _ordered(tree[key], branch) for key, branch in other.items()}
    if isinstance(other, (list, tuple)):
        return [_ordered(*pair) for pair in zip(tree, other, strict=True)]
    return tree


def _shown(structure):
    return str(structure).replace("None", "*")
