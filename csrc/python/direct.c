/* direct.c - direct calls: a generalised ufunc's loop on plain arrays, without NumPy's machinery around it.
 *
 * NumPy takes most of a microsecond to find out how the operands broadcast, convert and overlap. On small arrays that
 * is what a call costs, and the answer nearly always is: not at all. direct(ufunc) is a function that looks for just
 * this answer, and then runs the loop that NumPy would have run, on the same pointers, sizes and steps; all else goes
 * to the ufunc itself, or to the function given as `otherwise`, and so behaves as if none of this were here.
 *
 * Operands are plain if each is an ndarray and no subclass, aligned and of native byte order, of one dtype for all,
 * float32 or float64 (labels: intp), with the dimensions of the signature, none more and none less. A setting may be a
 * Python float as well. Nodes whose values are plain go the same way, and the result is a Node. */
#include "node.h"

#include <assert.h>
#include <fenv.h>
#include <math.h>

enum {
    OPERANDS = 4,   /* of a signature at most, with the output */
    SIZES = 4,      /* distinct ones of a signature at most */
    LONGEST = 1024, /* examples that one number is written out for */
    BRIEF = 20000,  /* multiplications or exponentials: less than it would take to notice that the GIL was held */
    REPORTED = FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID
};

/* As loops.inc describes them, for one repetition. */
typedef struct arguments {
    int type; /* NPY_FLOAT or NPY_DOUBLE */
    char *data[OPERANDS];
    npy_intp dims[1 + SIZES], steps[OPERANDS + 2 * OPERANDS];
    union {
        float f32[LONGEST];
        double f64[LONGEST];
    } number;
} arguments;

/* Take operand i, if its sizes are those that others have had before. An axis of one element has no step, as in
 * NumPy, so that the engine makes the same choices. */
static int take_array(arguments *args, const PyUFuncObject *ufunc, int i, PyArrayObject *array) {
    const int *size_of = ufunc->core_dim_ixs + ufunc->core_offsets[i], ndim = ufunc->core_num_dims[i];
    npy_intp *steps = args->steps + ufunc->nargs + ufunc->core_offsets[i];
    if (PyArray_NDIM(array) != ndim || !PyArray_ISBEHAVED_RO(array)) return 0;
    for (int j = 0; j < ndim; j++) {
        npy_intp *size = &args->dims[1 + size_of[j]], mine = PyArray_DIM(array, j);
        if (*size >= 0 && *size != mine) return 0;
        *size = mine;
        steps[j] = mine == 1 ? 0 : PyArray_STRIDE(array, j);
    }
    args->data[i] = PyArray_BYTES(array);
    return 1;
}

/* Take a number as operand i, an array of it. One that is too large for float32 goes NumPy's way, with a warning. */
static int take_number(arguments *args, const PyUFuncObject *ufunc, int i, double number) {
    const int offset = ufunc->core_offsets[i];
    const npy_intp count = args->dims[1 + ufunc->core_dim_ixs[offset]];
    const int is_f32 = args->type == NPY_FLOAT;
    if (count > LONGEST || (is_f32 && isfinite(number) && !isfinite((float)number))) return 0;
    for (npy_intp k = 0; k < count; k++) {
        if (is_f32)
            args->number.f32[k] = (float)number;
        else
            args->number.f64[k] = number;
    }
    args->data[i] = (char *)&args->number;
    args->steps[ufunc->nargs + offset] = count == 1 ? 0 : is_f32 ? (npy_intp)sizeof(float)
                                                                 : (npy_intp)sizeof(double);
    return 1;
}

/* Are all operands plain? Then `args` has them. */
static int take(arguments *args, const PyUFuncObject *ufunc, PyObject *const *operands) {
    const char *roles = ufunc_head_of((PyObject *)ufunc)->roles;
    int number = -1;
    args->type = NPY_NOTYPE;
    args->dims[0] = 1;
    for (int d = 0; d < ufunc->core_num_dim_ix; d++) args->dims[1 + d] = ufunc->core_dim_sizes[d]; /* -1: any */
    for (int i = 0; i < ufunc->nargs; i++) args->steps[i] = 0;
    for (int i = 0; i < ufunc->nin; i++) {
        if (roles[i] == 's' && PyFloat_CheckExact(operands[i])) {
            number = i; /* its count is not known yet */
            continue;
        }
        if (!PyArray_CheckExact(operands[i])) return 0;
        PyArrayObject *array = (PyArrayObject *)operands[i];
        const int type = PyArray_TYPE(array);
        if (args->type == NPY_NOTYPE && (type == NPY_FLOAT || type == NPY_DOUBLE)) args->type = type;
        if (type != (roles[i] == 'y' ? NPY_INTP : args->type) || !take_array(args, ufunc, i, array)) return 0;
    }
    return number < 0 || take_number(args, ufunc, number, PyFloat_AS_DOUBLE(operands[number]));
}

static PyArrayObject *new_output(const arguments *args, const PyUFuncObject *ufunc) {
    const int *size_of = ufunc->core_dim_ixs + ufunc->core_offsets[ufunc->nin];
    npy_intp sizes[2];
    for (int j = 0; j < ufunc->core_num_dims[ufunc->nin]; j++) sizes[j] = args->dims[1 + size_of[j]];
    return (PyArrayObject *)PyArray_SimpleNew(ufunc->core_num_dims[ufunc->nin], sizes, args->type);
}

static nnc_status run_loop(const arguments *args, const PyUFuncObject *ufunc) {
    double work = 1;
    for (int d = 0; d < ufunc->core_num_dim_ix; d++) work *= (double)args->dims[1 + d];
    NPY_BEGIN_THREADS_DEF;
    if (work > BRIEF) NPY_BEGIN_THREADS;
    nnc_status status =
        nnc_run_loop(ufunc_head_of((PyObject *)ufunc), args->type, args->data, args->dims, args->steps);
    NPY_END_THREADS;
    return status;
}

/* What np.errstate wants done about what the loop has raised: nothing, a warning, an exception ... */
static int report(const char *name, int raised) {
    const int errors = (raised & FE_DIVBYZERO ? UFUNC_FPE_DIVIDEBYZERO : 0) |
                       (raised & FE_OVERFLOW ? UFUNC_FPE_OVERFLOW : 0) |
                       (raised & FE_UNDERFLOW ? UFUNC_FPE_UNDERFLOW : 0) |
                       (raised & FE_INVALID ? UFUNC_FPE_INVALID : 0);
    return errors ? PyUFunc_GiveFloatingpointErrors(name, errors) : 0;
}

/* The result; NULL without an exception if it is for the ordinary way to say what is wrong. */
static PyObject *compute(arguments *args, const PyUFuncObject *ufunc) {
    const char *name = ufunc_head_of((PyObject *)ufunc)->name;
    PyArrayObject *out = new_output(args, ufunc);
    if (out == NULL) {
        PyErr_Clear();
        return NULL;
    }
    take_array(args, ufunc, ufunc->nin, out);
    if (fetestexcept(REPORTED)) feclearexcept(REPORTED); /* to clear them costs more than to look */
    const nnc_status status = run_loop(args, ufunc);
    const int raised = fetestexcept(REPORTED);
    if (status == NNC_ERR_LABEL || nnc_raise(name, status) < 0 || report(name, raised) < 0) Py_CLEAR(out);
    return (PyObject *)out;
}

/* What a function that direct() has made works with, a tuple. */
enum {
    UFUNC,
    RULES,
    OTHERWISE
};

/* The same where some operands are Nodes, if there is a rule for it: a Node that remembers the operands. */
static PyObject *compute_node(PyObject *ways, PyObject *const *operands) {
    const PyUFuncObject *ufunc = (const PyUFuncObject *)PyTuple_GET_ITEM(ways, UFUNC);
    PyObject *rule = PyDict_GetItemWithError(PyTuple_GET_ITEM(ways, RULES), (PyObject *)ufunc);
    if (rule == NULL) return NULL;
    arguments args;
    PyObject *inputs = PyTuple_New(ufunc->nin), *values = PyTuple_New(ufunc->nin), *node = NULL;
    for (int i = 0; inputs && values && i < ufunc->nin; i++) {
        PyTuple_SET_ITEM(inputs, i, Py_NewRef(operands[i]));
        PyTuple_SET_ITEM(values, i,
                         Py_NewRef(nnc_is_node(operands[i]) ? ((node_object *)operands[i])->value : operands[i]));
    }
    if (inputs && values && take(&args, ufunc, PySequence_Fast_ITEMS(values))) {
        PyObject *value = compute(&args, ufunc);
        if (value) node = nnc_new_node(rule, value, inputs, Py_NewRef(values), NULL);
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

static PyObject *call(PyObject *ways, PyObject *const *operands, Py_ssize_t count, PyObject *keywords) {
    const PyUFuncObject *ufunc = (const PyUFuncObject *)PyTuple_GET_ITEM(ways, UFUNC);
    if (count == ufunc->nin && keywords == NULL) {
        arguments args;
        PyObject *result = NULL;
        if (take(&args, ufunc, operands))
            result = compute(&args, ufunc);
        else if (is_any_node(operands, count))
            result = compute_node(ways, operands);
        if (result || PyErr_Occurred()) return result;
    }
    return PyObject_Vectorcall(PyTuple_GET_ITEM(ways, OTHERWISE), operands, (size_t)count, keywords);
}

PyObject *nnc_direct(PyObject *Py_UNUSED(module), PyObject *args) {
    static PyMethodDef method = {"direct_call", (PyCFunction)(void (*)(void))call, METH_FASTCALL | METH_KEYWORDS, NULL};
    PyObject *ufunc, *rules, *otherwise = NULL;
    if (!PyArg_ParseTuple(args, "O!O!|O:direct", &PyUFunc_Type, &ufunc, &PyDict_Type, &rules, &otherwise)) return NULL;
    if (nnc_head_of_gufunc(ufunc) == NULL)
        return PyErr_Format(PyExc_TypeError, "direct: %R is not a generalised ufunc of this engine", ufunc);
    assert(((PyUFuncObject *)ufunc)->nargs <= OPERANDS && ((PyUFuncObject *)ufunc)->core_num_dim_ix <= SIZES);
    PyObject *ways = PyTuple_Pack(3, ufunc, rules, otherwise ? otherwise : ufunc);
    PyObject *function = ways ? PyCFunction_New(&method, ways) : NULL;
    Py_XDECREF(ways);
    return function;
}
