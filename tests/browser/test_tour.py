"""The tour in a real JupyterLab, looked at and stopped as a user does it."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from experiments.run import NOTEBOOKS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SHOWN_MS = 60_000
"""A cell shows its output within this time, however busy the machine is."""
CANCELLED_S = 1.5
"""From the click on Stop to the end of the run: a second, and what browser and kernel take."""

SETUP = """
from pathlib import Path

lab = fl.Lab(fl.ProcessLauncher(limit=2))
begun = Path("begun")

@fl.task
def nap(name, seconds):
    import time
    from pathlib import Path
    Path(name).touch()
    time.sleep(seconds)
    return seconds

host = (lab.compute(nap("awake", 0)), lab.host_pid)[1]
print("ready", host is not None)
"""
NAPS = "long = lab.submit([nap(str(begun.resolve()), 600) for _ in range(4)])\nlong.result()"
AFTER = """
ended = [event.at_s for event in long.trace.events if type(event).__name__ == "RunEnded"]
print("ended at", ended[-1])
print("status", long.status, "again", lab.compute(nap("awake", 0)), "same host", lab.host_pid == host)
"""


def copy_of_tour(folder: Path) -> Path:
    """Write the tour with cells at its end whose run takes ten minutes unless it is stopped."""
    notebook: dict[str, Any] = json.loads((NOTEBOOKS / "tour.ipynb").read_text("utf-8"))
    for name, source in (("setup", SETUP), ("naps", NAPS), ("after", AFTER)):
        cell = {"cell_type": "code", "execution_count": None, "id": name, "metadata": {}, "outputs": []}
        notebook["cells"].append(cell | {"source": source.strip()})
    path = folder / "tour.ipynb"
    path.write_text(json.dumps(notebook), "utf-8")
    return path


def open_notebook(page: Page, url: str, name: str) -> None:
    """Open a notebook and wait until its kernel is idle."""
    page.goto(url.format(path=name))
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=SHOWN_MS)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=SHOWN_MS)


def run_from_menu(page: Page, command: str) -> None:
    """Choose a command of the Run menu."""
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(f'.lm-Menu-item[data-command="{command}"]').click()


def outputs_of(page: Page, cell: str) -> Locator:
    """Return what the code cell with some text in its source shows."""
    return page.locator(".jp-CodeCell", has_text=cell).locator(".jp-Cell-outputArea")


def test_tour_runs_and_stops(page: Page, lab_url: str, tmp_path: Path) -> None:
    """All cells show their results; Stop cancels a long run within a second; kernel and lab host go on."""
    copy_of_tour(tmp_path / "notebooks")
    open_notebook(page, lab_url, "tour.ipynb")
    run_from_menu(page, "runmenu:run-all")

    expect(outputs_of(page, 'name="words"').locator("svg text", has_text="merge#2")).to_be_visible(timeout=SHOWN_MS)
    expect(outputs_of(page, 'dag.plan("wukong")').get_by_text("decided at run time")).to_be_visible(timeout=SHOWN_MS)
    expect(outputs_of(page, "result.compute()")).to_contain_text("[('=',", timeout=SHOWN_MS)
    expect(outputs_of(page, "cold.gantt()").locator("img")).to_be_visible(timeout=SHOWN_MS)
    expect(outputs_of(page, "except fl.TaskFailed")).to_contain_text("invalid literal for int()", timeout=SHOWN_MS)
    expect(outputs_of(page, "run_table(")).to_contain_text("two_halves", timeout=SHOWN_MS)
    expect(outputs_of(page, "Path(name).touch()")).to_contain_text("ready True", timeout=SHOWN_MS)
    errors = page.locator('[data-mime-type="application/vnd.jupyter.stderr"]')  # tracebacks have this type as well
    expect(errors).to_have_count(0)
    page.screenshot(path=tmp_path / "long-run.png")

    begun = tmp_path / "notebooks" / "begun"
    page.wait_for_timeout(100)
    while not begun.exists():
        page.wait_for_timeout(50)
    stopped_s = time.time()
    page.locator('.jp-NotebookPanel-toolbar [data-jp-item-name="interrupt"]').click()
    expect(outputs_of(page, "long.result()")).to_contain_text("KeyboardInterrupt", timeout=SHOWN_MS)

    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=SHOWN_MS)
    page.locator(".jp-CodeCell", has_text='print("status"').locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")
    after = outputs_of(page, 'print("status"')
    expect(after).to_contain_text("status cancelled again 0 same host True", timeout=SHOWN_MS)
    page.screenshot(path=tmp_path / "stopped.png")
    ended = re.search(r"ended at ([\d.]+)", after.inner_text())
    assert ended is not None
    assert float(ended[1]) - stopped_s < CANCELLED_S
