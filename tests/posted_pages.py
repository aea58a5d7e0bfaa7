"""Right derivations in the styles in which people write them, and faults that people ask about.

The faults of a page: (a right piece, the wrong one, the reason that is reported, how the right line begins).
"""

POSTED = {
    "batches_of_examples": (
        """
import numpy as np
import random
class Layers(object):
    def __init__(self, sizes):
        rng = np.random.default_rng(3)
        self.depth = len(sizes)
        self.b = [rng.standard_normal((y, 1)) for y in sizes[1:]]
        self.w = [rng.standard_normal((y, x)) for x, y in zip(sizes[:-1], sizes[1:])]
    def learn(self, examples, rate):
        grad_b = [np.zeros(b.shape) for b in self.b]
        grad_w = [np.zeros(w.shape) for w in self.w]
        cost = 0.0
        for x, y in examples:
            grad_b_of_one, grad_w_of_one, c = self.gradients_of(x, y)
            cost += c / len(examples)
            grad_b = [sum_b + gb for sum_b, gb in zip(grad_b, grad_b_of_one)]
            grad_w = [sum_w + gw for sum_w, gw in zip(grad_w, grad_w_of_one)]
        self.w = [w - (rate / len(examples)) * sum_w for w, sum_w in zip(self.w, grad_w)]
        self.b = [b - (rate / len(examples)) * sum_b for b, sum_b in zip(self.b, grad_b)]
        return cost
    def gradients_of(self, x, y):
        grad_b = [np.zeros(b.shape) for b in self.b]
        grad_w = [np.zeros(w.shape) for w in self.w]
        out = x
        outs = [x]
        sums = []
        for b, w in zip(self.b, self.w):
            z = np.dot(w, out) + b
            sums.append(z)
            out = logistic(z)
            outs.append(out)
        c = 0.5 * np.linalg.norm(outs[-1] - y) ** 2
        delta = self.error_of(outs[-1], y) * logistic_prime(sums[-1])
        grad_b[-1] = delta
        grad_w[-1] = np.dot(delta, outs[-2].transpose())
        for l in range(2, self.depth):
            z = sums[-l]
            sp = logistic_prime(z)
            delta = np.dot(self.w[-l + 1].transpose(), delta) * sp
            grad_b[-l] = delta
            grad_w[-l] = np.dot(delta, outs[-l - 1].transpose())
        return (grad_b, grad_w, c)
    def error_of(self, prediction, y):
        return prediction - y
def logistic(z):
    return 1.0 / (1.0 + np.exp(-z))
def logistic_prime(z):
    return logistic(z) * (1 - logistic(z))
rng = np.random.default_rng(5)
model = Layers([3, 4, 2])
batch = [(rng.random((3, 1)), np.eye(2)[:, [i % 2]]) for i in range(4)]
cost = model.learn(batch, 3.0)
""",
        [
            ("w - (rate / len(examples)) * sum_w", "w + (rate / len(examples)) * sum_w",
             "a step uphill", "self.w = [w - rate / len(examples) * sum_w for "),  # Python 3.10: for (w, sum_w) in
            ("outs[-l - 1].transpose()", "outs[-l].transpose()",
             "outs[-l] where outs[-l - 1] is meant", "grad_w[-l] = np.dot(delta, outs[-l - 1].transpose())"),
        ],
    ),
    "eleven_lines": (
        """
import numpy as np
def squash(x, slope=False):
    if slope == True:
        return x * (1 - x)
    return 1 / (1 + np.exp(-x))
X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])
np.random.seed(1)
V = 2 * np.random.random((3, 4)) - 1
W = 2 * np.random.random((4, 1)) - 1
for turn in range(5):
    x0 = X
    h = squash(np.dot(x0, V))
    out = squash(np.dot(h, W))
    out_error = y - out
    loss = np.mean(np.square(out_error))
    out_delta = out_error * squash(out, slope=True)
    h_error = out_delta.dot(W.T)
    h_delta = h_error * squash(h, slope=True)
    W += h.T.dot(out_delta)
    V += x0.T.dot(h_delta)
""",
        [
            ("h_delta = h_error * squash(h, slope=True)", "h_delta = h_error",
             "activation derivative missing", "h_delta = h_error * (h * (1 - h))"),
            ("return x * (1 - x)", "return squash(x) * (1 - squash(x))",
             "derivative taken of the activation instead of the pre-activation", "return x * (1 - x)"),
        ],
    ),
    "xor": (
        """
import numpy as np
points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
wanted = np.array([[0], [1], [1], [0]])
def squash(x):
    return 1 / (1 + np.exp(-x))
def slope(x):
    return x * (1 - x)
rng = np.random.default_rng(4)
U = rng.uniform(-1, 1, size=(2, 3))
c = rng.uniform(-1, 1, size=(1, 3))
V = rng.uniform(-1, 1, size=(3, 1))
d = rng.uniform(-1, 1, size=(1, 1))
rate = 0.1
for _ in range(20):
    z_hidden = np.dot(points, U)
    z_hidden += c
    hidden = squash(z_hidden)
    z_out = np.dot(hidden, V)
    z_out += d
    out = squash(z_out)
    error = wanted - out
    mse = np.mean(error ** 2)
    d_out = error * slope(out)
    hidden_error = d_out.dot(V.T)
    d_hidden = hidden_error * slope(hidden)
    V += hidden.T.dot(d_out) * rate
    d += np.sum(d_out, axis=0, keepdims=True) * rate
    U += points.T.dot(d_hidden) * rate
    c += np.sum(d_hidden, axis=0, keepdims=True) * rate
""",
        [
            ("d_out = error * slope(out)", "d_out = error",
             "activation derivative missing", "d_out = error * (out * (1 - out))"),
        ],
    ),
    "hinge_in_loops": (
        """
import numpy as np
rng = np.random.default_rng(0)
n, D, C = 6, 4, 3
X = rng.normal(size=(n, D))
y = rng.integers(0, C, n)
W = rng.normal(size=(D, C)) * 0.5
lam = 0.1
dW = np.zeros(W.shape)
loss = 0.0
for i in range(n):
    s = X[i].dot(W)
    own = s[y[i]]
    for j in range(C):
        if j == y[i]:
            continue
        gap = s[j] - own + 1
        if gap > 0:
            loss += gap
            dW[:, j] += X[i]
            dW[:, y[i]] -= X[i]
loss /= n
loss += lam * np.sum(W * W)
dW /= n
dW += 2 * lam * W
""",
        [
            ('dW /= n\n', "\n",
             "missing 1/m", "dW = dW / n + 2 * lam * W"),
            ("dW[:, y[i]] -= X[i]", "dW[:, y[i]] += X[i]",
             "sign", "dW[:, y[i]] -= X[i]"),
        ],
    ),
    "softmax_in_loops": (
        """
import numpy as np
def cost_and_gradient(W, X, y, lam):
    loss = 0.0
    dW = np.zeros_like(W)
    N = X.shape[0]
    C = W.shape[1]
    for i in range(N):
        s = X[i].dot(W)
        s -= np.max(s)
        p = np.exp(s) / np.sum(np.exp(s))
        loss += -np.log(p[y[i]])
        for k in range(C):
            dW[:, k] += (p[k] - (k == y[i])) * X[i]
    loss /= N
    loss += 0.5 * lam * np.sum(W * W)
    dW /= N
    dW += lam * W
    return loss, dW
rng = np.random.default_rng(1)
W, X, y = rng.normal(size=(4, 3)), rng.normal(size=(6, 4)), rng.integers(0, 3, 6)
loss, slope = cost_and_gradient(W, X, y, 0.2)
""",
        [
            ('dW /= N\n', "\n",
             "missing 1/m", "dW = dW / N + lam * W"),
            ("(p[k] - (k == y[i]))", "(p[k] + (k == y[i]))",
             "sign", "dW[:, k] += (p[k] - (k == y[i])) * X[i]"),
        ],
    ),
    "batch_norm": (
        """
import numpy as np
def normalise(x, gamma, beta, eps=1e-5):
    N, D = x.shape
    mu = 1. / N * np.sum(x, axis=0)
    xc = x - mu
    squares = xc ** 2
    var = 1. / N * np.sum(squares, axis=0)
    std = np.sqrt(var + eps)
    inv = 1. / std
    xhat = xc * inv
    scaled = gamma * xhat
    out = scaled + beta
    cache = (xhat, gamma, xc, inv, std, var, eps)
    return out, cache
def normalise_back(dout, cache):
    xhat, gamma, xc, inv, std, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dscaled = dout
    dgamma = np.sum(dscaled * xhat, axis=0)
    dxhat = dscaled * gamma
    dinv = np.sum(dxhat * xc, axis=0)
    dxc1 = dxhat * inv
    dstd = -1. / (std ** 2) * dinv
    dvar = 0.5 * 1. / np.sqrt(var + eps) * dstd
    dsquares = 1. / N * np.ones((N, D)) * dvar
    dxc2 = 2 * xc * dsquares
    dx1 = dxc1 + dxc2
    dmu = -1 * np.sum(dxc1 + dxc2, axis=0)
    dx2 = 1. / N * np.ones((N, D)) * dmu
    dx = dx1 + dx2
    return dx, dgamma, dbeta
rng = np.random.default_rng(0)
x = rng.normal(size=(6, 3)) * 2 + 1
gamma, beta = rng.normal(size=3), rng.normal(size=3)
target = rng.normal(size=(6, 3))
out, cache = normalise(x, gamma, beta)
loss = 0.5 * np.sum((out - target) ** 2)
dout = out - target
dx, dgamma, dbeta = normalise_back(dout, cache)
""",
        [
            ("dvar = 0.5 * 1. / np.sqrt(var + eps) * dstd", "dvar = 1. / np.sqrt(var + eps) * dstd",
             "scale", "dvar = 0.5 * (1.0 / np.sqrt(var + eps) * dstd)"),
            ("dx = dx1 + dx2", "dx = dx1",
             "a term is missing", "dx = dx1 + dx2"),
        ],
    ),
    "layer_norm": (
        """
import numpy as np
rng = np.random.default_rng(0)
N, D = 5, 6
x = rng.normal(size=(N, D))
g = rng.normal(size=D)
b = rng.normal(size=D)
t = rng.normal(size=(N, D))
mean = x.mean(axis=-1, keepdims=True)
xc = x - mean
var = (xc ** 2).mean(axis=-1, keepdims=True)
rstd = 1.0 / np.sqrt(var + 1e-5)
norm = xc * rstd
out = norm * g + b
loss = ((out - t) ** 2).mean()
dout = 2 * (out - t) / (N * D)
db = dout.sum(axis=0)
dg = (dout * norm).sum(axis=0)
dnorm = dout * g
dx = rstd * (dnorm - dnorm.mean(axis=-1, keepdims=True) - norm * (dnorm * norm).mean(axis=-1, keepdims=True))
""",
        [
            ("dg = (dout * norm).sum(axis=0)", "dg = (dout * xc).sum(axis=0)",
             "xc where norm is meant", "dg = (dout * norm).sum(axis=0)"),
            ("dnorm.mean(axis=-1, keepdims=True) -", "dnorm.mean(axis=0, keepdims=True) -",
             "summed over the wrong axis",
             "dx = rstd * (dnorm - np.mean(dnorm, axis=1, keepdims=True) - norm * (dnorm * nor"),
        ],
    ),
    "layer_objects": (
        """
import numpy as np
class Sigmoid:
    def forward(self, x):
        self.cache = 1 / (1 + np.exp(-x))
        return self.cache
    def backward(self, dy):
        y = self.cache
        return dy * y * (1 - y)
class Dense:
    def __init__(self, nin, nout, rng):
        self.W = rng.normal(size=(nin, nout)) * 0.5
        self.b = np.zeros((1, nout))
        self.cache = None
        self.grads = {}
    def forward(self, x):
        self.cache = x
        return x @ self.W + self.b
    def backward(self, dy):
        x = self.cache
        self.grads["W"] = x.T @ dy
        self.grads["b"] = dy.sum(axis=0, keepdims=True)
        return dy @ self.W.T
rng = np.random.default_rng(0)
enc, dec = Dense(5, 3, rng), Dense(3, 5, rng)
act1, act2 = Sigmoid(), Sigmoid()
x = rng.random((6, 5))
h = act1.forward(enc.forward(x))
xhat = act2.forward(dec.forward(h))
loss = np.mean(np.sum((xhat - x) ** 2, axis=1))
dxhat = 2 * (xhat - x) / x.shape[0]
d = act2.backward(dxhat)
d = dec.backward(d)
d = act1.backward(d)
d = enc.backward(d)
for layer in (enc, dec):
    layer.W -= 0.1 * layer.grads["W"]
    layer.b -= 0.1 * layer.grads["b"]
""",
        [
            ("return dy * y * (1 - y)", "return y * (1 - y)",
             "a factor is missing", "return y * (1 - y) * dy"),
            ("dxhat = 2 * (xhat - x) / x.shape[0]", "dxhat = 2 * (xhat - x) / x.size",
             "scale", "dxhat = 5 * (2 * (xhat - x) / x.size)"),
        ],
    ),
    "recurrent_rows": (
        """
import numpy as np
def forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    saved = []
    prev_h = h0
    for t in range(T):
        a = x[:, t, :].dot(Wx) + prev_h.dot(Wh) + b
        next_h = np.tanh(a)
        saved.append((x[:, t, :], prev_h, next_h))
        h[:, t, :] = next_h
        prev_h = next_h
    return h, saved
def backward(dh, saved, Wx, Wh):
    N, T, H = dh.shape
    D = Wx.shape[0]
    dWx, dWh, db = np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    dx = np.zeros((N, T, D))
    dlater = np.zeros((N, H))
    for t in reversed(range(T)):
        xt, prev_h, next_h = saved[t]
        da = (dh[:, t, :] + dlater) * (1 - next_h ** 2)
        dx[:, t, :] = da.dot(Wx.T)
        dlater = da.dot(Wh.T)
        dWx += xt.T.dot(da)
        dWh += prev_h.T.dot(da)
        db += da.sum(axis=0)
    dh0 = dlater
    return dx, dh0, dWx, dWh, db
rng = np.random.default_rng(0)
N, T, D, H = 2, 3, 3, 4
x, h0 = rng.normal(size=(N, T, D)), rng.normal(size=(N, H))
Wx, Wh, b = rng.normal(size=(D, H)), rng.normal(size=(H, H)), rng.normal(size=H)
target = rng.normal(size=(N, T, H))
h, saved = forward(x, h0, Wx, Wh, b)
loss = 0.5 * np.sum((h - target) ** 2)
dh = h - target
dx, dh0, dWx, dWh, db = backward(dh, saved, Wx, Wh)
""",
        [
            ("(dh[:, t, :] + dlater)", "(dh[:, t, :])",
             "a term is missing", "da = (dh[:, t, :] + dlater) * (1 - next_h ** 2)"),
            ("dWx += xt.T.dot(da)", "dWx = xt.T.dot(da)",
             "overwritten where it is meant to add up", "dWx += xt.T.dot(da)"),
        ],
    ),
    "characters": (
        """
import numpy as np
rng = np.random.default_rng(0)
letters, units = 5, 4
Wx = rng.normal(size=(units, letters)) * 0.3
Wh = rng.normal(size=(units, units)) * 0.3
Wy = rng.normal(size=(letters, units)) * 0.3
bh = np.zeros((units, 1))
by = np.zeros((letters, 1))
def cost_of(given, following, h_start):
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = np.copy(h_start)
    loss = 0
    for t in range(len(given)):
        xs[t] = np.zeros((letters, 1))
        xs[t][given[t]] = 1
        hs[t] = np.tanh(np.dot(Wx, xs[t]) + np.dot(Wh, hs[t-1]) + bh)
        ys[t] = np.dot(Wy, hs[t]) + by
        ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]))
        loss += -np.log(ps[t][following[t], 0])
    dWx, dWh, dWy = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wy)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dh_later = np.zeros_like(hs[0])
    for t in reversed(range(len(given))):
        dy = np.copy(ps[t])
        dy[following[t]] -= 1
        dWy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Wy.T, dy) + dh_later
        da = (1 - hs[t] * hs[t]) * dh
        dbh += da
        dWx += np.dot(da, xs[t].T)
        dWh += np.dot(da, hs[t-1].T)
        dh_later = np.dot(Wh.T, da)
    return loss, dWx, dWh, dWy, dbh, dby, hs[len(given)-1]
loss, dWx, dWh, dWy, dbh, dby, h_start = cost_of([0, 1, 2, 3], [1, 2, 3, 4], np.zeros((units, 1)))
""",
        [
            ("np.dot(Wy.T, dy) + dh_later", "np.dot(Wy.T, dy)",
             "a term is missing", "dh = np.dot(Wy.T, dy) + dh_later"),
        ],
    ),
    "lstm": (
        """
import numpy as np
def sigmoid(x):
    return 1 / (1 + np.exp(-x))
rng = np.random.default_rng(0)
D, H = 3, 4
x, h_prev, c_prev = rng.normal(size=(D, 1)), rng.normal(size=(H, 1)), rng.normal(size=(H, 1))
Wf, Wi, Wo, Wc = (rng.normal(size=(H, H + D)) for _ in range(4))
bf, bi, bo, bc = (rng.normal(size=(H, 1)) for _ in range(4))
target = rng.normal(size=(H, 1))
concat = np.vstack((h_prev, x))
f = sigmoid(Wf @ concat + bf)
i = sigmoid(Wi @ concat + bi)
o = sigmoid(Wo @ concat + bo)
c_bar = np.tanh(Wc @ concat + bc)
c_next = f * c_prev + i * c_bar
h_next = o * np.tanh(c_next)
loss = 0.5 * np.sum((h_next - target) ** 2)
dh_next = h_next - target
do = dh_next * np.tanh(c_next) * o * (1 - o)
dc_next = dh_next * o * (1 - np.tanh(c_next) ** 2)
df = dc_next * c_prev * f * (1 - f)
di = dc_next * c_bar * i * (1 - i)
dc_bar = dc_next * i * (1 - c_bar ** 2)
dWf = df @ concat.T
dWi = di @ concat.T
dWo = do @ concat.T
dWc = dc_bar @ concat.T
dbf = df
dbi = di
dbo = do
dbc = dc_bar
dconcat = Wf.T @ df + Wi.T @ di + Wo.T @ do + Wc.T @ dc_bar
dh_prev = dconcat[:H]
dc_prev = dc_next * f
""",
        [
            ("dc_next = dh_next * o * (1 - np.tanh(c_next) ** 2)", "dc_next = dh_next * o * (1 - c_next ** 2)",
             "activation derivative wrong", "dc_next = dh_next * o * (1 - np.tanh(c_next) ** 2)"),
            ("di = dc_next * c_bar * i * (1 - i)", "di = dc_next * c_bar * i",
             "activation derivative missing: half of it", "di = dc_next * c_bar * i * (1 - i)"),
        ],
    ),
    "gru": (
        """
import numpy as np
rng = np.random.default_rng(0)
x = rng.normal(size=(3, 1)); hprev = rng.normal(size=(4, 1)); t = rng.normal(size=(4, 1))
Wz, Uz = rng.normal(size=(4, 3)), rng.normal(size=(4, 4))
Wh, Uh = rng.normal(size=(4, 3)), rng.normal(size=(4, 4))
az = Wz @ x + Uz @ hprev
z = 1 / (1 + np.exp(-az))
ah = Wh @ x + Uh @ hprev
hh = np.tanh(ah)
h = z * hprev + (1 - z) * hh
loss = 0.5 * np.sum((h - t) ** 2)
dh = h - t
dz = dh * (hprev - hh)
dhh = dh * (1 - z)
daz = dz * z * (1 - z)
dah = dhh * (1 - hh ** 2)
dWz = daz @ x.T
dUz = daz @ hprev.T
dWh = dah @ x.T
dUh = dah @ hprev.T
dhprev = dh * z + Uz.T @ daz + Uh.T @ dah
""",
        [
            ("dz = dh * (hprev - hh)", "dz = dh * hprev",
             "a term is missing", "dz = dh * (hprev - hh)"),
            ("dhh = dh * (1 - z)", "dhh = dh * z",
             "z where 1 - z is meant", "dhh = dh * (1 - z)"),
            ("dhprev = dh * z + ", "dhprev = ",
             "a term is missing", "dhprev = Uz.T @ daz + Uh.T @ dah + dh * z"),
        ],
    ),
    "adam": (
        """
import numpy as np
rng = np.random.default_rng(0)
X, y = rng.normal(size=(9, 4)), rng.integers(0, 2, 9)
w, b = rng.normal(size=4), 0.3
m_w, v_w = np.zeros(4), np.zeros(4)
lr, beta1, beta2, eps = 0.01, 0.9, 0.999, 1e-8
for t in range(1, 4):
    z = X @ w + b
    p = 1 / (1 + np.exp(-z))
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    dz = (p - y) / len(y)
    dw = X.T @ dz
    db = np.sum(dz)
    m_w = beta1 * m_w + (1 - beta1) * dw
    v_w = beta2 * v_w + (1 - beta2) * dw ** 2
    m_hat = m_w / (1 - beta1 ** t)
    v_hat = v_w / (1 - beta2 ** t)
    w = w - lr * m_hat / (np.sqrt(v_hat) + eps)
    b = b - lr * db
""",
        [
            ("dz = (p - y) / len(y)", "dz = (p - y)",
             "missing 1/m", "dz = (p - y) / len(y)"),
            ("dz = (p - y) / len(y)", "dz = (p - y) * p * (1 - p) / len(y)",
             "a cost that is not the one whose gradient is taken", "dz = (p - y) / len(y)"),
        ],
    ),
    "elu": (
        """
import numpy as np
alpha = 1.0
def elu(z):
    return np.where(z > 0, z, alpha * (np.exp(z) - 1))
def elu_grad(z):
    return np.where(z > 0, 1, alpha * np.exp(z))
def forward_backward(X, Y, W1, b1, W2, b2):
    m = X.shape[1]
    Z1 = W1 @ X + b1
    A1 = elu(Z1)
    Z2 = W2 @ A1 + b2
    L = np.sum((Z2 - Y) ** 2) / (2 * m)
    dZ2 = (Z2 - Y) / m
    dW2 = dZ2 @ A1.T
    db2 = dZ2.sum(axis=1, keepdims=True)
    dA1 = W2.T @ dZ2
    dZ1 = dA1 * elu_grad(Z1)
    dW1 = dZ1 @ X.T
    db1 = dZ1.sum(axis=1, keepdims=True)
    return L, dW1, db1, dW2, db2
rng = np.random.default_rng(0)
forward_backward(rng.normal(size=(3, 6)),
    rng.normal(size=(2, 6)),
    rng.normal(size=(4, 3)),
    rng.normal(size=(4, 1)),
    rng.normal(size=(2, 4)),
    rng.normal(size=(2, 1)))
""",
        [
            ("dZ1 = dA1 * elu_grad(Z1)", "dZ1 = dA1 * elu_grad(A1)",
             "derivative taken of the activation instead of the pre-activation", "dZ1 = dA1 * elu_grad(Z1)"),
            ("dZ1 = dA1 * elu_grad(Z1)", "dZ1 = dA1",
             "activation derivative missing", "dZ1 = dA1 * elu_grad(Z1)"),
            ("dZ1 = dA1 * elu_grad(Z1)", "dZ1 = elu_grad(dA1)",
             "derivative taken of dA1 instead of the pre-activation Z1", "dZ1 = dA1 * np.where(Z1 > 0, 1, np.exp(Z1))"),
        ],
    ),
    "temperature": (
        """
import numpy as np
rng = np.random.default_rng(0)
n, d, k = 7, 4, 3
T = 2.5
x = rng.normal(size=(n, d))
labels = rng.integers(0, k, n)
onehot = np.eye(k)[labels]
smooth = 0.1
target = onehot * (1 - smooth) + smooth / k
w = rng.normal(size=(d, k))
bias = np.zeros(k)
logits = x @ w + bias
scaled = logits / T
ex = np.exp(scaled - scaled.max(axis=1, keepdims=True))
probs = ex / ex.sum(axis=1, keepdims=True)
loss = -np.sum(target * np.log(probs)) / n
d_scaled = (probs - target) / n
d_logits = d_scaled / T
d_w = x.T @ d_logits
d_bias = d_logits.sum(axis=0)
""",
        [
            ("d_logits = d_scaled / T", "d_logits = d_scaled",
             "scale, a factor is missing: / T", "d_logits = d_scaled / T"),
        ],
    ),
    "weighted": (
        """
import numpy as np
rng = np.random.default_rng(0)
N = 8
X = rng.normal(size=(N, 3))
y = (rng.random((N, 1)) > 0.5) * 1.0
w = np.where(y == 1, 3.0, 1.0)
theta = rng.normal(size=(3, 1))
theta0 = 0.2
lam = 0.1
s = X @ theta + theta0
p = 1 / (1 + np.exp(-s))
loss = -np.sum(w * (y * np.log(p) + (1 - y) * np.log(1 - p))) / N + lam / 2 * np.sum(theta ** 2)
ds = w * (p - y) / N
dtheta = X.T @ ds + lam * theta
dtheta0 = np.sum(ds)
theta -= 0.1 * dtheta
theta0 -= 0.1 * dtheta0
""",
        [
            ("ds = w * (p - y) / N", "ds = (p - y) / N",
             "a factor is missing", "ds = (p - y) / N * w"),
            ("dtheta = X.T @ ds + lam * theta", "dtheta = X.T @ ds",
             "regularisation in the cost, not in the gradient", "dtheta = X.T @ ds + lam * theta"),
        ],
    ),
    "convolution": (
        """
import numpy as np
rng = np.random.default_rng(0)
picture = rng.normal(size=(5, 5))
kernels = rng.normal(size=(2, 3, 3))
readout = rng.normal(size=(18, 3))
bias = np.zeros(3)
label = 1
out = np.zeros((3, 3, 2))
for i in range(3):
    for j in range(3):
        patch = picture[i:i + 3, j:j + 3]
        out[i, j] = np.sum(patch * kernels, axis=(1, 2))
flat = out.flatten()
scores = flat @ readout + bias
probs = np.exp(scores) / np.sum(np.exp(scores))
loss = -np.log(probs[label])
d_scores = probs.copy()
d_scores[label] -= 1
d_readout = np.outer(flat, d_scores)
d_bias = d_scores
d_out = (readout @ d_scores).reshape(out.shape)
d_kernels = np.zeros(kernels.shape)
for i in range(3):
    for j in range(3):
        for f in range(2):
            d_kernels[f] += d_out[i, j, f] * picture[i:i + 3, j:j + 3]
""",
        [
            ("d_out[i, j, f] * picture", "d_out[j, i, f] * picture",
             "indices exchanged", "d_kernels[f] += d_out[i, j, f] * picture[i:i + 3, j:j + 3]"),
        ],
    ),
    "lists_of_layers": (
        """
import numpy as np
def relu(x):
    return np.maximum(x, 0)
def d_relu(x):
    return (x > 0).astype(float)
def softmax(x):
    e = np.exp(x - x.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True)
def train_step(X, Y, W, b, lr):
    L = len(W)
    m = X.shape[1]
    Z, A = [None] * L, [X] + [None] * L
    for l in range(L):
        Z[l] = W[l] @ A[l] + b[l]
        A[l + 1] = softmax(Z[l]) if l == L - 1 else relu(Z[l])
    cost = -np.sum(Y * np.log(A[L])) / m
    dW, db = [None] * L, [None] * L
    dZ = A[L] - Y
    for l in range(L - 1, -1, -1):
        dW[l] = dZ @ A[l].T / m
        db[l] = dZ.sum(axis=1, keepdims=True) / m
        if l > 0:
            dA = W[l].T @ dZ
            dZ = dA * d_relu(Z[l - 1])
    for l in range(L):
        W[l] = W[l] - lr * dW[l]
        b[l] = b[l] - lr * db[l]
    return cost
rng = np.random.default_rng(2)
sizes = [4, 6, 5, 3]
W = [rng.normal(size=(o, i)) for i, o in zip(sizes[:-1], sizes[1:])]
b = [rng.normal(size=(o, 1)) for o in sizes[1:]]
X, Y = rng.normal(size=(4, 8)), np.eye(3)[:, rng.integers(0, 3, 8)]
cost = train_step(X, Y, W, b, 0.1)
""",
        [
            ("dA = W[l].T @ dZ", "dA = W[l].T @ dZ / m",
             "extra 1/m", "dA = W[l].T @ dZ"),
        ],
    ),
    "three_layers": (
        """
import numpy as np
def tanh_deriv(x):
    return 1.0 - np.tanh(x) ** 2
def compute(x_train, y_train, w, lr=0.05):
    n = x_train.shape[0]
    z1 = np.dot(x_train, w['w1']) + w['b1']
    a1 = np.tanh(z1)
    z2 = np.dot(a1, w['w2']) + w['b2']
    a2 = np.tanh(z2)
    z3 = np.dot(a2, w['w3']) + w['b3']
    y_hat = z3
    loss = np.mean((y_hat - y_train) ** 2)
    d3 = 2 * (y_hat - y_train) / n
    grad = {}
    grad['w3'] = np.dot(a2.T, d3)
    grad['b3'] = np.sum(d3, axis=0)
    d2 = np.dot(d3, w['w3'].T) * tanh_deriv(z2)
    grad['w2'] = np.dot(a1.T, d2)
    grad['b2'] = np.sum(d2, axis=0)
    d1 = np.dot(d2, w['w2'].T) * tanh_deriv(z1)
    grad['w1'] = np.dot(x_train.T, d1)
    grad['b1'] = np.sum(d1, axis=0)
    for k in w:
        w[k] -= lr * grad[k]
    return loss, w
rng = np.random.default_rng(0)
w = {'w1': rng.normal(size=(3, 4)), 'w2': rng.normal(size=(4, 4)), 'w3': rng.normal(size=(4, 1))}
w |= {'b1': np.zeros(4), 'b2': np.zeros(4), 'b3': np.zeros(1)}
loss, w = compute(rng.normal(size=(6, 3)), rng.normal(size=(6, 1)), w)
""",
        [
            ("d3 = 2 * (y_hat - y_train) / n", "d3 = (y_hat - y_train) / n",
             "scale", "d3 = 2 * ((y_hat - y_train) / n)"),
            ("return 1.0 - np.tanh(x) ** 2", "return 1.0 - np.tanh(x)",
             "a square is missing", "return 1.0 - np.tanh(x) ** 2"),
        ],
    ),
    "elastic_net": (
        """
import numpy as np
rng = np.random.default_rng(0)
X, y = rng.normal(size=(10, 4)), rng.normal(size=10)
w = rng.normal(size=4)
b = 0.5
l1, l2 = 0.1, 0.3
pred = X @ w + b
res = pred - y
cost = np.sum(res ** 2) / 10 + l1 * np.sum(np.abs(w)) + l2 * np.sum(w ** 2)
grad_w = 2 * X.T @ res / 10 + l1 * np.sign(w) + 2 * l2 * w
grad_b = 2 * np.sum(res) / 10
w = w - 0.01 * grad_w
b = b - 0.01 * grad_b
""",
        [
            ("l1 * np.sign(w)", "l1 * w",
             "the derivative of the absolute value is the sign",
             "grad_w = 2 * X.T @ res / 10 + l1 * np.sign(w) + 2 * l2 * w"),
        ],
    ),
    "momentum": (
        """
import numpy as np
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
W1, b1 = rng.normal(size=(4, 5)), np.zeros(5)
W2, b2 = rng.normal(size=(5, 2)), np.zeros(2)
vW1, vb1, vW2, vb2 = (np.zeros_like(p) for p in (W1, b1, W2, b2))
beta, lr = 0.9, 0.01
for step in range(3):
    z1 = X @ W1 + b1
    h = np.where(z1 > 0, z1, 0.01 * z1)
    yhat = h @ W2 + b2
    loss = ((yhat - Y) ** 2).mean()
    dyhat = 2 * (yhat - Y) / yhat.size
    dW2 = h.T @ dyhat
    db2 = dyhat.sum(0)
    dh = dyhat @ W2.T
    dz1 = dh * np.where(z1 > 0, 1, 0.01)
    dW1 = X.T @ dz1
    db1 = dz1.sum(0)
    vW1 = beta * vW1 + (1 - beta) * dW1
    vb1 = beta * vb1 + (1 - beta) * db1
    vW2 = beta * vW2 + (1 - beta) * dW2
    vb2 = beta * vb2 + (1 - beta) * db2
    W1 -= lr * vW1
    b1 -= lr * vb1
    W2 -= lr * vW2
    b2 -= lr * vb2
""",
        [
            ("dz1 = dh * np.where(z1 > 0, 1, 0.01)", "dz1 = dh * (z1 > 0)",
             "activation derivative wrong", "dz1 = dh * np.where(z1 > 0, 1, 0.01)"),
        ],
    ),
    "logistic": (
        """
import numpy as np
def sigmoid(z):
    return 1 / (1 + np.exp(-z))
def cost_and_slope(theta, X, y, lam):
    m = len(y)
    p = sigmoid(X @ theta)
    J = -1 / m * (y @ np.log(p) + (1 - y) @ np.log(1 - p)) + lam / (2 * m) * np.sum(theta[1:] ** 2)
    grad = 1 / m * X.T @ (p - y)
    grad[1:] = grad[1:] + lam / m * theta[1:]
    return J, grad
rng = np.random.default_rng(0)
X = np.c_[np.ones(8), rng.normal(size=(8, 3))]
y = (rng.random(8) > 0.5).astype(float)
theta = rng.normal(size=4)
J, grad = cost_and_slope(theta, X, y, 0.5)
""",
        [
            ("lam / m * theta[1:]", "lam * theta[1:]",
             "missing 1/m", "grad[1:] = grad[1:] + lam * theta[1:] / m"),
            ("grad = 1 / m * X.T @ (p - y)", "grad = X.T @ (p - y)",
             "missing 1/m", "grad = X.T @ (p - y) / m"),
        ],
    ),
    "skip_gram": (
        """
import numpy as np
def softmax(x):
    e = np.exp(x - np.max(x))
    return e / e.sum()
def cost_of(center, context, U, V):
    v = V[center]
    scores = U @ v
    p = softmax(scores)
    loss = -np.log(p[context])
    delta = p.copy()
    delta[context] -= 1
    grad_v = U.T @ delta
    grad_U = np.outer(delta, v)
    return loss, grad_v, grad_U
rng = np.random.default_rng(0)
U, V = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
loss, grad_v, grad_U = cost_of(2, 4, U, V)
""",
        [
            ("delta[context] -= 1", "delta[center] -= 1",
             "index center where context is meant", "delta[context] -= 1"),
        ],
    ),
    "attention": (
        """
import numpy as np
rng = np.random.default_rng(0)
T, d = 4, 3
X = rng.normal(size=(T, d)); Y = rng.normal(size=(T, d))
Wq, Wk, Wv = (rng.normal(size=(d, d)) for _ in range(3))
Q = X @ Wq
K = X @ Wk
V = X @ Wv
S = Q @ K.T / np.sqrt(d)
A = np.exp(S - S.max(axis=-1, keepdims=True))
A = A / A.sum(axis=-1, keepdims=True)
O = A @ V
loss = np.mean((O - Y) ** 2)
dO = 2 * (O - Y) / O.size
dV = A.T @ dO
dA = dO @ V.T
dS = A * (dA - np.sum(dA * A, axis=-1, keepdims=True))
dQ = dS @ K / np.sqrt(d)
dK = dS.T @ Q / np.sqrt(d)
dWq = X.T @ dQ
dWk = X.T @ dK
dWv = X.T @ dV
""",
        [
            ("dQ = dS @ K / np.sqrt(d)", "dQ = dS @ K",
             "scale, a factor is missing: / np.sqrt(d)", "dQ = dS @ K / np.sqrt(d)"),
        ],
    ),
    "hinge": (
        """
import numpy as np
def svm_loss(W, X, y, reg):
    num_train = X.shape[0]
    scores = X.dot(W)
    correct = scores[np.arange(num_train), y][:, np.newaxis]
    margins = np.maximum(0, scores - correct + 1)
    margins[np.arange(num_train), y] = 0
    loss = np.sum(margins) / num_train + reg * np.sum(W * W)
    binary = (margins > 0).astype(float)
    row_sum = np.sum(binary, axis=1)
    binary[np.arange(num_train), y] = -row_sum
    dW = np.dot(X.T, binary) / num_train + 2 * reg * W
    return loss, dW
rng = np.random.default_rng(0)
W, X, y = rng.normal(size=(4, 3)), rng.normal(size=(6, 4)), rng.integers(0, 3, 6)
svm_loss(W, X, y, 0.1)
""",
        [
            ("np.dot(X.T, binary) / num_train", "np.dot(X.T, binary)",
             "missing 1/m", "dW = np.dot(X.T, binary) / num_train + 2 * reg * W"),
        ],
    ),
    "layers_and_functions": (
        """
import numpy as np
def squares(y_true, y_pred):
    return np.mean(np.power(y_true - y_pred, 2))
def squares_prime(y_true, y_pred):
    return 2 * (y_pred - y_true) / np.size(y_true)
def tanh(x):
    return np.tanh(x)
def tanh_prime(x):
    return 1 - np.tanh(x) ** 2
class Full:
    def __init__(self, n_in, n_out, seed):
        r = np.random.default_rng(seed)
        self.weights = r.random((n_in, n_out)) - 0.5
        self.bias = r.random((1, n_out)) - 0.5
    def forward(self, given):
        self.input = given
        self.output = np.dot(self.input, self.weights) + self.bias
        return self.output
    def backward(self, error_here, rate):
        back = np.dot(error_here, self.weights.T)
        back_w = np.dot(self.input.T, error_here)
        self.weights -= rate * back_w
        self.bias -= rate * error_here
        return back
class Applied:
    def __init__(self, function, slope):
        self.function = function
        self.slope = slope
    def forward(self, given):
        self.input = given
        self.output = self.function(self.input)
        return self.output
    def backward(self, error_here, rate):
        return self.slope(self.input) * error_here
stack = [Full(2, 3, 0), Applied(tanh, tanh_prime), Full(3, 1, 1), Applied(tanh, tanh_prime)]
points = np.array([[[0., 0.]], [[0., 1.]], [[1., 0.]], [[1., 1.]]])
wanted = np.array([[[0.]], [[1.]], [[1.]], [[0.]]])
for i in range(2):
    err = 0
    for j in range(len(points)):
        output = points[j]
        for part in stack:
            output = part.forward(output)
        err += squares(wanted[j], output)
        error = squares_prime(wanted[j], output)
        for part in reversed(stack):
            error = part.backward(error, 0.1)
    err /= len(points)
""",
        [
            ("return 1 - np.tanh(x) ** 2", "return 1 - np.tanh(x)",
             "a square is missing", "return 1 - np.tanh(x) ** 2"),
        ],
    ),
    "jacobian": (
        """
import numpy as np
def softmax(z):
    e = np.exp(z - np.max(z))
    return e / np.sum(e)
def softmax_grad(s):
    return np.diagflat(s) - np.outer(s, s)
rng = np.random.default_rng(0)
x = rng.normal(size=5)
W = rng.normal(size=(4, 5))
b = rng.normal(size=4)
t = np.array([0., 0., 1., 0.])
z = W @ x + b
p = softmax(z)
loss = -np.sum(t * np.log(p))
dp = -t / p
dz = softmax_grad(p) @ dp
dW = np.outer(dz, x)
db = dz
dx = W.T @ dz
""",
        [
            ("return np.diagflat(s) - np.outer(s, s)", "return np.diagflat(s * (1 - s))",
             "only the diagonal of the softmax's Jacobian", "return np.diagflat(s) - np.outer(s, s)"),
            ("dp = -t / p", "dp = -t",
             "a factor is missing", "dp = -t / p"),
        ],
    ),
    "autoencoder_with_noise": (
        """
import numpy as np
rng = np.random.default_rng(0)
n, d, k = 6, 4, 2
x = rng.normal(size=(n, d))
Wm, Ws, Wd = rng.normal(size=(d, k)) * 0.4, rng.normal(size=(d, k)) * 0.4, rng.normal(size=(k, d)) * 0.4
eps = rng.normal(size=(n, k))
mu = x @ Wm
logvar = x @ Ws
std = np.exp(0.5 * logvar)
z = mu + std * eps
xr = z @ Wd
recon = 0.5 * np.sum((xr - x) ** 2) / n
kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar)) / n
loss = recon + kl
dxr = (xr - x) / n
dWd = z.T @ dxr
dz = dxr @ Wd.T
dmu = dz + mu / n
dlogvar = dz * eps * std * 0.5 - 0.5 * (1 - np.exp(logvar)) / n
dWm = x.T @ dmu
dWs = x.T @ dlogvar
""",
        [
            ("dmu = dz + mu / n", "dmu = dz",
             "a term is missing", "dmu = dz + mu / n"),
        ],
    ),
    "embedding": (
        """
import numpy as np
rng = np.random.default_rng(0)
V, D, C = 8, 3, 2
tokens = np.array([1, 4, 4, 6])
label = 1
E = rng.normal(size=(V, D))
W = rng.normal(size=(C, D))
b = np.zeros(C)
h = E[tokens].mean(axis=0)
s = W @ h + b
p = np.exp(s) / np.exp(s).sum()
loss = -np.log(p[label])
ds = p.copy()
ds[label] -= 1
dW = np.outer(ds, h)
db = ds
dh = W.T @ ds
dE = np.zeros_like(E)
np.add.at(dE, tokens, dh / len(tokens))
""",
        [
            ("np.add.at(dE, tokens, dh / len(tokens))", "dE[tokens] = dh / len(tokens)",
             "overwritten where it is meant to add up", "np.add.at(dE, tokens, dh / len(tokens))"),
        ],
    ),
    "numbers": (
        """
import math
import random
random.seed(3)
inputs = [0.5, -1.2, 0.8]
weights = [random.uniform(-1, 1) for _ in range(3)]
bias = 0.1
target = 1.0
z = sum(w * x for w, x in zip(weights, inputs)) + bias
a = 1 / (1 + math.exp(-z))
loss = 0.5 * (a - target) ** 2
dloss_da = a - target
da_dz = a * (1 - a)
dz = dloss_da * da_dz
grad_w = [dz * x for x in inputs]
grad_b = dz
""",
        [
            ("grad_b = dz", "grad_b = dloss_da",
             "activation derivative missing", "grad_b = d"),
        ],
    ),
    "tanh_twice": (
        """
import numpy as np
X = np.array([[0., 0.], [0., 1.], [1., 0.], [1., 1.]])
T = np.array([[0.], [1.], [1.], [0.]])
rs = np.random.RandomState(7)
W = rs.uniform(-1, 1, (2, 3))
V = rs.uniform(-1, 1, (3, 1))
b = rs.uniform(-1, 1, 3)
c = rs.uniform(-1, 1, 1)
eta = 0.5
for epoch in range(10):
    H = np.tanh(X.dot(W) + b)
    O = np.tanh(H.dot(V) + c)
    E = 0.5 * np.sum((T - O) ** 2)
    delta_o = (O - T) * (1 - O * O)
    delta_h = delta_o.dot(V.T) * (1 - H * H)
    V -= eta * H.T.dot(delta_o)
    c -= eta * delta_o.sum(axis=0)
    W -= eta * X.T.dot(delta_h)
    b -= eta * delta_h.sum(axis=0)
""",
        [
            ("delta_h = delta_o.dot(V.T) * (1 - H * H)", "delta_h = delta_o.dot(V.T) * H * (1 - H)",
             "activation derivative wrong", "delta_h = delta_o.dot(V.T) * (1 - H ** 2)"),
        ],
    ),
    "recurrent_object": (
        """
import numpy as np
class RNN:
    def __init__(self, d, h, o):
        r = np.random.default_rng(0)
        self.U = r.normal(size=(h, d)) * 0.5
        self.W = r.normal(size=(h, h)) * 0.5
        self.V = r.normal(size=(o, h)) * 0.5
    def forward(self, xs):
        s = np.zeros(self.W.shape[0])
        self.states, self.outs = [s], []
        for x in xs:
            s = np.tanh(self.U @ x + self.W @ s)
            self.states.append(s)
            self.outs.append(self.V @ s)
        return self.outs
    def loss(self, ys):
        return sum(0.5 * np.sum((o - y) ** 2) for o, y in zip(self.outs, ys))
    def bptt(self, xs, ys):
        dU, dW, dV = np.zeros_like(self.U), np.zeros_like(self.W), np.zeros_like(self.V)
        ds_next = np.zeros(self.W.shape[0])
        for t in range(len(xs) - 1, -1, -1):
            do = self.outs[t] - ys[t]
            dV += np.outer(do, self.states[t + 1])
            ds = self.V.T @ do + ds_next
            dz = ds * (1 - self.states[t + 1] ** 2)
            dU += np.outer(dz, xs[t])
            dW += np.outer(dz, self.states[t])
            ds_next = self.W.T @ dz
        return dU, dW, dV
r = np.random.default_rng(1)
xs, ys = [r.normal(size=3) for _ in range(4)], [r.normal(size=2) for _ in range(4)]
rnn = RNN(3, 4, 2)
rnn.forward(xs)
L = rnn.loss(ys)
dU, dW, dV = rnn.bptt(xs, ys)
""",
        [
            ("ds = self.V.T @ do + ds_next", "ds = self.V.T @ do",
             "a term is missing", "ds = self.V.T @ do + ds_next"),
        ],
    ),
}  # fmt: skip
