/* backward.c - the traversal of a graph of nodes (nnc/autodiff/node.py), from the last node to the first.
 *
 * ancestors() says which nodes there are, in the order in which they are visited; backward() visits them. At each node
 * it asks the node's rule for the gradient of every input, and adds up what an input gets from several nodes. The
 * mathematics stays in Python, and so does what is rare: `unbroadcast` for an operand that NumPy repeated, `add` for
 * an input of several nodes. What is here took longer in Python than the calculation itself, on small arrays. */
#include "node.h"

#include <stdlib.h>
#include <string.h>

/* ---- the order --------------------------------------------------------------------------------------------------- */

typedef struct node_list {
    node_object **nodes;
    Py_ssize_t count, capacity;
} node_list;

static long long traversals; /* so far; each has a number, which it leaves at the nodes that it visits */

/* Append the node, unless this traversal has been there. No Python code runs meanwhile, so no other traversal comes
 * between, and the last node keeps all others alive. */
static int append(node_list *list, node_object *node, long long traversal) {
    if (node->traversal == traversal) return 0;
    if (list->count == list->capacity) {
        const Py_ssize_t capacity = 2 * list->capacity + 32;
        node_object **nodes = PyMem_Realloc(list->nodes, (size_t)capacity * sizeof(node_object *));
        if (nodes == NULL) return PyErr_NoMemory(), -1;
        list->nodes = nodes;
        list->capacity = capacity;
    }
    node->traversal = traversal;
    list->nodes[list->count++] = node;
    return 0;
}

static int append_inputs(node_list *list, const node_object *node, long long traversal) {
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(node->inputs); i++) {
        PyObject *x = PyTuple_GET_ITEM(node->inputs, i);
        if (nnc_is_node(x)) result = append(list, (node_object *)x, traversal);
    }
    return result;
}

static int latest_first(const void *a, const void *b) {
    const long long x = (*(node_object *const *)a)->serial, y = (*(node_object *const *)b)->serial;
    return (x < y) - (x > y);
}

PyObject *nnc_ancestors(PyObject *Py_UNUSED(module), PyObject *last) {
    node_list list = {NULL, 0, 0};
    if (!nnc_is_node(last)) return PyErr_Format(PyExc_TypeError, "ancestors: %R is not a Node", last);
    const long long traversal = ++traversals;
    int result = append(&list, (node_object *)last, traversal);
    for (Py_ssize_t i = 0; result == 0 && i < list.count; i++) /* the list grows meanwhile */
        result = append_inputs(&list, list.nodes[i], traversal);
    if (result == 0) qsort(list.nodes, (size_t)list.count, sizeof(node_object *), latest_first);
    PyObject *found = result == 0 ? PyTuple_New(list.count) : NULL;
    for (Py_ssize_t i = 0; found && i < list.count; i++)
        PyTuple_SET_ITEM(found, i, Py_NewRef((PyObject *)list.nodes[i]));
    PyMem_Free(list.nodes);
    return found;
}

/* ---- the gradients ----------------------------------------------------------------------------------------------- */

/* The gradient of a node, so far */
typedef struct partial {
    PyObject *gradient;
    int is_shared; /* it is another node's as well */
} partial;

typedef struct backward {
    PyObject *nodes;     /* a tuple: those that get a gradient, in the order in which they pass it on */
    partial *partials;     /* for each of them */
    long long traversal;      /* its number */
    partial *here;       /* of the node being visited */
    PyObject *batch_axes;      /* the shape of the axes that gradients have in front of their nodes' own */
    PyObject *unbroadcast; /* unbroadcast(c, value, batch_axes): c as the gradient of value; zeros if c is None */
    PyObject *add; /* add(a, b, may it write into a, into b) */
} backward;

/* The node's entry among the partials, or NULL. */
static partial *partial_of(const backward *b, const node_object *node) {
    if (node->traversal == b->traversal) return &b->partials[node->index];
    if (node->traversal < b->traversal) return NULL;
    /* Another traversal visited it while a rule's Python ran, and left its own number. */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(b->nodes); i++)
        if (PyTuple_GET_ITEM(b->nodes, i) == (const PyObject *)node) return &b->partials[i];
    return NULL;
}

static int is_view(PyObject *c) { return PyArray_Check(c) && PyArray_BASE((PyArrayObject *)c) != NULL; }

/* Is c of the shape and dtype of the value? A wrong no only costs a call of `unbroadcast`. */
static int fits(PyObject *c, PyObject *value) {
    if (!PyArray_Check(c) || !PyArray_Check(value)) return Py_TYPE(c) == Py_TYPE(value);
    PyArrayObject *a = (PyArrayObject *)c, *b = (PyArrayObject *)value;
    return PyArray_DESCR(a) == PyArray_DESCR(b) && PyArray_SAMESHAPE(a, b);
}

/* An input gets c, from a node whose own gradient is g. */
static int accumulate(const backward *b, partial *to, PyObject *c, PyObject *g) {
    if (to <= b->here)
        return PyErr_Format(PyExc_ValueError, "backward: a node comes before all that it went into"), -1;
    if (to->gradient == NULL) {
        to->gradient = Py_NewRef(c);
        to->is_shared = c == g;
        return 0;
    }
    PyObject *sum = PyObject_CallFunctionObjArgs(b->add, to->gradient, c,
                                                 to->is_shared || is_view(to->gradient) ? Py_False : Py_True,
                                                 c == g || is_view(c) ? Py_False : Py_True, NULL);
    if (sum == NULL) return -1;
    Py_SETREF(to->gradient, sum);
    to->is_shared = 0;
    return 0;
}

/* The gradient that goes back to the i-th operand, by the i-th vector-Jacobian product of the node's rule. */
static PyObject *product(PyObject *vjps, Py_ssize_t i, PyObject *const *arguments, size_t count, PyObject *params) {
    PyObject *index = NULL, *vjp = NULL;
    if (PyTuple_CheckExact(vjps) && i < PyTuple_GET_SIZE(vjps)) /* else of any number of arrays */
        vjp = Py_NewRef(PyTuple_GET_ITEM(vjps, i));
    else if ((index = PyLong_FromSsize_t(i)))
        vjp = PyObject_GetItem(vjps, index);
    PyObject *c = vjp ? PyObject_VectorcallDict(vjp, arguments, count, params) : NULL;
    Py_XDECREF(vjp);
    Py_XDECREF(index);
    return c;
}

/* A product may be None: there is no gradient. */
static int pass_back(const backward *b, const node_object *x, PyObject *c, PyObject *g) {
    if (c == Py_None) return Py_DECREF(c), 0;
    if (c && !fits(c, x->value))
        Py_SETREF(c, PyObject_CallFunctionObjArgs(b->unbroadcast, c, x->value, b->batch_axes, NULL));
    const int result = c ? accumulate(b, partial_of(b, x), c, g) : -1;
    Py_XDECREF(c);
    return result;
}

static int visit_inputs(const backward *b, const node_object *node, PyObject *g) {
    enum {
        FEW = 8
    };
    PyObject *params = PyDict_GET_SIZE(node->params) ? node->params : NULL, *few[2 + FEW];
    const Py_ssize_t n = PyTuple_GET_SIZE(node->args);
    /* What a VJP is called with: g, the node's value, its operands and what it saved for backward */
    PyObject **arguments = n > FEW ? PyMem_Malloc((size_t)(2 + n) * sizeof *arguments) : few;
    if (arguments == NULL) return PyErr_NoMemory(), -1;
    const rule_object *rule = nnc_rule(node->rule);
    PyObject *vjps = rule ? Py_NewRef(rule->vjps) : NULL, *value = Py_NewRef(node->value);
    arguments[0] = g, arguments[1] = value;
    for (Py_ssize_t i = 0; i < n; i++) arguments[2 + i] = PyTuple_GET_ITEM(node->args, i);
    int result = vjps ? 0 : -1;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(node->inputs); i++) {
        PyObject *x = PyTuple_GET_ITEM(node->inputs, i);
        if (nnc_is_node(x) && partial_of(b, (node_object *)x))
            result = pass_back(b, (node_object *)x, product(vjps, i, arguments, (size_t)(2 + n), params), g);
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

/* A leaf's gradient belongs to the caller: it is not shared with another node, and not a view. */
static int own(partial *leaf) {
    if (!PyArray_Check(leaf->gradient) || !(leaf->is_shared || is_view(leaf->gradient))) return 0;
    PyObject *copy = copy_of((PyArrayObject *)leaf->gradient);
    if (copy == NULL) return -1;
    Py_SETREF(leaf->gradient, copy);
    return 0;
}

static int visit(backward *b, Py_ssize_t i) {
    const node_object *node = (const node_object *)PyTuple_GET_ITEM(b->nodes, i);
    partial *here = b->here = &b->partials[i];
    if (here->gradient == NULL) { /* it has none */
        here->gradient = PyObject_CallFunctionObjArgs(b->unbroadcast, Py_None, node->value, b->batch_axes, NULL);
        return here->gradient ? 0 : -1;
    }
    return PyTuple_GET_SIZE(node->inputs) ? visit_inputs(b, node, here->gradient) : own(here);
}

/* Number the nodes, and propagate the seed from the first of them. */
static int visit_all(backward *b, PyObject *seed) {
    const Py_ssize_t count = PyTuple_GET_SIZE(b->nodes);
    b->traversal = ++traversals;
    for (Py_ssize_t i = 0; i < count; i++) {
        node_object *node = (node_object *)PyTuple_GET_ITEM(b->nodes, i);
        node->traversal = b->traversal;
        node->index = i;
    }
    if (count) b->partials[0].gradient = Py_NewRef(seed);
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < count; i++) result = visit(b, i);
    return result;
}

static PyObject *dict_of(const backward *b) {
    PyObject *gradients = PyDict_New();
    for (Py_ssize_t i = 0; gradients && i < PyTuple_GET_SIZE(b->nodes); i++)
        if (PyDict_SetItem(gradients, PyTuple_GET_ITEM(b->nodes, i), b->partials[i].gradient) < 0) Py_CLEAR(gradients);
    return gradients;
}

static void set_grad(PyObject *node, PyObject *gradient) {
    Py_SETREF(((node_object *)node)->grad, Py_NewRef(gradient));
}

PyObject *nnc_backward(PyObject *Py_UNUSED(module), PyObject *args) {
    backward b = {.nodes = NULL};
    PyObject *seed, *result = NULL;
    int is_kept;
    if (!PyArg_ParseTuple(args, "O!OOOOp:backward", &PyTuple_Type, &b.nodes, &seed, &b.batch_axes, &b.unbroadcast,
                          &b.add, &is_kept))
        return NULL;
    const Py_ssize_t count = PyTuple_GET_SIZE(b.nodes);
    for (Py_ssize_t i = 0; i < count; i++)
        if (!nnc_is_node(PyTuple_GET_ITEM(b.nodes, i))) return PyErr_Format(PyExc_TypeError, "backward: not a Node");
    if (nnc_check_unchanged(b.nodes) < 0) return NULL;
    if ((b.partials = PyMem_Calloc((size_t)count, sizeof *b.partials)) == NULL) return PyErr_NoMemory();
    if (is_kept) /* first, so that the new gradients find the memory of the old ones */
        for (Py_ssize_t i = 0; i < count; i++) set_grad(PyTuple_GET_ITEM(b.nodes, i), Py_None);
    if (visit_all(&b, seed) == 0) result = is_kept ? Py_NewRef(Py_None) : dict_of(&b);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (result && is_kept) set_grad(PyTuple_GET_ITEM(b.nodes, i), b.partials[i].gradient);
        Py_XDECREF(b.partials[i].gradient);
    }
    PyMem_Free(b.partials);
    return result;
}
