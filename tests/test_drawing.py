"""node.graph(), read back as XML: what the drawing says, and that it is legible."""

import itertools
import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnc import Node
from nnc._engine import apply
from nnc.autodiff.operations import RULES

SVG = "{http://www.w3.org/2000/svg}"


def make(value, *inputs, name=None, op="leaf", grad=None):
    """A node with this value and gradient, whether or not the operation gives them."""
    value = np.asarray(value, dtype=float)
    node = apply(replace(RULES[op], forward=lambda *_: value), inputs) if inputs else Node(value)
    node.name, node.grad = name, grad
    return node


def page_7():
    w, x, b = make(-2, name="w", grad=5.0), make(5, name="x", grad=-2.0), make(3, name="b", grad=1.0)
    t = make(-10, w, x, name="t", op="multiply", grad=1.0)
    return make(-7, t, b, name="z", op="add", grad=1.0)


def three_layers():
    rng = np.random.default_rng(0)
    a, widths = make(rng.standard_normal((784, 64)), name="X"), (784, 200, 100, 10)
    for i in (1, 2, 3):
        W = make(rng.standard_normal((widths[i], widths[i - 1])), name=f"W{i}", grad=rng.standard_normal(9))
        b = make(np.zeros((widths[i], 1)), name=f"b{i}")
        a = make(rng.standard_normal((widths[i], 64)), W, a, b, name=f"z{i}", op="linear")
        if i < 3:
            a = make(abs(a.value), a, name=f"a{i}", op="relu")
    L = make(rng.random(64), a, np.arange(64) % 10, name="L", op="softmax_cross_entropy")
    return make(2.3, L, name="J", op="mean")


def shared():
    """Long arrows: a is used in three columns, and w at every step of a chain of eight."""
    a, b, w = make(1, name="a"), make(2, name="b"), make(3, name="w")
    c = make(1, a, b, op="add")
    for _ in range(8):
        c = make(1, c, w, op="multiply")
    return make(1, make(2, a, c, op="add"), b, a, op="stack")


def unnamed_and_constants():
    x = make([1, 2, 3, 4], name="x")
    return make(30, make([1, 4, 9, 16], x, 2.0, op="power"), op="sum")


GRAPHS = [page_7, three_layers, shared, unnamed_and_constants]


@st.composite
def random_graphs(draw):
    """Any directed acyclic graph: each node takes up to three earlier ones."""
    nodes = [make(0.5, name="a"), make(np.zeros((3, 4)), name="longer name")]
    for i in range(draw(st.integers(1, 25))):
        inputs = draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))
        nodes.append(make(0.1 * i, *inputs, op=draw(st.sampled_from(["add", "linear", "exp"]))))
    return nodes[-1]


def parts(drawing):
    root = ET.fromstring(drawing.svg)
    return root, root.findall(f"{SVG}g")


def texts(group):
    return [t.text for t in group.findall(f"{SVG}text")]


# ---- contents --------------------------------------------------------------------------------------------------------


def test_page_7_has_the_values_and_gradients_of_the_notes():
    _, groups = parts(page_7().graph())
    shown = {g.get("data-name"): texts(g) for g in groups}
    assert shown == {
        "w": ["parameter", "w", "shape", "scalar", "value", "−2", "grad", "5"],
        "x": ["data", "x", "shape", "scalar", "value", "5", "grad", "−2"],
        "t": ["×", "t", "shape", "scalar", "value", "−10", "grad", "1"],
        "b": ["parameter", "b", "shape", "scalar", "value", "3", "grad", "1"],
        "z": ["+", "z", "shape", "scalar", "value", "−7", "grad", "1"],
    }


def test_arrays_are_summarised_and_numbers_in_names_are_superscripts():
    _, groups = parts(three_layers().graph())
    shown = {g.get("data-name"): texts(g) for g in groups}
    assert shown["W¹"][3] == "200×784"
    assert re.fullmatch(r"−\d\.\d … \d\.?\d?", shown["W¹"][5])
    assert shown["b²"][5] == "all 0"
    assert shown["L"][0] == "softmax_cross_entropy"
    assert shown["L"][-1] == "–", "backward has not run"


@pytest.mark.parametrize(
    ("value", "text"),
    [(-7.0, "−7"), ([1, 2, 3], "1, 2, 3"), (np.zeros((3, 0)), "empty"), (np.full(9, 2.5), "all 2.5"),
     (np.linspace(-1, 1, 9), "−1 … 1"), ([np.nan, 1, 2, 3], "nan inside"), ([-np.inf, 1, 2, 3], "−inf … 3"),
     (np.arange(9) > 3, "0 … 1"), (-0.0, "0")],
)  # fmt: skip
def test_the_summary_of_a_value(value, text):
    _, (group,) = parts(Node(value).graph())
    assert texts(group)[-3:] == [text, "grad", "–"]


def test_whole_numbers_and_subscripts_are_shown_as_in_the_notes():
    svg = make(np.array([[0.0, 255.0], [784.0, 3.0]]), name="W_out").graph().svg
    assert "0 … 784" in svg and "e02" not in svg
    assert '>W<tspan dy="4" font-size="12">out</tspan></text>' in svg
    assert ">x₁</text>" in make(1, name="x_1").graph().svg
    assert ">hidden_layer</text>" in make(1, name="hidden_layer").graph().svg


def test_nodes_without_a_name_are_named_as_in_the_notes():
    W1, b1 = Node(np.ones((3, 2)), name="W1"), Node(np.ones((3, 1)), name="b1")
    P = np.tanh(W1 @ np.ones((2, 4)) + b1)
    _, groups = parts(np.exp(P).graph())
    shown = [f"{texts(g)[0]} {g.get('data-name')}".strip() for g in groups]
    assert shown == ["parameter W¹", "constant X", "matmul @", "parameter b¹", "+ z¹", "tanh a¹", "exp"]


def test_kinds_differ_by_more_than_colour():
    _, groups = parts(three_layers().graph())
    styles = {}
    for g in groups:
        frame = g.findall(f"{SVG}rect")[-1]
        styles[g.get("data-kind")] = (frame.get("stroke-width"), frame.get("stroke-dasharray"), frame.get("rx"))
        if g.get("data-kind") != "operation":
            assert texts(g)[0] == g.get("data-kind"), "a leaf shows its kind"
    assert set(styles) == {"operation", "parameter", "data", "constant"}
    assert len(set(styles.values())) == 4


def test_a_constant_number_has_a_box_for_each_use_and_a_constant_array_one():
    y, x = np.array([1.0, 2.0]), make(3, name="x")
    one = make(1, make(1, x, 2.0, op="add"), 2.0, op="power")
    two = make(1, make(1, x, y, op="add"), y, op="power")
    assert [b.kind for b in one.graph().boxes].count("constant") == 2
    assert [b.kind for b in two.graph().boxes].count("constant") == 1


def test_a_node_used_twice_is_one_box():
    x = make(3, name="x")
    drawing = make(9, x, x, op="multiply").graph()
    assert len(drawing.boxes) == 2 and drawing.arrows == [(0, 1)]


def test_highlight_marks_the_node_and_the_arrows_into_it():
    z = page_7()
    plain, marked = (re.findall("#[0-9a-f]{6}", z.graph(highlight=node).svg) for node in (None, z.inputs[0]))
    (colour,) = set(marked) - set(plain)
    assert marked.count(colour) == 1 + 2 * 2, "a frame, and two arrows of a line and a head"


def test_given_gradients_are_shown_instead_of_those_of_the_nodes():
    z = page_7()
    _, groups = parts(z.graph(gradients={id(z): 7.0}))
    assert {g.get("data-name"): texts(g)[-1] for g in groups} == {"w": "–", "x": "–", "t": "–", "b": "–", "z": "7"}


@pytest.mark.parametrize("name", ['<b>&"\'</b>', "]]>", "ñandú", "a" * 300, "two\nlines", "\x00\x1b", "\ud800", ""])
def test_any_name_gives_well_formed_xml(name):
    root, groups = parts(make(1, make(1, name=name), name=name, op="exp").graph())
    assert len(groups) == 2
    assert not root.findall(f".//{SVG}b"), "no name becomes markup"


@given(st.text(max_size=40))
def test_any_text_can_be_a_name(name):
    parts(make(1, name=name).graph())


# ---- legibility ------------------------------------------------------------------------------------------------------


def check_readable(drawing):
    root, groups = parts(drawing)
    left, top, width, height = map(float, root.get("viewBox").split())
    for a, b in itertools.combinations(drawing.boxes, 2):
        apart = max(abs(a.x + a.width / 2 - b.x - b.width / 2) - (a.width + b.width) / 2,
                    abs(a.y + a.height / 2 - b.y - b.height / 2) - (a.height + b.height) / 2)  # fmt: skip
        assert apart >= 15, "boxes are apart"
    for box in drawing.boxes:
        assert left < box.x and box.x + box.width < left + width
        assert top < box.y and box.y + box.height < top + height

    check_texts(drawing)

    for (u, v), route in zip(drawing.arrows, drawing.routes, strict=True):
        start, end = drawing.boxes[u], drawing.boxes[v]
        assert route[0] == (start.x + start.width, start.y + start.height / 2)
        assert route[-1][0] == end.x and end.y < route[-1][1] < end.y + end.height
        assert route[-2][0] < route[-1][0], "the head points forward"
        for (x0, y0), (x1, y1) in itertools.pairwise(route):
            assert x1 >= x0 or y0 == y1, "only a straight line leads back, to the start of the next band"
            if x0 == x1 or y0 == y1:  # curves stay in the free space between two columns
                for box in drawing.boxes:
                    assert (
                        max(x0, x1) <= box.x or min(x0, x1) >= box.x + box.width
                        or max(y0, y1) <= box.y or min(y0, y1) >= box.y + box.height
                    ), "no arrow goes through a box"  # fmt: skip
            else:
                assert all(x1 <= b.x or x0 >= b.x + b.width or apart_in_y(b, y0, y1) for b in drawing.boxes)


def check_texts(drawing):
    """Every text is large enough and in its box, and the title does not touch the name."""
    root, groups = parts(drawing)
    for box, group in zip(drawing.boxes, groups, strict=True):
        extents = []
        for text in group.findall(f"{SVG}text"):
            x, size = float(text.get("x")), float(text.get("font-size", root.get("font-size")))
            assert size >= 13
            end = x - dejavu_width(text.text, size) if text.get("text-anchor") else x + dejavu_width(text.text, size)
            extents.append((min(x, end), max(x, end)))
            assert box.x <= extents[-1][0] and extents[-1][1] <= box.x + box.width, text.text
        if group.get("data-name"):
            assert extents[1][0] - extents[0][1] >= 10, texts(group)


def apart_in_y(box, y0, y1):
    return box.y > max(y0, y1) or box.y + box.height < min(y0, y1)


def dejavu_width(text, size):
    """The width in DejaVu Sans, the widest of the fonts, as matplotlib has it."""
    pytest.importorskip("matplotlib")
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans")
    return TextPath((0, 0), text.replace("$", r"\$"), size=size, prop=font).get_extents().width


def test_names_of_any_letters_fit_in_their_box():
    for c in map(chr, [*range(33, 127), *map(ord, "−×…÷¹²³⁴⁵–αβδσ∂Σñéŷᵀ")]):
        check_texts(make(1, name=15 * c).graph())


@pytest.mark.parametrize("graph", GRAPHS)
def test_readable(graph):
    check_readable(graph().graph())


@settings(max_examples=60, deadline=None)
@given(random_graphs())
def test_any_graph_is_readable(root):
    drawing = root.graph()
    assert all(route[-2][0] < route[-1][0] for route in drawing.routes)
    for a, b in itertools.combinations(drawing.boxes, 2):
        assert a.x + a.width < b.x or b.x + b.width < a.x or a.y + a.height < b.y or b.y + b.height < a.y


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_band_is_no_wider_than_a_page(graph):
    assert max(box.x + box.width for box in graph().graph().boxes) <= 1020


def test_the_svg_is_reproducible_and_has_no_ids_or_styles():
    assert three_layers().graph().svg == three_layers().graph().svg
    for element in ET.fromstring(three_layers().graph().svg).iter():
        assert not {"id", "class", "style", "href"} & set(element.attrib)
        assert element.tag not in (f"{SVG}style", f"{SVG}script", f"{SVG}defs")


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_on_a_light_and_on_a_dark_page():
    J = three_layers()
    root, groups = parts(J.graph(highlight=J))
    outside = {path.get("stroke") or path.get("fill") for path in root.findall(f"{SVG}path")}
    assert len(outside) == 2, "plain and highlighted arrows"
    for colour, page in itertools.product(outside, ("#ffffff", "#111111")):
        assert contrast(colour, page) >= 3.5  # WCAG asks for 3 to 1 for graphics, 4.5 to 1 for text
    for group in groups:
        *_, paper, frame = group.findall(f"{SVG}rect")
        paper, header = paper.get("fill"), group.find(f"{SVG}path").get("fill")
        assert contrast(frame.get("stroke"), paper) >= 3
        assert contrast(paper, "#111111") >= 10
        for i, text in enumerate(group.findall(f"{SVG}text")):
            in_header = i <= bool(group.get("data-name"))
            assert contrast(text.get("fill"), header if in_header else paper) >= (7 if in_header else 4.5)


def test_all_text_is_inside_the_boxes():
    root, _ = parts(three_layers().graph())
    assert not root.findall(f"{SVG}text"), "text outside a box is hard to read in a light or in a dark theme"


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_a_deep_graph_is_an_error_and_does_not_hang():
    node = make(1, name="x")
    for _ in range(100_000):
        node = make(1, node, op="exp")
    with pytest.raises(ValueError, match=r"graph: there are more than 200 nodes.*max_nodes"):
        node.graph()


def test_max_nodes_changes_the_limit():
    node = make(1, name="x")
    for _ in range(300):
        node = make(1, node, op="exp")
    assert len(node.graph(max_nodes=301).boxes) == 301
    with pytest.raises(ValueError, match="more than 300"):
        node.graph(max_nodes=300)


def test_save_writes_the_svg(tmp_path):
    drawing = page_7().graph()
    drawing.save(tmp_path / "z.svg")
    assert (tmp_path / "z.svg").read_text(encoding="utf-8") == drawing.svg == drawing._repr_svg_()
    [image] = re.findall(r'^<img alt="&lt;Drawing: .*" src="data:image/svg\+xml;base64,(.*)">$', drawing._repr_html_())
    assert b64decode(image).decode("utf-8") == drawing.svg
    with pytest.raises(ValueError, match=r"save: the drawing is SVG, but 'z.png'"):
        drawing.save(tmp_path / "z.png")
    assert not (tmp_path / "z.png").exists()


# ---- layout ----------------------------------------------------------------------------------------------------------


def test_a_chain_is_drawn_as_a_straight_line():
    node = make(1, name="x")
    for _ in range(4):
        node = make(1, node, op="exp")
    heights = [y for route in node.graph().routes for _, y in route]
    assert max(heights) - min(heights) < 1


def test_arrows_that_need_not_cross_do_not():
    a, b, c = (make(1, name=name) for name in "abc")
    drawing = make(1, make(1, c, a, op="add"), make(1, b, op="exp"), make(1, a, op="exp"), op="stack").graph()
    columns = {}
    for route in drawing.routes:
        columns.setdefault(route[0][0], []).append((route[0][1], route[-1][1]))
    assert [len(arrows) for arrows in columns.values()] == [4, 3]
    for arrows in columns.values():
        for (start, end), (other_start, other_end) in itertools.combinations(arrows, 2):
            assert (start - other_start) * (end - other_end) >= 0
