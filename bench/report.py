"""Tables of the measurements, and the files that hold the latest ones."""

import platform
import re
from pathlib import Path
from statistics import median

from . import peak
from .peers import PEERS, version

HERE = Path(__file__).parent


class Results:
    """{peer: {case: [[best, median] of each round]}} of one work, dtype and number of threads; `distance` is the
    remark of core_to_core.py."""

    def __init__(self, work, dtype, threads, rounds, distance=""):
        self.work, self.dtype, self.threads, self.distance = work, dtype, threads, distance
        self.best = {peer: {case: min(best for best, _ in of) for case, of in cases.items()}
                     for peer, cases in rounds.items()}
        self.median = {peer: {case: median(middle for _, middle in of) for case, of in cases.items()}
                       for peer, cases in rounds.items()}
        self.peers = [peer for peer in self.best if not peer.startswith("peak")]
        self.cases = list(dict.fromkeys(case for peer in self.peers for case in self.best[peer]))

    def others(self, case):
        """Seconds of every peer that is not nnc."""
        return [self.best[p][case] for p in self.peers if not p.startswith("nnc") and case in self.best[p]]

    def ratio(self, peer, case):
        """How many times nnc's time a peer takes."""
        if not {peer, "nnc"} <= self.best.keys() or case not in self.best[peer] or case not in self.best["nnc"]:
            return ""
        return _three_figures(self.best[peer][case] / self.best["nnc"][case])

    def ahead(self, case):
        """The same for the best of the others."""
        if not self.others(case) or case not in self.best.get("nnc", ()):
            return ""
        return _three_figures(min(self.others(case)) / self.best["nnc"][case])

    def seconds(self, peer, case):
        """The best, in the work's unit."""
        if case not in self.best.get(peer, ()):
            return ""
        return f"{self.work.value(case, self.best[peer][case]):.{self.work.DECIMALS}f}"

    def gflops_at_peak(self, case="fma"):
        return peak.gflops(self.best["peak"][case], self.threads)

    def share(self, peer, case):
        """The share of the processor's peak that a peer reaches."""
        if case not in self.best.get(peer, ()) or "peak" not in self.best:
            return ""
        return f"{self.work.flop(case) / self.best[peer][case] * 1e-9 / self.gflops_at_peak():.0%}"

    def noise(self):
        """How much longer than the best run the median takes; of all peers and cases the median."""
        return median(self.median[p][case] / self.best[p][case] - 1 for p in self.peers for case in self.best[p])

    def name(self):
        return f"{self.dtype}, {self.threads} thread{'s' * (self.threads > 1)}"

    def heading(self):
        parts = [f"{self.name()}: the median {self.noise():.0%} above the best"]
        if "peak" in self.best:
            near, far = (self.gflops_at_peak(case) for case in ("near", "far"))
            parts.append(f"FMA peak {self.gflops_at_peak():.0f} GFLOP/s, with a product's loads {near:.0f}, "
                         f"from L2 {far:.0f}")
        return "; ".join([*parts, self.distance] if self.distance else parts)


def _three_figures(ratio):
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}×"


def rows(head, body):
    """A Markdown table that reads well as plain text, too."""
    lines = [[str(cell) for cell in line] for line in (head, *body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]])
    return "\n".join("| " + " | ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                                       for i, (cell, width) in enumerate(zip(line, widths, strict=True))) + " |"
                     for line in lines)


def by_case(group):
    """A row for each case: what nnc takes, and how many times that each other peer does, on each number of threads; of
    a second dtype the best of the others."""
    first, *_ = group
    same, other = ([found for found in group if (found.dtype == first.dtype) == alike] for alike in (True, False))
    peers = [p for p in first.peers if p != "nnc"]

    threads = " / ".join(str(found.threads) for found in same)
    head = [f"{first.dtype}, threads: {threads}", f"nnc, {first.work.UNIT}", *(PEERS[p].title for p in peers)]
    head += [f"best, {found.dtype}" for found in other[:1]] + ["of the peak"] * hasattr(first.work, "flop")
    body = []
    for case in first.cases:
        cells = [[found.seconds("nnc", case) for found in same]]
        cells += [[found.ratio(p, case) for found in same] for p in peers]
        cells += [[found.ahead(case) for found in other]] * bool(other)
        cells += [[found.share("nnc", case) for found in same]] * hasattr(first.work, "flop")
        body.append([case, *(" / ".join(cell) if any(cell) else "" for cell in cells)])
    return rows(head, body)


def by_peer(group):
    """A row for each peer, fastest first, of a work of one case: a column for each dtype and number of threads."""
    first, *_ = group
    (case,) = first.cases
    values = [first.work.UNIT, "relative to nnc", *["of the peak"] * hasattr(first.work, "flop")]
    body = []
    for p in sorted(first.peers, key=lambda p: first.best[p][case]):
        cells = [[found.seconds(p, case), found.ratio(p, case), found.share(p, case)] for found in group]
        body.append([PEERS[p].title, *(", ".join(filter(None, cell)) for cell in cells)])
    return rows([f"{case}: {', '.join(values)}", *(found.name() for found in group)], body)


def table(group):
    """Of all Results of one work."""
    return (by_peer if len(group[0].cases) == 1 else by_case)(group) + "\n\n" + ". ".join(
        found.heading() for found in group) + "."


def machine(peers):
    """One paragraph: the processor, the system, and the version of every peer."""
    import nnc

    info = nnc.cpu_info()
    try:
        cpu = dict(re.findall(r"^(.+?)\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M))
        # One name may cover several generations.
        model = f"{cpu['model name']} (family {cpu['cpu family']}, model {cpu['model']})"
    except (OSError, KeyError):
        model = platform.processor() or platform.machine()
    versions = dict.fromkeys(f"{PEERS[p].title.split(',')[0]} {version(p)}" for p in peers if version(p))
    return (f"{model}, {info['threads']} cores, nnc on {info['isa']}, {platform.system()}, "
            f"Python {platform.python_version()}. {', '.join(versions)}.")


def write(path, block, text):
    """Replace the text between the two comments that name the block."""
    begin, end = f"<!-- {block}: written by python -m bench --write -->", f"<!-- end of {block} -->"
    page = Path(path).read_text(encoding="utf-8")
    if begin not in page or end not in page:
        raise ValueError(f"{path} has no block {block!r}: it needs the lines {begin} and {end}")
    before, after = page.split(begin)[0], page.split(end)[1]
    Path(path).write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
