"""The process that one peer is measured in (started by peers.Process): sets the work up, then measures on request."""

import importlib
import json
import os
import statistics
import sys
import time


def measure(run, budget):
    """Seconds of one run, [best, median], sampled for `budget` seconds; a sample is long enough for the clock."""
    count = 1
    while True:
        start = time.perf_counter()
        for _ in range(count):
            run()
        seconds = time.perf_counter() - start
        if seconds > 1e-4:
            break
        count *= 4
    samples = [seconds / count]
    end = time.perf_counter() + budget - seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(count):
            run()
        samples.append((time.perf_counter() - start) / count)
    return [min(samples), statistics.median(samples)]


def main(peer, work, threads, dtype, folder, size):
    threads = int(threads)
    if hasattr(os, "sched_setaffinity"):  # before any library starts its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                         # keep what a library prints out of the answers
    module = importlib.import_module(f"bench.{work}")
    runs = dict(module.RUNS[peer](threads, dtype, folder, size == "quick"))
    for run in runs.values():             # compilers that work at the first call do so here
        run()
    print(json.dumps(list(runs)), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps({case: measure(run, float(line)) for case, run in runs.items()}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
