"""Sphinx settings of the documentation: `make docs` builds it into docs/_build/html."""

import re
from pathlib import Path

from docutils.nodes import Text, math_block
from sphinx.addnodes import pending_xref
from sphinx.errors import ExtensionError
from sphinx.ext import autosummary

import nnc
import nnc.sklearn
from nnc.autodiff.__main__ import page

project = "nnc"
copyright = "the nnc authors"
pyproject = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
version = release = re.search(r'^version = "(.+)"', pyproject, flags=re.M).group(1)

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx-mathjax-offline",  # formulas work offline
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "notebooks/README.md", "generated/functions.md"]
templates_path = ["_templates"]

# Pages are written in MyST, a Markdown with Sphinx's roles; notebooks are shown with their stored outputs.
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"

# The interface comes from the docstrings.
autosummary_generate = True
autosummary.WELL_KNOWN_ABBREVIATIONS += (" eq.", " eqs.", "(eq.", "(eqs.")  # not the end of a sentence
autodoc_typehints = "none"  # numpydoc's Parameters section has them, with shapes
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "furo"
html_title = "nnc"
html_static_path = ["_static"]
html_css_files = ["nnc.css"]
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


# ---- hooks: what Sphinx cannot do itself -----------------------------------------------------------------------------

ROOT = Path(__file__).parent.parent


def signature_of_a_ufunc(app, what, name, obj, options, signature, returns):
    """A ufunc's docstring begins with NumPy's own signature, which numpydoc cannot parse."""
    if getattr(obj, "nin", None):
        return f"({', '.join('xyz'[: obj.nin])}, /, out=None, *, where=True, dtype=None, ...)", ""
    return None


def unlink_source_files(app, document):
    """Pages that are also read in the repository link to its files; here these links become plain file names."""
    folders = (ROOT, *(ROOT / folder for folder in ("bench", "csrc", "nnc")))
    for reference in list(document.findall(pending_xref)):
        if reference["reftype"] != "myst":
            continue
        target = reference["reftarget"].partition("#")[0]
        if Path(target).is_absolute():
            target = Path(target).relative_to(ROOT)  # docs/notebooks, a symbolic link, was resolved
            if target.parts[0] == "notebooks" and reference["refdomain"] == "doc":
                reference["reftarget"] = target.as_posix()
                continue
        if any((folder / target).exists() or (folder / f"{target}.md").exists() for folder in folders):
            reference.replace_self(reference.children)


def keep_tags(app, document):
    """Sphinx puts a formula of several rows into a split environment, where no \\tag may be."""
    for formula in document.findall(math_block):
        if r"\tag" in formula.astext():
            formula["no-wrap"] = formula["nowrap"] = True  # the names of before and after Sphinx 8.2
            formula.children = [Text(rf"\[{formula.astext()}\]")]


def write_functions(app):
    """The output of `python -m nnc.autodiff`, which docs/functions.md includes."""
    generated = Path(__file__).parent / "generated"
    generated.mkdir(exist_ok=True)
    (generated / "functions.md").write_text(page(), encoding="utf-8")


def refuse_gaps(app, env):
    """An error unless every public name, also of modules and methods, is documented in some page."""
    public = [f"nnc.{name}" for name in nnc.__all__]
    for module in (nnc.data, nnc.init, nnc.optim, nnc.plot, nnc.reference, nnc.sklearn):
        public += [f"{module.__name__}.{name}" for name in module.__all__]
    for owner in (nnc.MLP, nnc.Node, nnc.sklearn.MLPClassifier, nnc.sklearn.MLPRegressor):
        where = "nnc.sklearn" if "sklearn" in owner.__module__ else "nnc"
        names = {name for cls in owner.__mro__ if "nnc" in cls.__module__ for name in vars(cls) if name[0] != "_"}
        names -= set(re.findall(r"\w+", owner.__doc__))  # attributes that the class's docstring describes
        names -= {name for name in names if name.endswith("_request")}  # which scikit-learn adds
        public += [f"{where}.{owner.__name__}.{name}" for name in names]
    missing = sorted(set(public) - env.get_domain("py").objects.keys())
    if missing:
        raise ExtensionError(f"these public names are in no page: {', '.join(missing)}")


def setup(app):
    app.connect("builder-inited", write_functions)
    app.connect("autodoc-process-signature", signature_of_a_ufunc, priority=400)
    app.connect("doctree-read", unlink_source_files)
    app.connect("doctree-read", keep_tags)
    app.connect("env-check-consistency", refuse_gaps)
