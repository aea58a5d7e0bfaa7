"""The computational graph as a picture: every operation is a node, the data flows from left to right.

The drawing is one self-contained SVG without ids, styles or scripts. A notebook shows an SVG as an image, which
inherits no colour from the page and cannot tell a dark theme from a light one. So the boxes have a light background
of their own, and what is drawn outside them (the arrows) is of a grey that is visible on white and on black.
"""

import re
from base64 import b64encode
from html import escape
from pathlib import Path

import numpy as np

from ..autodiff.dispatch import value_of
from .layout import layout
from .names import Names
from .notation import shape_text, summary

MAX_NODES = 200  # the text of a larger picture would be too small to read

LOOKS = {  # background, header, frame, width of the frame, dashes, corner radius: kinds differ by more than colour
    "operation": ("#ffffff", "#dfe3e8", "#5c6773", 1.5, "", 9),
    "parameter": ("#fffaf0", "#ffd98a", "#9a6200", 3.0, "", 0),
    "data": ("#f5f9ff", "#c6dcfa", "#2b66a8", 1.5, "7 3", 0),
    "constant": ("#fafafa", "#ececec", "#6e6e6e", 1.5, "2 3", 0),
}
ARROW, GLOW = "#7b828a", "#d6246e"  # on any background
INK, MUTED, GRADIENT = "#1a1f24", "#58626d", "#a3213a"  # in a box

SANS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
SERIF = "'STIX Two Text', 'Times New Roman', 'DejaVu Serif', serif"
FONT, ROW, HEADER, PAD, MARGIN = 15, 20, 27, 9, 8  # pixels: text, a row of it, a header, inside a box, around the whole
LABEL = 46  # the column with the words shape, value and grad
LONGEST = 16  # characters of a name
WIDEST = 960  # of a line of boxes, so that a notebook need not make the text smaller

SUBSCRIPT = re.compile(r"^(d?\w[\u0302-\u0304]?[⁰¹²³⁴-⁹]*)_(\w+)$")  # a letter's: hidden_layer is one word


class Drawing:
    """The graph that ends in `root`, drawn.

    A notebook shows it; ``.svg`` is the text of the picture and ``.save(path)`` writes it to a file. A box shows the
    operation, the name (given, or the notes' for its role in a network, such as z¹), the shape, the value and the
    gradient (a dash before `backward` has run). Operations are
    rounded; parameters have a heavy frame, data (the leaves named x, X, y or Y) a dashed one, and arrays and numbers
    that are not nodes a dotted one.

    Parameters
    ----------
    root : nnc.Node
        The end of the graph.
    highlight : nnc.Node, optional
        A node to mark, with the arrows that lead into it.
    gradients : dict, optional
        The gradient to show for each node, by ``id(node)``, instead of ``node.grad``.
    max_nodes : int
        A larger graph is refused.

    Raises
    ------
    ValueError
        The graph has more than `max_nodes` boxes, or `save` is asked for another format than SVG.

    Examples
    --------
    >>> import nnc
    >>> w, x, b = nnc.Node(-2.0, name="w"), nnc.Node(5.0, name="x"), nnc.Node(3.0, name="b")
    >>> (w * x + b).graph()
    <Drawing: 5 boxes, 4 arrows; .save("graph.svg") writes it>
    """

    def __init__(self, root, *, highlight=None, gradients=None, max_nodes=MAX_NODES):
        vertices, self.arrows = collect(root, max_nodes)
        names = Names(root)
        self.boxes = [Box(v, names.label(v), v is highlight, gradients) for v in vertices]
        frames, self.routes, (width, height) = layout([box.size() for box in self.boxes], self.arrows, limit=WIDEST)
        for box, frame in zip(self.boxes, frames, strict=True):
            box.x, box.y, box.width, box.height = frame
        self.svg = self._svg(width + 2 * MARGIN, height + 2 * MARGIN, names.label(root))

    def _svg(self, width, height, name):
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
            f'viewBox="{-MARGIN} {-MARGIN} {width:g} {height:g}" font-family="{SANS}" font-size="{FONT}" role="img" '
            f'aria-label="{escape(f"computational graph of {name}".strip())}">'
        ]
        for (_, v), route in zip(self.arrows, self.routes, strict=True):
            lines += arrow(route, GLOW if self.boxes[v].highlight else ARROW)
        for box in self.boxes:
            lines += box.svg()
        return "\n".join(lines + ["</svg>", ""])

    def _repr_svg_(self):
        return self.svg

    def _repr_html_(self):
        """As an image, which a notebook shows before it is trusted, and scales down to its width."""
        svg = b64encode(self.svg.encode()).decode()
        return f'<img alt="{escape(repr(self))}" src="data:image/svg+xml;base64,{svg}">'

    def __repr__(self):
        return f'<Drawing: {len(self.boxes)} boxes, {len(self.arrows)} arrows; .save("graph.svg") writes it>'

    def save(self, path):
        """Write the picture to the file `path`, which must end in .svg."""
        path = Path(path)
        if path.suffix.lower() != ".svg":
            raise ValueError(f"save: the drawing is SVG, but {path.name!r} does not end in .svg")
        path.write_text(self.svg, encoding="utf-8")


class Box:
    """The text of one box of the drawing, and its position."""

    def __init__(self, vertex, name, highlight, gradients):
        self.kind = kind(vertex)
        self.highlight = highlight
        self.x = self.y = self.width = self.height = 0.0
        node = self.kind != "constant"
        self.name = name
        self.title = (vertex._rule.symbol or vertex.op) if self.kind == "operation" else self.kind
        value = vertex.value if node else vertex
        self.rows = [("shape", shape_text(getattr(value, "shape", ())), INK), ("value", summary(value), INK)]
        if node:
            grad = vertex.grad if gradients is None else gradients.get(id(vertex))
            self.rows.append(("grad", summary(value_of(grad)), GRADIENT))
        self.full = f"{self.title} {self.name}".strip()
        if len(self.name) > LONGEST:
            self.name = self.name[: LONGEST - 1] + "…"

    def size(self):
        """(width, height) that the text needs."""
        header = text_width(self.title, FONT) + text_width(self.name, FONT + 3) + (FONT if self.name else 0)
        row = LABEL + max(text_width(text, FONT) for _, text, _ in self.rows)
        return round(max(header, row) + 2 * PAD), HEADER + ROW * len(self.rows) + PAD

    def svg(self):
        background, header, frame, stroke, dashes, r = LOOKS[self.kind]
        x, y, w, h = self.x, self.y, self.width, self.height
        lines = [f'<g data-kind="{self.kind}" data-name="{escape(self.name)}"><title>{escape(self.full)}</title>']
        if self.highlight:
            lines.append(
                f'<rect x="{x - 4:g}" y="{y - 4:g}" width="{w + 8:g}" height="{h + 8:g}" rx="{r and r + 4}" '
                f'fill="none" stroke="{GLOW}" stroke-width="4"/>'
            )
        i = 3 if dashes else 0  # dashes are inside the box: at its edge they would be invisible on a dark page
        top = f"M{x:g} {y + HEADER:g}V{y + r:g}q0 {-r} {r} {-r}H{x + w - r:g}q{r} 0 {r} {r}V{y + HEADER:g}z"
        lines += [
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{r}" fill="{background}"/>',
            f'<path d="{top}" fill="{header}"/>',
            f'<rect x="{x + i:g}" y="{y + i:g}" width="{w - 2 * i:g}" height="{h - 2 * i:g}" rx="{r}" fill="none" '
            f'stroke="{frame}" stroke-width="{stroke}"' + (f' stroke-dasharray="{dashes}"/>' if dashes else "/>"),
            text(x + PAD, y + 19, self.title, f'fill="{INK}"' + (' font-weight="bold"' if not self.name else "")),
        ]
        if self.name:
            style = f'text-anchor="end" fill="{INK}" font-family="{SERIF}" font-style="italic" font-size="{FONT + 3}"'
            lines.append(text(x + w - PAD, y + 19.5, self.name, style, subscripts=True))
        for i, (label, words, ink) in enumerate(self.rows):
            base = y + HEADER + ROW * i + 17
            lines.append(text(x + PAD, base, label, f'fill="{MUTED}" font-size="{FONT - 2}"'))
            lines.append(text(x + w - PAD, base, words, f'text-anchor="end" fill="{ink}"'))
        return lines + ["</g>"]


def kind(vertex):
    """The kind of a box: an operation, or one of the three kinds of leaf."""
    if not hasattr(vertex, "inputs"):
        return "constant"
    if vertex.inputs:
        return "operation"
    return "data" if (vertex.name or " ")[0] in "xXyY" else "parameter"


def collect(root, max_nodes):
    """The graph of `root`: nodes and constants, inputs first, and the arrows as pairs of indices into that list.

    A node or an array gets one box however often it is used; a Python number gets one for each use.
    """
    vertices, arrows, index, operands = [], {}, {}, {}
    stack = [root]
    while stack:
        vertex = stack[-1]
        if id(vertex) not in operands:
            if len(operands) == max_nodes:
                raise ValueError(
                    f"graph: there are more than {max_nodes} nodes and constants, too many to read; draw a node "
                    "before it, such as z1.graph(), or ask for all with graph(max_nodes=...)"
                )
            known = getattr(vertex, "inputs", ())
            operands[id(vertex)] = [u if hasattr(u, "shape") else np.asarray(u) for u in known]
            stack += [u for u in reversed(operands[id(vertex)]) if id(u) not in operands]
            continue
        stack.pop()
        if id(vertex) not in index:
            index[id(vertex)] = len(vertices)
            vertices.append(vertex)
            arrows.update(((index[id(u)], index[id(vertex)]), None) for u in operands[id(vertex)])
    return vertices, list(arrows)


def arrow(route, colour):
    """The SVG of one arrow. Corners are rounded, and the points between two columns are joined by a curve."""
    route = [*route[:-1], (route[-1][0] - 8, route[-1][1])]  # the arrowhead follows
    x, y = route[0]
    path = f"M{x:g} {y:g}"
    for i, (x1, y1) in enumerate(route[1:], 2):
        if x == x1 or y == y1:
            stop, bend = corner((x, y), (x1, y1), route[i] if i < len(route) else (x1, y1))
            path += f"L{stop[0]:g} {stop[1]:g}" + bend
        else:
            middle = (x + x1) / 2
            path += f"C{middle:g} {y:g} {middle:g} {y1:g} {x1:g} {y1:g}"
        x, y = x1, y1
    return [
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<path d="M{x - 1:g} {y - 5:g}l9 5l-9 5z" fill="{colour}"/>',
    ]


def corner(a, b, c, r=8):
    """Where the straight line from a to b must stop for a rounded corner towards c, and the corner."""
    if (a[0] == b[0]) == (b[0] == c[0]) or (a[1] == b[1]) == (b[1] == c[1]):
        return b, ""

    def toward(p):
        far = max(abs(p[0] - b[0]), abs(p[1] - b[1]))
        fraction = min(r / far, 0.5)
        return b[0] + fraction * (p[0] - b[0]), b[1] + fraction * (p[1] - b[1])

    end = toward(c)
    return toward(a), f"Q{b[0]:g} {b[1]:g} {end[0]:g} {end[1]:g}"


def text(x, y, words, style, subscripts=False):
    words = escape(words)
    if subscripts:
        words = SUBSCRIPT.sub(rf'\1<tspan dy="4" font-size="{FONT - 3}">\2</tspan>', words)
    return f'<text x="{x:g}" y="{y:g}" {style}>{words}</text>'


def text_width(words, size):
    """About how wide a text is in pixels; never less than DejaVu Sans, the widest of the fonts, makes it."""
    narrow, wide, widest = " .,:;'|!ijlIf()[]t", "ABCDGHKNOQRUVXY&#+−=<>~×÷^", "mMwW@%…"

    def width(c):
        if c in narrow:
            return 0.41
        return 1.03 if c in widest or c > "\u2e80" else 0.85 if c in wide or c > "\u02ff" else 0.7

    return size * sum(map(width, words))
