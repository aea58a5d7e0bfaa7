"""Executes notebooks in fresh kernels and stores them with their outputs.

    python notebooks/run.py [NOTEBOOK ...]      all of them by default

The stored files are reproducible: no times, no progress bars, and of the kernel only that it is Python.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks():
    """The English ones, then the Spanish ones, in the order of the notes."""
    return sorted(FOLDER.glob("[0-9]*.ipynb")) + sorted(FOLDER.glob("es/[0-9]*.ipynb"))


def execute(notebook, folder=FOLDER):
    """Run all cells in a fresh kernel; raises CellExecutionError at the first one that fails."""
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    ).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_bar(output)]
            for output in cell.outputs:  # of a widget, only its table or picture is stored
                output.get("data", {}).pop(WIDGET, None)
    return notebook


def is_bar(output):
    """Whether it is a progress bar: it contains times, and is of no use after the training."""
    if output.output_type == "stream":
        return output.name == "stderr" and "epoch/s" in output.text
    return WIDGET in output.get("data", {}) and "text/html" not in output.data


def store(notebook, path):
    nbformat.write(notebook, path)


def main(paths):
    for path in paths or notebooks():
        print(path, flush=True)
        store(execute(nbformat.read(path, as_version=4), Path(path).parent), path)


if __name__ == "__main__":
    main(sys.argv[1:])
