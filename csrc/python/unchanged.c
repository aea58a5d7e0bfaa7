/* unchanged.c - whether what a graph was computed from is still what it was.
 *
 * A gradient is computed from values that the graph keeps by reference. Results are read-only, but a leaf can be set
 * again, and an array of data, or the array in a leaf, can be written into by whoever else has it. The first leaves its
 * time: every result made before it is out of date. For the second a result keeps a hash of its operands: of all
 * numbers where they are few, else of some that are spread evenly. An update of a whole array is seen, one of a single
 * number in a large array perhaps not; to hash all of a layer's W would take a tenth of the time of its product. */
#include "node.h"

enum {
    FEW = 32,     /* words of 8 bytes, which are hashed all */
    SAMPLES = 16, /* of more than these; each is a cache miss */
};

/* ---- the hash: NH of UMAC (RFC 4418), a sum of products of 32 bits ---------------------------------- */

static npy_uint64 keys[FEW + 1]; /* for each place */

/* As if they had been drawn: splitmix64. */
void nnc_draw_keys(void) {
    for (npy_uint64 k = 0; k < sizeof keys / sizeof *keys; k++) {
        npy_uint64 x = (k + 1) * UINT64_C(0x9E3779B97F4A7C15);
        x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
        keys[k] = x ^ (x >> 31);
    }
}

/* The share of a word at place k. */
static npy_uint64 share(npy_uint64 word, npy_intp k) {
    const npy_uint32 low = (npy_uint32)word + (npy_uint32)keys[k];
    const npy_uint32 high = (npy_uint32)(word >> 32) + (npy_uint32)(keys[k] >> 32);
    return (npy_uint64)low * high;
}

static npy_uint64 word_at(const char *data, npy_intp bytes) {
    npy_uint64 word = 0;
    memcpy(&word, data, (size_t)bytes);
    return word;
}

/* From one sample to the next: odd, or those of a matrix might all be of one column. */
static npy_intp stride_of(npy_intp size) { return size <= FEW ? 1 : (size + SAMPLES - 1) / SAMPLES | 1; }

/* Of numbers that lie in one piece, in any order. */
static npy_uint64 hash_piece(const char *data, npy_intp bytes) {
    const npy_intp word = sizeof(npy_uint64), words = bytes / word, step = stride_of(words);
    npy_uint64 hash = 0;
    npy_intp k = 0;
    for (npy_intp i = 0; i < words; i += step, k++) hash += share(word_at(data + i * word, word), k);
    return hash + (words ? share(word_at(data + bytes - word, word), k) : share(word_at(data, bytes), k));
}

/* Of an array with gaps: the same, number by number. */
static npy_uint64 hash_scattered(PyArrayObject *a) {
    const npy_intp size = PyArray_SIZE(a), step = stride_of(size), item = PyArray_ITEMSIZE(a);
    npy_uint64 hash = 0;
    for (npy_intp i = 0, k = 0; i < size; i += step, k++) {
        const char *data = PyArray_BYTES(a);
        npy_intp rest = i;
        for (int d = PyArray_NDIM(a) - 1; d >= 0; rest /= PyArray_DIM(a, d), d--)
            data += rest % PyArray_DIM(a, d) * PyArray_STRIDE(a, d);
        hash += share(word_at(data, item < (npy_intp)sizeof hash ? item : (npy_intp)sizeof hash), k);
    }
    return hash;
}

/* Of an array; of a list or a tuple with arrays and numbers in it, as an index may be. */
static npy_uint64 hash_of(PyObject *x) {
    if (PyArray_Check(x)) {
        PyArrayObject *a = (PyArrayObject *)x;
        return PyArray_ISONESEGMENT(a) ? hash_piece(PyArray_BYTES(a), PyArray_NBYTES(a)) : hash_scattered(a);
    }
    if (PyLong_Check(x)) return PyLong_AsUnsignedLongLongMask(x);
    if (!PyList_Check(x) && !PyTuple_Check(x)) return 0;
    const Py_ssize_t size = PySequence_Fast_GET_SIZE(x), step = stride_of(size);
    npy_uint64 hash = (npy_uint64)size;
    for (Py_ssize_t i = 0, k = 0; i < size; i += step, k++) hash += share(hash_of(PySequence_Fast_GET_ITEM(x, i)), k);
    return hash;
}

/* Can somebody write into it, a leaf's array or one that is no Node's? */
static int is_open(PyObject *input) {
    return nnc_is_node(input) ? PyTuple_GET_SIZE(((node_object *)input)->inputs) == 0 : PyArray_Check(input);
}

npy_uint64 nnc_hash_operands(PyObject *inputs, PyObject *args, PyObject *params) {
    const npy_uint64 next = UINT64_C(0x9E3779B97F4A7C15);
    npy_uint64 hash = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++)
        if (is_open(PyTuple_GET_ITEM(inputs, i))) hash = hash * next + hash_of(PyTuple_GET_ITEM(args, i));
    PyObject *name, *value;
    if (PyDict_GET_SIZE(params))
        for (Py_ssize_t i = 0; PyDict_Next(params, &i, &name, &value);) hash = hash * next + hash_of(value);
    return hash;
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

static PyObject *open_operands(PyObject *inputs) {
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list && i < PyTuple_GET_SIZE(inputs); i++)
        if (is_open(PyTuple_GET_ITEM(inputs, i)) && PyList_Append(list, PyTuple_GET_ITEM(inputs, i)) < 0)
            Py_CLEAR(list);
    return list;
}

static int check(const node_object *node) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(node->inputs); i++) {
        PyObject *x = PyTuple_GET_ITEM(node->inputs, i);
        if (nnc_is_node(x) && ((node_object *)x)->set > node->serial) return raise_changed(node, PyTuple_Pack(1, x));
    }
    if (nnc_hash_operands(node->inputs, node->args, node->params) == node->used) return 0;
    return raise_changed(node, open_operands(node->inputs));
}

int nnc_check_unchanged(PyObject *nodes) {
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(nodes); i++)
        result = check((node_object *)PyTuple_GET_ITEM(nodes, i));
    return result;
}

PyObject *nnc_check(PyObject *Py_UNUSED(module), PyObject *nodes) {
    if (!PyTuple_CheckExact(nodes)) return PyErr_Format(PyExc_TypeError, "check_unchanged(a tuple of Nodes)");
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(nodes); i++)
        if (!nnc_is_node(PyTuple_GET_ITEM(nodes, i))) return PyErr_Format(PyExc_TypeError, "check_unchanged: no Node");
    return nnc_check_unchanged(nodes) < 0 ? NULL : Py_NewRef(Py_None);
}
