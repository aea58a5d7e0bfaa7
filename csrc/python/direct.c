/* direct.c - direct calls: a ufunc's loop on plain arrays, without NumPy's machinery around it.
 *
 * NumPy takes a quarter of a microsecond, and most of one for a generalised ufunc, to find out how the operands
 * broadcast, convert and overlap. On small arrays that is what a call costs, and the answer nearly always is: not at
 * all. direct(ufunc) is called as the ufunc is, looks for just this answer (plain.c), and then runs the loop that NumPy
 * would have run, on the same pointers, sizes and steps; all else goes to the ufunc itself, or to the function given as
 * `fallback`, and so behaves as if none of this were here. All other attributes, such
 * as its name and at(), are those of the ufunc.
 *
 * Nodes whose values are plain go the same way, and the result is a Node. There may be another ufunc for them, which
 * has a second result, which is saved for backward behind the node's operands. */
#include "node.h"
#include "plain.h"

#include <assert.h>
#include <stddef.h>

enum {
    MAX_KEYWORDS = 8 /* of a call with tables in it */
};

typedef struct direct_object {
    PyObject_HEAD vectorcallfunc call;
    PyUFuncObject *ufunc;
    PyObject *rules;        /* a dict */
    PyObject *fallback;    /* a function */
    PyUFuncObject *saving; /* the one for Nodes, or NULL */
    PyObject *doc;          /* or NULL: the ufunc's */
} direct_object;

/* ---- the call ---------------------------------------------------------------------------------------------------- */

static PyObject *value_of(PyObject *operand) {
    return nnc_is_node(operand) ? ((node_object *)operand)->value : operand;
}

/* For many numbers, to recompute is cheaper than to store and load. */
static int saves(const direct_object *direct, PyObject *first) {
    return direct->saving && PyArray_CheckExact(first) && PyArray_SIZE((PyArrayObject *)first) < NNC_MANY;
}

/* The same where some operands are Nodes, if there is a rule for it: a Node that remembers the operands. */
static PyObject *compute_node(const direct_object *direct, PyObject *const *operands) {
    PyObject *rule = PyDict_GetItemWithError(direct->rules, (PyObject *)direct->ufunc);
    if (rule == NULL) return NULL;
    const int is_saving = saves(direct, value_of(operands[0]));
    const PyUFuncObject *ufunc = is_saving ? direct->saving : direct->ufunc;
    nnc_arguments args;
    PyObject *inputs = PyTuple_New(ufunc->nin), *values = PyTuple_New(ufunc->nin), *saved = NULL, *node = NULL;
    for (int i = 0; inputs && values && i < ufunc->nin; i++) {
        PyTuple_SET_ITEM(inputs, i, Py_NewRef(operands[i]));
        PyTuple_SET_ITEM(values, i, Py_NewRef(value_of(operands[i])));
    }
    if (inputs && values && nnc_take(&args, ufunc, PySequence_Fast_ITEMS(values))) {
        args.name = ufunc_head_of((PyObject *)direct->ufunc)->name;
        PyObject *value = nnc_compute(&args, ufunc, NULL, is_saving ? &saved : NULL);
        if (saved && _PyTuple_Resize(&values, ufunc->nin + 1) == 0)
            PyTuple_SET_ITEM(values, ufunc->nin, Py_NewRef(saved));
        Py_XDECREF(saved);
        if (value && values)
            node = nnc_new_node(rule, value, inputs, Py_NewRef(values), NULL);
        else
            Py_XDECREF(value);
    }
    Py_XDECREF(inputs);
    Py_XDECREF(values);
    return node;
}

static int is_any_node(PyObject *const *operands, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++)
        if (nnc_is_node(operands[i])) return 1;
    return 0;
}

static int is_named(PyObject *keyword, const char *name) {
    return PyUnicode_CompareWithASCIIString(keyword, name) == 0;
}

/* Are the keywords only an array for `out`, and None where that is the default? */
static int only_out(PyObject *keywords, PyObject *const *values, PyArrayObject **out) {
    const Py_ssize_t count = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, i);
        const int is_out = is_named(keyword, "out");
        if (is_out && PyArray_CheckExact(values[i]))
            *out = (PyArrayObject *)values[i];
        else if (values[i] != Py_None || !(is_out || is_named(keyword, "dtype")))
            return 0;
    }
    return 1;
}

/* A table or a column of pandas or polars: their own handling of ufuncs does not know of our rows and columns. */
static int is_table(PyObject *x) {
    return !PyArray_Check(x) && !nnc_is_node(x) && PyObject_HasAttrString(x, "to_numpy");
}

/* NumPy does not say which function has refused its operand. The others are called by functions that do. */
static void explain(const direct_object *direct, PyObject *operand, PyArrayObject *out) {
    const PyUFuncObject *ufunc = direct->ufunc;
    if (direct->fallback != (PyObject *)ufunc || ufunc->nin != 1 || ufunc->core_enabled) return;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError)) return;
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    PyObject *module = PyImport_ImportModule("nnc._explain");
    PyObject *better = module ? PyObject_CallMethod(module, "unary", "sOOO", ufunc->name, error, operand,
                                                    out ? (PyObject *)out : Py_None)
                              : NULL;
    if (better && better != error && PyExceptionInstance_Check(better)) {
        PyErr_SetObject((PyObject *)Py_TYPE(better), better);
        Py_DECREF(type);
        Py_DECREF(error);
        Py_XDECREF(trace);
    } else
        PyErr_Restore(type, error, trace);
    Py_XDECREF(better);
    Py_XDECREF(module);
}

/* The fallback, with arrays instead of tables. */
static PyObject *call_fallback(const direct_object *direct, PyObject *const *operands, Py_ssize_t count,
                               PyObject *keywords) {
    PyObject *arrays[OPERANDS + MAX_KEYWORDS], *result = NULL;
    const Py_ssize_t all = count + (keywords ? PyTuple_GET_SIZE(keywords) : 0);
    Py_ssize_t i = 0, tables = 0;
    for (Py_ssize_t k = 0; k < count; k++) tables += is_table(operands[k]);
    if (tables == 0 || all > OPERANDS + MAX_KEYWORDS)
        return PyObject_Vectorcall(direct->fallback, operands, (size_t)count, keywords);
    for (; i < all; i++) {
        arrays[i] = i < count && is_table(operands[i]) ? PyArray_FROM_O(operands[i]) : Py_NewRef(operands[i]);
        if (arrays[i] == NULL) break;
    }
    if (i == all) result = PyObject_Vectorcall(direct->fallback, arrays, (size_t)count, keywords);
    while (i > 0) Py_DECREF(arrays[--i]);
    return result;
}

static PyObject *call(PyObject *self, PyObject *const *operands, size_t flagged, PyObject *keywords) {
    const direct_object *direct = (const direct_object *)self;
    const Py_ssize_t count = PyVectorcall_NARGS(flagged);
    PyArrayObject *out = NULL;
    if (count == direct->ufunc->nin && only_out(keywords, operands + count, &out)) {
        nnc_arguments args;
        PyObject *result = NULL;
        if (nnc_take(&args, direct->ufunc, operands))
            result = nnc_compute(&args, direct->ufunc, out, NULL);
        else if (!out && is_any_node(operands, count))
            result = compute_node(direct, operands);
        if (result || PyErr_Occurred()) return result;
    }
    PyObject *result = call_fallback(direct, operands, count, keywords);
    if (result == NULL && count > 0) explain(direct, operands[0], out);
    return result;
}

/* ---- the type ---------------------------------------------------------------------------------------------------- */

static int is_own(PyObject *ufunc, int results) {
    return nnc_is_own_ufunc(ufunc) && ((PyUFuncObject *)ufunc)->nout == results;
}

static PyObject *new_direct(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    PyObject *ufunc, *rules, *fallback = NULL, *saving = NULL;
    if (keywords && PyDict_GET_SIZE(keywords))
        return PyErr_Format(PyExc_TypeError, "direct: its arguments come by position");
    PyTypeObject *function = &PyUFunc_Type, *dict = &PyDict_Type;
    if (!PyArg_ParseTuple(args, "O!O!|OO!:direct", function, &ufunc, dict, &rules, &fallback, function, &saving))
        return NULL;
    if (!is_own(ufunc, 1) || (saving && !is_own(saving, 2)))
        return PyErr_Format(PyExc_TypeError, "direct: %R is not a ufunc of this engine with that many results",
                            is_own(ufunc, 1) ? saving : ufunc);
    assert(((PyUFuncObject *)ufunc)->nargs <= OPERANDS && ((PyUFuncObject *)ufunc)->core_num_dim_ix <= SIZES);
    direct_object *self = (direct_object *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->call = call;
    self->ufunc = (PyUFuncObject *)Py_NewRef(ufunc);
    self->rules = Py_NewRef(rules);
    self->fallback = Py_NewRef(fallback ? fallback : ufunc);
    self->saving = (PyUFuncObject *)Py_XNewRef(saving);
    return (PyObject *)self;
}

static int traverse(PyObject *self, visitproc visit, void *arg) {
    const direct_object *direct = (const direct_object *)self;
    Py_VISIT(direct->ufunc);
    Py_VISIT(direct->rules);
    Py_VISIT(direct->fallback);
    Py_VISIT(direct->saving);
    Py_VISIT(direct->doc);
    return 0;
}

static void dealloc(PyObject *self) {
    const direct_object *direct = (const direct_object *)self;
    PyObject_GC_UnTrack(self);
    Py_DECREF(direct->ufunc);
    Py_DECREF(direct->rules);
    Py_DECREF(direct->fallback);
    Py_XDECREF(direct->saving);
    Py_XDECREF(direct->doc);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *ufunc_of(PyObject *self) { return (PyObject *)((direct_object *)self)->ufunc; }

static PyObject *get_attribute(PyObject *self, PyObject *name) {
    PyObject *own = PyObject_GenericGetAttr(self, name);
    if (own || !PyErr_ExceptionMatches(PyExc_AttributeError)) return own;
    PyErr_Clear();
    return PyObject_GetAttr(ufunc_of(self), name);
}

static PyObject *get_class(PyObject *Py_UNUSED(self), void *Py_UNUSED(none)) { return Py_NewRef(&PyUFunc_Type); }

static PyObject *get_doc(PyObject *self, void *Py_UNUSED(none)) {
    PyObject *doc = ((direct_object *)self)->doc;
    return doc ? Py_NewRef(doc) : PyObject_GetAttrString(ufunc_of(self), "__doc__");
}

static int set_doc(PyObject *self, PyObject *doc, void *Py_UNUSED(none)) {
    Py_XSETREF(((direct_object *)self)->doc, Py_XNewRef(doc));
    return 0;
}

/* Pickled and copied by its name, as functions are. */
static PyObject *reduce(PyObject *self, PyObject *Py_UNUSED(none)) {
    return PyObject_GetAttrString(ufunc_of(self), "__name__");
}
static PyObject *repr(PyObject *self) { return PyObject_Repr(ufunc_of(self)); }

/* It equals the ufunc, which is what an operand's __array_ufunc__ is given. */
static PyTypeObject direct_type;
static Py_hash_t hash(PyObject *self) { return PyObject_Hash(ufunc_of(self)); }
static PyObject *compare(PyObject *self, PyObject *other, int op) {
    if (Py_TYPE(other) == &direct_type) other = ufunc_of(other);
    if (op != Py_EQ && op != Py_NE) Py_RETURN_NOTIMPLEMENTED;
    return PyBool_FromLong((ufunc_of(self) == other) == (op == Py_EQ));
}

static PyGetSetDef attributes[] = {
    {"__class__", get_class, NULL, NULL, NULL}, /* isinstance(nnc.relu, np.ufunc) */
    {"__doc__", get_doc, set_doc, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"__reduce__", reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject direct_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
        .tp_name = "nnc._engine.direct",
    .tp_basicsize = sizeof(direct_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = new_direct,
    .tp_dealloc = dealloc,
    .tp_traverse = traverse,
    .tp_vectorcall_offset = offsetof(direct_object, call),
    .tp_call = PyVectorcall_Call,
    .tp_getattro = get_attribute,
    .tp_repr = repr,
    .tp_hash = hash,
    .tp_richcompare = compare,
    .tp_getset = attributes,
    .tp_methods = methods,
};

int nnc_add_direct_type(PyObject *module) { return PyModule_AddType(module, &direct_type); }
