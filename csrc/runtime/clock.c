/* clock.c - a clock that nobody sets. */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */

#include "../nnc.h"

#include <time.h>

int64_t nnc_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
