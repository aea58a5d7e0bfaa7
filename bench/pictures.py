"""Pictures of what was measured."""

from pathlib import Path

from .peers import PEERS

FOLDER = Path(__file__).parent / "pictures"


def _save(figure, name, title):
    """Write the picture and return the Markdown that shows it in README.md."""
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / name, dpi=110, metadata={"Software": None})
    return f"![{title}]({FOLDER.name}/{name})"


def growth(results):
    """Cost of an example against batch size, width and depth: three panels, a line for each peer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained", facecolor="white")
    for axes, what in zip(figure.subplots(1, 3), ("batch", "width", "depth"), strict=True):
        for peer in results.peers:
            points = [(int(case.split()[1]), results.work.value(case, seconds))
                      for case, seconds in results.best[peer].items() if case.startswith(what)]
            axes.plot(*zip(*points, strict=True), "o-", label=PEERS[peer].title, lw=3 if peer == "nnc" else 1.2, ms=4) \
                if points else None
        net, along = {"batch": ("784-200-10", "batch size"), "width": ("784-n-10", "n, width of the hidden layer"),
                      "depth": ("784-200-…-200-10", "hidden layers of 200")}[what]
        axes.set(xlabel=along, yscale="log", title=f"{net}, {what}")
        if what != "depth":
            axes.set_xscale("log", base=2)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("µs to train on an example")
    figure.axes[0].legend()
    figure.suptitle(f"What training costs ({results.name()})")
    return _save(figure, "growth.png", results.work.TITLE)


def epoch(all_results):
    """An epoch's seconds of each peer on each number of threads, and the processor's limit."""
    from matplotlib.figure import Figure

    first = all_results[0]
    (case,) = first.cases
    order = sorted(first.peers, key=lambda peer: -first.best[peer][case])
    figure = Figure(figsize=(9, 0.6 * len(order) + 1.2), layout="constrained", facecolor="white")
    axes, height = figure.subplots(), 0.8 / len(all_results)
    for i, results in enumerate(all_results):
        color = f"C{i}"
        bars = axes.barh([j - i * height for j in range(len(order))],
                         [results.best.get(peer, {}).get(case, 0) for peer in order],
                         height, color=color, label=f"{results.threads} thread{'s' * (results.threads > 1)}")
        axes.bar_label(bars, fmt=" %.3f")
        if "peak" in results.best:
            limit = results.work.flop(case) / results.gflops_at_peak() * 1e-9
            axes.axvline(limit, color=color, ls="--", label=f"the processor's limit: {limit:.3f} s")
    axes.set_yticks([j - height * (len(all_results) - 1) / 2 for j in range(len(order))],
                    [PEERS[peer].title for peer in order])
    axes.margins(x=0.1)  # space for the figures at the ends of the bars
    axes.set(xlabel="seconds", title=f"{first.work.TITLE}, {first.dtype}, {case}")
    axes.legend()
    return _save(figure, "epoch.png", first.work.TITLE)
