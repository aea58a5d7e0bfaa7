/* net.h - a network in scalar double arithmetic, one example at a time: the reference for the engine's training. */
#ifndef NNC_TESTS_NET_H
#define NNC_TESTS_NET_H

#include "../../csrc/nnc.h"

enum {
    NET_LAYERS = 5
};

typedef struct net_shape {
    ptrdiff_t layers, sizes[NET_LAYERS + 1];
    nnc_activation activation[NET_LAYERS]; /* of the hidden layers */
    double slope;
} net_shape;

typedef struct net {
    net_shape shape;
    double *W[NET_LAYERS], *b[NET_LAYERS];          /* the parameters w */
    double *dW[NET_LAYERS], *db[NET_LAYERS];        /* dJ/dw, accumulated */
    double *vW[NET_LAYERS], *vb[NET_LAYERS];        /* the velocity */
    double *a[NET_LAYERS + 1], *dz[NET_LAYERS + 1]; /* of the last example; a[0] is x, a[layers] is P */
    double *memory;
} net;

ptrdiff_t net_parameters(const net_shape *shape);
void net_open(net *net, const net_shape *shape);
void net_close(net *net);

/* Section 10: forward into net->a; the loss of targets y; its gradient times `scale` added to dW and db. */
void net_forward(net *net, const double *x);
double net_loss(const net *net, const double *y);
void net_backward(net *net, const double *y, double scale);
/* v <- momentum v + dJ/dw, w <- w - lr v, dJ/dw <- 0 */
void net_update(net *net, double lr, double momentum);

#endif
