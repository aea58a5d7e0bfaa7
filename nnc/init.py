"""The initial weights and biases of a network, and the normalisation of its inputs.

Each function returns a new float64 array, W (n, m) for a layer with m inputs and n outputs. `rng` is a
`numpy.random.Generator`, a seed for one, or None for a new one.

Which one (the notes, page 17): Xavier with tanh, Kaiming He with ReLU; with `normal` and `uniform` the scores of deep
layers shrink to 0, and the gradients with them (eqs. 17.7 to 17.9).
"""

import numpy as np

__all__ = ["normal", "uniform", "xavier", "kaiming", "zeros", "normalize"]


def normal(n, m, std=0.01, rng=None):
    """W (n, m) = randn(n, m) · std, eq. 17.1.

    Parameters
    ----------
    n, m : int
        Outputs and inputs of the layer.
    std : float
        Standard deviation of the weights; their mean is 0.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    W : ndarray, (n, m), float64

    Raises
    ------
    TypeError, ValueError
        If n and m are not whole numbers, at least 0.

    Examples
    --------
    >>> import nnc
    >>> nnc.init.normal(3, 2, rng=0).shape
    (3, 2)
    """
    return np.random.default_rng(rng).standard_normal((n, m)) * std


def uniform(n, m, scale=0.01, rng=None):
    """W (n, m) = rand(n, m) · scale, eq. 11.1: every weight in [0, scale).

    Parameters
    ----------
    n, m : int
        Outputs and inputs of the layer.
    scale : float
    rng : numpy.random.Generator, int or None

    Returns
    -------
    W : ndarray, (n, m), float64

    Raises
    ------
    TypeError, ValueError
        If n and m are not whole numbers, at least 0.

    Examples
    --------
    >>> import nnc
    >>> bool((nnc.init.uniform(3, 2, rng=0) < 0.01).all())
    True
    """
    return np.random.default_rng(rng).random((n, m)) * scale


def xavier(n, m, rng=None):
    """W (n, m) = randn(n, m) · 1/√m, eq. 17.5: scores as wide as the inputs. For tanh.

    Parameters
    ----------
    n, m : int
        Outputs and inputs of the layer.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    W : ndarray, (n, m), float64

    Raises
    ------
    TypeError, ValueError
        If n and m are not whole numbers, at least 0.

    Examples
    --------
    >>> import nnc
    >>> print(f"{nnc.init.xavier(1000, 400, rng=0).std():.3f}")
    0.050
    """
    return normal(n, m, 1 / np.sqrt(m) if m else 0.0, rng)


def kaiming(n, m, rng=None):
    """W (n, m) = randn(n, m) · 1/√(m/2), eq. 17.6 (Kaiming He). For ReLU, which loses half of the variance.

    Parameters
    ----------
    n, m : int
        Outputs and inputs of the layer.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    W : ndarray, (n, m), float64

    Raises
    ------
    TypeError, ValueError
        If n and m are not whole numbers, at least 0.

    Examples
    --------
    >>> import nnc
    >>> print(f"{nnc.init.kaiming(1000, 200, rng=0).std():.3f}")
    0.100
    """
    return normal(n, m, 1 / np.sqrt(m / 2) if m else 0.0, rng)


def zeros(n):
    """b (n, 1) = 0, eq. 11.2.

    Parameters
    ----------
    n : int
        Outputs of the layer.

    Returns
    -------
    b : ndarray, (n, 1), float64

    Raises
    ------
    TypeError, ValueError
        If n is not a whole number, at least 0.

    Examples
    --------
    >>> import nnc
    >>> nnc.init.zeros(2)
    array([[0.],
           [0.]])
    """
    return np.zeros((n, 1))


def normalize(data, axis=None):
    """(data - mean) / std, so that mean = 0 and std = 1 afterwards, eqs. 17.3 and 17.4.

    Parameters
    ----------
    data : array_like
        Any shape, not empty. float32 and float64 keep their dtype, float16 becomes float32, integers float64.
    axis : None, int or tuple of int
        None: one mean and one std over all pixels of all samples, as in the notes. The axis of the samples: a pair for
        each pixel; the std of a pixel that never changes counts as 1.

    Returns
    -------
    normalized : ndarray, shape of data
    mean, std : float or ndarray
        Give them to the network that is trained on the data: ``MLP(..., mean=mean, std=std)``. They are
        numbers for axis None. Otherwise the averaged axes have size 1, except that with axis=0 the axis is removed:
        ``(other - mean) / std`` is right in every case.

    Raises
    ------
    TypeError
        If data is complex or not numeric.
    ValueError
        If data is empty.

    Examples
    --------
    >>> import nnc
    >>> X = [[0, 10], [0, 30]]
    >>> X_norm, mean, std = nnc.normalize(X, axis=0)
    >>> X_norm
    array([[ 0., -1.],
           [ 0.,  1.]])
    >>> mean, std
    (array([ 0., 20.]), array([ 1., 10.]))
    """
    data = np.asarray(data)
    if data.dtype.kind not in "buif":
        raise TypeError(f"normalize: data is {data.dtype}, but must be real numbers")
    if data.size == 0:
        raise ValueError(f"normalize: data is {data.shape}, empty, so it has no mean")
    dtype = {"float32": np.float32, "float16": np.float32}.get(data.dtype.name, np.float64)
    # The sums run in float64: with millions of pixels float32 would lose the last digits of the mean.
    mean = data.mean(axis=axis, keepdims=True, dtype=np.float64)
    std = data.std(axis=axis, keepdims=True, dtype=np.float64)
    # By minimum and maximum: the computed std of equal numbers may be a rounding error instead of 0.
    least, most = data.min(axis=axis, keepdims=True), data.max(axis=axis, keepdims=True)
    mean, std = np.where(least == most, least, mean), np.where(least == most, 1, std)
    normalized = ((data - mean) / std).astype(dtype)
    if axis is None:
        return normalized, mean.item(), std.item()
    if axis == 0:
        mean, std = mean[0], std[0]
    return normalized, mean.astype(dtype), std.astype(dtype)
