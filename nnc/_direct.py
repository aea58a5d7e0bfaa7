"""Direct calls of the engine's generalised ufuncs: on small arrays NumPy's own way to them is what a call costs.

`_direct.matmul` does what `_engine.matmul` does, whatever it is called with: plain arrays of one dtype go straight into
the loop (csrc/python/direct.c says what is plain), all else goes to the ufunc itself. Nodes of plain arrays go the same
way, and become a Node by the row of `UFUNCS`.
"""

import numpy as np

from . import _engine

_GENERALISED = [u for u in vars(_engine).values() if isinstance(u, np.ufunc) and u.signature]
UFUNCS = {}  # NumPy's or nnc's ufunc -> its row in nnc.rules, which fills this table
OF = {ufunc: _engine.direct(ufunc, UFUNCS) for ufunc in _GENERALISED}

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
softmax_cross_entropy_targets_backward = OF[_engine.softmax_cross_entropy_targets_backward]
