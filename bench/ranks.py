"""Data-parallel training: what one step takes on the ranks of MPI, measured, beside a model of it for many ranks.

    mpiexec -n 2 python -m bench.ranks [batch size]

T(N) = r(N) t + s + 2 log2(N) α + 2 (N - 1) / N · n / β, where the busiest of N ranks has r(N) examples of a batch;
docs/tutorials/mpi.md explains it, and has the table that this prints on one rank.
"""

import math
import statistics
import sys
import time

import numpy as np

SIZES = [784, 200, 10]
NUMBERS = sum(n * (m + 1) for m, n in zip(SIZES, SIZES[1:], strict=False))
EXAMPLE, PASS = 4.2e-6, 50e-6  # seconds: of one example on one thread; the optimizer's pass over the weights
RANKS = [2, 4, 8, 16, 32, 64, 128, 1024]
BATCHES = [64, 512, 4096, 65536]
NETWORKS = {  # name: latency in seconds, bytes a second between two ranks
    "shared memory": (1e-6, 10e9),
    "100 Gbit/s, 2 µs": (2e-6, 12.5e9),
    "10 Gbit/s, 20 µs": (20e-6, 1.25e9),
    "1 Gbit/s, 100 µs": (100e-6, 0.125e9),
}


def largest_share(batch, ranks):
    """Examples of the busiest rank, about: the shuffle deals a batch out at random (the largest of so many nearly
    normal numbers)."""
    mean = batch / ranks
    return mean + math.sqrt(2 * math.log(ranks) * mean * (1 - 1 / ranks))


def step(batch, ranks, latency, bandwidth, overlap=0.0):
    """Seconds. `overlap` is the part of the sum that goes on during the backward pass, which is a third of the rest."""
    compute = largest_share(batch, ranks) * EXAMPLE
    if ranks == 1:
        return compute + PASS
    exchange = 2 * math.log2(ranks) * latency + 2 * (ranks - 1) / ranks * 4 * NUMBERS / bandwidth
    return compute + PASS + exchange - min(overlap * exchange, compute / 3)


def rows():
    """Of the model, the speed-up over one rank."""
    yield "| batch | network | " + " | ".join(f"{ranks:,}" for ranks in RANKS) + " |"
    yield "|---|---|" + "---|" * len(RANKS)
    for batch in BATCHES:
        for name, network in NETWORKS.items():
            cells = [f"{step(batch, 1, *network) / step(batch, ranks, *network):.1f}" for ranks in RANKS]
            yield f"| {batch:,} | {name} | " + " | ".join(cells) + " |"


def measured(comm, batch):
    """Seconds of a step, of its sum, and of waiting for the slower ranks before that: the best and the median epoch."""
    from mpi4py import MPI

    import nnc

    class Watched(MPI.Intracomm):
        """The same communicator, with a clock."""

        waited = summed = 0.0

        def Allreduce(self, *arguments):
            start = time.perf_counter()
            self.Barrier()
            met = time.perf_counter()
            super().Allreduce(*arguments)
            Watched.waited += met - start
            Watched.summed += time.perf_counter() - met

    nnc.set_num_threads(1)
    rng, r = np.random.default_rng(comm.rank), 40 * batch // comm.size
    X, y = rng.random((r, SIZES[0]), dtype=np.float32), rng.integers(0, SIZES[-1], r)
    epochs = []

    def note(epoch, history):
        steps = -(-r * comm.size // batch)
        epochs.append([seconds / steps for seconds in (history.seconds[-1], Watched.summed, Watched.waited)])
        Watched.summed = Watched.waited = 0.0

    nnc.MLP(SIZES, seed=0).fit(X.T, y, epochs=20, batch_size=batch, callback=note, progress=False, comm=Watched(comm))
    return min(epochs), [statistics.median(column) for column in zip(*epochs, strict=True)]


def main():
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    for batch in map(int, sys.argv[1:] or [64, 512, 4096]):
        best, middle = measured(comm, batch)
        everyone = comm.gather((best, middle))
        if comm.rank == 0:
            step, summed, waited = (1e6 * max(column) for column in zip(*(best for best, _ in everyone), strict=True))
            print(f"{comm.size} ranks, batch {batch}: a step {step:.0f} µs (median {1e6 * everyone[0][1][0]:.0f}), of "
                  f"which the sum {summed:.0f} and waiting for the slower rank {waited:.0f}", flush=True)
    if comm.rank == 0 and comm.size == 1:
        print("\n".join(rows()))


if __name__ == "__main__":
    main()
