"""The notebooks as users see them: JupyterLab in a headless Chromium. `make test-browser` runs it, not `make test`.
The documentation, too, where `make docs` has built it.

Screenshots go to the folder NNC_SCREENSHOTS, or to a temporary one that the test prints. They are to be looked at.
"""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest

pytestmark = pytest.mark.browser

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
ENGLISH = sorted(path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
SPANISH = sorted(f"es/{path.name}" for path in NOTEBOOKS.glob("es/[0-9]*.ipynb"))
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
SIZE = (1440, 7000)  # tall enough that nothing must be scrolled

# What the notebooks leave out because it differs each time: a training with its progress bar.
TRAINING = [
    "import nnc\n(X, y), (X_val, y_val) = nnc.data.digits()",
    "net = nnc.MLP([784, 200, 10], mean=X.mean(), std=X.std(), seed=0)\nnet",
    "history = net.fit(X.T, y, epochs=5, validation=(X_val.T, y_val))\nnnc.plot.history(history)",
    "W, b, X = nnc.Node(net.weights[1], name='W'), nnc.Node(net.biases[1], name='b'), net.forward(X.T[:, :64]).A[0]\n"
    "J = nnc.softmax_cross_entropy(nnc.linear(W, X, b), y[:64]).mean()\nJ.backward()\nJ.graph()",
    "nnc.derive(J, wrt=W)",
]

# The two widgets, which are used by keyboard.
STEPPER = [
    "import nnc\nw, x, b = nnc.Node(-2.0, name='w'), nnc.Node(5.0, name='x'), nnc.Node(3.0, name='b')",
    "z = w * x + b\nz.name = 'z'\nz.steps()",
]
LIVE = [
    "import nnc\n(X, y), (X_val, y_val) = nnc.data.digits()\n"
    "net = nnc.MLP([784, 60, 10], mean=X.mean(), std=X.std(), seed=0)",
    "picture = nnc.plot.live(net)\npicture",
    "net.fit(X.T, y, epochs=4, validation=(X_val.T, y_val), callback=picture, progress=False)",
]

# What must be detected: an invalid formula, LaTeX that is not typeset, a picture that cannot be shown, an exception.
WRONG = [
    "from IPython.display import HTML, Latex\nLatex(r'$$ \\frac{1} $$')",
    "Latex(r'\\frac{1}{2} without dollars')",
    "HTML('<img src=\"data:image/png;base64,AAAA\">')",
    "1 / 0",
]

SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {
        "windowingMode": "none",  # all cells are rendered, not only those in sight
        "kernelShutdown": True,  # with the notebook, when the next one is opened
    },
}


@pytest.fixture(scope="module", params=[LIGHT, DARK], ids=["light", "dark"])
def lab(request, browser, tmp_path_factory):
    """JupyterLab with a copy of the notebooks, open in the browser; `lab.theme` is light or dark."""
    pytest.importorskip("jupyterlab", reason="needs JupyterLab: pip install '.[browser]'")
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(NOTEBOOKS, home / "notebooks", ignore=shutil.ignore_patterns(".*"))
    empty = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebooks = {"training": TRAINING, "stepper": STEPPER, "live": LIVE, "wrong": WRONG}
    for name, sources in notebooks.items():
        cells = [empty | {"id": f"cell-{i}", "source": source} for i, source in enumerate(sources)]
        notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (home / "notebooks" / f"{name}.ipynb").write_text(json.dumps(notebook))
    for name, values in (SETTINGS | {"apputils-extension/themes": {"theme": request.param}}).items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
               "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_CONFIG_DIR": "config", "IPYTHONDIR": "ipython"}  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               "--ServerApp.port_retries=0", f"--ServerApp.root_dir={home / 'notebooks'}", "--IdentityProvider.token=",
               "--expose-app-in-browser"]  # fmt: skip
    environment = os.environ | {name: str(home / folder) for name, folder in folders.items()}
    with open(home / "log", "w") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server:
        try:
            wait_for_server(f"http://127.0.0.1:{port}/api", server, home / "log")
            browser.get(f"http://127.0.0.1:{port}/lab")
            yield Lab(browser, request.param.split()[1].lower())
        finally:
            server.terminate()


def wait_for_server(address, server, log):
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            return urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install '.[browser]'")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs Chromium and its driver: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en",
                     f"--user-data-dir={profile}", f"--window-size={SIZE[0]},{SIZE[1]}"):  # fmt: skip
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.set_script_timeout(120)
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    folder = Path(os.environ.get("NNC_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"screenshots in {folder}")
    return folder


class Lab:
    """JupyterLab, with one notebook open at a time."""

    def __init__(self, browser, theme):
        self.browser, self.theme = browser, theme
        self.wait("return Boolean(window.jupyterapp)", "JupyterLab does not start")
        self.run("app.restored")

    def run(self, promise, argument=None):
        """Run a promise in JupyterLab's JavaScript and wait for it."""
        failed = self.browser.execute_async_script(f"""
            const [argument, done] = arguments, app = window.jupyterapp;
            Promise.resolve({promise}).then(() => done(), error => done(String(error)))""", argument)  # fmt: skip
        assert failed is None

    def open(self, name):
        self.run("app.commands.execute('docmanager:save-all')")
        self.run("app.commands.execute('application:close-all')")
        self.wait("return !document.querySelector('.jp-NotebookPanel')", "the last notebook does not close")
        self.run("app.commands.execute('docmanager:open', {path: argument}).then(page => page.context.ready)", name)
        self.wait("return document.querySelectorAll('.jp-Notebook .jp-Cell').length > 0", "the notebook does not open")
        self.wait("""return [...document.querySelectorAll('.jp-MarkdownCell')].every(
                         cell => cell.querySelector('.jp-RenderedMarkdown')?.offsetHeight > 0)""", "text is not shown")
        self.wait_until_typeset()
        return self

    def wait(self, condition, complaint, seconds=120):
        end = time.monotonic() + seconds
        while not self.browser.execute_script(condition):
            assert time.monotonic() < end, complaint
            time.sleep(0.2)

    def wait_until_typeset(self):
        """Wait until the number of elements and formulas has been the same for a second."""
        before, since = None, time.monotonic()
        while time.monotonic() - since < 1:
            now = self.count(".jp-Notebook *"), self.count("mjx-container")
            if now != before:
                before, since = now, time.monotonic()
            time.sleep(0.2)

    def count(self, selector):
        return self.browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector)

    def run_all(self):
        for menu, label in (("lm-MenuBar-itemLabel", "Run"), ("lm-Menu-itemLabel", "Run All Cells")):
            item = f"//div[contains(@class, '{menu}') and normalize-space(text())='{label}']"
            self.wait(f'return document.evaluate("{item}", document, null, 9).singleNodeValue', f"no menu {label}")
            self.browser.find_element("xpath", item).click()
        # A cell that has run has a number in its prompt, one that is waiting a star, one after an exception neither.
        self.wait("""const cells = [...document.querySelectorAll('.jp-CodeCell')];
                     return cells.every(c => /\\[\\d+\\]/.test(c.querySelector('.jp-InputPrompt').textContent))
                         || document.querySelector('[data-mime-type="application/vnd.jupyter.stderr"]')""",
                  "the notebook does not finish")  # fmt: skip
        self.wait_until_typeset()

    def errors(self):
        """What a reader would see as an error: exceptions, warnings, formulas and pictures that cannot be shown."""
        return self.browser.execute_script("""
            const bad = ['[data-mime-type="application/vnd.jupyter.stderr"]', 'mjx-merror', '[data-mjx-error]'];
            const texts = bad.flatMap(s => [...document.querySelectorAll(s)].map(e => s + ': ' + e.textContent.trim()));
            const pictures = [...document.querySelectorAll('.jp-Notebook img')].filter(i => !i.naturalWidth);
            return texts.concat(pictures.map(i => 'a picture that is not shown: ' + i.src.slice(0, 60)))""")

    def raw_latex(self):
        """LaTeX that was not typeset."""
        return self.browser.execute_script(r"""
            const cells = [...document.querySelectorAll('.jp-RenderedMarkdown, .jp-RenderedLatex')];
            return cells.map(c => c.innerText).filter(t => /\$\S|\\frac|\\partial/.test(t))""")

    def save(self, path):
        height = self.browser.execute_script("""
            return [...document.querySelectorAll('.jp-Notebook .jp-Cell')].at(-1).getBoundingClientRect().bottom""")
        self.browser.save_screenshot(str(path))
        try:
            from PIL import Image
        except ImportError:
            return
        with Image.open(path) as picture:
            cut = picture.crop((0, 0, picture.width, min(picture.height, int(height) + 20)))
        cut.save(path)


@pytest.mark.parametrize(("english", "spanish"), list(zip(ENGLISH, SPANISH, strict=True)), ids=[n[:2] for n in ENGLISH])
def test_a_stored_notebook_is_shown_without_errors(lab, screenshots, english, spanish):
    """All notebooks; to save time, the English ones only in the light theme and the Spanish ones only in the dark."""
    name = english if lab.theme == "light" else spanish
    page = lab.open(name)
    page.save(screenshots / f"{name.replace('/', '-').removesuffix('.ipynb')}-{lab.theme}.png")
    assert page.count(".jp-Notebook mjx-container") > 5
    assert not page.errors()
    assert not page.raw_latex()
    text = page.browser.execute_script("return document.querySelector('.jp-Notebook').innerText")
    assert "<Drawing" not in text and "<Figure" not in text, "a picture that is shown only in a trusted notebook"


def test_errors_are_detected(lab):
    page = lab.open("wrong.ipynb")
    page.run_all()
    seen = " ".join(page.errors())
    assert "ZeroDivisionError" in seen and "mjx-merror" in seen and "a picture" in seen
    assert "without dollars" in " ".join(page.raw_latex())


ROWS = ".jp-OutputArea mjx-container :is(mjx-mtr, [data-mml-node='mtr'])"  # of an aligned formula, as HTML or as SVG


def test_a_notebook_runs_without_errors(lab, screenshots):
    page = lab.open("05_backpropagation.ipynb")
    page.run_all()
    page.save(screenshots / f"run-all-{lab.theme}.png")
    assert not page.errors()
    assert not page.raw_latex()
    assert page.count(ROWS) >= 3, "the lines of derive"
    assert page.count('.jp-OutputArea img[src^="data:image/svg"]') >= 2, "the graphs"
    assert page.count(".jp-OutputArea table") >= 2, "steps, gradcheck"


def test_training_shows_its_progress_bar(lab, screenshots):
    page = lab.open("training.ipynb")
    page.run_all()
    page.save(screenshots / f"training-{lab.theme}.png")
    assert not page.errors()
    bar = page.browser.execute_script("""
        const bar = document.querySelector('.jp-OutputArea .progress-bar, .jp-OutputArea [role="progressbar"], '
                                           + '.jp-OutputArea .widget-hprogress');
        return [bar ? bar.getBoundingClientRect().width : 0, document.querySelector('.jp-Notebook').innerText]""")
    assert bar[0] > 50
    text = " ".join(bar[1].split())  # the bar has spaces of other widths
    assert "5/5" in text and "accuracy 0.9" in text
    assert page.count(".jp-OutputArea table") >= 1, "the net as a table"
    assert page.count('.jp-OutputArea img[src^="data:image/svg"]') >= 1, "the graph"
    assert page.count('.jp-OutputArea img[src^="data:image/png"]') >= 1, "the curves"
    assert page.count(ROWS) >= 3, "the derivation"


def test_the_stepper_by_keyboard(lab, screenshots):
    from selenium.webdriver.common.keys import Keys

    page = lab.open("stepper.ipynb")
    page.run_all()
    page.wait("return document.querySelector('.nnc-stepper img')?.naturalWidth > 0", "no stepper")
    heading = "return document.querySelector('.nnc-heading').textContent"
    assert page.browser.execute_script(heading) == "1 of 2: z = add; ∂z/∂node = 1"
    stepper = page.browser.find_element("css selector", ".nnc-stepper")
    stepper.send_keys(Keys.ARROW_RIGHT)
    page.wait(f"{heading}.startsWith('2 of 2')", "the arrow to the right does not go forward")
    cells = page.browser.execute_script(
        "return [...document.querySelectorAll('.nnc-stepper td')].map(e => e.innerText)"
    )
    assert cells == ["w", "x = 5", "5", "5", "x", "w = −2", "−2", "−2"]
    page.save(screenshots / f"stepper-{lab.theme}.png")
    stepper.send_keys(Keys.ARROW_RIGHT)  # there is no third step
    stepper.send_keys(Keys.HOME)
    page.wait(f"{heading}.startsWith('1 of 2')", "Home does not go to the first step")
    page.browser.find_element("css selector", "[aria-label='one step forward']").send_keys(Keys.ENTER)
    page.wait(f"{heading}.startsWith('2 of 2')", "the button does not go forward")
    assert not page.errors()
    assert contrast(page, ".nnc-heading") > 4.5 and contrast(page, ".nnc-bar button") > 4.5


def test_the_live_picture_of_a_training(lab, screenshots):
    from selenium.webdriver.common.keys import Keys

    page = lab.open("live.ipynb")
    page.run_all()
    page.wait("return document.querySelectorAll('.nnc-live svg').length === 2", "no curves")
    page.save(screenshots / f"live-{lab.theme}.png")
    text = page.browser.execute_script("return document.querySelector('.nnc-live').innerText")
    assert "epoch 4: loss" in text and "accuracy" in text
    points = page.count(".nnc-live circle")
    assert points == 4 * page.count(".nnc-live polyline") >= 8
    pixels = "return document.querySelector('.nnc-live canvas').toDataURL()"
    last = page.browser.execute_script(pixels)
    page.browser.find_element("css selector", ".nnc-live input").send_keys(Keys.ARROW_LEFT)
    page.wait(f"{pixels} !== arguments[0]".replace("arguments[0]", repr(last)), "the slider does not go back")
    assert not page.errors()
    assert contrast(page, ".nnc-heading") > 4.5


def contrast(page, selector):
    """The contrast of the text with its background, as WCAG 2 defines it."""
    return page.browser.execute_script("""
        const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const light = (c) => { c = c / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
        const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
        const text = document.querySelector(arguments[0]);
        let behind = text;
        const ground = (e) => channels(getComputedStyle(e).backgroundColor);
        while (behind && (ground(behind)[3] ?? 1) === 0) behind = behind.parentElement;
        const a = luminance(channels(getComputedStyle(text).color));
        const b = luminance(channels(getComputedStyle(behind).backgroundColor));
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);""", selector)  # fmt: skip


# ---- the documentation -----------------------------------------------------------------------------------------------


BUILT = Path(__file__).parent.parent / "docs" / "_build" / "html"


@pytest.fixture
def site(browser):
    """The address of the pages that `make docs` built."""
    if not (BUILT / "index.html").exists():
        pytest.skip("needs the pages: make docs")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=BUILT))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


# The right edge of the widest element that has no scrollbar of its own.
WIDEST = """return Math.max(...[...document.querySelectorAll('article :is(p, li, dt, dd, h1, pre, table, img, svg)')]
    .filter(e => !e.parentElement.closest('pre, table, .math, mjx-container, svg'))
    .map(e => e.getBoundingClientRect().right))"""


def emulate(browser, theme, width, height):
    colours = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", colours)
    size = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_documentation_fits_the_screen(site, browser, screenshots, theme, width):
    """Nothing is wider than the screen, also on a phone, and the text has enough contrast."""
    emulate(browser, theme, width, 1000)
    luminance = {}
    for page in ("index", "interface", "tutorials/derive", "generated/nnc.MLP", "notebooks/05_backpropagation"):
        browser.get(f"{site}/{page}.html")
        time.sleep(0.5)
        browser.save_screenshot(str(screenshots / f"docs-{page.replace('/', '-')}-{theme}-{width}.png"))
        assert browser.execute_script(WIDEST) <= width, page
        assert contrast(SimpleNamespace(browser=browser), "article p") > 4.5, page
        ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        luminance[page] = sum(map(int, ground.removeprefix("rgb(").rstrip(")").split(",")[:3]))
    assert all((value < 384) == (theme == "dark") for value in luminance.values()), luminance


# Formulas that MathJax could not read, and text outside of code that has a formula's marks or commands in it
UNREADABLE = r"""const article = document.querySelector('article').cloneNode(true);
    const bad = [...article.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.outerHTML);
    bad.push(...[...article.querySelectorAll('mjx-container')].map(e => e.innerText).filter(s => s.includes('$')));
    article.querySelectorAll('pre, code, mjx-container').forEach(e => e.remove());
    return [...bad, ...(article.textContent.match(/.*(\$\$|\\\(|\\\[|\\frac).*/g) || [])]"""


def test_the_formulas_of_the_documentation_are_shown(site, browser):
    """Every one is a formula, also those that a notebook shows as results, and none is left as its source."""
    emulate(browser, "light", 1280, 1000)
    pages = [path for path in BUILT.rglob("*.html") if 'class="math' in path.read_text(encoding="utf-8")]
    formulas = 0
    for page in pages:
        browser.get(f"{site}/{page.relative_to(BUILT).as_posix()}")
        browser.execute_async_script("""const done = arguments[0];
            window.MathJax?.startup ? MathJax.startup.promise.then(() => done(0)) : done(0)""")
        assert not browser.execute_script(UNREADABLE), page.name
        formulas += browser.execute_script("return document.querySelectorAll('mjx-container').length")
    assert len(pages) >= 30 and formulas > 1000, "the notebooks' pages alone have as many"


def test_the_documentation_can_be_searched(site, browser):
    emulate(browser, "light", 1280, 1000)
    browser.get(f"{site}/search.html?q=softmax")
    for _ in range(100):
        script = "return [...document.querySelectorAll('#search-results li')].map(e => e.innerText)"
        found = browser.execute_script(script)
        if len(found) > 10:
            break
        time.sleep(0.2)
    assert len(found) > 10 and any(text.startswith("nnc.softmax ") for text in found), found
