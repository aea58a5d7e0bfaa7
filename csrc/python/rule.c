/* rule.c - see rule.h. To ask for an attribute by its name takes as long as a small sum; an operation needs six. */
#include "rule.h"

static int traverse(PyObject *object, visitproc visit, void *arg) {
    const rule_object *rule = (const rule_object *)object;
    Py_VISIT(rule->forward);
    Py_VISIT(rule->for_many);
    Py_VISIT(rule->vjps);
    Py_VISIT(rule->params);
    Py_VISIT(rule->takes);
    Py_VISIT(rule->constants);
    Py_VISIT(rule->reads);
    return 0;
}

static int clear(PyObject *object) {
    rule_object *rule = (rule_object *)object;
    Py_CLEAR(rule->forward);
    Py_CLEAR(rule->for_many);
    Py_CLEAR(rule->vjps);
    Py_CLEAR(rule->params);
    Py_CLEAR(rule->takes);
    Py_CLEAR(rule->constants);
    Py_CLEAR(rule->reads);
    return 0;
}

static void dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    (void)clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyTypeObject rule_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
        .tp_name = "nnc._engine.Rule",
    .tp_doc = "What the engine keeps of a row of the table.",
    .tp_basicsize = sizeof(rule_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = dealloc,
    .tp_traverse = traverse,
    .tp_clear = clear,
};

int nnc_add_rule_type(PyObject *module) { return PyModule_AddType(module, &rule_type); }

static int find(PyObject *rule, const char *name, PyObject **attribute) {
    return (*attribute = PyObject_GetAttrString(rule, name)) ? 0 : -1;
}

static int find_tuple(PyObject *rule, const char *name, PyObject **attribute) {
    if (find(rule, name, attribute) < 0) return -1;
    if (PyTuple_CheckExact(*attribute)) return 0;
    return PyErr_Format(PyExc_TypeError, "a rule's %s are not a tuple", name), -1;
}

static int find_all(rule_object *rule) {
    PyObject *object = (PyObject *)rule;
    return find(object, "for_many", &rule->for_many) < 0 || find(object, "vjps", &rule->vjps) < 0 ||
                   find(object, "takes", &rule->takes) < 0 || find_tuple(object, "params", &rule->params) < 0 ||
                   find_tuple(object, "constants", &rule->constants) < 0 ||
                   find(object, "forward", &rule->forward) < 0
               ? -1
               : 0;
}

rule_object *nnc_rule(PyObject *object) {
    if (!PyObject_TypeCheck(object, &rule_type))
        return PyErr_Format(PyExc_TypeError, "a row of the table of operations must be a Rule, not %.100s",
                            Py_TYPE(object)->tp_name),
               NULL;
    rule_object *rule = (rule_object *)object;
    if (rule->forward || find_all(rule) == 0) return rule;
    (void)clear(object);
    return NULL;
}
