"""np.einsum: all of its subscripts, and the gradient, which is another einsum."""

from functools import lru_cache
from string import ascii_letters

import numpy as np

from .. import _direct
from .dispatch import is_node

_einsum = np.einsum.__wrapped__  # without NumPy's dispatch, which takes a microsecond


def einsum(*arrays, subscripts, optimize=False):
    """As np.einsum, but the product of two matrices is a matmul, which is many times faster."""
    product = _product_of(subscripts)
    if product and arrays[0].ndim == arrays[1].ndim == 2:
        left, is_left_transposed, is_right_transposed = product
        A, B = arrays[left], arrays[1 - left]
        A, B = A.T if is_left_transposed else A, B.T if is_right_transposed else B
        if A.shape[1] == B.shape[0]:  # else np.einsum raises its error, or broadcasts length 1
            return _direct.matmul(A, B)
    call = np.einsum if is_node(*arrays) else _einsum
    if optimize:
        return call(subscripts, *arrays, optimize=optimize)
    return call(subscripts, *arrays)


@lru_cache
def _product_of(subscripts):
    """(index of the left matrix, is it transposed, is the other one) for a product of two matrices, else None."""
    terms, _, out = subscripts.partition("->")
    terms = terms.split(",")
    sizes = {len(term) for term in (*terms, out)} | {len(set(term)) for term in terms}
    if len(terms) != 2 or sizes != {2} or set(terms[0]) ^ set(terms[1]) != set(out):
        return None
    left = 0 if out[0] in terms[0] else 1
    return left, terms[left][0] != out[0], terms[1 - left][1] != out[1]


# ---- subscripts ------------------------------------------------------------------------------------------------------


def einsum_arguments(subscripts, *arrays, optimize=False):
    """(arrays, params) of a call, with the subscripts in explicit form."""
    if not isinstance(subscripts, str):
        subscripts, arrays = _from_lists(subscripts, *arrays)
    if "." in subscripts:
        subscripts = _explicit(subscripts, tuple(map(np.ndim, arrays)))
    params = {"subscripts": _explicit(subscripts)}
    if optimize:
        params["optimize"] = optimize
    return arrays, params


def _from_lists(*args):
    """np.einsum(A, [0, 1], B, [1, 2], [0, 2]) is np.einsum("ab,bc->ac", A, B)."""

    def letters(numbers):
        return "".join("..." if k is Ellipsis else ascii_letters[k] for k in numbers)

    count = len(args) // 2
    out = "->" + letters(args[-1]) if len(args) % 2 else ""
    return ",".join(map(letters, args[1 : 2 * count : 2])) + out, args[0 : 2 * count : 2]


@lru_cache
def _explicit(subscripts, ndims=None):
    """Subscripts in explicit form: a letter for each axis of an ellipsis, and those of the result.

    >>> _explicit("ij,jk"), _explicit("...i,i", (3, 1)), _explicit("...ij,...jk->...ik", (3, 2))
    ('ij,jk->ik', 'abi,i->ab', 'aij,jk->aik')
    """
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = terms.split(",")
    if not arrow:
        letters = "".join(terms).replace(".", "")
        out = ("..." if ndims else "") + "".join(sorted(x for x in set(letters) if letters.count(x) == 1))
    if ndims:
        if len(terms) != len(ndims):
            raise ValueError(f"np.einsum: {subscripts!r} has {len(terms)} operands, but there are {len(ndims)}")
        lengths = [n - len(term.replace("...", "")) if "..." in term else 0
                   for term, n in zip(terms, ndims, strict=True)]  # fmt: skip
        if min(lengths) < 0 or (max(lengths) and "..." not in out):
            raise ValueError(f"np.einsum: {subscripts!r} does not fit operands of {', '.join(map(str, ndims))} axes; "
                             "the result must have '...', too, if an operand's '...' is not empty")  # fmt: skip
        free = "".join(x for x in ascii_letters if x not in subscripts)[: max(lengths)]
        terms = [term.replace("...", free[len(free) - n :]) for term, n in zip(terms, lengths, strict=True)]
        out = out.replace("...", free)
    return f"{','.join(terms)}->{out}"


# ---- the gradient ----------------------------------------------------------------------------------------------------


def einsum_back(i):
    """The same sum with g in place of the i-th operand; along a letter that only this one has, g is broadcast."""

    def vjp(g, C, *arrays, subscripts, optimize=False):
        batch_ndim, shape = g.ndim - C.ndim, arrays[i].shape
        subscripts, twice, alone = _gradient_subscripts(i, subscripts, batch_ndim)
        others = arrays[:i] + arrays[i + 1 :]
        if twice:
            others += tuple(np.eye(shape[k], dtype=g.dtype) for k in twice)
        if alone:
            others += (np.ones([shape[k] for k in alone], g.dtype),)
        c = einsum(g, *others, subscripts=subscripts, optimize=optimize and True)
        if c.shape[batch_ndim:] != shape:  # np.einsum broadcasts length 1
            c = np.broadcast_to(c, c.shape[:batch_ndim] + tuple(map(max, c.shape[batch_ndim:], shape)))
        return c

    return vjp


@lru_cache
def _gradient_subscripts(i, subscripts, batch_ndim):
    """(subscripts, twice, alone) of the i-th operand's gradient, with `batch_ndim` axes in front.

    `twice` are its axes that repeat a letter: each gets another letter, and an identity matrix joins the two, so that
    entries off the diagonal get 0. `alone` are those whose letter no other term has: g is broadcast along them.
    """
    unused = [letter for letter in ascii_letters if letter not in subscripts]
    front, unused = "".join(unused[:batch_ndim]), unused[batch_ndim:]
    terms, _, out = subscripts.partition("->")
    terms = terms.split(",")
    term, twice, diagonals = "", [], []
    for k, letter in enumerate(terms.pop(i)):
        if letter in term:
            twice.append(k)
            diagonals.append(letter + unused[0])
            letter = unused.pop(0)
        term += letter
    terms += diagonals
    alone = [k for k, letter in enumerate(term) if letter not in out + "".join(terms)]
    terms += ["".join(term[k] for k in alone)] if alone else []
    return f"{','.join([front + out, *terms])}->{front}{term}", tuple(twice), tuple(alone)
