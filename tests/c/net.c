/* net.c - see net.h. Written to be checked by eye against the derivation, not to be fast. */
#include "net.h"
#include "check.h"

#include <math.h>
#include <stdlib.h>

static double activate(const net_shape *shape, nnc_activation f, double z) {
    switch (f) {
    case NNC_IDENTITY:
    case NNC_ACTIVATIONS: break; /* the number of activations */
    case NNC_RELU: return z > 0 ? z : 0;
    case NNC_LEAKY_RELU: return z > 0 ? z : shape->slope * z;
    case NNC_SIGMOID: return 1 / (1 + exp(-z));
    case NNC_TANH: return tanh(z);
    }
    return z;
}

/* f'(z) from a = f(z) */
static double slope_at(const net_shape *shape, nnc_activation f, double a) {
    switch (f) {
    case NNC_IDENTITY:
    case NNC_ACTIVATIONS: break;
    case NNC_RELU: return a > 0;
    case NNC_LEAKY_RELU: return a > 0 ? 1 : shape->slope;
    case NNC_SIGMOID: return a * (1 - a);
    case NNC_TANH: return 1 - a * a;
    }
    return 1;
}

ptrdiff_t net_parameters(const net_shape *shape) {
    ptrdiff_t count = 0;
    for (ptrdiff_t l = 0; l < shape->layers; l++)
        count += shape->sizes[l + 1] * (shape->sizes[l] + 1);
    return count;
}

void net_open(net *net, const net_shape *shape) {
    ptrdiff_t units = 0, layers = shape->layers;
    for (ptrdiff_t l = 0; l <= layers; l++)
        units += shape->sizes[l];
    double *next = calloc((size_t)(3 * net_parameters(shape) + 2 * units), sizeof *next);
    if (next == NULL)
        exit(2);
    net->shape = *shape;
    net->memory = next;
    double **const matrices[] = {net->W, net->dW, net->vW}, **const vectors[] = {net->b, net->db, net->vb};
    for (int i = 0; i < 3; i++)
        for (ptrdiff_t l = 0; l < layers; l++) {
            matrices[i][l] = next;
            vectors[i][l] = next += shape->sizes[l + 1] * shape->sizes[l];
            next += shape->sizes[l + 1];
        }
    for (ptrdiff_t l = 0; l <= layers; l++) {
        net->a[l] = next;
        net->dz[l] = next += shape->sizes[l];
        next += shape->sizes[l];
    }
}

void net_close(net *net) {
    free(net->memory);
}

void net_forward(net *net, const double *x) {
    const net_shape *shape = &net->shape;
    for (ptrdiff_t k = 0; k < shape->sizes[0]; k++)
        net->a[0][k] = x[k];
    for (ptrdiff_t l = 0; l < shape->layers; l++) {
        ptrdiff_t n = shape->sizes[l + 1], m = shape->sizes[l];
        int last = l == shape->layers - 1;
        for (ptrdiff_t j = 0; j < n; j++) {
            double z = net->b[l][j];
            for (ptrdiff_t k = 0; k < m; k++)
                z += net->W[l][j * m + k] * net->a[l][k];
            net->a[l + 1][j] = last ? z : activate(shape, shape->activation[l], z);
        }
    }
    double *P = net->a[shape->layers], max = -INFINITY, sum = 0;
    for (ptrdiff_t j = 0; j < shape->sizes[shape->layers]; j++)
        max = fmax(max, P[j]);
    for (ptrdiff_t j = 0; j < shape->sizes[shape->layers]; j++)
        sum += P[j] = exp(P[j] - max);
    for (ptrdiff_t j = 0; j < shape->sizes[shape->layers]; j++)
        P[j] /= sum;
}

double net_loss(const net *net, const double *y) {
    double loss = 0;
    for (ptrdiff_t j = 0; j < net->shape.sizes[net->shape.layers]; j++)
        loss -= y[j] == 0 ? 0 : y[j] * log(net->a[net->shape.layers][j]);
    return loss;
}

void net_backward(net *net, const double *y, double scale) {
    const net_shape *shape = &net->shape;
    for (ptrdiff_t j = 0; j < shape->sizes[shape->layers]; j++)
        net->dz[shape->layers][j] = (net->a[shape->layers][j] - y[j]) * scale; /* eq. 10.1 */
    for (ptrdiff_t l = shape->layers - 1; l >= 0; l--) {
        ptrdiff_t n = shape->sizes[l + 1], m = shape->sizes[l];
        const double *dz = net->dz[l + 1];
        for (ptrdiff_t j = 0; j < n; j++) {
            net->db[l][j] += dz[j]; /* eq. 11.7 */
            for (ptrdiff_t k = 0; k < m; k++)
                net->dW[l][j * m + k] += dz[j] * net->a[l][k]; /* eq. 11.5 */
        }
        for (ptrdiff_t k = 0; l > 0 && k < m; k++) {
            double da = 0;
            for (ptrdiff_t j = 0; j < n; j++)
                da += net->W[l][j * m + k] * dz[j];
            net->dz[l][k] = da * slope_at(shape, shape->activation[l - 1], net->a[l][k]);
        }
    }
}

void net_update(net *net, double lr, double momentum) {
    ptrdiff_t count = net_parameters(&net->shape); /* w, dJ/dw and v lie in memory one after the other */
    double *w = net->memory, *dw = w + count, *v = dw + count;
    for (ptrdiff_t i = 0; i < count; i++) {
        v[i] = momentum * v[i] + dw[i];
        w[i] -= lr * v[i]; /* eq. 6.3 */
        dw[i] = 0;
    }
}

void check_net(void) {
    begin("the scalar network's gradient compared with central differences of its loss");
    for (int activation = NNC_IDENTITY; activation < NNC_ACTIVATIONS; activation++) {
        nnc_activation f = (nnc_activation)activation;
        net_shape shape = {.layers = 3, .sizes = {4, 5, 6, 3}, .activation = {f, f}, .slope = 0.3};
        double x[4], y[3] = {0.2, 0.7, 0.1};
        net net;
        net_open(&net, &shape);
        for (ptrdiff_t i = 0; i < net_parameters(&shape); i++)
            net.memory[i] = uniform();
        for (int i = 0; i < 4; i++)
            x[i] = uniform();
        net_forward(&net, x);
        net_backward(&net, y, 1);
        for (ptrdiff_t i = 0; i < net_parameters(&shape); i++) {
            double h = 1e-5, w = net.memory[i], J[2], gradient = net.memory[net_parameters(&shape) + i];
            for (int side = 0; side < 2; side++) {
                net.memory[i] = side ? w + h : w - h;
                net_forward(&net, x);
                J[side] = net_loss(&net, y);
            }
            net.memory[i] = w;
            /* Central differences are off by h^2 times a third derivative of the order of 1, and by U / h. */
            expect(fabs((J[1] - J[0]) / (2 * h) - gradient) < 1e-8, "activation %d, parameter %td: %.10g and %.10g",
                   activation, i, (J[1] - J[0]) / (2 * h), gradient);
        }
        net_close(&net);
    }
    end();
}
