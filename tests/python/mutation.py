"""Malformed requests: valid ones, broken on purpose or at random; and what the .proto says each should get."""

import math

import attention_numpy

WIRE_TYPES = (0, 1, 2, 3, 4, 5, 6, 7)
INT64_EDGES = (0, -1, 1, 3, 7, 8, 255, 257, 1 << 15, 1 << 31, 1 << 32, (1 << 62) + 1, (1 << 63) - 1, -(1 << 63))
FLOAT_EDGES = (0.0, -0.0, -1.0, math.nan, math.inf, -math.inf, 1e-45, 3.4e38, 1.0)


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def flip_bits(rng, data):
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        # Most of a message is tensor data, where anything goes: aim at the first bytes more often.
        span = len(out) if rng.random() < 0.3 else min(len(out), 40)
        out[rng.randrange(span)] ^= 1 << rng.randrange(8)
    return bytes(out)


def truncate(rng, data):
    return data[:rng.randrange(len(data))]


def delete_bytes(rng, data):
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 16):]


def insert_bytes(rng, data):
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.randbytes(rng.randint(1, 16)) + data[start:]


def splice(rng, data):
    start, end = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    return data[:end] + data[start:]


def garbage(rng, _):
    return rng.randbytes(rng.choice((0, 1, 2, 10, 100, 5000)))


def random_field(rng, data):
    """A field nobody asked for, well formed or not, before or after the others."""
    number = rng.choice((1, 2, 3, 4, 5, 9, 15, 16, 20, 31, 1000, (1 << 29) - 1, 1 << 29, 0))
    body = rng.choice((b"", varint(rng.getrandbits(64)), b"\xff" * 10, b"\xff" * 11, varint(1 << 40),
                       varint(5) + b"abcde", rng.randbytes(8)))
    field = varint(number << 3 | rng.choice(WIRE_TYPES)) + body
    return field + data if rng.random() < 0.5 else data + field


BYTE_MUTATIONS = (flip_bits, truncate, delete_bytes, insert_bytes, splice, garbage, random_field)


def random_tensor(rng, request):
    return rng.choice((request.q, request.k, request.v))


def break_dtype(rng, request):
    random_tensor(rng, request).dtype = rng.choice((0, 1, 2, 3, 4, 99, -1, (1 << 31) - 1))


def break_layout(rng, request):
    random_tensor(rng, request).layout = rng.choice((0, 1, 2, 3, 99, -1))


def break_dimension(rng, request):
    tensor = random_tensor(rng, request)
    tensor.shape[rng.randrange(4)] = rng.choice(INT64_EDGES)


def break_all_dimensions(rng, request):
    for tensor in (request.q, request.k, request.v):
        tensor.shape[:] = [rng.choice(INT64_EDGES) for _ in range(4)]


def break_rank(rng, request):
    tensor = random_tensor(rng, request)
    tensor.shape[:] = [rng.randint(1, 8) for _ in range(rng.choice((0, 1, 2, 3, 5, 6, 64, 1000)))]


def break_byte_count(rng, request):
    tensor = random_tensor(rng, request)
    tensor.data = rng.choice((b"", tensor.data[:-1], tensor.data + b"\0", tensor.data * 2, b"x"))


def drop_tensor(rng, request):
    request.ClearField(rng.choice(("q", "k", "v")))


def break_scale(rng, request):
    request.options.sm_scale = rng.choice(FLOAT_EDGES)


def break_soft_cap(rng, request):
    request.options.logits_soft_cap = rng.choice(FLOAT_EDGES)


def break_window(rng, request):
    setattr(request.options, rng.choice(("window_left", "window_right")), rng.choice(INT64_EDGES))


def break_priority(rng, request):
    request.priority = rng.choice((-1, 0, 1, 2, 3, 4, 85))


def break_head_dim(rng, request):
    """All three tensors agree on a head dimension, right or wrong."""
    head_dim = rng.choice((1, 2, 4, 7, 9, 12, 100, 257, 260, 264, 512))
    for tensor in (request.q, request.k, request.v):
        tensor.shape[:] = [1, 1, 1, head_dim]
        tensor.data = b"\0" * (head_dim * attention_numpy.ELEMENT_BYTES[tensor.dtype])


def swap_tensors(rng, request):
    first, second = random_tensor(rng, request), random_tensor(rng, request)
    if first is not second:
        kept = type(first)()
        kept.CopyFrom(first)
        first.CopyFrom(second)
        second.CopyFrom(kept)


FIELD_MUTATIONS = (break_dtype, break_layout, break_dimension, break_all_dimensions, break_rank, break_byte_count,
                   drop_tensor, break_scale, break_soft_cap, break_window, break_priority, break_head_dim,
                   swap_tensors)


def mutate(rng, pb, data):
    """One malformed (or, by luck, still valid) message from a valid one: (what was done, the bytes)."""
    if rng.random() < 0.5:
        request = pb.AttendRequest.FromString(data)
        mutations = [rng.choice(FIELD_MUTATIONS) for _ in range(rng.choice((1, 1, 1, 2)))]
        try:
            for mutation in mutations:
                mutation(rng, request)
            return "+".join(m.__name__ for m in mutations), request.SerializeToString()
        except (IndexError, KeyError):  # A second mutation found nothing left to break.
            return "emptied", b""
    mutation = rng.choice(BYTE_MUTATIONS)
    return mutation.__name__, mutation(rng, data)


def read_varint(data, start):
    """(value, where it ends). IndexError if it does not end."""
    value, shift = 0, 0
    while True:
        byte = data[start]
        start, value, shift = start + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return value, start


def has_oversize_tag(data, depth=2):
    """Whether a tag has more than 32 bits, here or in a submessage. Protobuf's parsers differ on these: some drop the
    bits, which gives a field that nobody sent; some refuse."""
    position = 0
    try:
        while position < len(data):
            tag, position = read_varint(data, position)
            if tag >= 1 << 32:
                return True
            kind = tag & 7
            if kind == 0:
                _, position = read_varint(data, position)
            elif kind == 2:
                length, position = read_varint(data, position)
                if depth > 1 and tag >> 3 <= 4 and has_oversize_tag(data[position:position + length], depth - 1):
                    return True
                position += length
            elif kind in (1, 5):
                position += 8 if kind == 1 else 4
    except IndexError:
        pass
    return False


def tensor_is_valid(tensor):
    if tensor.dtype not in attention_numpy.ELEMENT_BYTES or tensor.layout not in (0, 1, 2) or len(tensor.shape) != 4:
        return False
    if min(tensor.shape) < 1:
        return False
    return math.prod(tensor.shape) * attention_numpy.ELEMENT_BYTES[tensor.dtype] == len(tensor.data)


def bhsd(tensor):
    shape = list(tensor.shape)
    return [shape[0], shape[2], shape[1], shape[3]] if tensor.layout == attention_numpy.BSHD else shape


def options_are_valid(options):
    if options.HasField("sm_scale") and not (math.isfinite(options.sm_scale) and options.sm_scale > 0):
        return False
    if not (math.isfinite(options.logits_soft_cap) and options.logits_soft_cap >= 0):
        return False
    return all(getattr(options, name) >= -1 for name in ("window_left", "window_right") if options.HasField(name))


def request_is_valid(request):
    """Whether the .proto allows this request."""
    if not all(tensor_is_valid(tensor) for tensor in (request.q, request.k, request.v)):
        return False
    q, k, v = bhsd(request.q), bhsd(request.k), bhsd(request.v)
    same_types = request.q.dtype == request.k.dtype == request.v.dtype
    return (same_types and k == v and q[0] == k[0] and q[3] == k[3] and q[1] % k[1] == 0
            and 8 <= q[3] <= 256 and q[3] % 8 == 0 and options_are_valid(request.options)
            and request.priority in (0, 1, 2, 3))
