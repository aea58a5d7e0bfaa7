"""Right derivations made of layer functions, layer objects and single operations; faults as in `posted_pages`."""

LAYERS = {
    "functions_with_caches": (
        """
import numpy as np
def dense(x, w, b):
    return x.reshape(len(x), -1) @ w + b, (x, w)
def dense_back(dout, cache):
    x, w = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(len(x), -1).T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db
def rectify(x):
    return np.maximum(x, 0), x
def rectify_back(dout, x):
    dx = np.where(x > 0, dout, 0)
    return dx
def cross_entropy(x, y):
    r = len(y)
    logs = x - x.max(axis=1, keepdims=True)
    logs = logs - np.log(np.sum(np.exp(logs), axis=1, keepdims=True))
    loss = -np.sum(logs[np.arange(r), y]) / r
    dx = np.exp(logs)
    dx[np.arange(r), y] -= 1
    dx /= r
    return loss, dx
class TwoLayers:
    def __init__(self, rng, decay):
        self.decay = decay
        self.params = {"W1": rng.normal(size=(6, 4)), "b1": rng.normal(size=4) * 0.1}
        self.params["W2"], self.params["b2"] = rng.normal(size=(4, 3)), rng.normal(size=3) * 0.1
    def loss(self, X, y):
        grads = {}
        z, first = dense(X, self.params["W1"], self.params["b1"])
        h, before = rectify(z)
        scores, second = dense(h, self.params["W2"], self.params["b2"])
        loss, dscores = cross_entropy(scores, y)
        for name in ("W1", "W2"):
            loss += 0.5 * self.decay * np.sum(self.params[name] ** 2)
        dh, grads["W2"], grads["b2"] = dense_back(dscores, second)
        dz = rectify_back(dh, before)
        dX, grads["W1"], grads["b1"] = dense_back(dz, first)
        grads["W1"] += self.decay * self.params["W1"]
        grads["W2"] += self.decay * self.params["W2"]
        return loss, grads
rng = np.random.default_rng(1)
model = TwoLayers(rng, 0.2)
loss, grads = model.loss(rng.normal(size=(5, 2, 3)), np.array([0, 2, 1, 0, 2]))
for name in model.params:
    model.params[name] -= 0.1 * grads[name]
""",
        [
            ("dx /= r", "dx /= 1", "missing 1/m", "dx /= "),
            ("dx = np.where(x > 0, dout, 0)", "dx = np.where(dout > 0, dout, 0)",
             "derivative taken of dout instead of the pre-activation x",
             "dx = np.where(x > 0, dout, 0)"),
            ("db = dout.sum(axis=0)", "db = dout.mean(axis=0)", "extra 1/m", "db = "),
            ('grads["W1"] += self.decay *', 'grads["W1"] += 2 * self.decay *', "regularisation with another factor",
             "grads['W1'] += "),
            ("model.params[name] -=", "model.params[name] +=", "a step uphill", "model.params[name] -= "),
        ],
    ),
    "objects_in_a_dictionary": (
        """
import numpy as np
class Dense:
    def __init__(self, W, b):
        self.W = W
        self.b = b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        dx = dout @ self.W.T
        return dx
class Rectifier:
    def forward(self, x):
        self.off = x <= 0
        out = x.copy()
        out[self.off] = 0
        return out
    def backward(self, dout):
        dout[self.off] = 0
        dx = dout
        return dx
class Output:
    def forward(self, x, t):
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        self.y = e / np.sum(e, axis=1, keepdims=True)
        self.t = t
        loss = -np.sum(t * np.log(self.y)) / len(t)
        return loss
    def backward(self):
        dx = (self.y - self.t) / len(self.t)
        return dx
rng = np.random.default_rng(3)
params = {}
for i, (p, q) in enumerate([(4, 5), (5, 4), (4, 3)], 1):
    params[f"W{i}"] = rng.normal(size=(p, q))
    params[f"b{i}"] = rng.normal(size=q) * 0.1
layers = {"dense1": Dense(params["W1"], params["b1"]), "relu1": Rectifier()}
layers["dense2"], layers["relu2"] = Dense(params["W2"], params["b2"]), Rectifier()
layers["dense3"] = Dense(params["W3"], params["b3"])
last = Output()
x, t = rng.normal(size=(6, 4)), np.eye(3)[[0, 1, 2, 2, 1, 0]]
for layer in layers.values():
    x = layer.forward(x)
loss = last.forward(x, t)
dout = last.backward()
for layer in reversed(list(layers.values())):
    dout = layer.backward(dout)
grads = {}
for i in (1, 2, 3):
    grads[f"W{i}"], grads[f"b{i}"] = layers[f"dense{i}"].dW, layers[f"dense{i}"].db
for name in params:
    params[name] -= 0.1 * grads[name]
""",
        [
            ("dx = (self.y - self.t) / len(self.t)", "dx = self.y - self.t", "missing 1/m",
             "dx = (self.y - self.t) / "),
            ("dout[self.off] = 0", "dout[~self.off] = 0", "the mask is the wrong way round", "dout[self.off] = 0"),
            ("self.dW = self.x.T @ dout", "self.dW = dout.T @ self.x", "transposed", "self.dW = self.x.T @ dout"),
        ],
    ),
    "one_operation_a_line": (
        """
import numpy as np
rng = np.random.default_rng(42)
n = 7
X, y = rng.normal(size=(n, 4)), rng.integers(0, 5, n)
W, b, V = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(3, 5))
gain = 1 + 0.1 * rng.normal(size=(1, 3))
z = X @ W + b
mean = z.sum(0, keepdims=True) / n
diff = z - mean
var = (diff ** 2).sum(0, keepdims=True) / (n - 1)
inv = (var + 1e-5) ** -0.5
raw = diff * inv
h = np.tanh(gain * raw)
logits = h @ V
counts = np.exp(logits)
total = counts.sum(1, keepdims=True)
probs = counts / total
logprobs = np.log(probs)
loss = -logprobs[range(n), y].mean()
dlogprobs = np.zeros_like(logprobs)
dlogprobs[range(n), y] = -1.0 / n
dprobs = dlogprobs / probs
dtotal = (-dprobs * counts / total ** 2).sum(1, keepdims=True)
dcounts = dprobs / total + dtotal
dlogits = dcounts * counts
dV = h.T @ dlogits
dh = dlogits @ V.T
du = dh * (1 - h ** 2)
dgain = (du * raw).sum(0, keepdims=True)
draw = du * gain
dinv = (draw * diff).sum(0, keepdims=True)
dvar = dinv * -0.5 * (var + 1e-5) ** -1.5
ddiff = draw * inv + 2 * diff * dvar / (n - 1)
dz = ddiff - ddiff.sum(0, keepdims=True) / n
dW = X.T @ dz
db = dz.sum(0)
""",
        [
            ("dlogprobs[range(n), y] = -1.0 / n", "dlogprobs[range(n), y] = -1.0", "missing 1/m",
             "dlogprobs[range(n), y] = -1.0 / n"),
            ("dprobs = dlogprobs / probs", "dprobs = probs * dlogprobs", "wrong",
             "dprobs = dlogprobs / probs"),
            ("dcounts = dprobs / total + dtotal", "dcounts = dprobs / total", "a term is missing", "dcounts = "),
        ],
    ),
    "masked_attention": (
        """
import numpy as np
rng = np.random.default_rng(15)
T, C = 4, 3
x, R = rng.normal(size=(T, C)), rng.normal(size=(T, C))
Wq, Wk, Wv = rng.normal(size=(C, C)), rng.normal(size=(C, C)), rng.normal(size=(C, C))
q, k, v = x @ Wq, x @ Wk, x @ Wv
s = q @ k.T / np.sqrt(C)
s = np.where(np.tril(np.ones((T, T))) == 0, -1e9, s)
e = np.exp(s - s.max(axis=1, keepdims=True))
att = e / e.sum(axis=1, keepdims=True)
out = att @ v
loss = np.sum(out * R)
dout = R
datt = dout @ v.T
dv = att.T @ dout
ds = att * (datt - np.sum(datt * att, axis=1, keepdims=True))
dq = ds @ k / np.sqrt(C)
dk = ds.T @ q / np.sqrt(C)
dWq = x.T @ dq
dWk = x.T @ dk
dWv = x.T @ dv
dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
""",
        [
            ("dv = att.T @ dout", "dv = att @ dout", "transposed", "dv = att.T @ dout"),
            ("ds = att * (datt - np.sum(datt * att, axis=1, keepdims=True))", "ds = att * (1 - att) * datt",
             "only the diagonal of the softmax's Jacobian",
             "ds = att * (datt - np.sum(datt * att, axis=1, keepdims=True))"),
            ("dq @ Wq.T + dk @ Wk.T + dv @ Wv.T", "dq @ Wq.T + dk @ Wk.T", "a term is missing", "dx = "),
        ],
    ),
    "without_the_bias_column": (
        """
import numpy as np
rng = np.random.default_rng(7)
m, lam = 6, 0.8
X, y = rng.normal(size=(m, 3)), np.array([0, 1, 2, 2, 0, 1])
Theta1, Theta2 = rng.normal(size=(4, 4)), rng.normal(size=(3, 5))
def logistic(z):
    return 1 / (1 + np.exp(-z))
def logistic_gradient(z):
    g = logistic(z) * (1 - logistic(z))
    return g
a1 = np.c_[np.ones(m), X]
z2 = a1 @ Theta1.T
a2 = np.c_[np.ones(m), logistic(z2)]
a3 = logistic(a2 @ Theta2.T)
Y = np.eye(3)[y]
J = -np.sum(Y * np.log(a3) + (1 - Y) * np.log(1 - a3)) / m
J += lam / (2 * m) * (np.sum(Theta1[:, 1:] ** 2) + np.sum(Theta2[:, 1:] ** 2))
delta3 = a3 - Y
delta2 = (delta3 @ Theta2)[:, 1:] * logistic_gradient(z2)
Theta1_grad = delta2.T @ a1 / m
Theta1_grad[:, 1:] += lam / m * Theta1[:, 1:]
Theta2_grad = delta3.T @ a2 / m
Theta2_grad[:, 1:] += lam / m * Theta2[:, 1:]
""",
        [
            ("[:, 1:] * logistic_gradient(z2)", "[:, 1:]", "activation derivative missing", "delta2 = "),
            ("logistic_gradient(z2)", "logistic_gradient(a2[:, 1:])",
             "derivative taken of the activation instead of the pre-activation",
             "delta2 = (delta3 @ Theta2)[:, 1:] * logistic_gradient(z2)"),
            ("delta2.T @ a1 / m", "delta2.T @ a1", "missing 1/m", "Theta1_grad = delta2.T @ a1 / m"),
        ],
    ),
    "graph_convolution": (
        """
import numpy as np
rng = np.random.default_rng(13)
A = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0.0]]) + np.eye(4)
A[0, 2] = 0.5
S = A / A.sum(axis=1, keepdims=True)
X, Y = rng.normal(size=(4, 3)), np.eye(2)[[0, 1, 1, 0]]
W0, W1 = rng.normal(size=(3, 5)), rng.normal(size=(5, 2))
Z = S @ X @ W0
H = np.maximum(Z, 0)
F = S @ H @ W1
E = np.exp(F - F.max(axis=1, keepdims=True))
P = E / E.sum(axis=1, keepdims=True)
loss = -np.sum(Y * np.log(P)) / 4
dF = (P - Y) / 4
dW1 = (S @ H).T @ dF
dH = S.T @ dF @ W1.T
dZ = dH * (Z > 0)
dW0 = (S @ X).T @ dZ
""",
        [
            ("dH = S.T @ dF @ W1.T", "dH = dF @ W1.T", "wrong", "dH = S.T @ (dF @ W1.T)"),
        ],
    ),
    "arrays_that_hold_their_gradients": (
        """
import numpy as np
class Value:
    def __init__(self, data, made_of=()):
        self.data = np.array(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self.made_of, self.send_back = made_of, None
    def times(self, other):
        out = Value(self.data @ other.data, (self, other))
        def send_back():
            self.grad += out.grad @ other.data.T
            other.grad += self.data.T @ out.grad
        out.send_back = send_back
        return out
    def plus(self, other):
        out = Value(self.data + other.data, (self, other))
        def send_back():
            self.grad += out.grad
            other.grad += out.grad.sum(axis=0)
        out.send_back = send_back
        return out
    def tanh(self):
        out = Value(np.tanh(self.data), (self,))
        def send_back():
            self.grad += (1 - out.data ** 2) * out.grad
        out.send_back = send_back
        return out
    def squared_error(self, wanted):
        difference = self.data - wanted
        out = Value(np.mean(difference ** 2), (self,))
        def send_back():
            self.grad += 2 * difference / difference.size * out.grad
        out.send_back = send_back
        return out
    def backward(self):
        self.grad = np.ones_like(self.data)
        todo = [self]
        while todo:
            value = todo.pop(0)
            if value.send_back:
                value.send_back()
            todo.extend(value.made_of)
rng = np.random.default_rng(16)
W1, b1 = Value(rng.normal(size=(3, 4))), Value(rng.normal(size=4))
W2, b2 = Value(rng.normal(size=(4, 2))), Value(rng.normal(size=2))
out = Value(rng.normal(size=(6, 3))).times(W1).plus(b1).tanh().times(W2).plus(b2)
loss = out.squared_error(rng.normal(size=(6, 2)))
loss.backward()
for parameter in (W1, b1, W2, b2):
    parameter.data -= 0.1 * parameter.grad
""",
        [
            ("(1 - out.data ** 2) * out.grad", "(1 - out.data) * out.grad", "a square is missing",
             "self.grad += (1 - out.data ** 2) * out.grad"),
            ("out.grad.sum(axis=0)", "out.grad.mean(axis=0)", "extra 1/m", "other.grad += np.sum(out.grad, axis=0)"),
            ("parameter.data -=", "parameter.data +=", "a step uphill", "parameter.data -= 0.1 * parameter.grad"),
        ],
    ),
    "a_penalty_in_each_gradient": (
        """
import numpy as np
rng = np.random.default_rng(21)
m, wd = 6, 0.1
X, y = rng.normal(size=(m, 3)), rng.integers(0, 4, m)
V, W = rng.normal(size=(3, 5)), rng.normal(size=(5, 4))
pre = X @ V
hidden = np.log1p(np.exp(pre))
score = hidden @ W
c = score.max(axis=1, keepdims=True)
logp = score - c - np.log(np.exp(score - c).sum(axis=1, keepdims=True))
loss = -logp[np.arange(m), y].mean() + 0.5 * wd * np.sum(V ** 2) + 0.5 * wd * np.sum(W ** 2)
prob = np.exp(logp)
g_score = (prob - np.eye(4)[y]) / m
g_W = hidden.T @ g_score + wd * W
g_hidden = g_score @ W.T
g_pre = g_hidden / (1 + np.exp(-pre))
g_V = X.T @ g_pre + wd * V
""",
        [
            ("(prob - np.eye(4)[y]) / m", "prob - np.eye(4)[y]", "missing 1/m", "g_score = (prob - np.eye(4)[y]) / m"),
        ],
    ),
    "calls_of_each_layer": (
        """
import numpy as np
class Linear:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, grad_output):
        self.grad_W = self.x.T @ grad_output
        self.grad_b = grad_output.sum(axis=0)
        return grad_output @ self.W.T
class Rectifier:
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)
    def backward(self, grad_output):
        return grad_output * (self.x > 0)
rng = np.random.default_rng(0)
X, T = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
first, second = Linear(rng.normal(size=(3, 4)), rng.normal(size=4)), Linear(rng.normal(size=(4, 2)), np.ones(2))
act = Rectifier()
h = first.forward(X)
a = act.forward(h)
out = second.forward(a)
loss = np.mean((out - T) ** 2)
grad = 2 * (out - T) / out.size
grad = second.backward(grad)
grad = act.backward(grad)
grad = first.backward(grad)
""",
        [
            ("grad = act.backward(grad)\n", "", "activation derivative missing",
             "grad = second.backward(grad) * (h > 0)"),
        ],
    ),
}  # fmt: skip
