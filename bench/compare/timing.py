"""Timing several implementations fairly: in turns, so that the drift of a clock hits all alike."""

import dataclasses
import statistics

import torch

# What one timing should span: far above an event's resolution.
TIMING_US = 200.0
MAX_CALLS = 20


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of one call, in microseconds."""

    median_us: float
    p10_us: float
    p90_us: float
    timings: int


def summarize(timings_us):
    deciles = statistics.quantiles(timings_us, n=10, method="inclusive")
    return Summary(statistics.median(timings_us), deciles[0], deciles[-1], len(timings_us))


def _time(rounds, work):
    """Microseconds of each of `rounds` runs of `work`, all enqueued before the first is waited for."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(rounds + 1)]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    torch.cuda.synchronize()
    return [1e3 * before.elapsed_time(after) for before, after in zip(events, events[1:])]


def _repeat(call, count):
    def calls():
        with call.scope():
            for index in range(count):
                call(index)
    return calls


def _capture(calls):
    """A graph of the calls. What they allocate lives as long as the graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        calls()
    return graph


def _calls_per_timing(call):
    warm = _time(5, _repeat(call, 1))
    return max(1, min(MAX_CALLS, round(TIMING_US / min(warm))))


def time_in_turns(calls, timings, turns, graphs, min_calls=1):
    """Summaries by name. `calls` maps names to functions of the call's number, which enqueue one call each and have a
    `scope` to be entered around calls.

    graphs: a timing is the replay of a graph of up to 20 calls, or of min_calls. Otherwise it is 20 calls, one by one.
    """
    works, counts = {}, {}
    for name, call in calls.items():
        counts[name] = max(min_calls, _calls_per_timing(call) if graphs else MAX_CALLS)
        work = _repeat(call, counts[name])
        works[name] = _capture(work).replay if graphs else work
    gathered = {name: [] for name in calls}
    names = list(calls)
    for turn in range(turns):
        # Another implementation goes first each time, so that none always follows the same one.
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            works[name]()
            gathered[name] += [us / counts[name] for us in _time(-(-timings // turns), works[name])]
    return {name: summarize(timings_us) for name, timings_us in gathered.items()}
