"""The computational graph, the table of operations with their gradients, and derivatives of functions."""
