"""The computational graph, the table of operations with their gradients, and derivatives of functions.

`nnc.grad`, `nnc.jacobian`, `nnc.hessian`, `nnc.hvp`, `nnc.jvp` and `nnc.vjp` are called as JAX's, and code written for
autograd runs with ``numpy`` itself instead of ``autograd.numpy``. What is different:

- **Ties.** At a tie `max`, `min`, `maximum` and `minimum` share the gradient evenly, as both others do.
- **Subgradients.** Where a derivative does not exist and 0 is a subgradient, it is 0: |x|, ReLU, and also norms, `std`
  and `hypot` at 0, where JAX and autograd give NaN. `nnc.gradcheck` shows such a place as a kink. Where the slope has
  no bound, as that of a square root at 0, it is infinite; and 0 times that is NaN, here as there.
- **Digits.** A gradient is within a few units in the last place also far out and next to the edges of a domain, where
  one made of the result alone is not: tanh, the logistic function, expm1, arcsin.
- **Integers** and bools count as float64 and have gradients; JAX refuses them. float32 stays float32 without a switch.
- **Complex numbers are refused** with a TypeError, since what a gradient by one is depends on whom one asks: autograd
  and JAX give conjugates of each other's. The graph is about costs, which are real functions of real numbers.
- **Nothing leaves the graph silently.** ``float(node)``, ``array[i] = node`` and the like are TypeErrors, and so is a
  second derivative of what has none, such as a `nnc.custom` whose vjp is for arrays only. What does not depend on an
  argument has the gradient 0.
- **Values are not traced.** f runs as it stands: ``if`` and loops over numbers of a Node are decided by its
  values, and an array that is changed between forward and backward is a RuntimeError.

>>> import numpy as np
>>> nnc.grad(np.linalg.norm)(np.zeros(2)), nnc.grad(np.max)(np.array([3, 1, 3]))
(array([0., 0.]), array([0.5, 0. , 0.5]))
>>> nnc.grad(np.tanh)(25.0) > 0, nnc.grad(lambda x: x * 2)(3)
(np.True_, np.float64(2.0))
>>> nnc.grad(np.exp)(1j)
Traceback (most recent call last):
TypeError: Node: the value is complex128, but must be real numbers, float32 or float64
"""
