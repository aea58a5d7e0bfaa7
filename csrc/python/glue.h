/* glue.h - what the files of this folder share. Nothing outside it sees Python or NumPy. */
#ifndef NNC_PYTHON_GLUE_H
#define NNC_PYTHON_GLUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* NumPy's functions come through two tables of pointers, shared by all files and filled once, by module.c. */
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL nnc_array_api
#define PY_UFUNC_UNIQUE_SYMBOL nnc_ufunc_api
#ifndef NNC_PYTHON_MODULE
#define NO_IMPORT_ARRAY
#define NO_IMPORT_UFUNC
#endif
#include <numpy/arrayobject.h>
#include <numpy/dtype_api.h>
#include <numpy/ufuncobject.h>

#include "../typed.h"

/* How a row of the table of ufuncs begins; each ufunc's `data` points to its row. */
typedef struct ufunc_head {
    const char *name, *doc;
    const char *signature; /* of a gufunc, NULL for an elementwise one */
    const char *roles;     /* a letter for each operand:
                              r  real numbers; their dtypes together choose between float32 and float64
                              s  a setting (slope, lr, dL): follows the others
                              t  targets: the same
                              y  labels: intp
                              R  an output, real; these come last */
} ufunc_head;

static inline const ufunc_head *ufunc_head_of(PyObject *ufunc) { return (const void *)((PyUFuncObject *)ufunc)->data; }

/* Is it in this table? */
int nnc_is_own_ufunc(PyObject *ufunc);

/* Run the row's loop for NPY_FLOAT or NPY_DOUBLE (loops.inc); NNC_ERR_LABEL says that all is computed, and that an
 * example is NaN for its label. */
nnc_status nnc_run_loop(const ufunc_head *head, int type, char *const *data, const npy_intp *dims,
                        const npy_intp *steps);

/* Numbers from which the elementwise kernels use all cores, and so are worth their call: NumPy has one. */
enum {
    NNC_MANY = 1 << 17
};

/* These return 0, or -1 with an exception set. */
int nnc_add_ufuncs(PyObject *module);
int nnc_add_promoter(PyObject *ufunc);
int nnc_add_direct_type(PyObject *module);
int nnc_add_fit_type(PyObject *module);
int nnc_add_node_type(PyObject *module);
int nnc_add_rule_type(PyObject *module);
int nnc_add_names(PyObject *module); /* ACTIVATIONS and LOSSES, the names of the rows */
int nnc_raise(const char *op, nnc_status status); /* 0 for NNC_OK */

/* methods of the module */
PyObject *nnc_ancestors(PyObject *module, PyObject *last);
PyObject *nnc_backward(PyObject *module, PyObject *args);
PyObject *nnc_apply(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *nnc_check(PyObject *module, PyObject *nodes);
PyObject *nnc_array_ufunc(PyObject *node, PyObject *args, PyObject *keywords); /* of a Node */
PyObject *nnc_call(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *nnc_part(PyObject *module, PyObject *args, PyObject *keywords);
PyObject *nnc_read_labels(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *nnc_bad_targets(PyObject *module, PyObject *args);
PyObject *nnc_predict(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *nnc_predict_plain(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *nnc_argmax(PyObject *module, PyObject *P);
PyObject *nnc_step_rows(PyObject *module, PyObject *args);

#endif
