"""Judging a derivation line by line: what each line claims, whether it is right given its operands, and what is wrong.

A line is judged after the lines before it have been put right, so that only roots are blamed. A wrong line is put right
by the edit of `nnc.checking.edits` that gives the true derivative, or, where there is none, by that derivative itself.
"""

import ast
import time
from dataclasses import dataclass, field

import numpy as np

from ..autodiff.node import ancestors
from . import claims
from .edits import combined, edits
from .edits_of_activations import derivative_inserted
from .edits_of_operations import dropped, other_operators
from .factors import Factor, Factors
from .hypotheses import Activation, Edit, View
from .rewrite import load
from .scopes import counters, in_the_words_of_loops
from .syntax import expression, replaced, sites, value_of
from .trace import Unknown
from .truth import Truth

MOST_EDITS = 1500
MOST_SECONDS, MOST_SECONDS_IN_ALL = 8.0, 15.0  # for one fault, and for all of them


@dataclass(eq=False)
class Check:
    """A value that claims to be a derivative, or an update of a parameter."""

    id: tuple
    targets: list  # any of these
    kind: str  # "gradient" of a parameter, "inner", "step", "update"
    explicit: bool = False
    strict: bool = True  # its name says derivative, which a multiple is not
    skip: bool = False  # its name was misunderstood
    is_custom: bool = False  # an update that is more than a step
    parts: tuple = ()  # ids of what several calls of a function add to a gradient, one for each example

    @property
    def sid(self):
        return self.id[0]


@dataclass(eq=False)
class Fault:
    sid: int
    name: str
    reason: str
    sentence: str
    right: str
    unexplained: bool = False
    parts: list = field(default_factory=list)


class Judge:
    """Everything that is known about one run of the reader's code, and the verdict on it."""

    def __init__(self, program, trace, J, explicit, forward_patches=(), light=False, wrap=()):
        self.program, self.trace, self.J = program, trace, J
        self.events = trace.events
        self.patches, self.overrides, self.faults = dict(forward_patches), {}, []
        self.explicit_names, self.wrap = explicit, set(wrap)
        self.truth = Truth(program, trace.events, J, set(wrap), forward_patches)
        self.graphical = self.truth.how == "graph"
        self.tolerance = 1e-6 if self.graphical else 3e-5
        self.factors = self._factors()
        self._influence, self._names, self._scopes, self._of_parameters, self.remarks = {}, {}, {}, None, []
        self.waiting = {}  # statement that raises an exception -> the checks that it leaves without a value
        now = time.process_time()
        program.until = program.until or now + MOST_SECONDS_IN_ALL
        self.until = max(program.until, now + MOST_SECONDS / 2)
        self.rescaled = set()  # the statements of which a factor was taken back
        self._diagnosed = {}  # id of a check -> how often it was looked into
        self.is_scaled = False  # whether all factors have been judged
        self.steps = False  # whether what is called a gradient is the step against it
        self.activations = self._activations()
        self.forward = set(self.truth.of)
        for e in self.events:  # ``A_prev, W, b = cache``: other names in the backward pass
            target = self.truth.of.get(self.events[e.source].id)
            if target is not None and e.id not in self.truth.of:
                target.aliases.append(e.id)
        self.taken = {}  # id of an event -> (Target, Factor): what it was recognised as
        self.checks = self._find_checks()
        self.conventions = {}

    # ---- numbers ---------------------------------------------------------------------------------------------------

    def _factors(self):
        sizes, names, numbers = {}, {}, {}
        for e in self.events:
            if isinstance(e.value, int | np.integer) and not isinstance(e.value, bool) and e.how != "returned":
                names.setdefault(int(e.value), e.base if e.key is None else e.name)
            elif isinstance(e.value, float | np.floating) and e.id not in self.truth.of and e.how != "returned":
                if 0 < abs(float(e.value)) != 1 and len(numbers) < 5 and e.index < self.J.index:
                    numbers.setdefault(float(e.value), e.name)
        for n in self._batches():
            sizes[n] = names.get(n, str(n))
        for target in self.truth.targets:
            for n in (*target.shape, target.gradient.size if target.gradient.ndim == 2 else 1):
                if n > 1 and len(sizes) < 7:
                    sizes.setdefault(int(n), names.get(n, str(n)))
        return Factors(sizes, numbers, 1e-8 if self.graphical else 2e-5)

    def _batches(self):
        """The numbers of examples: what J is a mean over, then the axes that most of the forward pass has."""
        from .check_gradient import _means

        found = []
        if self.graphical:
            leaf = next((t for t in self.truth.targets if t.is_leaf), None)
            if leaf is not None:
                found += [r for r, _ in _means(self.truth.graph)]
            for node in ancestors(self.truth.graph):  # a sum over a loop, divided by its length
                divisor = node.inputs[1] if node.op == "divide" and node.size == 1 else None
                if isinstance(divisor, int | np.integer) and divisor > 1:
                    found.append(int(divisor))
        axes = {}
        for target in self.truth.targets:
            if not target.is_leaf:
                for n in set(target.shape):
                    axes[n] = axes.get(n, 0) + 1
        counted = {e.value for e in self.events if isinstance(e.value, int)}
        known = {*axes, *counted}  # of a mean over 2 m it is m
        found = [r // 2 if r not in known and r % 2 == 0 and r // 2 in axes else r for r in found]
        known |= {t.gradient.size for t in self.truth.targets}
        found = [r for r in found if r in known]  # else it is the factor of a penalty, or of a half
        found += sorted((n for n in axes if n > 1), key=lambda n: -axes[n])[:1]
        return list(dict.fromkeys(int(n) for n in found))

    def same(self, a, b, known=None, loose=1.0):
        if known is not None and known.shape == np.shape(b) and np.shape(a) == np.shape(b):
            a, b = a[known], b[known]
        if not np.isfinite(a).all():
            return False
        scale = max(float(np.max(np.abs(b), initial=0)), 1e-12)
        return bool(np.max(np.abs(a - b), initial=0) <= loose * self.tolerance * scale + 1e-11)

    def laid_out(self, value, target):
        """The value in the target's shape, if it is that but for axes of length 1 that do no harm; else None."""
        value, shape = np.asarray(value), target.shape
        if value.dtype.kind not in "fiub" or value.size != target.gradient.size:
            return None
        try:
            if np.prod(np.broadcast_shapes(value.shape, shape), dtype=int) != value.size:
                return None
        except ValueError:
            return None
        return value.astype(np.float64).reshape(shape)

    def ratio(self, value, target, with_numbers=False):
        """The Factor k of value = k · dJ/d(target), or None."""
        value = self.laid_out(value, target)
        if value is None:
            return None
        right, known = target.gradient, target.known
        v, r = (value, right) if known is None else (value[known], right[known])
        square = float(np.sum(r * r))
        if v.size == 0:
            return self.factors.nice(1.0)
        if square == 0:
            return self.factors.nice(1.0) if not np.any(np.abs(v) > 1e-12) else None
        k = float(np.sum(v * r)) / square
        if k == 0 or not self.same(v, k * r):
            return None
        return self.factors.nice(k, with_numbers)

    def number(self, value, target):
        """k as a number, nice or not; None where there is none."""
        value = self.laid_out(value, target)
        if value is None:
            return None
        known = np.ones(value.shape, bool) if target.known is None else target.known
        square = float(np.sum(target.gradient[known] ** 2))
        k = float(np.sum(value[known] * target.gradient[known])) / square if square else 0.0
        return k if k and self.same(value, k * target.gradient, target.known) else None

    # ---- the forward pass ------------------------------------------------------------------------------------------

    def _activations(self):
        found = []
        targets = [t for t in self.truth.targets if t.value.size and np.isfinite(t.value).all()]
        for i, a in enumerate(targets):
            if a.is_leaf or not a.shape and not a.is_named:
                continue
            before = targets[i - 1 :: -1] if i else []
            before = before if a.shape else [*reversed(self.truth.scalars), *before]
            for z in [z for z in before if z.shape == a.shape and z is not a and (z.is_named or a.is_named)][:12]:
                kind, slope = _elementwise(z.value, a.value)
                if kind:
                    known = next((act for act in found if act.a is a), None)
                    if known is None:
                        found.append(Activation(kind, a, z, slope))
                    elif z.is_named and not known.z.is_named:
                        known.z = z
        return found

    def scope(self, sid):
        """{text: (value, index of its event)} of what a statement can see."""
        if sid not in self._scopes:
            statements = self.program.statements
            self._scopes[sid] = in_the_words_of_loops(statements[sid], statements, self.trace.scopes.get(sid, {}))
        return self._scopes[sid]

    def names_of(self, sid):
        """Of a statement: target -> the texts that have its value there."""
        if sid not in self._names:
            table = {}
            for text, (_, index) in self.scope(sid).items():
                if index is not None and index < len(self.events):
                    target = self.truth.of.get(self.events[index].id)
                    if target is not None:
                        table.setdefault(id(target), []).append(text)
            calls = len({e.frame for e in self.events if e.sid == sid})
            for texts in table.values():  # of a method that several objects have, what is the object's own
                texts.sort(key=lambda text: (calls > 1 and not text.startswith("self."), len(text)))
            self._names[sid] = lambda target: table.get(id(target), [])
        return self._names[sid]

    # ---- which line claims what ------------------------------------------------------------------------------------

    def _find_checks(self):
        found, partial = [], []
        depends = self._depends()
        explicit = self._explicit()
        for e in self.events:
            if e.id in explicit and e.id not in self.forward:
                target = explicit[e.id]
                found.append(self._check(e, [target], True))
                continue
            if e.id in self.forward or e.how in ("bound", "returned"):
                continue
            if e.id not in depends and e.value is not None and not self._is_final(e):
                continue
            if self._is_partial(e):
                partial += [(e, t) for t in self._claimed(e)[0][:1]]
                continue
            update = self._updated(e)
            if update is not None:
                found.append(Check(e.id, [update], "update", strict=False))
                continue
            targets, stem = self._claimed(e)
            if e.source != e.index:  # handed on: of a function that judged it already, or another name for the same
                origin = next((c for c in found if c.id == self.events[e.source].id), None)
                is_known = origin is not None and not set(origin.targets).isdisjoint(targets)
                if is_known and (len(targets) == 1 or not self._is_plain_copy(e)) or e.how == "in place":
                    continue
            if targets:
                found.append(self._check(e, targets, False, stem))
        return self._last_turns(found, partial)

    def _last_turns(self, checks, partial):
        """Without those of a parameter's gradient that the next turn of the loop assigns anew: the last one counts."""
        last = {}
        for e, target in sorted(
            [*partial, *((self.trace.by_id[c.id], c.targets[0]) for c in checks)], key=lambda x: x[0].index
        ):
            last[e.sid, e.base, e.key, e.frame, target] = e.id
        kept = set(last.values())
        return self._of_calls([c for c in checks if c.id in kept or c.kind not in ("gradient", "step") or c.explicit])

    def _of_calls(self, checks):
        """With one check for what the calls of a function, one for each example or moment, add to a gradient."""
        groups, found = {}, []
        for c in checks:
            if c.kind in ("gradient", "step") and not c.explicit:
                e = self.trace.by_id[c.id]
                groups.setdefault((e.sid, e.base, e.key, c.targets[0]), []).append(c)
        for c in checks:
            e = self.trace.by_id[c.id]
            group = groups.get((e.sid, e.base, e.key, c.targets[0]), [c])
            if len({self.trace.by_id[g.id].frame for g in group}) < 2:
                found.append(c)
            elif c is group[-1]:
                parts = tuple(g.id for g in group)
                found.append(Check(c.id, c.targets, "inner", strict=False, parts=parts))
        return found

    def _check(self, e, targets, explicit, stem=None):
        leaf = targets[0].is_leaf and not self._is_data(targets[0])
        own = claims.stems(e.base, e.key)
        kind = stem.kind if stem else own[0].kind if own else "weak"
        strict = kind == "gradient" or kind == "delta" and not leaf
        if leaf:
            return Check(e.id, targets, "gradient" if kind in ("gradient",) else "step", explicit, strict)
        return Check(e.id, targets, "inner", explicit, strict)

    def _is_final(self, e):
        """Whether a parameter's gradient ends as this. Where it is the same for all parameters, it claims to be the
        derivative nonetheless: zeros may be wrong, and so may ones, which are right of a plain sum."""
        if not (e.is_array and claims.is_strict(e.base, e.key)) or np.any(e.value) and e.index < self.J.index:
            return False
        return not any((o.base, o.key) == (e.base, e.key) for o in self.events[e.index + 1 :])

    def _is_data(self, target):
        return bool(claims.DATA.fullmatch(claims.label(*self._base(target))[0]))

    def _base(self, target):
        e = self.trace.by_id.get(target.index)
        return (e.base, e.key) if e else ("", None)

    def _depends(self, data=True):
        """The ids of all values that come of the forward pass's floats, or of its parameters alone."""
        rng = np.random.default_rng(5)
        leaves = [t for t in self.truth.targets if t.is_leaf and t.is_named and (data or not self._is_data(t))]
        moved = {t.index: t.value * (1 + 0.1 * rng.random(t.shape)) + 0.01 * rng.random(t.shape) for t in leaves}
        run = self.program.run(self.patches, overrides=moved, turns=self.trace.turns)
        changed = set()
        for e in self.events:
            other = run.by_id.get(e.id)
            if other is None or not _equal(e.value, other.value):
                changed.add(e.id)
        return changed

    def _comes_of_parameters(self, target):
        if self._of_parameters is None:
            self._of_parameters = self._depends(data=False)
        return not target.is_leaf and target.index in self._of_parameters

    def _is_partial(self, e):
        """Whether the next thing that happens to the same variable is that it is changed in place."""
        statement = self.program.statements[e.sid].node if e.sid >= 0 else None
        for other in self.events[e.index + 1 :]:
            if (other.base, other.key) == (e.base, e.key) and other.frame == e.frame:
                if other.how == "in place":
                    return other.was in (None, e.index, e.source)  # else it is another object of that name
                node = self.program.statements[other.sid].node if other.sid >= 0 else None
                if other.sid != e.sid and isinstance(node, ast.Assign) and claims.is_strict(e.base, e.key):
                    reads_itself = e.base in {ast.unparse(n) for n in ast.walk(node.value)}
                    if reads_itself and other.shape == e.shape and statement is not other and self._stays(node, e.base):
                        return True
                return False
        return False

    def _stays(self, node, base):
        """Whether ``dW = dW / m`` or ``dW = dW + reg * W``: elementwise in the variable itself."""
        todo = [node.value]
        while todo:
            n = todo.pop()
            if ast.unparse(n) == base:
                return True
            if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
                todo += [n.left, n.right]
            elif isinstance(n, ast.UnaryOp):
                todo.append(n.operand)
        return False

    def _updated(self, e):
        """The parameter that this is a new value of."""
        if isinstance(e.key, str) and claims.holds_gradients(e.base):
            return None  # grads["W1"] is no new params["W1"]
        if e.source != e.index and e.how != "in place" and self.events[e.source].id in self.forward:
            return None  # ``W1 = parameters["W1"]``: another name for it
        known, found = claims.label(e.base, e.key), []
        for target in self.truth.targets:
            if target.is_leaf and target.is_named:
                other = self.trace.by_id[target.index]
                if self._made_of(e) == other.index:
                    return target  # changed in place, by whatever name
                if known == claims.label(other.base, other.key) and other.index < e.index:
                    found.append((self._is_of_another(e, other), target))
        return min(found, key=lambda x: x[0])[1] if found else None

    def _made_of(self, e):
        """The event that made the object that another one changes in place; None if it is not known."""
        while e.how == "in place" and e.was is not None:
            e = self.events[e.was]
        return None if e.how == "in place" else e.source

    def _is_of_another(self, a, b):
        """Whether two attributes are those of two objects: the ``self.dW`` of one layer, the ``self.W`` of the next."""
        return None not in (a.owner, b.owner) and a.owner != b.owner

    def _claimed(self, e):
        """(the targets that the name may mean, the stem), the first the likeliest; ([], None) if it claims nothing."""
        if e.value is None or not isinstance(e.value, float | np.floating | np.ndarray):
            if e.value is not None:
                return [], None
        for stem in claims.stems(e.base, e.key):
            found = []
            for target in self.truth.targets:
                if not target.is_named:
                    continue
                for id_ in self._aliases(target):
                    other = self.trace.by_id.get(id_)
                    if other is None or other.index > e.index and other.index > self.J.index:
                        continue
                    near = claims.nearness(stem, claims.label(other.base, other.key))
                    if near is not None and not (near > 3 and target.is_leaf):
                        fits = e.value is None or self.laid_out(e.value, target) is not None
                        later = other.index > e.index
                        off = not fits and not target.is_leaf
                        apart = self._is_of_another(e, other)
                        turn = self._turns_apart(e, other)
                        found.append((near, apart, off, other.frame != e.frame, later, turn, -other.index, target))
            found.sort(key=lambda x: x[:7])
            if found:
                best = [t for near, apart, off, *_, t in found if (near, apart) == found[0][:2] and not off]
                if stem.kind in ("delta", "weak"):
                    best = self._with_preactivations(best + [t for *_, t in found])
                    best = [t for t in best if e.value is None or self.laid_out(e.value, t) is not None]
                best = list(dict.fromkeys(best))
                if best:
                    several = stem.kind in ("delta", "weak") or found[0][0] > 3 or self._is_of_turns(best)
                    return (best[:6] if several else best[:1]), stem
        return self._claimed_without_a_name(e)

    def _turns_apart(self, e, other):
        """0 where the loops around two assignments count the same, or the one counts the other's place in its list."""
        if e.frame == other.frame and (shared := e.counts.keys() & other.counts.keys()):
            if all(e.counts[name] == other.counts[name] for name in shared):
                return 0
        return 0 if isinstance(other.key, int) and other.key in e.counts.values() else 1

    def _is_of_turns(self, targets):
        """Whether the first of them are what one line assigned in the turns of a loop, and none is a parameter."""
        return len(targets) > 1 and not targets[0].is_leaf and targets[0].index[0] == targets[1].index[0]

    def _claimed_without_a_name(self, e):
        """``grad``: the derivative by the parameter, where there is one alone of its shape."""
        if e.value is None or not claims.GRADIENT.fullmatch(claims.last(e.base)) or np.ndim(e.value) == 0:
            return [], None
        leaves = [t for t in self.truth.targets if t.is_leaf and t.is_named and not self._is_data(t)]
        leaves = [t for t in leaves if t.shape == np.shape(e.value)]
        return (leaves, claims.Stem(leaves[0].name, None, "gradient")) if len(leaves) == 1 else ([], None)

    def _aliases(self, target):
        return target.aliases or [target.index]

    def _with_preactivations(self, targets):
        found = []
        for t in targets:
            found += [act.z for act in self.activations if act.a is t] + [t]
        return list(dict.fromkeys(found))

    def _explicit(self):
        """{id of an event: Target} of the names that the caller gave."""
        found = {}
        for key, of in self.explicit_names.items():
            name, _, k = key.partition("#")
            events = [
                e
                for e in self.events
                if name in _called(e) and e.how not in ("bound", "returned") and e.id not in self.forward
            ]
            if k:
                own = [e for e in events if e.index > self.J.index] or events
                events = own if len(own) >= int(k) else events
                events = [events[int(k) - 1]] if len(events) >= int(k) else []
            else:
                events = [e for e in events if not self._is_partial(e)]
            target = self._target_called(of)
            if target is None or not events:
                what = f"{key} is assigned to" if target is not None else f"the cost depends on {of}"
                self.remarks.append(f"names says that {key} is the derivative by {of}, but it was not seen that {what}")
                continue
            for e in events:  # in a loop: the one of the same turn
                before = None if "#" in of or e.index > self.J.index else self._target_called(of, e.index)
                found[e.id] = before or target
        return found

    def _target_called(self, of, before=None):
        name, _, k = of.partition("#")
        ids = [
            e.id
            for e in self.events
            if e.id in self.truth.of and name in _called(e) and e.index <= (before or self.J.index) and e.how != "bound"
        ]
        ids = ids or [e.id for e in self.events if e.id in self.truth.of and name in _called(e)]
        if not ids or k and int(k) > len(ids):
            return None
        return self.truth.of[ids[int(k) - 1] if k else ids[-1]]

    # ---- is it right? ----------------------------------------------------------------------------------------------

    def run(self, patches=(), overrides=(), stop=None):
        return self.program.run(
            {**self.patches, **dict(patches)},
            overrides={**self.overrides, **dict(overrides)},
            turns=self.trace.turns,
            stop=stop,
        )

    def value(self, run, id_):
        e = run.by_id.get(id_)
        return None if e is None or isinstance(e.value, Unknown) else e.value

    def status(self, check, run):
        """(True, Factor, Target), (False, None, Target) or (None, None, Target)."""
        if check.skip:
            return None, None, check.targets[0]
        value = self.value(run, check.id)
        if check.parts:
            values = [self.value(run, id_) for id_ in check.parts]
            value = None if any(v is None for v in values) else sum(values)
        if value is None:
            return False, None, check.targets[0]
        if check.kind == "update":
            return self._status_of_update(check, value)
        for target in check.targets:
            k = self.ratio(value, target, check.kind == "step" or not check.strict)
            if k is not None:
                return True, k, target
        if all(t.known is not None and not t.known.any() for t in check.targets):
            return None, None, check.targets[0]
        if check.kind == "step" and not check.explicit and np.size(value) == 1 == check.targets[0].gradient.size:
            return None, None, check.targets[0]  # a number by a rule of its own: a mean of squares, a momentum
        if check.kind == "step" and self._is_second_moment(value, check.targets[0]):
            return None, None, check.targets[0]
        if check.kind == "step" and claims.VELOCITY.fullmatch(claims.last(self.trace.by_id[check.id].base)):
            k = self.number(value, check.targets[0])
            if k is not None:  # with a learning rate in it
                return True, Factor(k, (f"{abs(k):.6g}",), ()), check.targets[0]
        return False, None, check.targets[0]

    def _is_second_moment(self, value, target):
        """Whether it is a multiple of the gradient's squares, as Adam's v."""
        laid, squares = self.laid_out(value, target), target.gradient**2
        size = float(np.sum(squares * squares))
        return laid is not None and size > 0 and self.same(laid, float(np.sum(laid * squares)) / size * squares)

    def _status_of_update(self, check, value):
        target = check.targets[0]
        if np.shape(value) != target.value.shape and np.size(value) != target.value.size:
            return False, None, target
        laid = self.laid_out(value, target)
        if laid is None:
            return False, None, target
        step = laid - target.value
        if not np.isfinite(step).all():
            return False, None, target
        if not np.any(step):
            return None, None, target
        known = np.ones(step.shape, bool) if target.known is None else target.known
        g = target.gradient
        square = float(np.sum(g[known] ** 2))
        if not square:
            return None, None, target
        k = float(np.sum(step[known] * g[known])) / square
        rounding = 1e-12 * np.max(np.abs(target.value), initial=0)
        if np.max(np.abs(step - k * g)[known], initial=0) > self.tolerance * abs(k) * np.max(np.abs(g)) + rounding:
            return (None if check.is_custom else False), None, target
        return (True if k < 0 else False), k, target

    def wrong(self, run, all_of_them=False):
        """The checks that are wrong in a run."""
        return [
            c
            for c in self.checks
            if (c.kind != "inner" or c.explicit or all_of_them) and self.status(c, run)[0] is False
        ]

    def wrong_statements(self, run):
        return len({c.sid for c in self.wrong(run)})

    def value_before(self, by_id, id_):
        e = by_id.get(id_)
        return None if e is None or isinstance(e.value, Unknown) else e.value

    def same_shape_and_value(self, now, was, factor):
        return np.shape(now) == np.shape(was) and self.same(np.asarray(now), factor * np.asarray(was))

    def unjudged(self, run):
        """The statements that claim a gradient, or update a parameter, and of which nothing is known."""
        sids = {c.sid for c in self.checks if self.status(c, run)[0] is None and c.kind != "inner"}
        for e in self.events[self.J.index + 1 :]:
            if e.is_array and e.how not in ("bound", "returned") and e.source == e.index and e.id not in self.forward:
                if (claims.CLAIM.match(claims.last(e.base)) or claims.holds_gradients(e.base)) and np.any(e.value):
                    sids.add(e.sid)
        return sids

    # ---- what depends on what --------------------------------------------------------------------------------------

    def influenced(self, sid, id_=None):
        """The ids of the values that change when those that a statement assigns do, or one of them."""
        if (sid, id_) not in self._influence:
            rng = np.random.default_rng(7)

            def moved(x):
                if isinstance(x, np.ndarray) and x.dtype == bool:
                    return ~x
                if isinstance(x, float | np.floating | np.ndarray) and np.asarray(x).dtype.kind == "f":
                    return x * 1.37 + 0.1 * rng.random(np.shape(x)) + 0.01
                return x

            own = [e.id for e in self.events if e.sid == sid and id_ in (None, e.id)]
            run = self.program.run(self.patches, overrides=dict.fromkeys(own, moved), turns=self.trace.turns)
            found = set()
            for e in self.events:
                other = run.by_id.get(e.id)
                if e.id not in own and (e.sid != sid or id_) and (other is None or not _equal(e.value, other.value)):
                    found.add(e.id)
            self._influence[sid, id_] = found
        return self._influence[sid, id_]

    def cone(self, check, settled):
        """The statements after the forward pass that go into a check and are not known to be right, nearest first."""
        own = self.trace.by_id[check.id].index
        failed = {id_[0] for id_, _, _ in self.trace.errors}
        found = {}
        for e in self.events:
            if e.id in self.forward or e.index >= own or e.sid in (check.sid, -1) or e.sid in settled:
                continue
            if e.value is None and e.sid in failed:
                found[e.sid] = e.index
            if e.how == "bound" or not isinstance(e.value, float | np.floating | np.ndarray):
                continue
            if np.asarray(e.value).dtype.kind not in "fb" or e.source != e.index and not self._is_plain_copy(e):
                continue
            found[e.sid] = e.index
        nearest_first = [sid for sid, _ in sorted(found.items(), key=lambda x: -x[1])]
        return [
            sid
            for sid in nearest_first
            if sid in failed or check.id in self.influenced(sid) and self.J.id not in self.influenced(sid)
        ]

    def _is_plain_copy(self, e):
        """``dZ = dA``, which may have lost something."""
        node = self.program.statements[e.sid].node
        return isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Subscript | ast.Attribute)

    def recognised(self, value):
        """(Target, Factor) that a value is, or None."""
        best = None
        if np.size(value) and np.asarray(value).dtype.kind == "f" and np.any(value):
            for target in self.truth.targets:
                if target.shape == np.shape(value) or target.gradient.size == np.size(value) > 1:
                    k = self.ratio(value, target)
                    if k is not None and np.any(target.gradient):
                        is_data = self._is_data(target) and not self._comes_of_parameters(target)
                        rank = (len(k.over) + len(k.under) + is_data / 2, not target.is_named, k.value < 0)
                        if best is None or rank < best[0]:
                            best = rank, target, k
        return best and best[1:]

    # ---- structure: lines that are no multiple of what they should be -------------------------------------------

    def judge(self):
        from .scales import judge_factors

        run = self.run()
        first = [self.status(c, run)[0] for c in self.checks if c.kind != "inner"]
        self.mostly_right = first.count(True) > first.count(False)
        self._judge_structure()
        judge_factors(self)
        self.is_scaled = True
        self._judge_structure()  # steps uphill, now that the gradients have their signs
        for check in self.steps_of_numbers():
            self._takes_another_gradient(check)
        return self

    def _judge_structure(self):
        for _ in range(60):
            run = self.run()
            self._note_what_is_right(run)
            check = self._first_wrong(run)
            if check is None:
                break
            self._diagnose(check, run)

    def _note_what_is_right(self, run):
        self.settled = {
            c.sid
            for c in self.checks
            if self.status(c, run)[0] and c.kind != "update" and (c.explicit or len(c.targets) == 1)
        }
        wrong = {c.sid for c in self.checks if self.status(c, run)[0] is False}
        self.settled -= wrong

    def _first_wrong(self, run):
        wrong = self.wrong(run, all_of_them=True)
        wrong = [c for c in wrong if not self._follows_its_gradient(c, run)]
        firm = [c for c in wrong if c.kind != "inner" or c.explicit]
        for check in wrong:
            if check.kind != "inner" or check.explicit or self._is_misshaped(check, run):
                return check
            after = [c for c in self.checks if c.id in self.influenced(check.sid) and (c.kind != "inner" or c.explicit)]
            hurt = [c for c in after if c in firm]
            if not hurt and (after or len(check.targets) > 1 or not check.strict):
                check.skip = True  # what comes of it is right: its name does not mean what we thought
                continue
            if hurt and not check.parts and not self._helps(check, hurt):
                check.skip = True
                continue
            return check
        return None

    def _is_misshaped(self, check, run):
        """Whether what is added to a gradient has not even its shape, which is no convention."""
        value = self.value(run, check.id)
        return bool(check.parts) and value is not None and self.laid_out(value, check.targets[0]) is None

    def _follows_its_gradient(self, check, run):
        """Whether a step is uphill because the gradient that it follows has the wrong sign."""
        if check.kind != "update" or self.status(check, run)[1] is None:
            return False
        if not self.is_scaled:
            return True  # first the gradients get their signs
        if self.steps:
            return False
        own = [c for c in self.checks if c.kind == "gradient" and c.targets[0] is check.targets[0]]
        return any(k is not None and k.value < 0 for k in (self.status(c, run)[1] for c in own))

    def _helps(self, check, hurt):
        """Whether what comes of a value is right when it is what its name claims."""
        before = self.wrong_statements(self.run())
        for target in check.targets:
            run = self.run(overrides=self._right_values(check.sid, {check.id: target}))
            if self.wrong_statements(run) < before or any(self.status(c, run)[0] for c in hurt):
                check.targets = [target, *[t for t in check.targets if t is not target]]
                return True
        return False

    def _right_values(self, sid, targets=(), factor=1.0):
        """Overrides that put right all that a statement assigns, where it is known."""
        found = {}
        for c in self.checks:
            if c.sid == sid and not c.skip and c.kind != "update" and not c.parts:
                target = dict(targets).get(c.id, c.targets[0])
                if target.known is None or self.graphical:
                    found[c.id] = _shaped(factor * target.gradient, self.trace.by_id[c.id].value)
        return found

    def _diagnose(self, check, run):
        """Name the root of what is wrong with a check, and put it right."""
        e = self.trace.by_id[check.id]
        self._diagnosed[check.id] = times = self._diagnosed.get(check.id, 0) + 1
        if times > 1:  # what was found does not last
            check.skip = times > 2
            if not check.skip:
                self._put_right(check, e, run)
            return
        for attempt in (
            self._rescaled_before,
            self._given_back,
            self._updated_before,
            self._own_gradient_unused,
            self._uphill,
            self._of_another_cost,
        ):
            if attempt(check, e, run):
                return
        found = self._search(check, run)
        if found is not None:
            sid, edit = found
            if sid == check.sid and "L2 term" not in edit.reason:
                node = self.patches.get(sid, self.program.statements[sid].node)
                penalty = self._regularised(node, value_of(node), self.value(run, check.id), check, self.scope(sid))
                edit.reason = next((e.reason for e in penalty), edit.reason)
            self._blame(sid, edit.reason, edit.sentence, edit.text, check, run)
            self.patches[sid] = edit.tree
            return
        if check.parts:
            check.skip = True  # what comes of it is judged
            return
        self._put_right(check, e, run)

    def _blame(self, sid, reason, sentence, right, check, run=None, unexplained=False):
        if any(f.sid == sid for f in self.faults):
            fault = next(f for f in self.faults if f.sid == sid)
            fault.right = right or fault.right
            return fault
        event = next((e for e in self.events if e.sid == sid), None)
        error = next((x for id_, x, _ in self.trace.errors if id_[0] == sid), None)
        if error is not None and reason != "raises":
            sentence = f"{sentence}; as it is, it raises {type(error).__name__}: {_one_line(error)}"
        fault = Fault(sid, event.name if event else "", reason, sentence, right, unexplained)
        self.faults.append(fault)
        return fault

    def _rescaled_before(self, check, e, run):
        """A factor in a line before, which a sum with another term has made more than a factor."""
        if check.kind != "gradient" and not (check.kind == "inner" and check.strict):
            return False
        from .scales import blame_factor, brought_in

        right = {c.id for c in self.checks if c.kind == "gradient" and self._is_one(self.status(c, run))}
        for sid, name, factor, target in brought_in(self, run, check):
            for off in (factor, -1.0) if factor < 0 else (factor,):  # the rest of it may be a convention
                own = {c.id: self.value(run, c.id) for c in self.checks if c.sid == sid and c.kind == "inner"}
                mended = {id_: value / off for id_, value in own.items() if value is not None}
                other = self.run(overrides=mended)
                if self._is_one(self.status(check, other)) and all(
                    self._is_one(self.status(c, other)) for c in self.checks if c.id in right
                ):
                    blame_factor(self, sid, name, off, f"dJ/d{target.name}" if target.name else "the derivative")
                    self.overrides |= mended
                    return True
        return False

    def _is_one(self, status):
        return bool(status[0]) and not isinstance(status[1], float) and status[1].is_one

    # ---- particular hypotheses ---------------------------------------------------------------------------------------

    def _given_back(self, check, e, run):
        """``db1 = b1 - alpha * db1``: the update goes into the gradient."""
        value, target = self.value(run, check.id), check.targets[0]
        if check.kind not in ("gradient", "step") or value is None or not target.is_leaf:
            return False
        laid = self.laid_out(value, target)
        if laid is None or not np.any(target.gradient):
            return False
        fake = Check(check.id, [target], "update")
        ok, k, _ = self._status_of_update(fake, laid)
        if k is None or not np.any(target.value) and ok is not None and k == 1:
            return False
        if not np.any(target.value):
            return False
        node = self.program.statements[check.sid].node
        name = self.names_of(check.sid)(target)[:1] or [target.name]
        if laid.size == 1 and name[0] not in {ast.unparse(n) for n in sites(node)}:
            return False  # any number is the parameter and a multiple of its gradient
        right = f"{name[0]} = {ast.unparse(value_of(node))}" if isinstance(node, ast.Assign) else ""
        self._blame(
            check.sid,
            "the update is assigned to the gradient instead of the parameter",
            f"{e.name} becomes the new {name[0]}, and {name[0]} itself stays as it is",
            right,
            check,
        )
        self.overrides |= self._right_values(check.sid)
        return True

    def _updated_before(self, check, e, run):
        """Weights that were updated before they were used."""
        updates = [
            c
            for c in self.checks
            if c.kind == "update" and c is not check and self.trace.by_id[c.id].index < e.index and c.sid != check.sid
        ]
        updates = [c for c in updates if check.id in self.influenced(c.sid)]
        if not updates:
            return False
        back = {c.id: c.targets[0].value for c in updates}
        other = self.run(overrides=back)
        if not self.status(check, other)[0]:
            return False
        names = [
            self.trace.by_id[c.id].name
            for c in updates
            if not self.status(check, self.run(overrides={i: v for i, v in back.items() if i != c.id}))[0]
        ]
        names = names or [self.trace.by_id[updates[-1].id].name]
        sid = self._first_to_use(check, other, run)
        text = self.program.statements[sid].text
        earliest = self.program.line(min(c.sid for c in updates if self.trace.by_id[c.id].name in names))
        self._blame(
            sid,
            "uses updated weights",
            f"{', '.join(names)} was updated in {earliest}, before it is "
            "used here; the gradient is that of the old one",
            f"{text}  # before {earliest}",
            check,
        )
        for c in self.checks:
            if c.sid == sid and self.value(other, c.id) is not None:
                self.overrides[c.id] = self.value(other, c.id)
        for event in other.events:
            if event.sid == sid:
                self.overrides[event.id] = event.value
        return True

    def _first_to_use(self, check, other, run):
        """The first statement whose value is another one with the old weights; the check's own if there is none."""
        for event in other.events:
            now = run.by_id.get(event.id)
            if event.id in self.overrides or now is None or event.how in ("in place", "bound"):
                continue
            if any(c.id == event.id and c.kind == "update" for c in self.checks):
                continue
            if event.is_array and not _equal(event.value, now.value) and check.id in self.influenced(event.sid):
                return event.sid
        return check.sid

    def _own_gradient_unused(self, check, e, run):
        """An update that its parameter's gradient does not go into: ``W1 = W1 - lr * db1``."""
        if check.kind != "update":
            return False
        target, node = check.targets[0], self.program.statements[check.sid].node
        value = self.value(run, check.id)
        own = [c for c in self.checks if c.kind in ("gradient", "step") and c.targets[0] is target]
        if own and any(check.id in self.influenced(c.sid, c.id) or c.sid == check.sid for c in own):
            ok, k, _ = self.status(check, run)
            if ok is False and k is None and value is not None and self.laid_out(value, target) is not None:
                check.is_custom = True  # a rule of its own: momentum, decay, Adam
                return True
            return False
        ids = {self.trace.by_id[c.id].index for c in own}
        names = [t for t, (_, index) in self.scope(check.sid).items() if index in ids]
        ours = self.names_of(check.sid)(target)
        for n in sites(node) if names else ():
            text = ast.unparse(n)
            if text in ours or not isinstance(n, ast.Name | ast.Subscript | ast.Attribute):
                continue
            edit = replaced(node, {n: expression(min(names, key=len))})
            if self.status(check, self.run({check.sid: edit}))[0]:
                self._blame(
                    check.sid,
                    "the update takes another parameter's gradient",
                    f"{e.name} is updated with {text}, and its gradient is {min(names, key=len)}",
                    ast.unparse(edit),
                    check,
                )
                self.patches[check.sid] = edit
                return True
        return False

    def steps_of_numbers(self):
        """{update of a parameter that is one number: step / gradient}: each of them is a multiple of the gradient."""
        run = self.run()
        numbers = [c for c in self.checks if c.kind == "update" and c.targets[0].gradient.size == 1]
        found = {c: self.status(c, run)[1] for c in numbers}
        return {c: k for c, k in found.items() if k is not None}

    def _takes_another_gradient(self, check):
        """Blame the update of a number that does not depend on the gradient of this number, but on another one."""
        gradients = [c for c in self.checks if c.kind in ("gradient", "step")]
        own = [c for c in gradients if c.targets[0] is check.targets[0]]
        if not own or any(check.id in self.influenced(c.sid, c.id) or c.sid == check.sid for c in own):
            return
        self._blame_other_gradient(check, own, gradients)

    def _blame_other_gradient(self, check, own, gradients):
        node, scope = self.program.statements[check.sid].node, self.scope(check.sid)
        places = {c: self.trace.by_id[c.id] for c in gradients}
        named = {c: [t for t, (_, i) in scope.items() if i in (e.index, e.source)] for c, e in places.items()}
        mine = min((t for c in own for t in named[c]), key=len, default=places[own[0]].name)
        other = {t for c in gradients if c not in own for t in named[c]}
        found = [n for n in sites(node) if ast.unparse(n) in other]
        edit = replaced(node, {n: expression(mine) for n in found[:1]})
        name, taken = self.trace.by_id[check.id].name, ast.unparse(found[0]) if found else "something else"
        self._blame(
            check.sid,
            "the update takes another parameter's gradient",
            f"{name} is updated with {taken}, and its gradient is {mine}",
            ast.unparse(edit) if found else "",
            check,
        )
        check.skip = True

    def not_along_its_gradient(self, check):
        """The step of a number is another multiple of its gradient where the parameters are others."""
        if any(
            check.id in self.influenced(c.sid, c.id)
            for c in self.checks
            if c.kind in ("gradient", "step") and c.targets[0] is check.targets[0]
        ):
            check.is_custom = check.skip = True  # a rule of its own
            return
        name = self.trace.by_id[check.id].name
        self._blame(
            check.sid,
            "wrong",
            f"{name} does not go along dJ/d{check.targets[0].name}: for other values of the parameters the step is "
            "another multiple of it",
            "",
            check,
            unexplained=True,
        )
        check.skip = True

    def _uphill(self, check, e, run):
        if check.kind != "update":
            return False
        ok, k, target = self.status(check, run)
        if ok is False and k is not None and k > 0:
            if self._step_of_the_other_sign(check, run) or self._derivative_of_the_other_sign(run):
                return True
            node = self.program.statements[check.sid].node
            for edit in other_operators(node, sites(node)):
                if edit.reason == "sign" and self.status(check, self.run({check.sid: edit.tree}))[0]:
                    self._blame(
                        check.sid,
                        "a step uphill",
                        f"{e.name} goes along its gradient, and the cost grows: descent is against it",
                        edit.text,
                        check,
                    )
                    self.patches[check.sid] = edit.tree
                    return True
        return False

    def _step_of_the_other_sign(self, check, run):
        """Blame the step that an update adds, where the steps of the other parameters have the other sign."""
        factors = {c: self.status(c, run)[1] for c in self.checks if c.kind == "step"}
        factors = {c: k.value for c, k in factors.items() if k is not None}
        own = [c for c, k in factors.items() if c.targets[0] is check.targets[0] and k > 0]
        others = [k < 0 for c, k in factors.items() if c.targets[0] is not check.targets[0]]
        if not others or not all(others):
            return False
        for step in own:
            node = self.program.statements[step.sid].node
            for edit in other_operators(node, sites(node)):
                if edit.reason == "sign" and self.status(check, self.run({step.sid: edit.tree}))[0]:
                    name = self.trace.by_id[step.id].name
                    self._blame(
                        step.sid,
                        "a step uphill, sign",
                        f"{name} goes along the gradient, and is added to the parameter: descent is against it",
                        edit.text,
                        step,
                    )
                    self.patches[step.sid] = edit.tree
                    return True
        return False

    def _derivative_of_the_other_sign(self, run):
        """Blame the line that is called a derivative and is the negative of one, where all updates climb with it."""
        from .scales import _intermediates, blame_factor

        updates = {c: self.status(c, run)[1] for c in self.checks if c.kind == "update"}
        if not all(k is not None and k > 0 for k in updates.values()):
            return False
        for sid, name, factor, target, _ in _intermediates(self, run):
            e = next(e for e in self.events if e.sid == sid)
            is_one = claims.is_strict(e.base, e.key) or e.how == "returned" and claims.PRIME.search(e.base)
            if is_one and factor < 0 and all(c.id in self.influenced(sid) for c in updates):
                blame_factor(self, sid, name, -1.0, f"dJ/d{target.name}" if target.name else "the derivative")
                self.overrides |= {x.id: -self.value(run, x.id) for x in self.events if x.sid == sid and x.is_array}
                return True
        return False

    def _of_another_cost(self, check, e, run):
        """The squared error's gradient where the cost is the cross-entropy."""
        value = self.value(run, check.id)
        if value is None or check.kind != "inner" or check.targets[0].is_leaf:
            return False
        if self._of_squares(check, e, value):
            return True
        for act in self.activations:
            if act.kind != "sigmoid" or act.z not in check.targets:
                continue
            laid = self.laid_out(value, act.z)
            if laid is None or laid.size < 2:
                continue
            there = act.derivative()
            with np.errstate(all="ignore"):
                without = laid / there
            if np.isfinite(without).all() and self.ratio(without, act.z) is not None:
                found = self._search(check, run, quick=True)
                right = found[1].text if found and found[0] == check.sid else ""
                if not right:
                    return False
                self._blame(
                    check.sid,
                    "a cost that is not the one whose gradient is taken",
                    f"{e.name} is the gradient of the squared error, with a factor for the sigmoid; the cost "
                    "here is the cross-entropy, whose gradient has none",
                    right,
                    check,
                )
                self.patches[check.sid] = found[1].tree
                return True
        return False

    def _of_squares(self, check, e, value):
        """``dA = 2 * (A - Y)`` where the cost is the cross-entropy, whose dJ/dA is (A - Y) / (A (1 - A))."""
        act = next((act for act in self.activations if act.kind == "sigmoid" and act.a in check.targets), None)
        if act is None or act.z in check.targets or self.number(value, act.z) is None:
            return False
        node = self.patches.get(check.sid, self.program.statements[check.sid].node)
        node.sid = check.sid
        for slope in act.texts(self.names_of(check.sid))[:1]:
            for tree in [node, *(edit.tree for edit in dropped(node, sites(node)))]:
                of = value_of(tree)
                new = replaced(tree, {of: ast.BinOp(of, ast.Div(), expression(slope))})
                if self._is_one(self.status(check, self.run({check.sid: new}))):
                    self._blame(
                        check.sid,
                        "a cost that is not the one whose gradient is taken",
                        f"{e.name} is the gradient of the squared error; the cost here is the cross-entropy, whose "
                        f"gradient is divided by {slope}",
                        ast.unparse(new),
                        check,
                    )
                    self.patches[check.sid] = new
                    return True
        return False

    # ---- the search for an edit --------------------------------------------------------------------------------------

    def _search(self, check, run, quick=False):
        """(statement, Edit) that puts a check right and most of the others with it."""
        until = min(time.process_time() + MOST_SECONDS, self.until)
        own = check.sid
        cone = [] if quick else self.cone(check, self.settled)
        recognised = set()
        for sid in cone:
            values = [self.value(run, e.id) for e in self.events if e.sid == sid]
            if values and all(v is not None and self.recognised(v) for v in values):
                recognised.add(sid)
        doubtful = {
            c.sid
            for c in self.checks
            if c.kind == "inner"
            and len(c.targets) > 1
            and self.status(c, run)[2] is not c.targets[0]
            and not claims.is_weak(self.trace.by_id[c.id].base)
        }  # a delta that is dJ/da, and should be dJ/dz
        claimed = {c.sid for c in self.checks}
        activated = {act.a for act in self.activations}
        for e in self.events:
            if e.sid in cone and e.sid not in claimed and e.is_array and claims.DERIVATIVE.match(claims.last(e.base)):
                value = self.value(run, e.id)
                if value is not None and (known := self.recognised(value)) and known[0] in activated:
                    doubtful.add(e.sid)
        found, tried = [], 0
        named = check.explicit or check.kind == "gradient"
        order = [own] + [s for s in cone if s not in recognised] + [s for s in cone if s in recognised][:3]
        singles = {}
        before = self.wrong_statements(run)
        for place, sid in enumerate(order):
            if sid in self.patches and sid != own:
                continue
            node = self.patches.get(sid, self.program.statements[sid].node)
            if not hasattr(node, "value") and not isinstance(node, ast.AugAssign | ast.Return):
                continue
            node.sid = sid
            now = time.process_time()
            soon = now + 0.4 * (until - now)  # the lines before it want some of the time
            known = {}  # text -> (the edit that came to it first, its rank)
            for edit in self._edits(node, sid, check, run):
                tried += 1
                if tried > MOST_EDITS or time.process_time() > soon:
                    break
                if edit.cost >= 2:
                    singles.setdefault(sid, []).append(edit)
                if edit.text not in known:
                    doubt = self._doubt(sid, recognised, doubtful)
                    known[edit.text] = edit, self._rank(check, sid, edit, place, doubt, before)
                same, rank = known[edit.text]
                if rank is not None:
                    rank = (*rank[:2], rank[2] - same.cost + edit.cost)
                    found.append((rank, len(found), sid, edit))
                    if rank[:2] == (0, False) and rank[2] < 1.15:
                        return sid, edit  # all is right with it, and it could hardly be less
            if found and (min(found)[0] < (0, False, 1.45) or place == 0 and named and not cone or tried > MOST_EDITS):
                break
        if not quick and found and min(found)[0][0]:
            found += self._missing_in_what_is_right(check, run, cone, activated, before)
        if not found and not quick:
            for sid, inserted in singles.items():
                inserted = [e for e in inserted if e.pieces][:40]
                for i, a in enumerate(inserted):
                    for b in inserted[:i]:
                        if time.process_time() > until:
                            break
                        edit = combined(self.patches.get(sid, self.program.statements[sid].node), b, a)
                        if edit is None:
                            continue
                        rank = self._rank(
                            check, sid, edit, order.index(sid), self._doubt(sid, recognised, doubtful), before
                        )
                        if rank is not None:
                            found.append((rank, len(found), sid, edit))
                if found:
                    break
        if not found:
            return None
        _, _, sid, edit = min(found, key=lambda x: x[:2])
        return sid, edit

    def _missing_in_what_is_right(self, check, run, cone, activated, before):
        """The rated edits of lines before that are right as dJ/da, and go on as if they were dJ/dz: in which the
        derivative is missing, if that mends more than this check."""
        found = []
        right = {c.sid for c in self.checks if c.kind == "inner" and self.status(c, run)[2] in activated}
        for sid in [s for s in self.cone(check, ()) if s in right and s not in cone and s not in self.patches]:
            node = self.program.statements[sid].node
            node.sid = sid
            for edit in derivative_inserted(node, sites(node), self._view(sid), value_of(node)):
                rank = self._rank(check, sid, edit, 1, 0.0, before)
                if rank is not None and not rank[0]:
                    found.append((rank, len(found) + MOST_EDITS, sid, edit))
        return found

    def _doubt(self, sid, recognised, doubtful):
        return -1.0 if sid in doubtful else float(sid in recognised)

    def _rank(self, check, sid, edit, place, recognised, before):
        """How good an edit is, the least the best; None if it does not help."""
        try:
            run = self.run({sid: edit.tree}, stop=check.id)
        except (SyntaxError, ValueError, TypeError):
            return None
        ok, k, target = self.status(check, run)
        if not ok:
            return None
        other_shape = np.shape(self.value(run, check.id)) != target.shape
        run = self.run({sid: edit.tree})
        left = self.wrong_statements(run)
        if left > before:
            return None
        one = isinstance(k, float) or k.is_one or not check.strict
        # a line by another name that comes right as well speaks for an edit; a value that was right already against it
        return left, not one, edit.cost + 0.5 * recognised + 0.3 * (place > 0) + 0.2 * other_shape

    def _edits(self, node, sid, check, run):
        scope = self.scope(sid)
        names_of = self.names_of(sid)
        yield from self._special_edits(node, sid, check, run, scope, names_of)
        statement = self.program.statements[sid]
        counted = counters(statement, self.program.statements, self.trace.scopes.get(sid, {}))
        yield from edits(node, self._view(sid), counted if statement.loops else None)
        yield from self._rescaled(node, sid, scope)

    def _view(self, sid):
        scope, names_of = self.scope(sid), self.names_of(sid)
        after = {text for text, (_, i) in scope.items() if self._is_after_forward(i)}
        parameters = {text for target in self.truth.targets if target.is_leaf for text in names_of(target)}
        return View(scope, self.activations, names_of, after, parameters, self._helpers())

    def _is_after_forward(self, index):
        return index is not None and index < len(self.events) and self.events[index].id not in self.forward

    def _helpers(self):
        """The names of the reader's own functions that look like an activation's derivative."""
        return [n.name for n in self._functions() if len(n.args.args) == 1 and claims.PRIME.search(n.name)]

    def _functions(self):
        return [s.node for s in self.program.statements if isinstance(s.node, ast.FunctionDef)]

    def _special_edits(self, node, sid, check, run, scope, names_of):
        value = value_of(node)
        if value is None:
            return
        for target in self.truth.targets:  # softmax's whole Jacobian
            P = names_of(target)
            if target.is_leaf or not P or target.value.ndim == 0 or np.min(target.value, initial=1) < 0:
                continue
            for axis in range(target.value.ndim):
                if target.value.shape[axis] > 1 and np.allclose(target.value.sum(axis), 1):
                    for c in self.checks:
                        g = self.trace.by_id[c.id].name
                        if target in c.targets and g in scope and c.id != check.id:
                            ax = -1 if target.value.ndim == 1 else axis
                            is_in_a_function = any(n.name in ast.unparse(node) for n in self._functions())
                            text = f"{P[0]} * ({g} - np.sum({g} * {P[0]}, axis={ax}, keepdims=True))"
                            yield Edit(
                                replaced(node, {value: expression(text)}),
                                "only the diagonal of the softmax's Jacobian",
                                f"each {P[0]} depends on all scores of its example, not on its own alone",
                                1.5 if is_in_a_function else 0.5,
                            )
                    if isinstance(node, ast.Return) and target.value.ndim == 1:
                        text = f"np.diagflat({P[0]}) - np.outer({P[0]}, {P[0]})"
                        yield Edit(
                            replaced(node, {value: expression(text)}),
                            "only the diagonal of the softmax's Jacobian",
                            f"each {P[0]} depends on all scores, not on its own alone",
                            0.5,
                        )
        got = self.value(run, check.id)
        if got is not None and sid == check.sid:
            yield from self._regularised(node, value, got, check, scope)
            yield from self._lacking(node, value, got, check, scope)

    def _regularised(self, node, value, got, check, scope):
        """A term of the gradient that is a multiple of a parameter: that of a penalty."""
        target = check.targets[0]
        laid = None if got is None else self.laid_out(got, target)
        if laid is None or laid.size < 2 or not target.is_leaf or check.kind == "update":
            return  # any number is a multiple of another
        for text, of in ((t, f) for t in self.names_of(check.sid)(target) for f in ("{}", "np.sign({})")):
            W = target.value if of == "{}" else np.sign(target.value)
            rest = target.gradient - laid
            square = float(np.sum(W * W))
            c = float(np.sum(W * rest)) / square if square else 0.0
            if c and self.same(laid + c * W, target.gradient, target.known):
                number = self._number_text(c, scope)
                term = expression(f"{number} * {of.format(text)}")
                if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult | ast.Div):
                    continue
                sign = ast.Sub() if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Sub) else ast.Add()
                new = replaced(node, {value: ast.BinOp(value, sign, term)})
                in_it = text in {ast.unparse(n) for n in sites(node)}
                reason = (
                    "regularisation with another factor" if in_it else "regularisation in the cost, not in the gradient"
                )
                yield Edit(
                    new,
                    reason,
                    f"the cost's penalty adds {number} * {of.format(text)} to the gradient"
                    + (" beside what is here" if in_it else ""),
                    1.9 + in_it,
                )

    def _lacking(self, node, value, got, check, scope):
        """A term of an intermediate gradient that is a multiple of an array which is there."""
        target = check.targets[0]
        laid = self.laid_out(got, target)
        if laid is None or laid.size < 2 or target.is_leaf or check.kind == "update" or isinstance(node, ast.AugAssign):
            return
        rest = target.gradient - laid
        for text, (x, _) in scope.items():
            if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.shape != laid.shape or not np.any(x):
                continue
            c = float(np.sum(x * rest) / np.sum(x * x))
            if abs(c) > 1e-9 and self.same(laid + c * x, target.gradient, target.known) and self.factors.nice(c, True):
                number = self._number_text(c, scope)
                term = expression(f"{number} * {text}".removeprefix("1 * "))
                if number.startswith("1 / "):
                    term = expression(f"{text}{number[1:]}")
                new = replaced(node, {value: ast.BinOp(value, ast.Add(), term)})
                yield Edit(new, "a term is missing", f"{ast.unparse(term)} is to be added", 1.97)

    def _number_text(self, k, scope):
        """A number as a product of the reader's own ones."""
        numbers = {}
        for text, (v, _) in scope.items():
            if isinstance(v, int | float | np.integer | np.floating) and not isinstance(v, bool) and v not in (0, 1):
                if "[" not in text and text not in ("__key__",):
                    numbers.setdefault(float(v), text)
        return number_text(k, numbers)

    def _rescaled(self, node, sid, scope):
        """A term with another factor."""
        batches = [n for n in self._batches() if n > 1][:2]
        texts = [("2", 2.0), ("0.5", 0.5), ("-1", -1.0)]
        for n in batches:
            name = self._number_text(float(n), scope)
            texts += [(f"1 / {name}", 1 / n), (name, float(n))]
        value = value_of(node)
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub) and len(texts) > 3:
            text, k = texts[3]
            so_far = load(node.target)
            new = ast.Assign([node.target], ast.BinOp(_scaled(so_far, k, text), node.op, value))
            new.sid = sid
            shown = ast.unparse(node.target)
            yield Edit(
                ast.fix_missing_locations(ast.copy_location(new, node)),
                "missing 1/m",
                f"what {shown} is by now is meant to be {ast.unparse(_scaled(so_far, k, text))}, without the term "
                "that is added here",
                1.85,
            )
        terms = []
        for n in sites(node):
            if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub):
                terms += [n.left, n.right]
        if value is not None:
            terms.append(value)
        for term in dict.fromkeys(terms):
            for text, k in texts:
                new = _scaled(term, k, text)
                shown = ast.unparse(term)
                what = (
                    "the L2 term"
                    if any(w in shown for w in ("W", "w", "theta")) and "@" not in shown and ("dot" not in shown)
                    else shown
                )
                reason = {
                    "2": f"factor 2 of the square missing in {what}",
                    "0.5": f"a factor 2 too many in {what}",
                    "-1": "sign",
                }.get(text, "missing 1/m" if k < 1 else "extra 1/m")
                yield Edit(
                    replaced(node, {term: new}),
                    reason,
                    f"{shown} is meant to be {ast.unparse(new)}",
                    1.75 + 0.1 * (term is value),
                )

    # ---- no edit helps ---------------------------------------------------------------------------------------------

    def _put_right(self, check, e, run):
        """Find the first line that would make the check right if it held a derivative; else blame the line itself."""
        sid, target = check.sid, check.targets[0]
        raising = self._raising(check, run)
        if raising is not None and raising != sid:
            self._blame_what_raises(raising, check, run)
            return
        if check.kind == "update":
            self._unexplained_update(check, e, run)
            return
        if not check.explicit:
            for candidate in reversed(self.cone(check, self.settled)):
                role = self._role(candidate, check, run)
                if role is not None:
                    factor = self._convention_for(candidate, role)
                    self.overrides |= {
                        i: _shaped(factor * t.gradient, self.trace.by_id[i].value) for i, t in role.items()
                    }
                    first = next(iter(role.values()))
                    self._blame(
                        candidate,
                        "wrong",
                        f"it is not dJ/d{first.name or 'the scores'}, which what follows needs",
                        self._right_text(candidate, first),
                        check,
                        unexplained=True,
                    )
                    return
        value = self.value(run, check.id)
        error = next((x for id_, x, _ in self.trace.errors if id_ == check.id), None)
        reason, sentence = self._describe(check, value, error)
        factor = self._convention_for(sid, {c.id: c.targets[0] for c in self.checks if c.sid == sid})
        self._blame(sid, reason, sentence, self._right_text(sid, target), check, unexplained=reason == "wrong")
        right = self._right_values(sid, factor=factor)
        if check.id in right and check.id not in self.overrides:
            self.overrides |= right
        else:
            check.skip = True  # it cannot be put right: what follows from it is not judged

    def _raising(self, check, run):
        """The first statement that raises an exception, where a check has no value because of it."""
        if self.value(run, check.id) is not None:
            return None
        failed = [id_[0] for id_, _, _ in run.errors]
        return check.sid if check.sid in failed else failed[0] if failed else None

    def _blame_what_raises(self, sid, check, run):
        """Blame it, and put what it should have been in its place, or leave unjudged what comes of it."""
        error, scope = next((x, s) for id_, x, s in run.errors if id_[0] == sid)
        role = self._role(sid, check, run)
        text = f"it raises {type(error).__name__}: {_one_line(error)}{self._shapes_of_operands(sid, scope)}"
        self._blame(sid, "raises", text, "", check)
        if role is not None:
            self.overrides |= {i: np.array(t.gradient) for i, t in role.items()}
            return
        for c in self.checks:
            if self.value(run, c.id) is None and self._raising(c, run) == sid:
                c.skip = True
                self.waiting.setdefault(sid, []).append(c)

    def _unexplained_update(self, check, e, run):
        target, value = check.targets[0], self.value(run, check.id)
        if value is not None and self.laid_out(value, target) is None:
            self._blame(
                check.sid,
                "shape",
                f"{e.name} is {target.shape}, and {np.shape(value)} after the update: a "
                "gradient of another shape was broadcast",
                "",
                check,
            )
        elif value is None:
            error = next(((x, s) for id_, x, s in run.errors if id_ == check.id), None)
            if error is not None:
                text = f"it raises {type(error[0]).__name__}: {_one_line(error[0])}"
                self._blame(check.sid, "raises", text + self._shapes_of_operands(check.sid, error[1]), "", check)
        check.is_custom = check.skip = True

    def _role(self, sid, check, run):
        """{id: Target} of the true derivatives that a statement should have assigned, judged by what comes of it."""
        failed = {id_ for id_, _, _ in run.errors if id_[0] == sid}
        own = [e for e in self.events if e.sid == sid]
        ids = [e.id for e in own if e.is_array and e.source == e.index or e.id in failed]
        if not ids or len(ids) > 8:
            return None
        shape = None if ids[-1] in failed else np.shape(self.trace.by_id[ids[-1]].value)
        tried = 0
        for target in sorted(self.truth.targets, key=lambda t: not t.is_named):
            if shape not in (None, target.shape) or target.known is not None or not np.any(target.gradient):
                continue
            tried += 1
            if tried > 30 or time.process_time() > self.until:
                break
            other = self.run(overrides={ids[-1]: _shaped(target.gradient, self.trace.by_id[ids[-1]].value)})
            if self.status(check, other)[0]:
                return {ids[-1]: target}
        return None

    def _convention_for(self, sid, targets):
        """The factor with which what follows comes out right."""
        values = {i: _shaped(t.gradient, self.trace.by_id[i].value) for i, t in targets.items()}
        run = self.run(overrides=values)
        after = [c for c in self.checks if c.kind == "gradient" and c.sid != sid and c.id in self.influenced(sid)]
        ks = [self.status(c, run)[1] for c in after]
        ks = [k.value for k in ks if k is not None]
        others = [c for c in self.checks if c.kind == "gradient" and c.sid != sid and c not in after]
        wanted = [k.value for k in (self.status(c, run)[1] for c in others) if k is not None]
        wanted = max(set(wanted), key=wanted.count) if wanted else 1.0  # a minus, where the others are steps
        if not ks and all(c.kind == "gradient" for c in self.checks if c.sid == sid):
            return wanted
        if ks and wanted not in ks:
            return wanted / max(set(ks), key=ks.count)
        return 1.0

    def _describe(self, check, value, error):
        """(reason, sentence) of a wrong value that no edit explains."""
        target = check.targets[0]
        name = f"dJ/d{target.name}"
        if value is None:
            text = f"{type(error).__name__}: {_one_line(error)}" if error is not None else "what it uses is not known"
            scope = next((s for id_, _, s in self.trace.errors if id_ == check.id), {})
            return "raises", f"it raises {text}{self._shapes_of_operands(check.sid, scope)}"
        value = np.asarray(value)
        g = target.gradient
        if value.shape == g.T.shape and g.ndim == 2 and self.ratio(value.T, target) is not None:
            return "transposed", f"{name} is {g.shape}, and this is its transpose"
        if self.laid_out(value, target) is None:
            return "shape", f"{name} is {g.shape}, and this {value.shape}"
        if not np.any(value):
            return "all zero", f"it is zero everywhere, and {name} is not"
        k = self.number(value, target)
        if k is not None:
            return "scale", f"it is {k:.6g} times {name}"
        apart = np.abs(self.laid_out(value, target) - g)
        at = np.unravel_index(np.argmax(apart), apart.shape)
        return "wrong", (
            f"it is not {name}: at {[int(i) for i in at]} it is {self.laid_out(value, target)[at]:.6g} and "
            f"should be {g[at]:.6g}"
        )

    def _shapes_of_operands(self, sid, scope):
        statement = self.program.statements[sid]
        scope = in_the_words_of_loops(statement, self.program.statements, scope)
        node = statement.node
        shapes = {
            t: np.shape(scope[t][0])
            for t in dict.fromkeys(ast.unparse(n) for n in sites(node))
            if t in scope and not isinstance(scope[t][0], Unknown)
        }
        text = ", ".join(f"{t} is {s}" for t, s in shapes.items() if s)
        return f"; {text}" if text else ""

    def _right_text(self, sid, target):
        return ""


# ---- helpers ---------------------------------------------------------------------------------------------------------


def number_text(k, numbers):
    """A number as a product or quotient of the named ones."""
    best = None
    items = [(1.0, "")] + list(numbers.items())
    for two, t2 in ((1.0, ""), (2.0, "2"), (0.5, "0.5"), (-1.0, "-1"), (-2.0, "-2"), (-0.5, "-0.5")):
        for a, ta in items:
            for b, tb in items:
                if b and abs(two * a / b - k) <= 1e-6 * abs(k):
                    text = " * ".join(t for t in (t2, ta) if t) or "1"
                    text += f" / {tb}" if tb else ""
                    size = len([t for t in (t2, ta, tb) if t])
                    if best is None or size < best[0]:
                        best = size, text
    return best[1] if best else f"{k:.6g}"


def _scaled(term, k, text):
    if text.startswith("1 / "):
        return ast.BinOp(term, ast.Div(), expression(text[4:]))
    return ast.BinOp(expression(text), ast.Mult(), term)


def _shaped(gradient, like):
    """A gradient in the shape of what the reader assigns, where that is as good."""
    gradient = np.array(gradient)
    if isinstance(like, float) and gradient.size == 1:
        return float(gradient.reshape(()))
    if isinstance(like, np.ndarray) and like.size == gradient.size and like.ndim <= gradient.ndim:
        return gradient.reshape(like.shape) if like.shape == gradient.shape[gradient.ndim - like.ndim :] else gradient
    return gradient


def _equal(a, b):
    if isinstance(a, Unknown) or isinstance(b, Unknown):
        return a is b
    try:
        return bool(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True))
    except TypeError:
        return a is b


def _called(e):
    """The texts by which a caller may mean an assignment."""
    name = e.name.replace('"', "'")
    return (
        {e.base, name}
        if e.key is None
        else {name, name.replace("'", '"'), str(e.key) if isinstance(e.key, str) else name}
    )


def _one_line(error):
    return " ".join(str(error).split())


def _elementwise(z, a):
    """(the function of which a = f(z), slope), or ("", 0)."""
    with np.errstate(all="ignore"):
        if np.allclose(a, np.maximum(z, 0), rtol=1e-9, atol=1e-12) and not np.allclose(a, z, rtol=1e-9):
            return "relu", 0.0
        if np.all((a >= 0) & (a <= 1)) and np.allclose(a, 1 / (1 + np.exp(-z)), rtol=1e-9, atol=1e-13):
            return "sigmoid", 0.0
        if np.allclose(a, np.tanh(z), rtol=1e-9, atol=1e-13) and not np.allclose(a, z, rtol=1e-6):
            return "tanh", 0.0
        below = z < 0
        if below.any() and np.array_equal(a[~below], z[~below]):
            slope = a[below] / z[below]
            if 0 < slope[0] < 1 and np.allclose(slope, slope[0]):
                return "leaky ReLU", float(f"{slope[0]:.6g}")
            slope = a[below] / np.expm1(z[below])
            if slope[0] > 0 and np.allclose(slope, slope[0], rtol=1e-9):
                return "ELU", float(f"{slope[0]:.6g}")
        if np.allclose(a, z / (1 + np.exp(-z)), rtol=1e-9) and not np.allclose(a, z, rtol=1e-6):
            return "swish", 0.0
        if np.allclose(a, np.logaddexp(0, z), rtol=1e-9) and not np.allclose(a, z, rtol=1e-6):
            return "softplus", 0.0
    return "", 0.0
