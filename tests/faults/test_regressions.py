"""Schedules that once broke something, as data."""

from dataclasses import dataclass, field

import pytest

from faaslab.config import Config
from faaslab.launchers.faults import CrashContainer, DuplicateCall, Fault, FaultSchedule
from faaslab.launchers.model import VirtualModel
from tests.faults.shapes import make_case
from tests.faults.trial import Setting, try_out

pytestmark = pytest.mark.faults


@dataclass(frozen=True)
class Found:
    """A schedule and what it broke."""

    shape: str
    faults: tuple[Fault, ...]
    plan: str = "wukong"
    limit: int = 1
    model: VirtualModel = field(default_factory=VirtualModel)


FOUND = {
    "a completion that was overtaken ended its invocation": Found("fork-join", (DuplicateCall(call=5, by_s=0.2),)),
    "a late copy of `next` let a late copy of a completion end its invocation": Found(
        "impure", (DuplicateCall(call=1, by_s=0.2), DuplicateCall(call=3, by_s=0.2))
    ),
    "what a second attempt ran again silently was recorded, and a third one ran its successor twice": Found(
        "chain-5",
        (CrashContainer(0, 6), CrashContainer(1, 5), CrashContainer(2, 11)),
        model=VirtualModel(task_s=2.0, task_sigma=0.0),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    """What a schedule once broke stays repaired."""
    found = FOUND[name]
    setting = Setting(0, found.plan, found.limit, found.model, Config(), FaultSchedule(found.faults))
    assert try_out(make_case(found.shape), setting).wrong == ()
