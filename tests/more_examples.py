"""Operands for rows of the table of operations, in addition to those in `test_rules.EXAMPLES`."""

import numpy as np
from operands import away, inside, of_rank, positive, regular

MORE_CONSTANTS = {"ldexp": [1], "piece": [1]}


def more_examples():
    ANY = [(away(3, 4),), (away(),), (away(2, 1, 3),)]
    WIDE = [(3 * away(3, 4),), (2.3 * away(),)]
    PAIRS = [(away(3, 4), away(3, 4) + 0.013), (away(3, 1), away(4)), (away(3, 4), 0.7), (away(), away(2, 3))]
    QUOTIENTS = [(3 * away(3, 4), 0.31), (3.05, away(3)), (2.2, away(3, 1) - 1.3)]
    return {
        **dict.fromkeys(("arcsinh", "arctanh", "deg2rad", "rad2deg"), ANY),
        "arccosh": [(1 + inside(3, 4),)],
        "sinc": [*ANY, (5 * away(3, 4),), (0.1 * away(5),), (np.array([0.3, 1 / np.pi, -2.0]),)],
        **dict.fromkeys(("logaddexp2", "copysign"), PAIRS),
        **dict.fromkeys(("fmax", "fmin"), PAIRS[:1] + PAIRS[2:]),
        **dict.fromkeys(("remainder", "fmod", "floor_divide"), QUOTIENTS),
        **dict.fromkeys(("floor", "ceil", "rint", "trunc", "angle", "imag"), WIDE),
        "round": [*WIDE, (3 * away(3), {"decimals": 1})],
        "ldexp": [(away(3, 4), np.array([1, -2, 0, 3]))],
        "piece": [(away(3, 4), np.arange(4))],
        "logsumexp": [(3 * away(3, 4),), (away(3, 4), {"axis": 1}), (away(3, 4), {"axis": None})]
        + [(away(2, 3, 4), {"axis": (0, -1), "keepdims": True}), (np.array([[800.0, 801.0], [-90.0, -91.0]]).T,)],
        "diagflat": [(away(3, 4),), (away(3), {"k": -2})],
        "cumprod": [(away(3, 4),), (away(3, 4), {"axis": 0}), (away(2, 3, 4), {"axis": 1}), (away(1),)]
        + [(np.array([0.5, 0.0, 2.0, 0.0, 3.0]),)],
        "convolve": [(away(5), away(2)), (away(3), away(4), {"mode": "same"}), (away(5), away(3), {"mode": "valid"})],
        "det": [(regular(3, 3),), (regular(2, 2, 2),), (of_rank(2, 3, 3),), (away(1, 1),)],
        "logabsdet": [(regular(3, 3),), (-regular(2, 3, 3),)],
        "inv": [(regular(3, 3),), (regular(2, 2, 2),)],
        "pinv": [(regular(4, 3),), (regular(2, 2, 3),)],
        "solve": [(regular(3, 3), away(3)), (regular(3, 3), away(3, 2)), (regular(2, 2, 2), away(2, 1))],
        "lstsq": [(regular(4, 3), away(4)), (regular(3, 4), away(3, 2))],
        "cholesky": [(positive(3),), (positive(2, 2), {"upper": True})],
        "eigvalsh": [(positive(3),), (away(3, 3), {"UPLO": "U"}), (positive(2, 2),)],
        "eigh": [(positive(3),), (away(3, 3), {"UPLO": "U"}), (positive(2, 2),)],
        "svdvals": [(regular(4, 3),), (regular(2, 2, 3),)],
        "svd": [(regular(4, 3),), (regular(3, 4),), (regular(2, 2, 2),)],
        "qr": [(regular(4, 3),), (regular(3, 4),), (regular(2, 2, 2),)],
        "norm": [(away(3, 4),), (away(3, 4), {"axis": 0}), (away(2, 3), {"ord": 3, "axis": 1, "keepdims": True})],
    }
