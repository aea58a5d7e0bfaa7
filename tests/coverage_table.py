"""gcovr's figures by folder of the engine; fails below the limits: python tests/coverage_table.py summary.json"""

import json
import sys

# Per cent of branches, a little below what is reached on a processor with AVX-512 and a matrix unit.
LIMITS = {"ops": 97, "runtime": 95, "python": 95, "kernels": 98, "simd": 98}


def by_folder(files):
    """{folder: [lines reached, lines, branches reached, branches]}"""
    folders = {}
    for file in files:
        counts = folders.setdefault(file["filename"].split("/")[-2], [0, 0, 0, 0])
        for i, name in enumerate(("line_covered", "line_total", "branch_covered", "branch_total")):
            counts[i] += file[name]
    return folders


def main(path):
    with open(path) as file:
        folders = by_folder(json.load(file)["files"])
    print("folder      lines  branches")
    low = [f"{folder}: nothing was counted" for folder in sorted(LIMITS.keys() - folders.keys())]
    for folder, (lines_reached, lines, branches_reached, branches) in sorted(folders.items()):
        per_cent = 100 * branches_reached / branches
        print(f"{folder:10}{100 * lines_reached / lines:6.1f}%{per_cent:9.1f}%")
        if per_cent < LIMITS.get(folder, 0):
            low.append(f"{folder}: {per_cent:.1f}% of branches, below the limit of {LIMITS[folder]}%")
    sys.exit("\n".join(low) or None)


if __name__ == "__main__":
    main(*sys.argv[1:])
