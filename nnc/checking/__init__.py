"""Finite differences, and the checks of gradients derived by hand."""
