#!/usr/bin/python3
"""Several hundred requests with every option drawn at random, compared with numpy in float64."""

import collections
import sys

import fixture  # First: it skips the test where a module is missing.

import numpy as np

import attention_numpy


def describe(request):
    return (f"q {list(request.q.shape)} layouts {request.q.layout}{request.k.layout}{request.v.layout} "
            f"k {list(request.k.shape)} dtype {request.q.dtype} options {{{request.options}}}").replace("\n", " ")


def check_timing(timing):
    assert timing.total_ns > 0 and timing.compute_ns > 0, timing
    assert timing.batch_size >= 1 and timing.kernel, timing


def main():
    arguments = fixture.parse_arguments(__doc__, default_count=400)
    pb, _, _ = fixture.load_messages(arguments.protoc)
    rng = np.random.default_rng(arguments.seed)
    failures, seen, worst = [], collections.Counter(), collections.defaultdict(float)
    with fixture.Server(arguments) as server, server.channel() as channel:
        attend = channel.unary_unary("/flashcore.v1.AttentionService/Attend",
                                     pb.AttendRequest.SerializeToString, pb.AttendResponse.FromString)
        info = channel.unary_unary("/flashcore.v1.AttentionService/GetServerInfo",
                                   pb.GetServerInfoRequest.SerializeToString, pb.GetServerInfoResponse.FromString)
        dtypes = list(info(pb.GetServerInfoRequest(), wait_for_ready=True, timeout=30).dtypes)
        window = collections.deque()
        for index in range(arguments.count):
            request = attention_numpy.random_request(rng, pb.AttendRequest(), dtypes)
            window.append((index, request, attend.future(request, timeout=120)))
            # A few at a time, so that problems of different shapes share launches.
            while len(window) >= 8 or (window and index + 1 == arguments.count):
                number, sent, future = window.popleft()
                response = future.result()
                problem, error = attention_numpy.mismatch(sent, response)
                check_timing(response.timing)
                worst[pb.DType.Name(sent.q.dtype)] = max(worst[pb.DType.Name(sent.q.dtype)], error)
                seen[response.timing.batch_size] += 1
                if problem:
                    failures.append(f"request {number}: {problem}: {describe(sent)}")
    print("\n".join(failures[:20]))
    print("largest error of O:", {name: f"{error:.2e}" for name, error in sorted(worst.items())})
    print("requests by batch size:", dict(sorted(seen.items())))
    print(f"{arguments.count - len(failures)} passed, {len(failures)} failed")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
