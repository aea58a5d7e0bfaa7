/* plain.c - see plain.h. */
#include "plain.h"

#include <fenv.h>
#include <math.h>

enum {
    BRIEF = 20000, /* multiplications or exponentials: less than it would take to notice that the GIL was held */
    REPORTED = FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID
};

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static npy_intp itemsize(const nnc_arguments *args) {
    return args->type == NPY_FLOAT ? (npy_intp)sizeof(float) : (npy_intp)sizeof(double);
}

/* Operand i of an elementwise ufunc, a row of numbers, if it is of the shape that others have had before. */
static int take_elements(nnc_arguments *args, int i, PyArrayObject *array) {
    if (!PyArray_IS_C_CONTIGUOUS(array)) return 0;
    if (args->ndim == 0) {
        args->ndim = PyArray_NDIM(array), args->shape = PyArray_DIMS(array), args->dims[0] = PyArray_SIZE(array);
        if (args->ndim == 0) return 0;
    } else if (PyArray_NDIM(array) != args->ndim || !PyArray_CompareLists(PyArray_DIMS(array), args->shape, args->ndim))
        return 0;
    args->steps[i] = itemsize(args);
    return 1;
}

/* Operand i of a generalised one, if its sizes are those that others have had before. An axis of one element has no
 * step, as in NumPy, so that the engine makes the same choices. */
static int take_matrix(nnc_arguments *args, const PyUFuncObject *ufunc, int i, PyArrayObject *array) {
    const int *size_of = ufunc->core_dim_ixs + ufunc->core_offsets[i], ndim = ufunc->core_num_dims[i];
    npy_intp *steps = args->steps + ufunc->nargs + ufunc->core_offsets[i];
    if (PyArray_NDIM(array) != ndim) return 0;
    for (int j = 0; j < ndim; j++) {
        npy_intp *size = &args->dims[1 + size_of[j]], mine = PyArray_DIM(array, j);
        if (*size >= 0 && *size != mine) return 0;
        *size = mine;
        steps[j] = mine == 1 ? 0 : PyArray_STRIDE(array, j);
    }
    return 1;
}

static int take_array(nnc_arguments *args, const PyUFuncObject *ufunc, int i, PyArrayObject *array) {
    args->data[i] = PyArray_BYTES(array);
    return PyArray_ISBEHAVED_RO(array) &&
           (ufunc->core_enabled ? take_matrix(args, ufunc, i, array) : take_elements(args, i, array));
}

/* Take a number as operand i: an array of it, where the signature asks for one. One that is too large for float32 is
 * left to NumPy, which warns. */
static int take_number(nnc_arguments *args, const PyUFuncObject *ufunc, int i, double number) {
    const int offset = ufunc->core_enabled ? ufunc->core_offsets[i] : 0;
    const npy_intp count = ufunc->core_enabled ? args->dims[1 + ufunc->core_dim_ixs[offset]] : 1;
    const int is_f32 = args->type == NPY_FLOAT;
    if (count > LONGEST || (is_f32 && isfinite(number) && !isfinite((float)number))) return 0;
    for (npy_intp k = 0; k < count; k++) {
        if (is_f32)
            args->number.f32[k] = (float)number;
        else
            args->number.f64[k] = number;
    }
    args->data[i] = (char *)&args->number;
    if (ufunc->core_enabled) args->steps[ufunc->nargs + offset] = count == 1 ? 0 : itemsize(args);
    return 1;
}

int nnc_take(nnc_arguments *args, const PyUFuncObject *ufunc, PyObject *const *operands) {
    const char *roles = ufunc_head_of((PyObject *)ufunc)->roles;
    int number = -1;
    args->name = ufunc_head_of((PyObject *)ufunc)->name, args->type = NPY_NOTYPE, args->ndim = 0;
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

/* ---- the output -------------------------------------------------------------------------------------------------- */

/* A new array for operand i; NULL without an exception if there is no memory for it. */
static PyArrayObject *new_output(nnc_arguments *args, const PyUFuncObject *ufunc, int i) {
    PyObject *out;
    if (ufunc->core_enabled) {
        const int *size_of = ufunc->core_dim_ixs + ufunc->core_offsets[i];
        npy_intp sizes[2];
        for (int j = 0; j < ufunc->core_num_dims[i]; j++) sizes[j] = args->dims[1 + size_of[j]];
        out = PyArray_SimpleNew(ufunc->core_num_dims[i], sizes, args->type);
    } else
        out = PyArray_SimpleNew(args->ndim, args->shape, args->type);
    if (out)
        take_array(args, ufunc, i, (PyArrayObject *)out);
    else
        PyErr_Clear();
    return (PyArrayObject *)out;
}

/* Is operand i disjoint from the output in memory? */
static int is_disjoint(const nnc_arguments *args, const PyUFuncObject *ufunc, int i, PyArrayObject *out) {
    const int is_label = ufunc_head_of((PyObject *)ufunc)->roles[i] == 'y';
    const char *low = args->data[i], *end = low + (is_label ? (npy_intp)sizeof(npy_intp) : itemsize(args));
    if (!ufunc->core_enabled && args->dims[0] > 0) end += args->steps[i] * (args->dims[0] - 1);
    for (int j = 0; ufunc->core_enabled && j < ufunc->core_num_dims[i]; j++) {
        const int core = ufunc->core_offsets[i] + j;
        const npy_intp size = args->dims[1 + ufunc->core_dim_ixs[core]];
        const npy_intp reach = size > 0 ? (size - 1) * args->steps[ufunc->nargs + core] : 0;
        if (reach < 0)
            low += reach;
        else
            end += reach;
    }
    return end <= PyArray_BYTES(out) || low >= PyArray_BYTES(out) + PyArray_NBYTES(out);
}

static int take_output(nnc_arguments *args, const PyUFuncObject *ufunc, PyArrayObject *out) {
    if (PyArray_TYPE(out) != args->type || !PyArray_ISCARRAY(out) || !take_array(args, ufunc, ufunc->nin, out))
        return 0;
    for (int i = 0; i < ufunc->nin; i++)
        if (!is_disjoint(args, ufunc, i, out) && (ufunc->core_enabled || args->data[i] != PyArray_BYTES(out))) return 0;
    return 1;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static nnc_status run_loop(const nnc_arguments *args, const PyUFuncObject *ufunc) {
    double work = (double)args->dims[0];
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

PyObject *nnc_compute(nnc_arguments *args, const PyUFuncObject *ufunc, PyArrayObject *out, PyObject **further) {
    if (out) {
        if (!take_output(args, ufunc, out) || PyArray_FailUnlessWriteable(out, "output array") < 0) return NULL;
        Py_INCREF(out);
    } else if ((out = new_output(args, ufunc, ufunc->nin)) == NULL)
        return NULL;
    if (further && (*further = (PyObject *)new_output(args, ufunc, ufunc->nin + 1)) == NULL) {
        Py_DECREF(out);
        return NULL;
    }
    if (fetestexcept(REPORTED)) feclearexcept(REPORTED); /* to clear them costs more than to look */
    const nnc_status status = run_loop(args, ufunc);
    const int raised = fetestexcept(REPORTED);
    if (status == NNC_ERR_LABEL || nnc_raise(args->name, status) < 0 || report(args->name, raised) < 0) {
        Py_CLEAR(out);
        if (further) Py_CLEAR(*further);
    }
    return (PyObject *)out;
}
