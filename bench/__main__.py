"""Runs every peer that is installed on the same work, in one run, and prints the figures as tables.

    python -m bench [--quick] [--only epoch matmul ...] [--threads 1 2] [--write]
"""

import argparse
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import nnc

from . import core_to_core, pictures, report
from .peers import PEERS, ROOT, Process, installed

WORKS = ("epoch", "matmul", "elementwise", "small", "graph", "hvp", "overhead", "growth", "predict",
         "estimators")
REST = 0.3  # seconds between two peers, for the threads of the first to stop spinning


def prepare_images(folder, quick):
    """60,000 images as rows, uint8, for every process to load: Fashion-MNIST, or else the digits repeated."""
    try:
        (X, y), _ = nnc.data.fashion_mnist()
        name = "Fashion-MNIST"
    except (OSError, ValueError):
        (X, y), _ = nnc.data.digits()
        name = "the bundled digits, repeated"
    if quick:
        X, y = X[:4000], y[:4000]
    repeat = -(-(4000 if quick else 60000) // len(X))
    np.save(folder / "X.npy", np.tile(X.reshape(len(X), -1), (repeat, 1))[: 4000 if quick else 60000])
    np.save(folder / "y.npy", np.tile(y.astype(np.int64), repeat)[: 4000 if quick else 60000])
    return name


def compete(name, dtype, threads, folder, quick):
    """Rounds of all peers in turn. Returns Results; a peer that fails is left out, with a message."""
    work = importlib.import_module(f"bench.{name}")
    tasks = [(peer, name) for peer in work.RUNS if installed(peer)]
    if hasattr(work, "flop"):
        tasks.append(("peak", "peak"))
    options = {"threads": threads, "dtype": dtype, "folder": folder, "quick": quick}
    processes, rounds = [], {}

    def ask(process, method, *arguments):
        """The process's answer; {} if it fails, after which the peer is left out."""
        try:
            return method(*arguments)
        except (RuntimeError, OSError) as reason:
            print(f"{PEERS[process.name].title} is left out: {reason}")
            processes.remove(process)
            rounds.pop(process.name, None)
            process.close()
            return {}

    for peer, task in tasks:
        # One at a time, because the setup uses all cores, too.
        processes.append(Process(peer, task, **options))
        ask(processes[-1], processes[-1].ready)
    count = 1 if quick else work.ROUNDS
    before = core_to_core.seconds(threads)
    for i in range(count):
        print(f"round {i + 1} of {count}", file=sys.stderr, flush=True)
        for process in list(processes):
            time.sleep(REST)
            budget = 0.2 if process.name == "peak" else work.BUDGET
            for case, seconds in ask(process, process.round, budget / 10 if quick else budget).items():
                rounds.setdefault(process.name, {}).setdefault(case, []).append(seconds)
    distance = core_to_core.note(before, core_to_core.seconds(threads))
    for process in processes:
        process.close()
    return report.Results(work, dtype, threads, rounds, distance)


def main():
    parser = argparse.ArgumentParser("python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only check that everything works: little work, one round")
    parser.add_argument("--only", nargs="+", choices=WORKS, default=WORKS, metavar="WORK", help=" ".join(WORKS))
    parser.add_argument("--threads", nargs="+", type=int, metavar="N", help="default: 1, and all cores")
    parser.add_argument("--write", action="store_true", help="put tables and pictures into the README files")
    options = parser.parse_args()
    if options.write and (options.quick or options.only != WORKS):
        parser.error("--write needs a whole run: leave out --quick and --only")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    counts = options.threads or sorted({1, cores})

    missing = [peer.title for name, peer in PEERS.items() if not installed(name)]
    if missing:
        print(f"Not installed: {', '.join(missing)}. All of them: pip install '.[bench]'\n")
    page, results = [], {}
    with tempfile.TemporaryDirectory() as folder:
        images = prepare_images(Path(folder), options.quick)
        page.append(f"{report.machine(filter(installed, PEERS))} Images: {images}.")
        print(page[-1])
        for name in options.only:
            work = importlib.import_module(f"bench.{name}")
            page.append(f"## {work.TITLE}")
            print(f"\n{page[-1]}\n")
            for dtype, some in work.DTYPES.items():
                for threads in counts[some]:
                    found = compete(name, dtype, threads, Path(folder), options.quick)
                    results.setdefault(name, []).append(found)
            page.append(report.table(results[name]))
            print(f"{page[-1]}\n", flush=True)
            if hasattr(work, "remark"):
                page.append(work.remark())
                print(page[-1])
    if options.write:
        main_job = [found for found in results["epoch"] if found.dtype == "float32"]
        shown = [pictures.epoch(main_job), pictures.growth(results["growth"][0])]
        report.write(report.HERE / "README.md", "figures", "\n\n".join([page[0], *shown, *page[1:]]))
        report.write(ROOT / "README.md", "figures", f"{page[0]}\n\n{report.table(main_job)}")


if __name__ == "__main__":
    main()
