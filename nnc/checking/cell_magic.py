"""``%%derivation``: a notebook cell is checked by `check_derivation`, then runs as usual."""

import argparse
import contextlib
import io
import shlex

from .check_derivation import check_derivation


def register(ipython):
    ipython.register_magic_function(lambda line, cell: derivation(ipython, line, cell), "cell", "derivation")


def derivation(ipython, line, cell):
    """Check the cell with the notebook's names, run it, and return the report.

    ``%%derivation --cost J --names delta3=Z3,err=A2``: both as in `check_derivation`.
    """
    parser = argparse.ArgumentParser(prog="%%derivation", add_help=False)
    parser.add_argument("--cost")
    parser.add_argument("--names", type=pairs, default={})
    options = parser.parse_args(shlex.split(line))
    with contextlib.redirect_stdout(io.StringIO()):  # the cell prints when it runs below
        report = check_derivation(cell, cost=options.cost, names=options.names, namespace=dict(ipython.user_ns))
    ipython.run_cell(cell)
    return report


def pairs(text):
    """``delta3=Z3,err=A2`` as a dictionary."""
    found = dict(pair.partition("=")[::2] for pair in text.split(",") if pair)
    if not all(found.values()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=OF,NAME=OF")
    return found
