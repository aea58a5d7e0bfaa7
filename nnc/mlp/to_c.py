"""A net as one self-contained file of C11: its weights, and a function that predicts.

No library is called, not even for exp: the file compiles for a microcontroller as well. The numbers are written with
enough digits to be read back exactly.
"""

from itertools import pairwise

import numpy as np

from .losses import LOSSES
from .storage import whole_or_not_at_all

_HEAD = """\
/* A net of dense layers, {sizes}, written by nnc.
 *
 *     {result} predict(const {real} x[{m}], {real} p[{n}]);
 *
 * x is one example{scaled};
 * {meaning}
 * C11 without a library: nothing is allocated, nothing is kept between calls. A second net in one program: compile this
 * file with -Dpredict=another_name. */
#include <stddef.h>

typedef {real} real;

enum {{ INPUTS = {m}, OUTPUTS = {n}, LARGEST = {largest} }};
"""

_LAYER = """
/* z = W a + b. Eight partial sums are more accurate than one sum, and a compiler can vectorize them. */
static void layer(size_t n, size_t m, const real *W, const real *b, const real *a, real *z) {
    for (size_t i = 0; i < n; i++) {
        const real *w = W + i * m;
        real sums[8] = {0}, z_i = 0;
        size_t j = 0;
        for (; m - j >= 8; j += 8)
            for (size_t k = 0; k < 8; k++) sums[k] += w[j + k] * a[j + k];
        for (; j < m; j++) z_i += w[j] * a[j];
        for (size_t k = 0; k < 8; k++) z_i += sums[k];
        z[i] = z_i + b[i];
    }
}
"""

# ln 2 is split so that n times its first part is exact; the powers of 2 are multiplied as n's bits say.
_EXPONENTIAL = """
/* e^x for x <= 0: 2^-n e^r, where r is at most ln(2) / 2, small enough for a few terms of the series. */
static real exponential(real x) {{
    if (!(x > {least})) return x != x ? x : 0;
    int n = (int)({half} - x * {log2_e});
    const real r = (x + (real)n * {ln2_high}) + (real)n * {ln2_low};
    real result = 1;
    for (int i = {terms}; i > 0; i--) result = 1 + r / (real)i * result;
    for (real power = {half}; n; n >>= 1, power *= power)
        if (n & 1) result *= power;
    return result;
}}
"""
_FLOAT = dict(least="-104.0f", half="0.5f", log2_e="1.44269504f", ln2_high="0.693145752f", ln2_low="1.42860677e-6f",
              terms=7, depth=9)  # fmt: skip
_DOUBLE = dict(least="-746.0", half="0.5", log2_e="1.4426950408889634", ln2_high="0.6931471803691238",
               ln2_low="1.9082149292705877e-10", terms=13, depth=17)  # fmt: skip

_FUNCTIONS = {
    "relu": "\nstatic real relu(real z) {{ return z < 0 ? 0 : z; }}\n",
    "leaky_relu": "\nstatic real leaky_relu(real z) {{ return z < 0 ? {slope} * z : z; }}\n",
    "sigmoid": """
static real sigmoid(real z) {{
    const real e = exponential(z < 0 ? z : -z);
    return (z < 0 ? e : 1) / (1 + e);
}}
""",
    "tanh": """
/* By its continued fraction where 1 - e would lose digits. Not named tanh: that is the library's name. */
static real hyperbolic_tangent(real z) {{
    const real size = z < 0 ? -z : z;
    if (size < {half}) {{
        real below = {depth};
        for (int k = {depth} - 2; k > 0; k -= 2) below = (real)k + z * z / below;
        return z / below;
    }}
    const real e = exponential(-2 * size), t = (1 - e) / (1 + e);
    return z < 0 ? -t : t;
}}
""",
    "exp": "\nstatic real exp_of(real z) {{ return z > 0 ? 1 / exponential(-z) : exponential(z); }}\n",
    "softmax": """
/* p = e^z / sum e^z, less the largest z in every exponent; the index of the largest p. */
static int softmax(const real *z, real *p) {{
    real largest = z[0], sum = 0;
    int label = 0;
    for (size_t i = 0; i < OUTPUTS; i++)
        if (z[i] > largest) largest = z[i];
    for (size_t i = 0; i < OUTPUTS; i++) sum += p[i] = exponential(z[i] - largest);
    for (size_t i = 0; i < OUTPUTS; i++) p[i] /= sum;
    for (int i = 0; i < OUTPUTS; i++) {{
        if (p[i] != p[i]) return -1;
        if (p[i] > p[label]) label = i;
    }}
    return label;
}}
""",
    "identity": "",
}
_FUNCTION = {"tanh": "hyperbolic_tangent", "exp": "exp_of"}

_MEANING = {
    "softmax": "p gets the probability of each class; the result is the class of the largest one, or -1 where a\n"
    " * probability is not a number.",
    "sigmoid": "p gets the probability of each output.",
    "exp": "p gets the rate of each output.",
}


def write(net, path):
    """Write the file to `path`, whole or not at all."""
    content = source(net).encode()
    with whole_or_not_at_all(path) as file:
        file.write(content)


def source(net):
    """The text of the file."""
    for kind, arrays in (("weights", net.weights), ("biases", net.biases)):
        for i, array in enumerate(arrays):
            if not np.isfinite(array).all():
                raise ValueError(f"to_c: net.{kind}[{i}] is not finite, and C has no literal for that")
    suffix = "f" if net.dtype == np.float32 else ""
    scaled = bool((net.mean != 0).any() or (net.std != 1).any())
    numbers = {"half": "0.5" + suffix, "slope": _number(net.dtype.type(net.slope), suffix)}
    numbers |= _FLOAT if suffix else _DOUBLE

    output = LOSSES[net.loss_name].output_name
    parts = [
        _HEAD.format(
            sizes=" - ".join(map(str, net.sizes)),
            result="int" if output == "softmax" else "void",
            meaning=_MEANING.get(output, "p gets the outputs."),
            scaled=" as it was measured, not normalised" if scaled else "",
            real="float" if suffix else "double",
            m=net.sizes[0],
            n=net.sizes[-1],
            largest=max(net.sizes[0 if scaled else 1 :]),
        )
    ]
    arrays = {"mean": net.mean, "std": net.std} if scaled else {}
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        arrays |= {f"W{layer}": W, f"b{layer}": b}
    parts += [_array(name, array, suffix) for name, array in arrays.items()]
    functions = dict.fromkeys([*net.activations, output])
    texts = [_FUNCTIONS[function].format(**numbers) for function in functions]
    needs_exponential = any("exponential(" in text for text in texts)
    parts += [_LAYER, _EXPONENTIAL.format(**numbers) if needs_exponential else "", *texts]
    parts += [_predict(net, output, scaled)]
    return "".join(parts)


def _number(x, suffix):
    return f"{x!s}{suffix}"  # NumPy's str is the shortest that is read back as x


def _array(name, array, suffix):
    shape = " by ".join(map(str, array.shape))
    rows = [", ".join(_number(x, suffix) for x in row) for row in _in_lines(array.ravel())]
    lines = ",\n".join("    " + row for row in rows)
    return f"\nstatic const real {name}[{array.size}] = {{ /* {shape} */\n{lines},\n}};\n"


def _in_lines(numbers, each=4):
    return (numbers[start : start + each] for start in range(0, len(numbers), each))


def _predict(net, output, scaled):
    """The function itself. Two arrays alternate as the input and the output of a layer."""
    lines, operand, result = [], "x", "a"
    if scaled:
        j = ["j" if array.size > 1 else "0" for array in (net.mean, net.std)]
        lines += [f"for (size_t j = 0; j < INPUTS; j++) a[j] = (x[j] - mean[{j[0]}]) / std[{j[1]}];"]
        operand, result = "a", "z"
    for layer, (m, n) in enumerate(pairwise(net.sizes), start=1):
        lines += [f"layer({n}, {m}, W{layer}, b{layer}, {operand}, {result});"]
        activation = [*net.activations, output][layer - 1]
        if activation not in ("identity", "softmax"):
            function = _FUNCTION.get(activation, activation)
            lines += [f"for (size_t i = 0; i < {n}; i++) {result}[i] = {function}({result}[i]);"]
        operand, result = result, "z" if result == "a" else "a"
    both = scaled or net.activations
    lines = [f"real {'a[LARGEST], z[LARGEST]' if both else 'a[LARGEST]'};", *lines]
    if output == "softmax":
        lines += [f"return softmax({operand}, p);"]
    else:
        lines += [f"for (size_t i = 0; i < OUTPUTS; i++) p[i] = {operand}[i];"]
    head = f"{'int' if output == 'softmax' else 'void'} predict(const real *x, real *p)"
    return f"\n{head};\n{head} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"
