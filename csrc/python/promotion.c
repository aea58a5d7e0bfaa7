/* promotion.c - which loop, float32 or float64, a ufunc uses for the dtypes of its operands.
 *
 * float32 and float16 use float32. Integers and bools, whatever their width, and float64 use float64: NumPy's own rule
 * would send int8 to float32. A Python number, and a setting (slope, lr, dL) of any dtype, follows the others. dtype=
 * and signature= decide if they are given. Anything else is a TypeError. */
#include "glue.h"

typedef enum weight {
    FOLLOWS,
    IS_F32,
    IS_F64,
    IS_NONE
} weight;

static weight weigh(PyArray_DTypeMeta *dtype) {
    if (dtype == NULL || dtype == &PyArray_PyFloatDType || dtype == &PyArray_PyLongDType) return FOLLOWS;
    if (dtype == &PyArray_FloatDType || dtype == &PyArray_HalfDType) return IS_F32;
    if (dtype == &PyArray_DoubleDType || PyTypeNum_ISINTEGER(dtype->type_num) || PyTypeNum_ISBOOL(dtype->type_num))
        return IS_F64;
    return IS_NONE;
}

static int refuse(const ufunc_head *head, int operand, PyArray_DTypeMeta *dtype, const char *what) {
    const char *type = ((PyTypeObject *)dtype)->tp_name;
    const char *name = strrchr(type, '.');
    PyErr_Format(PyExc_TypeError, "%s: operand %d is %s, but %s", head->name, operand + 1, name ? name + 1 : type,
                 what);
    return -1;
}

static int promote(PyObject *ufunc, PyArray_DTypeMeta *const op_dtypes[], PyArray_DTypeMeta *const signature[],
                   PyArray_DTypeMeta *new_dtypes[]) {
    const ufunc_head *head = ufunc_head_of(ufunc);
    PyArray_DTypeMeta *real = NULL;
    for (int i = 0; head->roles[i]; i++) {
        if (signature[i] == NULL || head->roles[i] == 'y') continue;
        if (signature[i] != &PyArray_FloatDType && signature[i] != &PyArray_DoubleDType)
            return refuse(head, i, signature[i], "dtype= and signature= know float32 and float64 only");
        if (real != NULL && real != signature[i])
            return refuse(head, i, signature[i], "signature= must not mix float32 and float64");
        real = signature[i];
    }
    weight heaviest = FOLLOWS;
    for (int i = 0; head->roles[i] != 'R'; i++) {
        weight mine = weigh(op_dtypes[i]);
        if (mine == IS_NONE) return refuse(head, i, op_dtypes[i], "must be bool, integer, float16, float32 or float64");
        if (head->roles[i] == 'r' && mine > heaviest) heaviest = mine;
    }
    if (real == NULL) real = heaviest == IS_F32 ? &PyArray_FloatDType : &PyArray_DoubleDType;
    for (int i = 0; head->roles[i]; i++)
        new_dtypes[i] = NPY_DT_NewRef(head->roles[i] == 'y' ? &PyArray_IntpDType : real);
    return 0;
}

/* The promoter is asked for every combination of dtypes that has no loop of its own; NumPy remembers the answer. */
int nnc_add_promoter(PyObject *ufunc) {
    int nargs = ((PyUFuncObject *)ufunc)->nargs, result = -1;
    PyObject *capsule = PyCapsule_New((void *)promote, "numpy._ufunc_promoter", NULL);
    PyObject *anything = PyTuple_New(nargs);
    if (capsule && anything) {
        for (int i = 0; i < nargs; i++) PyTuple_SET_ITEM(anything, i, Py_NewRef(Py_None));
        result = PyUFunc_AddPromoter(ufunc, anything, capsule);
    }
    Py_XDECREF(capsule);
    Py_XDECREF(anything);
    return result;
}
