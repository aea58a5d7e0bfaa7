/* typed.h - the engine's short words for what each_dtype.inc defines anew for each dtype. */
#ifndef NNC_TYPED_H
#define NNC_TYPED_H
#include "nnc.h"

#define REAL NNC_REAL
#define PUBLIC NNC_FN
#define FN NNC_OWN

#endif
