/* backward.c - the walk through a graph of nodes (nnc/autodiff/node.py), from the last node to the first.
 *
 * ancestors() says which nodes there are, in the order in which they are visited; flow() visits them. At each node it
 * asks the node's rule for the gradient of every input, and adds up what an input gets from several nodes. The
 * mathematics stays in Python, and so does what is rare: `fit` for an operand that NumPy repeated, `add` for an input
 * of several nodes. What is here took longer in Python than the calculation itself, on small arrays. */
#include "node.h"

#include <stdlib.h>
#include <string.h>

/* ---- the order --------------------------------------------------------------------------------------------------- */

typedef struct node_list {
    node_object **nodes;
    Py_ssize_t count, room;
} node_list;

static long long walks; /* so far; each has a number, and leaves it at the nodes that it comes by */

/* Append the node, unless this walk has been there. Nothing of Python runs meanwhile, so no other walk comes between,
 * and the last node keeps all others alive. */
static int note(node_list *list, node_object *node, long long walk) {
    if (node->walk == walk) return 0;
    if (list->count == list->room) {
        const Py_ssize_t room = 2 * list->room + 32;
        node_object **nodes = PyMem_Realloc(list->nodes, (size_t)room * sizeof(node_object *));
        if (nodes == NULL) return PyErr_NoMemory(), -1;
        list->nodes = nodes;
        list->room = room;
    }
    node->walk = walk;
    list->nodes[list->count++] = node;
    return 0;
}

static int note_inputs(node_list *list, const node_object *node, long long walk) {
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(node->inputs); i++) {
        PyObject *x = PyTuple_GET_ITEM(node->inputs, i);
        if (nnc_is_node(x)) result = note(list, (node_object *)x, walk);
    }
    return result;
}

static int latest_first(const void *a, const void *b) {
    const long long x = (*(node_object *const *)a)->serial, y = (*(node_object *const *)b)->serial;
    return (x < y) - (x > y);
}

PyObject *nnc_ancestors(PyObject *Py_UNUSED(module), PyObject *last) {
    node_list list = {NULL, 0, 0};
    if (!nnc_is_node(last)) return PyErr_Format(PyExc_TypeError, "ancestors: %R is no Node", last);
    const long long walk = ++walks;
    int result = note(&list, (node_object *)last, walk);
    for (Py_ssize_t i = 0; result == 0 && i < list.count; i++) /* the list grows meanwhile */
        result = note_inputs(&list, list.nodes[i], walk);
    if (result == 0) qsort(list.nodes, (size_t)list.count, sizeof(node_object *), latest_first);
    PyObject *found = result == 0 ? PyTuple_New(list.count) : NULL;
    for (Py_ssize_t i = 0; found && i < list.count; i++)
        PyTuple_SET_ITEM(found, i, Py_NewRef((PyObject *)list.nodes[i]));
    PyMem_Free(list.nodes);
    return found;
}

/* ---- the gradients ----------------------------------------------------------------------------------------------- */

static PyObject *vjps_of_a_rule; /* the attribute's name */

/* A gradient on its way. */
typedef struct flowing {
    PyObject *gradient;
    int is_shared; /* it is another node's as well */
} flowing;

typedef struct flow {
    PyObject *nodes;     /* a tuple: those that get a gradient, in the order in which they pass it on */
    flowing *places;     /* for each of them */
    long long walk;      /* its number */
    flowing *here;       /* whose turn it is */
    PyObject *lead;      /* the shape of the axes that gradients have in front of their nodes' own */
    PyObject *fit; /* fit(c, value, lead): c as the gradient of value; zeros if c is None */
    PyObject *add; /* add(a, b, may it write into a, into b) */
} flow;

/* Where the node stands among the nodes, or NULL. */
static flowing *place_of(const flow *f, const node_object *node) {
    if (node->walk == f->walk) return &f->places[node->place];
    if (node->walk < f->walk) return NULL;
    /* Another walk came by while a rule's Python ran, and left its own number. */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(f->nodes); i++)
        if (PyTuple_GET_ITEM(f->nodes, i) == (const PyObject *)node) return &f->places[i];
    return NULL;
}

static int is_view(PyObject *c) { return PyArray_Check(c) && PyArray_BASE((PyArrayObject *)c) != NULL; }

/* Is c of the shape and dtype of the value? That it says no where NumPy would say yes costs a call of `fit`. */
static int fits(PyObject *c, PyObject *value) {
    if (!PyArray_Check(c) || !PyArray_Check(value)) return Py_TYPE(c) == Py_TYPE(value);
    PyArrayObject *a = (PyArrayObject *)c, *b = (PyArrayObject *)value;
    return PyArray_DESCR(a) == PyArray_DESCR(b) && PyArray_SAMESHAPE(a, b);
}

/* An input gets c, from a node whose own gradient is g. */
static int give(const flow *f, flowing *to, PyObject *c, PyObject *g) {
    if (to <= f->here)
        return PyErr_Format(PyExc_ValueError, "backward: a node comes before all that it went into"), -1;
    if (to->gradient == NULL) {
        to->gradient = Py_NewRef(c);
        to->is_shared = c == g;
        return 0;
    }
    PyObject *sum = PyObject_CallFunctionObjArgs(f->add, to->gradient, c,
                                                 to->is_shared || is_view(to->gradient) ? Py_False : Py_True,
                                                 c == g || is_view(c) ? Py_False : Py_True, NULL);
    if (sum == NULL) return -1;
    Py_SETREF(to->gradient, sum);
    to->is_shared = 0;
    return 0;
}

/* The gradient that goes back to the i-th operand, by the i-th vector-Jacobian product of the node's rule. */
static PyObject *product(PyObject *vjps, Py_ssize_t i, PyObject *const *arguments, size_t count, PyObject *params) {
    PyObject *place = NULL, *vjp = NULL;
    if (PyTuple_CheckExact(vjps) && i < PyTuple_GET_SIZE(vjps)) /* else of any number of arrays */
        vjp = Py_NewRef(PyTuple_GET_ITEM(vjps, i));
    else if ((place = PyLong_FromSsize_t(i)))
        vjp = PyObject_GetItem(vjps, place);
    PyObject *c = vjp ? PyObject_VectorcallDict(vjp, arguments, count, params) : NULL;
    Py_XDECREF(vjp);
    Py_XDECREF(place);
    return c;
}

/* A product may be None: nothing flows. */
static int pass_to(const flow *f, const node_object *x, PyObject *c, PyObject *g) {
    if (c == Py_None) return Py_DECREF(c), 0;
    if (c && !fits(c, x->value)) Py_SETREF(c, PyObject_CallFunctionObjArgs(f->fit, c, x->value, f->lead, NULL));
    const int result = c ? give(f, place_of(f, x), c, g) : -1;
    Py_XDECREF(c);
    return result;
}

static int visit_inputs(const flow *f, const node_object *node, PyObject *g) {
    enum {
        FEW = 8
    };
    PyObject *params = PyDict_GET_SIZE(node->params) ? node->params : NULL, *few[2 + FEW];
    const Py_ssize_t n = PyTuple_GET_SIZE(node->args);
    /* What a vector-Jacobian product is called with: g, the node's value, its operands and what it has kept */
    PyObject **arguments = n > FEW ? PyMem_Malloc((size_t)(2 + n) * sizeof *arguments) : few;
    if (arguments == NULL) return PyErr_NoMemory(), -1;
    PyObject *vjps = PyObject_GetAttr(node->rule, vjps_of_a_rule), *value = Py_NewRef(node->value);
    arguments[0] = g, arguments[1] = value;
    for (Py_ssize_t i = 0; i < n; i++) arguments[2 + i] = PyTuple_GET_ITEM(node->args, i);
    int result = vjps ? 0 : -1;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(node->inputs); i++) {
        PyObject *x = PyTuple_GET_ITEM(node->inputs, i);
        if (nnc_is_node(x) && place_of(f, (node_object *)x))
            result = pass_to(f, (node_object *)x, product(vjps, i, arguments, (size_t)(2 + n), params), g);
    }
    Py_XDECREF(vjps);
    Py_DECREF(value);
    if (arguments != few) PyMem_Free(arguments);
    return result;
}

/* A copy of an array; one of few numbers in a row without NumPy's machinery, which takes longer than they do. */
static PyObject *copy_of(PyArrayObject *a) {
    enum {
        FEW = 1 << 14
    };
    if (!PyArray_IS_C_CONTIGUOUS(a) || !PyArray_ISNOTSWAPPED(a) || PyArray_NBYTES(a) > FEW)
        return PyArray_NewCopy(a, NPY_CORDER);
    PyObject *copy = PyArray_SimpleNew(PyArray_NDIM(a), PyArray_DIMS(a), PyArray_TYPE(a));
    if (copy) memcpy(PyArray_DATA((PyArrayObject *)copy), PyArray_DATA(a), (size_t)PyArray_NBYTES(a));
    return copy;
}

/* A leaf's gradient is the caller's own: no other node's, and no view. */
static int own(flowing *leaf) {
    if (!PyArray_Check(leaf->gradient) || !(leaf->is_shared || is_view(leaf->gradient))) return 0;
    PyObject *copy = copy_of((PyArrayObject *)leaf->gradient);
    if (copy == NULL) return -1;
    Py_SETREF(leaf->gradient, copy);
    return 0;
}

static int visit(flow *f, Py_ssize_t i) {
    const node_object *node = (const node_object *)PyTuple_GET_ITEM(f->nodes, i);
    flowing *here = f->here = &f->places[i];
    if (here->gradient == NULL) { /* nothing flows to it */
        here->gradient = PyObject_CallFunctionObjArgs(f->fit, Py_None, node->value, f->lead, NULL);
        return here->gradient ? 0 : -1;
    }
    return PyTuple_GET_SIZE(node->inputs) ? visit_inputs(f, node, here->gradient) : own(here);
}

/* Number the nodes, and let the seed flow from the first of them through all. */
static int visit_all(flow *f, PyObject *seed) {
    const Py_ssize_t count = PyTuple_GET_SIZE(f->nodes);
    f->walk = ++walks;
    for (Py_ssize_t i = 0; i < count; i++) {
        node_object *node = (node_object *)PyTuple_GET_ITEM(f->nodes, i);
        node->walk = f->walk;
        node->place = i;
    }
    if (count) f->places[0].gradient = Py_NewRef(seed);
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < count; i++) result = visit(f, i);
    return result;
}

static PyObject *dict_of(const flow *f) {
    PyObject *gradients = PyDict_New();
    for (Py_ssize_t i = 0; gradients && i < PyTuple_GET_SIZE(f->nodes); i++)
        if (PyDict_SetItem(gradients, PyTuple_GET_ITEM(f->nodes, i), f->places[i].gradient) < 0) Py_CLEAR(gradients);
    return gradients;
}

static void set_grad(PyObject *node, PyObject *gradient) {
    Py_SETREF(((node_object *)node)->grad, Py_NewRef(gradient));
}

PyObject *nnc_flow(PyObject *Py_UNUSED(module), PyObject *args) {
    flow f = {.nodes = NULL};
    PyObject *seed, *result = NULL;
    int is_kept;
    if (!PyArg_ParseTuple(args, "O!OOOOp:flow", &PyTuple_Type, &f.nodes, &seed, &f.lead, &f.fit, &f.add, &is_kept))
        return NULL;
    if (!vjps_of_a_rule && !(vjps_of_a_rule = PyUnicode_InternFromString("vjps"))) return NULL;
    const Py_ssize_t count = PyTuple_GET_SIZE(f.nodes);
    for (Py_ssize_t i = 0; i < count; i++)
        if (!nnc_is_node(PyTuple_GET_ITEM(f.nodes, i))) return PyErr_Format(PyExc_TypeError, "flow: no Node");
    if (nnc_check_unchanged(f.nodes) < 0) return NULL;
    if ((f.places = PyMem_Calloc((size_t)count, sizeof *f.places)) == NULL) return PyErr_NoMemory();
    if (is_kept) /* first, so that the new gradients find the memory of the old ones */
        for (Py_ssize_t i = 0; i < count; i++) set_grad(PyTuple_GET_ITEM(f.nodes, i), Py_None);
    if (visit_all(&f, seed) == 0) result = is_kept ? Py_NewRef(Py_None) : dict_of(&f);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (result && is_kept) set_grad(PyTuple_GET_ITEM(f.nodes, i), f.places[i].gradient);
        Py_XDECREF(f.places[i].gradient);
    }
    PyMem_Free(f.places);
    return result;
}
