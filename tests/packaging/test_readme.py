"""The README tells the truth."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_readme_example_prints_what_it_says(tmp_path: Path) -> None:
    """The first example of the README, run as a script, prints exactly the output shown below it, and no more."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", text, re.DOTALL)
    assert found is not None
    script = tmp_path / "example.py"
    script.write_text(found[1], "utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command: list[str | Path] = [sys.executable, script]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, found[2], "")
    assert list(tmp_path.glob(".faaslab/runs/*/run.json")), "its trace is not saved"
