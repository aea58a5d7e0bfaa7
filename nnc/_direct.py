"""Direct calls of the engine's ufuncs: on small arrays NumPy's own way to them is what a call costs.

`_direct.matmul` does what `_engine.matmul` does, whatever it is called with: plain arrays of one dtype go straight into
the loop (csrc/python/plain.h says what is plain), all else goes to the ufunc itself. Nodes of plain arrays go the same
way, and become a Node by the row of `UFUNCS`. `_direct.relu` is the ufunc in all other respects, too.
"""

import numpy as np

from . import _engine

UFUNCS = {}  # NumPy's or nnc's ufunc -> its row in nnc.rules, which fills this table
OF = {ufunc: _engine.direct(ufunc, UFUNCS) for ufunc in vars(_engine).values()
      if isinstance(ufunc, np.ufunc) and ufunc.nout == 1}  # fmt: skip

relu = OF[_engine.relu]
leaky_relu = OF[_engine.leaky_relu]
sigmoid = OF[_engine.sigmoid]
tanh = OF[_engine.tanh]
exp = OF[_engine.exp]
relu_backward = OF[_engine.relu_backward]
leaky_relu_backward = OF[_engine.leaky_relu_backward]
sigmoid_backward = OF[_engine.sigmoid_backward]
tanh_backward = OF[_engine.tanh_backward]
sigmoid_gradient = OF[_engine.sigmoid_gradient]
tanh_gradient = OF[_engine.tanh_gradient]
sgd = OF[_engine.sgd]

matmul = OF[_engine.matmul]
linear = OF[_engine.linear]
add_bias = OF[_engine.add_bias]
add_bias_backward = OF[_engine.add_bias_backward]
softmax_columns = OF[_engine.softmax_columns]
log_softmax_columns = OF[_engine.log_softmax_columns]
softmax_backward_columns = OF[_engine.softmax_backward_columns]
cross_entropy_backward = OF[_engine.cross_entropy_backward]
cross_entropy_targets_backward = OF[_engine.cross_entropy_targets_backward]
softmax_cross_entropy_backward = OF[_engine.softmax_cross_entropy_backward]
softmax_cross_entropy_recompute_backward = OF[_engine.softmax_cross_entropy_recompute_backward]
softmax_cross_entropy_targets_recompute_backward = OF[_engine.softmax_cross_entropy_targets_recompute_backward]
