/* raise.c - a status of the engine as a Python exception. */
#include "glue.h"

int nnc_raise(const char *op, nnc_status status) {
    if (status == NNC_OK) return 0;
    PyObject *type = status == NNC_ERR_MEMORY    ? PyExc_MemoryError
                     : status == NNC_INTERRUPTED ? PyExc_KeyboardInterrupt
                                                 : PyExc_ValueError;
    PyErr_Format(type, "%s: %s", op, nnc_status_message(status));
    return -1;
}
