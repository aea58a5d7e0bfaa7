"""The computational graph, the table of operations with their gradients, and derivatives of functions.

`nnc.grad`, `nnc.jacobian`, `nnc.hessian`, `nnc.hvp`, `nnc.jvp` and `nnc.vjp` are called as JAX's, and code written for
autograd runs with ``numpy`` itself instead of ``autograd.numpy``. What is different:

- **Ties.** At a tie `max`, `min`, `maximum` and `minimum` share the gradient evenly, as in JAX and autograd.
- **Subgradients.** Where a derivative does not exist and 0 is a subgradient, it is 0: |x|, ReLU, and also norms, `std`
  and `hypot` at 0, where JAX and autograd give NaN. `nnc.gradcheck` reports such a point as a kink. Where the slope is
  unbounded, as that of a square root at 0, the gradient is infinite, and 0 times that is NaN, as in both.
- **Digits.** A gradient is within a few units in the last place, also for large arguments and near the edges of a
  domain, where one computed from the result alone is not: tanh, the logistic function, expm1, arcsin.
- **Integers** and bools count as float64 and have gradients; JAX refuses them. float32 stays float32, and float64 needs
  no switch.
- **Complex numbers are refused** with a TypeError, since there is no one convention: autograd's and JAX's gradients are
  conjugates of each other. The graph is for costs, which are real functions of real numbers.
- **Nothing leaves the graph silently.** ``float(node)``, ``array[i] = node`` and the like are TypeErrors, and so is a
  second derivative where there is none, as for an `nnc.custom` whose vjp takes arrays only. The gradient with respect
  to an argument that the result does not depend on is 0.
- **No tracing.** f runs as plain Python: ``if`` and loops see a Node's values, and an array that is changed between
  forward and backward is a RuntimeError.

>>> import numpy as np
>>> nnc.grad(np.linalg.norm)(np.zeros(2)), nnc.grad(np.max)(np.array([3, 1, 3]))
(array([0., 0.]), array([0.5, 0. , 0.5]))
>>> nnc.grad(np.tanh)(25.0) > 0, nnc.grad(lambda x: x * 2)(3)
(np.True_, np.float64(2.0))
>>> nnc.grad(np.exp)(1j)
Traceback (most recent call last):
TypeError: Node: the value is complex128, but must be real numbers, float32 or float64
"""
