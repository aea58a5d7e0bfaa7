"""scikit-learn's own tests of its multi-layer perceptrons, run with our classes in place of its own."""

import importlib.util
import sys

import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import sklearn.neural_network as sk  # noqa: E402
import sklearn.neural_network._stochastic_optimizers as sk_optimizers  # noqa: E402

import nnc.sklearn as ours  # noqa: E402
import nnc.sklearn.optimizers as our_optimizers  # noqa: E402

EXCLUDED = {"test_gradient": "calls the private method _loss_grad_lbfgs with scikit-learn's own buffers"}


def _tests_of(test_module):
    """The tests of one of scikit-learn's test modules, imported with its classes replaced by ours."""
    replacements = [(sk, ours, ("MLPClassifier", "MLPRegressor"))]
    replacements += [(sk_optimizers, our_optimizers, ("BaseOptimizer", "SGDOptimizer", "AdamOptimizer"))]
    spec = importlib.util.find_spec(f"sklearn.neural_network.tests.{test_module}")
    if spec is None:
        return {}
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for sk_module, our_module, names in replacements:
            for name in names:
                patch.setattr(sk_module, name, getattr(our_module, name))
        spec.loader.exec_module(module)
    sys.modules[spec.name + "_with_our_classes"] = module
    tests = {key: value for key, value in vars(module).items() if key.startswith("test_")}
    return {key: value for key, value in tests.items() if key not in EXCLUDED}


globals().update(_tests_of("test_mlp"))
globals().update(_tests_of("test_stochastic_optimizers"))


@pytest.fixture
def global_random_seed():
    return 42
