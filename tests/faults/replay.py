"""Run one trial again and show it: ``./run python -m tests.faults.replay --shape S --planner P --seed N``."""

import argparse
import sys

from tests.faults.shapes import PLANNERS, SHAPES, make_case
from tests.faults.trial import Result, draw, try_out


def command(shape: str, planner: str, seed: int) -> str:
    """Return the command that replays a trial."""
    return f"./run python -m tests.faults.replay --shape {shape} --planner {planner} --seed {seed}"


def show(result: Result) -> str:
    """Return a trial as text: its setting, its events, what was wrong."""
    setting = result.setting
    lines = [f"plan {setting.plan}, limit {setting.limit}", str(setting.model), str(setting.config)]
    lines += [f"  fault {fault}" for fault in setting.faults.faults]
    lines += [f"  {prewarm}" for prewarm in setting.prewarms]
    if result.run is not None:
        lines += [f"  {event}" for event in result.run.events]
    return "\n".join([*lines, f"outcome: {result.outcome}", *(f"WRONG: {what}" for what in result.wrong)])


def main() -> int:
    """Replay what the arguments say; the exit status is 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", required=True, choices=sorted(SHAPES))
    parser.add_argument("--planner", required=True, choices=PLANNERS)
    parser.add_argument("--seed", required=True, type=int)
    args = parser.parse_args()
    case = make_case(args.shape)
    result = try_out(case, draw(case, args.planner, args.seed))
    sys.stdout.write(show(result) + "\n")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
