"""The drawing, read back as XML: what it says, and that a person can read it."""

import itertools
import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnc._engine import apply
from nnc.autodiff.node import Node
from nnc.autodiff.operations import RULES
from nnc.display import drawing as draw
from nnc.display import layout
from nnc.display.drawing import Drawing

SVG = "{http://www.w3.org/2000/svg}"


def plain(value, *inputs, name=None, op="leaf", grad=None):
    """A node that says what a test wants, whether true or not."""
    value = np.asarray(value, dtype=float)
    node = apply(replace(RULES[op], forward=lambda *_: value), inputs) if inputs else Node(value)
    node.name, node.grad = name, grad
    return node


def page_7():
    w, x, b = plain(-2, name="w", grad=5.0), plain(5, name="x", grad=-2.0), plain(3, name="b", grad=1.0)
    t = plain(-10, w, x, name="t", op="multiply", grad=1.0)
    return plain(-7, t, b, name="z", op="add", grad=1.0)


def three_layers():
    rng = np.random.default_rng(0)
    a, widths = plain(rng.standard_normal((784, 64)), name="X"), (784, 200, 100, 10)
    for i in (1, 2, 3):
        W = plain(rng.standard_normal((widths[i], widths[i - 1])), name=f"W{i}", grad=rng.standard_normal(9))
        b = plain(np.zeros((widths[i], 1)), name=f"b{i}")
        a = plain(rng.standard_normal((widths[i], 64)), W, a, b, name=f"z{i}", op="linear")
        if i < 3:
            a = plain(abs(a.value), a, name=f"a{i}", op="relu")
    L = plain(rng.random(64), a, np.arange(64) % 10, name="L", op="softmax_cross_entropy")
    return plain(2.3, L, name="J", op="mean")


def shared():
    """Long arrows: a is used in three columns, and w in every one of a chain of eight."""
    a, b, w = plain(1, name="a"), plain(2, name="b"), plain(3, name="w")
    c = plain(1, a, b, op="add")
    for _ in range(8):
        c = plain(1, c, w, op="multiply")
    return plain(1, plain(2, a, c, op="add"), b, a, op="stack")


def unnamed_and_constants():
    x = plain([1, 2, 3, 4], name="x")
    return plain(30, plain([1, 4, 9, 16], x, 2.0, op="power"), op="sum")


GRAPHS = [page_7, three_layers, shared, unnamed_and_constants]


@st.composite
def random_graphs(draw_):
    """Any directed acyclic graph: each node takes up to three earlier ones."""
    nodes = [plain(0.5, name="a"), plain(np.zeros((3, 4)), name="longer name")]
    for i in range(draw_(st.integers(1, 25))):
        places = draw_(st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=3))
        nodes.append(plain(0.1 * i, *(nodes[k] for k in places), op=draw_(st.sampled_from(["add", "linear", "exp"]))))
    return nodes[-1]


def parts(drawing):
    root = ET.fromstring(drawing.svg)
    return root, root.findall(f"{SVG}g")


def texts(group):
    return [t.text for t in group.findall(f"{SVG}text")]


# What it says ----------------------------------------------------------------------------------------


def test_page_7_says_what_the_notes_say():
    _, groups = parts(Drawing(page_7()))
    said = {g.get("data-name"): texts(g) for g in groups}
    assert said == {
        "w": ["parameter", "w", "shape", "scalar", "value", "−2", "grad", "5"],
        "x": ["data", "x", "shape", "scalar", "value", "5", "grad", "−2"],
        "t": ["×", "t", "shape", "scalar", "value", "−10", "grad", "1"],
        "b": ["parameter", "b", "shape", "scalar", "value", "3", "grad", "1"],
        "z": ["+", "z", "shape", "scalar", "value", "−7", "grad", "1"],
    }


def test_arrays_are_summarised_and_names_raised():
    _, groups = parts(Drawing(three_layers()))
    said = {g.get("data-name"): texts(g) for g in groups}
    assert said["W¹"][3] == "200×784"
    assert re.fullmatch(r"−\d\.\d … \d\.?\d?", said["W¹"][5])
    assert said["b²"][5] == "all 0"
    assert said["L"][0] == "softmax_cross_entropy"
    assert said["L"][-1] == "–", "backward has not run"


def test_whole_numbers_and_subscripts_read_as_written():
    svg = Drawing(plain(np.array([[0.0, 255.0], [784.0, 3.0]]), name="W_out")).svg
    assert "0 … 784" in svg and "e02" not in svg
    assert '>W<tspan dy="4" font-size="12">out</tspan></text>' in svg
    assert ">x₁</text>" in Drawing(plain(1, name="x_1")).svg
    assert ">hidden_layer</text>" in Drawing(plain(1, name="hidden_layer")).svg


def test_nodes_without_a_name_have_the_notes_name_for_their_part():
    W1, b1 = Node(np.ones((3, 2)), name="W1"), Node(np.ones((3, 1)), name="b1")
    P = np.tanh(W1 @ np.ones((2, 4)) + b1)
    _, groups = parts(Drawing(np.exp(P)))
    said = [f"{texts(g)[0]} {g.get('data-name')}".strip() for g in groups]
    assert said == ["parameter W¹", "constant X", "matmul @", "parameter b¹", "+ z¹", "tanh a¹", "exp"]


def test_kinds_differ_by_more_than_colour():
    _, groups = parts(Drawing(three_layers()))
    look = {}
    for g in groups:
        frame = g.findall(f"{SVG}rect")[-1]
        look[g.get("data-kind")] = (frame.get("stroke-width"), frame.get("stroke-dasharray"), frame.get("rx"))
        if g.get("data-kind") != "operation":
            assert texts(g)[0] == g.get("data-kind"), "a leaf says what it is"
    assert set(look) == {"operation", "parameter", "data", "constant"}
    assert len(set(look.values())) == 4


def test_numbers_that_are_no_nodes_get_a_box_for_each_use_and_arrays_one():
    y, x = np.array([1.0, 2.0]), plain(3, name="x")
    one = plain(1, plain(1, x, 2.0, op="add"), 2.0, op="power")
    two = plain(1, plain(1, x, y, op="add"), y, op="power")
    assert [b.kind for b in Drawing(one).boxes].count("constant") == 2
    assert [b.kind for b in Drawing(two).boxes].count("constant") == 1


def test_a_node_used_twice_is_one_box():
    x = plain(3, name="x")
    drawing = Drawing(plain(9, x, x, op="multiply"))
    assert len(drawing.boxes) == 2 and drawing.arrows == [(0, 1)]


def test_highlight_marks_the_node_and_the_arrows_into_it():
    z = page_7()
    plain, marked = Drawing(z).svg, Drawing(z, highlight=z.inputs[0]).svg
    assert plain.count(draw.GLOW) == 0
    assert marked.count(draw.GLOW) == 1 + 2 * 2, "a frame, and two arrows of a line and a head"


def test_gradients_of_the_moment_replace_those_of_the_nodes():
    z = page_7()
    _, groups = parts(Drawing(z, gradients={id(z): 7.0}))
    assert {g.get("data-name"): texts(g)[-1] for g in groups} == {"w": "–", "x": "–", "t": "–", "b": "–", "z": "7"}


@pytest.mark.parametrize("name", ['<b>&"\'</b>', "]]>", "ñandú", "a" * 300, "two\nlines", "\x00\x1b", "\ud800", ""])
def test_any_name_gives_well_formed_xml(name):
    root, groups = parts(Drawing(plain(1, plain(1, name=name), name=name, op="exp")))
    assert len(groups) == 2
    assert not root.findall(f".//{SVG}b"), "no name becomes markup"


@given(st.text(max_size=40))
def test_any_text_is_a_name(name):
    parts(Drawing(plain(1, name=name)))


# That it can be read ---------------------------------------------------------------------------------


def check_readable(drawing):
    root, groups = parts(drawing)
    width, height = float(root.get("width")), float(root.get("height"))
    for a, b in itertools.combinations(drawing.boxes, 2):
        apart = max(abs(a.x + a.width / 2 - b.x - b.width / 2) - (a.width + b.width) / 2,
                    abs(a.y + a.height / 2 - b.y - b.height / 2) - (a.height + b.height) / 2)  # fmt: skip
        assert apart >= 15, "boxes keep their distance"
    for box in drawing.boxes:
        assert 0 <= box.x and box.x + box.width + draw.MARGIN < width
        assert 0 <= box.y and box.y + box.height + draw.MARGIN < height

    for box, group in zip(drawing.boxes, groups, strict=True):
        for text in group.findall(f"{SVG}text"):
            x, size = float(text.get("x")), float(text.get("font-size", draw.FONT))
            assert size >= 13
            end = x - dejavu_width(text.text, size) if text.get("text-anchor") else x + dejavu_width(text.text, size)
            assert box.x <= min(x, end) and max(x, end) <= box.x + box.width, f"{text.text!r} stays in its box"

    for (u, v), route in zip(drawing.arrows, drawing.routes, strict=True):
        start, end = drawing.boxes[u], drawing.boxes[v]
        assert route[0] == (start.x + start.width, start.y + start.height / 2)
        assert route[-1][0] == end.x and end.y < route[-1][1] < end.y + end.height
        assert route[-2][0] < route[-1][0], "the head points forward"
        for (x0, y0), (x1, y1) in itertools.pairwise(route):
            assert x1 >= x0 or y0 == y1, "the only way back is the straight one to the start of the next band"
            if x0 == x1 or y0 == y1:  # curves stay in the free space between two columns
                for box in drawing.boxes:
                    assert (
                        max(x0, x1) <= box.x or min(x0, x1) >= box.x + box.width
                        or max(y0, y1) <= box.y or min(y0, y1) >= box.y + box.height
                    ), "no arrow goes through a box"  # fmt: skip
            else:
                assert all(x1 <= b.x or x0 >= b.x + b.width or apart_in_y(b, y0, y1) for b in drawing.boxes)


def apart_in_y(box, y0, y1):
    return box.y > max(y0, y1) or box.y + box.height < min(y0, y1)


def dejavu_width(text, size):
    """The width in DejaVu Sans or its italic serif, measured with the font that matplotlib brings along."""
    pytest.importorskip("matplotlib")
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans")
    return TextPath((0, 0), text.replace("$", r"\$"), size=size, prop=font).get_extents().width


def test_the_width_of_a_text_is_not_underestimated():
    for c in map(chr, [*range(33, 127), *map(ord, "−×…÷¹²³⁴⁵–αβδσ∂Σñéŷᵀ")]):
        assert 30 * dejavu_width(c * 40, 1) <= 31 * draw.text_width(c * 40, 1), c


@pytest.mark.parametrize("graph", GRAPHS)
def test_readable(graph):
    check_readable(Drawing(graph()))


@settings(max_examples=60, deadline=None)
@given(random_graphs())
def test_any_graph_is_readable(root):
    drawing = Drawing(root)
    assert all(route[-2][0] < route[-1][0] for route in drawing.routes)
    for a, b in itertools.combinations(drawing.boxes, 2):
        assert a.x + a.width < b.x or b.x + b.width < a.x or a.y + a.height < b.y or b.y + b.height < a.y


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_band_is_no_wider_than_a_page(graph):
    assert max(box.x + box.width for box in Drawing(graph()).boxes) <= draw.WIDEST + 60


def test_the_same_graph_is_the_same_bytes_and_there_are_no_ids_to_clash():
    assert Drawing(three_layers()).svg == Drawing(three_layers()).svg
    for element in ET.fromstring(Drawing(three_layers()).svg).iter():
        assert not {"id", "class", "style", "href"} & set(element.attrib)
        assert element.tag not in (f"{SVG}style", f"{SVG}script", f"{SVG}defs")


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_on_a_light_and_on_a_dark_page():
    for page in ("#ffffff", "#111111"):  # WCAG asks for 3 to 1 for graphics, 4.5 to 1 for text
        assert contrast(draw.ARROW, page) >= 3.5
        assert contrast(draw.GLOW, page) >= 3.5
    for paper, header, frame, *_ in draw.LOOKS.values():
        assert contrast(frame, paper) >= 3
        assert contrast(paper, "#111111") >= 10
        assert contrast(draw.INK, header) >= 7
        for ink in (draw.INK, draw.MUTED, draw.GRADIENT):
            assert contrast(ink, paper) >= 4.5


def test_all_text_lies_on_the_paper_of_a_box():
    root, _ = parts(Drawing(three_layers()))
    assert not root.findall(f"{SVG}text"), "text outside a box would be lost in one of the two themes"


# Its limits ------------------------------------------------------------------------------------------


def test_a_deep_graph_is_refused_and_does_not_hang():
    node = plain(1, name="x")
    for _ in range(100_000):
        node = plain(1, node, op="exp")
    with pytest.raises(ValueError, match=r"graph: there are more than 200 nodes.*max_nodes"):
        Drawing(node)


def test_the_limit_can_be_moved():
    node = plain(1, name="x")
    for _ in range(300):
        node = plain(1, node, op="exp")
    assert len(Drawing(node, max_nodes=301).boxes) == 301
    with pytest.raises(ValueError, match="more than 300"):
        Drawing(node, max_nodes=300)


def test_save(tmp_path):
    drawing = Drawing(page_7())
    drawing.save(tmp_path / "z.svg")
    assert (tmp_path / "z.svg").read_text(encoding="utf-8") == drawing.svg == drawing._repr_svg_()
    [image] = re.findall(r'^<img alt="&lt;Drawing: .*" src="data:image/svg\+xml;base64,(.*)">$', drawing._repr_html_())
    assert b64decode(image).decode("utf-8") == drawing.svg
    with pytest.raises(ValueError, match=r"save: the drawing is SVG, but 'z.png'"):
        drawing.save(tmp_path / "z.png")
    assert not (tmp_path / "z.png").exists()


# The layout ------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(-99, 99), st.floats(0.5, 9), st.floats(0, 9)), min_size=1, max_size=8))
def test_spread_is_the_nearest_arrangement(items):
    wanted, weight, apart = (list(part) for part in zip(*items, strict=True))
    apart = apart[1:]
    found = layout.spread(wanted, weight, apart)
    assert all(b - a >= d - 1e-9 for (a, b), d in zip(itertools.pairwise(found), apart, strict=True))

    def cost(y):
        return sum(w * (a - b) ** 2 for a, b, w in zip(y, wanted, weight, strict=True))

    rng = np.random.default_rng(0)
    for _ in range(50):  # the problem is convex: no allowed arrangement nearby may be better
        other = np.asarray(found) + rng.normal(0, 0.1, len(found))
        if all(b - a >= d for (a, b), d in zip(itertools.pairwise(other), apart, strict=True)):
            assert cost(other) >= cost(found) - 1e-6


def test_order_uncrosses():
    arrows = [(0, 5), (1, 4), (2, 3), (0, 3), (3, 6), (4, 6), (5, 6)]
    column, left, _ = layout.waypoints(layout.columns(7, arrows), arrows)
    rows = layout.order(column, left)
    worst = [[2, 1, 0], [3, 4, 5], [6]]
    assert layout.crossings(worst, left) == 1 and layout.crossings([[0, 1, 2], [3, 4, 5], [6]], left) > 1
    assert layout.crossings(rows, left) == min(
        layout.crossings([list(a), list(b), [6]], left)
        for a in itertools.permutations([0, 1, 2]) for b in itertools.permutations([3, 4, 5])
    )  # fmt: skip
