/* refusals.c - the runtime where the system refuses something, or knows little of itself: csrc/runtime. */
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

/* ---- a machine that is asked for the first time ---- */

/* The number of the first of these that does not hold, from 1; 0: all do. */
static int first_wrong(int count, const int *holds) {
    for (int i = 0; i < count; i++)
        if (!holds[i]) return i + 1;
    return 0;
}
#define ALL_HOLD(...) first_wrong(sizeof((int[]){__VA_ARGS__}) / sizeof(int), (int[]){__VA_ARGS__})

static int silent(void) {
    pretend(SILENT);
    return ALL_HOLD(nnc_num_cores() == 1, nnc_get_num_threads() == 1, nnc_max_threads() == 16,
                    nnc_cpu_l1d() == 32 << 10, nnc_cpu_l2() == 512 << 10, nnc_cpu_l3() == 8 << 20);
}

static int without_affinity(void) {
    pretend(WITHOUT_AFFINITY);
    return ALL_HOLD(nnc_system_cores() == sysconf(_SC_NPROCESSORS_ONLN), nnc_num_cores() >= 1,
                    nnc_num_cores() <= nnc_system_cores());
}

static int vast(void) {
    pretend(VAST);
    const int quota = nnc_quota_cores(""), cores = quota > 0 && quota < NNC_MAX_THREADS ? quota : NNC_MAX_THREADS;
    return ALL_HOLD(nnc_num_cores() == cores, nnc_get_num_threads() == cores,
                    nnc_max_threads() == (cores > 16 ? cores : 16));
}

#if defined(__linux__)
static int may_use(cpu_set_t *set) { return sched_getaffinity(0, sizeof *set, set) == 0; }

/* To be allowed everywhere else for a moment is no way where that cannot be asked for, and nowhere else is allowed. */
static int on_one_core(void) {
    cpu_set_t before, alone, after;
    const int core = sched_getcpu();
    if (core < 0 || !may_use(&before)) return 1;
    nnc_leave_core(core); /* there may be others, to move to for a moment */
    pretend(SILENT);
    nnc_leave_core(core);
    pretend(AS_IT_IS);
    nnc_leave_core(-1);
    const int is_same = may_use(&after) && CPU_EQUAL(&before, &after);
    CPU_ZERO(&alone);
    CPU_SET((size_t)core, &alone);
    if (sched_setaffinity(0, sizeof alone, &alone) != 0) return 2;
    nnc_leave_core(core);
    const int is_alone = may_use(&after) && CPU_EQUAL(&alone, &after);
    /* two threads that have one core between them: a long time, or none that could be measured */
    nnc_set_num_threads(2);
    nnc_set_core_to_core(0);
    return ALL_HOLD(is_same, is_alone, nnc_core_to_core() > 0);
}
#endif

static int timeless(void) {
    pretend(TIMELESS);
    nnc_set_num_threads(2);
    nnc_set_core_to_core(0);
    const int64_t message = nnc_core_to_core();
    return ALL_HOLD(message == 1 || message == 500); /* measured, or the other thread did not come in time */
}

static void in_child(const char *name, int (*run)(void)) {
    begin("%s", name);
    pid_t child = can_fail() ? fork() : 0;
    if (child == 0 && can_fail()) {
        alarm(patience(20));
        leave(run());
    }
    int status = 0;
    expect(!can_fail() || (waitpid(child, &status, 0) == child && status == 0), "the child's status is %x", status);
    end();
}

void check_system(void) {
    in_child("where the system says nothing one core is used, and caches are as large as is usual", silent);
    in_child("where it does not tell which cores may be used, all may", without_affinity);
    in_child("of a thousand cores as many are used as there may be threads", vast);
#if defined(__linux__)
    in_child("a thread stays on its core where that is the only one", on_one_core);
#endif
    in_child("a clock that stands still", timeless);
}

/* ---- what threads are worth ---- */

static void ask_within_task(void *arg, int thread, int threads) {
    int64_t *message = arg;
    if (threads > 0 && thread == 0) {
        nnc_set_core_to_core(0);
        *message = nnc_core_to_core();
    }
}

void check_worth(void) {
    begin("threads are taken where the work is worth it, and the more of them the more of it there is");
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
           "what they exchange costs nothing");
    nnc_set_num_threads(1);
    expect(nnc_threads_worth((nnc_work){1e9, 0, 0}) == 1, "one thread is several");
    end();

    begin("the time from core to core");
    expect(nnc_core_to_core() == 100, "what is set is not what is said");
    nnc_set_core_to_core(0);
    expect(nnc_core_to_core() == 500, "one thread measures it");
    nnc_set_num_threads(2);
    int64_t measured = nnc_core_to_core();
    for (int i = 0; i < 20 && measured == 500; i++) { /* where others keep the cores busy it may take several times */
        nnc_set_core_to_core(0);
        measured = nnc_core_to_core();
    }
    expect(measured > 0, "%d ns", (int)measured);
    int64_t within = 0;
    nnc_parallel(ask_within_task, &within, 2, 1);
    expect(within == 500, "%d ns are measured by one thread alone", (int)within);
    nnc_set_core_to_core(1); /* as main has it */
    end();
}

/* ---- scratch memory ---- */

void check_scratch(void) {
    begin("scratch memory: what no address reaches is refused, and what is very large is not kept");
    expect(nnc_scratch_alloc(SIZE_MAX) == NULL, "all memory is had");
    expect(nnc_scratch_alloc(SIZE_MAX / 2) == NULL, "half of all memory is had");
    nnc_scratch_free(NULL);
    void *all_kept[16];
    for (int i = 0; i < 16; i++) all_kept[i] = nnc_scratch_alloc(1);
    const long before = pieces_held();
    void *large = nnc_scratch_alloc(((size_t)1 << 26) + 1);
    expect(large != NULL, "64 MB are not had");
    nnc_scratch_free(large);
    expect(pieces_held() == before, "%ld pieces more are held", pieces_held() - before);
    for (int i = 0; i < 16; i++) nnc_scratch_free(all_kept[i]);
    end();
}
