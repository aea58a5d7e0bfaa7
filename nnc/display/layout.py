"""Where the boxes of a drawing go: the layered layout of Sugiyama et al. (1981), from left to right.

Five steps, each a function below, each in its simplest form: computational graphs are small and nearly trees.

1. `columns`     layer assignment: one column left of the nearest consumer, so W³ is next to z³ and not at the far left;
2. `waypoints`   dummy vertices: one in each column that an arrow skips, so that no box is put on top of it;
3. `order`       crossing minimisation within each column, by barycentres;
4. `heights`     coordinate assignment: near the neighbours', without overlap, which keeps the main line straight;
5. `bands`       a graph wider than a page is wrapped, as a long line of text is.
"""

from bisect import bisect_right, insort
from itertools import pairwise

SWEEPS = 24  # enough for the heights of the three-layer graph to move less than a pixel
WAYPOINT = 12.0  # the height kept free for an arrow that passes through a column
LANE = 8.0  # between the arrows that go from the end of a band to the start of the next


def layout(sizes, arrows, gap=(36.0, 18.0), limit=float("inf")):
    """Place the boxes of a directed acyclic graph from left to right.

    Parameters
    ----------
    sizes : list of (width, height)
        One for each box. Boxes are numbered so that an arrow goes from a smaller number to a larger one.
    arrows : list of (int, int)
        (from, to), each pair once.
    gap : (float, float)
        Free space between two columns and between two boxes of one column.
    limit : float
        The greatest width of a band, unless one column alone is wider.

    Returns
    -------
    boxes : list of (x, y, width, height)
        The upper left corner and the size; boxes of a column are all as wide as its widest.
    routes : list of list of (x, y)
        For each arrow the points it passes, from the right side of its box to the left side of the one it points to.
        Where neither x nor y stays the same, it is a curve.
    size : (float, float)
        Of the whole.

    Examples
    --------
    >>> boxes, routes, size = layout([(40, 20), (40, 20), (60, 20)], [(0, 2), (1, 2)], gap=(10, 5))
    >>> boxes
    [(0.0, 0.0, 40, 20), (0.0, 25.0, 40, 20), (50.0, 12.5, 60, 20)]
    >>> routes
    [[(40.0, 10.0), (50.0, 19.0)], [(40.0, 35.0), (50.0, 26.0)]]
    """
    n = len(sizes)
    column, left, chains = waypoints(columns(n, arrows), arrows)
    tall = [h for _, h in sizes] + [WAYPOINT] * (len(column) - n)
    rows = order(column, left)
    y = heights(rows, left, tall, gap[1], n)
    wide = [max((sizes[v][0] for v in row if v < n), default=0.0) for row in rows]
    x, y, turns, size = bands(rows, left, wide, tall, y, gap, limit)
    routes = trace(arrows, chains, column, x, wide, y, tall, turns)
    return [(x[c], y[v] - tall[v] / 2, wide[c], tall[v]) for v, c in enumerate(column[:n])], routes, size


def columns(n, arrows):
    """The column of each of the n boxes: the longest path to the end decides, the leftmost column is 0."""
    rank = [0] * n
    for u, v in sorted(arrows, key=lambda arrow: -arrow[1]):
        rank[u] = max(rank[u], rank[v] + 1)
    last = max(rank, default=0)
    return [last - r for r in rank]


def waypoints(column, arrows):
    """Add the waypoints: the columns with them, the left neighbours of every box and waypoint, each arrow's waypoints.

    All arrows that leave one box share their waypoints: a weight used in a hundred places costs one line.
    """
    column = list(column)
    left = [[] for _ in column]
    chain_of = {}  # box -> the box and its waypoints, column by column
    chains = []
    for u, v in arrows:
        chain = chain_of.setdefault(u, [u])
        while column[chain[-1]] < column[v] - 1:
            left.append([chain[-1]])
            column.append(column[chain[-1]] + 1)
            chain.append(len(column) - 1)
        reach = column[v] - column[u]
        left[v].append(chain[reach - 1])
        chains.append(chain[1:reach])
    return column, left, chains


def order(column, left):
    """The boxes and waypoints of each column from top to bottom, with as few crossings as barycentres find."""
    right = [[] for _ in left]
    for v, us in enumerate(left):
        for u in us:
            right[u].append(v)

    rows = [[] for _ in range(max(column) + 1)]  # the start: arguments from top to bottom, as the operation lists them
    seen = set()
    stack = [v for v in range(len(left) - 1, -1, -1) if not right[v]]
    while stack:
        v = stack.pop()
        if v not in seen:
            seen.add(v)
            rows[column[v]].append(v)
            stack.extend(reversed(left[v]))

    best, fewest = rows, crossings(rows, left)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        near, indices = (right, range(len(rows) - 2, -1, -1)) if sweep % 2 == 0 else (left, range(1, len(rows)))
        position = {v: i for row in rows for i, v in enumerate(row)}
        rows = list(rows)
        for c in indices:
            key = {v: mean([position[u] for u in near[v]], position[v]) for v in rows[c]}
            rows[c] = sorted(rows[c], key=key.get)
            position.update((v, i) for i, v in enumerate(rows[c]))
        count = crossings(rows, left)
        if count < fewest:
            best, fewest = rows, count
    return best


def crossings(rows, left):
    """How many pairs of arrows cross between neighbouring columns."""
    position = {v: i for row in rows for i, v in enumerate(row)}
    total = 0
    for row in rows:
        above = []  # where the arrows of the boxes further up in this column come from, sorted
        for v in row:
            here = [position[u] for u in left[v]]
            total += sum(len(above) - bisect_right(above, p) for p in here)
            for p in here:
                insort(above, p)
    return total


def heights(rows, left, tall, gap, n):
    """The height of the middle of each box: near its neighbours', in the given order, without overlap."""
    near = [list(us) for us in left]
    for v, us in enumerate(left):
        for u in us:
            near[u].append(v)
    # A leaf (no arrow comes in) follows the boxes of the main line, and all give way to a passing arrow.
    weight = [(1.0 if not left[v] else 9.0) if v < n else 20.0 for v in range(len(left))]

    y = [0.0] * len(left)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 else reversed(rows):
            wanted = [mean([y[u] for u in near[v]], y[v], [weight[u] for u in near[v]]) for v in row]
            distances = [(tall[u] + tall[v]) / 2 + gap for u, v in pairwise(row)]
            for v, height in zip(row, spread(wanted, [weight[v] for v in row], distances), strict=True):
                y[v] = height
    return y


def spread(wanted, weight, distances):
    """The positions nearest to the wanted ones (weighted least squares) with at least `distances` between neighbours.

    Without the distances this is isotonic regression, solved exactly by pooling adjacent violators.

    >>> spread([0.0, 0.0], [1.0, 1.0], [10.0])
    [-5.0, 5.0]
    >>> spread([0.0, 30.0], [1.0, 1.0], [10.0])
    [0.0, 30.0]
    """
    shift = [0.0]
    for distance in distances:
        shift.append(shift[-1] + distance)
    pools = []  # [sum of weights, mean, how many]
    for x, w, s in zip(wanted, weight, shift, strict=True):
        pools.append([w, x - s, 1])
        while len(pools) > 1 and pools[-2][1] > pools[-1][1]:
            w2, x2, n2 = pools.pop()
            w1, x1, n1 = pools.pop()
            pools.append([w1 + w2, (w1 * x1 + w2 * x2) / (w1 + w2), n1 + n2])
    levels = [x for _, x, count in pools for _ in range(count)]
    return [x + s for x, s in zip(levels, shift, strict=True)]


def mean(values, default, weights=None):
    if not values:
        return default
    weights = weights or [1.0] * len(values)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def bands(rows, left, wide, tall, y, gap, limit):
    """Wrap the columns into bands, one below the other.

    Returns each column's x, each box's and waypoint's y, and the turns: (u, c) -> the right x, the y and the left x of
    the path of u's arrows from the end of one band to column c, the first of the next; and the size of the whole.
    """
    leaving = [sorted({u for v in row for u in left[v]}, key=lambda u: -y[u]) for row in rows]
    starts = breaks(wide, gap[0], [len(us) for us in leaving], limit)
    off = [gap[0] / 2 + LANE * i for i in range(max(map(len, leaving)))]
    margin = max((off[len(leaving[c]) - 1] for c in starts[1:]), default=0.0)

    x, y, turns = [], list(y), {}
    right = bottom = 0.0
    for start, stop in zip(starts, starts[1:] + [len(rows)], strict=True):
        if start:
            for i, u in enumerate(leaving[start]):
                turns[u, start] = x[-1] + wide[start - 1] + off[i], bottom + off[i], margin - off[i]
                right = max(right, turns[u, start][0])
            bottom += off[len(leaving[start]) - 1] + gap[0] / 2
        inside = [v for row in rows[start:stop] for v in row]
        shift = bottom - min(y[v] - tall[v] / 2 for v in inside)
        for v in inside:
            y[v] = round(2 * (y[v] + shift)) / 2  # half pixels: short numbers in the SVG
        bottom = max(y[v] + tall[v] / 2 for v in inside)
        x.append(margin)
        for w in wide[start : stop - 1]:
            x.append(x[-1] + w + gap[0])
        right = max(right, x[-1] + wide[stop - 1])
    return x, y, turns, (right, bottom)


def breaks(wide, gap, leaving, limit):
    """The first column of each band: few bands, broken where few arrows are cut, about evenly wide.

    >>> breaks([100, 100, 100, 100], 20, [0, 3, 1, 3], limit=250)
    [0, 2]
    """
    n = len(wide)
    best = [(0.0, 0)] + [(float("inf"), 0)] * n  # of the first columns: the cost, where their last band starts
    for stop in range(1, n + 1):
        for start in range(stop):
            width = sum(wide[start:stop]) + gap * (stop - start - 1)
            if width <= limit or stop - start == 1:
                cost = best[start][0] + 1 + leaving[start] ** 2 + (1 - width / limit) ** 2 / 4
                best[stop] = min(best[stop], (cost, start))
    starts = []
    while n:
        n = best[n][1]
        starts.insert(0, n)
    return starts


def trace(arrows, chains, column, x, wide, y, tall, turns):
    """The points of each arrow."""
    end = [a + w for a, w in zip(x, wide, strict=True)]
    port = ports(arrows, chains, column, y, tall, turns)
    routes = []
    for (u, v), chain, last in zip(arrows, chains, port, strict=True):
        points = [(end[column[u]], y[u])]
        for a, b in zip([u, *chain], [*chain, v], strict=True):
            height = last if b == v else y[b]
            if (a, column[b]) in turns:
                there, between, back = turns[a, column[b]]
                points += [(there, y[a]), (there, between), (back, between), (back, height)]
            points.append((x[column[b]], height))
            if b != v:
                points.append((end[column[b]], height))
        routes.append(points)
    return routes


def ports(arrows, chains, column, y, tall, turns):
    """The height at which each arrow ends: its port on the box, in the order in which arrows come in."""
    entering = {}
    for i, ((u, v), chain) in enumerate(zip(arrows, chains, strict=True)):
        before = [u, *chain][-1]
        entering.setdefault(v, []).append((turns.get((before, column[v]), (0, y[before]))[1], i))
    port = [0.0] * len(arrows)
    for v, ends in entering.items():
        step = 0.7 * tall[v] / len(ends)
        for k, (_, i) in enumerate(sorted(ends)):
            port[i] = y[v] + step * (k - (len(ends) - 1) / 2)
    return port
