"""A JupyterLab server and a Chromium that looks at it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from playwright.sync_api import Page, sync_playwright

TOKEN = "for-this-test"
START_S = 30.0
STOP_S = 10.0
SETTINGS = {
    # Cells out of sight must be in the page, too, and nothing may pop up over it.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
}


@contextmanager
def started(command: list[str], ready: str, *, env: dict[str, str], cwd: Path) -> Iterator[str]:
    """Start a program, wait until a line of its stderr matches ``ready``, yield the match, and end it."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    drain = threading.Thread(target=_drain, args=(process.stderr,), daemon=True)
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            found = re.search(ready, line)
            if found:
                break
        else:
            pytest.fail(f"{command[0]} ended: {''.join(said)}")
        drain.start()
        yield found[0]
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
        if drain.ident is not None:
            drain.join(STOP_S)
        process.stderr.close()


def _wait_until_answers(port: int) -> None:
    """Connect again and again: the server says that it is there a moment before it is."""
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


def _drain(stream: IO[str]) -> None:
    for _ in stream:
        pass


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a Chromium; without one, skip at home and fail in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "no Chromium on PATH (Debian: apt-get install chromium)"
        if os.environ.get("FAASLAB_CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def lab_url(tmp_path: Path, chromium: str) -> Iterator[str]:
    """Start JupyterLab on ``tmp_path / "notebooks"`` with settings of its own and return its address."""
    root = tmp_path / "notebooks"
    root.mkdir()
    settings = tmp_path / "jupyter" / "settings"
    for name, values in SETTINGS.items():
        path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), "utf-8")
    folders = {"CONFIG_DIR": "config", "RUNTIME_DIR": "runtime"}
    env = {
        **os.environ,
        **{f"JUPYTER_{name}": str(tmp_path / "jupyter" / folder) for name, folder in folders.items()},
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "jupyter" / "workspaces"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),  # cells call faaslab
        "FAASLAB_RUNS_DIR": str(tmp_path / "runs"),
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options, f"--notebook-dir={root}"]
    with started(command, rf"http://(localhost|127\.0\.0\.1):{port}/lab", env=env, cwd=root):
        _wait_until_answers(port)
        yield f"http://127.0.0.1:{port}/lab/tree/{{path}}?token={TOKEN}"


@pytest.fixture
def page(tmp_path: Path, chromium: str) -> Iterator[Page]:
    """Return a page of a fresh headless Chromium."""
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0"
    )
    command = [chromium, *flags.split(), f"--user-data-dir={tmp_path / 'chromium'}", "about:blank"]
    with started(command, r"ws://\S+", env=dict(os.environ), cwd=tmp_path) as address, sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(address)
        page = browser.new_context(viewport={"width": 1280, "height": 1600}).new_page()
        yield page
        browser.close()
