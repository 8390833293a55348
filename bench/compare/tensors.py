"""Inputs on the device, and what attention over them should give."""

import torch

# Elements of a block of scores in the reference: bounds its memory.
BLOCK_SCORES = 2**28


def _tensor(shape, heads, tokens, generator):
    sizes = (shape.batch, tokens, heads, shape.head_dim) if shape.bshd else (shape.batch, heads, tokens, shape.head_dim)
    dtype = torch.bfloat16 if shape.bf16 else torch.float16
    tensor = torch.randn(sizes, generator=generator, device="cuda", dtype=torch.float32).to(dtype)
    return tensor.transpose(1, 2) if shape.bshd else tensor


def draw(shape, seed):
    """Q, K, V as [B, H, S, D] views, standard normal."""
    generator = torch.Generator(device="cuda").manual_seed(seed)
    return (_tensor(shape, shape.num_qo_heads, shape.q_len, generator),
            _tensor(shape, shape.num_kv_heads, shape.kv_len, generator),
            _tensor(shape, shape.num_kv_heads, shape.kv_len, generator))


def _visible(shape, first_row, last_row):
    begin, end = shape.visible_keys(torch.arange(first_row, last_row, device="cuda"))
    keys = torch.arange(shape.kv_len, device="cuda")
    return (keys >= begin[:, None]) & (keys < end[:, None])


def _textbook(shape, q, k, v, visible):
    """Attention with S and P stored in the tensors' own dtype; rows that see no key give 0."""
    scores = (q @ k.transpose(-1, -2)) * shape.head_dim**-0.5
    if shape.soft_cap:
        scores = shape.soft_cap * torch.tanh(scores / shape.soft_cap)
    weights = torch.softmax(scores.masked_fill(~visible, float("-inf")), dim=-1)
    return torch.nan_to_num(weights, nan=0.0) @ v


class Oracle:
    """The float32 result, and by FlashAttention-2's rule how far from it a 16-bit result may be."""

    def __init__(self, shape, q, k, v):
        self.expected = torch.empty(q.shape, dtype=torch.float32, device="cuda")
        plain_error = 0.0
        group = shape.num_qo_heads // shape.num_kv_heads
        rows = max(1, min(shape.q_len, BLOCK_SCORES // (group * shape.kv_len)))
        for batch in range(shape.batch):
            for head in range(shape.num_kv_heads):
                heads = slice(head * group, (head + 1) * group)
                k16, v16 = k[batch, head], v[batch, head]
                k32, v32 = k16.float(), v16.float()
                for first in range(0, shape.q_len, rows):
                    last = min(first + rows, shape.q_len)
                    q16 = q[batch, heads, first:last]
                    visible = _visible(shape, first, last)
                    exact = _textbook(shape, q16.float(), k32, v32, visible)
                    plain = _textbook(shape, q16, k16, v16, visible)
                    self.expected[batch, heads, first:last] = exact
                    plain_error = max(plain_error, (plain.float() - exact).abs().max().item())
        self.tolerance = 2.0 * plain_error + 1e-5

    def error(self, output):
        """NaN if any element is."""
        return (output.float() - self.expected).abs().max().item()
