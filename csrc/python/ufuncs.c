/* ufuncs.c - the universal functions: one table (ufuncs.inc), one NumPy loop for each dtype. */
#include "glue.h"

/* A label that is out of range has made its example NaN: the loop goes on with the next repetition, and says so at its
 * end. */
static inline nnc_status note_label(nnc_status *noted, nnc_status status) {
    if (status != NNC_ERR_LABEL) return status;
    *noted = status;
    return NNC_OK;
}

#define NNC_TEMPLATE "python/loops.inc"
#include "../each_dtype.inc"

typedef struct ufunc_row {
    ufunc_head head;
    loop_f32 *loop_f32;
    loop_f64 *loop_f64;
    function_f32 function_f32;
    function_f64 function_f64;
} ufunc_row;

/* For each kind of operands, whose loop has the same name in loops.inc: the signature, the roles (see ufunc_head), and
 * the type of the function. */
#define KIND_unary NULL, "rR", one
#define KIND_unary_scalar NULL, "rsR", one_number
#define KIND_binary NULL, "rrR", two
#define KIND_binary_scalar NULL, "rrsR", two_number
#define KIND_ternary NULL, "rrrR", three
#define KIND_product "(n?,k),(k,p?)->(n?,p?)", "rrR", two
#define KIND_layer "(n,m),(m,r),(n,1)->(n,r)", "rrrR", three
#define KIND_bias "(n,r),(n,1)->(n,r)", "rrR", two
#define KIND_row_sums "(n,r)->(n,1)", "rR", one
#define KIND_columns "(n)->(n)", "rR", one
#define KIND_matrix "(n,r)->(n,r)", "rR", one
#define KIND_column_pairs "(n),(n)->(n)", "rrR", two
#define KIND_matrix_pairs "(n,r),(n,r)->(n,r)", "rrR", two
#define KIND_loss "(n,r),(r)->(r)", "ryR", one_labels
#define KIND_loss_saving "(n,r),(r)->(r),(n,r)", "ryRR", two_labels
#define KIND_loss_targets "(n,r),(n,r)->(r)", "rtR", two
#define KIND_loss_backward "(r),(n,r),(r)->(n,r)", "sryR", two_labels
#define KIND_loss_targets_backward "(r),(n,r),(n,r)->(n,r)", "srtR", three

#define ROW(name, fn, doc, kind, signature, roles, type) \
    {{#name, doc, signature, roles}, kind##_f32, kind##_f64, {.type = nnc_##fn##_f32}, {.type = nnc_##fn##_f64}},
#define EXPANDED_ROW(...) ROW(__VA_ARGS__)
#define UFUNC(name, kind, fn, doc) EXPANDED_ROW(name, fn, doc, kind, KIND_##kind)
static const ufunc_row rows[] = {
#include "ufuncs.inc"
};

int nnc_is_own_ufunc(PyObject *ufunc) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (&rows[i].head == ufunc_head_of(ufunc)) return 1;
    return 0;
}

nnc_status nnc_run_loop(const ufunc_head *head, int type, char *const *data, const npy_intp *dims,
                        const npy_intp *steps) {
    const ufunc_row *row = (const void *)head;
    return type == NPY_FLOAT ? row->loop_f32(row->function_f32, data, dims, steps)
                             : row->loop_f64(row->function_f64, data, dims, steps);
}

/* NumPy has released the GIL when it calls these. A ufunc does not say that a label is out of range. */
static int finish(PyArrayMethod_Context *context, nnc_status status) {
    if (status == NNC_OK || status == NNC_ERR_LABEL) return 0;
    PyGILState_STATE gil = PyGILState_Ensure();
    nnc_raise(ufunc_head_of(context->caller)->name, status);
    PyGILState_Release(gil);
    return -1;
}

static int call_f32(PyArrayMethod_Context *context, char *const *data, const npy_intp *dims, const npy_intp *steps,
                    NpyAuxData *Py_UNUSED(auxiliary)) {
    return finish(context, nnc_run_loop(ufunc_head_of(context->caller), NPY_FLOAT, data, dims, steps));
}

static int call_f64(PyArrayMethod_Context *context, char *const *data, const npy_intp *dims, const npy_intp *steps,
                    NpyAuxData *Py_UNUSED(auxiliary)) {
    return finish(context, nnc_run_loop(ufunc_head_of(context->caller), NPY_DOUBLE, data, dims, steps));
}

static int add_loop(PyObject *ufunc, PyArray_DTypeMeta *real, PyArrayMethod_StridedLoop *loop) {
    PyArray_DTypeMeta *dtypes[NPY_MAXARGS];
    const ufunc_head *head = ufunc_head_of(ufunc);
    for (int i = 0; head->roles[i]; i++) dtypes[i] = head->roles[i] == 'y' ? &PyArray_IntpDType : real;
    PyType_Slot slots[] = {{NPY_METH_strided_loop, (void *)loop}, {0, NULL}};
    PyArrayMethod_Spec spec = {
        .name = head->name,
        .nin = ((PyUFuncObject *)ufunc)->nin,
        .nout = ((PyUFuncObject *)ufunc)->nout,
        .casting = NPY_NO_CASTING,
        .dtypes = dtypes,
        .slots = slots,
    };
    return PyUFunc_AddLoopFromSpec(ufunc, &spec);
}

/* NumPy treats every ufunc as elementwise, so that an output may be one of the inputs. A gufunc's output, if it
 * overlaps an input, must go through a copy. */
static void forbid_overlap(PyUFuncObject *ufunc) {
    for (int i = ufunc->nin; i < ufunc->nargs; i++)
        ufunc->op_flags[i] = NPY_ITER_WRITEONLY | NPY_ITER_UPDATEIFCOPY | NPY_ITER_ALIGNED | NPY_ITER_ALLOCATE |
                             NPY_ITER_NO_BROADCAST | NPY_ITER_NO_SUBTYPE;
}

static int add_ufunc(PyObject *module, const ufunc_row *row) {
    const ufunc_head *head = &row->head;
    const int nin = (int)strcspn(head->roles, "R"), nout = (int)strlen(head->roles) - nin;
    /* No loops yet: those that carry a status are added afterwards. `data` is free for our own use then. */
    PyObject *ufunc = PyUFunc_FromFuncAndDataAndSignature(NULL, (void *)row, NULL, 0, nin, nout, PyUFunc_None,
                                                          head->name, head->doc, 0, head->signature);
    if (ufunc == NULL) return -1;
    if (head->signature) forbid_overlap((PyUFuncObject *)ufunc);
    int result = -1;
    if (add_loop(ufunc, &PyArray_FloatDType, call_f32) == 0 &&
        add_loop(ufunc, &PyArray_DoubleDType, call_f64) == 0 &&
        nnc_add_promoter(ufunc) == 0)
        result = PyModule_AddObjectRef(module, head->name, ufunc);
    Py_DECREF(ufunc);
    return result;
}

int nnc_add_ufuncs(PyObject *module) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (add_ufunc(module, &rows[i]) < 0) return -1;
    return 0;
}
