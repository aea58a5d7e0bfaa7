"""The backward pass in a notebook, one node at a time, forward and back: `Steps` shows it if it can."""

from base64 import b64encode
from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent


class Stepper(anywidget.AnyWidget):
    """Buttons, a slider and the arrow keys over the steps of a backward pass.

    Parameters
    ----------
    steps : Steps

    Attributes
    ----------
    index : int
        The step that is shown, from 0; may be set.
    frame : dict
        What is shown of it: a heading with the gradient that has arrived, for each operand the local derivative and the
        product, and the graph with the gradients known so far.
    """

    _esm = HERE / "stepper.js"
    _css = HERE / "stepper.css"
    index = traitlets.Int(0).tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)

    def __init__(self, steps):
        self._steps = steps
        super().__init__(count=len(steps), frame=self._frame(0))

    @traitlets.observe("index")
    def _on_index(self, change):
        self.frame = self._frame(change["new"])

    @traitlets.validate("index")
    def _clamp(self, proposal):
        return min(max(proposal["value"], 0), len(self._steps) - 1)

    def _frame(self, index):
        step, header = self._steps[index], self._steps.header
        rows = list(self._steps.rows([step]))
        drawing = step.graph()
        return {
            "heading": f"{step.number} of {len(self._steps)}: {step.name} = {step.node.op}; {header[3]} = {rows[0][3]}",
            "header": header[4:],
            "rows": [row[4:] for row in rows],
            "alt": repr(drawing),
            "picture": "data:image/svg+xml;base64," + b64encode(drawing.svg.encode()).decode(),
        }
