"""How names, shapes and numbers are written: as the notes do, in LaTeX and as plain text.

The node named ``W1`` is W with the superscript 1, ``x_i`` is x with the subscript i, ``y_hat`` is y with a hat,
``alpha`` is α. Any other name is set upright, letter by letter, whatever it contains. All LaTeX here works in
both MathJax and matplotlib's mathtext.
"""

import re
import unicodedata

import numpy as np

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ",
    "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Delta": "Δ",
}  # fmt: skip
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_NAME = re.compile(rf"(d?(?:[A-Za-z]|{'|'.join(GREEK)}))([0-9]*)(?:_({'|'.join(_ACCENTS)}))?(?:_([A-Za-z0-9]+))?")
_UPRIGHT = {c: "\\" + c for c in "_%${}"} | {"#": r"}\#\mathrm{", "&": "and", "`": "'", '"': "''"}  # for mathtext
_UPRIGHT |= {" ": r"\ ", "\\": r"\backslash ", "^": r"\wedge ", "~": r"\sim "}


def name_text(name):
    """A name as plain text.

    >>> [name_text(name) for name in ("W1", "y_hat", "x_2", "x_i", "alpha", "dW3", "loss")]
    ['W¹', 'ŷ', 'x₂', 'x_i', 'α', 'dW³', 'loss']
    """
    match = _NAME.fullmatch(name)
    if not match:
        return _one_line(name)
    base, above, accent, below = match.groups("")
    base = unicodedata.normalize("NFC", GREEK.get(base, base) + _ACCENTS.get(accent, ""))
    if below:
        below = below.translate(_LOWERED) if below.isdecimal() else "_" + below
    return base + above.translate(_RAISED) + below


def name_latex(name):
    r"""A name in LaTeX.

    >>> [name_latex(name) for name in ("W1", "y_hat", "x_2", "W_out", "alpha", "z12", "my loss")]
    ['W^1', '\\hat{y}', 'x_2', 'W_{\\mathrm{out}}', '\\alpha', 'z^{12}', '\\mathrm{my\\ loss}']
    """
    match = _NAME.fullmatch(name)
    if not match:
        return r"\mathrm{" + "".join(_UPRIGHT.get(c, c if c < "\U00010000" else "?") for c in _one_line(name)) + "}"
    base, above, accent, below = match.groups("")
    base = "\\" + base if base in GREEK else base
    base = rf"\{accent}{{{base}}}" if accent else base
    word = len(below) > 1 and not below.isdecimal()  # upright, or it would be a product of letters
    return base + _script("^", above) + _script("_", rf"\mathrm{{{below}}}" if word else below)


def _one_line(name):
    """The name without control characters, which no font has and XML forbids."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())


def _script(mark, text):
    return text and mark + (text if len(text) == 1 else "{" + text + "}")


def shape_text(shape):
    """A shape as plain text.

    >>> shape_text((200, 784)), shape_text((64,)), shape_text(())
    ('200×784', '64', 'scalar')
    """
    return "×".join(map(str, shape)) or "scalar"


def shape_latex(shape):
    r"""A shape in LaTeX; a scalar has none.

    >>> shape_latex((200, 784)), shape_latex((64,)), shape_latex(())
    ('200\\times 784', '64', '')
    """
    return r"\times ".join(map(str, shape))


def number_text(x, digits=3):
    """A number as plain text, with a real minus sign.

    >>> number_text(-0.031415), number_text(255, 2), number_text(1.5e-12), number_text(2e6), number_text(float("nan"))
    ('−0.0314', '255', '1.5e−12', '2e6', 'nan')
    """
    return re.sub(r"e\+?(−?)0*", r"e\1", _digits(x + 0.0, digits).replace("-", "−"))


def _digits(x, digits):
    """So many significant digits, but 255 and not 2.6e+02."""
    return f"{x:.0f}" if 10**digits <= abs(x) < 10**5 else f"{x:.{digits}g}"


def number_latex(x, digits=3):
    r"""A number in LaTeX.

    >>> number_latex(1.234e-10, 2), number_latex(-2), number_latex(float("inf"))
    ('1.2\\cdot 10^{-10}', '-2', '\\infty')
    """
    text = _digits(x, digits)
    mantissa, _, exponent = text.partition("e")
    if exponent:
        return rf"{mantissa}\cdot 10^{{{int(exponent)}}}"
    return text.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}")


def summary(value):
    """An array in a few characters: its numbers when there are at most three, else the least and the greatest.

    >>> summary(np.float64(-10)), summary(np.array([[1.0], [2.0]])), summary(np.arange(6) / 4)
    ('−10', '1, 2', '0 … 1.2')
    >>> summary(np.zeros((2, 3))), summary(np.zeros((0, 3))), summary(None)
    ('all 0', 'empty', '–')
    """
    if value is None:
        return "–"
    value = np.asarray(value)
    if value.size == 0:
        return "empty"
    if value.dtype.kind not in "biuf":
        return str(value.dtype)
    if value.size == 1:
        return number_text(value.item(), 4)
    if value.size <= 3:
        return ", ".join(number_text(x) for x in value.ravel().tolist())
    least, greatest = value.min().item(), value.max().item()  # NaN propagates
    if least == greatest or least != least:
        return "all " + number_text(least) if least == least else "nan inside"
    return f"{number_text(least, 2)} … {number_text(greatest, 2)}"


_PLAIN = {
    r"\partial": "∂", r"\circ": "∘ ", r"\cdot": "· ", r"\times": "×", r"\delta": "δ", r"\ldots": "…", r"\infty": "∞",
    r"\ln": "ln ", r"\left": "", r"\right": "", r"\qquad": "   ", r"\,": " ", r"\ ": " ", r"\wedge": "^", r"\sim": "~",
    r"\backslash": "\\", "-": "−",
}  # fmt: skip
_PLAIN |= {"\\" + word: letter for word, letter in GREEK.items()} | {"\\" + c: c for c in "_%${}#"}
_TOKEN = re.compile(r"\\[A-Za-z]+ ?|\\.|.")


def latex_text(latex):
    r"""The LaTeX of a formula of this package as one line of plain text.

    >>> print(latex_text(r"\frac{\partial J}{\partial W^1}_{2\times 3} = (P_{2\times 5} - Y)\,(X_{3\times 5})^T"))
    ∂J/∂W¹[2×3] = (P[2×5] − Y) (X[3×5])ᵀ
    >>> print(latex_text(r"\frac{a + b}{2} \circ e^{x} \circ \delta_{z>0} + \sum_{j=1}^{64} \mathrm{sign}(x_3)"))
    (a + b)/2 ∘ e^x ∘ δ[z>0] + Σ[j=1…64] sign(x₃)
    """
    return " ".join(_sequence(_TOKEN.findall(latex)[::-1]).split())


def _sequence(tokens):
    """Everything up to the closing brace, popped from the end of the reversed tokens."""
    text = ""
    while tokens and tokens[-1] != "}":
        text += _script_text(tokens) if tokens[-1] in "^_" else _piece(tokens)
    return text


def _piece(tokens):
    """The next token, or braces and what they enclose, or a command with its arguments."""
    token = tokens.pop()
    command = token.rstrip()
    if token == "{":
        text = _sequence(tokens)
        tokens.pop()
        return text
    if command == r"\frac":
        above, below = _piece(tokens), _piece(tokens)
        return f"{_closed(above)}/{_closed(below)}"
    if command == r"\sqrt":
        return "√" + _closed(_piece(tokens))
    if command[1:] in _ACCENTS:
        return unicodedata.normalize("NFC", _piece(tokens) + _ACCENTS[command[1:]])
    if command == r"\left" and tokens[-1] == ".":
        tokens.pop()
        return ""
    if command == r"\sum":
        ends = []
        while tokens and tokens[-1] in "^_":
            tokens.pop()
            ends.append(_piece(tokens))
        return "Σ" + ("[" + "…".join(ends) + "]" if ends else "") + " "
    if command in (r"\mathrm", r"\mathbf"):
        return _piece(tokens)
    return _PLAIN.get(command or token, command[1:] if len(command) > 1 else token)


def _script_text(tokens):
    """A superscript or subscript: raised or lowered digits where they exist, brackets for shapes and conditions."""
    mark, braced = tokens.pop(), tokens[-1] == "{" and tokens[-2] != r"\mathrm"
    text = _piece(tokens)
    if mark == "^":
        return "ᵀ" if text == "T" else text.translate(_RAISED) if text.isdecimal() else "^" + _closed(text)
    if braced and not text.isalpha():
        return f"[{text}]"
    return text.translate(_LOWERED) if text.isdecimal() else "_" + text


def _closed(text):
    """The text, in parentheses if it needs them next to a slash."""
    inner = text.removeprefix("∂")
    depth = 0
    for i, c in enumerate(inner):
        depth += (c == "(") - (c == ")")
        if depth == 0 and c == ")" and i == len(inner) - 1 and inner[0] == "(":
            return text  # it is in parentheses already
        if depth == 0 and c in " +−":
            return f"({text})"
    return text
