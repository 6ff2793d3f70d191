"""Make the README's figure from a real run: word count of 6 MB of Python sources on four cold Docker containers.

``./run python docs/readme_figure.py`` writes ``docs/readme_figure.png`` and needs a Docker engine. Times differ from
run to run and from machine to machine, what is drawn does not.
"""

from pathlib import Path

import faaslab as fl
from experiments.planners import DEMO
from experiments.workflows import word_count


def main() -> None:
    """Run, verify, draw."""
    workflow = word_count.build(DEMO.word_count)
    with fl.Lab(DEMO.launcher("docker"), config=fl.Config.from_env(runs_dir="")) as lab:
        run = lab.submit(workflow.dag, planner="wukong", sizes=[DEMO.size_mib])
        workflow.verify(run.result())
    run.gantt().savefig(Path(__file__).with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()
