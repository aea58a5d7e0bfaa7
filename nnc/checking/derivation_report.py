"""What `check_derivation` found, as lines, text and HTML."""

import ast
from dataclasses import dataclass
from html import escape

import numpy as np

from .rewrite import ASSIGNMENTS

# Jupyter gives code a background, and breaks it within words.
CODE = "margin:0;background:none;font-family:monospace;white-space:pre-wrap;word-break:normal"


@dataclass
class Line:
    """One statement of the reader's code.

    Attributes
    ----------
    number : int
        Its line number in its file, cell or string.
    text : str
    name : str
        What it assigns.
    ok : bool or None
        None if it claims nothing that could be judged.
    reason : str
        What is wrong, in a few words; "correct", or "" if it claims nothing.
    sentence : str
        The same at length; for a right line, what it was judged as.
    right : str
        The right line, if it is wrong.
    function : str
        The function that contains it, or "".
    """

    number: int
    text: str
    name: str
    ok: bool | None = None
    reason: str = ""
    sentence: str = ""
    right: str = ""
    function: str = ""

    @property
    def line(self):
        return self.number


class DerivationReport:
    """The verdict on a derivation.

    Attributes
    ----------
    ok : bool or None
        Whether no line is wrong; None if none is, but no gradient or update was judged, or an update by a custom rule
        could not be shown to go down along its gradient.
    unjudged : list of Line
        The lines that claim a gradient, or change a parameter, but could not be judged.
    lines : list of Line
        One for each statement that assigned something, in the order of the source; of several files or cells of a
        notebook, one after the other.
    first_wrong : Line or None
    remarks : list of str
        Where the reference values come from, what was skipped or sampled, and the conventions.
    """

    def __init__(self, program, trace, J, judge, forward_error=None, error=None):
        self.remarks, claims_anything, unjudged = [], False, set()
        rows = {}
        for e in trace.events:
            if e.sid >= 0 and isinstance(program.statements[e.sid].node, (*ASSIGNMENTS, ast.Expr, ast.Return)):
                s = program.statements[e.sid]
                rows.setdefault(e.sid, Line(s.number, s.text, e.name if e.how != "returned" else ""))
        run = trace if judge is None else judge.run()  # with the right lines instead of the wrong ones
        for (sid, _), _, _ in run.errors:
            rows.setdefault(sid, Line(program.statements[sid].number, program.statements[sid].text, ""))
        if judge is not None:
            claims_anything = self._fill_rows(program, trace, judge, rows)
            unjudged = judge.unjudged(run) - {sid for sid, row in rows.items() if row.ok is not None}
        if forward_error is not None:
            sid, line = forward_error
            rows[sid] = line
        self._exceptions(program, run, rows, error)
        if trace.stopped:
            self.remarks.append(f"stopped {trace.stopped}")
        if trace.loop_ends:
            loop = program.line(min(trace.loop_ends))
            self.remarks.append(f"only the first iteration of the loop in {loop} is judged")
        files = list(dict.fromkeys(s.file for s in program.statements))
        order = {s.id: (files.index(s.file), s.number, s.id) for s in program.statements}
        for sid, row in rows.items():
            row.function = program.statements[sid].function
        self.lines = [rows[sid] for sid in sorted(rows, key=order.get)]
        self._several = len(files) > 1  # each has its own line 1
        wrong = [line for line in self.lines if line.ok is False]
        self.unjudged = [rows[sid] for sid in sorted(unjudged & set(rows), key=order.get)]
        self._uncertain = [] if judge is None else [program.line(c.sid) for c in judge.unknown_rules]
        self.ok = False if wrong else True if claims_anything and not self._uncertain else None
        self.first_wrong = wrong[0] if wrong else None

    def _fill_rows(self, program, trace, judge, rows):
        """Fill in the verdicts; return whether a gradient or an update was judged."""
        reference, judged = judge.reference, False
        run = judge.run()
        for c in judge.checks:
            row = rows.get(c.sid)
            if row is None:
                continue
            ok, k, target = judge.status(c, run)
            judged |= bool(ok) and c.kind != "local" and (c.kind != "inner" or c.strict or c.explicit)
            e = trace.by_id[c.id]
            row.name = e.name
            if ok and row.ok is None:
                row.ok, row.reason = True, "correct"
                what = target.title if target.name else "a derivative inside an expression"
                row.sentence = f"a step down along {what}" if c.kind == "update" else f"judged as {what}"
            elif not ok and row.ok is None and c.kind == "update":
                is_down = c in judge.rules_down
                rest = f": it goes down along {target.title}, the rest of it is" if is_down else ","
                row.sentence = f"an update by a custom rule{rest} not judged"
        claimed = {c.sid for c in judge.checks if c.kind != "inner" or not c.skip}
        for e in trace.events:
            row = rows.get(e.sid)
            if row is not None and row.ok is None and e.sid not in claimed and e.id not in judge.forward and e.is_array:
                known = judge.recognised(judge.value(run, e.id)) if judge.value(run, e.id) is not None else None
                if known is not None and e.index > judge.J.index and np.size(e.value) > 1:
                    row.ok, row.reason = True, "correct"
                    what = f"dJ/d{known[0].name}" if known[0].name else "a derivative inside an expression"
                    row.sentence = f"its values are {known[1].text + ' times ' if not known[1].is_one else ''}{what}"
        for sid, text in judge.conventions.items():
            if sid in rows:
                rows[sid].sentence = text
                self.remarks.append(f"{program.line(sid)}: {text}")
        for fault in judge.faults:
            row = rows.get(fault.sid)
            if row is None:
                s = program.statements[fault.sid]
                row = rows[fault.sid] = Line(s.number, s.text, fault.name)
            row.ok, row.reason, row.sentence, row.right = False, fault.reason, fault.sentence, fault.right
            row.name = fault.name or row.name
        how = "the graph" if reference.how == "graph" else f"finite differences, as {reference.why}"
        cost = "J" if judge.J.name == "J" else f"J, here {judge.J.name},"
        self.remarks.insert(0, f"the derivatives of {cost} are from {how}")
        self.remarks += judge.remarks
        for sid, checks in judge.waiting.items():
            left = {c.sid for c in checks if c.sid in rows and rows[c.sid].ok is None}
            for c in checks:
                if c.sid in rows and rows[c.sid].ok is None:
                    rows[c.sid].sentence = f"not judged: {program.line(sid)} raises"
            if left:
                lines = ", ".join(program.line(other) for other in sorted(left))
                self.remarks.append(f"not judged, as {program.line(sid)} raises: {lines}")
        if reference.sampled:
            self.remarks.append("of large arrays only a sample of the entries was checked")
        if reference.kinks:
            self.remarks.append(f"{reference.kinks} entries are at a kink and were left out")
        return judged

    def _exceptions(self, program, run, rows, error):
        for (sid, _), x, _ in run.errors:
            row = rows.get(sid)
            if row is not None and row.ok is None:
                row.ok, row.reason = False, "raises"
                row.sentence = f"it raises {type(x).__name__}: {' '.join(str(x).split())}"
        error = run.error or error
        if error is not None:
            where = program.where(error)
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if where is not None:
                row = rows.setdefault(where.id, Line(where.number, where.text, ""))
                if row.ok is None:
                    row.ok, row.reason, row.sentence = False, "raises", f"it raises {text}"
            self.remarks.append(f"the code ends with {text}")

    def __bool__(self):
        return bool(self.ok)

    def _marks(self):
        return [{True: "✓", False: "✗", None: " "}[line.ok] for line in self.lines]

    def __repr__(self):
        shown = [(line, mark) for line, mark in zip(self.lines, self._marks(), strict=True) if line.ok is not None]
        wide = max((len(line.name) for line, _ in shown), default=0)
        digits = max((len(self._number(line)) for line, _ in shown), default=1)
        rows = []
        for line, mark in shown:
            tail = f"{line.reason}: {line.sentence}" if line.ok is False else ""
            rows.append(f"{self._number(line):>{digits}}  {line.name:<{wide}}  {mark} {tail}".rstrip())
            if line.ok is False and line.right:
                rows.append(f"{'':{digits + wide + 6}}-> {line.right}")
        return "\n".join([*rows, self._verdict(), *(f"({text})" for text in self.remarks)])

    def _number(self, line):
        return f"{line.function}:{line.number}" if self._several and line.function else str(line.number)

    def _verdict(self):
        wrong = sum(line.ok is False for line in self.lines)
        judged = sum(line.ok is not None for line in self.lines)
        if self.ok is None and self._uncertain:
            text = "no line is known to be wrong, but whether the update goes down its gradient could not be determined"
            return f"{text}: {', '.join(self._uncertain)}"
        if self.ok is None:
            text = "nothing was judged: no line was taken for the gradient or the update of a parameter"
            text += f", though {judged} of them hold the values of a derivative" if judged else ""
            return f'{text}; names={{"g": "W"}} says that g is dJ/dW'
        lines, are = ("line", "is") if judged == 1 else (f"{judged} lines", "are")
        text = f"{wrong} of {judged} lines wrong" if wrong else f"{'the' if judged == 1 else 'all'} {lines} {are} right"
        if self.unjudged:
            left = ", ".join(f"{line.name} (line {self._number(line)})" for line in self.unjudged)
            were = "was" if judged == 1 else "were"
            text = f"{text if wrong else f'the {lines} that {were} judged {are} right'}; not judged: {left}"
        return text

    def _repr_html_(self):
        rows = []
        for line, mark in zip(self.lines, self._marks(), strict=True):
            color = {True: "#2a7d2a", False: "#c02626", None: "inherit"}[line.ok]
            what = ""
            if line.ok is False:
                what = f"<b>{escape(line.reason)}</b>: {escape(line.sentence)}"
                if line.right:
                    what += f"<br>→ <code>{escape(line.right)}</code>"
            elif line.sentence and line.ok:
                what = escape(line.sentence)
            rows.append(
                f'<tr><td style="text-align:right">{escape(self._number(line))}</td>'
                f'<td style="text-align:left"><pre style="{CODE}">{escape(line.text)}</pre></td>'
                f'<td style="color:{color};font-weight:bold">{mark.strip()}</td>'
                f'<td style="text-align:left">{what}</td></tr>'
            )
        remarks = "".join(f"<div>{escape(text)}</div>" for text in (self._verdict(), *self.remarks))
        return f"<table>{''.join(rows)}</table>{remarks}"
