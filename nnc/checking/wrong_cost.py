"""The gradient of another cost than the one computed: the squared error's where the cost is the cross-entropy."""

import ast

import numpy as np

from .edits_of_operations import dropped
from .evidence import is_one
from .search import search
from .syntax import expression, replaced, sites, value_of


def blame_wrong_cost(judge, check, e, run):
    """Blame dJ/dZ or dJ/dA of the squared error where the cost is the cross-entropy."""
    value = judge.value(run, check.id)
    if value is None or check.kind != "inner" or check.targets[0].is_leaf:
        return False
    if _blame_squared_error(judge, check, e, value):
        return True
    for act in judge.activations:
        if act.kind != "sigmoid" or act.z not in check.targets:
            continue
        laid = judge.laid_out(value, act.z)
        if laid is None or laid.size < 2:
            continue
        slope = act.derivative()
        with np.errstate(all="ignore"):
            without = laid / slope
        if np.isfinite(without).all() and judge.ratio(without, act.z) is not None:
            found = search(judge, check, run, quick=True)
            right = found[1].text if found and found[0] == check.sid else ""
            if not right:
                return False
            judge.blame(
                check.sid,
                "a cost that is not the one whose gradient is taken",
                f"{e.name} is the gradient of the squared error, with a factor for the sigmoid; the cost "
                "here is the cross-entropy, whose gradient has none",
                right,
                check,
            )
            judge.patches[check.sid] = found[1].tree
            return True
    return False


def _blame_squared_error(judge, check, e, value):
    """``dA = 2 * (A - Y)`` where the cost is the cross-entropy, whose dJ/dA is (A - Y) / (A (1 - A))."""
    act = next((act for act in judge.activations if act.kind == "sigmoid" and act.a in check.targets), None)
    if act is None or act.z in check.targets or judge.number(value, act.z) is None:
        return False
    node = judge.patches.get(check.sid, judge.program.statements[check.sid].node)
    node.sid = check.sid
    for slope in act.texts(judge.names_of(check.sid))[:1]:
        for tree in [node, *(edit.tree for edit in dropped(node, sites(node)))]:
            value_tree = value_of(tree)
            new = replaced(tree, {value_tree: ast.BinOp(value_tree, ast.Div(), expression(slope))})
            if is_one(judge.status(check, judge.run({check.sid: new}))):
                judge.blame(
                    check.sid,
                    "a cost that is not the one whose gradient is taken",
                    f"{e.name} is the gradient of the squared error; the cost here is the cross-entropy, whose "
                    f"gradient is divided by {slope}",
                    ast.unparse(new),
                    check,
                )
                judge.patches[check.sid] = new
                return True
    return False
