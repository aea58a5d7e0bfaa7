/* worth.h - how many threads a piece of work is worth. */
#ifndef NNC_RUNTIME_WORTH_H
#define NNC_RUNTIME_WORTH_H

/* Work of one thread alone, and what several of them need to do it together */
typedef struct nnc_work {
    double nanoseconds; /* of one thread, which several divide among them */
    double barriers;    /* how many */
    double bytes;       /* that all threads read and one of them has just written */
} nnc_work;

/* The number of threads, at most nnc_get_num_threads(), with which this takes the least time, by a model: 1 where more
 * would not pay clearly. It follows from the time that a message takes from core to core, which is measured when it is
 * first asked for, and now and then after that: a virtual machine may be moved. */
int nnc_threads_worth(nnc_work work);

#endif
