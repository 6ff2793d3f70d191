"""The event loop, on flat arrays: what the engine does with a placed DAG, without its payloads.

::

    (time, kind, id)   STORE    a task's output and announcements reach the store   ROOT   the client invokes
                       BOOT     a new container asks for work                       LEAVE  an evicted container is gone
                       SUSPEND  a waiting worker is to give up its slot             BEGIN  a task shares the cores
                       YIELD    it has done so                                      CALL   a task is asked for
                       WATCH    an assistant asks what is stored                    TAKE   it finds what was preloaded
                       PICK     an assistant goes on
    HOLD     a task's worker asks who is ready       RELEASE  what it held reaches the store
    ASK      it asks what has become of that         LET_GO   it has waited for that long enough
    PREWARM  empty invocations are sent                   WARM     one has loaded all code
    LOOK     a waiting worker looks whether to compute an input itself      COPIED  it tells that it has
    RETRY    it asks for its task again              NEED     its own worker asks whether anybody needs a task
    UPLOAD   it asks whether its output              DONE     it has nothing else to do
    OFFER    an output is offered to workers that wait for it

    turn to a task ─► wait for what others make ─► fetch ─► execute ─► put ─► STORE ─► next task, or the slot is free

Only what others can see is an event; what a worker does in between is computed at once. ``run_events`` is plain Python
on lists, and, compiled by numba, the same on arrays: hence one function, flat, without objects.

A worker of run time that takes several ready tasks has a stack of them, as ``WorkerMachine`` has. What such a task
finds at hand depends on the run: inputs that were made or fetched here for tasks that are still on the stack. All
others get by with what the placement says of them.

What a task with ``preload`` finds depends on the run as well: ``worker.assistant`` has fetched some of its inputs, or
is just fetching one. So its turn is an event, and so is what its worker's assistant does. That is taken to have room
for everything, and its worker's line for itself.
Of a task's inputs, ``missing`` have not arrived, and ``held_in`` of those are held by workers. When all are, the holder
of most is left with it, and the others' are ``due`` to be stored; see ``storage.memory``.

A copy that a worker makes of another one's task (``task_dup``) has a number, and among tasks that share cores that
number after all tasks'. What its worker finds at hand from then on is ``made``: by edge, the instance.

An output that is streamed goes chunk by chunk, as ``worker.streaming`` and ``worker.assistant`` have it. All of that is
computed when it is offered: nothing else touches it, if its consumers have room, live on, and do not fetch other things
meanwhile.
"""

import heapq
import math
from typing import Any

from faaslab.policy.duplication import MARGIN_S

STORE, BOOT, YIELD, LEAVE, ROOT, BEGIN, SUSPEND, CALL, TAKE, WATCH, PICK, HOLD, RELEASE, ASK, LET_GO = range(15)
PREWARM, WARM, LOOK, COPIED, RETRY, NEED, UPLOAD, DONE, OFFER = range(15, 24)
CLIENT, COLD, QUEUE, LOCAL, REMOTE = range(5)
"""Why a task did not start earlier; see ``Simulation.why``."""
SENT, HERE, EARLY, FLOWED = 1, 2, 3, 4
"""Whether an input of a task from a stack, or with ``preload``, came with the answer that gave the task to its worker,
is there already, was fetched beforehand, or was streamed."""
STACKED, PRELOADED = 1, 2
"""Of which kind such a task is."""
BATCH = 64
"""Small inputs that are fetched beforehand by one call (as in ``worker.assistant``)."""

CHUNKS, MOST_BYTES, WINDOW = 8, 8 * 1024 * 1024, 4
"""Into how many pieces an output is cut that is streamed, how large these are at most, and how many its producer is
ahead (as in ``worker.streaming``)."""
FLUSH_S = 0.5
"""A worker that had no reason to call the store for so long reports its events then (``worker.machine``)."""
NARROW = 64
"""Inputs of a fan-in wider than this do not ride along with the invocation that starts it (as in the store)."""
BILLING_NOISE = 1e-6
"""Part of a billing step that is taken for floating-point error (``model.prices``)."""
_TURN, _EXECUTED, _READY, _FETCHED, _ASKED = range(5)
_NOT_YET, _ITS, _OURS = range(3)
"""Whose an input is to fetch: nobody's yet, the assistant's, or its task's own."""
_STARTING, _BUSY, _LISTENING = 1, 2, 3


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
    preload, at_home_s, plain_s, shelved = extra[0]
    early = len(shelved) > 0
    stream, plain_blob_s, before_s, up_s = extra[1]
    has_streams = len(stream) > 0
    undo_s = extra[4][0]
    has_undo = len(undo_s) > 0
    roots, up_from, up_task, is_sink, _, frame_bytes, next_from, next_task, next_edge = dag
    exec_s, pool_load, pool_of, pool_gb, worker_of, following, position, is_gate, announced, quiet = placed[:10]
    follows_input, visible, blob_s, frame_s, out_from, out_task, take_carry_s, take_fetch_s, touch = placed[10:19]
    pool_cpus, leaves, take, base_s, cold_s, invocation_s = placed[19:]
    missing, waits, carry_s, fetch_s = filled
    turn_s, begin_s, start_s, finish_s, visible_s, instance_of, before, via, why, stacked, at_hand = tasks[:11]
    came_s, took_s, held_s, release_s, waited_until_s, held_waited_s, hand_of = tasks[11:18]
    made, copy_begin_s, copy_start_s, copy_finish_s, copy_on, skipped = tasks[18:24]
    streamed, offered_s, streamed_s = tasks[24:]
    hold, late, hold_wait_s, most_held, store_s = extra[5]
    has_policy = len(hold) > 0
    i_first, i_requested, i_launched, i_started, i_ended, i_container, i_cold, i_by = instances[:8]
    i_yielded, i_waited_s, i_told_s, i_reported_s, i_cut = instances[8:]
    capacity = len(i_first)
    copy_task, copy_own_s, copy_expected_s, copy_for, copy_exec_s, copy_plain_s, copy_keep_s, home_from = extra[2][:8]
    home, first_copy, next_copy, first_same, next_same, asks_first, asks_last = extra[2][8:]
    copies = len(copy_task)
    has_copies = len(asks_first) > 0
    # Whether each has been made or begun, and whether its inputs are looked for; which edges have arrived by copies.
    begun = [0] * copies
    copy_takes_s = [0.0] * copies
    looking = [0] * copies
    copied = [0] * (len(out_task) if has_copies else 0)
    asked_first = [0] * (len(exec_s) if has_copies else 0)
    copies_on = [0] * (capacity if has_copies else 0)
    listens_s = [0.0] * (len(exec_s) if has_copies else 0)
    # Of streams: which edges they come by, since when instances watch; and of the one at hand, by consumer: its edge,
    # when it looks for chunks next, how many it has, of how many its producer knows, and whether its bell has rung.
    flowed = [0] * (len(came_s) if has_streams else 0)
    watch_s = [0.0] * (capacity if has_streams else 0)
    taker_of = [-1] * (len(exec_s) if has_streams else 0)
    takers = [0]
    takers.pop()
    flow_edge = [0]
    flow_edge.pop()
    flow_look_s = [0.0]
    flow_look_s.pop()
    flow_has = [0]
    flow_has.pop()
    flow_told = [0]
    flow_told.pop()
    flow_rung = [0]
    flow_rung.pop()
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
    # Of assistants: whose each input is, inputs that they have not seen or not picked yet, and how many are left.
    shelf = [0] * len(came_s)
    task_of = [0] * len(came_s)
    next_input = [-1] * len(came_s)
    assistants = capacity if early else 0
    first_new = [-1] * assistants
    first_seen = [-1] * assistants
    wanted = [0] * assistants
    aids = [0] * assistants
    rung_s = [-1.0] * assistants
    listened_s = [-1.0] * assistants
    if early:
        for task in range(len(exec_s)):
            for edge in range(up_from[task], up_from[task + 1]):
                task_of[edge] = task
    some = len(hold)
    holding = [0] * some
    held_in = [0] * some
    held_left = [0] * some
    due = [0] * some
    owned = [0] * some
    held_next = [-1] * some
    given_next = [-1] * some
    wait_left_s = [0.0] * some
    of_instances = capacity if has_policy else 0
    held_first = [-1] * of_instances
    held_last = [-1] * of_instances
    held_bytes = [0.0] * of_instances
    given_first = [-1] * of_instances
    given_last = [-1] * of_instances
    own_next = [-1] * of_instances
    own_place = [-1] * of_instances
    last_run = [-1] * of_instances
    letting = [0] * of_instances
    mixed = [0] * of_instances
    waits_since_s = [-1.0] * of_instances
    asks = [0] * of_instances
    i_waits = [-1] * of_instances
    total_of = [0.0] * of_instances
    edges_of = [0] * of_instances
    contested = [(0, 0)]
    contested.pop()
    holders = [0]
    holders.pop()
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
        free = by = ended = last = stepping = ringing = -1
        again_s = 0.0
        kind = task = -1
        end_s = progress_at_s + (shares[0][0] - progress_s) * slow if len(shares) > 0 else never
        if len(shares) > 0 and (len(heap) == 0 or end_s <= heap[0][0]):
            progress_s, task = heapq.heappop(shares)
            now_s = progress_at_s = end_s
            number = task - len(exec_s)
            load -= pool_load[pool_of[copy_for[number] if number >= 0 else task]]
            slow = load / cores if load > cores else 1.0
            if number >= 0:
                copy_finish_s[number] = now_s
                heapq.heappush(heap, (now_s + copy_keep_s[number] + half_s, COPIED, number))
            else:
                going.append((task, now_s, _EXECUTED))
        else:
            now_s, kind, key = heapq.heappop(heap)
            if kind == STORE:
                task = by = key
                ringing = key
                i = instance_of[task]
                planned = worker_of[task] >= 0
                most = take[task]
                start, stop = out_from[task], out_from[task + 1]
                if has_copies:
                    i_reported_s[i] = now_s - half_s
                for edge in range(start, stop):
                    if has_copies and copied[edge] == 1:
                        continue
                    other = out_task[edge]
                    missing[other] -= 1
                    if missing[other] > 0:
                        if has_policy and missing[other] == held_in[other]:
                            contested.append((other, 1))
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
                        heard_s = max(now_s, listens_s[owner]) if has_copies else now_s
                        told_s = called_s[owner] + half_s if now_s <= called_s[owner] else heard_s + half_s + latency_s
                        if not early or not shelved[other] or other == i_first[current[owner]]:
                            going.append((other, told_s + carry_s[other], _READY))
                        elif now_s <= called_s[owner]:
                            heapq.heappush(heap, (told_s + carry_s[other], TAKE, other))
                        else:
                            heapq.heappush(heap, (heard_s + half_s, CALL, other))
                if is_sink[task]:
                    sinks_left -= 1
                    makespan_s = now_s
                if has_prewarms:
                    number = first_prewarm[task]
                    while number >= 0:
                        heapq.heappush(heap, (now_s + prewarm_delay_s[number], PREWARM, number))
                        number = next_prewarm[number]
                again_s = now_s + half_s
                if has_policy:
                    stepping = i
                else:
                    local = True
                    if planned:
                        if not has_streams or streamed[task] <= 0:
                            visible_s[task] = now_s
                        other = following[task]
                        local = other >= 0 and follows_input[other] == 1
                    else:
                        other = -1
                        if visible[task] or stop - start > len(taken):
                            visible_s[task] = now_s
                        if len(taken) == 1:
                            other = out_task[taken[0]]
                            fetch_s[other] = take_fetch_s[taken[0]]
                            again_s += take_carry_s[taken[0]]
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
                if early:
                    stacked[task] = 0
                    other = task
                    while other >= 0:
                        for edge in range(up_from[other], up_from[other + 1]):
                            shelf[edge] = _NOT_YET
                        other = following[other]
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
            elif kind == CALL:
                task = key
                owner = worker_of[task]
                base = position[i_first[instance_of[task]]]
                stacked[task] = PRELOADED
                left = 0
                carried_s = 0.0
                room_left = room_bytes
                for edge in range(up_from[task], up_from[task + 1]):
                    is_here = touch[edge] >= base or (has_policy and hand_of[edge] == instance_of[task])
                    is_here = is_here or (has_copies and made[edge] == instance_of[task])
                    at_hand[edge] = HERE if is_here else 0
                    if is_here or (shelf[edge] == _ITS and (not has_streams or flowed[edge] == 0)):
                        continue
                    if has_streams and shelf[edge] == _ITS and came_s[edge] <= now_s:
                        continue
                    left += 1
                    size = frame_bytes[up_task[edge]]
                    travels = 0.0 if size > inline_bytes else size
                    if announced[task] and room_bytes > 0 and travels <= room_left:
                        room_left -= travels
                        carried_s += travels * down_s
                        at_hand[edge] = SENT
                called = now_s + half_s
                if left == 0 or not announced[task]:
                    heapq.heappush(heap, (now_s, TAKE, task))
                elif ready_s[task] <= called:
                    heapq.heappush(heap, (called + half_s + carried_s, TAKE, task))
                else:
                    carry_s[task] = carried_s
                    waiting_for[owner] = task
                    called_s[owner] = called
                    if leaves[task]:
                        heapq.heappush(heap, (called, SUSPEND, task))
                    else:
                        asked.append((owner, task))
                        if has_copies:
                            listens_s[owner] = called + half_s
                            number = first_copy[task] if base == 0 else -1
                            while number >= 0 and begun[number] == 1:
                                number = next_copy[number]
                            if number >= 0:
                                listens_s[owner] += latency_s
                                heapq.heappush(heap, (called + latency_s, LOOK, task))
            elif kind == TAKE and has_copies and asks_first[key] == 1 and asked_first[key] == 0:
                heapq.heappush(heap, (now_s + half_s, NEED, key))
            elif kind == TAKE:
                task = key
                i = instance_of[task]
                base = position[i_first[i]]
                begin_s[task] = now_s
                calls = blobs = 0
                moved = undone_s = 0.0
                latest_s = now_s
                own = -1
                for edge in range(up_from[task], up_from[task + 1]):
                    if at_hand[edge] == HERE:
                        continue
                    kept = up_task[edge]
                    size = frame_bytes[kept]
                    if has_undo:
                        undone_s += undo_s[kept]
                    if shelf[edge] == _ITS and (at_hand[edge] != SENT or size > inline_bytes):
                        at_hand[edge] = FLOWED if has_streams and flowed[edge] == 1 else EARLY
                        latest_s = max(latest_s, came_s[edge])
                        continue
                    is_its = shelf[edge] == _NOT_YET and aids[i] >= _BUSY and worker_of[kept] != worker_of[task]
                    if is_its and preload[task]:
                        wanted[i] -= 1
                    shelf[edge] = _OURS
                    own = edge if own < 0 else own
                    if size > inline_bytes:
                        blobs += 1
                        moved += size
                    if at_hand[edge] != SENT:
                        calls = 1
                        moved += 0.0 if size > inline_bytes else size
                luck = fetch_s[task] / plain_s[task] if plain_s[task] > 0 else 1.0
                own_s = ((calls + blobs) * latency_s + moved * down_s) * luck
                if own >= 0:
                    took_s[own] = own_s
                own_s += now_s + base_s[task]
                going.append(
                    (task, max(own_s, latest_s) + undone_s + (at_home_s[task] if base == 0 else 0.0), _FETCHED)
                )
            elif kind == WATCH:
                i = key
                if aids[i] == _STARTING:
                    aids[i] = _BUSY
                    base = position[i_first[i]]
                    last = -1
                    other = following[i_first[i]]
                    while other >= 0:
                        for edge in range(up_from[other], up_from[other + 1]):
                            kept = up_task[edge]
                            if (
                                preload[other]
                                and touch[edge] < base
                                and worker_of[kept] != worker_of[other]
                                and shelf[edge] == _NOT_YET
                            ):
                                wanted[i] += 1
                                if visible_s[kept] <= now_s:
                                    if last < 0:
                                        first_seen[i] = edge
                                    else:
                                        next_input[last] = edge
                                    next_input[edge] = -1
                                    last = edge
                        other = following[other]
                elif aids[i] == _BUSY:
                    # What is new takes its place in the order of need.
                    edge = first_new[i]
                    first_new[i] = -1
                    while edge >= 0:
                        following_edge = next_input[edge]
                        place = position[task_of[edge]]
                        at = -1
                        later = first_seen[i]
                        while later >= 0 and (
                            position[task_of[later]] < place or (position[task_of[later]] == place and later < edge)
                        ):
                            at = later
                            later = next_input[later]
                        next_input[edge] = later
                        if at < 0:
                            first_seen[i] = edge
                        else:
                            next_input[at] = edge
                        edge = following_edge
                if aids[i] == _BUSY:
                    heapq.heappush(heap, (now_s + half_s, PICK, i))
            elif kind == PICK:
                i = key
                edge = first_seen[i] if aids[i] == _BUSY else -1
                while edge >= 0 and shelf[edge] != _NOT_YET:
                    edge = next_input[edge]
                if aids[i] == _BUSY:
                    first_seen[i] = edge
                if edge >= 0:
                    task = task_of[edge]
                    size = frame_bytes[up_task[edge]]
                    luck = fetch_s[task] / plain_s[task] if plain_s[task] > 0 else 1.0
                    if size > inline_bytes:
                        shelf[edge] = _ITS
                        wanted[i] -= 1
                        took_s[edge] = (latency_s + size * down_s) * luck
                        came_s[edge] = now_s + took_s[edge]
                    else:
                        gathered = 0
                        moved = 0.0
                        at = edge
                        while at >= 0 and gathered < BATCH:
                            size = frame_bytes[up_task[at]]
                            if shelf[at] == _NOT_YET and size <= inline_bytes:
                                gathered += 1
                                moved += size
                                shelf[at] = _ITS
                                came_s[at] = -1.0
                            at = next_input[at]
                        wanted[i] -= gathered
                        took_s[edge] = (latency_s + moved * down_s) * luck
                        at = edge
                        while gathered > 0:
                            if came_s[at] == -1.0:
                                came_s[at] = now_s + took_s[edge]
                                gathered -= 1
                            at = next_input[at]
                    heapq.heappush(heap, (came_s[edge], PICK, i))
                elif aids[i] == _BUSY and wanted[i] <= 0:
                    aids[i] = 0
                elif aids[i] == _BUSY and rung_s[i] > listened_s[i]:
                    listened_s[i] = now_s
                    heapq.heappush(heap, (now_s + latency_s, WATCH, i))
                elif aids[i] == _BUSY:
                    aids[i] = _LISTENING
            elif kind == LOOK:
                task = key
                owner = worker_of[task]
                if waiting_for[owner] == task and yielding[owner] == 0:
                    i = current[owner]
                    best = -1
                    longest_s = fetched_s = 0.0
                    number = first_copy[task]
                    while number >= 0:
                        other = copy_task[number]
                        looking[number] = 0
                        edge = up_from[task]
                        while up_task[edge] != other:
                            edge += 1
                        if begun[number] == 1 or visible_s[other] <= now_s or (early and shelf[edge] == _ITS):
                            number = next_copy[number]
                            continue
                        since_s = submit_s
                        calls = blobs = 0
                        moved = undone_s = 0.0
                        place = home_from[number]
                        for edge in range(up_from[other], up_from[other + 1]):
                            kept = up_task[edge]
                            is_here = home[place] == 1
                            place += 1
                            for at in range(next_from[kept], next_from[kept + 1]):
                                if made[next_edge[at]] == i and position[next_task[at]] >= position[task]:
                                    is_here = True
                            if visible_s[kept] <= now_s:
                                since_s = max(since_s, visible_s[kept])
                            elif is_here:
                                since_s = now_s + half_s
                            else:
                                looking[number] = 1
                            if not is_here:
                                calls = 1
                                blobs += 1 if frame_bytes[kept] > inline_bytes else 0
                                moved += frame_bytes[kept]
                                if has_undo:
                                    undone_s += undo_s[kept]
                        left_s = copy_expected_s[number] - (now_s + half_s - since_s)
                        pays = looking[number] == 0 and copy_own_s[number] + MARGIN_S < left_s
                        if pays and left_s > longest_s:
                            best = number
                            longest_s = left_s
                            fetched_s = (calls + blobs) * latency_s + moved * down_s + undone_s + base_s[other]
                        number = next_copy[number]
                    if best >= 0:
                        # What it fetches for it stays at hand while tasks of its own need that.
                        waiting_for[owner] = -1
                        begun[best] = 1
                        copies_on[i] = 1
                        other = copy_task[best]
                        for edge in range(up_from[other], up_from[other + 1]):
                            kept = up_task[edge]
                            for at in range(next_from[kept], next_from[kept + 1]):
                                user = next_task[at]
                                if worker_of[user] == owner and position[user] >= position[task]:
                                    made[next_edge[at]] = i
                        luck = exec_s[other] / copy_plain_s[best] if copy_plain_s[best] > 0 else 1.0
                        copy_takes_s[best] = copy_exec_s[best] * luck
                        copy_on[best] = i
                        copy_begin_s[best] = now_s + half_s
                        copy_start_s[best] = now_s + half_s + fetched_s
                        if shared:
                            heapq.heappush(heap, (copy_start_s[best], BEGIN, len(exec_s) + best))
                        else:
                            copy_finish_s[best] = copy_start_s[best] + copy_takes_s[best]
                            heapq.heappush(heap, (copy_finish_s[best] + copy_keep_s[best] + half_s, COPIED, best))
            elif kind == COPIED:
                number = key
                task = copy_for[number]
                other = copy_task[number]
                owner = worker_of[task]
                i = copy_on[number]
                i_reported_s[i] = flushed_s[i] = now_s - half_s
                for edge in range(out_from[other], out_from[other + 1]):
                    user = out_task[edge]
                    if worker_of[user] == owner and visible_s[other] > now_s:
                        copied[edge] = 1
                        missing[user] -= 1
                        if missing[user] == 0:
                            ready_s[user] = now_s
                for at in range(next_from[other], next_from[other + 1]):
                    if worker_of[next_task[at]] == owner:
                        made[next_edge[at]] = i
                        if early and shelf[next_edge[at]] == _NOT_YET:
                            if aids[i] >= _BUSY and preload[next_task[at]]:
                                wanted[i] -= 1
                            shelf[next_edge[at]] = _OURS
                why[task] = LOCAL
                via[task] = before[task]
                if early and shelved[task] and task != i_first[i]:
                    heapq.heappush(heap, (now_s + half_s, CALL, task))
                else:
                    room_left = room_bytes
                    calls = blobs = left = 0
                    carried_s = fetched_s = 0.0
                    for edge in range(up_from[task], up_from[task + 1]):
                        if touch[edge] >= 0 or made[edge] == i:
                            continue
                        left += 1
                        size = frame_bytes[up_task[edge]]
                        travels = 0.0 if size > inline_bytes else size
                        if has_undo:
                            fetched_s += undo_s[up_task[edge]]
                        if size > inline_bytes:
                            blobs += 1
                            fetched_s += size * down_s
                        if travels <= room_left and room_bytes > 0:
                            room_left -= travels
                            carried_s += travels * down_s
                        else:
                            calls = 1
                            fetched_s += travels * down_s
                    carry_s[task] = carried_s
                    fetch_s[task] = fetched_s + (calls + blobs) * latency_s + base_s[task]
                    if left == 0:
                        going.append((task, now_s + half_s, _READY))
                    else:
                        heapq.heappush(heap, (now_s + latency_s, RETRY, task))
            elif kind == RETRY:
                task = key
                owner = worker_of[task]
                if ready_s[task] <= now_s:
                    going.append((task, now_s + half_s + carry_s[task], _READY))
                else:
                    waiting_for[owner] = task
                    called_s[owner] = now_s
                    asked.append((owner, task))
                    listens_s[owner] = now_s + half_s
                    number = first_copy[task]
                    while number >= 0 and begun[number] == 1:
                        number = next_copy[number]
                    if number >= 0:
                        listens_s[owner] += latency_s
                        heapq.heappush(heap, (now_s + latency_s, LOOK, task))
            elif kind in (NEED, UPLOAD):
                task = key
                i = instance_of[task]
                owner = worker_of[task]
                needed = 0
                for edge in range(out_from[task], out_from[task + 1]):
                    needed = 1 if copied[edge] == 0 else needed
                at_s = now_s + half_s
                if needed == 0:
                    skipped[task] = 1 if kind == NEED else 2
                    if kind == NEED:
                        begin_s[task] = start_s[task] = finish_s[task] = at_s
                    number = first_prewarm[task] if has_prewarms else -1
                    if number >= 0 or at_s >= flushed_s[i] + FLUSH_S:
                        flushed_s[i] = i_reported_s[i] = at_s
                        while number >= 0:
                            heapq.heappush(heap, (at_s + half_s + prewarm_delay_s[number], PREWARM, number))
                            number = next_prewarm[number]
                        at_s += latency_s
                    if has_policy:
                        last_run[i] = task
                        own_place[i] = position[task] if owner >= 0 else own_place[i]
                    other = following[task] if owner >= 0 else -1
                    if other >= 0:
                        instance_of[other] = i
                        before[other] = via[other] = task
                        why[other] = LOCAL if follows_input[other] else QUEUE
                        going.append((other, at_s, _TURN))
                    else:
                        heapq.heappush(heap, (at_s + half_s, DONE, task))
                elif kind == UPLOAD and has_streams and stream[task] == 1:
                    heapq.heappush(heap, (at_s + before_s[task] + half_s, OFFER, task))
                elif kind == UPLOAD:
                    at_s += blob_s[task]
                    flushed_s[i] = at_s
                    heapq.heappush(heap, (at_s + half_s + frame_s[task], STORE, task))
                elif stacked[task] == PRELOADED:
                    asked_first[task] = 1
                    heapq.heappush(heap, (at_s, TAKE, task))
                else:
                    going.append((task, at_s, _ASKED))
            elif kind == OFFER:
                task = key
                i = instance_of[task]
                needed = declining = 0
                alone = 1
                for edge in range(out_from[task], out_from[task + 1]):
                    other = out_task[edge]
                    owner = worker_of[other]
                    if owner < 0:
                        alone = 0
                    elif taker_of[owner] < 0:
                        taker_of[owner] = other
                        takers.append(owner)
                    elif position[other] < position[taker_of[owner]]:
                        taker_of[owner] = other
                for owner in takers:
                    other = taker_of[owner]
                    taker_of[owner] = -1
                    needed += 1
                    j = current[owner]
                    if j < 0 or i_ended[j] > 0 or i_container[j] < 0 or yielding[owner] == 1 or watch_s[j] > now_s:
                        continue
                    edge = up_from[other]
                    while up_task[edge] != task:
                        edge += 1
                    if has_copies and made[edge] < 0:
                        # One that is just computing it declines; one that has a copy does not watch any more.
                        number = first_same[task]
                        while number >= 0 and (copy_for[number] != other or begun[number] == 0):
                            number = next_same[number]
                        if number >= 0:
                            declining += 1
                            alone = 0
                            continue
                    if position[other] > position[i_first[j]] and shelf[edge] == _NOT_YET:
                        took_s[edge] = now_s + latency_s + half_s
                        flow_edge.append(edge)
                        flow_look_s.append(now_s + latency_s)
                        flow_has.append(0)
                        flow_told.append(0)
                        flow_rung.append(0)
                takers.clear()
                consumers = len(flow_edge)
                alone = 1 if alone == 1 and needed == consumers else 0
                if consumers + declining == 0:
                    at_s = now_s + half_s + blob_s[task] - before_s[task]
                    flushed_s[i] = at_s
                    heapq.heappush(heap, (at_s + half_s + frame_s[task], STORE, task))
                else:
                    size = frame_bytes[task]
                    piece = min(float(MOST_BYTES), max(float(inline_bytes), float(math.ceil(size / CHUNKS))))
                    pieces = max(1, math.ceil(size / piece))
                    luck = blob_s[task] / plain_blob_s[task] if plain_blob_s[task] > 0 else 1.0
                    byte_s = up_s[0] * luck
                    done_s = run_stream(
                        (now_s, latency_s, size, piece, byte_s, down_s),
                        pieces,
                        alone,
                        (flow_edge, flow_look_s, flow_has, flow_told, flow_rung),
                        (task_of, fetch_s, plain_s, took_s, came_s),
                    )
                    for edge in flow_edge:
                        shelf[edge] = _ITS
                        flowed[edge] = 1
                    flow_edge.clear()
                    flow_look_s.clear()
                    flow_has.clear()
                    flow_told.clear()
                    flow_rung.clear()
                    streamed[task] = consumers if alone == 1 else -consumers - declining
                    offered_s[task] = now_s - half_s
                    streamed_s[task] = flushed_s[i] = done_s
                    heapq.heappush(heap, (done_s + half_s + frame_s[task], STORE, task))
            elif kind == DONE:
                ended = instance_of[key]
                i_reported_s[ended] = now_s - half_s
                free = i_container[ended]
                last = key
            elif kind >= HOLD:
                task = by = key
                ringing = key if kind == RELEASE else -1
                i = instance_of[task]
                if has_copies and kind != LET_GO:
                    i_reported_s[i] = now_s - half_s
                again_s = now_s + half_s
                start, stop = out_from[task], out_from[task + 1]
                if kind == HOLD:
                    stepping = i
                    number = first_prewarm[task] if has_prewarms else -1
                    while number >= 0:
                        heapq.heappush(heap, (now_s + prewarm_delay_s[number], PREWARM, number))
                        number = next_prewarm[number]
                    needed = 0
                    for edge in range(start, stop):
                        other = out_task[edge]
                        own = 1
                        if held_in[other] > 0:
                            for at in range(up_from[other], up_from[other + 1]):
                                kept = up_task[at]
                                own += 1 if holding[kept] == 1 and instance_of[kept] == i else 0
                        if missing[other] > own:
                            continue
                        if len(taken) < take[task]:
                            taken.append(edge)
                        else:
                            needed = 1
                    if worker_of[task] >= 0:
                        own_next[i] = following[task]
                    wait_left_s[task] = hold_wait_s[task] if hold[task] == 2 else 0.0
                    stays = uppermost[i] >= 0 or held_first[i] >= 0 or own_next[i] >= 0 or wait_left_s[task] > 0
                    keeps = hold[task] == 2 and needed == 0 and (len(taken) > 0 or given_first[i] >= 0 or stays)
                    held_left[task] = stop - start - len(taken)
                    for edge in taken:
                        owned[out_task[edge]] = 1
                    if held_left[task] > 0:
                        held_next[task] = -1
                        if held_first[i] < 0:
                            held_first[i] = task
                        else:
                            held_next[held_last[i]] = task
                        held_last[i] = task
                        held_bytes[i] += frame_bytes[task]
                        due[task] = 0 if keeps else 1
                        holding[task] = 1 if keeps else 0
                        for edge in range(start, stop):
                            other = out_task[edge]
                            if keeps and owned[other] == 0:
                                held_in[other] += 1
                                if missing[other] == held_in[other]:
                                    contested.append((other, 1))
                        if keeps:
                            held_s[task] = again_s
                elif kind == RELEASE:
                    stepping = i
                    visible_s[task] = now_s
                    for edge in range(start, stop):
                        other = out_task[edge]
                        if owned[other]:
                            continue
                        held_in[other] -= holding[task]
                        missing[other] -= 1
                        if missing[other] == 0:
                            owned[other] = 1
                            if len(taken) < late[task]:
                                taken.append(edge)
                            else:
                                invoked.append(other)
                        elif missing[other] == held_in[other]:
                            contested.append((other, 1 - holding[task]))
                    holding[task] = due[task] = 0
                elif kind == ASK:
                    stepping = i
                    asks[i] = 0
                elif waits_since_s[i] >= 0 and asks[i] == 0 and i_waits[i] == task and waited_until_s[task] <= now_s:
                    stepping = i
                    again_s = now_s
            else:
                progress_s += (now_s - progress_at_s) / slow
                progress_at_s = now_s
                number = key - len(exec_s)
                load += pool_load[pool_of[copy_for[number] if number >= 0 else key]]
                slow = load / cores if load > cores else 1.0
                heapq.heappush(shares, (progress_s + (copy_takes_s[number] if number >= 0 else exec_s[key]), key))

        if stepping >= 0:
            i = stepping
            owner = worker_of[i_first[i]]
            # Of what several workers hold, all but the largest part has to be stored; the last holder is left with it.
            for other, is_new in contested:
                if owned[other] == 1 or (is_new == 0 and held_in[other] > NARROW):
                    continue
                best = -1
                for at in range(up_from[other], up_from[other + 1]):
                    kept = up_task[at]
                    if holding[kept] == 1:
                        holder = instance_of[kept]
                        if edges_of[holder] == 0:
                            holders.append(holder)
                        edges_of[holder] += 1
                        total_of[holder] += frame_bytes[kept]
                for holder in holders:
                    if best < 0 or total_of[holder] > total_of[best]:
                        best = holder
                alone = len(holders) == 1
                for holder in holders:
                    edges_of[holder] = 0
                    total_of[holder] = 0.0
                holders.clear()
                if alone:
                    owned[other] = 1
                    given_next[other] = -1
                    if given_first[best] < 0:
                        given_first[best] = other
                    else:
                        given_next[given_last[best]] = other
                    given_last[best] = other
                    holders.append(best)
                for at in range(up_from[other], up_from[other + 1]):
                    kept = up_task[at]
                    if holding[kept] == 0:
                        continue
                    if not alone:
                        if instance_of[kept] != best and due[kept] == 0:
                            due[kept] = 1
                            holders.append(instance_of[kept])
                        continue
                    at_hand[at] = HERE
                    held_left[kept] -= 1
                    if held_left[kept] == 0:
                        due[kept] = 0
                if alone:
                    held_in[other] = 0
                for holder in holders:
                    if holder != i and waits_since_s[holder] >= 0 and asks[holder] == 0:
                        asks[holder] = 1
                        told_s = max(now_s + half_s, waits_since_s[holder])
                        heapq.heappush(heap, (told_s + half_s, ASK, last_run[holder]))
                holders.clear()
            contested.clear()
            # What this worker is handed, what comes with the answer, and what is here already.
            if kind in (STORE, HOLD):
                last_run[i] = task
                if worker_of[task] >= 0:
                    own_next[i] = following[task]
                    own_place[i] = position[task]
                elif owner >= 0:
                    for at in range(next_from[task], next_from[task + 1]):
                        if worker_of[next_task[at]] == owner:
                            hand_of[next_edge[at]] = i
            if kind == STORE:
                others = out_from[task + 1] - out_from[task] - len(taken)
                other = given_first[i]
                while other >= 0:
                    for edge in range(up_from[other], up_from[other + 1]):
                        if up_task[edge] == task:
                            others -= 1
                    other = given_next[other]
                if (visible[task] == 1 or others > 0) and (not has_streams or streamed[task] <= 0):
                    visible_s[task] = now_s
            if kind == ASK and quiet[task] >= 0:
                other = quiet[task]
                last_run[i] = task
                stacked[other] = STACKED
                at_hand[up_from[other]] = HERE
                below[other] = uppermost[i]
                on_stack_of[other] = i
                uppermost[i] = other
            came = len(taken)
            handed = given_first[i] >= 0
            plain = kind == STORE and came == 1 and uppermost[i] < 0 and owner < 0 and not handed and held_first[i] < 0
            if plain:
                other = out_task[taken[0]]
                fetch_s[other] = take_fetch_s[taken[0]]
                again_s += take_carry_s[taken[0]]
                uppermost[i] = other
            elif came > 0:
                mixed[i] = 1
                room_left = room_bytes
                for taken_edge in taken:
                    other = out_task[taken_edge]
                    stacked[other] = 1
                    narrow = up_from[other + 1] - up_from[other] <= NARROW
                    for edge in range(up_from[other], up_from[other + 1]):
                        kept = up_task[edge]
                        found = HERE if kept == task else 0
                        is_held = holding[kept] == 1 and instance_of[kept] == i
                        if is_held and kept != task:
                            found = HERE
                            held_in[other] = 0
                            held_left[kept] -= 1
                            if held_left[kept] == 0:
                                due[kept] = 0
                        if found == 0:
                            for at in range(next_from[kept], next_from[kept + 1]):
                                user = next_task[at]
                                if on_stack_of[user] == i and at_hand[next_edge[at]] > 0:
                                    found = at_hand[next_edge[at]]
                                elif owner >= 0 and worker_of[user] == owner and position[user] > own_place[i]:
                                    base = touch[next_edge[at]]
                                    if hand_of[next_edge[at]] == i or position[i_first[i]] <= base <= own_place[i]:
                                        found = HERE
                                if found == HERE:
                                    break
                        travels = 0.0 if frame_bytes[kept] > inline_bytes else frame_bytes[kept]
                        if sent_to[kept] == task:
                            found = max(found, SENT)
                        elif kept != task and not is_held and narrow and room_bytes > 0 and travels <= room_left:
                            room_left -= travels
                            again_s += travels * down_s
                            sent_to[kept] = task
                            found = max(found, SENT)
                        at_hand[edge] = found
            # In the order in which they are run: what was taken, what it was given, what it had before.
            if handed:
                mixed[i] = 1
                other = given_first[i]
                while other >= 0:
                    stacked[other] = 1
                    for edge in range(up_from[other], up_from[other + 1]):
                        kept = up_task[edge]
                        if kept == task:
                            at_hand[edge] = HERE
                        if at_hand[edge] == HERE:
                            continue
                        for at in range(next_from[kept], next_from[kept + 1]):
                            user = next_task[at]
                            if on_stack_of[user] == i and at_hand[next_edge[at]] > 0:
                                at_hand[edge] = at_hand[next_edge[at]]
                            elif owner >= 0 and worker_of[user] == owner and position[user] > own_place[i]:
                                base = touch[next_edge[at]]
                                if hand_of[next_edge[at]] == i or position[i_first[i]] <= base <= own_place[i]:
                                    at_hand[edge] = HERE
                            if at_hand[edge] == HERE:
                                break
                    invited = given_next[other]
                    taken.append(-1 - other)
                    other = invited
                given_first[i] = given_last[i] = -1
            if not plain:
                for place in range(len(taken) - 1, -1, -1):
                    other = out_task[taken[place]] if taken[place] >= 0 else -1 - taken[place]
                    below[other] = uppermost[i]
                    on_stack_of[other] = i
                    uppermost[i] = other
            local = len(taken) > 0
            taken.clear()
            # What is held for nobody any more is no longer held.
            victim = previous = -1
            kept = held_first[i]
            while kept >= 0:
                beyond = held_next[kept]
                if held_left[kept] == 0:
                    holding[kept] = 0
                    held_bytes[i] -= frame_bytes[kept]
                    if previous >= 0:
                        held_next[previous] = beyond
                    else:
                        held_first[i] = beyond
                    if beyond < 0:
                        held_last[i] = previous
                else:
                    if victim < 0 and due[kept] == 1:
                        victim = kept
                    previous = kept
                kept = beyond
            if waits_since_s[i] >= 0:
                kept = i_waits[i]
                is_over = kind == LET_GO or waited_until_s[kept] <= again_s
                if is_over or victim >= 0 or uppermost[i] >= 0 or held_first[i] < 0:
                    heard_s = now_s - half_s if kind == ASK else again_s
                    waited_s = max(0.0, heard_s - waits_since_s[i])
                    held_waited_s[kept] += waited_s
                    waited_until_s[kept] = heard_s
                    waits_since_s[i] = -1.0
                    kept = held_first[i]
                    while kept >= 0:
                        wait_left_s[kept] = 0.0 if is_over else max(0.0, wait_left_s[kept] - waited_s)
                        kept = held_next[kept]
            if held_first[i] < 0:
                letting[i] = 0
            elif victim < 0 and waits_since_s[i] < 0:
                waited_s = 0.0
                kept = held_first[i]
                while kept >= 0:
                    waited_s = max(waited_s, wait_left_s[kept])
                    kept = held_next[kept]
                if letting[i] == 1 or held_bytes[i] > most_held[pool_of[i_first[i]]]:
                    victim = held_first[i]
                elif uppermost[i] < 0 and (own_next[i] >= 0 or waited_s == 0.0):
                    letting[i] = 1
                    victim = held_first[i]
                elif uppermost[i] < 0:
                    i_waits[i] = last_run[i]
                    waits_since_s[i] = again_s
                    waited_until_s[i_waits[i]] = again_s + waited_s
                    heapq.heappush(heap, (again_s + waited_s, LET_GO, i_waits[i]))
            if victim >= 0:
                previous = -1
                kept = held_first[i]
                while kept != victim:
                    previous = kept
                    kept = held_next[kept]
                if previous >= 0:
                    held_next[previous] = held_next[victim]
                else:
                    held_first[i] = held_next[victim]
                if held_last[i] == victim:
                    held_last[i] = previous
                held_bytes[i] -= frame_bytes[victim]
                release_s[victim] = again_s
                stored_s = again_s + max(0.0, blob_s[victim] - store_s[0])
                flushed_s[i] = stored_s
                heapq.heappush(heap, (stored_s + half_s + frame_s[victim], RELEASE, victim))
            elif waits_since_s[i] < 0:
                other = uppermost[i]
                if other >= 0:
                    uppermost[i] = below[other]
                    on_stack_of[other] = -1
                elif own_next[i] >= 0:
                    other = own_next[i]
                    own_next[i] = -1
                    local = follows_input[other] == 1 and worker_of[last_run[i]] == owner
                if other >= 0:
                    instance_of[other] = i
                    before[other] = via[other] = last_run[i]
                    why[other] = LOCAL if local else QUEUE
                    going.append((other, again_s, _TURN))
                else:
                    free = i_container[i]
                    ended = i
                    last = last_run[i]

        if early and ringing >= 0 and visible_s[ringing] == now_s:
            # Ring for assistants that want it.
            for at in range(next_from[ringing], next_from[ringing + 1]):
                edge = next_edge[at]
                owner = worker_of[next_task[at]]
                j = current[owner] if owner >= 0 and owner != worker_of[ringing] else -1
                if j < 0 or aids[j] < _BUSY or not preload[next_task[at]]:
                    continue
                base = position[i_first[j]]
                if position[next_task[at]] > base and touch[edge] < base:
                    next_input[edge] = first_new[j]
                    first_new[j] = edge
                    if aids[j] == _LISTENING:
                        aids[j] = _BUSY
                        listened_s[j] = now_s
                        heapq.heappush(heap, (now_s + latency_s, WATCH, j))
                    else:
                        rung_s[j] = now_s

        if has_copies and ringing >= 0 and visible_s[ringing] == now_s:
            # Tell who looks for it.
            for at in range(next_from[ringing], next_from[ringing + 1]):
                number = first_same[next_task[at]]
                while number >= 0:
                    task = copy_for[number]
                    owner = worker_of[task]
                    if looking[number] == 1 and waiting_for[owner] == task:
                        told_s = max(now_s, listens_s[owner]) + half_s + latency_s + half_s
                        listens_s[owner] = told_s + half_s
                        heapq.heappush(heap, (told_s, LOOK, task))
                    number = next_same[number]

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
                if early:
                    aids[ended] = 0
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
            known_s = began_s + (latency_s if resumed else 0.0)
            if resumed and has_streams:
                known_s += latency_s
            going.append((task, known_s + (latency_s if resumed and has_policy else 0.0), _TURN))
            if has_streams:
                watch_s[i] = known_s + half_s
            if early and worker_of[task] >= 0:
                aids[i] = _STARTING
                heapq.heappush(heap, (known_s + half_s, WATCH, i))
        if len(matched) > 0:
            matched.clear()

        for task, at_s, stage in going:
            while True:
                owner = worker_of[task]
                i = instance_of[task]
                if stage == _TURN:
                    turn_s[task] = at_s
                    if early and owner >= 0 and shelved[task] and task != i_first[i]:
                        heapq.heappush(heap, (at_s, CALL, task))
                        break
                    if owner >= 0:
                        base = position[i_first[i]]
                        if base > 0 or (has_policy and mixed[i] == 1) or (has_copies and copies_on[i] == 1):
                            # It gave up its slot: what it had at hand before has to be fetched. Or it has run other
                            # tasks: what they left at hand has not.
                            room_left = room_bytes
                            calls = blobs = 0
                            carried_s = fetched_s = 0.0
                            waits[task] = 0
                            for edge in range(up_from[task], up_from[task + 1]):
                                if touch[edge] >= base or (has_policy and hand_of[edge] == i):
                                    continue
                                if has_copies and made[edge] == i:
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
                            planned_by = worker_of[i_first[i]]
                            if uppermost[i] >= 0 or planned_by >= 0:
                                for at in range(next_from[kept], next_from[kept + 1]):
                                    if on_stack_of[next_task[at]] == i:
                                        at_hand[next_edge[at]] = HERE
                                    elif (
                                        planned_by >= 0
                                        and worker_of[next_task[at]] == planned_by
                                        and position[next_task[at]] > own_place[i]
                                    ):
                                        hand_of[next_edge[at]] = i
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
                                if has_copies:
                                    listens_s[owner] = called + half_s
                                    if first_copy[task] >= 0 and position[i_first[i]] == 0:
                                        listens_s[owner] += latency_s
                                        heapq.heappush(heap, (called + latency_s, LOOK, task))
                            break
                        at_s = called + half_s + carry_s[task]
                if has_copies and stage in (_TURN, _READY) and asks_first[task] == 1:
                    heapq.heappush(heap, (at_s + half_s, NEED, task))
                    break
                if stage != _EXECUTED:
                    if stage != _FETCHED:
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
                    if has_policy and hold[task] > 0:
                        at_s += store_s[0]
                        heapq.heappush(heap, (at_s + half_s, HOLD, task))
                    elif has_copies and asks_last[task] == 1:
                        heapq.heappush(heap, (at_s + half_s, UPLOAD, task))
                        break
                    elif has_streams and stream[task] == 1:
                        heapq.heappush(heap, (at_s + before_s[task] + half_s, OFFER, task))
                        break
                    else:
                        at_s += blob_s[task]
                        heapq.heappush(heap, (at_s + half_s + frame_s[task], STORE, task))
                    flushed_s[i] = at_s
                    break
                if has_policy and (held_first[i] >= 0 or given_first[i] >= 0):
                    flushed_s[i] = at_s
                    heapq.heappush(heap, (at_s + half_s, ASK, task))
                    number = first_prewarm[task] if has_prewarms else -1
                    while number >= 0:
                        heapq.heappush(heap, (at_s + half_s + prewarm_delay_s[number], PREWARM, number))
                        number = next_prewarm[number]
                    break
                number = first_prewarm[task] if has_prewarms else -1
                if number >= 0 or at_s >= flushed_s[i] + FLUSH_S:
                    flushed_s[i] = at_s
                    if has_copies:
                        i_reported_s[i] = at_s
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

    # What still makes containers warm, or what nobody needs any more, ends with the run and never comes to tell of it.
    for i in range(count if has_prewarms or has_copies else 0):
        if i_container[i] >= 0 and i_ended[i] == 0.0 and (i_first[i] < 0 or has_copies):
            if i_first[i] < 0 or i_reported_s[i] < 0:
                i_cold[i] = 0
                i_started[i] = i_launched[i] = i_requested[i]
            if has_copies:
                i_cut[i] = 1
            i_ended[i] = makespan_s
            wall_s = makespan_s - (i_launched[i] if bill_cold else i_started[i])
            billed_gb_s = pool_gb[c_pool[i_container[i]]] * (
                max(0, math.ceil(wall_s / step_s - BILLING_NOISE)) * step_s
            )
            gb_seconds += billed_gb_s
            cost_usd += billed_gb_s * usd_gb_s + usd_request
    return makespan_s, cost_usd, gb_seconds, count, containers, sinks_left


def run_stream(numbers: Any, pieces: int, alone: int, flow: Any, edges: Any) -> Any:
    """Run the stream of an output, and find when each consumer has it.

    Args:
        numbers: When it is offered at the store, the latency, its size, that of its pieces, and the seconds that a byte
            takes its producer and its consumers.
        pieces: How many there are.
        alone: Whether its consumers are all who need it: then the producer does not get ahead of them.
        flow: Columns by consumer; see ``run_events``.
        edges: Of all tasks and edges, what the consumers' line was like in this run, and what is filled.

    Returns:
        When its producer knows that all have it, or has written all.
    """
    now_s, latency_s, size, piece, byte_s, down_s = numbers
    flow_edge, flow_look_s, flow_has, flow_told, flow_rung = flow
    task_of, fetch_s, plain_s, took_s, came_s = edges
    half_s = latency_s / 2
    never = math.inf
    consumers = len(flow_edge)
    written = whole = 0
    rung = asking = 0
    done_s = never
    # What its producer does next: a chunk arrives at the store, or it asks how far the others are.
    next_s = now_s + latency_s + min(piece, size) * byte_s
    while done_s == never or whole < consumers:
        first = -1
        for place in range(consumers):
            if flow_look_s[place] < (flow_look_s[first] if first >= 0 else next_s):
                first = place
        if first >= 0:
            # A consumer looks, and tells what it has; then it reads what it has seen, or listens.
            at_s = flow_look_s[first]
            if flow_has[first] > flow_told[first]:
                flow_told[first] = flow_has[first]
                if next_s == never and done_s == never:
                    next_s = at_s + latency_s
                    asking = 1
                else:
                    rung = 1
            if flow_has[first] < written:
                edge = flow_edge[first]
                other = task_of[edge]
                luck = fetch_s[other] / plain_s[other] if plain_s[other] > 0 else 1.0
                at_s += half_s
                while flow_has[first] < written:
                    moved = min(piece, size - flow_has[first] * piece)
                    at_s += (latency_s + moved * down_s) * luck
                    flow_has[first] += 1
                flow_look_s[first] = at_s + half_s
                if flow_has[first] == pieces:
                    whole += 1
                    came_s[edge] = at_s
                    took_s[edge] = at_s - took_s[edge]
            elif flow_has[first] == pieces:
                flow_look_s[first] = never
            elif flow_rung[first] == 1:
                flow_rung[first] = 0
                flow_look_s[first] = at_s + half_s + latency_s
            else:
                flow_look_s[first] = never
            continue
        at_s = next_s
        next_s = never
        if asking == 0:
            written += 1
            for place in range(consumers):
                if flow_look_s[place] == never:
                    flow_look_s[place] = at_s + latency_s
                else:
                    flow_rung[place] = 1
        asking = 0
        least = pieces
        for place in range(consumers):
            least = min(least, flow_told[place])
        if alone == 0 or least >= (pieces if written == pieces else written + 1 - WINDOW):
            if written == pieces:
                done_s = at_s + half_s
            else:
                moved = min(piece, size - written * piece)
                next_s = at_s + latency_s + moved * byte_s
        elif rung == 1:
            rung = 0
            asking = 1
            next_s = at_s + half_s + latency_s
    return done_s
