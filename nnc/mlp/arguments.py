"""What a net takes: the constructor's options, X (m, r) of almost any dtype and layout, y as labels or targets.

Every public call of `nnc.MLP` checks its arguments here, so that bad input is refused before anything is computed and
with the same message everywhere, and good input reaches the engine without a copy wherever that is possible.
`op` is the name of the call, for the message.
"""

import math
import operator

import numpy as np

from .._operands import number as one_number
from ..init import kaiming, normal, uniform, xavier

# ---- examples and labels ---------------------------------------------------------------------------------------------

# The engine reads these as they are, whatever the strides: images stay uint8 in memory and are converted as they go in.
_AS_THEY_ARE = tuple(map(np.dtype, (np.uint8, np.float32, np.float64)))

_CACHE_LINE = 64  # bytes


def as_examples(op, X, m, dtype, name="X"):
    """X as an array (m, r) that the engine can read: uint8, float32 or float64, native and aligned, any strides.

    Those three are not copied. Every other real dtype, byte order or misaligned buffer is converted once, to `dtype`.
    """
    X = np.asarray(X)
    if X.dtype.kind not in "buif":
        raise TypeError(f"{op}: {name} has dtype {X.dtype}, but examples are real numbers; convert it, e.g. to float32")
    if X.ndim != 2:
        hint = f" For one example write {name}[:, None]." if X.shape == (m,) else ""
        raise ValueError(f"{op}: {name} has shape {X.shape}, but must be ({m}, r): a column for each example.{hint}")
    if X.shape[0] != m:
        hint = f" Did you mean {name}.T?" if X.shape[1] == m else ""
        raise ValueError(f"{op}: {name} is {X.shape}, but the net has {m} inputs, so it must be ({m}, r).{hint}")
    if X.dtype not in _AS_THEY_ARE or not X.flags.aligned:
        X = X.astype(dtype)
    return X


def at_least_one(op, X, name="X"):
    """Refuse X without examples where a mean over them is wanted."""
    if X.shape[1] == 0:
        raise ValueError(f"{op}: {name} is {X.shape}: it has no examples, so there is no mean")


def with_contiguous_examples(X):
    """X in a layout in which each example is contiguous, or nearly; copied only if it is not.

    A batch is a random choice of columns. Where the inputs of one example lie a cache line or more apart, as in a
    C-ordered (m, r), each number loads 64 bytes from memory; one copy with contiguous examples costs about as much
    as a single such epoch. Images kept as rows and passed as `images.T` are contiguous already. A memory-mapped file
    (np.memmap) may be larger than the memory, and is never copied.
    """
    if X.shape[0] > 1 and abs(X.strides[0]) >= _CACHE_LINE and not _is_mapped(X):
        X = np.ascontiguousarray(X.T).T
    return X


def as_weights(op, sample_weight, r, dtype, is_complete=True):
    """sample_weight as the engine takes it: (r,) in `dtype`, finite, at least 0, not all of them 0; or None.

    With `is_complete=False` they are one rank's share, and may all be 0.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.dtype.kind not in "buif":
        raise TypeError(f"{op}: sample_weight has dtype {weights.dtype}, but weights are real numbers")
    if weights.shape != (r,):
        raise ValueError(f"{op}: sample_weight has shape {weights.shape}, but must be ({r},), one for each example")
    weights = np.ascontiguousarray(weights, dtype)
    good = (weights >= 0) & (weights < np.inf)
    if not good.all():
        i = int(np.argmin(good))
        raise ValueError(f"{op}: sample_weight[{i}] is {weights[i]}, but a weight must be finite and at least 0")
    if is_complete:
        check_any_positive(op, weights)
    return weights


def check_any_positive(op, weights):
    if not weights.any():
        raise ValueError(f"{op}: all of sample_weight is 0: no example counts")


def _is_mapped(X):
    """Is X a view of a file?"""
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return True
        X = X.base
    return False


# ---- the net's own arrays --------------------------------------------------------------------------------------------


def parameters(op, name, arrays, shapes, dtype):
    """Refuse a list of weights or biases that holds something the engine cannot write into."""
    if len(arrays) != len(shapes):
        raise ValueError(f"{op}: net.{name} holds {len(arrays)} arrays, but the net has {len(shapes)} layers")
    for i, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
        known = isinstance(array, np.ndarray)
        if known and array.shape == shape and array.dtype == dtype and array.flags.carray:
            continue
        found = f"{array.dtype} {array.shape}" if known else type(array).__name__
        if found == f"{dtype} {shape}":
            found += ", but read-only or not C-contiguous"
        this = f"net.{name}[{i}]"
        raise ValueError(f"{op}: {this} must be {dtype} {shape} and is {found}; write into the array: {this}[...] = W")


# ---- options ---------------------------------------------------------------------------------------------------------


def number(op, name, value, at_least=-math.inf):
    """A finite float."""
    value = one_number(op, name, value)
    if not (math.isfinite(value) and value >= at_least):
        limit = f" from {at_least} up" if math.isfinite(at_least) else ""
        raise ValueError(f"{op}: {name} must be a finite number{limit}, not {value}")
    return value


def whole(op, name, value, at_least):
    """An int."""
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} must be a whole number, not {value!r}") from None
    if value < at_least:
        raise ValueError(f"{op}: {name} must be at least {at_least}, not {value}")
    return value


def sizes(sizes):
    try:
        sizes = tuple(operator.index(size) for size in sizes)
    except TypeError:
        raise TypeError(f"MLP: sizes must be whole numbers, such as [784, 200, 10], not {sizes!r}") from None
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"MLP: sizes must be at least two numbers from 1 up, inputs and classes, not {list(sizes)}")
    return sizes


def activations(activation, hidden, known):
    """A name for each of the `hidden` layers."""
    names = (activation,) * hidden if isinstance(activation, str) else tuple(activation)
    for name in (activation,) if isinstance(activation, str) else names:
        if name not in known:
            raise ValueError(f"MLP: activation {name!r} is unknown; it must be one of {', '.join(known)}")
    if len(names) != hidden:
        raise ValueError(f"MLP: activation names {len(names)} functions, but there are {hidden} hidden layers")
    return names


def loss(name, known):
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"MLP: loss {name!r} is unknown; it must be one of {', '.join(known)}")
    return name


def real_dtype(dtype):
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"MLP: dtype must be float32 or float64, not {dtype}")
    return dtype


def scale(name, value, m, dtype):
    """mean or std as the engine takes it: (1, 1) or (m, 1), finite, in the net's dtype."""
    value = np.asarray(value)
    if value.dtype.kind not in "buif":
        raise TypeError(f"MLP: {name} must be real, not {value.dtype}")
    if value.shape not in ((), (1,), (m,), (1, 1), (m, 1)):
        raise ValueError(f"MLP: {name} has shape {value.shape}, but must be a number or ({m}, 1), one for each input")
    with np.errstate(over="ignore"):  # the check below says it better
        value = np.array(value.reshape(-1, 1), dtype, order="C")
    if not np.isfinite(value).all():
        raise ValueError(f"MLP: {name} must be finite in {dtype}")
    return value


_INITS = {f.__name__: f for f in (kaiming, xavier, normal, uniform)}


def initializer(init, rng):
    """A function (n, m) → W. Those of nnc.init, by name or as functions, draw from `rng`, the net's own."""
    if isinstance(init, str):
        if init not in _INITS:
            raise ValueError(f"MLP: init {init!r} is unknown; it must be one of {', '.join(_INITS)}, or a function")
        init = _INITS[init]
    if init in _INITS.values():
        return lambda n, m: init(n, m, rng=rng)
    if not callable(init):
        raise TypeError(f"MLP: init must be a name or a function init(n, m), not {init!r}")
    return init


def initial(op, W, shape, dtype):
    """What an init function returned, as a new array."""
    W = np.asarray(W)
    if W.shape != shape or W.dtype.kind not in "buif":
        raise ValueError(f"{op}: init({shape[0]}, {shape[1]}) gave {W.dtype} {W.shape}, but W must be real {shape}")
    mine = _on_cache_lines(shape, dtype)
    mine[...] = W
    return mine


def _on_cache_lines(shape, dtype):
    """An empty array aligned to a cache line, which NumPy's are not, so that no vector load crosses two lines."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)
