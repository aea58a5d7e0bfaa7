"""np.einsum: all of its subscripts, and the gradient, which is another einsum."""

from functools import lru_cache
from string import ascii_letters

import numpy as np

from .. import _direct
from .dispatch import is_node

_einsum = np.einsum.__wrapped__  # without the search for Nodes among the arguments, which takes a microsecond


def einsum(*arrays, subscripts, optimize=False):
    """As np.einsum, but that matrices are multiplied as such, which is many times faster."""
    product = _product_of(subscripts)
    if product and arrays[0].ndim == arrays[1].ndim == 2:
        left, is_left_turned, is_right_turned = product
        A, B = arrays[left], arrays[1 - left]
        A, B = A.T if is_left_turned else A, B.T if is_right_turned else B
        if A.shape[1] == B.shape[0]:  # else np.einsum says what is wrong, or repeats what is of length 1
            return _direct.matmul(A, B)
    call = np.einsum if is_node(*arrays) else _einsum
    if optimize:
        return call(subscripts, *arrays, optimize=optimize)
    return call(subscripts, *arrays)


@lru_cache
def _product_of(subscripts):
    """Of a product of two matrices: which of them is the left one, and whether it and the other are transposed."""
    terms, _, out = subscripts.partition("->")
    terms = terms.split(",")
    sizes = {len(term) for term in (*terms, out)} | {len(set(term)) for term in terms}
    if len(terms) != 2 or sizes != {2} or set(terms[0]) ^ set(terms[1]) != set(out):
        return None
    left = 0 if out[0] in terms[0] else 1
    return left, terms[left][0] != out[0], terms[1 - left][1] != out[1]


# ---- what subscripts may be ------------------------------------------------------------------------------------------


def einsum_arguments(subscripts, *arrays, optimize=False):
    """(arrays, params) of a call, the subscripts spelled out."""
    if not isinstance(subscripts, str):
        subscripts, arrays = _of_lists(subscripts, *arrays)
    if "." in subscripts:
        subscripts = _spelled_out(subscripts, tuple(map(np.ndim, arrays)))
    params = {"subscripts": _spelled_out(subscripts)}
    if optimize:
        params["optimize"] = optimize
    return arrays, params


def _of_lists(*args):
    """np.einsum(A, [0, 1], B, [1, 2], [0, 2]) is one of "ab,bc->ac"."""

    def letters(places):
        return "".join("..." if k is Ellipsis else ascii_letters[k] for k in places)

    count = len(args) // 2
    out = "->" + letters(args[-1]) if len(args) % 2 else ""
    return ",".join(map(letters, args[1 : 2 * count : 2])) + out, args[0 : 2 * count : 2]


@lru_cache
def _spelled_out(subscripts, dots=None):
    """Subscripts with a letter for each axis that dots stand for, and with those of the result.

    >>> _spelled_out("ij,jk"), _spelled_out("...i,i", (3, 1)), _spelled_out("...ij,...jk->...ik", (3, 2))
    ('ij,jk->ik', 'abi,i->ab', 'aij,jk->aik')
    """
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = terms.split(",")
    if not arrow:
        letters = "".join(terms).replace(".", "")
        out = ("..." if dots else "") + "".join(sorted(x for x in set(letters) if letters.count(x) == 1))
    if dots:
        if len(terms) != len(dots):
            raise ValueError(f"np.einsum: {subscripts!r} has {len(terms)} operands, but there are {len(dots)}")
        lengths = [n - len(term.replace("...", "")) if "..." in term else 0
                   for term, n in zip(terms, dots, strict=True)]  # fmt: skip
        if min(lengths) < 0 or (max(lengths) and "..." not in out):
            raise ValueError(f"np.einsum: {subscripts!r} does not fit operands of {', '.join(map(str, dots))} axes; "
                             "the result must have dots, too, if an operand's stand for an axis")  # fmt: skip
        free = "".join(x for x in ascii_letters if x not in subscripts)[: max(lengths)]
        terms = [term.replace("...", free[len(free) - n :]) for term, n in zip(terms, lengths, strict=True)]
        out = out.replace("...", free)
    return f"{','.join(terms)}->{out}"


# ---- the gradient ----------------------------------------------------------------------------------------------------


def einsum_back(i):
    """The same sum with g instead of the i-th operand; along a letter that is only there, g is repeated."""

    def vjp(g, C, *arrays, subscripts, optimize=False):
        batch_ndim, shape = g.ndim - C.ndim, arrays[i].shape
        subscripts, twice, alone = _einsum_of(i, subscripts, batch_ndim)
        others = arrays[:i] + arrays[i + 1 :]
        if twice:
            others += tuple(np.eye(shape[k], dtype=g.dtype) for k in twice)
        if alone:
            others += (np.ones([shape[k] for k in alone], g.dtype),)
        c = einsum(g, *others, subscripts=subscripts, optimize=optimize and True)
        if c.shape[batch_ndim:] != shape:  # np.einsum repeats what is of length 1, as elsewhere
            c = np.broadcast_to(c, c.shape[:batch_ndim] + tuple(map(max, c.shape[batch_ndim:], shape)))
        return c

    return vjp


@lru_cache
def _einsum_of(i, subscripts, batch_ndim):
    """The subscripts of the i-th operand's gradient, with `batch_ndim` axes in front; and two kinds of its axes.

    Those that repeat a letter get another one, and the identity matrix joins the two: what is off the diagonal gets 0.
    Those that the operand alone has are where g is repeated.
    """
    unused = [letter for letter in ascii_letters if letter not in subscripts]
    front, unused = "".join(unused[:batch_ndim]), unused[batch_ndim:]
    terms, _, out = subscripts.partition("->")
    terms = terms.split(",")
    mine, twice, diagonals = "", [], []
    for k, letter in enumerate(terms.pop(i)):
        if letter in mine:
            twice.append(k)
            diagonals.append(letter + unused[0])
            letter = unused.pop(0)
        mine += letter
    terms += diagonals
    alone = [k for k, letter in enumerate(mine) if letter not in out + "".join(terms)]
    terms += ["".join(mine[k] for k in alone)] if alone else []
    return f"{','.join([front + out, *terms])}->{front}{mine}", tuple(twice), tuple(alone)
