"""check_derivation on random correct programs: none of their lines may be called wrong.

A program is drawn from a seed: depth, widths, activations, loss, where the 1/m enters, rows or columns, names. That it
is correct is checked by central differences of its forward lines.
"""

import importlib.util
import linecache
import re

import numpy as np
import pytest

import nnc

SLOPES = {  # dJ/dZ = dJ/dA times this
    "relu": ["({Z} > 0)", "({A} > 0)", "np.where({Z} > 0, 1.0, 0.0)"],
    "sigmoid": ["{A} * (1 - {A})", "({A} * (1 - {A}))"],
    "tanh": ["(1 - {A} ** 2)", "(1 - np.square({A}))", "(1 - np.tanh({Z}) ** 2)"],
    "leaky": ["np.where({Z} > 0, 1, 0.1)", "((({Z} > 0) + 0.1 * ({Z} <= 0)))"],
}
FUNCTIONS = {
    "relu": ["np.maximum(0, {Z})", "{Z} * ({Z} > 0)", "np.where({Z} > 0, {Z}, 0)"],
    "sigmoid": ["1 / (1 + np.exp(-{Z}))"],
    "tanh": ["np.tanh({Z})"],
    "leaky": ["np.where({Z} > 0, {Z}, 0.1 * {Z})", "np.maximum({Z}, 0.1 * {Z})"],
}


class Program:
    """A random correct program: `forward` and `backward`, lists of lines, and the `inputs` that they are run on."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.forward, self.backward, self.inputs, self.gradients = [], [], {}, {}
        self.depth = self.one_of(1, 2, 3)
        self.in_rows, self.flat_bias = self.one_of(True, False), self.one_of(True, False)
        self.product = self.one_of("{} @ {}", "np.dot({}, {})", "{}.dot({})")
        self.gradient = self.one_of("d{}", "grad_{}", "{}_grad")
        self.delta = self.one_of("dZ{}", "delta{}")
        self.cost, self.over_batch = self.one_of("J", "cost", "loss"), self.one_of(True, False)
        self.names_a_factor, self.penalty = self.one_of(True, False), self.one_of(None, None, "lam", "lam / m")
        self.loss = self.one_of("labels", "one-hot", "squared", "squared", "binary")
        self.draw_inputs()
        self.draw_forward()
        factor = self.draw_loss()
        self.draw_backward(factor)
        if self.one_of(True, False):
            self.draw_updates()

    def one_of(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def draw_inputs(self):
        m = self.m = int(self.rng.integers(4, 8))
        sizes = self.sizes = [int(n) for n in self.rng.integers(2, 7, self.depth + 1)]
        if self.loss in ("labels", "one-hot"):
            sizes[-1] = max(sizes[-1], 3)
        elif self.loss == "binary":
            sizes[-1] = 1
        self.inputs["X"] = self.oriented(self.rng.normal(size=(m, sizes[0])))
        for i in range(self.depth):
            self.inputs[f"W{i + 1}"] = self.oriented(self.rng.normal(size=(sizes[i], sizes[i + 1])) * 0.8)
            b = self.rng.normal(size=(1, sizes[i + 1])) * 0.3
            self.inputs[f"b{i + 1}"] = b[0] if self.in_rows and self.flat_bias else self.oriented(b)
        labels = self.rng.integers(0, sizes[-1], m)
        if self.loss == "labels":
            self.inputs["y"] = labels
        elif self.loss == "one-hot":
            self.inputs["Y"] = self.oriented(np.eye(sizes[-1])[labels])
        elif self.loss == "binary":
            self.inputs["Y"] = self.oriented(self.rng.integers(0, 2, (m, 1)).astype(float))
        else:
            self.inputs["Y"] = self.oriented(self.rng.normal(size=(m, sizes[-1])))
        if self.penalty:
            self.inputs["lam"] = 0.3

    def oriented(self, rows):
        return rows if self.in_rows else np.ascontiguousarray(rows.T)

    def times(self, a, b):
        return self.product.format(a, b)

    def draw_forward(self):
        self.forward.append(f"m = X.shape[{0 if self.in_rows else 1}]")
        self.acts = [self.one_of("relu", "sigmoid", "tanh", "leaky") for _ in range(self.depth)]
        self.acts[-1] = {"squared": self.one_of("none", "sigmoid", "tanh"), "binary": "sigmoid"}.get(
            self.loss, "softmax"
        )
        for i, act in enumerate(self.acts, 1):
            before = "X" if i == 1 else f"A{i - 1}"
            product = self.times(before, f"W{i}") if self.in_rows else self.times(f"W{i}", before)
            self.forward.append(f"Z{i} = {product} + b{i}")
            self.forward += self.activation(act, f"Z{i}", f"A{i}")
        self.out = f"A{self.depth}"

    def activation(self, act, Z, A):
        axis = 1 if self.in_rows else 0
        if act == "none":
            return [f"{A} = {Z}"]
        if act == "softmax":
            return self.one_of(
                [
                    f"scores = np.exp({Z} - np.max({Z}, axis={axis}, keepdims=True))",
                    f"{A} = scores / np.sum(scores, axis={axis}, keepdims=True)",
                ],
                [f"{A} = np.exp({Z}) / np.sum(np.exp({Z}), axis={axis}, keepdims=True)"],
            )
        return [f"{A} = " + self.one_of(*FUNCTIONS[act]).format(Z=Z)]

    def draw_loss(self):
        """Append the line of the cost; return the factor of (A - Y) times the output's slope, as text."""
        A, m = self.out, "m"
        picked = "np.arange(m), y" if self.in_rows else "y, np.arange(m)"
        mean = self.one_of(True, True, False)
        total = {
            "labels": f"np.log({A}[{picked}])",
            "one-hot": f"Y * np.log({A})",
            "binary": f"Y * np.log({A}) + (1 - Y) * np.log(1 - {A})",
        }.get(self.loss)
        if total:
            factor = f" / {m}" if mean else ""
            forms = [f"-np.sum({total}){factor}"]
            if mean:
                forms += [f"-1 / m * np.sum({total})", f"-(1 / m) * np.sum({total})"]
            if mean and self.loss != "one-hot":
                forms.append(f"-np.mean({total})")
            text = self.one_of(*forms)
        else:
            text, factor = self.one_of(
                (f"np.mean(({A} - Y) ** 2)", " * 2 / Y.size"),
                (f"np.sum(({A} - Y) ** 2) / (2 * m)", " / m"),
                (f"np.sum(({A} - Y) ** 2) / m", " * 2 / m"),
                (f"0.5 * np.sum(({A} - Y) ** 2)", ""),
                (f"np.sum(np.square(Y - {A}))", " * 2"),
                (f"1 / (2 * m) * np.sum((Y - {A}) ** 2)", " / m"),
            )
        if self.penalty:
            squares = " + ".join(f"np.sum(W{i} ** 2)" for i in range(1, self.depth + 1))
            shown = "lam / 2" if self.penalty == "lam" else "lam / (2 * m)"
            if self.one_of(True, False):
                text = f"{text} + {shown} * ({squares})"
            else:
                self.forward.append(f"penalty = {shown} * ({squares})")
                text = f"{text} + penalty"
        self.forward.append(f"{self.cost} = {text}")
        return factor

    def draw_backward(self, factor):
        late = self.one_of(True, False) and factor  # 1/m enters at the parameters' gradients
        self.backward += self.first_delta("" if late else factor)
        for i in range(self.depth, 0, -1):
            self.draw_gradients(i, late or "")
            if i > 1:
                D, Z, A = self.delta.format(i), f"Z{i - 1}", f"A{i - 1}"
                back = self.times(D, f"W{i}.T") if self.in_rows else self.times(f"W{i}.T", D)
                slope = self.one_of(*SLOPES[self.acts[i - 2]]).format(Z=Z, A=A)
                D = self.delta.format(i - 1)
                if self.one_of(True, False):
                    self.backward += [f"dA{i - 1} = {back}", f"{D} = dA{i - 1} * {slope}"]
                elif self.acts[i - 2] == "relu" and self.one_of(True, False):
                    self.backward += [f"{D} = {back}", f"{D}[{Z} <= 0] = 0"]
                else:
                    self.backward.append(f"{D} = ({back}) * {slope}")

    def first_delta(self, factor):
        D, A = self.delta.format(self.depth), self.out
        if self.loss == "labels":
            picked = "np.arange(m), y" if self.in_rows else "y, np.arange(m)"
            lines = [f"{D} = {A}.copy()", f"{D}[{picked}] -= 1"]
            return lines + ([f"{D} /= m" if self.one_of(True, False) else f"{D} = {D} / m"] if factor else [])
        error = f"({A} - Y){factor}" if factor else f"{A} - Y"
        if self.loss == "one-hot":
            return [f"{D} = {error}"]
        if self.loss == "binary":
            long = f"dA{self.depth} = (-(Y / {A}) + (1 - Y) / (1 - {A})){factor}"
            return self.one_of([f"{D} = {error}"], [long, f"{D} = dA{self.depth} * {A} * (1 - {A})"])
        if self.acts[-1] == "none":
            return [f"{D} = {error}"]
        slope = self.one_of(*SLOPES[self.acts[-1]]).format(Z=f"Z{self.depth}", A=A)
        split = [f"dA{self.depth} = {error}", f"{D} = dA{self.depth} * {slope}"]
        return self.one_of(split, [f"{D} = ({A} - Y) * {slope}{factor}"])

    def draw_gradients(self, i, factor):
        before, D = "X" if i == 1 else f"A{i - 1}", self.delta.format(i)
        dW, db = self.gradient.format(f"W{i}"), self.gradient.format(f"b{i}")
        product = self.times(f"{before}.T", D) if self.in_rows else self.times(D, f"{before}.T")
        if factor == " / m" and self.one_of(True, False):
            product = f"1 / m * {product}" if "@" not in product else f"1 / m * ({product})"
        elif factor:
            product = f"({product}){factor}"
        penalty = f"{self.penalty} * W{i}" if self.penalty else ""
        if penalty and self.one_of(True, False):
            self.backward += [f"{dW} = {product} + {penalty}"]
        else:
            self.backward += [f"{dW} = {product}"] + ([f"{dW} += {penalty}"] if penalty else [])
        keep = "" if self.in_rows and self.flat_bias else ", keepdims=True"
        axis = 0 if self.in_rows else 1
        total = self.one_of(f"np.sum({D}, axis={axis}{keep})", f"{D}.sum(axis={axis}{keep})")
        if factor == " / m" and self.one_of(True, False):
            total, factor = f"np.mean({D}, axis={axis}{keep})", ""
        self.backward.append(f"{db} = {total}{factor}")
        self.gradients |= {f"W{i}": dW, f"b{i}": db}

    def draw_updates(self):
        form = self.one_of("{W} -= lr * {dW}", "{W} = {W} - lr * {dW}", "{W} += -lr * {dW}")
        self.backward.append("lr = 0.1")
        self.backward += [form.format(W=W, dW=dW) for W, dW in self.gradients.items()]

    @property
    def source(self):
        return "\n".join([*self.forward, *self.backward]) + "\n"

    def run(self, lines, **changed):
        names = {k: np.copy(v) if np.ndim(v) else v for k, v in (self.inputs | changed).items()} | {"np": np}
        exec("\n".join(lines), names)
        return names


def assert_correct(program):
    """The program's gradients, compared with central differences: an error of h² = 1e-10, and rounding of eps / h."""
    mine = program.run(program.backward, **program.run(program.forward))
    for name, gradient in program.gradients.items():
        value = program.inputs[name]
        numeric = np.zeros_like(value)
        for at in np.ndindex(value.shape):
            up, down = value.copy(), value.copy()
            up[at] += 1e-5
            down[at] -= 1e-5
            costs = [program.run(program.forward, **{name: v})[program.cost] for v in (up, down)]
            numeric[at] = (costs[0] - costs[1]) / 2e-5
        np.testing.assert_allclose(mine[gradient], numeric, rtol=1e-5, atol=1e-7, err_msg=program.source)
    return {name: mine[name] for name in program.gradients.values()}


def report_on(program, folder):
    """The report on a program: its source, one function, or two functions, one after the other."""
    form = program.rng.integers(3)
    if form == 0:
        return nnc.check_derivation(program.source, namespace={"np": np, **program.inputs})
    words = set(re.findall(r"[A-Za-z_]\w*", program.source))
    inputs = {name: np.copy(v) if np.ndim(v) else v for name, v in program.inputs.items() if name in words}
    made = ["m", *(match[1] for match in (re.match(r"(\w+) = ", line) for line in program.forward[1:]) if match)]
    used = set(re.findall(r"[A-Za-z_]\w*", "\n".join(program.backward)))
    passed = [name for name in (*inputs, *made) if name in used]
    split = [
        f"def forward({', '.join(inputs)}):",
        *program.forward,
        f"return {program.cost}, {program.out}",
        f"def backward({', '.join(passed)}):",
        *program.backward,
        f"return {', '.join(program.gradients.values())}",
    ]
    whole = [f"def step({', '.join(inputs)}):", *program.forward, *program.backward, f"return {program.cost}"]
    lines = [line if line.startswith("def ") else f"    {line}" for line in (whole if form == 1 else split)]
    file = folder / "page.py"
    file.write_text("import numpy as np\n" + "\n".join(lines) + "\n")
    spec = importlib.util.spec_from_file_location("page", file)
    page = importlib.util.module_from_spec(spec)
    linecache.checkcache()
    spec.loader.exec_module(page)
    return nnc.check_derivation(page.step if form == 1 else [page.forward, page.backward], **inputs)


@pytest.mark.parametrize("seed", range(200))
def test_no_line_of_a_correct_program_is_called_wrong(seed, tmp_path):
    program = Program(seed)
    gradients = assert_correct(program)
    report = report_on(program, tmp_path)
    assert report.ok, f"{program.source}\n{report}"
    right = {line.name for line in report.lines if line.ok}
    dead = {name for name, value in gradients.items() if not np.any(value)}  # zeros are not judged
    assert right | dead >= set(gradients), f"{program.source}\n{report}"
