"""How fast nnc is: the same work by every peer that is installed, in one run. Start it with `python -m bench`."""
