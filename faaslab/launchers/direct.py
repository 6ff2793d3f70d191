"""User code in the calling thread, for launchers that have no processes: inline and virtual."""

import time

from faaslab.graph.functions import call
from faaslab.worker.actions import Execute, Outcome
from faaslab.worker.execute import remote_traceback


def execute_here(action: Execute) -> Outcome:
    """Call a task's function and return how that ended.

    ``sys.exit`` in a task is a failure of the task. ``timeout_s`` is not watched: nothing can stop code that runs in
    one's own thread. What it prints goes where it always goes.

    Raises:
        KeyboardInterrupt: Somebody pressed the key (or the task raised it): that is not for a run to swallow.
    """
    began_cpu_s, began_s = time.process_time(), time.perf_counter()
    try:
        value = call(action.function, action.args, action.kwargs, action.outputs)
    except (Exception, SystemExit) as error:
        return Outcome(error=error, traceback=remote_traceback(error))
    return Outcome(value, duration_s=time.perf_counter() - began_s, cpu_s=time.process_time() - began_cpu_s)
