"""Judging a derivation line by line: what each line claims, whether it is right given its operands, and what is wrong.

A line is judged after the wrong lines before it have been corrected, so that only root causes are blamed. A line is
corrected by the edit from `nnc.checking.edits` that gives the true derivative or, without one, by that derivative.
"""

import ast
from dataclasses import dataclass

from .checks import find_checks
from .edits_by_value import regularised
from .evidence import Evidence, one_line, shaped
from .local_errors import blame_local_factors, is_harmful
from .scales import blame_earlier_factor, judge_factors
from .search import MOST_WORK, MOST_WORK_IN_ALL, search
from .syntax import value_of
from .unexplained_errors import blame_unexplained
from .update_rules import judge_rules
from .updates import (
    blame_early_update,
    blame_other_gradient,
    blame_unused_gradient,
    blame_update_of_gradient,
    blame_uphill_step,
    scalar_steps,
)
from .wrong_cost import blame_wrong_cost

DIAGNOSES = (  # tried before the search for an edit
    blame_earlier_factor,
    blame_update_of_gradient,
    blame_early_update,
    blame_unused_gradient,
    blame_uphill_step,
    blame_wrong_cost,
)


@dataclass(eq=False)
class Fault:
    """A statement to blame, and what would be right."""

    sid: int
    name: str
    reason: str
    sentence: str
    right: str
    unexplained: bool = False


class Judge(Evidence):
    """The verdict on one run of the reader's code."""

    def __init__(self, program, trace, J, names, patches=(), wrap=()):
        super().__init__(program, trace, J, patches, wrap)
        self.faults, self.conventions = [], {}
        self.waiting = {}  # statement that raises an exception -> the checks that it leaves without a value
        program.until = program.until or program.work + MOST_WORK_IN_ALL
        self.until = max(program.until, program.work + MOST_WORK // 2)
        self.rules_down, self.unknown_rules = [], []  # updates by a custom rule: known to go downhill, and others
        self.rescaled = set()  # the statements from which a factor was removed
        self._times_diagnosed = {}  # id of a check -> how often it was diagnosed
        self.is_scaled = False  # whether all factors have been judged
        self.are_steps = False  # whether the lines that claim gradients hold steps, the negative gradients
        self.checks = find_checks(self, names)

    def judge(self):
        run = self.run()
        first = [self.status(c, run)[0] for c in self.checks if c.kind not in ("inner", "local")]
        self.mostly_right = first.count(True) > first.count(False)
        self._judge_structure()
        judge_factors(self)
        self.is_scaled = True
        blame_local_factors(self)
        self._judge_structure()  # steps uphill, now that the signs of the gradients are right
        for check in scalar_steps(self):
            blame_other_gradient(self, check)
        judge_rules(self)
        return self

    def _judge_structure(self):
        for _ in range(60):
            run = self.run()
            self._update_settled(run)
            check = self._first_wrong(run)
            if check is None:
                break
            self._diagnose(check, run)

    def _update_settled(self, run):
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
        for check in wrong:
            if check.kind == "local" and not is_harmful(self, check, run):
                check.skip = True  # what is computed from it, if anything, is right
        wrong = [c for c in wrong if not c.skip]
        firm = [c for c in wrong if c.kind != "inner" or c.explicit]
        for check in wrong:
            if check.kind != "inner" or check.explicit or self._is_misshaped(check, run):
                return check
            after = [c for c in self.checks if c.id in self.influenced(check.sid) and (c.kind != "inner" or c.explicit)]
            hurt = [c for c in after if c in firm]
            if not hurt and (after or len(check.targets) > 1 or not check.strict):
                check.skip = True  # what is computed from it is right: its name means something else
                continue
            if hurt and not check.parts and not self._helps(check, hurt):
                check.skip = True
                continue
            return check
        return None

    def _is_misshaped(self, check, run):
        """Whether a term added to a gradient has the wrong shape, which cannot be a convention."""
        value = self.value(run, check.id)
        return bool(check.parts) and value is not None and self.laid_out(value, check.targets[0]) is None

    def _follows_its_gradient(self, check, run):
        """Whether a step is uphill because the gradient that it follows has the wrong sign."""
        if check.kind != "update" or self.status(check, run)[1] is None:
            return False
        if not self.is_scaled:
            return True  # first the signs of the gradients are judged
        if self.are_steps:
            return False
        own = [c for c in self.checks if c.kind == "gradient" and c.targets[0] is check.targets[0]]
        return any(k is not None and k.value < 0 for k in (self.status(c, run)[1] for c in own))

    def _helps(self, check, hurt):
        """Whether fewer lines are wrong, or one of `hurt` is right, when this value is what its name claims."""
        before = self.wrong_statements(self.run())
        for factor in self.conventions_of(check):
            for target in check.targets:
                run = self.run(overrides=self.right_values(check.sid, {check.id: target}, factor))
                if self.wrong_statements(run) < before or any(self.status(c, run)[0] for c in hurt):
                    check.targets = [target, *[t for t in check.targets if t is not target]]
                    return True
        return False

    def conventions_of(self, check):
        """The factors that a value may have by convention: 1 and, for an intermediate value, the batch size, which
        cannot be seen where the parameters' gradients are sums with other terms."""
        return [1.0, *(float(n) for n in self.batches()[:1] if n > 1 and check.kind == "inner")]

    def right_values(self, sid, targets=(), factor=1.0):
        """Overrides that correct everything that a statement assigns, where the right value is known."""
        found = {}
        for c in self.checks:
            if c.sid == sid and not c.skip and c.kind != "update" and not c.parts:
                target = dict(targets).get(c.id, c.targets[0])
                if target.known is None or self.graphical:
                    found[c.id] = shaped(factor * target.gradient, self.trace.by_id[c.id].value)
        return found

    def _diagnose(self, check, run):
        """Find the root cause of a wrong check, blame it, and correct it."""
        e = self.trace.by_id[check.id]
        self._times_diagnosed[check.id] = times = self._times_diagnosed.get(check.id, 0) + 1
        if times > 1:  # the earlier correction did not last
            check.skip = times > 2
            if not check.skip:
                blame_unexplained(self, check, e, run)
            return
        for diagnosis in (blame_early_update,) if check.kind == "local" else DIAGNOSES:
            if diagnosis(self, check, e, run):
                return
        found = search(self, check, run)
        if found is not None:
            sid, edit = found
            if sid == check.sid and "L2 term" not in edit.reason:
                node = self.patches.get(sid, self.program.statements[sid].node)
                penalty = regularised(self, node, value_of(node), self.value(run, check.id), check, self.scope(sid))
                edit.reason = next((e.reason for e in penalty), edit.reason)
            if edit.is_instead:
                self.faults = [f for f in self.faults if f.sid != sid]
            self.blame(sid, edit.reason, edit.sentence, edit.text, check, run)
            self.patches[sid] = edit.tree
            return
        if check.parts:
            check.skip = True  # what is computed from it is judged instead
            return
        blame_unexplained(self, check, e, run)

    def blame(self, sid, reason, sentence, right, check, run=None, unexplained=False):
        if right and right == ast.unparse(self.program.statements[sid].node):  # an earlier correction was a mistake
            self.faults = [f for f in self.faults if f.sid != sid]
            return None
        fault = next((f for f in self.faults if f.sid == sid), None)
        if fault is not None:
            fault.right = right or fault.right
            if right and reason not in fault.reason:
                fault.reason, fault.sentence = f"{fault.reason}, {reason}", f"{fault.sentence}; {sentence}"
            return fault
        event = next((e for e in self.events if e.sid == sid), None)
        if check is not None and check.sid == sid:
            event = self.trace.by_id[check.id]
        error = next((x for id_, x, _ in self.trace.errors if id_[0] == sid), None)
        if error is not None and reason != "raises":
            sentence = f"{sentence}; as it is, it raises {type(error).__name__}: {one_line(error)}"
        name = event.name if event and event.how != "returned" else ""
        fault = Fault(sid, name, reason, sentence, right, unexplained)
        self.faults.append(fault)
        return fault
