/* together.c - several threads inside the engine at once; a fork while another thread is inside. */
#define _GNU_SOURCE

#include "../../csrc/nnc.h"
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    N = 150,
    M = 200,
    R = 320,
    CLASSES = 10,
    PARAMETERS = CLASSES * (N + 1) + N * (M + 1)
};

/* Work large enough to be shared: linear, tanh, softmax, an epoch of training */
typedef struct work {
    float W[N * M], X[M * R], b[N];
    float Z[N * R], P[N * R], parameters[PARAMETERS];
} work;

static void prepare(work *w) {
    for (int i = 0; i < N * M; i++)
        w->W[i] = (float)(i * 31 % 101 - 50) / 500;
    for (int i = 0; i < M * R; i++)
        w->X[i] = (float)(i * 37 % 97 - 48) / 48;
    for (int i = 0; i < N; i++)
        w->b[i] = (float)i / N;
}

static nnc_status do_work(work *w) {
    static const ptrdiff_t sizes[] = {M, N, CLASSES};
    static const nnc_activation relu = NNC_RELU;
    static const float mean = 0, std = 1;
    ptrdiff_t y[R];
    float *W[] = {w->parameters, w->parameters + N * M}, *b[] = {W[1] + CLASSES * N, W[1] + CLASSES * N + N};
    nnc_mlp_f32 net = {2, sizes, &relu, 0, W, b, &mean, &std, 0, 0, NNC_CROSS_ENTROPY};
    nnc_examples X = {w->X, NNC_F32, M, R, 1, M};
    nnc_fit_options options = {
        .batch_size = 32, .optimizer = NNC_MOMENTUM, .lr = 0.01, .beta1 = 0.5, .shuffle = 1, .seed = 1};
    nnc_fit_f32 *fit;
    nnc_epoch result;
    for (int i = 0; i < R; i++)
        y[i] = i % CLASSES;
    for (int i = 0; i < PARAMETERS; i++)
        w->parameters[i] = (float)(i * 29 % 103 - 51) / 500;

    const nnc_matrix_f32 Z = nnc_rows_f32(w->Z, N, R);
    NNC_TRY(nnc_linear_forward_f32(Z, nnc_rows_f32(w->W, N, M), nnc_transposed_f32(nnc_rows_f32(w->X, R, M)),
                                   nnc_rows_f32(w->b, N, 1)));
    NNC_TRY(nnc_tanh_forward_f32(Z, Z));
    NNC_TRY(nnc_softmax_forward_f32(nnc_rows_f32(w->P, N, R), Z));
    NNC_TRY(nnc_fit_open_f32(&fit, &net, &X, &(nnc_targets_f32){.labels = y}, NULL, &options));
    nnc_status status = nnc_fit_epoch_f32(fit, &result);
    nnc_fit_close_f32(fit);
    return status;
}

static int same(const work *a, const work *b) {
    return memcmp(a->Z, b->Z, sizeof a->Z) == 0 && memcmp(a->P, b->P, sizeof a->P) == 0 &&
           memcmp(a->parameters, b->parameters, sizeof a->parameters) == 0;
}

static work right, *spare[4];
static atomic_int stop;

typedef struct caller {
    pthread_t id;
    work *own;
    int rounds, wrong; /* rounds 0: until `stop` is set */
} caller;

static void *call(void *arg) {
    caller *self = arg;
    for (int i = 0; self->rounds == 0 ? !atomic_load(&stop) : i < self->rounds; i++)
        self->wrong += do_work(self->own) != NNC_OK || !same(self->own, &right);
    return NULL;
}

static void start_callers(caller *callers, int count, int rounds) {
    for (int i = 0; i < count; i++) {
        if (spare[i] == NULL && (spare[i] = malloc(sizeof *spare[i])) == NULL)
            exit(2);
        prepare(spare[i]);
        callers[i] = (caller){.own = spare[i], .rounds = rounds};
        expect(pthread_create(&callers[i].id, NULL, call, &callers[i]) == 0, "pthread_create");
    }
}

static void join_callers(caller *callers, int count) {
    for (int i = 0; i < count; i++) {
        pthread_join(callers[i].id, NULL);
        expect(callers[i].wrong == 0, "caller %d: %d wrong results", i, callers[i].wrong);
    }
}

void check_together(void) {
    caller callers[4];
    begin("four threads inside the engine at once");
    prepare(&right);
    nnc_set_num_threads(1);
    expect(do_work(&right) == NNC_OK, "one thread");
    nnc_set_num_threads(2);
    start_callers(callers, 4, repeats(30));
    join_callers(callers, 4);
    end();
}

void check_fork(void) {
    caller callers[2];
    begin("a fork while other threads are inside the engine: the child works, the parent goes on");
    atomic_store(&stop, 0);
    start_callers(callers, 2, 0);
    for (int i = 0; i < repeats(20); i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(timeout(60)); /* instead of hanging */
            static work own;
            prepare(&own);
            nnc_set_num_threads(1 + i % 4);
            int wrong = do_work(&own) != NNC_OK || !same(&own, &right);
            pid_t grandchild = fork();
            if (grandchild == 0)
                exit_child(do_work(&own) != NNC_OK || !same(&own, &right));
            int status = -1;
            waitpid(grandchild, &status, 0);
            exit_child(wrong ? 10 : status != 0 ? 11
                                                : 0);
        }
        int status = -1;
        expect(child > 0 && waitpid(child, &status, 0) == child && status == 0, "child %d: status %x", i, status);
    }
    atomic_store(&stop, 1);
    join_callers(callers, 2);
    end();
}
