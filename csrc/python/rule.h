/* rule.h - what the engine asks of a row of the table, a Rule of nnc/autodiff/operations.py. */
#ifndef NNC_PYTHON_RULE_H
#define NNC_PYTHON_RULE_H

#include "glue.h"

/* A Rule's attributes of these names, found once: it cannot be changed. */
typedef struct rule_object {
    PyObject_HEAD PyObject *forward; /* NULL: nobody has asked yet */
    PyObject *for_many;              /* or None */
    PyObject *vjps;
    PyObject *params;    /* a tuple */
    PyObject *takes;     /* or None */
    PyObject *constants; /* a tuple */
    PyObject *reads;     /* a number for each operand, or one for all; NULL: nobody has asked yet (unchanged.c) */
} rule_object;

/* NULL with an exception for what is no Rule. */
rule_object *nnc_rule(PyObject *rule);

#endif
