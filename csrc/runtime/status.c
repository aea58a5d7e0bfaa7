/* status.c - the messages of nnc_status. */
#include "../nnc.h"

const char *nnc_status_message(nnc_status status) {
    switch (status) {
    case NNC_OK:
        return "no error";
    case NNC_ERR_MEMORY:
        return "out of memory";
    case NNC_ERR_SHAPE:
        return "a size is negative, or two sizes that must agree do not";
    case NNC_ERR_LABEL:
        return "a label is not one of 0 .. n-1";
    case NNC_ERR_ARGUMENT:
        return "an option is out of its range";
    case NNC_ERR_ISA:
        return "this instruction set is unknown, or the machine or the build does not have it";
    case NNC_INTERRUPTED:
        return "stopped by the caller";
    }
    return "not a status of nnc";
}
