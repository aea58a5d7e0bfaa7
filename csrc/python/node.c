/* node.c - the Node as C sees it: its fields, and how an operation makes one.
 *
 * apply() is what every operation on Nodes comes down to: the values of the operands, the rule's function of them, and
 * a Node that remembers all of it. On small arrays this takes as long as the calculation itself, and twice as long in
 * Python. */
#include "node.h"

#include "../ops/hash.h"

#include <structmember.h>

static struct {
    PyObject *explained, *name; /* names of a rule's attributes */
    PyObject *getitem;          /* and of a Node's */
    PyObject *no_params;          /* the params of an operation without any */
    long long serial;           /* of the latest Node */
} known;

/* ---- the type ---------------------------------------------------------------------------------------------------- */

PyTypeObject *nnc_usual_node;

static PyObject *node_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords)) {
    node_object *node = (node_object *)type->tp_alloc(type, 0);
    if (node == NULL) return NULL;
    if (nnc_usual_node == NULL) nnc_usual_node = (PyTypeObject *)Py_NewRef(type);
    node->value = Py_NewRef(Py_None);
    node->grad = Py_NewRef(Py_None);
    node->name = Py_NewRef(Py_None);
    node->rule = Py_NewRef(Py_None);
    node->params = Py_NewRef(known.no_params);
    node->inputs = PyTuple_New(0);
    node->args = PyTuple_New(0);
    node->serial = ++known.serial;
    node->is_mutable = 1;
    return (PyObject *)node;
}

static int node_traverse(PyObject *object, visitproc visit, void *arg) {
    const node_object *node = (const node_object *)object;
    Py_VISIT(node->value);
    Py_VISIT(node->grad);
    Py_VISIT(node->name);
    Py_VISIT(node->inputs);
    Py_VISIT(node->args);
    Py_VISIT(node->params);
    Py_VISIT(node->rule);
    return 0;
}

/* A cleared Node still has all attributes. */
static int node_clear(PyObject *object) {
    node_object *node = (node_object *)object;
    Py_SETREF(node->value, Py_NewRef(Py_None));
    Py_SETREF(node->grad, Py_NewRef(Py_None));
    Py_SETREF(node->name, Py_NewRef(Py_None));
    Py_SETREF(node->rule, Py_NewRef(Py_None));
    Py_SETREF(node->params, Py_NewRef(known.no_params));
    Py_SETREF(node->inputs, PyTuple_New(0)); /* the empty tuple exists always: this cannot fail */
    Py_SETREF(node->args, PyTuple_New(0));
    return 0;
}

/* A Node may own the last reference to its inputs, and they to theirs; the tuples between them limit the recursion. */
static void node_dealloc(PyObject *object) {
    node_object *node = (node_object *)object;
    PyObject_GC_UnTrack(object);
    Py_XDECREF(node->value);
    Py_XDECREF(node->grad);
    Py_XDECREF(node->name);
    Py_XDECREF(node->rule);
    Py_XDECREF(node->params);
    Py_XDECREF(node->inputs);
    Py_XDECREF(node->args);
    Py_TYPE(object)->tp_free(object);
}

/* x as float32 or float64 in native byte order; not copied if it is that already. */
static PyObject *real_numbers(PyObject *x) {
    PyArrayObject *array = (PyArrayObject *)PyArray_FromAny(x, NULL, 0, 0, NPY_ARRAY_ENSUREARRAY, NULL);
    if (array == NULL) return NULL;
    const int type = PyArray_TYPE(array), whole = PyTypeNum_ISINTEGER(type) || PyTypeNum_ISBOOL(type);
    const int wanted = whole ? NPY_DOUBLE : type == NPY_HALF ? NPY_FLOAT
                                                             : type;
    PyObject *result = NULL;
    if (wanted == NPY_FLOAT || wanted == NPY_DOUBLE)
        result = PyArray_FromArray(array, PyArray_DescrFromType(wanted), 0);
    else
        PyErr_Format(PyExc_TypeError, "Node: the value is %S, but must be real numbers, float32 or float64",
                     (PyObject *)PyArray_DESCR(array));
    Py_DECREF(array);
    return result;
}

static PyObject *get_value(PyObject *object, void *Py_UNUSED(closure)) {
    return Py_NewRef(((node_object *)object)->value);
}

/* Otherwise a graph would no longer say how its values were computed. */
static int check_settable(const node_object *node) {
    const char *what = node->is_argument                ? "an argument of a function that is differentiated"
                       : PyTuple_GET_SIZE(node->inputs) ? "a result; set that of a leaf, and compute this one again"
                                                        : NULL;
    if (what) PyErr_Format(PyExc_RuntimeError, "Node: the value cannot be set of %s", what);
    return what ? -1 : 0;
}

static int set_value(PyObject *object, PyObject *x, void *Py_UNUSED(closure)) {
    node_object *node = (node_object *)object;
    if (x == NULL) return PyErr_SetString(PyExc_AttributeError, "Node: the value cannot be deleted"), -1;
    if (check_settable(node) < 0) return -1;
    PyObject *value = real_numbers(x);
    if (value == NULL) return -1;
    Py_SETREF(node->value, value);
    node->set = ++known.serial;
    return 0;
}

static PyGetSetDef getset[] = {
    {"value", get_value, set_value, NULL, NULL},
    {"data", get_value, set_value, "The value, under the name that micrograd has for it.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"grad", T_OBJECT, offsetof(node_object, grad), 0, NULL},
    {"name", T_OBJECT, offsetof(node_object, name), 0, NULL},
    {"inputs", T_OBJECT, offsetof(node_object, inputs), READONLY, NULL},
    {"params", T_OBJECT, offsetof(node_object, params), READONLY, NULL},
    {"_args", T_OBJECT, offsetof(node_object, args), READONLY, NULL},
    {"_rule", T_OBJECT, offsetof(node_object, rule), 0, NULL},
    {"_serial", T_LONGLONG, offsetof(node_object, serial), READONLY, NULL},
    {"_value", T_OBJECT, offsetof(node_object, value), 0, NULL},
    {"_is_argument", T_BOOL, offsetof(node_object, is_argument), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* node[index] is here and not in Python, where its class would become a sequence to C, too: the error of array[0] =
 * node would then be NumPy's, about a sequence, and not that of node.py. */
static PyObject *subscript(PyObject *node, PyObject *index) {
    return PyObject_CallMethodOneArg(node, known.getitem, index);
}

static int set_item(PyObject *Py_UNUSED(node), PyObject *Py_UNUSED(index), PyObject *Py_UNUSED(value)) {
    PyErr_SetString(PyExc_TypeError, "Node: an item cannot be set or deleted, as the graph may need what it was; "
                                     "np.where(mask, new, x), np.concatenate and np.delete give another array");
    return -1;
}

static PyMappingMethods mapping = {.mp_subscript = subscript, .mp_ass_subscript = set_item};

static PyMethodDef methods[] = {
    {"__array_ufunc__", (PyCFunction)(void (*)(void))nnc_array_ufunc, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject nnc_node_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
        .tp_name = "nnc._engine.Node",
    .tp_doc = "What a nnc.Node holds.",
    .tp_basicsize = sizeof(node_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = node_new,
    .tp_dealloc = node_dealloc,
    .tp_traverse = node_traverse,
    .tp_clear = node_clear,
    .tp_as_mapping = &mapping,
    .tp_methods = methods,
    .tp_getset = getset,
    .tp_members = members,
};

int nnc_add_node_type(PyObject *module) {
    nnc_draw_keys();
    known.explained = PyUnicode_InternFromString("explained");
    known.name = PyUnicode_InternFromString("name");
    known.getitem = PyUnicode_InternFromString("_getitem");
    known.no_params = PyDict_New();
    if (!known.explained || !known.name || !known.getitem || !known.no_params) return -1;
    return PyModule_AddType(module, &nnc_node_type);
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

/* Two dtypes only; the numbers of a result may be in an array, or be one number. */
static int is_real(PyObject *value) {
    if (PyArray_Check(value)) {
        const int type = PyArray_TYPE((PyArrayObject *)value);
        return type == NPY_FLOAT || type == NPY_DOUBLE;
    }
    return PyArray_IsScalar(value, Double) || PyArray_IsScalar(value, Float);
}

static void raise_dtype(PyObject *rule, PyObject *value) {
    PyObject *name = PyObject_GetAttr(rule, known.name), *dtype = PyObject_GetAttrString(value, "dtype");
    if (dtype == NULL) {
        PyErr_Clear();
        dtype = Py_NewRef((PyObject *)Py_TYPE(value));
    }
    if (name)
        PyErr_Format(PyExc_TypeError, "%S: the result would be %S, but Nodes are float32 or float64", name, dtype);
    Py_XDECREF(name);
    Py_DECREF(dtype);
}

static PyTypeObject *type_of_first_node(PyObject *inputs) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++)
        if (nnc_is_node(PyTuple_GET_ITEM(inputs, i))) return Py_TYPE(PyTuple_GET_ITEM(inputs, i));
    PyErr_SetString(PyExc_TypeError, "apply: none of the operands is a Node");
    return NULL;
}

/* The array that a result holds: its own, and read-only. It may be a view of an operand, but not the operand itself. */
static PyObject *read_only(PyObject *value, PyObject *args) {
    if (!PyArray_Check(value)) return value;
    for (Py_ssize_t i = 0; value && i < PyTuple_GET_SIZE(args); i++)
        if (value == PyTuple_GET_ITEM(args, i)) Py_SETREF(value, PyArray_View((PyArrayObject *)value, NULL, NULL));
    if (value) PyArray_CLEARFLAGS((PyArrayObject *)value, NPY_ARRAY_WRITEABLE);
    return value;
}

PyObject *nnc_new_node(PyObject *rule, PyObject *value, PyObject *inputs, PyObject *args, PyObject *params) {
    PyTypeObject *type = type_of_first_node(inputs);
    if (type && !is_real(value)) {
        raise_dtype(rule, value);
        type = NULL;
    }
    if (type && (value = read_only(value, args)) == NULL) type = NULL;
    node_object *node = type ? (node_object *)type->tp_alloc(type, 0) : NULL;
    if (node == NULL) {
        Py_XDECREF(value);
        Py_DECREF(args);
        return NULL;
    }
    node->value = value;
    node->grad = Py_NewRef(Py_None);
    node->name = Py_NewRef(Py_None);
    node->inputs = Py_NewRef(inputs);
    node->args = args;
    node->params = Py_NewRef(params ? params : known.no_params);
    node->rule = Py_NewRef(rule);
    node->serial = ++known.serial;
    if (nnc_remember_operands(node) < 0) Py_CLEAR(node);
    return (PyObject *)node;
}

static int is_number(PyObject *x) {
    return PyFloat_CheckExact(x) || PyLong_CheckExact(x) || PyBool_Check(x) || PyArray_IsScalar(x, Double) ||
           PyArray_IsScalar(x, Float);
}

/* Does this kind of array multiply in another way than arrays do, as np.ma's and np.matrix do? */
static int has_own_arithmetic(PyTypeObject *type) {
    const PyNumberMethods *mine = type->tp_as_number, *plain = PyArray_Type.tp_as_number;
    return mine && mine->nb_multiply != plain->nb_multiply;
}

/* What the forward gets for an operand: a Node's value, an array or a number as it is, anything else as an array. Of a
 * masked array that would lose the mask, and of a matrix the meaning of its *. */
static PyObject *operand(PyObject *x) {
    if (nnc_is_node(x)) return Py_NewRef(((node_object *)x)->value);
    if (PyArray_CheckExact(x) || is_number(x)) return Py_NewRef(x);
    if (PyArray_Check(x) && has_own_arithmetic(Py_TYPE(x)))
        return PyErr_Format(PyExc_TypeError, "a %s calculates in another way than the arrays in Nodes do; give "
                                             "np.asarray of it, or np.where instead of a mask",
                            Py_TYPE(x)->tp_name);
    return PyArray_FromAny(x, NULL, 0, 0, NPY_ARRAY_ENSUREARRAY, NULL);
}

/* A copy of the tuple, with `item` at index i. */
static PyObject *with_item(PyObject *tuple, Py_ssize_t i, PyObject *item) {
    const Py_ssize_t n = PyTuple_GET_SIZE(tuple);
    PyObject *other = PyTuple_New(n);
    for (Py_ssize_t k = 0; other && k < n; k++)
        PyTuple_SET_ITEM(other, k, Py_NewRef(k == i ? item : PyTuple_GET_ITEM(tuple, k)));
    return other;
}

/* The operands as arrays and numbers; and as they are remembered, since one that had to become an array is that. */
static int gather(PyObject *operands, PyObject **inputs, PyObject **args) {
    const Py_ssize_t n = PyTuple_GET_SIZE(operands);
    *inputs = Py_NewRef(operands);
    if ((*args = PyTuple_New(n)) == NULL) return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *x = PyTuple_GET_ITEM(operands, i), *value = operand(x);
        if (value == NULL) return -1;
        PyTuple_SET_ITEM(*args, i, value);
        if (value != x && !nnc_is_node(x)) Py_SETREF(*inputs, with_item(*inputs, i, value));
        if (*inputs == NULL) return -1;
    }
    return 0;
}

/* Labels, a slope: a rule lists the operands that have no gradient. */
static int check_constants(const rule_object *rule, PyObject *inputs) {
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(rule->constants); k++) {
        const Py_ssize_t i = PyLong_AsSsize_t(PyTuple_GET_ITEM(rule->constants, k));
        if (i < 0 || i >= PyTuple_GET_SIZE(inputs) || !nnc_is_node(PyTuple_GET_ITEM(inputs, i))) continue;
        PyObject *name = PyObject_GetAttr((PyObject *)rule, known.name);
        if (name)
            PyErr_Format(PyExc_TypeError, "%S: no gradient flows through argument %zd; give its .value", name, i + 1);
        Py_XDECREF(name);
        return -1;
    }
    return 0;
}

/* The rule's function; some have another, on all cores, for many numbers. */
static PyObject *forward_of(const rule_object *rule, PyObject *args) {
    PyObject *first = PyTuple_GET_SIZE(args) ? PyTuple_GET_ITEM(args, 0) : Py_None;
    const int are_many = PyArray_CheckExact(first) && PyArray_SIZE((PyArrayObject *)first) >= NNC_MANY;
    return are_many && rule->for_many != Py_None ? rule->for_many : rule->forward;
}

/* The forward has failed: the rule may have a better message. */
static void explain(PyObject *rule, PyObject *inputs) {
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    PyObject *better = PyObject_CallMethodObjArgs(rule, known.explained, error, inputs, NULL);
    if (better && better != error && PyExceptionInstance_Check(better)) {
        PyErr_SetObject((PyObject *)Py_TYPE(better), better);
        Py_DECREF(type);
        Py_DECREF(error);
        Py_XDECREF(trace);
    } else
        PyErr_Restore(type, error, trace);
    Py_XDECREF(better);
}

PyObject *nnc_apply(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    if (count < 2 || count > 3 || (count == 3 && !PyDict_CheckExact(arguments[2])))
        return PyErr_Format(PyExc_TypeError, "apply(rule, operands, a dict of params)");
    PyObject *params = count == 3 && PyDict_GET_SIZE(arguments[2]) ? arguments[2] : NULL;
    PyObject *inputs = NULL, *args = NULL, *value = NULL, *node = NULL;
    const rule_object *rule = nnc_rule(arguments[0]);
    PyObject *operands = rule ? PySequence_Tuple(arguments[1]) : NULL;
    if (operands == NULL || gather(operands, &inputs, &args) < 0 || check_constants(rule, inputs) < 0) goto done;
    if ((value = PyObject_Call(forward_of(rule, args), args, params)) == NULL) {
        explain(arguments[0], inputs);
        goto done;
    }
    node = nnc_new_node(arguments[0], value, inputs, args, params);
    args = NULL;
done:
    Py_XDECREF(operands);
    Py_XDECREF(inputs);
    Py_XDECREF(args);
    return node;
}
