"""The C engine as Python sees it: ufuncs, direct calls of them, the check of labels, training. All private to `nnc`."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Every other name is a universal function, a row of csrc/elementwise.inc or csrc/python/ufuncs.inc.
def __getattr__(name: str) -> np.ufunc: ...

MANY: int
ACTIVATIONS: tuple[str, ...]  # the names in csrc/activations.inc
LOSSES: tuple[str, ...]  # the names in csrc/losses.inc

class Node:
    value: Any
    data: Any
    grad: Any
    name: str | None
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    _args: tuple[Any, ...]
    _rule: Any
    _value: Any
    _is_argument: bool

class Rule: ...

class direct(np.ufunc):  # type: ignore[misc]  # by its __class__; forwards all but the call to the ufunc
    def __init__(
        self, ufunc: np.ufunc, rules: dict[Any, Any], otherwise: Callable[..., Any] = ..., keeping: np.ufunc = ..., /
    ) -> None: ...

def apply(rule: Any, operands: tuple[Any, ...], params: dict[str, Any] = ..., /) -> Any: ...
def ancestors(y: Any, /) -> tuple[Any, ...]: ...
def backward(
    nodes: tuple[Any, ...], seed: Any, batch_axes: tuple[int, ...], unbroadcast: Callable[..., Any],
    add: Callable[..., Any], keep: bool, /
) -> dict[Any, Any] | None: ...
def check_unchanged(nodes: tuple[Any, ...], /) -> None: ...
def call(rule: Any, args: tuple[Any, ...], keywords: dict[str, Any], /) -> Any: ...
def part(
    i: int, g: NDArray[Any], joined: NDArray[Any], /, *arrays: NDArray[Any], axis: int = ...
) -> NDArray[Any]: ...
def labels(op: str, y: ArrayLike, n: int, r: int, /) -> NDArray[np.intp]: ...
def bad_targets(Y: NDArray[Any], tolerance: float, /) -> int: ...
def set_num_threads(n: int, /) -> None: ...
def quota_cores(root: str | os.PathLike[str], /) -> int: ...
def get_num_threads() -> int: ...
def core_to_core() -> int: ...
def set_core_to_core(n: int, /) -> None: ...
def cpu_info() -> dict[str, Any]: ...
def predict(
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any]],
    activations: tuple[str, ...],
    slope: float,
    mean: NDArray[Any],
    std: NDArray[Any],
    X: NDArray[Any],
) -> NDArray[Any]: ...
def predict_plain(
    weights: list[NDArray[Any]],
    biases: list[NDArray[Any]],
    activations: tuple[str, ...],
    slope: float,
    mean: NDArray[Any],
    std: NDArray[Any],
    X: Any,
    loss: str,
    sizes: tuple[int, ...],
    dtype: np.dtype[Any],
    /,
) -> NDArray[Any] | None: ...
def argmax(P: Any, /) -> NDArray[np.intp] | None: ...

def step_rows(
    name: str,
    param: NDArray[Any],
    state0: NDArray[Any] | None,
    state1: NDArray[Any] | None,
    which: NDArray[np.intp],
    grad: NDArray[Any],
    squares: NDArray[np.float64],
    step: tuple[float, float, float, float, float, float, float, bool],
    /,
) -> None: ...

class Fit:
    def __init__(
        self,
        weights: Sequence[NDArray[Any]],
        biases: Sequence[NDArray[Any]],
        activations: tuple[str, ...],
        slope: float,
        mean: NDArray[Any],
        std: NDArray[Any],
        X: NDArray[Any],
        y: NDArray[Any],
        batch_size: int,
        lr: float,
        momentum: float,
        shuffle: bool,
        seed: int,
        **options: Any,
    ) -> None: ...
    def epochs(self, count: int, /) -> list[tuple[float, float]]: ...
