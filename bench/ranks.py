"""Data-parallel training: the time of a step on the ranks of MPI, measured, and a model of it for many ranks.

    mpiexec -n 2 python -m bench.ranks [batch size ...]

T(N) = r(N) F / R + s + 2 log2(N) α + 2 (N - 1) / N · n / β, where the busiest of N ranks has r(N) examples of a batch;
docs/tutorials/mpi.md explains it, and has the tables that this program prints on one rank.
"""

import math
import statistics
import sys
import time

import numpy as np

SMALL, DEEP = (784, 200, 10), (784, 1000, 1000, 1000, 10)
RATE, MEMORY = 150e9, 40e9  # of a thread: floating-point operations and bytes of the optimizer's pass a second
RANKS = [2, 4, 8, 16, 32, 64, 128, 1024]
NETWORKS = {  # latency in seconds, bytes a second
    "100 Gbit/s, 2 µs": (2e-6, 12.5e9),
    "10 Gbit/s, 20 µs": (20e-6, 1.25e9),
    "1 Gbit/s, 100 µs": (100e-6, 0.125e9),
}


def largest_share(batch, ranks):
    """Approximate number of examples of the busiest rank: the shuffle distributes them at random, so this is the
    largest of N nearly normal numbers."""
    mean = batch / ranks
    return min(batch, mean + math.sqrt(2 * math.log(ranks) * mean * (1 - 1 / ranks)))


def step(sizes, batch, ranks, latency, bandwidth, overlap=False):
    """Seconds. With `overlap` a layer's gradient is summed during the backward pass of the layers below."""
    products = [m * n for m, n in zip(sizes, sizes[1:], strict=False)]
    r, n = largest_share(batch, ranks), sum(products) + sum(sizes[1:])
    flop = [4 * k for k in products[1:]]  # backward, of an example; the first layer needs no dX
    compute = r * (2 * sum(products) + sum(flop) + 2 * products[0]) / RATE + 3 * 4 * n / MEMORY
    if ranks == 1:
        return compute
    exchange = 2 * math.log2(ranks) * latency + 2 * (ranks - 1) / ranks * 4 * n / bandwidth
    below = r * (sum(flop[:-1]) + 2 * products[0]) / RATE  # the backward pass after the last layer's
    return compute + exchange - overlap * min(exchange * (1 - products[0] / n), below)


def row(sizes, batch, network, **options):
    """The speed-up over one rank."""
    alone = step(sizes, batch, 1, *network)
    return " | ".join(f"{alone / step(sizes, batch, ranks, *network, **options):.1f}" for ranks in RANKS) + " |"


def tables():
    ruler = "|---|---|" + "---|" * len(RANKS)
    ranks = " | ".join(f"{ranks:,}" for ranks in RANKS)
    yield from (f"| batch | ranks: | {ranks} |", ruler)
    for batch in (64, 512, 4096, 65536):
        for name, network in NETWORKS.items():
            yield f"| {batch:,} | {name} | {row(SMALL, batch, network)}"
    yield from ("", f"| batch | ranks: | {ranks} |", ruler)
    for batch in (512, 4096):
        for name, overlap in (("one sum at the end", False), ("overlapped", True)):
            yield f"| {batch:,} | {name} | {row(DEEP, batch, NETWORKS['10 Gbit/s, 20 µs'], overlap=overlap)}"


def measured(comm, batch):
    """Seconds of a step, of its sum, and of waiting for the slower ranks before that: the best and the median epoch."""
    from mpi4py import MPI

    import nnc

    class Timed(MPI.Intracomm):
        """The same communicator, with a clock."""

        waited = summed = 0.0

        def Allreduce(self, *arguments):
            start = time.perf_counter()
            self.Barrier()
            started = time.perf_counter()
            super().Allreduce(*arguments)
            Timed.waited += started - start
            Timed.summed += time.perf_counter() - started

    nnc.set_num_threads(1)
    rng, r = np.random.default_rng(comm.rank), 40 * batch // comm.size
    X, y = rng.random((r, SMALL[0]), dtype=np.float32), rng.integers(0, SMALL[-1], r)
    epochs = []

    def note(epoch, history):
        steps = -(-r * comm.size // batch)
        epochs.append([seconds / steps for seconds in (history.seconds[-1], Timed.summed, Timed.waited)])
        Timed.summed = Timed.waited = 0.0

    nnc.MLP(SMALL, seed=0).fit(X.T, y, epochs=20, batch_size=batch, callback=note, progress=False, comm=Timed(comm))
    return min(epochs), [statistics.median(column) for column in zip(*epochs, strict=True)]


def main():
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    for batch in map(int, sys.argv[1:] or [64, 512, 4096]):
        best, middle = measured(comm, batch)
        all_ranks = comm.gather((best, middle))
        if comm.rank == 0:
            step, summed, waited = (1e6 * max(column) for column in zip(*(best for best, _ in all_ranks), strict=True))
            print(f"{comm.size} ranks, batch {batch}: a step {step:.0f} µs (median {1e6 * all_ranks[0][1][0]:.0f}), of "
                  f"which the sum {summed:.0f} and waiting for the slower rank {waited:.0f}", flush=True)
    if comm.rank == 0 and comm.size == 1:
        print("\n".join(tables()))


if __name__ == "__main__":
    main()
