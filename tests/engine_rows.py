"""What the engine's tables list: a test of all of their rows need not be told of a new one."""

import re
from pathlib import Path

CSRC = Path(__file__).parent.parent / "csrc"
OPERANDS = {"unary": 1, "binary": 2, "ternary": 3, "unary_scalar": 2, "binary_scalar": 3}
# Operands for a row of csrc/python/ufuncs.inc, by its kind, when n = m = r = 4, so that any of them can be the output:
# a matrix, probabilities, a bias, a number for each example, labels.
LETTERS = {
    "product": "MM", "layer": "MMB", "bias": "MB", "row_sums": "M", "columns": "M", "matrix": "M",
    "column_pairs": "MM", "matrix_pairs": "MM", "loss": "Py", "loss_saving": "Py", "loss_targets": "PP",
    "loss_backward": "LPy", "loss_targets_backward": "LPP",
}  # fmt: skip

KINDS = {name: kind for kind, name in re.findall(
    r"^NNC_ELEMENTWISE\((\w+), \w+, (\w+),", (CSRC / "elementwise.inc").read_text(), flags=re.M)}  # fmt: skip
ELEMENTWISE = {name: OPERANDS[kind] for name, kind in KINDS.items()}
SQUARE = {name: LETTERS[kind] for name, kind in re.findall(
    r"^UFUNC\((\w+), (\w+),", (CSRC / "python" / "ufuncs.inc").read_text(), flags=re.M)}  # fmt: skip
ACTIVATIONS = re.findall(r"^NNC_ACTIVATION\(\w+, (\w+),", (CSRC / "activations.inc").read_text(), flags=re.M)
ACTIVATED = [name for name in ELEMENTWISE if f"{name}_backward" in ELEMENTWISE]  # their backward takes the output
APART = re.findall(  # the losses whose outputs do not mix
    r"^NNC_LOSS\(outputs, \w+, (\w+),", (CSRC / "losses.inc").read_text(), flags=re.M
)
for name in APART:
    SQUARE |= {name: LETTERS["loss_targets"], f"{name}_backward": LETTERS["loss_targets_backward"]}
APART_BOTH = [name + end for name in APART for end in ("", "_backward")]
