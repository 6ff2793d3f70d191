"""The event loop, on flat arrays: what the engine does with a placed DAG, without its payloads.

::

    (time, kind, id)   STORE    a task's output and announcements reach the store   ROOT   the client invokes
                       BOOT     a new container asks for work                       LEAVE  an evicted container is gone
                       SUSPEND  a waiting worker is to give up its slot             BEGIN  a task shares the cores
                       YIELD    it has done so                                  PREWARM  empty invocations are sent
                       WARM     one has loaded all code

    turn to a task ─► wait for what others make ─► fetch ─► execute ─► put ─► STORE ─► next task, or the slot is free

Only what others can see is an event; what a worker does in between is computed at once. ``run_events`` is plain Python
on lists, and, compiled by numba, the same on arrays: hence one function, flat, without objects.

A worker of run time that takes several ready tasks has a stack of them, as ``WorkerMachine`` has. What such a task
finds at hand depends on the run: inputs that were made or fetched here for tasks that are still on the stack. All
others get by with what the placement says of them.
"""

import heapq
import math
from typing import Any

STORE, BOOT, YIELD, LEAVE, ROOT, BEGIN, SUSPEND, PREWARM, WARM = range(9)
CLIENT, COLD, QUEUE, LOCAL, REMOTE = range(5)
"""Why a task did not start earlier; see ``Simulation.why``."""
SENT, HERE = 1, 2
"""Whether an input of a task from a stack came with the answer that gave it to its worker, or is there already."""

FLUSH_S = 0.5
"""A worker that had no reason to call the store for so long reports its events then (``worker.machine``)."""
NARROW = 64
"""Inputs of a fan-in wider than this do not ride along with the invocation that starts it (as in the store)."""
BILLING_NOISE = 1e-6
"""Part of a billing step that is taken for floating-point error (``model.prices``)."""
_TURN, _EXECUTED, _READY = range(3)


def run_events(
    numbers: Any, limits: Any, dag: Any, placed: Any, extra: Any, filled: Any, tasks: Any, instances: Any
) -> Any:
    """Run a placed DAG.

    Args:
        numbers: Of the platform, floats; these and all others in the order in which they are unpacked below.
        limits: Of the platform and the plan, integers.
        dag: What is the same for all plans; see ``placement``.
        placed: What the plan says.
        extra: What its instructions say: a tuple of columns for each optimization; see ``placement``.
        filled: Copies of ``missing``, ``waits``, ``carry_s`` and ``fetch_s``, which are changed.
        tasks: What is found out of each task: arrays that are filled.
        instances: What is found out of each instance: arrays that are filled.

    Returns:
        Makespan, cost, GB-seconds, instances, containers, sinks that were not stored (0 of a valid plan).
    """
    latency_s, keep_s, down_s, gap_s, cores, step_s, usd_gb_s, usd_request, room_bytes = numbers[:9]
    most_cpus, most_gb, submit_s = numbers[9:]
    concurrency, bill_cold, pools, inline_bytes, sinks_left = limits
    undo_s = extra[4][0]
    has_undo = len(undo_s) > 0
    roots, up_from, up_task, is_sink, _, frame_bytes, next_from, next_task, next_edge = dag
    exec_s, pool_load, pool_of, pool_gb, worker_of, following, position, is_gate, announced, quiet = placed[:10]
    follows_input, visible, blob_s, frame_s, out_from, out_task, take_carry_s, take_fetch_s, touch = placed[10:19]
    pool_cpus, leaves, take, base_s, cold_s, invocation_s = placed[19:]
    missing, waits, carry_s, fetch_s = filled
    turn_s, begin_s, start_s, finish_s, visible_s, instance_of, before, via, why, stacked, at_hand = tasks
    i_first, i_requested, i_launched, i_started, i_ended, i_container, i_cold, i_by = instances[:8]
    i_yielded, i_waited_s, i_told_s = instances[8:]
    capacity = len(i_first)
    prewarm_after, prewarm_pool, prewarm_delay_s, prewarm_count, prewarm_latency_s = extra[3]
    has_prewarms = len(prewarm_after) > 0
    # Those that follow each task, as linked lists; those that follow none are on the heap.
    first_prewarm = [-1] * (len(exec_s) if has_prewarms else 1)
    next_prewarm = [-1] * (len(prewarm_after) + 1)
    # Ready tasks that an instance has taken, and has not turned to yet: the uppermost, and which is below it.
    uppermost = [-1] * capacity
    below = [-1] * len(exec_s)
    on_stack_of = [-1] * len(exec_s)
    sent_to = [-1] * len(exec_s)
    half_s = latency_s / 2
    never = math.inf
    shared = cores < never
    workers = len(exec_s)  # a bound: each worker has a task
    heap = [(submit_s, ROOT, 0)]
    # Tasks that share the cores: all progress at one rate, so each ends at a fixed sum of progress.
    shares = [(0.0, 0)]
    shares.pop()
    progress_s = progress_at_s = load = 0.0
    slow = 1.0
    ready_s = [never] * len(exec_s)
    current = [-1] * workers
    waiting_for = [-1] * workers
    called_s = [0.0] * workers
    gate = [-1] * workers
    asked_to = [0] * workers
    yielding = [0] * workers
    asked = [(0, 0)]
    asked.pop()
    asked_at = 0
    flushed_s = [0.0] * capacity
    c_pool = [0] * capacity
    c_last = [-1] * capacity
    c_ready_s = [0.0] * capacity
    c_used = [0] * capacity
    c_until_s = [0.0] * capacity
    c_newer = [-1] * capacity
    c_older = [-1] * capacity
    empty_head = [-1] * pools
    empty_tail = [-1] * pools
    empties = [0] * pools
    warming = [0] * pools
    empty_pending = 0
    oldest = [-1] * pools
    newest = [-1] * pools
    idle = [0] * pools
    booting = [0] * pools
    queue_head = [-1] * pools
    queue_tail = [-1] * pools
    queued = [0] * pools
    i_after = [-1] * capacity
    pending = alive = leaving = containers = count = 0
    alive_cpus = alive_gb = leaving_cpus = leaving_gb = 0.0
    makespan_s = cost_usd = gb_seconds = 0.0
    invoked = [0]
    invoked.pop()
    taken = [0]
    taken.pop()
    matched = [(0, 0)]
    matched.pop()
    going = [(0, 0.0, _TURN)]
    going.pop()
    for number in range(len(prewarm_after) - 1, -1, -1):
        task = prewarm_after[number]
        if task >= 0:
            next_prewarm[number] = first_prewarm[task]
            first_prewarm[task] = number
        else:
            heapq.heappush(heap, (submit_s + prewarm_delay_s[number], PREWARM, number))
    while sinks_left > 0 and (len(heap) > 0 or len(shares) > 0):
        free = by = ended = last = -1
        end_s = progress_at_s + (shares[0][0] - progress_s) * slow if len(shares) > 0 else never
        if len(shares) > 0 and (len(heap) == 0 or end_s <= heap[0][0]):
            progress_s, task = heapq.heappop(shares)
            now_s = progress_at_s = end_s
            load -= pool_load[pool_of[task]]
            slow = load / cores if load > cores else 1.0
            going.append((task, now_s, _EXECUTED))
        else:
            now_s, kind, key = heapq.heappop(heap)
            if kind == STORE:
                task = by = key
                i = instance_of[task]
                planned = worker_of[task] >= 0
                most = take[task]
                start, stop = out_from[task], out_from[task + 1]
                for edge in range(start, stop):
                    other = out_task[edge]
                    missing[other] -= 1
                    if missing[other] > 0:
                        continue
                    owner = worker_of[other]
                    if owner < 0:
                        if len(taken) < most and pool_of[other] == pool_of[task]:
                            taken.append(edge)
                        else:
                            invoked.append(other)
                        continue
                    ready_s[other] = now_s
                    if is_gate[other] or gate[owner] == other:
                        gate[owner] = -1
                        invoked.append(other)
                    elif waiting_for[owner] == other and not yielding[owner]:
                        waiting_for[owner] = -1
                        why[other] = REMOTE
                        via[other] = task
                        told_s = called_s[owner] + half_s if now_s <= called_s[owner] else now_s + half_s + latency_s
                        going.append((other, told_s + carry_s[other], _READY))
                if is_sink[task]:
                    sinks_left -= 1
                    makespan_s = now_s
                if has_prewarms:
                    number = first_prewarm[task]
                    while number >= 0:
                        heapq.heappush(heap, (now_s + prewarm_delay_s[number], PREWARM, number))
                        number = next_prewarm[number]
                again_s = now_s + half_s
                local = True
                if planned:
                    visible_s[task] = now_s
                    other = following[task]
                    local = other >= 0 and follows_input[other] == 1
                else:
                    other = -1
                    if visible[task] or stop - start > len(taken):
                        visible_s[task] = now_s
                    if len(taken) == 1 and uppermost[i] < 0:
                        other = out_task[taken[0]]
                        fetch_s[other] = take_fetch_s[taken[0]]
                        again_s += take_carry_s[taken[0]]
                    elif len(taken) > 0 or uppermost[i] >= 0:
                        # What comes with the answer, and what is here for tasks that were taken before.
                        room_left = room_bytes
                        for taken_edge in taken:
                            other = out_task[taken_edge]
                            stacked[other] = 1
                            narrow = up_from[other + 1] - up_from[other] <= NARROW
                            for edge in range(up_from[other], up_from[other + 1]):
                                kept = up_task[edge]
                                found = HERE if kept == task else 0
                                if found == 0 and uppermost[i] >= 0:
                                    for at in range(next_from[kept], next_from[kept + 1]):
                                        if on_stack_of[next_task[at]] == i and at_hand[next_edge[at]] > 0:
                                            found = at_hand[next_edge[at]]
                                            if found == HERE:
                                                break
                                travels = 0.0 if frame_bytes[kept] > inline_bytes else frame_bytes[kept]
                                if sent_to[kept] == task:
                                    found = max(found, SENT)
                                elif kept != task and narrow and room_bytes > 0 and travels <= room_left:
                                    room_left -= travels
                                    again_s += travels * down_s
                                    sent_to[kept] = task
                                    found = max(found, SENT)
                                at_hand[edge] = found
                        for place in range(len(taken) - 1, -1, -1):
                            other = out_task[taken[place]]
                            below[other] = uppermost[i]
                            on_stack_of[other] = i
                            uppermost[i] = other
                        other = uppermost[i]
                        uppermost[i] = below[other]
                        on_stack_of[other] = -1
                        local = len(taken) > 0
                    taken.clear()
                if other >= 0:
                    instance_of[other] = i
                    before[other] = via[other] = task
                    why[other] = LOCAL if local else QUEUE
                    going.append((other, again_s, _TURN))
                else:
                    free = i_container[i]
                    ended = i
                    last = task
            elif kind == BOOT:
                free = key
                booting[c_pool[free]] -= 1
            elif kind == SUSPEND:
                owner = worker_of[key]
                if waiting_for[owner] == key:
                    # What it keeps for its own later tasks goes to the store first.
                    yielding[owner] = 1
                    i_told_s[current[owner]] = now_s + half_s
                    gone_s = now_s + half_s
                    other = key
                    while other >= 0:
                        for edge in range(up_from[other], up_from[other + 1]):
                            kept = up_task[edge]
                            if worker_of[kept] == owner and position[kept] < position[key] and visible_s[kept] == never:
                                visible_s[kept] = -1.0
                                gone_s += blob_s[kept] + frame_s[kept]
                        other = following[other]
                    gone_s += half_s
                    other = key
                    while other >= 0:
                        for edge in range(up_from[other], up_from[other + 1]):
                            if visible_s[up_task[edge]] == -1.0:
                                visible_s[up_task[edge]] = gone_s
                        other = following[other]
                    heapq.heappush(heap, (gone_s, YIELD, owner))
            elif kind == YIELD:
                i = current[key]
                free = i_container[i]
                if asked_to[key]:
                    leaving -= 1
                    leaving_cpus -= pool_cpus[c_pool[free]]
                    leaving_gb -= pool_gb[c_pool[free]]
                asked_to[key] = yielding[key] = 0
                task = waiting_for[key]
                ended = i
                last = before[task]
                waiting_for[key] = -1
                i_yielded[i] = task
                i_waited_s[i] = i_told_s[i] - turn_s[task]
                if ready_s[task] < never:
                    # It became ready meanwhile.
                    invoked.append(task)
                    by = -2
                    for edge in range(up_from[task], up_from[task + 1]):
                        if visible_s[up_task[edge]] == ready_s[task]:
                            by = -3 - up_task[edge]
                else:
                    gate[key] = task
            elif kind == LEAVE:
                pool = c_pool[key]
                leaving -= 1
                leaving_cpus -= pool_cpus[pool]
                leaving_gb -= pool_gb[pool]
                alive -= 1
                alive_cpus -= pool_cpus[pool]
                alive_gb -= pool_gb[pool]
            elif kind == ROOT:
                while key < len(roots):
                    root_s = submit_s + key * gap_s
                    if root_s > now_s:
                        heapq.heappush(heap, (root_s, ROOT, key))
                        break
                    task = roots[key]
                    if worker_of[task] < 0 or position[task] == 0:
                        invoked.append(task)
                    key += 1
            elif kind == PREWARM:
                pool = prewarm_pool[key]
                for _ in range(prewarm_count[key]):
                    i = count
                    count += 1
                    i_first[i] = -1 - key
                    i_requested[i] = now_s
                    i_by[i] = -1
                    container = newest[pool]
                    if container >= 0 and c_until_s[container] <= now_s:
                        alive -= idle[pool]
                        alive_cpus -= idle[pool] * pool_cpus[pool]
                        alive_gb -= idle[pool] * pool_gb[pool]
                        idle[pool] = 0
                        oldest[pool] = newest[pool] = container = -1
                    if container >= 0:
                        idle[pool] -= 1
                        newest[pool] = c_older[container]
                        if newest[pool] >= 0:
                            c_newer[newest[pool]] = -1
                        else:
                            oldest[pool] = -1
                        matched.append((i, container))
                    else:
                        if empty_tail[pool] >= 0:
                            i_after[empty_tail[pool]] = i
                        else:
                            empty_head[pool] = i
                        empty_tail[pool] = i
                        empties[pool] += 1
                        empty_pending += 1
            elif kind == WARM:
                ended = key
                free = i_container[ended]
                warming[c_pool[free]] -= 1
            else:
                progress_s += (now_s - progress_at_s) / slow
                progress_at_s = now_s
                load += pool_load[pool_of[key]]
                slow = load / cores if load > cores else 1.0
                heapq.heappush(shares, (progress_s + exec_s[key], key))

        # What was invoked gets the container that became idle last, or waits.
        for task in invoked:
            i = count
            count += 1
            i_first[i] = task
            i_requested[i] = now_s
            i_by[i] = by
            if worker_of[task] >= 0:
                current[worker_of[task]] = i
            pool = pool_of[task]
            container = newest[pool]
            if container >= 0 and c_until_s[container] <= now_s:
                alive -= idle[pool]
                alive_cpus -= idle[pool] * pool_cpus[pool]
                alive_gb -= idle[pool] * pool_gb[pool]
                idle[pool] = 0
                oldest[pool] = newest[pool] = container = -1
            if container >= 0:
                idle[pool] -= 1
                newest[pool] = c_older[container]
                if newest[pool] >= 0:
                    c_newer[newest[pool]] = -1
                else:
                    oldest[pool] = -1
                matched.append((i, container))
            else:
                if empties[pool] > 0:
                    # It takes the place of an empty one: see ``storage.memory``.
                    other = empty_head[pool]
                    empty_head[pool] = i_after[other]
                    if i_after[other] < 0:
                        empty_tail[pool] = -1
                    empties[pool] -= 1
                    empty_pending -= 1
                    i_ended[other] = now_s
                if queue_tail[pool] >= 0:
                    i_after[queue_tail[pool]] = i
                else:
                    queue_head[pool] = i
                queue_tail[pool] = i
                queued[pool] += 1
                pending += 1
        if len(invoked) > 0:
            invoked.clear()

        # A container without work takes the invocation that has waited longest, or becomes idle.
        if free >= 0:
            pool = c_pool[free]
            if ended >= 0:
                if last >= 0:
                    c_last[free] = last
                i_ended[ended] = now_s
                wall_s = now_s - (i_launched[ended] if bill_cold else i_started[ended])
                billed_gb_s = pool_gb[pool] * (max(0, math.ceil(wall_s / step_s - BILLING_NOISE)) * step_s)
                gb_seconds += billed_gb_s
                cost_usd += billed_gb_s * usd_gb_s + usd_request
            i = queue_head[pool]
            if i >= 0:
                queue_head[pool] = i_after[i]
                if i_after[i] < 0:
                    queue_tail[pool] = -1
                queued[pool] -= 1
                pending -= 1
                matched.append((i, free))
            elif ended < 0 and empties[pool] > 0:
                i = empty_head[pool]
                empty_head[pool] = i_after[i]
                if i_after[i] < 0:
                    empty_tail[pool] = -1
                empties[pool] -= 1
                empty_pending -= 1
                matched.append((i, free))
            else:
                c_until_s[free] = now_s + latency_s + keep_s
                c_older[free] = newest[pool]
                c_newer[free] = -1
                if newest[pool] >= 0:
                    c_newer[newest[pool]] = free
                else:
                    oldest[pool] = free
                newest[pool] = free
                idle[pool] += 1

        for i, container in matched:
            task = i_first[i]
            if task < 0:
                number = -1 - task
                i_container[i] = container
                began_s = max(now_s + half_s, i_requested[i] + prewarm_latency_s[number])
                i_started[i] = i_launched[i] = began_s
                if c_used[container] == 0 and i_requested[i] <= c_ready_s[container]:
                    i_cold[i] = 1
                    i_launched[i] = max(i_requested[i], began_s - (cold_s[container] + latency_s))
                c_used[container] = 1
                warming[prewarm_pool[number]] += 1
                heapq.heappush(heap, (began_s + half_s, WARM, i))
                continue
            resumed = worker_of[task] >= 0 and position[task] > 0
            arrived_s = now_s + half_s + (carry_s[task] if worker_of[task] < 0 else 0.0)
            began_s = max(arrived_s, i_requested[i] + invocation_s[task])
            i_started[i] = began_s
            i_container[i] = container
            flushed_s[i] = arrived_s
            instance_of[task] = i
            before[task] = -1
            told_by = i_by[i] if i_by[i] >= 0 else -3 - i_by[i]
            via[task] = told_by if told_by >= 0 else -1
            first = c_used[container] == 0
            c_used[container] = 1
            if first and i_requested[i] <= c_ready_s[container]:
                i_cold[i] = 1
                # As traces read it: the phases of a start count, but not from before it was asked for.
                i_launched[i] = max(i_requested[i], began_s - (cold_s[container] + latency_s))
                why[task] = COLD
            else:
                i_launched[i] = began_s
                if i_requested[i] < now_s:
                    why[task] = QUEUE
                    via[task] = c_last[container]
                elif told_by >= 0:
                    why[task] = REMOTE
                else:
                    why[task] = CLIENT
            going.append((task, began_s + (latency_s if resumed else 0.0), _TURN))
        if len(matched) > 0:
            matched.clear()

        for task, at_s, stage in going:
            while True:
                owner = worker_of[task]
                i = instance_of[task]
                if stage == _TURN:
                    turn_s[task] = at_s
                    if owner >= 0:
                        base = position[i_first[i]]
                        if base > 0:
                            # It gave up its slot: what it had at hand before has to be fetched.
                            room_left = room_bytes
                            calls = blobs = 0
                            carried_s = fetched_s = 0.0
                            waits[task] = 0
                            for edge in range(up_from[task], up_from[task + 1]):
                                if touch[edge] >= base:
                                    continue
                                size = frame_bytes[up_task[edge]]
                                travels = 0.0 if size > inline_bytes else size
                                if has_undo:
                                    fetched_s += undo_s[up_task[edge]]
                                if size > inline_bytes:
                                    blobs += 1
                                    fetched_s += size * down_s
                                if announced[task] and travels <= room_left and room_bytes > 0:
                                    room_left -= travels
                                    carried_s += travels * down_s
                                else:
                                    calls = 1
                                    fetched_s += travels * down_s
                                waits[task] = announced[task]
                            carry_s[task] = carried_s
                            fetch_s[task] = fetched_s + (calls + blobs) * latency_s + base_s[task]
                    elif stacked[task]:
                        calls = blobs = 0
                        fetched_s = 0.0
                        for edge in range(up_from[task], up_from[task + 1]):
                            if at_hand[edge] == HERE:
                                continue
                            kept = up_task[edge]
                            size = frame_bytes[kept]
                            if has_undo:
                                fetched_s += undo_s[kept]
                            if size > inline_bytes:
                                blobs += 1
                                fetched_s += size * down_s
                            if at_hand[edge] != SENT:
                                calls = 1
                                fetched_s += 0.0 if size > inline_bytes else size * down_s
                            if uppermost[i] >= 0:
                                for at in range(next_from[kept], next_from[kept + 1]):
                                    if on_stack_of[next_task[at]] == i:
                                        at_hand[next_edge[at]] = HERE
                        fetch_s[task] = fetched_s + (calls + blobs) * latency_s + base_s[task]
                    if waits[task]:
                        called = at_s + half_s
                        if ready_s[task] > called:
                            waiting_for[owner] = task
                            called_s[owner] = called
                            if leaves[task]:
                                heapq.heappush(heap, (called, SUSPEND, task))
                            else:
                                asked.append((owner, task))
                            break
                        at_s = called + half_s + carry_s[task]
                if stage != _EXECUTED:
                    begin_s[task] = at_s
                    at_s += fetch_s[task]
                    start_s[task] = at_s
                    if shared:
                        heapq.heappush(heap, (at_s, BEGIN, task))
                        break
                    at_s += exec_s[task]
                finish_s[task] = at_s
                other = quiet[task]
                if other < 0:
                    at_s += blob_s[task]
                    flushed_s[i] = at_s
                    heapq.heappush(heap, (at_s + half_s + frame_s[task], STORE, task))
                    break
                number = first_prewarm[task] if has_prewarms else -1
                if number >= 0 or at_s >= flushed_s[i] + FLUSH_S:
                    flushed_s[i] = at_s
                    while number >= 0:
                        heapq.heappush(heap, (at_s + half_s + prewarm_delay_s[number], PREWARM, number))
                        number = next_prewarm[number]
                    at_s += latency_s
                instance_of[other] = i
                before[other] = via[other] = task
                why[other] = LOCAL if owner < 0 or follows_input[other] else QUEUE
                task = other
                stage = _TURN
        if len(going) > 0:
            going.clear()

        # The gateway: new containers while the limits allow, then idle ones of other sizes and waiting workers go; see
        # ``launchers.pool.pool_changes``, with which tests compare this.
        if pending > 0 and (alive < concurrency or pools > 1 or asked_at < len(asked)):
            # What is left now, and what will be once those that were told to leave have gone.
            slots = concurrency - alive
            cpus = most_cpus - alive_cpus
            gb = most_gb - alive_gb
            slots_soon = slots + leaving
            cpus_soon = cpus + leaving_cpus
            gb_soon = gb + leaving_gb
            stuck = False
            for pool in range(pools - 1, -1, -1):
                need_cpus = pool_cpus[pool]
                need_gb = pool_gb[pool]
                needed = queued[pool] - booting[pool] - warming[pool]
                while needed > 0:
                    fits = min(needed, slots, int(cpus // need_cpus), int(gb // need_gb))
                    if fits < 1:
                        for other in range(pools):
                            gone = 0
                            while oldest[other] >= 0 and c_until_s[oldest[other]] <= now_s:
                                container = oldest[other]
                                oldest[other] = c_newer[container]
                                if oldest[other] >= 0:
                                    c_older[oldest[other]] = -1
                                else:
                                    newest[other] = -1
                                gone += 1
                            idle[other] -= gone
                            alive -= gone
                            alive_cpus -= gone * pool_cpus[other]
                            alive_gb -= gone * pool_gb[other]
                            slots += gone
                            slots_soon += gone
                            cpus += gone * pool_cpus[other]
                            cpus_soon += gone * pool_cpus[other]
                            gb += gone * pool_gb[other]
                            gb_soon += gone * pool_gb[other]
                        fits = min(needed, slots, int(cpus // need_cpus), int(gb // need_gb))
                    if fits >= 1:
                        for container in range(containers, containers + fits):
                            c_pool[container] = pool
                            c_ready_s[container] = now_s + cold_s[container] + latency_s
                            heapq.heappush(heap, (c_ready_s[container] + half_s, BOOT, container))
                        needed -= fits
                        booting[pool] += fits
                        containers += fits
                        alive += fits
                        alive_cpus += fits * need_cpus
                        alive_gb += fits * need_gb
                        slots -= fits
                        slots_soon -= fits
                        cpus -= fits * need_cpus
                        cpus_soon -= fits * need_cpus
                        gb -= fits * need_gb
                        gb_soon -= fits * need_gb
                        continue
                    while slots_soon < 1 or cpus_soon < need_cpus or gb_soon < need_gb:
                        victim = -1
                        for other in range(pools):
                            if queued[other] == 0 and idle[other] > (idle[victim] if victim >= 0 else 0):
                                victim = other
                        if victim >= 0:
                            container = oldest[victim]
                            oldest[victim] = c_newer[container]
                            if oldest[victim] >= 0:
                                c_older[oldest[victim]] = -1
                            else:
                                newest[victim] = -1
                            idle[victim] -= 1
                            leaving += 1
                            leaving_cpus += pool_cpus[victim]
                            leaving_gb += pool_gb[victim]
                            slots_soon += 1
                            cpus_soon += pool_cpus[victim]
                            gb_soon += pool_gb[victim]
                            heapq.heappush(heap, (now_s + latency_s, LEAVE, container))
                            continue
                        owner = -1
                        while asked_at < len(asked) and owner < 0:
                            owner, task = asked[asked_at]
                            asked_at += 1
                            if waiting_for[owner] != task or yielding[owner]:
                                owner = -1
                        if owner < 0:
                            stuck = True
                            break
                        asked_to[owner] = yielding[owner] = 1
                        other = pool_of[task]
                        leaving += 1
                        leaving_cpus += pool_cpus[other]
                        leaving_gb += pool_gb[other]
                        slots_soon += 1
                        cpus_soon += pool_cpus[other]
                        gb_soon += pool_gb[other]
                        heapq.heappush(heap, (max(now_s, called_s[owner]), SUSPEND, task))
                    if stuck:
                        break
                    # What becomes free is meant for this pool.
                    needed -= 1
                    slots_soon -= 1
                    cpus_soon -= need_cpus
                    gb_soon -= need_gb
                    slots -= 1
                    cpus -= need_cpus
                    gb -= need_gb
                if stuck:
                    break

        # Empty invocations get new containers while the limits allow, and nobody waits for room.
        if empty_pending > 0:
            stuck = False
            for pool in range(pools):
                stuck = stuck or queued[pool] - booting[pool] - warming[pool] > 0
            for pool in range(pools):
                needed = empties[pool] - max(0, booting[pool] - max(0, queued[pool] - warming[pool]))
                if stuck or needed <= 0:
                    continue
                for other in range(pools):
                    while oldest[other] >= 0 and c_until_s[oldest[other]] <= now_s:
                        container = oldest[other]
                        oldest[other] = c_newer[container]
                        if oldest[other] >= 0:
                            c_older[oldest[other]] = -1
                        else:
                            newest[other] = -1
                        idle[other] -= 1
                        alive -= 1
                        alive_cpus -= pool_cpus[other]
                        alive_gb -= pool_gb[other]
                room = min(int((most_cpus - alive_cpus) // pool_cpus[pool]), int((most_gb - alive_gb) // pool_gb[pool]))
                fits = min(needed, concurrency - alive, room)
                if fits < 1:
                    continue
                for container in range(containers, containers + fits):
                    c_pool[container] = pool
                    c_ready_s[container] = now_s + cold_s[container] + latency_s
                    heapq.heappush(heap, (c_ready_s[container] + half_s, BOOT, container))
                booting[pool] += fits
                containers += fits
                alive += fits
                alive_cpus += fits * pool_cpus[pool]
                alive_gb += fits * pool_gb[pool]

    # What still makes containers warm ends with the run, and never comes to tell of it.
    for i in range(count if has_prewarms else 0):
        if i_first[i] < 0 and i_container[i] >= 0 and i_ended[i] == 0.0:
            i_cold[i] = 0
            i_started[i] = i_launched[i] = i_requested[i]
            i_ended[i] = makespan_s
            wall_s = makespan_s - i_requested[i]
            billed_gb_s = pool_gb[c_pool[i_container[i]]] * (
                max(0, math.ceil(wall_s / step_s - BILLING_NOISE)) * step_s
            )
            gb_seconds += billed_gb_s
            cost_usd += billed_gb_s * usd_gb_s + usd_request
    return makespan_s, cost_usd, gb_seconds, count, containers, sinks_left
