"""The expressions inside a statement, and copies of the statement with some of them replaced."""

import ast

from .rewrite import copied


def value_of(node):
    """The expression that a statement assigns."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.value.args:
        return node.value.args[-1]
    return getattr(node, "value", None)


def sites(node):
    """The expressions inside a statement that can be replaced: all that it reads, but not its targets."""
    writes = set()
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        while target is not None:
            writes.add(target)
            target = target.value if isinstance(target, ast.Subscript | ast.Attribute) else None
    skip = set()
    found = []
    for n in ast.walk(node):
        if isinstance(n, ast.Call):
            skip.add(n.func)  # a function is not a value, but the object of a method is
        if isinstance(n, ast.expr) and n not in writes and n not in skip and not isinstance(n, ast.Slice | ast.keyword):
            if not (isinstance(n, ast.Name) and n.id in ("np", "numpy", "math", "range", "len")):
                found.append(n)
    return found


def replaced(node, changes):
    """A copy of the statement with some of its expressions, {expression: another}, changed."""
    order = {n: i for i, n in enumerate(ast.walk(node))}
    other = copied(node)
    nodes = list(ast.walk(other))
    new = {nodes[order[old]]: copied(to) for old, to in changes.items()}

    class Change(ast.NodeTransformer):
        def visit(self, n):
            return new[n] if n in new else self.generic_visit(n)

    other = Change().visit(other)
    if hasattr(node, "sid"):
        other.sid = node.sid
    return ast.fix_missing_locations(other)


def expression(text):
    return ast.parse(text, mode="eval").body


def product(a, b):
    return ast.BinOp(a, ast.Mult(), b)


def np_call(name, *args, **keywords):
    f = ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load())
    return ast.Call(f, list(args), [ast.keyword(k, ast.Constant(v)) for k, v in keywords.items()])


def product_of(n):
    """The two operands of a product."""
    if isinstance(n, ast.BinOp) and isinstance(n.op, ast.MatMult | ast.Mult):
        return n.left, n.right
    if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute):
        if n.func.attr in ("dot", "matmul", "multiply", "outer") and len(n.args) == 2:
            return n.args[0], n.args[1]
        if n.func.attr == "dot" and len(n.args) == 1:
            return n.func.value, n.args[0]
    return None


def with_operands(n, x, y):
    if isinstance(n, ast.BinOp):
        return ast.BinOp(x, n.op, y)
    if len(n.args) == 2:
        return ast.Call(n.func, [x, y], n.keywords)
    return ast.Call(ast.Attribute(x, n.func.attr, ast.Load()), [y], n.keywords)


def factors_of(n):
    """The factors of a * b * c."""
    if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult):
        return [*factors_of(n.left), *factors_of(n.right)]
    return [n]


def both_sides(n):
    return n.left, n.right


def names_in(n):
    return {m.id for m in ast.walk(n) if isinstance(m, ast.Name)} - {"np", "numpy"}


def is_number_one(n):
    return isinstance(n, ast.Constant) and n.value == 1


def scaled(term, k, text):
    """The tree of a term times the number that is written as `text`."""
    if text.startswith("1 / "):
        return ast.BinOp(term, ast.Div(), expression(text[4:]))
    return ast.BinOp(expression(text), ast.Mult(), term)


def simplified(tree):
    """The tree with fewer signs: ``a - b`` for ``a + -b``, ``x * y`` for ``-(-x * y)``."""

    class Signs(ast.NodeTransformer):
        def visit_UnaryOp(self, n):
            n = self.generic_visit(n)
            x = n.operand
            if not isinstance(n.op, ast.USub):
                return n
            if is_negative(x):
                return x.operand
            if isinstance(x, ast.BinOp) and isinstance(x.op, ast.Mult | ast.Div) and is_negative(x.left):
                return ast.BinOp(x.left.operand, x.op, x.right)
            return n

        def visit_BinOp(self, n):
            n = self.generic_visit(n)
            if isinstance(n.op, ast.Add) and is_negative(n.right):
                return ast.BinOp(n.left, ast.Sub(), n.right.operand)
            return n

    def is_negative(n):
        return isinstance(n, ast.UnaryOp) and isinstance(n.op, ast.USub)

    return Signs().visit(copied(tree))
