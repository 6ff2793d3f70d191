"""The notebook of Docker workers in a real JupyterLab."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from experiments.run import NOTEBOOKS
from tests.browser.test_tour import open_notebook, outputs_of, run_from_menu

# The same cells run in tests/notebooks; here is what a user sees of them.
pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]

SHOWN_MS = 120_000
"""An image may have to be built first, and a cell waits for all above it."""
FIGURES = 7


def test_notebook_runs(page: Page, lab_url: str, tmp_path: Path) -> None:
    """All cells show their results and every figure, from the doctor to the empty list of containers."""
    shutil.copy(NOTEBOOKS / "docker_workers.ipynb", tmp_path / "notebooks")
    open_notebook(page, lab_url, "docker_workers.ipynb")
    run_from_menu(page, "runmenu:run-all")

    expect(outputs_of(page, "!faaslab doctor").first).to_contain_text("docker: engine", timeout=SHOWN_MS)
    expect(outputs_of(page, 'where().compute(launcher="docker")')).to_contain_text("Python 3.", timeout=SHOWN_MS)
    expect(outputs_of(page, "except fl.TaskFailed")).to_contain_text("requirements=['numpy']", timeout=SHOWN_MS)
    expect(outputs_of(page, "except fl.TaskOutOfMemory")).to_contain_text("for want of memory", timeout=SHOWN_MS)
    expect(outputs_of(page, "--calibrate --quick")).to_contain_text('saved as profile "this machine"', timeout=SHOWN_MS)
    expect(outputs_of(page, "engine.containers.list")).to_contain_text("[", timeout=SHOWN_MS)
    figures = page.locator(".jp-CodeCell .jp-OutputArea-output img")
    expect(figures).to_have_count(FIGURES)
    for number in range(FIGURES):
        figures.nth(number).scroll_into_view_if_needed()
        page.screenshot(path=tmp_path / f"figure-{number}.png")
    expect(page.locator(".jp-Cell-outputArea", has_text="Traceback (most recent call last)")).to_have_count(1)
