"""PyTorch's attention, as a user would call it."""

import contextlib

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

BACKENDS = {
    "fa2": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


class Unsupported(Exception):
    """The implementation cannot compute the shape; the text says why."""


def _through_sdpa(shape):
    """PyTorch's causal mask is aligned top-left, the others have no window and nothing has a soft cap."""
    return not shape.soft_cap and not shape.windowed and not (shape.causal and shape.q_len != shape.kv_len)


class Incumbent:
    """One of PyTorch's backends on a shape. `sets` are tuples (q, k, v)."""

    def __init__(self, name, shape, sets):
        self.name = name
        self.shape = shape
        self.sets = sets
        if not _through_sdpa(shape) and (name != "fa2" or shape.soft_cap):
            raise Unsupported("PyTorch has no such mask for it")
        self._attend = self._sdpa if _through_sdpa(shape) else self._flash_attention

    def scope(self):
        """Entered once around many calls: choosing the backend takes longer than a small kernel runs."""
        return sdpa_kernel(BACKENDS[self.name]) if _through_sdpa(self.shape) else contextlib.nullcontext()

    def __call__(self, index):
        return self._attend(*self.sets[index % len(self.sets)])

    def output(self):
        try:
            with self.scope():
                output = self(0)
            torch.cuda.synchronize()
            return output
        except RuntimeError as error:
            raise Unsupported(str(error).splitlines()[0]) from error

    def _sdpa(self, q, k, v):
        return scaled_dot_product_attention(q, k, v, is_causal=self.shape.causal,
                                            enable_gqa=self.shape.num_qo_heads != self.shape.num_kv_heads)

    def _flash_attention(self, q, k, v):
        """What PyTorch wraps: FlashAttention-2 itself, on [B, S, H, D]."""
        shape = self.shape
        output, *_ = torch.ops.aten._flash_attention_forward(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), None, None, shape.q_len, shape.kv_len, 0.0,
            shape.causal, False, scale=shape.head_dim**-0.5,
            window_size_left=shape.window_left if shape.windowed else None,
            window_size_right=shape.window_right if shape.windowed else None)
        return output.transpose(1, 2)
