/* refusals.c - csrc/runtime where the system refuses a request or reports little about itself. */
#define _GNU_SOURCE

#include "../../csrc/isa/cpu.h"
#include "../../csrc/nnc.h"
#include "../../csrc/runtime/cores.h"
#include "../../csrc/runtime/pool.h"
#include "../../csrc/runtime/scratch.h"
#include "../../csrc/runtime/system.h"
#include "../../csrc/runtime/worth.h"
#include "check.h"
#include "failing.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what is read from the system, in processes that have not read it yet ---- */

/* The number of the first condition that does not hold, from 1; 0: all hold. */
static int first_wrong(int count, const int *holds) {
    for (int i = 0; i < count; i++)
        if (!holds[i]) return i + 1;
    return 0;
}
#define ALL_HOLD(...) first_wrong(sizeof((int[]){__VA_ARGS__}) / sizeof(int), (int[]){__VA_ARGS__})

static int check_no_information(void) {
    simulate_system(NO_INFORMATION);
    return ALL_HOLD(nnc_num_cores() == 1, nnc_get_num_threads() == 1, nnc_max_threads() == 16,
                    nnc_cpu_l1d() == 32 << 10, nnc_cpu_l2() == 512 << 10, nnc_cpu_l3() == 8 << 20);
}

static int check_no_affinity(void) {
    simulate_system(NO_AFFINITY);
    return ALL_HOLD(nnc_system_cores() == sysconf(_SC_NPROCESSORS_ONLN), nnc_num_cores() >= 1,
                    nnc_num_cores() <= nnc_system_cores());
}

static int check_many_cores(void) {
    simulate_system(MANY_CORES);
    const int quota = nnc_quota_cores(""), cores = quota > 0 && quota < NNC_MAX_THREADS ? quota : NNC_MAX_THREADS;
    return ALL_HOLD(nnc_num_cores() == cores, nnc_get_num_threads() == cores,
                    nnc_max_threads() == (cores > 16 ? cores : 16));
}

#if defined(__linux__)
static int get_affinity(cpu_set_t *set) { return sched_getaffinity(0, sizeof *set, set) == 0; }

/* A thread leaves its core by excluding it from its affinity for a moment; it stays where the affinity is unknown, and
 * where there is no other core. */
static int check_one_core(void) {
    cpu_set_t before, alone, after;
    const int core = sched_getcpu();
    if (core < 0 || !get_affinity(&before)) return 1;
    nnc_leave_core(core); /* moves to another core, if there is one */
    simulate_system(NO_INFORMATION);
    nnc_leave_core(core);
    simulate_system(REAL_SYSTEM);
    nnc_leave_core(-1);
    const int is_same = get_affinity(&after) && CPU_EQUAL(&before, &after);
    CPU_ZERO(&alone);
    CPU_SET((size_t)core, &alone);
    if (sched_setaffinity(0, sizeof alone, &alone) != 0) return 2;
    nnc_leave_core(core);
    const int is_alone = get_affinity(&after) && CPU_EQUAL(&alone, &after);
    /* two threads on one core: the time is long, or cannot be measured */
    nnc_set_num_threads(2);
    nnc_set_core_to_core(0);
    return ALL_HOLD(is_same, is_alone, nnc_core_to_core() > 0);
}
#endif

static int check_stopped_clock(void) {
    simulate_system(STOPPED_CLOCK);
    nnc_set_num_threads(2);
    nnc_set_core_to_core(0);
    const int64_t message = nnc_core_to_core();
    return ALL_HOLD(message == 1 || message == 500); /* measured, or the other thread did not answer in time */
}

static void in_child(const char *name, int (*run)(void)) {
    begin("%s", name);
    pid_t child = can_fail() ? fork() : 0;
    if (child == 0 && can_fail()) {
        alarm(timeout(20));
        exit_child(run());
    }
    int status = 0;
    expect(!can_fail() || (waitpid(child, &status, 0) == child && status == 0), "the child's status is %x", status);
    end();
}

void check_system(void) {
    in_child("a system that reports nothing: one core, and caches of common sizes", check_no_information);
    in_child("a system that does not report the affinity: all cores may be used", check_no_affinity);
    in_child("a thousand cores: as many are used as there may be threads", check_many_cores);
#if defined(__linux__)
    in_child("a thread stays on its core where that is the only one", check_one_core);
#endif
    in_child("a clock that stands still", check_stopped_clock);
}

/* ---- how many threads a task is worth ---- */

static void measure_within_task(void *arg, int thread, int threads) {
    int64_t *message = arg;
    if (threads > 0 && thread == 0) {
        nnc_set_core_to_core(0);
        *message = nnc_core_to_core();
    }
}

void check_worth(void) {
    begin("more work takes more threads");
    nnc_set_num_threads(16);
    nnc_set_core_to_core(100);
    int before = 1, steps = 0;
    for (double work = 1; work < 1e9; work *= 1.5) {
        const int threads = nnc_threads_worth((nnc_work){work, 3, 1 << 15});
        expect(threads >= before && threads <= 16, "%d threads for %g ns, and %d for less", threads, work, before);
        steps += threads > before;
        before = threads;
    }
    expect(before == 16 && steps > 1, "%d threads for a second of work, in %d steps", before, steps);
    expect(nnc_threads_worth((nnc_work){1e6, 3, 0}) == 16 && nnc_threads_worth((nnc_work){1e6, 3, 1e9}) == 1,
           "the cost of the exchange is ignored");
    nnc_set_num_threads(1);
    expect(nnc_threads_worth((nnc_work){1e9, 0, 0}) == 1, "more threads than the one that is set");
    end();

    begin("the time from core to core");
    expect(nnc_core_to_core() == 100, "not the time that was set");
    nnc_set_core_to_core(0);
    expect(nnc_core_to_core() == 500, "one thread measures it alone");
    nnc_set_num_threads(2);
    int64_t measured = nnc_core_to_core();
    for (int i = 0; i < 20 && measured == 500; i++) { /* on a busy machine it may take several attempts */
        nnc_set_core_to_core(0);
        measured = nnc_core_to_core();
    }
    expect(measured > 0, "%d ns", (int)measured);
    int64_t within = 0;
    nnc_parallel(measure_within_task, &within, 2, 1);
    expect(within == 500, "%d ns: measured by a thread within a task", (int)within);
    nnc_set_core_to_core(1); /* as in main */
    end();
}

/* ---- scratch memory ---- */

void check_scratch(void) {
    begin("scratch memory: impossible sizes are refused, and very large blocks are not cached");
    expect(nnc_scratch_alloc(SIZE_MAX) == NULL, "SIZE_MAX bytes are granted");
    expect(nnc_scratch_alloc(SIZE_MAX / 2) == NULL, "SIZE_MAX / 2 bytes are granted");
    nnc_scratch_free(NULL);
    void *cached[16];
    for (int i = 0; i < 16; i++) cached[i] = nnc_scratch_alloc(1);
    const long before = allocations_held();
    void *large = nnc_scratch_alloc(((size_t)1 << 26) + 1);
    expect(large != NULL, "64 MB are refused");
    nnc_scratch_free(large);
    expect(allocations_held() == before, "%ld more blocks are held", allocations_held() - before);
    for (int i = 0; i < 16; i++) nnc_scratch_free(cached[i]);
    end();
}
