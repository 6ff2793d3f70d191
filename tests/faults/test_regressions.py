"""Schedules that once broke something, as data."""

import pytest

from faaslab.config import Config
from faaslab.launchers.faults import DuplicateCall, Fault, FaultSchedule
from faaslab.launchers.model import VirtualModel
from tests.faults.shapes import make_case
from tests.faults.trial import Setting, try_out

pytestmark = pytest.mark.faults

FOUND: dict[str, tuple[str, str, int, tuple[Fault, ...]]] = {
    "a completion that was overtaken ended its invocation": (
        "fork-join",
        "wukong",
        1,
        (DuplicateCall(call=5, by_s=0.2),),
    ),
    "a late copy of `next` let a late copy of a completion end its invocation": (
        "impure",
        "wukong",
        1,
        (DuplicateCall(call=1, by_s=0.2), DuplicateCall(call=3, by_s=0.2)),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    """What a schedule once broke stays repaired."""
    shape, plan, limit, faults = FOUND[name]
    setting = Setting(0, plan, limit, VirtualModel(), Config(), FaultSchedule(faults))
    assert try_out(make_case(shape), setting).wrong == ()
