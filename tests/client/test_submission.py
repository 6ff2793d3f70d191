"""What the store is given of a DAG: everything small rides, of a large DAG only what is in reach."""

import faaslab as fl
from faaslab.client.submission import MAX_CUTS, RunIdentity, build_spec
from faaslab.graph.generators import chain, fan, tree
from faaslab.protocol.messages import RunSpec
from faaslab.protocol.payload import Codec
from faaslab.protocol.wire import WorkerDag

SECRET = b"s" * 32


def spec_of(dag: fl.DAG, planner: str = "wukong", **settings: int) -> RunSpec:
    """Return the run that a client would hand to the store."""
    return build_spec(dag, dag.plan(planner), RunIdentity("run", "client", SECRET, "image", 0.0), fl.Config(**settings))


def test_a_small_dag_rides_inside_invocations() -> None:
    """Structure and code travel with the invocation; nothing is cut."""
    spec = spec_of(fl.DAG(tree(64)))
    assert set(spec.ride) == set(spec.parts)
    assert spec.cuts == {}


def test_of_a_large_dag_first_invocations_get_what_they_can_reach() -> None:
    """Two long chains: each first invocation rides with its own half."""
    dag = fl.DAG([chain(300), chain(300)])
    whole = len(spec_of(dag).parts[spec_of(dag).structure])
    spec = spec_of(dag, inline_dag_bytes=whole - 1)
    assert spec.ride == ()
    assert set(spec.cuts) == {start.invocation for start in spec.starts}
    for start in spec.starts:
        cut = WorkerDag.decode(Codec(SECRET).unseal(spec.parts[spec.cuts[start.invocation]]))
        assert len(cut.tasks) == 300
        assert start.tasks[0] in cut.tasks


def test_many_first_invocations_share_the_whole_dag() -> None:
    """Containers that serve many invocations fetch the DAG once instead."""
    wide = fl.DAG([chain(2) for _ in range(MAX_CUTS + 1)])
    assert spec_of(wide, inline_dag_bytes=1).cuts == {}


def test_planned_workers_share_the_whole_dag() -> None:
    """A planned worker's order must not be cut: its first task is what invokes it."""
    assert spec_of(fl.DAG(fan(3)), "per_task", inline_dag_bytes=1).cuts == {}


def test_runs_of_a_cut_dag_are_right() -> None:
    """Whatever rides, the result is the same."""
    for inline_dag_bytes in (0, 300, 256 * 1024):
        with fl.Lab("inline", config=fl.Config(inline_dag_bytes=inline_dag_bytes, runs_dir="")) as lab:
            assert lab.compute([chain(200), chain(100)]) == [200, 100]
