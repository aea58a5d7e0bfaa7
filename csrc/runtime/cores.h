/* cores.h - the cores that this process may use. nnc_get_num_threads and the like are in nnc.h. */
#ifndef NNC_RUNTIME_CORES_H
#define NNC_RUNTIME_CORES_H

/* The capacity of the pool */
enum {
    NNC_MAX_THREADS = 256
};

int nnc_num_cores(void);
/* `spins`, or none if there are more threads than cores: a thread that spins would keep the others from running. */
int nnc_spins(int threads, int spins);

#endif
