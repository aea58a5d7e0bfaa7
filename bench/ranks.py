"""The speed-up of data-parallel training, by a model: latency, bandwidth, and what a step computes.

T(N) = r / N · F / R + 2 log2(N) α + 2 (N - 1) / N · n / β + 3 n / β_memory, for a batch of r examples on N ranks;
docs/tutorials/mpi.md explains it, and has the table that this prints.
"""

import math

SIZES = [784, 200, 10]
RATE = 200e9  # floating-point operations a second of a thread
LATENCY, BANDWIDTH, MEMORY = 2e-6, 10e9, 40e9  # seconds, bytes a second between ranks, in a core
RANKS = [2, 4, 8, 16, 32, 64, 128, 1024]
BATCHES = [64, 512, 4096, 65536]


def step(batch, ranks):
    """Seconds. One process alone adds its gradient to the weights, and has no pass over them."""
    products = list(zip(SIZES, SIZES[1:], strict=False))
    numbers = sum(n * (m + 1) for m, n in products)
    flop = 4 * numbers + 2 * sum(m * n for m, n in products[1:])  # of an example; dX of the first layer is not needed
    compute = math.ceil(batch / ranks) * flop / RATE
    if ranks == 1:
        return compute
    exchange = 2 * math.log2(ranks) * LATENCY + 2 * (ranks - 1) / ranks * 4 * numbers / BANDWIDTH
    return compute + exchange + 3 * 4 * numbers / MEMORY


def rows():
    for batch in BATCHES:
        cells = [f"{step(batch, 1) / step(batch, ranks):.1f}" for ranks in RANKS]
        yield f"| {batch:,} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print("\n".join(rows()))
