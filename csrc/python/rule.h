/* rule.h - what the engine uses of a row of the table, a Rule of nnc/autodiff/operations.py. */
#ifndef NNC_PYTHON_RULE_H
#define NNC_PYTHON_RULE_H

#include "glue.h"

/* A Rule's attributes of these names, found once: it cannot be changed. */
typedef struct rule_object {
    PyObject_HEAD PyObject *forward; /* NULL until first used */
    PyObject *for_many;              /* or None */
    PyObject *vjps;
    PyObject *params;    /* a tuple */
    PyObject *takes;     /* or None */
    PyObject *constants; /* a tuple */
    PyObject *reads;     /* a number for each operand, or one for all; NULL until first used (unchanged.c) */
} rule_object;

/* NULL with an exception if it is not a Rule. */
rule_object *nnc_rule(PyObject *rule);

#endif
