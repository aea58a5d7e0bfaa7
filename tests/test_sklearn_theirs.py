"""scikit-learn's own tests of its multi-layer perceptrons, on ours: its test modules with the names exchanged."""

import importlib.util
import sys

import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import sklearn.neural_network as theirs  # noqa: E402
import sklearn.neural_network._stochastic_optimizers as their_optimizers  # noqa: E402

import nnc.sklearn as ours  # noqa: E402
import nnc.sklearn.optimizers as our_optimizers  # noqa: E402

EXCLUDED = {"test_gradient": "calls the private method _loss_grad_lbfgs with scikit-learn's own buffers"}


def _exchanged(name):
    """The tests of an installed module of scikit-learn's, imported while our classes bear the names of theirs."""
    pairs = [(theirs, ours, ("MLPClassifier", "MLPRegressor"))]
    pairs += [(their_optimizers, our_optimizers, ("BaseOptimizer", "SGDOptimizer", "AdamOptimizer"))]
    spec = importlib.util.find_spec(f"sklearn.neural_network.tests.{name}")
    if spec is None:
        return {}
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for their_module, our_module, names in pairs:
            for each in names:
                patch.setattr(their_module, each, getattr(our_module, each))
        spec.loader.exec_module(module)
    sys.modules[spec.name + "_exchanged"] = module
    found = {key: value for key, value in vars(module).items() if key.startswith("test_")}
    return {key: value for key, value in found.items() if key not in EXCLUDED}


globals().update(_exchanged("test_mlp"))
globals().update(_exchanged("test_stochastic_optimizers"))


@pytest.fixture
def global_random_seed():
    return 42
