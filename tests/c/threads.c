/* threads.c - the thread pool and the barrier of csrc/runtime, and what the processor can do. */
#define _GNU_SOURCE

#include "../../csrc/isa/cpu.h"
#include "../../csrc/nnc.h"
#include "../../csrc/runtime/barrier.h"
#include "../../csrc/runtime/pool.h"
#include "check.h"
#include "failing.h"

#include <fenv.h>
#include <float.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_THREADS = 16
};

/* The caller does the shares that no thread has taken yet. After a barrier each share is done by its own thread. */
typedef struct synchronized {
    nnc_barrier barrier;
    nnc_task *task;
    void *arg;
} synchronized;

static void wait_then_run(void *arg, int thread, int threads) {
    synchronized *all = arg;
    nnc_barrier_wait(&all->barrier, threads);
    all->task(all->arg, thread, threads);
}

static void run_on_own_threads(nnc_task *task, void *arg, int threads) {
    synchronized all = {.task = task, .arg = arg};
    nnc_barrier_init(&all.barrier);
    nnc_parallel(wait_then_run, &all, threads, 1);
}

/* ---- each share is done once ---- */

typedef struct shares {
    pthread_t caller;
    atomic_int done[MAX_THREADS];
    atomic_int team, nested, signals_open, by_caller;
} shares;

static void count_nested(void *arg, int thread, int threads) {
    shares *all = arg;
    atomic_fetch_add(&all->nested, threads == 1 && thread == 0 ? 1 : 1000);
}

static void count_share(void *arg, int thread, int threads) {
    shares *all = arg;
    atomic_fetch_add(&all->done[thread], 1);
    atomic_store(&all->team, threads);
    if (threads > 1)
        nnc_parallel(count_nested, all, MAX_THREADS, 1);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    const int by_caller = pthread_equal(pthread_self(), all->caller);
    atomic_fetch_add(&all->by_caller, by_caller);
    if (!by_caller && (!sigismember(&mask, SIGINT) || !sigismember(&mask, SIGUSR1)))
        atomic_fetch_add(&all->signals_open, 1);
}

/* Long enough for a woken thread to take a share */
static void count_slowly(void *arg, int thread, int threads) {
    for (const int64_t end = nnc_nanoseconds() + 300000; nnc_nanoseconds() < end;);
    count_share(arg, thread, threads);
}

static void check_shares(void) {
    begin("every share of a task is done once, a nested task by one thread alone");
    expect(nnc_max_threads() >= 8, "at most %d threads", nnc_max_threads());
    for (int round = 0; round < repeats(300); round++) {
        int set = 1 + (int)randint(8), wanted = 1 + (int)randint(10), team = set < wanted ? set : wanted;
        shares all = {.caller = pthread_self()};
        nnc_set_num_threads(set);
        nnc_parallel(count_share, &all, wanted, 1);
        expect(all.team == team, "%d threads where %d are set and %d wanted", all.team, set, wanted);
        for (int i = 0; i < MAX_THREADS; i++)
            expect(all.done[i] == (i < team), "share %d of %d is done %d times", i, team, all.done[i]);
        expect(all.nested == (team > 1 ? team : 0), "%d threads, %d nested tasks", team, all.nested);
        expect(all.signals_open == 0, "%d workers take signals", all.signals_open);
        expect(all.by_caller > 0, "the caller does nothing");
    }
    end();

    begin("the caller does the shares of threads that are still asleep, and waits for the others");
    nnc_set_num_threads(4);
    int by_caller = 0, rounds = repeats(60);
    for (int round = 0; round < rounds; round++) {
        shares all = {.caller = pthread_self()};
        if (round % 2)
            usleep(50000); /* they fall asleep, in an emulator, too */
        if (round % 3)
            nnc_parallel(count_share, &all, 4, 1);
        else
            run_on_own_threads(count_share, &all, 4);
        for (int i = 0; i < 4; i++)
            expect(all.done[i] == 1, "share %d is done %d times", i, all.done[i]);
        expect(round % 3 || all.by_caller == 1, "the caller does %d shares after a barrier", all.by_caller);
        by_caller += all.by_caller - 1;
    }
    expect(by_caller > 0, "no share of a sleeping thread was done by the caller in %d rounds", rounds);
    end();

    begin("a small task wakes no thread, unless more tasks follow");
    int alone = 0, helped = 0;
    for (int round = 0; round < rounds; round++) {
        usleep(50000); /* they fall asleep, in an emulator, too */
        for (int i = 0, came = 0; i < 20000 && !came; i++) {
            shares all = {.caller = pthread_self()};
            nnc_parallel(i == 0 ? count_slowly : count_share, &all, 4, 0);
            alone += i == 0 && all.by_caller == 4;
            came = i > 0 && all.by_caller < 4;
            helped += came;
        }
    }
    expect(alone > 0, "the first of many tasks was shared in each of %d rounds", rounds);
    expect(helped > 0, "no later task was shared");
    end();

    begin("numbers of threads");
    int before = nnc_get_num_threads();
    expect(nnc_set_num_threads(0) == NNC_ERR_ARGUMENT, "0 is accepted");
    expect(nnc_set_num_threads(-3) == NNC_ERR_ARGUMENT, "-3 is accepted");
    expect(nnc_get_num_threads() == before, "a refused number has an effect");
    expect(nnc_set_num_threads(1 << 30) == NNC_OK && nnc_get_num_threads() == nnc_max_threads(), "2^30 is not capped");
    expect(nnc_set_num_threads(3) == NNC_OK && nnc_get_num_threads() == 3, "3 is not 3");
    end();
}

/* ---- barriers ---- */

enum {
    PHASES = 500
};

typedef struct phases {
    nnc_barrier barrier;
    int phases;
    long value[MAX_THREADS]; /* written by its own thread, read by all: only the barrier separates the two */
    long wrong[MAX_THREADS];
} phases;

/* In phase k every thread writes k, and after the barrier must read k from all. */
static void work_in_phases(void *arg, int thread, int threads) {
    phases *all = arg;
    for (int k = 1; k <= all->phases; k++) {
        all->value[thread] = k;
        nnc_barrier_wait(&all->barrier, threads);
        for (int i = 0; i < threads; i++)
            all->wrong[thread] += all->value[i] != k;
        nnc_barrier_wait(&all->barrier, threads);
    }
}

static void check_barriers(void) {
    for (int threads = 1; threads <= 8; threads++) {
        begin("barrier of %d threads", threads);
        nnc_set_num_threads(threads);
        phases all = {.phases = repeats(threads <= 2 ? 10 * PHASES : PHASES)};
        nnc_barrier_init(&all.barrier);
        nnc_parallel(work_in_phases, &all, threads, 1);
        for (int i = 0; i < threads; i++) {
            expect(all.value[i] == all.phases, "thread %d has stopped at %ld", i, all.value[i]);
            expect(all.wrong[i] == 0, "thread %d saw %ld numbers of another phase", i, all.wrong[i]);
        }
        end();
    }
}

/* ---- floating point ---- */

static void overflow_in_last(void *arg, int thread, int threads) {
    volatile double *x = arg;
    if (thread == threads - 1)
        x[1] = x[0] * x[0];
}

static void third(void *arg, int thread, int threads) {
    volatile double *x = arg;
    x[thread] = 1.0 / (x[thread] + 3.0 * (threads > 0));
}

/* ---- which core a worker runs on ---- */

#if defined(__linux__)
typedef struct cores {
    int of_caller, of[2], allowed; /* allowed: the number of cores that the worker may use */
} cores;

static void note_core(void *arg, int thread, int threads) {
    cores *seen = arg;
    cpu_set_t allowed;
    seen->of[thread] = sched_getcpu();
    if (thread == 1 && sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        seen->allowed = CPU_COUNT(&allowed);
    for (volatile int i = 0; i < 3000 * threads; i++);
}

/* Moves the worker to its caller's core, then restores its affinity. */
static void move_to_caller(void *arg, int thread, int threads) {
    cores *seen = arg;
    cpu_set_t allowed, one;
    if (thread == 0 || threads != 2 || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    CPU_ZERO(&one);
    CPU_SET(seen->of_caller, &one);
    sched_setaffinity(0, sizeof one, &one);
    sched_setaffinity(0, sizeof allowed, &allowed);
}

/* The time that the cores have been busy and idle, in ticks; 0 where the system does not report it. */
static int read_times(long long *busy, long long *idle) {
    long long user, nice, kernel, resting, disk;
    FILE *file = fopen("/proc/stat", "r");
    const int found = file ? fscanf(file, "cpu %lld %lld %lld %lld %lld", &user, &nice, &kernel, &resting, &disk) : 0;
    if (file)
        fclose(file);
    *busy = found == 5 ? user + nice + kernel : 0;
    *idle = found == 5 ? resting + disk : 0;
    return found == 5;
}

/* Linux wakes a thread on the core where it last ran. Half of the rounds may fail, since the caller may be moved
 * meanwhile; on a busy machine, where no core is better than another, all may. */
static void check_cores(void) {
    enum {
        ROUNDS = 30
    };
    cpu_set_t allowed;
    begin("a worker that is woken on its caller's core leaves it");
    nnc_set_num_threads(2);
    long long busy, idle, busy_before, idle_before;
    const int has_times = read_times(&busy_before, &idle_before);
    int together = 0, count = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    for (int round = 0; round < ROUNDS; round++) {
        cores seen = {.of_caller = sched_getcpu(), .allowed = 0};
        run_on_own_threads(move_to_caller, &seen, 2);
        usleep(8000); /* it falls asleep */
        run_on_own_threads(note_core, &seen, 2);
        together += seen.of[0] == seen.of[1];
        expect(seen.allowed == count, "the worker is allowed %d cores of %d", seen.allowed, count);
    }
    const int is_busy = has_times && read_times(&busy, &idle) && 2 * (busy - busy_before) > idle - idle_before;
    expect(count == 1 || is_busy || together <= ROUNDS / 2, "on one core in %d rounds of %d", together, ROUNDS);
    end();
}
#else
static void check_cores(void) {}
#endif

static void check_floating_point(void) {
    begin("floating-point exceptions of a worker reach the caller");
    nnc_set_num_threads(2);
    for (int i = 0; i < 100; i++) {
        double x[2] = {i % 2 ? DBL_MAX : 1, 0};
        feclearexcept(FE_ALL_EXCEPT);
        run_on_own_threads(overflow_in_last, x, 2);
        int overflow = fetestexcept(FE_OVERFLOW) != 0;
        expect(overflow == i % 2, "round %d: overflow %d", i, overflow);
        expect(!fetestexcept(FE_INVALID | FE_DIVBYZERO), "round %d: other exceptions", i);
    }
    feclearexcept(FE_ALL_EXCEPT);
    end();

    begin("workers use the rounding mode of their caller");
    for (int up = 0; up < 2; up++) {
        double x[2] = {0, 0};
        fesetround(up ? FE_UPWARD : FE_DOWNWARD);
        run_on_own_threads(third, x, 2);
        fesetround(FE_TONEAREST);
        expect((x[1] > 1.0 / 3) == up, "%.20f", x[1]);
        expect(x[0] == x[1], "%.20f and %.20f", x[0], x[1]);
    }
    end();
}

/* ---- several callers ---- */

typedef struct caller {
    pthread_t id;
    int rounds, wrong;
} caller;

static void add_shares(void *arg, int thread, int threads) {
    int *part = arg;
    for (int i = thread; i < MAX_THREADS; i += threads)
        part[i] += i + 1;
}

static void *call_often(void *arg) {
    caller *self = arg;
    for (int i = 0; i < self->rounds; i++) {
        int part[MAX_THREADS] = {0}, sum = 0;
        nnc_parallel(add_shares, part, 1 + i % 5, 1);
        for (int k = 0; k < MAX_THREADS; k++)
            sum += part[k];
        self->wrong += sum != MAX_THREADS * (MAX_THREADS + 1) / 2;
        if (i % 7 == 0)
            nnc_set_num_threads(1 + i % 6); /* while the others work */
    }
    return NULL;
}

static void check_callers(void) {
    begin("several callers at once, which also change the number of threads");
    caller callers[4];
    for (int i = 0; i < 4; i++) {
        callers[i] = (caller){.rounds = repeats(3000)};
        expect(pthread_create(&callers[i].id, NULL, call_often, &callers[i]) == 0, "pthread_create");
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(callers[i].id, NULL);
        expect(callers[i].wrong == 0, "caller %d got %d wrong sums", i, callers[i].wrong);
    }
    end();
}

void check_pool(void) {
    check_shares();
    check_barriers();
    check_cores();
    check_floating_point();
    check_callers();
}

/* ---- forks ---- */

static atomic_int held, released;

static void hold(void *arg, int thread, int threads) {
    (void)arg, (void)thread, (void)threads;
    atomic_store(&held, 1);
    while (!atomic_load(&released))
        usleep(100);
}

static void *hold_pool(void *arg) {
    nnc_parallel(hold, arg, 2, 1);
    return NULL;
}

static void note_team(void *arg, int thread, int threads) {
    int *team = arg;
    if (thread == 0)
        *team = threads;
}

/* The child inherits a pool that is idle, or held by a thread that it does not have, and must start its own. */
void check_pool_in_child(void) {
    nnc_set_num_threads(2);
    for (int busy = 0; busy < 2; busy++) {
        begin("the child of a fork starts its own pool, when its parent's is %s", busy ? "busy" : "idle");
        pthread_t holder;
        int team = 0;
        nnc_parallel(note_team, &team, 2, 1);
        expect(team == 2, "the parent has %d threads", team);
        atomic_store(&held, 0);
        atomic_store(&released, !busy);
        expect(pthread_create(&holder, NULL, hold_pool, NULL) == 0, "pthread_create");
        while (!atomic_load(&held))
            usleep(100);
        if (!busy)
            pthread_join(holder, NULL);
        pid_t child = fork();
        if (child == 0) {
            alarm(timeout(20)); /* instead of waiting for workers that it does not have */
            team = 0;
            nnc_parallel(note_team, &team, 2, 1);
            exit_child(team);
        }
        int status = -1;
        int reaped = child > 0 && waitpid(child, &status, 0) == child;
        expect(reaped && status == 2 << 8, "the child's status is %x", status);
        atomic_store(&released, 1);
        if (busy)
            pthread_join(holder, NULL);
        end();
    }
}

/* ---- where no thread can be started ---- */

/* In a child, since it limits memory so that there is none for a thread's stack. */
void check_pool_without_memory(void) {
    begin("where no thread can be started the caller does all the work");
    pid_t child = fork();
    if (child == 0) {
        alarm(timeout(20));
        struct rlimit usual, none;
        int team = 1;
        nnc_set_num_threads(8);
        getrlimit(RLIMIT_AS, &usual);
        none = (struct rlimit){1 << 20, usual.rlim_max};
        setrlimit(RLIMIT_AS, &none);
        /* An emulator may ignore the limit. */
        if (mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            nnc_parallel(note_team, &team, 8, 1);
        setrlimit(RLIMIT_AS, &usual);
        exit_child(team == 1 ? 0 : 10 + team);
    }
    int status = -1;
    expect(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the child's status is %x", status);
    end();
}

/* Each worker requests memory and a thread; the first request of all registers a function to be called after a fork. */
void check_pool_refused(void) {
    begin("if a request fails, fewer threads do the work, and the next time all of them");
    static const int teams[] = {1, 1, 1, 2, 2};
    for (int n = 1; can_fail() && n <= 5; n++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(timeout(20));
            int team = 0, next_team = 0;
            nnc_set_num_threads(3);
            fail_request(n);
            nnc_parallel(note_team, &team, 3, 1);
            const int failed = request_failed();
            nnc_parallel(note_team, &next_team, 3, 1);
            exit_child(!failed ? 100 : next_team == 3 ? team
                                                      : 10 + next_team);
        }
        int status = -1;
        expect(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                   WEXITSTATUS(status) == teams[n - 1],
               "request %d: the child's status is %x", n, status);
    }
    expect(1, "a check needs one, and here none may be possible");
    end();
}

/* ---- the processor ---- */

#if defined(__x86_64__)
/* Whether Linux lists a flag; it leaves out those whose registers it does not save. */
static int linux_lists(const char *flag) {
    char line[8192], wanted[40];
    int found = 0;
    FILE *info = fopen("/proc/cpuinfo", "r");
    snprintf(wanted, sizeof wanted, " %s ", flag);
    while (info != NULL && !found && fgets(line, sizeof line, info) != NULL)
        if (strncmp(line, "flags", 5) == 0) {
            line[strcspn(line, "\n")] = ' ';
            found = strstr(line, wanted) != NULL;
        }
    if (info != NULL)
        fclose(info);
    return found;
}
#endif

void check_machine(void) {
    begin("the machine");
#if defined(__x86_64__)
    int avx2 = linux_lists("avx2") && linux_lists("fma");
    int avx512 = avx2 && linux_lists("avx512f") && linux_lists("avx512vl") && linux_lists("avx512dq") &&
                 linux_lists("avx512bw");
    expect(nnc_cpu_has_avx2() == avx2, "AVX2 is %d, but Linux says %d", nnc_cpu_has_avx2(), avx2);
    expect(nnc_cpu_has_avx512() == avx512, "AVX-512 is %d, but Linux says %d", nnc_cpu_has_avx512(), avx512);
#endif
    ptrdiff_t l1d = nnc_cpu_l1d(), l2 = nnc_cpu_l2(), l3 = nnc_cpu_l3();
    expect(l1d >= 8 << 10 && l1d <= 1 << 20, "an L1 cache of %td bytes", l1d);
    expect(l2 > l1d && l2 <= 1 << 28, "an L2 cache of %td bytes", l2);
    expect(l3 >= 1 << 20, "an L3 cache of %td bytes", l3);

    int isas = 0;
    while (nnc_available_isa(isas) != NULL)
        isas++;
    expect(isas >= 1 && isas <= 4, "%d instruction sets", isas);
    for (int i = 0; i < isas; i++) {
        expect(nnc_set_isa(nnc_available_isa(i)) == NNC_OK, "%s can't be chosen", nnc_available_isa(i));
        expect(strcmp(nnc_get_isa(), nnc_available_isa(i)) == 0, "%s is chosen, %s is used", nnc_available_isa(i),
               nnc_get_isa());
    }
    expect(nnc_set_isa("mmx") == NNC_ERR_ISA, "mmx is accepted");
    expect(nnc_set_isa("") == NNC_ERR_ISA, "an empty name is accepted");
    expect(strcmp(nnc_get_isa(), nnc_available_isa(isas - 1)) == 0, "a refused isa has an effect");
    expect(nnc_set_isa(NULL) == NNC_OK && strcmp(nnc_get_isa(), nnc_available_isa(isas - 1)) == 0,
           "the widest is not the default");

    for (int i = NNC_OK; i <= NNC_INTERRUPTED + 1; i++) {
        const char *message = nnc_status_message((nnc_status)i);
        expect(message != NULL && strlen(message) > 4 && message[strlen(message) - 1] != '.', "status %d", i);
        for (int j = NNC_OK; j < i; j++)
            expect(strcmp(message, nnc_status_message((nnc_status)j)) != 0, "statuses %d and %d: one message", j, i);
    }
    end();
}
