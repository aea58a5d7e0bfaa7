"""A reader's source in which every assignment reports its value: the syntax tree is rewritten, the file never.

``Z1 = W1 @ X + b1`` becomes ::

    try:
        Z1 = W1 @ X + b1
    except Exception as __error__:
        Z1 = __nnc__.rescue(7, __error__)
    Z1 = __nnc__.put(7, 'Z1', Z1)

where ``__nnc__`` is a `nnc.checking.trace.Recorder`, which records the value, and may return another one. In-place
statements go through the recorder as well, ``A[A < 0] = 0`` as ``A = __nnc__.store(8, 'A', A, __nnc__.key[A < 0], 0)``:
on arrays this does the same as the reader's statement; for Nodes, which cannot be changed, it makes a new one.
"""

import ast
import warnings
from dataclasses import dataclass

RECORDER = "__nnc__"
ASSIGNMENTS = (ast.Assign, ast.AugAssign, ast.AnnAssign)
GROWING = ("append", "insert", "appendleft")


@dataclass(eq=False)
class Statement:
    """One statement of the reader's code: its line number, its text, its tree."""

    id: int
    number: int
    text: str
    node: ast.stmt
    function: str  # that contains it; "" outside of functions
    loops: tuple = ()  # the loops around it, the outermost first
    file: str = ""  # or the cell of a notebook


class Source:
    """A piece of source code: its tree, and its statements in order."""

    def __init__(self, text, name="<derivation>", first_line=1, statements=None, file=""):
        self.file = file
        self.name = name or "<derivation>"  # a function typed at a prompt has no file
        self.lines, self.first_line = text.splitlines(), first_line
        self.tree = ast.parse(text)
        self.statements = [] if statements is None else statements
        self._pieces, self._contents, self._made = {}, {}, {}
        self._enter(self.tree.body, "", ())

    def _enter(self, body, function, loops):
        for node in body:
            node.sid = len(self.statements)
            number = node.lineno + self.first_line - 1
            self.statements.append(Statement(node.sid, number, self._text(node), node, function, loops, self.file))
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self._enter(node.body, node.name if isinstance(node, ast.FunctionDef) else function, ())
                continue
            inside = (*loops, node.sid) if isinstance(node, (ast.For, ast.While)) else loops
            for part in ("body", "orelse", "finalbody"):
                self._enter(getattr(node, part, []), function, inside)
            for handler in getattr(node, "handlers", []):
                self._enter(handler.body, function, loops)

    def _text(self, node):
        """The lines of a statement, without other statements on them; of a compound statement the first."""
        if hasattr(node, "body"):
            return self.lines[node.lineno - 1].strip()
        lines = [line.encode() for line in self.lines[node.lineno - 1 : node.end_lineno]]  # offsets count bytes
        before, after = lines[0][: node.col_offset], lines[-1][node.end_col_offset :]
        if before.strip() or after.split(b"#")[0].strip(b" ;\t"):
            lines[-1] = lines[-1][: node.end_col_offset]
            lines[0] = lines[0][node.col_offset :]
        return "\n".join(line.decode() for line in lines).strip()

    def rewritten(self, patches=()):
        """The code objects, one for each top-level statement, with the statements of `patches` {id: tree} in place of
        the reader's. Only those that contain a patched statement are compiled again."""
        pieces = []
        for node in self.tree.body:
            inside = {sid: tree for sid, tree in dict(patches).items() if sid in self._inside(node)}
            if inside or node.sid not in self._pieces:
                tree = ast.Module(_Rewriter(inside, self._inside, self._made).body([node]), [])
                with warnings.catch_warnings():  # of a patch; Python has warned of the reader's code already
                    warnings.simplefilter("ignore", SyntaxWarning)
                    piece = compile(tree, self.name, "exec")
                if inside:
                    pieces.append(piece)
                    continue
                self._pieces[node.sid] = piece
            pieces.append(self._pieces[node.sid])
        return pieces

    def _inside(self, node):
        """The ids of a statement and of those in it."""
        if node.sid not in self._contents:
            self._contents[node.sid] = frozenset(n.sid for n in ast.walk(node) if hasattr(n, "sid"))
        return self._contents[node.sid]


def copied(node):
    """A deep copy of a tree, faster than `copy.deepcopy`; the statements inside a statement are shared."""
    if isinstance(node, list):
        return [x if isinstance(x, ast.stmt) else copied(x) for x in node]
    if not isinstance(node, ast.AST):
        return node
    new = type(node)(**{field: copied(value) for field, value in ast.iter_fields(node)})
    for name in (*node._attributes, "sid"):
        if hasattr(node, name):
            setattr(new, name, getattr(node, name))
    return new


def call(method, *args):
    """The tree of ``__nnc__.method(*args)``."""
    return ast.Call(ast.Attribute(ast.Name(RECORDER, ast.Load()), method, ast.Load()), list(args), [])


def load(target):
    """The tree that reads what `target` writes."""
    found = copied(target)
    for node in ast.walk(found):
        if hasattr(node, "ctx"):
            node.ctx = ast.Load()
    return found


def store(target):
    found = load(target)
    found.ctx = ast.Store()
    return found


def leaves(target):
    """The names, attributes and items that an assignment's target is made of."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return [leaf for element in target.elts for leaf in leaves(element)]
    return leaves(target.value) if isinstance(target, ast.Starred) else [target]


class _Expressions(ast.NodeTransformer):
    """Redirects what Nodes refuse to the recorder: ``float(x)``, ``x.item()``, ``np.array(x)``, ``math.exp(x)``."""

    def visit_Call(self, node):
        self.generic_visit(node)
        f = node.func
        plain = node.args and not any(isinstance(a, ast.Starred) for a in node.args)
        if isinstance(f, ast.Name) and f.id == "float" and len(node.args) == 1:
            return call("number", *node.args)
        if isinstance(f, ast.Attribute) and f.attr == "item" and not node.args:
            return call("item", f.value)
        if isinstance(f, ast.Attribute) and plain and (f.attr in ("array", "asarray") or _is(f.value, "math")):
            return ast.Call(call("plain", f).func, [f, *node.args], node.keywords)
        return node

    def visit_Lambda(self, node):
        self.generic_visit(node)
        return node


def _is(node, name):
    return isinstance(node, ast.Name) and node.id == name


class _Rewriter:
    """Rewrites statements; `made` caches the results for those without a patch in them, {id: statements}."""

    def __init__(self, patches, inside, made):
        self.patches, self.inside, self.made = patches, inside, made

    def body(self, statements):
        out = []
        for original in statements:
            is_patched = not self.inside(original).isdisjoint(self.patches)
            if is_patched or original.sid not in self.made:
                node = copied(self.patches.get(original.sid, original))
                node.sid = original.sid
                method = getattr(self, type(node).__name__, None)
                new = [_located(n, original) for n in (method(node) if method else self.other(node))]
                if is_patched:
                    out += new
                    continue
                self.made[original.sid] = new
            out += self.made[original.sid]
        return out

    def other(self, node):
        """if, with, try, and all statements that assign nothing."""
        for part in ("body", "orelse", "finalbody"):
            if getattr(node, part, None):
                setattr(node, part, self.body(getattr(node, part)))
        for handler in getattr(node, "handlers", []):
            handler.body = self.body(handler.body)
        for field in ("test", "value", "iter", "exc"):
            if isinstance(getattr(node, field, None), ast.expr):
                setattr(node, field, _Expressions().visit(getattr(node, field)))
        return [node]

    # ---- functions and loops ---------------------------------------------------------------------------------------

    def FunctionDef(self, node):
        if ("yields", node.sid) not in self.made:
            self.made["yields", node.sid] = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(node))
        if self.made["yields", node.sid]:
            return [node]
        a = node.args
        names = [arg.arg for arg in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
        bound = [self.report(node.sid, ast.Name(n, ast.Store()), "bound") for n in names]
        body = [ast.Try([*bound, *self.body(node.body)], [], [], [ast.Expr(call("leave"))])]
        node.body = [ast.Expr(call("enter", ast.Constant(node.sid), ast.Constant(node.name))), *body]
        return [node]

    def ClassDef(self, node):
        node.body = [new for old in node.body for new in (self.body([old]) if hasattr(old, "body") else [old])]
        return [node]

    def For(self, node):
        node.iter = _Expressions().visit(node.iter)
        return self.loop(node)

    def While(self, node):
        node.test = _Expressions().visit(node.test)
        return self.loop(node)

    def loop(self, node):
        iteration = call("iteration", ast.Constant(node.sid))
        names = [n.id for n in leaves(node.target) if isinstance(n, ast.Name)] if hasattr(node, "target") else []
        iteration.keywords = [ast.keyword(name, ast.Name(name, ast.Load())) for name in dict.fromkeys(names)]
        node.body = [ast.Expr(iteration), *self.body(node.body)]
        node.orelse = self.body(node.orelse)
        return [node]

    def Return(self, node):
        if node.value is not None:
            node.value = call("returned", ast.Constant(node.sid), _Expressions().visit(node.value))
        return [node]

    def Assert(self, node):
        return [ast.If(ast.Attribute(ast.Name(RECORDER, ast.Load()), "asserts", ast.Load()), [node], [])]

    # ---- assignments -----------------------------------------------------------------------------------------------

    def Assign(self, node):
        node.value = _Expressions().visit(node.value)
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript):
            return self.stored(node.sid, node.targets[0], node.value)
        reports = [self.report(node.sid, t) for target in node.targets for t in leaves(target)]
        return [self.guarded(node, node.targets), *reports]

    def AnnAssign(self, node):
        if node.value is None:
            return [node]
        new = ast.Assign([node.target], node.value)
        new.sid = node.sid
        return self.Assign(new)

    def AugAssign(self, node):
        value, operator = _Expressions().visit(node.value), ast.Constant(type(node.op).__name__)
        if isinstance(node.target, ast.Subscript):
            return self.stored(node.sid, node.target, value, operator)
        new = ast.Assign([node.target], call("in_place", operator, load(node.target), value))
        return [self.guarded(new, new.targets, node.sid), self.report(node.sid, node.target, "in place")]

    def Expr(self, node):
        """``list.append(x)`` assigns as well, and so does ``np.add.at(x, i, v)``."""
        c = node.value = _Expressions().visit(node.value)
        if isinstance(c, ast.Call) and isinstance(c.func, ast.Attribute) and c.args:
            if c.func.attr in GROWING:
                name, container = ast.Constant(ast.unparse(c.func.value)), c.func.value
                if any(isinstance(n, ast.Call) for n in ast.walk(container)):  # which must not be called twice
                    container = ast.Tuple([], ast.Load())
                c.args[-1] = call("grow", ast.Constant(node.sid), name, load(container), c.args[-1])
            elif c.func.attr == "at" and isinstance(c.args[0], ast.Name):
                return [node, self.report(node.sid, store(c.args[0]), "in place")]
        return [node]

    def stored(self, sid, target, value, operator=None):
        """An item of an array, a list or a dictionary."""
        base, key = target.value, ast.Subscript(_recorder("key"), target.slice, ast.Load())
        keep_key = ast.Assign([ast.Name("__key__", ast.Store())], key)
        read_key = ast.Name("__key__", ast.Load())
        if operator is not None:
            value = call("in_place", operator, ast.Subscript(load(base), read_key, ast.Load()), value)
        stored = call(
            "store",
            ast.Constant(sid),
            ast.Constant(ast.unparse(base)),
            load(base),
            read_key,
            value,
            ast.Constant(operator is not None),
        )
        rebound = isinstance(base, (ast.Name, ast.Attribute, ast.Subscript))
        new = ast.Assign([store(base)], stored) if rebound else ast.Expr(stored)
        where = ast.Lambda(_NO_ARGUMENTS, ast.Tuple([load(base), copied(key)], ast.Load()))
        name, error = ast.Constant(ast.unparse(base)), ast.Name("__error__", ast.Load())
        kept = call("rescue_item", ast.Constant(sid), name, error, where)
        return [self.caught([keep_key, new], [ast.Assign([store(base)], kept) if rebound else ast.Expr(kept)])]

    def report(self, sid, target, how="assigned"):
        name, how = ast.Constant(ast.unparse(target)), ast.Constant(how)
        if isinstance(target, ast.Subscript):
            key = ast.Subscript(_recorder("key"), target.slice, ast.Load())
            return ast.Expr(
                call("stored", ast.Constant(sid), ast.Constant(ast.unparse(target.value)), load(target.value), key)
            )
        return ast.Assign([store(target)], call("put", ast.Constant(sid), name, load(target), how))

    def guarded(self, node, targets, sid=None):
        """The statement with an exception caught, so that the check can go on without it."""
        sid = node.sid if sid is None else sid
        error = ast.Name("__error__", ast.Load())
        names = [t for target in targets for t in leaves(target) if not isinstance(t, ast.Subscript)]
        kept = [ast.Assign([store(t)], call("rescue", ast.Constant(sid), error)) for t in names]
        return self.caught([node], kept)

    def caught(self, body, kept):
        handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), "__error__", kept or [ast.Pass()])
        return ast.Try(body, [handler], [], [])


_NO_ARGUMENTS = ast.arguments([], [], None, [], [], None, [])


def _located(node, original):
    """The node, with the original's line numbers wherever it has none; what was located before is skipped."""
    if not hasattr(node, "lineno"):
        ast.copy_location(node, original)
    todo = [node]
    while todo:
        n = todo.pop()
        for child in ast.iter_child_nodes(n):
            if isinstance(child, ast.stmt) and hasattr(child, "is_located"):
                continue
            if "lineno" in child._attributes and not hasattr(child, "lineno"):
                ast.copy_location(child, n if hasattr(n, "lineno") else original)
            todo.append(child)
    node.is_located = True
    return node


def _recorder(attribute):
    return ast.Attribute(ast.Name(RECORDER, ast.Load()), attribute, ast.Load())
