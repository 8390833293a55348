#!/usr/bin/python3
"""Malformed requests by the thousand (--count for more). For every message the .proto says whether it is valid, as read
by protobuf's own parser: valid ones must be answered, rightly; all others get a status that says whose fault it was.
Meanwhile the server keeps serving, and its memory does not grow."""

import collections
import random
import socket
import sys
import warnings

import fixture  # First: it skips the test where a module is missing.

import grpc
import numpy as np
from google.protobuf.message import DecodeError

import attention_numpy
import mutation

IN_FLIGHT = 32
RAW_CONNECTIONS = 40
# Pages that an allocator keeps after a burst; a leak of 1 KiB in each malformed request would show.
RSS_SLACK_BYTES = 24 << 20
RSS_SLACK_BYTES_EACH = 256
# Values up to here are compared; a flipped bit of an exponent makes others.
TAME = 16
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNIMPLEMENTED}


def valid_messages(rng, pb, dtypes):
    """Small valid requests to start from."""
    requests = [attention_numpy.random_request(rng, pb.AttendRequest(), dtypes, longest=12, max_work=2e4)
                for _ in range(24)]
    return [request.SerializeToString() for request in requests]


def parse(pb, data):
    """What protobuf's own parser makes of the message; None if it is malformed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # For a stray end-group tag, the parser only warns.
        try:
            request = pb.AttendRequest.FromString(data)
        except DecodeError:
            return None
    return None if caught else request


def verdict(pb, data, future):
    """(status code, what is wrong with the server's answer or None)."""
    request = parse(pb, data)
    valid = request is not None and mutation.request_is_valid(request)
    try:
        response = future.result()
    except grpc.RpcError as error:
        code, details = error.code(), error.details()
        if valid and not mutation.has_oversize_tag(data):
            return code, f"a valid request got {code.name}: {details}"
        if code not in REFUSALS:
            return code, f"got {code.name}: {details}"
        return code, None if details else f"{code.name} without a message"
    if not valid and not mutation.has_oversize_tag(data):
        return grpc.StatusCode.OK, "an invalid request was answered"
    return grpc.StatusCode.OK, wrong_answer(pb, request, response) if valid else None


def wrong_answer(pb, request, response):
    """A mutated request may hold anything: only where FP32 does not overflow can values be compared."""
    if request.options.sm_scale > TAME:
        return None
    for tensor in (request.q, request.k, request.v):
        with np.errstate(invalid="ignore"):
            values = attention_numpy.from_bytes(tensor.data, tensor.dtype)
        if not np.all(np.abs(values) < TAME):
            return None
    return attention_numpy.mismatch(request, pb.AttendResponse.FromString(response))[0]


def send_malformed(rng, pb, attend, seeds, count, codes):
    """Sends `count` malformed messages; returns what was wrong with the answers."""
    problems, window = [], collections.deque()
    for index in range(count):
        name, data = mutation.mutate(rng, pb, rng.choice(seeds))
        window.append((name, data, attend.future(data, timeout=60)))
        while len(window) >= IN_FLIGHT or (window and index + 1 == count):
            done_name, done_data, future = window.popleft()
            code, problem = verdict(pb, done_data, future)
            codes[code.name] += 1
            if problem:
                problems.append(f"{done_name}: {problem}\n    message: {done_data[:400].hex()}")
    return problems


def send_raw_garbage(rng, address):
    """Bytes that are no HTTP/2 at all, or stop being it after the preface."""
    host, port = address.rsplit(":", 1)
    for _ in range(RAW_CONNECTIONS):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            preface = rng.choice((b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            try:
                connection.sendall(preface + rng.randbytes(rng.randint(1, 4000)))
            except OSError:
                pass  # The server may hang up first.


def send_oversize(attend):
    """A message beyond max_message_bytes: gRPC refuses it before the server sees it."""
    try:
        attend(b"\0" * (fixture.MAX_MESSAGE_BYTES + 4096), timeout=60)
    except grpc.RpcError as error:
        return [] if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED else [f"oversize: {error.code().name}"]
    return ["oversize: answered"]


def check_alive(pb, attend, seeds):
    """Every valid message still gets its answer."""
    problems = []
    for data in seeds:
        response = pb.AttendResponse.FromString(attend(data, timeout=60))
        problem, _ = attention_numpy.mismatch(pb.AttendRequest.FromString(data), response)
        if problem:
            problems.append(f"after the malformed requests: {problem}")
    return problems


def run(arguments, pb, server):
    rng = random.Random(arguments.seed)
    codes, problems = collections.Counter(), []
    with server.channel() as channel:
        attend = channel.unary_unary("/flashcore.v1.AttentionService/Attend")
        info = channel.unary_unary("/flashcore.v1.AttentionService/GetServerInfo",
                                   pb.GetServerInfoRequest.SerializeToString, pb.GetServerInfoResponse.FromString)
        dtypes = list(info(pb.GetServerInfoRequest(), wait_for_ready=True, timeout=30).dtypes)
        seeds = valid_messages(np.random.default_rng(arguments.seed), pb, dtypes)
        warm_up = arguments.count // 4
        problems += send_malformed(rng, pb, attend, seeds, warm_up, codes)
        problems += send_oversize(attend)
        send_raw_garbage(rng, server.address)
        before = server.rss_bytes()
        problems += send_malformed(rng, pb, attend, seeds, arguments.count - warm_up, codes)
        problems += check_alive(pb, attend, seeds)
        growth = server.rss_bytes() - before
    print(f"answers: {dict(sorted(codes.items()))}")
    print(f"resident memory: {before >> 20} MiB, grew by {growth >> 10} KiB over {arguments.count - warm_up} requests")
    if growth > RSS_SLACK_BYTES + RSS_SLACK_BYTES_EACH * arguments.count and not server.sanitized():
        problems.append(f"memory grew by {growth} bytes")
    return problems


def main():
    arguments = fixture.parse_arguments(__doc__, default_count=4000)
    pb, _, _ = fixture.load_messages(arguments.protoc)
    with fixture.Server(arguments) as server:
        problems = run(arguments, pb, server)
    print("\n".join(problems[:20]))
    print(f"{arguments.count - len(problems)} passed, {len(problems)} failed")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
