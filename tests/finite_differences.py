"""Each forward with its backward, which is checked against central differences of the forward, in float64."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from engine_rows import ELEMENTWISE_LOSSES, WITH_BACKWARD

from nnc import reference as ref
from nnc.mlp.losses import LOSSES


@dataclass(frozen=True)
class Pair:
    """`operands(rng)` are the forward's; the first `wrt` of them have gradients, which `backward` returns."""

    name: str
    wrt: int
    operands: Callable
    backward: Callable  # (functions, d_out, out, *operands) -> gradient or gradients
    note: str = ""

    def __repr__(self):
        return f"{self.name}{self.note}"


def of_output(name, *options):
    """A backward that takes the output, as those of the activations do."""
    return lambda f, dA, A, *operands: getattr(f, name)(dA, A, *options)


def of_inputs(name):
    return lambda f, d_out, out, *operands: getattr(f, name)(d_out, *operands)


def away_from_kink(rng):
    Z = rng.standard_normal((4, 5))
    return [Z + 0.1 * np.sign(Z)]


def scores(rng):
    return [2 * rng.standard_normal((4, 5))]


def with_labels(rng):
    return [*scores(rng), rng.integers(0, 4, 5)]


def with_targets(rng):
    return [*scores(rng), ref.softmax(rng.standard_normal((4, 5)))]


def as_probabilities(operands):
    return lambda rng: [ref.softmax((made := operands(rng))[0]), *made[1:]]


def shaped(*shapes):
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


def loss_backward(f, dL, L, Z, y):
    return f.softmax_cross_entropy_backward(dL, f.softmax(Z), y)


def of_loss(name, output=lambda Z: Z):
    return lambda f, dL, L, Z, Y: getattr(f, name)(dL, output(Z), Y)


def output_of(loss):
    """The activation of the last layer for a loss of csrc/losses.inc, in NumPy."""
    name = LOSSES[loss].output_name
    return {"identity": lambda Z: Z, "exp": np.exp}.get(name) or getattr(ref, name)


def with_numbers(rng):
    return [*scores(rng), np.floor(4 * rng.random((4, 5))) / 3]


PAIRS = [
    Pair("matmul", 2, shaped((3, 4), (4, 5)), of_inputs("matmul_backward")),
    Pair("matmul", 2, shaped((4, 4), (4, 4)), of_inputs("matmul_backward"), "-square"),
    Pair("matmul", 2, shaped((4,), (4, 5)), of_inputs("matmul_backward"), "-row"),
    Pair("matmul", 2, shaped((3, 4), (4,)), of_inputs("matmul_backward"), "-column"),
    Pair("matmul", 2, shaped((4,), (4,)), of_inputs("matmul_backward"), "-dot"),
    Pair("add_bias", 2, shaped((3, 5), (3, 1)), lambda f, dZ, *_: f.add_bias_backward(dZ)),
    Pair("linear", 3, shaped((3, 4), (4, 5), (3, 1)), lambda f, dZ, Z, W, X, b: f.linear_backward(dZ, W, X)),
    Pair("linear", 3, shaped((4, 4), (4, 4), (4, 1)), lambda f, dZ, Z, W, X, b: f.linear_backward(dZ, W, X), "-square"),
    Pair("leaky_relu", 1, lambda rng: [*away_from_kink(rng), 0.3], of_output("leaky_relu_backward", 0.3), "-0.3"),
    Pair("softmax", 1, scores, of_output("softmax_backward")),
    Pair("softmax", 1, lambda rng: [*scores(rng), 1], of_output("softmax_backward", 1), "-rows"),
    Pair("cross_entropy", 1, as_probabilities(with_labels), of_inputs("cross_entropy_backward")),
    Pair("cross_entropy", 1, as_probabilities(with_targets), of_inputs("cross_entropy_backward"), "-targets"),
    Pair("softmax_cross_entropy", 1, with_labels, loss_backward),
    Pair("softmax_cross_entropy", 1, with_targets, loss_backward, "-targets"),
]
PAIRS += [Pair(name, 1, away_from_kink, of_output(f"{name}_backward")) for name in WITH_BACKWARD]
PAIRS += [Pair(name, 1, with_numbers, of_loss(f"{name}_backward", output_of(name))) for name in ELEMENTWISE_LOSSES]


def check_gradients(pair, functions, h=1e-6):
    """J = Σ seed · out with random seeds of order 1, so that no error is hidden by a zero or a sum."""
    rng = np.random.default_rng(1)
    forward = getattr(functions, pair.name)
    operands = pair.operands(rng)
    out = forward(*operands)
    seed = rng.standard_normal(np.shape(out))
    if out.ndim:
        seed += np.sign(seed)
    gradients = pair.backward(functions, seed, out, *operands)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert len(gradients) == pair.wrt
    # Rounding of J is divided by h; the central difference itself is off by h² f''' / 6, with f''' of order 10 at most
    # except for -ln p, where it is 2 / p³.
    rounding = np.finfo(float).eps * np.abs(seed * out).sum() / h
    for k, gradient in enumerate(gradients):
        x = operands[k]
        assert np.shape(gradient) == x.shape, f"{pair}: gradient {k} is {np.shape(gradient)}, wanted {x.shape}"
        assert np.abs(gradient).max() > 0.1, f"{pair}: gradient {k} is almost zero"
        for i in np.ndindex(x.shape):
            moved = []
            for step in (h, -h):
                shifted = x.copy()
                shifted[i] += step
                moved.append(np.sum(seed * forward(*operands[:k], shifted, *operands[k + 1 :])))
            numeric = (moved[0] - moved[1]) / (2 * h)
            third = 2 / x[i] ** 3 if pair.name == "cross_entropy" else 10
            tolerance = 10 * rounding + np.abs(seed).max() * third * h * h
            difference = abs(numeric - np.asarray(gradient)[i])
            assert difference <= tolerance, f"{pair}: gradient {k} at {i} is off by {difference:.3g}"
