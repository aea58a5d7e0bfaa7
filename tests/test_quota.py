"""The cores that a container's CPU quota leaves: on made-up trees of control groups, and in a real group."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nnc
from nnc import _engine

V1_MOUNT = "33 31 0:30 {root} {mount} rw,relatime shared:9 - cgroup cgroup rw,{controllers}"
V2_MOUNT = "41 31 0:38 {root} {mount} rw,relatime - cgroup2 cgroup2 rw,nsdelegate"
OTHERS = "23 28 0:21 / /proc rw - proc proc rw\n34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset"


def tree(folder, groups, mounts, files):
    """A machine's files below the folder: /proc/self/cgroup, /proc/self/mountinfo, and those of the groups."""
    files = {"/proc/self/cgroup": groups, "/proc/self/mountinfo": "\n".join([OTHERS, *mounts]), **files}
    for path, text in files.items():
        file = folder / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return _engine.quota_cores(folder)


def v2(folder, group, quotas, root="/", mount="/sys/fs/cgroup", groups="0::{}"):
    files = {f"{mount}{path}/cpu.max": quota for path, quota in quotas.items()}
    return tree(folder, groups.format(group), [V2_MOUNT.format(root=root, mount=mount.replace(" ", r"\040"))], files)


def v1(folder, group, quotas, root="/", mount="/sys/fs/cgroup/cpu,cpuacct", period=100_000, controllers="cpu,cpuacct"):
    files = {f"{mount}{path}/cpu.cfs_quota_us": str(quota) for path, quota in quotas.items()}
    files |= {f"{mount}{path}/cpu.cfs_period_us": str(period) for path in quotas}
    mounts = [V1_MOUNT.format(root=root, mount=mount, controllers=controllers)]
    return tree(folder, f"9:name=systemd:/other\n5:cpuset:/no\n4:{controllers}:{group}\n0::/", mounts, files)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 0), ("100000 100000", 1), ("100001 100000", 2), ("150000 100000", 2), ("50000 100000", 1),
     ("1000 100000", 1), ("400000 100000", 4), ("25000 10000", 3), ("max", 0), ("", 0), ("0 100000", 0), ("5 0", 0),
     ("-1 100000", 0), ("9223372036854775807 1", 0), ("garbage", 0)],
)  # fmt: skip
def test_a_quota_is_rounded_up(tmp_path, quota, cores):
    assert v2(tmp_path / "2", "/", {"": quota}) == cores
    numbers = quota.replace("max", "-1").split()
    if len(numbers) == 2:
        assert v1(tmp_path / "1", "/", {"": numbers[0]}, period=numbers[1]) == cores


@pytest.mark.parametrize("version", [v1, v2])
@pytest.mark.parametrize(
    ("quotas", "cores"),
    [
        ({"/a/b/c": 2, "/a/b": None, "/a": None}, 2),  # of the group itself
        ({"/a/b/c": None, "/a/b": 3, "/a": None}, 3),  # of one above
        ({"/a/b/c": 8, "/a/b": 2, "/a": 4}, 2),  # the smallest
        ({"/a/b/c": None, "/a/b": None, "/a": 1, "": None}, 1),
        ({"": 6}, 6),
        ({"/a/b/c": None}, 0),
        ({"/a/b/d": 1, "/x": 1, "/a/b/c/d": 1, "/a/b": 5, "/ab": 1}, 5),  # quotas of other groups do not count
        ({}, 0),
    ],
)
def test_nested_groups(tmp_path, version, quotas, cores):
    none, unit = (-1, 100_000) if version is v1 else ("max 100000", 1)
    values = {path: none if n is None else n * unit if version is v1 else f"{n}00000 100000"
              for path, n in quotas.items()}  # fmt: skip
    assert version(tmp_path, "/a/b/c", values) == cores


@pytest.mark.parametrize("version", [v1, v2])
def test_inside_a_container(tmp_path, version):
    """The mount begins at the container's own group, which the process sees by the host's name or as /."""
    quota = 200_000 if version is v1 else "200000 100000"
    less = 100_000 if version is v1 else "100000 100000"
    assert version(tmp_path / "a", "/docker/1234", {"": quota}, root="/docker/1234") == 2
    assert version(tmp_path / "b", "/docker/1234/inner", {"": quota, "/inner": less}, root="/docker/1234") == 1
    assert version(tmp_path / "c", "/", {"": quota}) == 2
    # The host's name of a group; only the container's part of the tree is mounted
    assert version(tmp_path / "d", "/kubepods/pod5/6789", {"": quota}) == 2
    assert version(tmp_path / "e", "/docker/12345", {"": quota, "5": less}, root="/docker/1234") == 2
    assert version(tmp_path / "f", "/../../other", {"": quota, "/../../other": less}) == 2


def test_unusual_paths_and_mounts(tmp_path):
    assert v2(tmp_path / "a", "/my group", {"/my group": "300000 100000"}, mount="/sys/fs/c group") == 3
    assert v2(tmp_path / "b", "/a", {"/a": "300000 100000"}, groups="1:name=systemd:/x\n0::{}\n") == 3
    assert v1(tmp_path / "c", "/a", {"/a": 300_000}, controllers="cpuacct,cpu") == 3
    assert v1(tmp_path / "d", "/a", {"/a": 300_000}, controllers="cpuset,cpuacct") == 0  # not the CPU controller
    long = "/" + "/".join("x" * 200 for _ in range(15))
    assert v2(tmp_path / "e", long, {"/" + "x" * 200: "300000 100000"}) == 3
    assert v2(tmp_path / "f", "/" + "x" * 10_000, {"": "300000 100000"}) == 3


def test_both_versions_at_once(tmp_path):
    mounts = [V2_MOUNT.format(root="/", mount="/sys/fs/cgroup/unified"),
              V1_MOUNT.format(root="/", mount="/sys/fs/cgroup/cpu", controllers="cpu")]  # fmt: skip
    files = {"/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "300000", "/sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
             "/sys/fs/cgroup/unified/b/cpu.max": "200000 100000"}  # fmt: skip
    assert tree(tmp_path, "1:cpu:/a\n0::/b", mounts, files) == 2
    (tmp_path / "sys/fs/cgroup/unified/b/cpu.max").write_text("max 100000\n")
    assert _engine.quota_cores(tmp_path) == 3


def test_no_groups_at_all(tmp_path):
    assert _engine.quota_cores(tmp_path) == 0  # nothing there, as on other systems
    assert tree(tmp_path, "", [], {}) == 0
    assert tree(tmp_path / "lines", "0\n::\nno\n0::", ["short", "1 2 3", "a - b", V2_MOUNT], {}) == 0
    (tmp_path / "proc/self/mountinfo").write_bytes(os.urandom(10_000))
    assert _engine.quota_cores(tmp_path) == 0
    assert _engine.quota_cores("/" + "x" * 20_000) == 0
    with pytest.raises(TypeError):
        _engine.quota_cores(1)


# ---- a real group ----------------------------------------------------------------------------------------------------

THREADS = """
import os, sys
for line in sys.stdin: pass  # until this process is in its group
import nnc
print(nnc.get_num_threads(), nnc.cpu_info()["threads"], nnc._engine.quota_cores(""))
"""


def group_for(quota):
    """A new group with this quota in microseconds per 100,000, or None if none can be made."""
    name = f"nnc-test-{os.getpid()}"
    for folder, file, text in (("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", f"{quota}"),
                               ("/sys/fs/cgroup", "cpu.max", f"{quota} 100000")):  # fmt: skip
        group = Path(folder) / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / file).write_text(text)
            return group
        except OSError:
            group.rmdir()
    return None


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
@pytest.mark.parametrize(("quota", "cores"), [(150_000, 2), (100_000, 1), (40_000, 1)])
def test_in_a_real_group(quota, cores):
    usable = len(os.sched_getaffinity(0))
    if usable < 2:
        pytest.skip("one core: nothing to see")
    if (group := group_for(quota)) is None:
        pytest.skip("no control group can be made here")
    environment = {name: value for name, value in os.environ.items() if name != "NNC_NUM_THREADS"}
    try:
        process = subprocess.Popen([sys.executable, "-c", THREADS], env=environment, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        try:
            (group / "cgroup.procs").write_text(str(process.pid))
        except OSError:
            process.kill()
            pytest.skip("no process can be put into a control group here")
        finally:
            out, err = process.communicate(timeout=120)
        assert out.split() == [str(cores), str(cores), str(cores)], err
    finally:
        group.rmdir()
    assert nnc.get_num_threads() >= 1
