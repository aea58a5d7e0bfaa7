/* unchanged.c - whether what the gradients of a graph are computed from is still what it was.
 *
 * A graph keeps the arrays that went into it by reference. Results are read-only, but a leaf can be set again, and an
 * array of data, or the array in a leaf, can be written into by others that have it. The first is recorded by its
 * serial number: every result made before it is out of date. For the second a result keeps a hash of its operands, of
 * all their numbers, and backward compares it. That takes time, so only what a vector-Jacobian product reads is hashed
 * (a rule says it by its `reads`): with a plain X, the W of a layer W X + b is not, and the gradient is the same
 * whatever happens to it. */
#include "node.h"

#include "../ops/hash.h"

/* ---- the hash of an array ---------------------------------------------------------------------------------------- */

/* As in kernels/hash.inc. */
static npy_uint64 share(npy_uint64 word) { return (npy_uint64)(npy_uint32)word * (word >> 32) + word; }

/* Of few contiguous bytes, in less time than the kernel takes to begin. */
static npy_uint64 hash_few(const char *data, npy_intp bytes) {
    const npy_uint64 *keys = nnc_keys.rows[0];
    const npy_intp words = bytes / (npy_intp)sizeof *keys;
    npy_uint64 hash = (npy_uint64)bytes, word;
    for (npy_intp i = 0; i < words; i++) {
        memcpy(&word, data + i * (npy_intp)sizeof word, sizeof word);
        hash += share(word ^ keys[i]);
    }
    if (bytes % (npy_intp)sizeof word) {
        word = 0;
        memcpy(&word, data + words * (npy_intp)sizeof word, (size_t)(bytes % (npy_intp)sizeof word));
        hash += share(word ^ keys[words]);
    }
    return hash;
}

/* The axes of an array with gaps, those of the longest strides first; one of stride 0 only repeats. */
typedef struct layout {
    npy_intp size[NPY_MAXDIMS], stride[NPY_MAXDIMS];
    int ndim;
} layout;

static layout layout_of(PyArrayObject *a) {
    layout l = {.ndim = 0};
    for (int d = 0; d < PyArray_NDIM(a); d++) {
        const npy_intp size = PyArray_DIM(a, d), stride = PyArray_STRIDE(a, d);
        if (size == 1 || stride == 0) continue;
        int at = l.ndim++;
        for (; at > 0 && Py_ABS(l.stride[at - 1]) < Py_ABS(stride); at--)
            l.size[at] = l.size[at - 1], l.stride[at] = l.stride[at - 1];
        l.size[at] = size, l.stride[at] = stride;
    }
    return l;
}

/* Of an array with gaps: contiguous run by run, the short ones gathered. */
static void add_scattered(nnc_hash_state *state, PyArrayObject *a) {
    enum {
        BLOCK = 4096
    };
    char block[BLOCK];
    npy_intp at[NPY_MAXDIMS] = {0}, run = PyArray_ITEMSIZE(a), filled = 0;
    layout l = layout_of(a);
    while (l.ndim && l.stride[l.ndim - 1] == run) run *= l.size[--l.ndim];
    for (const char *data = PyArray_BYTES(a);;) {
        if (run > BLOCK / 16)
            nnc_hash_add(state, data, run);
        else {
            memcpy(block + filled, data, (size_t)run);
            if ((filled += run) + run > BLOCK) {
                nnc_hash_add(state, block, filled);
                filled = 0;
            }
        }
        int d = l.ndim - 1;
        for (; d >= 0 && ++at[d] == l.size[d]; d--) {
            data -= (l.size[d] - 1) * l.stride[d];
            at[d] = 0;
        }
        if (d < 0) break;
        data += l.stride[d];
    }
    nnc_hash_add(state, block, filled);
}

static npy_uint64 hash_array(PyArrayObject *a, npy_intp bytes) {
    enum {
        FEW = 128
    };
    nnc_hash_state state = {{0}, 0};
    if (bytes == 0) return 0;
    if (!PyArray_ISONESEGMENT(a))
        add_scattered(&state, a);
    else if (bytes <= FEW)
        return hash_few(PyArray_BYTES(a), bytes);
    else
        nnc_hash_add(&state, PyArray_BYTES(a), bytes);
    return nnc_hash_end(&state);
}

/* ---- the hash of a node's operands ------------------------------------------------------------------------------- */

static const npy_uint64 next = UINT64_C(0x9E3779B97F4A7C15);

/* The arrays hashed last: an operand of several nodes is hashed once. */
typedef struct memo {
    struct {
        PyObject *array;
        npy_uint64 hash;
    } last[8];
    int count;
} memo;

static npy_uint64 hash_of_array(PyObject *a, memo *memo) {
    enum {
        MANY = sizeof memo->last / sizeof *memo->last
    };
    for (int i = 0; i < memo->count && i < MANY; i++)
        if (memo->last[i].array == a) return memo->last[i].hash;
    npy_uint64 hash = (npy_uint64)PyArray_TYPE((PyArrayObject *)a);
    npy_intp bytes = PyArray_ITEMSIZE((PyArrayObject *)a);
    for (int d = 0; d < PyArray_NDIM((PyArrayObject *)a); d++) { /* these can be set, too */
        bytes *= PyArray_DIM((PyArrayObject *)a, d);
        hash = hash * next + (npy_uint64)PyArray_DIM((PyArrayObject *)a, d);
    }
    hash = hash * next + hash_array((PyArrayObject *)a, bytes);
    const int i = memo->count++ % MANY;
    memo->last[i].array = a, memo->last[i].hash = hash;
    return hash;
}

/* Of an array; of a list or a tuple with arrays and numbers in it, as an index may be. */
static npy_uint64 hash_of(PyObject *x, memo *memo) {
    if (PyArray_Check(x)) return hash_of_array(x, memo);
    if (PyLong_Check(x)) return PyLong_AsUnsignedLongLongMask(x);
    if (!PyList_Check(x) && !PyTuple_Check(x)) return 0;
    npy_uint64 hash = (npy_uint64)PySequence_Fast_GET_SIZE(x);
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(x); i++)
        hash = (hash ^ hash >> 32) * next + hash_of(PySequence_Fast_GET_ITEM(x, i), memo);
    return hash;
}

/* Can it be written into: a leaf's array, one that is not a Node's, or a result that is a view of one of these? */
static int is_mutable(PyObject *input) {
    return nnc_is_node(input) ? ((node_object *)input)->is_mutable : PyArray_Check(input);
}

/* Does a vector-Jacobian product read the i-th operand, and can that change? */
static int is_read(const node_object *node, Py_ssize_t i) {
    const unsigned long long far = sizeof node->reads * 8 - 1; /* the last bit represents all operands from there on */
    return (node->reads >> ((unsigned long long)i < far ? (unsigned long long)i : far) & 1) &&
           is_mutable(PyTuple_GET_ITEM(node->inputs, i));
}

static npy_uint64 hash_operands(const node_object *node, memo *memo) {
    npy_uint64 hash = 0;
    for (Py_ssize_t i = 0; node->reads && i < PyTuple_GET_SIZE(node->inputs); i++)
        if (is_read(node, i)) hash = (hash ^ hash >> 32) * next + hash_of(PyTuple_GET_ITEM(node->args, i), memo);
    PyObject *name, *value;
    if (PyDict_GET_SIZE(node->params))
        for (Py_ssize_t i = 0; PyDict_Next(node->params, &i, &name, &value);)
            hash = (hash ^ hash >> 32) * next + hash_of(value, memo);
    return hash;
}

/* What the products of the inputs that are Nodes read together. A rule's `reads` is a number for each operand, or one
 * for all. */
static int note_reads(node_object *node) {
    rule_object *rule = nnc_rule(node->rule);
    if (rule == NULL) return -1;
    if (rule->reads == NULL) { /* its first use */
        PyObject *found = PyObject_CallMethod(node->rule, "all_reads", NULL);
        if (found == NULL) return -1;
        Py_XSETREF(rule->reads, found);
    }
    PyObject *reads = rule->reads;
    const int is_tuple = PyTuple_CheckExact(reads);
    for (Py_ssize_t i = 0; is_tuple && i < PyTuple_GET_SIZE(reads) && i < PyTuple_GET_SIZE(node->inputs); i++)
        if (nnc_is_node(PyTuple_GET_ITEM(node->inputs, i)))
            node->reads |= PyLong_AsUnsignedLongLongMask(PyTuple_GET_ITEM(reads, i));
    if (!is_tuple) node->reads = PyLong_AsUnsignedLongLongMask(reads);
    return PyErr_Occurred() ? -1 : 0;
}

/* The object that owns the memory. */
static PyObject *owner(PyObject *a) {
    for (PyObject *base; PyArray_Check(a) && (base = PyArray_BASE((PyArrayObject *)a)) != NULL;) a = base;
    return a;
}

static int is_view_of_mutable(const node_object *node) {
    if (!PyArray_Check(node->value) || PyArray_BASE((PyArrayObject *)node->value) == NULL) return 0;
    PyObject *mine = owner(node->value);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(node->inputs); i++)
        if (is_mutable(PyTuple_GET_ITEM(node->inputs, i)) && owner(PyTuple_GET_ITEM(node->args, i)) == mine) return 1;
    return 0;
}

static int has_mutable(PyObject *inputs) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++)
        if (is_mutable(PyTuple_GET_ITEM(inputs, i))) return 1;
    return 0;
}

int nnc_remember_operands(node_object *node) {
    memo memo;
    memo.count = 0;
    if (has_mutable(node->inputs)) {
        if (note_reads(node) < 0) return -1;
        node->is_mutable = (char)is_view_of_mutable(node);
    }
    node->operands_hash = hash_operands(node, &memo);
    return 0;
}

/* ---- the check --------------------------------------------------------------------------------------------------- */

/* Raise what the rule says of these operands. */
static int raise_changed(const node_object *node, PyObject *operands) {
    PyObject *error = operands ? PyObject_CallMethod(node->rule, "changed", "(O)", operands) : NULL;
    if (error && PyExceptionInstance_Check(error))
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "backward: an operand has changed since it was used");
    Py_XDECREF(error);
    Py_XDECREF(operands);
    return -1;
}

/* The leaf, or the array, of which an operand is a view. */
static PyObject *viewed(PyObject *x) {
    while (nnc_is_node(x) && PyTuple_GET_SIZE(((node_object *)x)->inputs)) {
        PyObject *inputs = ((node_object *)x)->inputs, *before = NULL;
        for (Py_ssize_t i = 0; before == NULL && i < PyTuple_GET_SIZE(inputs); i++)
            if (is_mutable(PyTuple_GET_ITEM(inputs, i))) before = PyTuple_GET_ITEM(inputs, i);
        if (before == NULL) break;
        x = before;
    }
    return x;
}

static PyObject *operands_read(const node_object *node) {
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list && i < PyTuple_GET_SIZE(node->inputs); i++)
        if (is_read(node, i) && PyList_Append(list, viewed(PyTuple_GET_ITEM(node->inputs, i))) < 0) Py_CLEAR(list);
    return list;
}

static int check(const node_object *node, memo *memo) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(node->inputs); i++) {
        PyObject *x = PyTuple_GET_ITEM(node->inputs, i);
        if (nnc_is_node(x) && ((node_object *)x)->set > node->serial) return raise_changed(node, PyTuple_Pack(1, x));
    }
    if (hash_operands(node, memo) == node->operands_hash) return 0;
    return raise_changed(node, operands_read(node));
}

int nnc_check_unchanged(PyObject *nodes) {
    memo memo;
    memo.count = 0;
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(nodes); i++)
        result = check((node_object *)PyTuple_GET_ITEM(nodes, i), &memo);
    return result;
}

PyObject *nnc_check(PyObject *Py_UNUSED(module), PyObject *nodes) {
    if (!PyTuple_CheckExact(nodes)) return PyErr_Format(PyExc_TypeError, "check_unchanged(a tuple of Nodes)");
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(nodes); i++)
        if (!nnc_is_node(PyTuple_GET_ITEM(nodes, i)))
            return PyErr_Format(PyExc_TypeError, "check_unchanged: not a Node");
    return nnc_check_unchanged(nodes) < 0 ? NULL : Py_NewRef(Py_None);
}
