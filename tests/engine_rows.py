"""The rows of the engine's tables, read from csrc, so that a test of all rows also tests a new one."""

import re
from pathlib import Path

CSRC = Path(__file__).parent.parent / "csrc"
COUNTS = {"unary": 1, "binary": 2, "ternary": 3, "unary_scalar": 2, "binary_scalar": 3}
# Operands for a row of csrc/python/ufuncs.inc, by its kind, when n = m = r = 4, so that any of them can be the output:
# a matrix, probabilities, a bias, a number for each example, labels.
OPERANDS_BY_KIND = {
    "product": "MM", "layer": "MMB", "bias": "MB", "row_sums": "M", "columns": "M", "matrix": "M",
    "column_pairs": "MM", "matrix_pairs": "MM", "loss": "Py", "loss_saving": "Py", "loss_targets": "PP",
    "loss_backward": "LPy", "loss_targets_backward": "LPP",
}  # fmt: skip

KINDS = {name: kind for kind, name in re.findall(
    r"^NNC_ELEMENTWISE\((\w+), \w+, (\w+),", (CSRC / "elementwise.inc").read_text(), flags=re.M)}  # fmt: skip
ELEMENTWISE = {name: COUNTS[kind] for name, kind in KINDS.items()}
OPERANDS = {name: OPERANDS_BY_KIND[kind] for name, kind in re.findall(
    r"^UFUNC\((\w+), (\w+),", (CSRC / "python" / "ufuncs.inc").read_text(), flags=re.M)}  # fmt: skip
ACTIVATIONS = re.findall(r"^NNC_ACTIVATION\(\w+, (\w+),", (CSRC / "activations.inc").read_text(), flags=re.M)
WITH_BACKWARD = [name for name in ELEMENTWISE if f"{name}_backward" in ELEMENTWISE]  # their backward takes the output
ELEMENTWISE_LOSSES = re.findall(  # L is a sum over the outputs
    r"^NNC_LOSS\(outputs, \w+, (\w+),", (CSRC / "losses.inc").read_text(), flags=re.M
)
for name in ELEMENTWISE_LOSSES:
    OPERANDS[name] = OPERANDS_BY_KIND["loss_targets"]
    OPERANDS[f"{name}_backward"] = OPERANDS_BY_KIND["loss_targets_backward"]
LOSS_FUNCTIONS = [name + end for name in ELEMENTWISE_LOSSES for end in ("", "_backward")]
