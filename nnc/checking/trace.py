"""Running a reader's code with every assignment recorded, repeatedly and reproducibly.

`Program` holds the rewritten source and its inputs; `Program.run` runs it from the start in float64, on copies of the
inputs, optionally with some values replaced (*overrides*), with some statements replaced (*patches*), or on Nodes. A
run stops early if nothing after that is needed. The code prints, and writes files, in the first run only; the random
numbers are the same in all runs.
"""

import ast
import builtins
import contextlib
import copy
import inspect
import io
import operator
import random
import sys
import time
import types
import warnings
from dataclasses import dataclass

import numpy as np

from ..autodiff.node import Node
from .rewrite import ASSIGNMENTS, RECORDER, Source

MOST_EVENTS = 20_000
MOST_BYTES = 400_000_000
MOST_SECONDS = 5.0
MOST_LAYERS = 20  # of a list of tuples
WORK_OF_A_RUN, WORK_OF_AN_ASSIGNMENT = 20_000, 300  # in numbers assigned: 15 to 20 million take a second


@dataclass(eq=False)
class Event:
    """One assignment in a run."""

    index: int
    id: tuple  # (statement, its count of events so far): the same in every run
    base: str  # "dW1", "grads", "self.W"
    key: object  # of an item: "dW1" for grads["dW1"]; else None
    how: str  # "assigned", "in place", "bound" (to a function's parameter), "returned", "appended" (to a list)
    frame: int  # which call of which function
    value: object  # a copy; None after an exception
    source: int  # index of the event that created this object: an earlier one, if it has a new name only
    node: object = None
    error: object = None
    owner: int = None  # of an attribute: the id() of its object
    was: int = None  # index of the event that assigned the object changed in place, or the item replaced
    counts: dict = None  # {name: value} of the counters of the loops around it

    @property
    def sid(self):
        return self.id[0]

    @property
    def name(self):
        return self.base if self.key is None else f"{self.base}[{self.key!r}]"

    @property
    def is_array(self):
        return isinstance(self.value, np.ndarray | np.floating | float) and np.asarray(self.value).dtype.kind == "f"

    @property
    def shape(self):
        return np.shape(self.value)


class Unknown:
    """In place of the value of a statement that raised an exception; using it raises Dependent."""

    __array_ufunc__ = None

    def __array__(self, *args, **kwargs):
        raise Dependent

    def _raise(self, *args):
        raise Dependent

    __getattr__ = __getitem__ = __setitem__ = __len__ = __iter__ = __bool__ = __float__ = __neg__ = __call__ = _raise
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _raise
    __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __lt__ = __le__ = __gt__ = __ge__ = _raise


class Dependent(TypeError):
    """Raised when an Unknown is used."""


class Stop(BaseException):
    """Raised by the recorder to end a run early."""


class _Key:
    def __getitem__(self, key):
        return key


IN_PLACE = {
    "Add": operator.iadd,
    "Sub": operator.isub,
    "Mult": operator.imul,
    "Div": operator.itruediv,
    "Pow": operator.ipow,
    "MatMult": operator.imatmul,
    "FloorDiv": operator.ifloordiv,
    "Mod": operator.imod,
    "BitAnd": operator.iand,
    "BitOr": operator.ior,
    "BitXor": operator.ixor,
    "LShift": operator.ilshift,
    "RShift": operator.irshift,
}
NOT_IN_PLACE = {
    name: getattr(operator, f.__name__[1:] if f not in (operator.iand, operator.ior) else f.__name__[1:] + "_")
    for name, f in IN_PLACE.items()
}


class Recorder:
    """Records the assignments of the rewritten code, which calls its methods.

    Parameters
    ----------
    overrides : dict
        {id of an event: the value to assign instead, or a function of the value}.
    stop : tuple or None
        The id of the last event that is needed.
    nodes : set of str or None
        Run on Nodes: arrays of floats become Nodes, and so do the floats with these names.
    loop_ends : dict
        {loop: iteration}: stop when this loop begins this iteration, counted from 1.
    scopes : bool
        Whether to record the scope of each statement.
    shake : callable or None
        Applied to each new value; returns the one to use instead.
    widen : bool
        Whether arrays of integers become int64, to see whether narrower ones have overflowed.
    raising : set of int
        The statements that raise an exception also without Nodes.
    """

    key = _Key()

    def __init__(
        self,
        overrides=(),
        stop=None,
        nodes=None,
        loop_ends=(),
        scopes=False,
        widen=False,
        limited=False,
        shake=None,
        raising=(),
    ):
        self.overrides, self.stop, self.nodes, self.loop_ends = dict(overrides), stop, nodes, dict(loop_ends)
        self.events, self.scopes, self.errors = [], {} if scopes else None, []
        self.shake, self.widen, self.asserts = shake, widen, nodes is None and not overrides
        self.raising = raising
        self.began = {}  # loop -> [index of the first event of each iteration], in the first call of its function
        self._first_in, self._counts = {}, {}  # loop -> that call; call -> {name: value} of its loops' counters
        self.stopped = ""  # where a limit ended the run
        self._known, self._kept, self._counted, self._bytes = {}, [], {}, 0
        self._grown = []  # (event, name of the list, the list, the value) for each append or insert
        self._frames, self._serial = [(0, "")], 0
        self.latest = {}  # frame -> {name: its latest value}
        self._until = time.process_time() + MOST_SECONDS if limited else None

    # ---- functions and loops ---------------------------------------------------------------------------------------

    @property
    def next_frame(self):
        return self._serial + 1

    def enter(self, sid, function):
        self._serial += 1
        self._frames.append((self._serial, function))

    def leave(self):
        self._frames.pop()

    def iteration(self, sid, **counters):
        """A loop begins an iteration; `counters` are the names that it assigns to."""
        self._counted[sid] = n = self._counted.get(sid, 0) + 1
        frame = self._frames[-1][0]
        if self._first_in.setdefault(sid, frame) == frame:
            self.began.setdefault(sid, []).append(len(self.events))
        integers = {k: int(v) for k, v in counters.items() if isinstance(v, int | np.integer)}
        if integers:
            self._counts[frame] = {**self._counts.get(frame, {}), **integers}
        if self.loop_ends.get(sid) == n:
            raise Stop
        self._check_limits()

    def _check_limits(self):
        if self._until and (
            time.process_time() > self._until or len(self.events) > MOST_EVENTS or self._bytes > MOST_BYTES
        ):
            self.stopped = f"after {len(self.events):,} assignments"
            raise Stop

    # ---- values ----------------------------------------------------------------------------------------------------

    def put(self, sid, base, value, how="assigned", key=None):
        """Record the value assigned to a name, an attribute or an item; return it, or what to assign instead."""
        if isinstance(value, dict | list):
            return self._record_container(sid, base, value)
        if isinstance(value, tuple) and how == "assigned" and self.nodes is None and not hasattr(value, "_fields"):
            return value
        if not isinstance(value, int | float | np.generic | np.ndarray | Node | Unknown):
            if how == "bound" and hasattr(value, "__dict__") and not isinstance(value, type | types.ModuleType):
                self._record_attributes(sid, base, value)
            return value
        return self._record(sid, base, key, value, how)

    def grow(self, sid, base, container, value):
        """A value is appended to a list or inserted into it; `name_items` finds its final index."""
        first = len(self.events)
        value = self.put(sid, f"{base}[]", value, "appended")
        if len(self.events) == first + 1 and isinstance(value, np.ndarray | np.floating | float | Node):
            self._grown.append((self.events[first], base, container, value))
        return value

    def name_items(self):
        """Name what was appended or inserted by its final index in the list."""
        positions = {}
        for event, base, container, value in self._grown:
            if id(container) not in positions:
                positions[id(container)] = {id(x): k for k, x in enumerate(container)}
            k = positions[id(container)].get(id(value))
            if k is not None:
                event.base, event.key = base, k

    def _owner(self, base):
        """The id of the object that has the attribute ``layer.W``, or the list of which it is an item; or None."""
        parts = base.split(".")
        if len(parts) < 2 or not all(part.isidentifier() for part in parts[:-1]):
            return None
        frame = sys._getframe(1)
        while frame.f_globals is globals():
            frame = frame.f_back
        thing = frame.f_locals.get(parts[0], frame.f_globals.get(parts[0]))
        for part in parts[1:-1]:
            thing = vars(thing).get(part) if hasattr(thing, "__dict__") else None
        if thing is None or isinstance(thing, types.ModuleType):
            return None
        self._kept.append(thing)  # so that no other object gets its id
        return id(thing)

    def _record_container(self, sid, base, container):
        """Record the arrays of a list or a dictionary that are not known yet."""
        has_layers = _is_of_layers(container)
        for k, x in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(x, np.ndarray | np.floating | float | Node) and id(x) not in self._known:
                container[k] = self._record(sid, base, k, x, "assigned")
            elif isinstance(x, dict | list) and len(x) <= 100:
                self._record_container(sid, f"{base}[{k!r}]", x)
            elif has_layers:
                container[k] = self._record_tuple(sid, f"{base}[{k!r}]", x)
        return container

    def _record_tuple(self, sid, base, items):
        """Record those of a tuple with the parameters of a layer; return the tuple to use instead."""
        return tuple(
            self._record(sid, base, j, x, "assigned") if isinstance(x, np.ndarray | Node | Unknown) else x
            for j, x in enumerate(items)
        )

    def _record_attributes(self, sid, base, thing):
        """Record those of an object, such as a method's self."""
        for name, x in list(vars(thing).items()):
            if isinstance(x, np.ndarray | Node | float | np.floating) and id(x) not in self._known:
                setattr(thing, name, self._record(sid, f"{base}.{name}", None, x, "assigned"))
            elif isinstance(x, dict | list) and len(x) <= 100:
                self._record_container(sid, f"{base}.{name}", x)

    def _record(self, sid, base, key, value, how):
        id_ = (sid, self._counted.get(("event", sid), 0))
        self._counted["event", sid] = id_[1] + 1
        if isinstance(value, np.ndarray | np.floating) and value.dtype.kind == "f" and value.dtype.itemsize < 8:
            value = value.astype(np.float64)
        elif self.widen and isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.dtype.itemsize < 8:
            value = value.astype(np.int64)
        if id_ in self.overrides:
            other = self.overrides[id_]
            other = other(value) if callable(other) else other
            if how == "in place" and isinstance(value, np.ndarray) and not isinstance(other, Node):
                if value.shape == np.shape(other) and value.dtype.kind == "f":
                    value[...] = other
                else:
                    value = np.array(other)
            else:
                value = other.copy() if isinstance(other, np.ndarray) else other
        if self.shake is not None and id(value) not in self._known:
            value = self.shake(value)
        if self.nodes is not None and not isinstance(value, Node):
            names = {base, base.rsplit(".", 1)[-1]}
            is_float = isinstance(value, float | np.floating) and not self.nodes.isdisjoint(names)
            if is_float or isinstance(value, np.ndarray) and value.dtype.kind == "f":
                value = Node(value, name=base)
        i = len(self.events)
        event = Event(i, id_, base, key, how, self._frames[-1][0], None, self._known.get(id(value), i))
        if how == "in place":
            event.source, event.was = i, self._known.get(id(value))
        event.counts = self._counts.get(event.frame, {})
        if "." in base and self.nodes is None:
            event.owner = self._owner(base)
        if isinstance(value, Node):
            event.node, event.value = value, value.value
        elif isinstance(value, np.ndarray):
            event.value = value.copy()
            self._bytes += value.nbytes
        elif not isinstance(value, Unknown):
            event.value = value
        self.events.append(event)
        if isinstance(value, np.ndarray | Node | np.floating | float):
            self._known[id(value)] = i if event.source == i else event.source
            self._kept.append(value)
        here = self.latest.setdefault(self._frames[-1][0], {})
        if self.scopes is not None and sid not in self.scopes:
            self.scopes[sid] = self._scope(base, here.get(base)) if key is None else self._scope()
        if key is None:
            here[base] = value
        if self._until and not i % 256:
            self._check_limits()
        if id_ == self.stop:
            raise Stop
        return value

    def _scope(self, base="", before=None):
        """{text: (value, index of the event that created it, or None)} for all numbers and arrays in the scope of the
        reader's statement: names, items, attributes. `before` is the value of `base` before the statement."""
        frame = sys._getframe(1)
        while frame.f_globals is globals():
            frame = frame.f_back
        found = {}

        def add(text, x, deep):
            if isinstance(x, int | float | np.generic | np.ndarray | Unknown):
                found[text] = x.copy() if isinstance(x, np.ndarray) else x, self._known.get(id(x))
            elif deep and isinstance(x, dict | list) and len(x) <= 50:
                for k, item in x.items() if isinstance(x, dict) else enumerate(x):
                    if isinstance(k, int | str):
                        add(f"{text}[{k!r}]", item, False)
            elif deep and (text == "self" or text in frame.f_code.co_freevars and self._is_own(x, frame)):
                for name, item in list(vars(x).items()):
                    add(f"{text}.{name}", item, text == "self")

        seen = frame.f_globals
        if frame.f_locals is not seen:  # globals count only if the function uses arrays or containers among them
            own = {name: seen[name] for name in frame.f_code.co_names if name in seen}
            seen = seen if any(isinstance(x, np.ndarray | dict | list | Node) for x in own.values()) else own
        for name, x in {**seen, **frame.f_locals}.items():
            if not name.startswith("__"):
                add(name, before if name == base else x, True)
        return found

    def _is_own(self, x, frame):
        """Whether it is an instance of one of the reader's classes."""
        return hasattr(x, "__dict__") and type(x).__module__ == frame.f_globals.get("__name__")

    def store(self, sid, base, container, key, value, in_place=False):
        """``container[key] = value``; returns the container, or what replaces it."""
        if isinstance(container, Node) or isinstance(container, np.ndarray) and isinstance(value, Node):
            return self._record(sid, base, None, with_item(container, key, value), "in place")
        if isinstance(container, np.ndarray):
            container[key] = value
            return self._record(sid, base, None, container, "in place")
        was, first = self._known.get(id(_item_or_none(container, key))), len(self.events)
        container[key] = value
        self.stored(sid, base, container, key, "in place" if in_place else "assigned")
        if not in_place and len(self.events) > first:
            self.events[first].was = was
        return container

    def stored(self, sid, base, container, key, how="assigned"):
        """An item was assigned to."""
        if isinstance(container, dict | list) and not isinstance(key, slice):
            if isinstance(container, list) and isinstance(key, int | np.integer) and key < 0:
                key += len(container)
            if isinstance(container[key], dict | list):
                self._record_container(sid, f"{base}[{key!r}]", container[key])
            elif _is_of_layers(container):
                container[key] = self._record_tuple(sid, f"{base}[{key!r}]", container[key])
            elif isinstance(container[key], int | float | np.generic | np.ndarray | Node | Unknown):
                container[key] = self._record(sid, base, key, container[key], how)

    def returned(self, sid, value):
        """Record a function's result, unless it has a name already."""
        base = f"<{self._frames[-1][1]}>"
        arrays = np.ndarray | Node | np.floating
        if isinstance(value, arrays):
            return value if id(value) in self._known else self._record(sid, base, None, value, "returned")
        if type(value) is tuple:
            return tuple(
                self._record(sid, base, i, x, "returned") if isinstance(x, arrays) and id(x) not in self._known else x
                for i, x in enumerate(value)
            )
        return self.put(sid, base, value, "returned")

    def in_place(self, name, x, value):
        """``x += value``, and the like."""
        is_graph = isinstance(x, Node) or isinstance(value, Node)
        return (NOT_IN_PLACE if is_graph else IN_PLACE)[name](x, value)

    def rescue(self, sid, error):
        """A statement has raised an exception."""
        if isinstance(error, Dependent):
            error = None
        elif self.nodes is not None and sid not in self.raising:
            raise error
        if error is not None:
            self.errors.append(((sid, self._counted.get(("event", sid), 0)), error, self._scope()))
        return Unknown()

    def rescue_item(self, sid, base, error, where):
        """The same for an assignment to an item; `where` returns its container and its key. Returns what replaces the
        container."""
        unknown = self.rescue(sid, error)
        try:
            container, key = where()
        except Exception:  # the key raised the exception, or the container does not exist
            return self._record(sid, base, None, unknown, "assigned")
        if isinstance(container, dict | list) and not isinstance(key, slice):
            if isinstance(container, list) and isinstance(key, int | np.integer) and key < 0:
                key += len(container)
            with contextlib.suppress(LookupError, TypeError):
                container[key] = unknown
            self._record(sid, base, key, unknown, "assigned")
            return container
        return self._record(sid, base, None, unknown, "in place")

    # ---- what Nodes refuse -----------------------------------------------------------------------------------------

    def number(self, x):
        return x if isinstance(x, Node) and x.size == 1 else float(x)

    def item(self, x):
        return x if isinstance(x, Node) and x.size == 1 else x.item()

    def plain(self, function, *args, **kwargs):
        """np.array, np.asarray, and the functions of math."""
        if self.nodes is None or isinstance(args[0], np.ndarray | float):
            return function(*args, **kwargs)
        if isinstance(args[0], Node):
            if getattr(function, "__module__", "") == "math":
                function = getattr(np, function.__name__)
                return function(*args, **kwargs)
            return args[0]
        if isinstance(args[0], list | tuple) and any(isinstance(x, Node) for x in args[0]):
            return np.stack([x if isinstance(x, Node) else Node(x) for x in args[0]])
        return function(*args, **kwargs)


def _item_or_none(container, key):
    """The item of a dictionary or a list, or None."""
    try:
        return container[key] if isinstance(container, dict | list) else None
    except (LookupError, TypeError):
        return None


def _is_of_layers(container):
    """Whether a list holds the layers of a network, a tuple of arrays each; pairs of examples contain no matrices."""
    if not isinstance(container, list) or not 0 < len(container) <= MOST_LAYERS:
        return False
    if not all(type(layer) is tuple for layer in container):
        return False
    layers = [[x for x in layer if isinstance(x, np.ndarray | Node | Unknown)] for layer in container]
    known = [x for layer in layers for x in layer if not isinstance(x, Unknown)]
    return all(1 < len(layer) <= 4 for layer in layers) and any(x.ndim == 2 and min(x.shape) > 1 for x in known)


def with_item(A, key, value):
    """A Node like A, with A[key] = value."""
    key = tuple(k.value if isinstance(k, Node) else k for k in key) if isinstance(key, tuple) else key
    mask = np.zeros(A.shape, bool)
    mask[key] = True
    index = np.zeros(A.shape, int)  # of the entry of `value` to take
    shape = np.shape(index[key])
    size = int(np.prod(np.shape(value), dtype=int))
    index[key] = np.broadcast_to(np.arange(size).reshape(np.shape(value)), shape)
    value = value if isinstance(value, Node) else Node(np.asarray(value, np.float64))
    return np.where(mask, value.reshape(-1)[index], A)


# ---- the program -----------------------------------------------------------------------------------------------------


class Run:
    """The result of a run: the recorder's events and errors, and the exception that ended it."""

    def __init__(self, recorder, error, result):
        recorder.name_items()
        self.events, self.errors, self.began = recorder.events, recorder.errors, recorder.began
        self.scopes, self.stopped = recorder.scopes, recorder.stopped
        self.error, self.result = error, result
        self.by_id = {event.id: event for event in self.events}


class Program:
    """The reader's source code, functions or methods, with their inputs."""

    def __init__(self, what, args=(), kwargs=None, namespace=None):
        self.statements, self.sources = [], []
        self.args, self.kwargs, self.functions = args, kwargs or {}, []
        self.work = 0  # of all runs so far: a measure of their time that does not depend on the machine
        self.until = None  # the work at which the searches for right lines end
        self.raising = set()  # the statements that raised an exception in the first run
        self.moved = {}  # {id of an event: the value to assign instead, in every run}
        if isinstance(what, str):
            self.sources.append(Source(what, statements=self.statements))
            names = {n.id for n in ast.walk(self.sources[0].tree) if isinstance(n, ast.Name)}
            self.namespace = {"np": np, "__name__": "__derivation__", **(namespace or {})}
            self._add_sources([f for name in names if (f := (namespace or {}).get(name)) is not None])
        else:
            self.functions = list(what) if isinstance(what, list | tuple) else [what]
            for f in self.functions:
                if not callable(f):
                    raise TypeError(f"check_derivation: {f!r} is neither a function nor source code")
            self.namespace = {**self._globals(self.functions[0]), **(namespace or {})}
            names = set()
            self._add_sources(self.functions, names)
        self.watched = sorted(
            name for name in names if not name.startswith("_") and self._is_data(self.namespace.get(name))
        )
        self._seeds = [int(x) for x in np.random.SeedSequence().generate_state(64)]
        self._random = random.getstate(), np.random.get_state()  # noqa: NPY002

    def line(self, sid):
        """``line 3``, or ``line 3 of forward`` where there are several files or cells, each with its own lines."""
        statement = self.statements[sid]
        several = len({s.file for s in self.statements}) > 1
        return f"line {statement.number}" + (f" of {statement.function}" if several and statement.function else "")

    def _is_data(self, x):
        """Whether the code may change it: arrays, containers, instances of the reader's classes."""
        if isinstance(x, np.ndarray | float | dict | list):
            return True
        own = type(x).__module__ in (self.namespace.get("__name__"), "__main__")
        return own and hasattr(x, "__dict__") and not callable(x)

    def _globals(self, f):
        f = getattr(f, "__func__", f)
        if isinstance(f, type):
            return vars(sys.modules.get(f.__module__, builtins))
        if not hasattr(f, "__globals__"):
            raise TypeError(f"check_derivation: {f!r} is not with_item in Python")
        cells = {}
        if f.__closure__:
            cells = {n: c.cell_contents for n, c in zip(f.__code__.co_freevars, f.__closure__, strict=True)}
        return {**f.__globals__, **cells}

    def _add_sources(self, functions, names=None):
        """Add the sources of the reader's functions and classes, and of those that they use."""
        names = set() if names is None else names
        todo, done = list(functions), set()
        while todo:
            f = todo.pop(0)
            f = getattr(f, "__func__", f)
            if (
                inspect.ismethod(f)
                or isinstance(f, types.FunctionType)
                and "." in f.__qualname__
                and (owner := self._owner(f))
            ):
                f = owner
            if id(f) in done or not isinstance(f, types.FunctionType | type) or f.__name__ == "<lambda>":
                continue
            done.add(id(f))
            home = self._globals(f)
            for name in _names_in(f):
                names.add(name)
                x = home.get(name, self.namespace.get(name))
                if isinstance(x, types.FunctionType | type) and getattr(x, "__module__", "") == f.__module__:
                    todo.append(x)
            try:
                lines, first = inspect.getsourcelines(f)
                text = inspect.cleandoc("\n" + "".join(lines)) if lines[0][:1].isspace() else "".join(lines)
                self.sources.append(Source(text, f.__module__, first or 1, self.statements, inspect.getfile(f)))
            except (OSError, TypeError, SyntaxError):
                if f in functions:
                    raise ValueError(f"check_derivation: the source of {f.__name__} was not found") from None

    def _owner(self, f):
        """The class of a method, if it is at the top level of a module; or None."""
        found = sys.modules.get(f.__module__)
        found = self.namespace.get(
            f.__qualname__.split(".")[0], found and getattr(found, f.__qualname__.split(".")[0], None)
        )
        return found if isinstance(found, type) else None

    # ---- running ---------------------------------------------------------------------------------------------------

    def run(self, patches=(), first=False, **options):
        """Run from the start; the options are those of `Recorder`."""
        overrides = {**self.moved, **dict(options.get("overrides", ()))}
        recorder = Recorder(**{**options, "overrides": overrides, "raising": self.raising})
        codes = [source.rewritten(patches) for source in self.sources]
        error = result = None
        with _isolated(self._random, self._seeds, first), np.errstate(all="ignore"):
            space, args, kwargs, functions = self._inputs()
            space[RECORDER] = recorder
            try:
                helpers = codes if self.functions else codes[1:]
                for code in [piece for pieces in reversed(helpers) for piece in pieces]:
                    exec(code, space)  # what is called is defined before its callers
                self._record_inputs(recorder, space)
                if self.functions:
                    result = self._call(recorder, space, functions, args, kwargs)
                else:
                    for code in codes[0]:
                        exec(code, space)
            except Stop:
                pass
            except Exception as e:
                error = None if isinstance(e, Dependent) and recorder.errors else e
            finally:
                space.pop(RECORDER, None)
        if first:
            self.raising = {id_[0] for id_, _, _ in recorder.errors}
        self.work += WORK_OF_A_RUN + WORK_OF_AN_ASSIGNMENT * len(recorder.events) + recorder._bytes // 8
        return Run(recorder, error, result)

    def _inputs(self):
        """Copies of the inputs, which each run may change."""
        kept = {k: v for k, v in self.namespace.items() if k in self.watched}
        methods = [getattr(f, "__self__", None) for f in self.functions]
        memo = {}
        kept, args, kwargs, selves = copy.deepcopy((kept, self.args, self.kwargs, methods), memo)
        return {**self.namespace, **kept}, args, kwargs, selves

    def _record_inputs(self, recorder, space):
        for name in self.watched:
            space[name] = recorder.put(
                -1, name, space[name], "bound" if hasattr(space[name], "__dict__") else "assigned"
            )

    def _call(self, recorder, space, selves, args, kwargs):
        """Call the functions in order: each gets, by name, the arguments, local variables and results of those before
        it, then the remaining arguments."""
        pool, remaining, results, result = dict(kwargs), list(args), [], None
        swapped = {}
        for f, owner in zip(self.functions, selves, strict=True):
            name = getattr(f, "__name__", "")
            if owner is not None and not isinstance(owner, types.ModuleType):
                cls = space.get(type(owner).__name__)
                if isinstance(cls, type) and id(owner) not in swapped:
                    owner.__class__ = cls
                    swapped[id(owner)] = owner
                target = getattr(owner, name)
            else:
                target = space.get(name, f)
            signature = inspect.signature(target)
            given = {}
            only = len(self.functions) == 1
            for p in signature.parameters.values():
                if p.kind == p.VAR_POSITIONAL:
                    given[p.name], remaining = tuple(remaining), []
                elif p.kind == p.VAR_KEYWORD:
                    given[p.name] = {k: v for k, v in kwargs.items() if k not in given} if only else {}
                elif p.name in pool:
                    given[p.name] = pool[p.name]
                elif remaining:
                    given[p.name] = remaining.pop(0)
                elif results:
                    given[p.name] = results.pop(0)
                elif p.default is p.empty:
                    raise TypeError(f"check_derivation: nothing is given for the argument {p.name!r} of {name}")
            if only and remaining:
                raise TypeError(
                    f"check_derivation: {name} takes {len(signature.parameters)} arguments, "
                    f"but {len(self.args)} are given"
                )
            pool |= given
            bound = signature.bind_partial()
            bound.arguments.update(given)
            frame = recorder.next_frame
            result = target(*bound.args, **bound.kwargs)
            results = list(result) if isinstance(result, tuple) else [] if result is None else [result]
            pool |= recorder.latest.get(frame, {}) | self._names_of_results(name, result)
        return result

    def _names_of_results(self, name, result):
        """{name: value} of what ``return A, cache`` returned."""
        found = {}
        for statement in self.statements:
            node = statement.node
            if statement.function == name and isinstance(node, ast.Return) and node.value is not None:
                names = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                values = result if isinstance(node.value, ast.Tuple) else [result]
                if isinstance(values, tuple | list) and len(names) == len(values):
                    found |= {n.id: v for n, v in zip(names, values, strict=True) if isinstance(n, ast.Name)}
        return found

    def where(self, error):
        """The statement in which an exception was raised, from its traceback; or None."""
        found = None
        trace = error.__traceback__
        while trace:
            for source in self.sources:
                if trace.tb_frame.f_code.co_filename == source.name:
                    number = trace.tb_lineno + source.first_line - 1
                    for s in self.statements[::-1]:
                        if s.node in set(ast.walk(source.tree)) and s.number <= number:
                            found = s
                            break
            trace = trace.tb_next
        return found


def _names_in(f):
    """The global names that a function or the methods of a class use."""
    if isinstance(f, type):
        inside = [x for x in vars(f).values() if isinstance(getattr(x, "__func__", x), types.FunctionType)]
        bases = [base.__name__ for base in f.__bases__ if base is not object]
        return [name for x in inside for name in _names_in(getattr(x, "__func__", x))] + bases
    todo, found = [f.__code__], []
    while todo:
        code = todo.pop()
        found += [*code.co_names, *code.co_freevars]
        todo += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return found


class _Discard(io.StringIO):
    def write(self, text):
        return len(text)


@contextlib.contextmanager
def _isolated(state, seeds, first):
    """Restart the random numbers; except in the first run, print nothing and write no file."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.setstate(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    default_rng, open_, seeds = np.random.default_rng, builtins.open, iter(seeds)
    np.random.default_rng = lambda seed=None: default_rng(next(seeds, 0) if seed is None else seed)

    def only_reading(file, mode="r", *args, **kwargs):
        if not set(mode) & set("wax+"):
            return open_(file, mode, *args, **kwargs)
        return io.BytesIO() if "b" in mode else io.StringIO()

    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if not first:
            builtins.open = only_reading
            stack.enter_context(contextlib.redirect_stdout(_Discard()))
            stack.enter_context(contextlib.redirect_stderr(_Discard()))
        try:
            yield
        finally:
            np.random.default_rng, builtins.open = default_rng, open_
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


def reads(node):
    """The names that a statement reads."""
    value = node.value if isinstance(node, ASSIGNMENTS) else node
    found = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)} if value is not None else set()
    if isinstance(node, ast.AugAssign):
        found |= {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
    return found
