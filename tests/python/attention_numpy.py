"""Attention in float64 with numpy, and requests made of random tensors: written from the .proto's words alone."""

import math

import numpy as np

FP16, BF16, FP32 = 1, 2, 3
BHSD, BSHD = 1, 2
ELEMENT_BYTES = {FP16: 2, BF16: 2, FP32: 4}


def to_bytes(array, dtype):
    """Rounds float values to `dtype`, to nearest even: (bytes, the rounded values as float64)."""
    if dtype == FP16:
        rounded = array.astype("<f2")
        return rounded.tobytes(), rounded.astype(np.float64)
    single = array.astype("<f4")
    if dtype == FP32:
        return single.tobytes(), single.astype(np.float64)
    bits = single.view("<u4")
    half = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return half.tobytes(), from_bytes(half.tobytes(), BF16).reshape(array.shape)


def from_bytes(data, dtype):
    """The values of `data`, flat, as float64."""
    if dtype == FP16:
        return np.frombuffer(data, "<f2").astype(np.float64)
    if dtype == FP32:
        return np.frombuffer(data, "<f4").astype(np.float64)
    return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)


def to_bhsd(flat, shape, layout):
    """A flat tensor in its layout's order, as [B, H, S, D]."""
    array = flat.reshape(tuple(shape))
    return array.transpose(0, 2, 1, 3) if layout == BSHD else array


def visible(q_len, kv_len, options):
    """[Sq, Skv] booleans: which keys each query sees."""
    aligned = np.arange(q_len)[:, None] + (kv_len - q_len)
    key = np.arange(kv_len)[None, :]
    mask = np.ones((q_len, kv_len), bool)
    if options.causal:
        mask &= key <= aligned
    # A window wider than this hides nothing; without the bound, huge ones would overflow.
    widest = q_len + kv_len
    if options.HasField("window_left") and options.window_left >= 0:
        mask &= aligned - min(options.window_left, widest) <= key
    if options.HasField("window_right") and options.window_right >= 0:
        mask &= key <= aligned + min(options.window_right, widest)
    return mask


def attention(q, k, v, options):
    """q, k, v [B, H, S, D] float64 -> O [B, Hq, Sq, D], LSE [B, Hq, Sq]."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scale = float(options.sm_scale) if options.HasField("sm_scale") else 1.0 / math.sqrt(q.shape[3])
    logits = scale * (q @ k.transpose(0, 1, 3, 2))
    if options.logits_soft_cap > 0:
        logits = options.logits_soft_cap * np.tanh(logits / options.logits_soft_cap)
    logits = np.where(visible(q.shape[2], k.shape[2], options), logits, -np.inf)
    greatest = logits.max(axis=3, keepdims=True)
    shift = np.where(np.isfinite(greatest), greatest, 0.0)
    weights = np.exp(logits - shift)
    total = weights.sum(axis=3, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = (np.log(total) + shift)[..., 0]
    return (weights @ v) / np.where(total > 0, total, 1.0), lse


def answer_to(request):
    """What the server should answer to a valid request: (O in [B, Hq, Sq, D], LSE)."""
    tensors = [to_bhsd(from_bytes(t.data, t.dtype), t.shape, t.layout) for t in (request.q, request.k, request.v)]
    return attention(*tensors, request.options)


# How far O may lie from the float64 answer, as (relative, absolute): one rounding to the output's format, and FP32
# arithmetic before it. Inputs are of unit variance.
TOLERANCE = {FP16: (2.0**-10, 2e-5), BF16: (2.0**-7, 2e-5), FP32: (2e-6, 1e-5)}
# Added to the absolute part where tensor cores take the softmax weights in the input's format.
WEIGHT_ROUNDING = {FP16: 1e-3, BF16: 8e-3, FP32: 0.0}
LSE_TOLERANCE = (2e-6, 2e-5)


# Rounding steps of FP32 that a logit may be off by, in terms of the greatest that it could be.
LOGIT_ROUNDINGS = 4


def logit_rounding(request):
    """How far O may lie off because logits are rounded to FP32: a weight is off by as much, relatively, as its logit is
    absolutely, and logits are at most scale |q| |k|."""
    q, k, v = (from_bytes(t.data, t.dtype).reshape(-1, request.q.shape[3]) for t in (request.q, request.k, request.v))
    options = request.options
    scale = float(options.sm_scale) if options.HasField("sm_scale") else 1.0 / math.sqrt(request.q.shape[3])
    greatest = scale * np.linalg.norm(q, axis=1).max() * np.linalg.norm(k, axis=1).max()
    return LOGIT_ROUNDINGS * 2.0**-24 * greatest * np.abs(v).max()


def mismatch(request, response):
    """What is wrong with the response to a valid request of finite tensors; None if nothing. Second: O's largest error."""
    o, lse = answer_to(request)
    if response.o.dtype != request.q.dtype or list(response.o.shape) != list(request.q.shape):
        return f"o: dtype {response.o.dtype} shape {list(response.o.shape)}", 0.0
    if (response.o.layout or BHSD) != (request.q.layout or BHSD):
        return f"o.layout {response.o.layout}", 0.0
    got = to_bhsd(from_bytes(response.o.data, response.o.dtype), response.o.shape, response.o.layout)
    relative, absolute = TOLERANCE[request.q.dtype]
    if response.timing.kernel.startswith("cuda"):
        absolute += WEIGHT_ROUNDING[request.q.dtype]
    absolute += logit_rounding(request)
    error = np.abs(got - o)
    if not np.all(error <= absolute + relative * np.abs(o)):
        return f"o: off by {np.nanmax(error)}, {np.count_nonzero(np.isnan(got))} NaN", float(np.nanmax(error))
    if np.any(got[np.isneginf(lse)] != 0):
        return "o: not 0 in a row that sees no key", 0.0
    if response.HasField("lse") != request.options.return_lse:
        return f"lse present: {response.HasField('lse')}", 0.0
    if request.options.return_lse:
        return lse_mismatch(response.lse, lse), float(error.max())
    return None, float(error.max())


def lse_mismatch(tensor, lse):
    if tensor.dtype != FP32 or tuple(tensor.shape) != lse.shape:
        return f"lse: dtype {tensor.dtype} shape {list(tensor.shape)}"
    got = from_bytes(tensor.data, FP32).reshape(lse.shape)
    finite = np.isfinite(lse)
    if not np.array_equal(np.isneginf(got), ~finite):
        return "lse: -inf in other rows than those that see no key"
    relative, absolute = LSE_TOLERANCE
    error = np.abs(got[finite] - lse[finite])
    if not np.all(error <= absolute + relative * np.abs(lse[finite])):
        return f"lse: off by {error.max()}"
    return None


def fill_tensor(rng, tensor, dtype, layout, shape_bhsd):
    """Random values of unit variance."""
    b, h, s, d = shape_bhsd
    shape = (b, s, h, d) if layout == BSHD else (b, h, s, d)
    tensor.dtype, tensor.layout = dtype, layout
    tensor.shape.extend(shape)
    tensor.data = to_bytes(rng.standard_normal(shape), dtype)[0]


def random_length(rng, longest):
    """Mostly odd and small, sometimes 1, sometimes long."""
    kind = rng.integers(4)
    if kind == 0:
        return int(rng.integers(1, 4))
    return int(rng.integers(1, 40 if kind < 3 else longest + 1))


def random_options(rng, options, head_dim, kv_len):
    options.causal = bool(rng.integers(2))
    options.return_lse = bool(rng.integers(2))
    if rng.integers(2):
        options.sm_scale = float(rng.uniform(0.3, 2.0)) / math.sqrt(head_dim)
    if rng.integers(3) == 0:
        options.logits_soft_cap = float(rng.uniform(0.5, 50.0))
    if rng.integers(3) == 0:
        options.window_left = int(rng.integers(-1, kv_len + 2))
    if rng.integers(3) == 0:
        options.window_right = int(rng.integers(-1, kv_len + 2))


def random_request(rng, request, dtypes, longest=260, max_work=2.0e7, max_elements=1_500_000):
    """Fills an AttendRequest with every option drawn at random. At most `max_work` multiply-adds for Q K^T and
    `max_elements` in its tensors."""
    while True:
        batch, kv_heads = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        heads = kv_heads * int(rng.choice([1, 1, 2, 3, 4, 8]))
        q_len, kv_len = random_length(rng, longest), random_length(rng, longest)
        head_dim = 8 * int(rng.integers(1, 33))
        elements = batch * head_dim * (heads * q_len + 2 * kv_heads * kv_len)
        if batch * heads * q_len * kv_len * head_dim <= max_work and elements <= max_elements:
            break
    dtype = int(rng.choice(dtypes))
    # Layout 0 says nothing, which means BHSD.
    layouts = [int(rng.integers(0, 3)) for _ in range(3)]
    fill_tensor(rng, request.q, dtype, layouts[0], (batch, heads, q_len, head_dim))
    fill_tensor(rng, request.k, dtype, layouts[1], (batch, kv_heads, kv_len, head_dim))
    fill_tensor(rng, request.v, dtype, layouts[2], (batch, kv_heads, kv_len, head_dim))
    random_options(rng, request.options, head_dim, kv_len)
    return request
