/* node.h - what a Node of nnc/autodiff/node.py holds. Python adds the methods; the fields are here, where an
 * operation can set them, and the traversal of a graph read them, without asking for attributes by name. */
#ifndef NNC_PYTHON_NODE_H
#define NNC_PYTHON_NODE_H

#include "rule.h"

typedef struct node_object {
    PyObject_HEAD PyObject *value;  /* an array or a NumPy scalar, float32 or float64 */
    PyObject *grad;   /* the same, or None */
    PyObject *name;   /* a str, or None */
    PyObject *inputs; /* a tuple: Nodes, arrays and numbers */
    PyObject *args;   /* a tuple: the inputs, with the values that Nodes had; then what is saved for backward */
    PyObject *params; /* a dict: further arguments */
    PyObject *rule;   /* a row of the table in nnc/autodiff/operations.py; a leaf's has no gradients */
    long long serial; /* greater than that of all inputs */
    long long set;    /* the serial number at which a leaf's value was last set */
    npy_uint64 reads; /* bit i: a vector-Jacobian product reads the i-th operand */
    npy_uint64 operands_hash;  /* a hash of the operands that are read and can change, as they were (unchanged.c) */
    char is_mutable;     /* the value can be written into: a leaf's, or a view of a leaf's */
    char is_argument; /* of a function that is differentiated: its value cannot be set */
    long long traversal; /* the last one that visited it (backward.c) ... */
    Py_ssize_t index;    /* ... and this node's position in it */
} node_object;

extern PyTypeObject nnc_node_type;

extern PyTypeObject *nnc_usual_node; /* nnc.Node, once there is one: a subclass, which takes longer to recognise */

static inline int nnc_is_node(PyObject *x) {
    return Py_IS_TYPE(x, nnc_usual_node) || (!PyArray_CheckExact(x) && PyType_IsSubtype(Py_TYPE(x), &nnc_node_type));
}

/* The result of an operation, a Node of the type of the first input that is one. It takes over `value` and `args`, also
 * where it fails; without params, NULL. */
PyObject *nnc_new_node(PyObject *rule, PyObject *value, PyObject *inputs, PyObject *args, PyObject *params);

/* unchanged.c: note which operands the node's gradients will be computed from, and what they are now. */
int nnc_remember_operands(node_object *node);

/* Are the operands of these nodes as they were? 0, or -1 with an exception that names what has changed. */
int nnc_check_unchanged(PyObject *nodes);

#endif
