"""scikit-learn's multi-layer perceptrons, trained by the engine: the same names, parameters, attributes and results.

``from nnc.sklearn import MLPClassifier`` in place of ``from sklearn.neural_network import MLPClassifier`` is the whole
change. It needs scikit-learn: ``pip install "nnc-engine[sklearn]"``.
"""

from .estimators import MLPClassifier, MLPRegressor
from .threads import follow_the_environment, register_controller

__all__ = ["MLPClassifier", "MLPRegressor"]

follow_the_environment()
register_controller()
