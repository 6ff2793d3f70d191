"""Notebooks on planning in a real JupyterLab: figures by themselves and those within tables are to be seen."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from experiments.run import NOTEBOOKS
from tests.browser.test_tour import open_notebook, outputs_of, run_from_menu

# The same cells run in tests/notebooks; here is what a user sees of them.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

SHOWN_MS = 120_000
LAST = {"own_planner": ("Forgetful", "has no assignment", 5), "simulation": ("makespans_figure(", "", 4)}
"""A cell at the end, what it shows, and how many figures there are."""


@pytest.mark.parametrize("name", LAST)
def test_notebook_runs(page: Page, lab_url: str, tmp_path: Path, name: str) -> None:
    """All cells show their results; every picture has been loaded and has a size."""
    shutil.copy(NOTEBOOKS / f"{name}.ipynb", tmp_path / "notebooks")
    open_notebook(page, lab_url, f"{name}.ipynb")
    run_from_menu(page, "runmenu:run-all")

    cell, shown, figures = LAST[name]
    expect(outputs_of(page, cell).last).to_contain_text(shown, timeout=SHOWN_MS)
    images = page.locator(".jp-CodeCell .jp-OutputArea-output img")
    expect(images).to_have_count(figures, timeout=SHOWN_MS)
    for number in range(figures):
        image = images.nth(number)
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete && image.naturalWidth > 100", arg=image.element_handle())
        page.screenshot(path=tmp_path / f"figure-{number}.png")
    errors = page.locator('[data-mime-type="application/vnd.jupyter.stderr"]')
    expect(errors).to_have_count(0)
