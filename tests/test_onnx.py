"""Nets as ONNX graphs, against onnx's checker and ONNX Runtime; graphs that PyTorch, Keras and scikit-learn export."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from engine_rows import ACTIVATIONS, ELEMENTWISE_LOSSES

import nnc

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper


def run(path, X):
    """ONNX Runtime's outputs for X (r, m), by name."""
    session = runtime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    (operand,) = session.get_inputs()
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, {operand.name: X}), strict=True))


def make_net(sizes=(20, 9, 8, 5), activation="relu", dtype=np.float32, **options):
    net = nnc.MLP(sizes, activation, "xavier", dtype, seed=1, slope=0.2, **options)
    rng = np.random.default_rng(2)
    for b in net.biases:
        b[...] = rng.standard_normal(b.shape)
    return net


def examples(m, r, dtype=np.float32):
    return (np.random.default_rng(3).standard_normal((r, m)) * 3).astype(dtype)


SCALES = [{}, dict(mean=0.3, std=2.0), dict(mean=np.arange(20.0), std=np.linspace(1, 3, 20))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", SCALES, ids=["unscaled", "one", "each"])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, ("tanh", "leaky_relu"), None])
def test_onnx_runtime_agrees_and_from_onnx_returns_the_same_net(tmp_path, dtype, scale, activation):
    sizes, activation = ((20, 5), ()) if activation is None else ((20, 9, 8, 5), activation)
    net = make_net(sizes, activation, dtype, **scale)
    net.to_onnx(tmp_path / "net.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"), full_check=True)
    for r in (1, 64, 0):
        X = examples(20, r, dtype)
        (P,) = run(tmp_path / "net.onnx", X).values()
        mine = net.predict_proba(X.T)
        assert P.dtype == dtype and P.shape == (r, 5)
        assert np.abs(P.T - mine).max(initial=0) < (2e-6 if dtype == np.float32 else 1e-13)
        assert np.array_equal(P.argmax(axis=1), net.predict(X.T))
    back = nnc.MLP.from_onnx(tmp_path / "net.onnx")
    assert (back.sizes, back.activations, back.dtype) == (net.sizes, net.activations, net.dtype)
    if "leaky_relu" in net.activations:
        assert back.slope == net.slope
    for a, b in zip([*net.weights, *net.biases], [*back.weights, *back.biases], strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(back.mean + 0 * net.mean, net.mean) and np.array_equal(back.std + 0 * net.std, net.std)


def test_a_trained_net_on_images(tmp_path):
    (X, y), (X_val, _) = nnc.data.digits()
    net = nnc.MLP([784, 50, 10], mean=X.mean(), std=X.std(), seed=0)
    net.fit(X.T, y, epochs=2, progress=False)
    net.to_onnx(tmp_path / "net.onnx")
    (P,) = run(tmp_path / "net.onnx", X_val.astype(np.float32)).values()
    assert np.abs(P.T - net.predict_proba(X_val.T)).max() < 2e-6
    assert np.array_equal(P.argmax(axis=1), net.predict(X_val.T))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", ELEMENTWISE_LOSSES)
@pytest.mark.parametrize("n", [1, 3])
def test_nets_of_the_other_losses(tmp_path, dtype, loss, n):
    net = make_net((5, 4, n), "tanh", dtype, mean=0.5, loss=loss)
    net.to_onnx(tmp_path / "net.onnx")
    X = examples(5, 30, dtype)
    (P,) = run(tmp_path / "net.onnx", X).values()
    mine = net.predict_proba(X.T)
    assert P.shape == (30, n) and (np.abs(P.T - mine) < 16 * np.finfo(dtype).eps * np.maximum(1, np.abs(mine))).all()
    back = nnc.MLP.from_onnx(tmp_path / "net.onnx")
    assert back.loss_name == loss and np.array_equal(back.predict_proba(X.T), mine)


def test_names_and_metadata(tmp_path):
    make_net().to_onnx(tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    (X,), (P,) = model.graph.input, model.graph.output
    assert [X.name, *(d.dim_param or d.dim_value for d in X.type.tensor_type.shape.dim)] == ["X", "batch", 20]
    assert [P.name, *(d.dim_param or d.dim_value for d in P.type.tensor_type.shape.dim)] == ["P", "batch", 5]
    assert model.producer_name == "nnc"
    assert json.loads({p.key: p.value for p in model.metadata_props}["sizes"]) == [20, 9, 8, 5]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    net = make_net()
    net.to_onnx(tmp_path / "net.onnx")
    before = (tmp_path / "net.onnx").read_bytes()
    net.weights[0] = net.weights[0][:, :3]
    with pytest.raises(ValueError, match=r"to_onnx: net.weights\[0\]"):
        net.to_onnx(tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(FileNotFoundError):
        make_net().to_onnx(tmp_path / "nowhere" / "net.onnx")


def test_without_the_library_the_extra_is_named(tmp_path):
    code = """
import sys, nnc
sys.modules["onnx"] = None
for attempt in (nnc.MLP([2, 2]).to_onnx, nnc.MLP.from_onnx):
    try: attempt(sys.argv[1])
    except ImportError as error: print(error)
"""
    path = tmp_path / "net.onnx"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.count("nnc-engine[onnx]") == 2 and not path.exists()


# ---- graphs of other libraries ---------------------------------------------------------------------------------------


def assert_same_result(path, X, tolerance=2e-6):
    """from_onnx computes what ONNX Runtime does, on X (r, ...) flattened. Returns the net."""
    net = nnc.MLP.from_onnx(path)
    results = run(path, X)
    P = next(value for value in results.values() if isinstance(value, list) or value.dtype == X.dtype)
    if isinstance(P, list):  # of dicts, from skl2onnx's ZipMap
        P = np.array([list(p.values()) for p in P])
    mine = net.predict_proba(X.reshape(len(X), -1).T)
    assert P.shape == mine.T.shape and np.abs(P.T - mine).max() < tolerance
    assert np.array_equal(P.argmax(axis=1), net.predict(X.reshape(len(X), -1).T))
    return net


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [True, False])
def test_graphs_of_pytorch(tmp_path, dynamo):
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    nn = torch.nn
    torch.manual_seed(0)

    class Scaled(nn.Module):
        def forward(self, x):
            return (torch.flatten(x, 1) / 255.0 - 0.3) * 2.0

    linear = nn.Linear(6, 3)
    models = [
        (nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 6), nn.LeakyReLU(0.2), linear), (5,)),
        (nn.Sequential(Scaled(), nn.Linear(64, 4, bias=False), nn.Tanh(), nn.Linear(4, 3)), (1, 8, 8)),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.BatchNorm1d(4), nn.Sigmoid(), nn.Linear(4, 2)), (4, 4)),
    ]  # fmt: skip
    activations = [("relu", "leaky_relu"), ("tanh",), ("sigmoid",)]
    for (model, shape), expected in zip(models, activations, strict=True):
        model = nn.Sequential(model, nn.Softmax(dim=1))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean[:], module.running_var[:] = torch.randn(4), torch.rand(4) + 0.5
                module.weight.data[:] = torch.randn(4)
        path = tmp_path / "torch.onnx"
        X = torch.randn(6, *shape) * 3
        dynamic = (dict(dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False) if dynamo
                   else dict(input_names=["x"], dynamic_axes={"x": {0: "batch"}}))  # fmt: skip
        torch.onnx.export(model.eval(), (X,), path, dynamo=dynamo, verbose=False, **dynamic)
        assert assert_same_result(path, X.numpy()).activations == expected


KERAS = """
import sys, numpy as np, keras
from keras import layers
models = [
    [layers.Dense(4, activation="relu"), layers.Dropout(0.2), layers.Dense(3, activation="softmax")],
    [layers.Normalization(mean=[1.0, 2, 3, 4, 5], variance=[4.0, 1, 4, 9, 4]), layers.Dense(4), layers.LeakyReLU(0.1),
     layers.Dense(6, activation="sigmoid"), layers.Dense(3), layers.Softmax()],
]
for i, parts in enumerate(models):
    model = keras.Sequential([keras.Input((5,)), *parts])
    model(np.zeros((2, 5), np.float32))
    model.export(f"{sys.argv[1]}/{i}.onnx", format="onnx", verbose=False)
"""


def test_graphs_of_keras(tmp_path):
    if importlib.util.find_spec("keras") is None:  # without the variable below its import fails
        pytest.skip("could not import 'keras'")
    pytest.importorskip("torch")
    subprocess.run([sys.executable, "-c", KERAS, tmp_path], env=os.environ | {"KERAS_BACKEND": "torch"}, check=True,
                   capture_output=True, timeout=300)  # fmt: skip
    assert assert_same_result(tmp_path / "0.onnx", examples(5, 7)).activations == ("relu",)
    net = assert_same_result(tmp_path / "1.onnx", examples(5, 7))
    assert net.activations == ("leaky_relu", "sigmoid") and net.slope == 0.1
    assert np.allclose(net.mean[:, 0], [1, 2, 3, 4, 5]) and np.allclose(net.std[:, 0], [2, 1, 2, 3, 2])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("classes", [2, 3])
def test_graphs_of_scikit_learn(tmp_path, zipmap, classes):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = examples(5, 100)
    for y in (np.arange(100) % classes, np.array(["red", "green", "blue"])[np.arange(100) % classes]):
        model = make_pipeline(StandardScaler(), MLPClassifier((6, 4), activation="logistic", max_iter=3)).fit(X, y)
        exported = skl2onnx.to_onnx(model, X[:1], options={id(model): {"zipmap": zipmap}})
        onnx.save(exported, tmp_path / "sklearn.onnx")
        net = assert_same_result(tmp_path / "sklearn.onnx", X)
        assert net.activations == ("sigmoid", "sigmoid") and net.sizes == (5, 6, 4, classes)
        assert np.abs(model.predict_proba(X) - net.predict_proba(X.T).T).max() < 2e-6


@pytest.mark.filterwarnings("ignore")
def test_graphs_of_scikit_learn_for_regression_and_several_labels(tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    X = examples(5, 100)
    for model, y, loss in [
        (MLPRegressor(hidden_layer_sizes=(6,), max_iter=3), X[:, 0], "squared_error"),
        (MLPClassifier(hidden_layer_sizes=(6,), max_iter=3), (X[:, :3] > 0).astype(int), "binary_cross_entropy"),
    ]:
        options = {"zipmap": False} if isinstance(model, MLPClassifier) else None
        exported = skl2onnx.to_onnx(model.fit(X, y), X[:1], options=options)
        onnx.save(exported, tmp_path / "sklearn.onnx")
        net = nnc.MLP.from_onnx(tmp_path / "sklearn.onnx")
        expected = (model.predict_proba if options else model.predict)(X).reshape(100, -1)
        assert net.loss_name == loss and np.abs(expected - net.predict_proba(X.T).T).max() < 2e-6 * abs(expected).max()


# ---- graphs made by hand ---------------------------------------------------------------------------------------------

W1, b1, W2, b2 = (np.random.default_rng(i).standard_normal(shape).astype("f")
                  for i, shape in enumerate([(4, 5), (4,), (3, 4), (3,)]))  # fmt: skip


def graph(path, nodes, opset=16, shape=("r", 5), out=("r", 3), output="P", constants=(), kind=None):
    """Save a model of nodes (operator, inputs, output, attributes) and of the arrays above."""
    real = onnx.TensorProto.FLOAT
    arrays = dict(W1=W1, b1=b1, W2=W2, b2=b2, V1=W1.T.copy(), V2=W2.T.copy()) | dict(constants)
    made = []
    for operator, inputs, name, *attributes in nodes:
        domain = "ai.onnx.ml" if operator == "Scaler" else ""
        made.append(helper.make_node(operator, inputs, [name], domain=domain, **(attributes[0] if attributes else {})))
    used = {name for node in made for name in node.input}
    model = helper.make_model(
        helper.make_graph(
            made, "g", [helper.make_tensor_value_info("X", kind or real, shape)],
            [helper.make_tensor_value_info(output, real, out)],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items() if name in used],
        ),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 2)], ir_version=8,
    )  # fmt: skip
    onnx.save(model, path)
    return path


GEMM = {"transB": 1}
FIRST, SECOND = ("Gemm", ["X", "W1", "b1"], "Z1", GEMM), ("Gemm", ["A1", "W2", "b2"], "Z2", GEMM)
RELU, SOFTMAX = ("Relu", ["Z1"], "A1"), ("Softmax", ["Z2"], "P", {"axis": 1})
ON_x, REST = ("Gemm", ["x", "W1", "b1"], "Z1", GEMM), [RELU, SECOND, SOFTMAX]
SHORT = [("Gemm", ["x", "W1"], "Z2", GEMM), SOFTMAX]
ROW = np.array([[1.0, 2, 3, 4, 5]], "f")


@pytest.mark.parametrize(
    "nodes",
    [
        [FIRST, RELU, SECOND, SOFTMAX],
        [("Gemm", ["X", "V1"], "Z1", {"alpha": 0.5}), RELU, ("Gemm", ["A1", "V2", "b2"], "Z2", {"beta": 2.0}), SOFTMAX],
        [("MatMul", ["X", "V1"], "M"), ("Add", ["b1", "M"], "Z1"), RELU, SECOND, SOFTMAX],
        [FIRST, ("Identity", ["Z1"], "A1"), SECOND, SOFTMAX],
        [FIRST, ("Mul", ["Z1", "b1"], "A1"), SECOND, ("Div", ["Z2", "two"], "S"), ("Softmax", ["S"], "P")],
        [("Sub", ["X", "row"], "y"), ("Mul", ["y", "two"], "x"), ON_x, *REST],
        [("Mul", ["two", "X"], "y"), ("Add", ["y", "row"], "x"), ON_x, *REST],
        [("Scaler", ["X"], "x", {"offset": [1.0, 2, 3, 4, 5], "scale": [2.0, 1, 1, 0.5, 3]}), ON_x, *REST],
        [FIRST, ("PRelu", ["Z1", "two"], "A1"), SECOND, SOFTMAX],
        [FIRST, ("LeakyRelu", ["Z1"], "A1"), SECOND, SOFTMAX],
        [("Reshape", ["X", "shape"], "x"), ON_x, *REST],
        [FIRST, RELU, SECOND, ("Sub", ["Z2", "two"], "S"), ("Softmax", ["S"], "P", {"axis": -1})],
    ],
    ids=["Gemm", "alpha and beta", "MatMul and Add", "Identity", "Mul after a layer", "Sub and Mul of X",
         "Mul and Add of X", "Scaler", "PRelu", "LeakyRelu", "Reshape", "Sub before Softmax"],
)  # fmt: skip
def test_other_graphs_of_dense_layers(tmp_path, nodes):
    constants = dict(two=np.float32(2), row=ROW, shape=np.array([-1, 5]))
    assert_same_result(graph(tmp_path / "g.onnx", nodes, constants=constants), examples(5, 9))


@pytest.mark.parametrize("end", [[], [("LogSoftmax", ["Z2"], "P")]], ids=["scores", "log-probabilities"])
def test_the_caller_names_the_loss_of_a_graph_of_scores(tmp_path, end):
    second = SECOND if end else ("Gemm", ["A1", "W2", "b2"], "P", GEMM)
    path, X = graph(tmp_path / "g.onnx", [FIRST, RELU, second, *end]), examples(5, 9)
    (scores,) = run(path, X).values()
    net = nnc.MLP.from_onnx(path, loss="cross_entropy")
    assert net.loss_name == "cross_entropy" and np.abs(nnc.softmax(scores.T) - net.predict_proba(X.T)).max() < 2e-6
    if not end:
        by_default = nnc.MLP.from_onnx(path)
        assert by_default.loss_name == "squared_error" and np.abs(scores.T - by_default.predict_proba(X.T)).max() < 2e-5
    graph(path, [FIRST, RELU, SECOND, SOFTMAX])
    with pytest.raises(ValueError, match="ends with softmax, which is the output of cross_entropy"):
        nnc.MLP.from_onnx(path, loss="poisson")


@pytest.mark.parametrize("opset", [9, 11, 13, 20])
def test_opsets(tmp_path, opset):
    nodes = [FIRST, RELU, SECOND, ("Softmax", ["Z2"], "P")]
    assert_same_result(graph(tmp_path / "g.onnx", nodes, opset=opset), examples(5, 9))


def test_half_precision_weights_become_float32(tmp_path):
    nodes = [("Cast", [name], name[0] + "f" + name[1], {"to": 1}) for name in ("W1", "b1")]
    nodes += [("Gemm", ["X", "Wf1", "bf1"], "Z2", GEMM), SOFTMAX]
    half = dict(W1=W1.astype(np.float16), b1=b1.astype(np.float16))
    net = assert_same_result(graph(tmp_path / "g.onnx", nodes, constants=half, out=("r", 4)), examples(5, 9))
    assert np.array_equal(net.weights[0], half["W1"])


@pytest.mark.parametrize(
    "match, nodes, options",
    [
        ("Elu .* not supported", [FIRST, ("Elu", ["Z1"], "A1"), SECOND, SOFTMAX], {}),
        ("Clip", [FIRST, ("Clip", ["Z1"], "A1"), SECOND, SOFTMAX], {}),
        ("2 operands that are computed", [FIRST, RELU, ("Add", ["A1", "Z1"], "x"), *SHORT], {}),
        ("ends with tanh", [FIRST, ("Tanh", ["Z1"], "P")], dict(out=("r", 4))),
        ("does not follow a dense layer", [("Relu", ["X"], "x"), *SHORT], {}),
        ("does not follow a dense layer", [FIRST, ("Relu", ["Z1"], "A"), ("Tanh", ["A"], "A1"), SECOND, SOFTMAX], {}),
        ("after an activation", [FIRST, ("Relu", ["Z1"], "A"), ("Mul", ["A", "b1"], "A1"), SECOND, SOFTMAX], {}),
        ("Softmax .* axis 0", [FIRST, RELU, SECOND, ("Softmax", ["Z2"], "P", {"axis": 0})], {}),
        ("after softmax", [FIRST, ("Softmax", ["Z1"], "A1"), SECOND, SOFTMAX], {}),
        ("another slope", [FIRST, ("LeakyRelu", ["Z1"], "A1"), SECOND, ("LeakyRelu", ["Z2"], "P", {"alpha": 0.5})], {}),
        ("another slope", [FIRST, ("PRelu", ["Z1", "b1"], "A1"), SECOND, SOFTMAX], {}),
        ("std must be above 0", [("Mul", ["X", "minus"], "x"), *SHORT], {}),
        ("must have one number", [("Sub", ["X", "b1"], "x"), *SHORT], {}),
        ("constant as the second", [("Sub", ["minus", "X"], "x"), *SHORT], {}),
        ("not in the rows", [("MatMul", ["W1", "X"], "Z2"), SOFTMAX], dict(shape=(5, "r"))),
        ("not in the rows", [("Gemm", ["X", "W1"], "Z2", {"transA": 1, "transB": 1}), SOFTMAX], dict(shape=(5, "r"))),
        ("examples in rows", [("MatMul", ["X", "V1"], "Z2"), SOFTMAX], dict(shape=("r", 7, 5))),
        ("takes 5 inputs, but X has 6", [FIRST, RELU, SECOND, SOFTMAX], dict(shape=("r", 6))),
        ("W3 is .4, 5., but must be", [FIRST, RELU, ("Gemm", ["A1", "W3"], "x", GEMM), *SHORT], {}),
        ("Reshape .*does not make", [("Reshape", ["X", "shape"], "x"), *SHORT], dict(shape=("r", 10))),
        ("no dense layer", [("Identity", ["X"], "P")], {}),
        ("0 operands that are computed", [("Relu", ["W1"], "P")], {}),
        ("float32 and float64", [("Cast", ["X"], "y", {"to": 7}), ("Cast", ["y"], "x", {"to": 1}), *SHORT], {}),
        ("logarithms of probabilities", [FIRST, RELU, SECOND, ("LogSoftmax", ["Z2"], "P")], {}),
        ("after exp", [FIRST, ("Exp", ["Z1"], "A1"), SECOND, SOFTMAX], {}),
    ],
)  # fmt: skip
def test_an_unsupported_graph_is_an_error_with_its_reason(tmp_path, match, nodes, options):
    constants = dict(minus=np.float32(-1), W3=np.ones((7, 4), "f"), shape=np.array([-1, 5]))
    path = graph(tmp_path / "g.onnx", nodes, constants=constants, **options)
    with pytest.raises(ValueError, match=f"from_onnx: .*g.onnx is not a graph of dense layers: .*({match})"):
        nnc.MLP.from_onnx(path)


def test_foreign_and_damaged_files(tmp_path):
    path = tmp_path / "net.onnx"
    for content in (b"", b"just text\n", b"PK\x03\x04" + b"\0" * 50, b"\x08\x08"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="from_onnx: .*net.onnx is not a graph"):
            nnc.MLP.from_onnx(path)
    make_net().to_onnx(path)
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="from_onnx: "):
            nnc.MLP.from_onnx(path)
    with pytest.raises(FileNotFoundError):
        nnc.MLP.from_onnx(tmp_path / "none.onnx")


def test_data_in_another_file_is_not_read(tmp_path):
    graph(tmp_path / "g.onnx", [FIRST, RELU, SECOND, SOFTMAX])
    model = onnx.load(tmp_path / "g.onnx")
    onnx.save(model, tmp_path / "g.onnx", save_as_external_data=True, location="data", size_threshold=0)
    assert (tmp_path / "data").exists()
    with pytest.raises(ValueError, match="in another file"):
        nnc.MLP.from_onnx(tmp_path / "g.onnx")


# ---- the estimators --------------------------------------------------------------------------------------------------

COLOURS = np.array(["red", "green", "blue", "grün"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["relu", "logistic", "leaky_relu"])
@pytest.mark.parametrize(
    "classes",
    [np.arange(3), np.array([-5, 7]), COLOURS, COLOURS[:2], COLOURS.astype(object), np.array([False, True]),
     np.array([1.0, 2.0, 5.0]), np.array([250, 251, 255], np.uint8), np.array(["alone"])],
    ids=["three", "two", "text", "two texts", "objects", "bools", "floats", "bytes", "one"],
)  # fmt: skip
def test_a_classifier_gives_labels_and_a_tensor_of_probabilities(tmp_path, dtype, activation, classes):
    pytest.importorskip("sklearn")
    from nnc.sklearn import MLPClassifier

    path, X = tmp_path / "model.onnx", examples(5, 100, dtype)
    y = classes[(X[:, 0] > 0) * 1 + (X[:, 1] > 1) * (len(classes) > 2) if len(classes) > 1 else np.zeros(100, int)]
    y[: len(classes)] = classes
    model = MLPClassifier((6, 4), activation, max_iter=20, learning_rate_init=0.05, random_state=0).fit(X, y)
    if len(classes) == 1:
        model.intercepts_[-1][:] = 5  # with two classes, this would predict the second
    model.to_onnx(path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    for r in (100, 1, 0):
        results = run(path, X[:r])
        label, P = results["label"], results["probabilities"]
        assert list(results) == ["label", "probabilities"] and P.dtype == dtype and label.shape == (r,)
        assert r == 0 or np.abs(P - model.predict_proba(X[:r])).max() < (2e-6 if dtype == np.float32 else 1e-13)
        assert r == 0 or np.array_equal(label, model.predict(X[:r]))
        assert label.dtype == (object if classes.dtype.kind in "UO" else np.int64)
    if len(classes) > 1:
        assert len(set(label for label in run(path, X)["label"])) > 1
    net = nnc.MLP.from_onnx(path)
    assert np.abs(net.predict_proba(X.T).T - model.predict_proba(X)).max() < 2e-6


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_multilabel_classifier(tmp_path, dtype):
    pytest.importorskip("sklearn")
    from nnc.sklearn import MLPClassifier

    path, X = tmp_path / "model.onnx", examples(5, 100, dtype)
    model = MLPClassifier((6,), max_iter=20, learning_rate_init=0.05, random_state=0).fit(X, X[:, :3] > 0)
    model.to_onnx(path)
    results = run(path, X)
    assert np.array_equal(results["label"], model.predict(X)) and results["label"].dtype == np.int64
    assert 0 < results["label"].mean() < 1
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    assert np.abs(results["probabilities"] - model.predict_proba(X)).max() < tolerance
    assert nnc.MLP.from_onnx(path).loss_name == "binary_cross_entropy"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outputs, loss", [(1, "squared_error"), (2, "squared_error"), (1, "poisson")])
def test_a_regressor(tmp_path, dtype, outputs, loss):
    pytest.importorskip("sklearn")
    from nnc.sklearn import MLPRegressor

    path, X = tmp_path / "model.onnx", examples(5, 100, dtype)
    y = np.abs(X[:, :outputs])
    model = MLPRegressor(loss, (6,), max_iter=20, random_state=0).fit(X, y if outputs > 1 else y.ravel())
    model.to_onnx(path)
    (Y,) = run(path, X).values()
    mine = model.predict(X).reshape(100, outputs)
    assert Y.shape == mine.shape and (np.abs(Y - mine) < 16 * np.finfo(dtype).eps * np.maximum(1, np.abs(mine))).all()
    assert nnc.MLP.from_onnx(path).loss_name == loss


def test_an_estimator_that_cannot_be_exported_leaves_no_file(tmp_path):
    pytest.importorskip("sklearn")
    from sklearn.exceptions import NotFittedError

    from nnc.sklearn import MLPClassifier

    with pytest.raises(NotFittedError):
        MLPClassifier().to_onnx(tmp_path / "model.onnx")
    far = np.array([0, 1, 2**63], np.uint64)
    model = MLPClassifier((2,), solver="lbfgs", max_iter=1).fit(np.eye(3), far)
    with pytest.raises(ValueError, match="to_onnx: labels must be whole numbers or strings, but the classes are"):
        model.to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_a_pipeline_by_skl2onnx(tmp_path):
    """As docs/tutorials/sklearn.md says: with `to_sklearn()` at its end."""
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from nnc.sklearn import MLPClassifier

    X = examples(5, 100)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=20, random_state=0))
    pipeline.fit(X, COLOURS[(X[:, 0] > 0) * 1])
    converted = make_pipeline(pipeline[0], pipeline[1].to_sklearn())
    exported = skl2onnx.to_onnx(converted, X[:1], options={id(converted): {"zipmap": False}})
    onnx.save(exported, tmp_path / "pipeline.onnx")
    results = run(tmp_path / "pipeline.onnx", X)
    assert np.abs(results["probabilities"] - pipeline.predict_proba(X)).max() < 2e-6
    assert np.array_equal(results["label"], pipeline.predict(X))
