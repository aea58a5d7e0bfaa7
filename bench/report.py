"""Tables of what was measured, and the files that keep the last ones."""

import platform
import re
from pathlib import Path
from statistics import median

from . import peak
from .peers import PEERS, version

HERE = Path(__file__).parent


class Results:
    """{peer: {case: [[best, median] of each round]}} of one work, dtype and number of threads; `distance` is what
    core_to_core.py says of the cores meanwhile."""

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

    def ahead(self, case):
        """How many times faster than the best of the others nnc is."""
        if not self.others(case) or case not in self.best.get("nnc", ()):
            return ""
        return f"{min(self.others(case)) / self.best['nnc'][case]:.2f}×"

    def gflops_at_peak(self, which="peak", case="fma"):
        return peak.gflops(self.best[which][case], self.threads)

    def share(self, peer, case, which="peak"):
        """The share of the processor's peak that a peer reaches."""
        if case not in self.best.get(peer, ()) or which not in self.best:
            return ""
        return f"{self.work.flop(case) / self.best[peer][case] * 1e-9 / self.gflops_at_peak(which):.0%}"

    def heading(self):
        title = f"{self.dtype}, {self.threads} thread{'s' * (self.threads > 1)}"
        if "peak" in self.best:
            near, far = (self.gflops_at_peak(case=case) for case in ("near", "far"))
            title += (f", FMA peak {self.gflops_at_peak():.0f} GFLOP/s; with a product's loads {near:.0f}, "
                      f"from L2 {far:.0f}")
        return f"{title}; {self.distance}" if self.distance else title


def rows(head, body):
    """A Markdown table that reads well as plain text, too."""
    lines = [[str(cell) for cell in line] for line in (head, *body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]])
    return "\n".join("| " + " | ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                                       for i, (cell, width) in enumerate(zip(line, widths, strict=True))) + " |"
                     for line in lines)


def by_case(results):
    """A row for each case, a column for each peer."""
    work = results.work
    head = [work.UNIT] + [PEERS[p].title for p in results.peers] + ["nnc beside the best"]
    shares = [("nnc", "peak"), ("nnc_avx2", "peak_avx2")] if hasattr(work, "flop") else []
    shares = [pair for pair in shares if pair[0] in results.peers]
    head += [f"{PEERS[peer].title}, of the peak" for peer, _ in shares]
    body = []
    for case in results.cases:
        cells = [f"{work.value(case, results.best[p][case]):.{work.DECIMALS}f}" if case in results.best[p] else ""
                 for p in results.peers]
        body.append([case, *cells, results.ahead(case), *(results.share(peer, case, which) for peer, which in shares)])
    return f"{results.heading()}\n\n{rows(head, body)}"


def by_peer(results):
    """A row for each peer, fastest first, for a work that has one case."""
    (case,) = results.cases
    body = []
    for p in sorted(results.peers, key=lambda p: results.best[p][case]):
        best, middle = results.best[p][case], results.median[p][case]
        ratio = f"{best / results.best['nnc'][case]:.2f}×" if "nnc" in results.best else ""
        values = [f"{results.work.value(case, s):.{results.work.DECIMALS}f}" for s in (best, middle)]
        shares = [results.share(p, case)] if hasattr(results.work, "flop") else []
        body.append([PEERS[p].title, *values, ratio, *shares])
    head = [case, f"best, {results.work.UNIT}", "median", "nnc is faster"]
    head += ["of the peak"] if hasattr(results.work, "flop") else []
    return f"{results.heading()}\n\n{rows(head, body)}"


def table(results):
    return (by_peer if len(results.cases) == 1 else by_case)(results)


def machine(peers):
    """One paragraph: the processor, the system, and the version of every peer."""
    import nnc

    info = nnc.cpu_info()
    try:
        cpu = dict(re.findall(r"^(.+?)\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M))
        # A name may stand for several generations.
        model = f"{cpu['model name']} (family {cpu['cpu family']}, model {cpu['model']})"
    except (OSError, KeyError):
        model = platform.processor() or platform.machine()
    versions = dict.fromkeys(f"{PEERS[p].title.split(',')[0]} {version(p)}" for p in peers if version(p))
    return (f"{model}, {info['threads']} cores, nnc on {info['isa']}, {platform.system()}, "
            f"Python {platform.python_version()}. {', '.join(versions)}.")


def write(path, block, text):
    """Replace what stands between the two comments that name the block."""
    begin, end = f"<!-- {block}: written by python -m bench --write -->", f"<!-- end of {block} -->"
    page = Path(path).read_text(encoding="utf-8")
    if begin not in page or end not in page:
        raise ValueError(f"{path} has no block {block!r}: it needs the lines {begin} and {end}")
    before, after = page.split(begin)[0], page.split(end)[1]
    Path(path).write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
