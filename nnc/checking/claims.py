"""Which name claims which derivative: ``dW1``, ``grad_W1``, ``W1_grad``, ``grads["W1"]``, ``delta_2``, ``nabla_w[1]``.

A name is split into the name of the value whose gradient it is, its *stem*, and the kind of claim. Whether the forward
pass has such a value, and whether the shapes fit, is for the caller to check.
"""

import re
from dataclasses import dataclass

COSTS = ("J", "cost", "loss", "L", "total_loss", "total_cost", "mse", "sse", "objective")
COSTS += ("E_total", "total_error", "Loss", "Cost", "MSE", "bce")
POSSIBLE_COSTS = ("E", "C", "error", "j", "l", "e", "c", "err")  # or the vector of errors
_COST = r"(?:J|L|E|C|cost|loss|error|err|mse|total_loss)"
_GRAD = r"(?:grads?|gradients?|nabla|deriv|derivative|partial|der|del)"
_CONTAINER = re.compile(rf"(?:self\.)?_?(?:{_GRAD}|gs?|derivs|derivatives|d|nablas)$", re.I)
_FORMS = [  # (pattern, kind)
    (rf"d_?{_COST}_?(?:_by)?_?d_?(?P<stem>\w+)", "gradient"),
    (rf"{_GRAD}_(?P<stem>\w+)", "gradient"),
    (r"(?:grad|Grad|nabla)(?P<stem>[A-Z]\w*)", "gradient"),
    (rf"(?P<stem>\w+?)_?(?:{_GRAD}|Grad)", "gradient"),
    (r"d_?(?P<stem>\w+)", "gradient"),
    (r"[gG]_?(?P<stem>\w+)", "gradient"),
    (r"(?P<stem>\w+)_(?:bar|g|d|derivative)", "gradient"),
    (r"(?:delta|Delta|DELTA)_?(?P<stem>\w+)", "delta"),
    (r"(?P<stem>\w+?)_(?:delta|Delta)", "delta"),
    (r"(?:step|update|change|adjust|adjustment|upd|v|velocity)_?(?P<stem>\w+)", "step"),
    (r"(?P<stem>\w+?)_(?:step|update|change|adjustment|upd|velocity)", "step"),
    (r"(?:err|error|e|backprop|back|sens|sensitivity)_?(?P<stem>\w+)", "weak"),
    (r"(?P<stem>\w+?)_(?:err|error|sens)", "weak"),
]
_FORMS = [(re.compile(p), kind) for p, kind in _FORMS]
_SAME = [
    {"w", "weights", "weight", "ws", "W", "Ws", "thetas", "theta"},
    {"b", "biases", "bias", "bs", "B"},
    {"z", "zs", "Z", "Zs"},
    {"a", "as", "activations", "A", "As", "a_s"},
    {"x", "X", "inputs", "inp", "input"},
]
# a name that says derivative, without saying of what
DERIVATIVE = re.compile(r"delta|grad|g$|d_|d[A-Z\d]|d[a-z]\d*$|dout|dscores|<\w*(deriv|grad|delta|backward|prime)\w*>")
PRIME = re.compile(r"prime|deriv|grad|^d_?[a-z]|_d$", re.I)  # a function: that of an activation
CLAIM = re.compile(r"(d_?[A-Z]|d_\w|grad|nabla)\w*|\w+_grad")  # certainly a derivative
VELOCITY = re.compile(r"(v|velocity|momentum)_?\w+|\w+_(v|velocity|momentum)")  # may have a learning rate in it
STEP = re.compile(r"step|upd|change|adj|delta|move|direction|descent|vel|v\d*$", re.I)  # may be minus a gradient
GRADIENT = re.compile(rf"{_GRAD}|d{_COST}", re.I)  # without saying of what
DATA = re.compile(
    r"x\w?|inp\w*|data|images?|features?|a_?0|l_?0|layer_?0|h_?0|batch|x_?\w*|examples?|targets?|labels?|y\w*|t", re.I
)
PARAMETERS = {
    **dict.fromkeys(("w", "W", "weight", "weights", "ws", "Ws", "theta", "Theta"), "weights"),
    **dict.fromkeys(("b", "B", "bias", "biases", "bs"), "biases"),
}  # a parameter of any layer
_PARTIAL = r"(?:d|D|partial|del)"


@dataclass(frozen=True)
class Stem:
    """What a name claims to be the derivative of."""

    name: str
    key: object  # 1 for dW[1]
    kind: str  # "gradient", "delta", "step", "weak"


def last(base):
    """The last part of a dotted or indexed name."""
    return re.split(r"[.\[]", base.rstrip("]"))[-1].strip("'\"") if "." in base or "[" in base else base


def label(base, key):
    """(name, number or None): what a forward value is known as."""
    if isinstance(key, str):
        return key, None
    return last(base), key


def holds_gradients(base):
    """Whether it is the name of a dictionary or a list of gradients."""
    return bool(_CONTAINER.match(last(base)))


def stems(base, key=None):
    """What the name of an assignment may claim, the most certain first.

    >>> [(s.name, s.key) for s in stems("dW1")], [(s.name, s.key) for s in stems("grads", "W1")]
    ([('W1', None)], [('W1', None)])
    >>> stems("nabla_w", 1)[0]
    Stem(name='w', key=1, kind='gradient')
    """
    found = []
    if isinstance(key, str):
        if holds_gradients(base) and not key.startswith(("d", "grad")):
            found.append(Stem(key, None, "gradient"))
        base, key = key, None
    if base.endswith((".grad", ".g", ".gradient")):
        found.append(Stem(last(base.rsplit(".", 1)[0]), key, "gradient"))
    name = last(base)
    for pattern, kind in _FORMS:
        match = pattern.fullmatch(name)
        if match and match["stem"] and not match["stem"].startswith("__"):
            stem = match["stem"].strip("_")
            if stem and all((s.name, s.key) != (stem, key) for s in found):
                found.append(Stem(stem, key, kind))
    return found


def local_pairs(base, key=None):
    """[(A, B)]: what a name such as ``dA_dB`` may claim to be the derivative of, and by what, one pair for each way to
    split it. Whether there are such values is for the caller to check.

    >>> local_pairs("d_h1_d_w1"), local_pairs("partial_a_z")
    ([('h1', 'w1')], [('a', 'z')])
    """
    name = key if isinstance(key, str) else last(base)
    found = []
    for i in range(1, len(name)) if re.match(_PARTIAL, name) else ():
        of = rf"{_PARTIAL}_?(?P<of>\w{{{i}}})_?(?:(?:by|over|wrt)_)?"
        for form in (rf"{of}{_PARTIAL}_?(?P<by>\w+)", rf"partial_(?P<of>\w{{{i}}})_(?P<by>\w+)"):
            match = re.fullmatch(form, name)
            pair = match and (match["of"].strip("_"), match["by"].strip("_"))
            if pair and all(pair) and pair not in found and not re.fullmatch(_COST, pair[0]):
                found.append(pair)
    return found


def nearness(stem, known_as):
    """How well a stem fits the (name, number) of a forward value: 0 the best, None not at all."""
    name, key = known_as
    stem_text = stem.name + ("" if stem.key is None else str(stem.key))
    text = name + ("" if key is None else str(key))
    plain = text.replace("_", "")
    if stem_text == text:
        return 0
    if stem_text.replace("_", "") == plain:
        return 1
    if stem_text.replace("_", "").lower() == plain.lower():
        return 2
    if any(stem.name in same and name in same for same in _SAME) and stem.key == key:
        return 3
    if stem.key is None and isinstance(key, int) and stem.name in (name, name[:-1] if name.endswith("s") else name):
        return 3.5  # ``dA`` of one of A[l]
    if stem.kind in ("delta", "weak") and stem.key is None and re.fullmatch(r"_?\d+", stem.name):
        number = re.search(r"\d+$", plain)
        if number and number[0] == stem.name.strip("_"):
            return 4 if plain[0] in "zZ" else 5
    return None


def same_names(names):
    """The names that mean the same as some of these: bias for b."""
    return {name for same in _SAME if not same.isdisjoint(names) for name in same}


def is_weak(base, key=None):
    """Whether the name says error, which may mean any of a layer's derivatives."""
    found = stems(base, key)
    return bool(found) and found[0].kind == "weak"


def is_strict(base, key=None):
    """Whether the name says that it is a derivative, so that a multiple of one is wrong."""
    found = stems(base, key)
    return bool(found) and found[0].kind == "gradient"
