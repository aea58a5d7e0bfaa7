"""Direct calls of the engine's ufuncs: on small arrays NumPy's dispatch is most of what a call costs.

`_direct.matmul` does what `_engine.matmul` does, whatever it is called with: plain arrays of one dtype go straight into
the loop (csrc/python/plain.h says what is plain), all else goes to the ufunc itself. So do Nodes of plain arrays,
which make a Node with the row in `UFUNCS`. `_direct.relu` is the ufunc in all other respects, too.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _engine

UFUNCS = {}  # NumPy's or nnc's ufunc -> its row in nnc.autodiff.operations, which fills this table
OF = {ufunc: _engine.direct(ufunc, UFUNCS) for ufunc in vars(_engine).values()
      if isinstance(ufunc, np.ufunc) and ufunc.nout == 1}  # fmt: skip
globals().update({ufunc.__name__: call for ufunc, call in OF.items()})

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
