"""How many threads a step of training is worth, by the model in csrc/runtime/worth.c, for more cores than this
machine has: `python -m bench.threads`. If it has two cores, measurements are printed, too.

T(t) = work / t + barriers (t + 40) L + lines (t - 1) / t L / 8, L the time of a message from core to core.
"""

import time
from itertools import pairwise

import numpy as np

from . import core_to_core

NETS = {"64-64-10": (64, 64, 10), "784-200-10": (784, 200, 10), "784-1000-1000-10": (784, 1000, 1000, 10)}
BATCHES = (1, 16, 64, 512)
CHUNK = 128  # examples; a batch is divided into chunks
# Nanoseconds of a message: cores that share a cache, parts of one processor, two sockets
LATENCY = {"8 cores": (8, 60), "32 cores": (32, 100), "128 cores": (128, 180), "two sockets of 64": (128, 400)}
FLOP, BYTES = 16 * 16, 64  # a nanosecond, of one core with AVX-512


def work(sizes, batch):
    """Nanoseconds on one thread, barriers, and cache lines that all threads read, for a chunk in float32."""
    r = min(batch, CHUNK)
    products = sum(n * m for m, n in pairwise(sizes))
    lines = sum(n + k for n, k in pairwise(sizes[1:])) * r * 4 / 64
    return 6 * products * r / FLOP + 4 * (products + sum(sizes[1:])) * 2 / BYTES, 2 * (len(sizes) - 1) - 1, lines


def seconds(sizes, batch, threads, latency):
    alone, barriers, lines = work(sizes, batch)
    if threads == 1:
        return alone
    return alone / threads + latency * (barriers * (threads + 40) + lines * (threads - 1) / threads / 8)


def best(sizes, batch, cores, latency):
    """(threads, how many times as fast as one); more than one only where they save 15 %"""
    alone = seconds(sizes, batch, 1, latency)
    least, threads = min((seconds(sizes, batch, t, latency), t) for t in range(2, cores + 1))
    return (threads, alone / least) if least < 0.85 * alone else (1, 1.0)


def rows():
    yield "| net, batch | KB exchanged, barriers | " + " | ".join(LATENCY) + " |"
    yield "| --- | ---: |" + " ---: |" * len(LATENCY)
    for name, sizes in NETS.items():
        for batch in BATCHES:
            _, barriers, lines = work(sizes, batch)
            cells = ["{} ({:.1f}×)".format(*best(sizes, batch, *machine)) for machine in LATENCY.values()]
            yield f"| {name}, {batch} | {lines / 16:.1f}, {barriers} | " + " | ".join(cells) + " |"


def measured(sizes, batch):
    """Nanoseconds of a step on one thread and on two, the least of many short epochs."""
    import nnc

    count = max(batch, 512)
    X, y = np.random.default_rng(0).random((count, sizes[0]), np.float32), np.arange(count) % sizes[-1]
    net, found = nnc.MLP(sizes, seed=0), {1: np.inf, 2: np.inf}
    for _ in range(20):
        for threads in found:
            nnc.set_num_threads(threads)
            start = time.perf_counter()
            net.fit(X.T, y, epochs=2, batch_size=batch, progress=False)
            found[threads] = min(found[threads], (time.perf_counter() - start) / (2 * -(-count // batch)) * 1e9)
    return found


def main():
    print("\n".join(rows()))
    latency = core_to_core.seconds(2) * 1e9
    if not latency:
        return
    print(f"\nHere, {latency:.0f} ns from core to core; microseconds of a step, and what two threads gain")
    for name, sizes in NETS.items():
        for batch in BATCHES[:3]:
            found, alone = measured(sizes, batch), seconds(sizes, batch, 1, latency)
            ratio = max(1, alone / seconds(sizes, batch, 2, latency)) if best(sizes, batch, 2, latency)[0] > 1 else 1
            print(f"{name}, {batch}: model {alone / 1e3:.1f}, {ratio:.2f}×; "
                  f"measured {found[1] / 1e3:.1f}, {found[1] / found[2]:.2f}×")


if __name__ == "__main__":
    main()
