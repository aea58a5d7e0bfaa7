"""Five right derivations in different styles, and faults to plant in each: (the right piece, a wrong one, the reason).

The reasons are regular expressions. The wrong line must be blamed, and no other.
"""

ROWS = """
import numpy as np
rng = np.random.default_rng(3)
m = 7
X = rng.normal(size=(m, 4))
y = rng.integers(0, 3, m)
Y = np.eye(3)[y]
reg = 0.05
W1, b1 = rng.normal(size=(4, 5)), 0.1 * rng.normal(size=5)
W2, b2 = rng.normal(size=(5, 3)), 0.1 * rng.normal(size=3)

Z1 = X.dot(W1) + b1
A1 = np.maximum(0, Z1)
Z2 = A1.dot(W2) + b2
E = np.exp(Z2 - Z2.max(axis=1, keepdims=True))
P = E / E.sum(axis=1, keepdims=True)
J = -np.mean(np.log(P[range(m), y])) + 0.5 * reg * (np.sum(W1 ** 2) + np.sum(W2 ** 2))

dZ2 = P.copy()
dZ2[range(m), y] -= 1
dZ2 /= m
dW2 = A1.T.dot(dZ2) + reg * W2
db2 = np.sum(dZ2, axis=0)
dA1 = dZ2.dot(W2.T)
dZ1 = dA1.copy()
dZ1[Z1 <= 0] = 0
dW1 = X.T.dot(dZ1) + reg * W1
db1 = np.sum(dZ1, axis=0)
W1 -= 0.1 * dW1
b1 -= 0.1 * db1
W2 -= 0.1 * dW2
b2 -= 0.1 * db2
"""
ROWS_FAULTS = [
    ("dZ2[range(m), y] -= 1", "dZ2[range(m), y - 1] -= 1", "one off"),
    ("dZ1[Z1 <= 0] = 0", "dZ1[dA1 <= 0] = 0", "derivative taken of dA1"),
    ("dZ1[Z1 <= 0] = 0", "dZ1[Z1 > 0] = 0", "mask is the wrong way round"),
    ("dW2 = A1.T.dot(dZ2) + reg * W2", "dW2 = A1.T.dot(dZ2)", "regularisation"),
    ("dW1 = X.T.dot(dZ1) + reg * W1", "dW1 = X.T.dot(dZ1) + 2 * reg * W1", "factor|regularisation"),
    ("db1 = np.sum(dZ1, axis=0)", "db1 = np.mean(dZ1, axis=0)", "mean|1/m"),
    ("db2 = np.sum(dZ2, axis=0)", "db2 = np.sum(dZ2, axis=1)", "axis"),
    ("dA1 = dZ2.dot(W2.T)", "dA1 = dZ2.dot(W2.T) / m", "extra 1/m"),
    ("W1 -= 0.1 * dW1", "W1 += 0.1 * dW1", "uphill"),
    ("dW2 = A1.T.dot(dZ2) + reg * W2", "dW2 = Z1.T.dot(dZ2) + reg * W2", "pre-activation Z1 where"),
]

COLUMNS = """
import numpy as np

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def forward_propagation(X, parameters):
    W1, b1 = parameters["W1"], parameters["b1"]
    W2, b2 = parameters["W2"], parameters["b2"]
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = sigmoid(Z2)
    cache = {"Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2}
    return A2, cache

def compute_cost(A2, Y):
    m = Y.shape[1]
    logprobs = np.multiply(np.log(A2), Y) + np.multiply(np.log(1 - A2), 1 - Y)
    cost = -np.sum(logprobs) / m
    cost = float(np.squeeze(cost))
    assert isinstance(cost, float)
    return cost

def backward_propagation(parameters, cache, X, Y):
    m = X.shape[1]
    W1 = parameters["W1"]
    W2 = parameters["W2"]
    A1 = cache["A1"]
    A2 = cache["A2"]
    dZ2 = A2 - Y
    dW2 = 1 / m * np.dot(dZ2, A1.T)
    db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = np.multiply(np.dot(W2.T, dZ2), 1 - np.power(A1, 2))
    dW1 = 1 / m * np.dot(dZ1, X.T)
    db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True)
    grads = {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}
    return grads

def update_parameters(parameters, grads, learning_rate=1.2):
    W1 = parameters["W1"] - learning_rate * grads["dW1"]
    b1 = parameters["b1"] - learning_rate * grads["db1"]
    W2 = parameters["W2"] - learning_rate * grads["dW2"]
    b2 = parameters["b2"] - learning_rate * grads["db2"]
    return {"W1": W1, "b1": b1, "W2": W2, "b2": b2}

rng = np.random.default_rng(4)
X = rng.normal(size=(2, 9))
Y = rng.integers(0, 2, (1, 9)).astype(float)
parameters = {"W1": rng.normal(size=(4, 2)), "b1": np.zeros((4, 1)),
              "W2": rng.normal(size=(1, 4)), "b2": np.zeros((1, 1))}
for i in range(50):
    A2, cache = forward_propagation(X, parameters)
    cost = compute_cost(A2, Y)
    grads = backward_propagation(parameters, cache, X, Y)
    parameters = update_parameters(parameters, grads)
    if i % 10 == 0:
        print(i, cost)
"""
COLUMNS_FAULTS = [
    ("dZ2 = A2 - Y", "dZ2 = Y - A2", "sign"),
    ("dZ2 = A2 - Y", "dZ2 = (A2 - Y) * A2 * (1 - A2)", "cost that is not the one|too many"),
    ("dW2 = 1 / m * np.dot(dZ2, A1.T)", "dW2 = np.dot(dZ2, A1.T)", "missing 1/m"),
    ("db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)", "db2 = np.sum(dZ2, axis=1, keepdims=True)", "missing 1/m"),
    ("1 - np.power(A1, 2))", "1 - A1)", "square"),
    ("1 - np.power(A1, 2))", "1 - np.power(cache['Z1'], 2))", "pre-activation|Z1"),
    ("dW1 = 1 / m * np.dot(dZ1, X.T)", "dW1 = 1 / m * np.dot(dZ2, X.T)", "dZ2|shape"),
    ("db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True)", "db1 = 1 / m * dZ1", "not summed"),
    (
        'W1 = parameters["W1"] - learning_rate * grads["dW1"]',
        'W1 = parameters["W1"] + learning_rate * grads["dW1"]',
        "uphill",
    ),
    (
        "dZ1 = np.multiply(np.dot(W2.T, dZ2), 1 - np.power(A1, 2))",
        "dZ1 = np.dot(W2.T, dZ2)",
        "activation derivative missing",
    ),
]

CLASS = """
import numpy as np

class NeuralNetwork:
    def __init__(self, x, y):
        rng = np.random.default_rng(5)
        self.input = x
        self.weights1 = rng.random((self.input.shape[1], 4))
        self.weights2 = rng.random((4, 1))
        self.y = y
        self.output = np.zeros(self.y.shape)

    def sigmoid(self, x):
        return 1.0 / (1 + np.exp(-x))

    def sigmoid_derivative(self, a):
        return a * (1.0 - a)

    def feedforward(self):
        self.layer1 = self.sigmoid(np.dot(self.input, self.weights1))
        self.output = self.sigmoid(np.dot(self.layer1, self.weights2))
        self.loss = np.sum((self.y - self.output) ** 2)

    def backprop(self):
        delta2 = 2 * (self.y - self.output) * self.sigmoid_derivative(self.output)
        d_weights2 = np.dot(self.layer1.T, delta2)
        delta1 = np.dot(delta2, self.weights2.T) * self.sigmoid_derivative(self.layer1)
        d_weights1 = np.dot(self.input.T, delta1)
        self.weights1 += d_weights1
        self.weights2 += d_weights2

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])
nn = NeuralNetwork(X, y)
for i in range(1500):
    nn.feedforward()
    nn.backprop()
"""
CLASS_FAULTS = [
    (
        "delta2 = 2 * (self.y - self.output) * self.sigmoid_derivative(self.output)",
        "delta2 = 2 * (self.y - self.output)",
        "activation derivative missing",
    ),
    (
        "* self.sigmoid_derivative(self.layer1)",
        "* self.sigmoid_derivative(self.sigmoid(self.layer1))",
        "derivative taken of the activation",
    ),
    (
        "self.sigmoid_derivative(self.output)",
        "self.sigmoid_derivative(self.sigmoid(self.output))",
        "derivative taken of the activation",
    ),
    ("* self.sigmoid_derivative(self.layer1)", "", "activation derivative missing"),
    ("delta1 = np.dot(delta2, self.weights2.T)", "delta1 = np.dot(delta2, -self.weights2.T)", "sign"),
    ("self.weights1 += d_weights1", "self.weights1 -= d_weights1", "uphill|sign"),
    (
        "d_weights2 = np.dot(self.layer1.T, delta2)",
        "d_weights2 = np.dot(self.layer1.T, delta2).sum(axis=0)",
        "shape|axis|many",
    ),
    (
        "delta1 = np.dot(delta2, self.weights2.T) * ",
        "delta1 = np.dot(delta2, self.weights1[:1, :]) * ",
        "weights|wrong",
    ),
    ("d_weights1 = np.dot(self.input.T, delta1)", "d_weights1 = np.dot(self.layer1.T, delta1)", "layer1|shape|wrong"),
    ("d_weights2 = np.dot(self.layer1.T, delta2)", "d_weights2 = np.dot(self.layer1.T, self.output)", "delta2"),
]

LAYERS = """
import numpy as np

def relu(z):
    return np.maximum(z, 0)

def relu_prime(z):
    return (z > 0).astype(float)

rng = np.random.default_rng(6)
sizes = [4, 6, 5, 3]
n = 8
x = rng.normal(size=(4, n))
t = rng.normal(size=(3, n))
weights = [rng.normal(size=(b, a)) for a, b in zip(sizes[:-1], sizes[1:])]
biases = [0.1 * rng.normal(size=(b, 1)) for b in sizes[1:]]

zs, activations = [], [x]
for l in range(3):
    z = weights[l] @ activations[l] + biases[l]
    zs.append(z)
    a = relu(z) if l < 2 else z
    activations.append(a)
cost = np.sum((activations[-1] - t) ** 2) / (2 * n)

nabla_w = [None] * 3
nabla_b = [None] * 3
delta = (activations[-1] - t) / n
for l in reversed(range(3)):
    if l < 2:
        delta = (weights[l + 1].T @ delta) * relu_prime(zs[l])
    nabla_w[l] = delta @ activations[l].T
    nabla_b[l] = delta.sum(axis=1, keepdims=True)
for l in range(3):
    weights[l] = weights[l] - 0.01 * nabla_w[l]
    biases[l] = biases[l] - 0.01 * nabla_b[l]
"""
LAYERS_FAULTS = [
    ("delta = (activations[-1] - t) / n", "delta = activations[-1] - t", "missing 1/m"),
    ("delta = (activations[-1] - t) / n", "delta = (t - activations[-1]) / n", "sign"),
    (" * relu_prime(zs[l])", "", "activation derivative missing"),
    ("relu_prime(zs[l])", "relu_prime(zs[l - 1])", "one off"),
    ("relu_prime(zs[l])", "relu_prime(delta)", r"derivative taken of delta instead of the pre-activation zs\[l\]"),
    ("weights[l + 1].T @ delta", "weights[l].T @ delta", r"weights\[l \+ 1\] is meant"),
    ("delta @ activations[l].T", "delta @ activations[l + 1].T", "one off"),
    ("delta @ activations[l].T", "delta @ zs[l - 1].T", r"activation activations\[l\] is meant"),
    ("nabla_b[l] = delta.sum(axis=1, keepdims=True)", "nabla_b[l] = delta", "not summed"),
    ("- 0.01 * nabla_b[l]", "- 0.01 * nabla_b[l - 1]", "another parameter's gradient"),
]

EXAMPLES = """
import numpy as np
rng = np.random.default_rng(7)
m = 6
X = rng.normal(size=(m, 3))
y = rng.integers(0, 2, m).astype(float)
w1 = rng.normal(size=(4, 3))
c1 = np.zeros(4)
w2 = rng.normal(size=4)
c2 = 0.0
lam = 0.1

loss = 0.0
dw1, dc1 = np.zeros_like(w1), np.zeros_like(c1)
dw2, dc2 = np.zeros_like(w2), 0.0
for i in range(m):
    x = X[i]
    h = np.tanh(w1 @ x + c1)
    s = w2 @ h + c2
    p = 1 / (1 + np.exp(-s))
    loss += -(y[i] * np.log(p) + (1 - y[i]) * np.log(1 - p))
    ds = p - y[i]
    dw2 += ds * h
    dc2 += ds
    dh = ds * w2
    du = dh * (1 - h ** 2)
    dw1 += np.outer(du, x)
    dc1 += du
loss /= m
loss += lam / 2 * np.sum(w2 ** 2)
dw1 /= m
dc1 /= m
dw2 /= m
dw2 += lam * w2
dc2 /= m
"""
EXAMPLES_FAULTS = [
    ("du = dh * (1 - h ** 2)", "du = dh * (1 - h)", "square"),
    ("du = dh * (1 - h ** 2)", "du = dh", "activation derivative missing"),
    ("dw1 += np.outer(du, x)", "dw1 += np.outer(dh, x)", "activation derivative missing"),
    ("dw1 += np.outer(du, x)", "dw1 += np.outer(du, X[0])", "index 0 where i is meant"),
    ("dw2 += lam * w2", "dw2 += 2 * lam * w2", "factor|regularisation"),
    ("dh = ds * w2", "dh = ds * h", "h where w2 is meant"),
    ("dc2 += ds", "dc2 = ds", "overwritten"),
    ("dw2 += ds * h", "dw2 = ds * h", "overwritten"),
    ("dw2 += ds * h", "dw2 += p * h", "p where ds is meant"),
    ("ds = p - y[i]", "ds = p - y[i - 1]", "one off"),
]

PAGES = {"rows": (ROWS, ROWS_FAULTS), "columns": (COLUMNS, COLUMNS_FAULTS), "class": (CLASS, CLASS_FAULTS),
         "layers": (LAYERS, LAYERS_FAULTS), "examples": (EXAMPLES, EXAMPLES_FAULTS)}  # fmt: skip
