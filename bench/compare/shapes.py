"""Attention problems on one line, the sets of them that are compared, and random ones.

1,8,512,64 is batch, query heads, tokens, head_dim in fp16, contiguous [B, H, S, D]. Options follow in any order:
causal  bf16  bshd  kv_heads=N  kv_len=N  window=LEFT:RIGHT  soft_cap=X
"""

import dataclasses
import random

import numpy as np

SETS = {
    "mission": "1,8,512,64 1,8,512,64,causal",
    "grid": "1,8,512,64 1,8,512,64,causal 8,8,512,64 32,8,512,64 1,8,2048,64 2,16,2048,128 4,16,4096,128 "
            "4,16,4096,128,causal 2,32,8192,64 2,32,8192,64,causal",
    "slice": "8,8,512,64 32,8,512,64 1,8,2048,64 2,16,2048,128 2,16,2048,128,causal 2,16,4096,64",
    "long": "1,32,16384,64 1,16,16384,128",
}


@dataclasses.dataclass(frozen=True)
class Shape:
    """As flashcore::AttentionProblem; a window's bound of -1 is none. Masks are aligned bottom-right."""

    batch: int
    num_qo_heads: int
    q_len: int
    head_dim: int
    num_kv_heads: int
    kv_len: int
    causal: bool = False
    bf16: bool = False
    bshd: bool = False
    window_left: int = -1
    window_right: int = -1
    soft_cap: float = 0.0

    def __str__(self):
        words = [f"{self.batch},{self.num_qo_heads},{self.q_len},{self.head_dim}"]
        if self.num_kv_heads != self.num_qo_heads:
            words.append(f"kv_heads={self.num_kv_heads}")
        if self.kv_len != self.q_len:
            words.append(f"kv_len={self.kv_len}")
        words += [name for name in ("causal", "bf16", "bshd") if getattr(self, name)]
        if self.window_left >= 0 or self.window_right >= 0:
            bounds = [str(bound) if bound >= 0 else "" for bound in (self.window_left, self.window_right)]
            words.append("window=" + ":".join(bounds))
        if self.soft_cap:
            words.append(f"soft_cap={self.soft_cap:g}")
        return ",".join(words)

    @property
    def windowed(self):
        return self.window_left >= 0 or self.window_right >= 0

    def visible_keys(self, rows):
        """First and past-the-last visible key of each query row; begin >= end where there is none."""
        aligned = rows + (self.kv_len - self.q_len)
        begin = 0 * rows if self.window_left < 0 else aligned - self.window_left
        end = 0 * rows + self.kv_len
        if self.causal:
            end = aligned + 1
        elif self.window_right >= 0:
            end = aligned + self.window_right + 1
        return begin.clip(0, self.kv_len), end.clip(0, self.kv_len)

    def flops(self):
        """4 * head_dim for each visible pair of query and key."""
        begin, end = self.visible_keys(np.arange(self.q_len, dtype=np.int64))
        pairs = int(np.maximum(end - begin, 0).sum())
        return 4.0 * self.batch * self.num_qo_heads * pairs * self.head_dim


def parse_shape(text):
    fields = text.split(",")
    batch, heads, tokens, head_dim = (int(field) for field in fields[:4])
    options = {"num_kv_heads": heads, "kv_len": tokens}
    for field in fields[4:]:
        name, _, value = field.partition("=")
        if name in ("causal", "bf16", "bshd") and not value:
            options[name] = True
        elif name == "kv_heads":
            options["num_kv_heads"] = int(value)
        elif name == "kv_len":
            options["kv_len"] = int(value)
        elif name == "soft_cap":
            options["soft_cap"] = float(value)
        elif name == "window":
            left, right = value.split(":")
            options["window_left"] = int(left) if left else -1
            options["window_right"] = int(right) if right else -1
        else:
            raise ValueError(f"shape '{text}': '{field}' is no option")
    shape = Shape(batch, heads, tokens, head_dim, **options)
    if shape.num_qo_heads % shape.num_kv_heads:
        raise ValueError(f"shape '{text}': kv_heads does not divide the query heads")
    return shape


def parse_shapes(text):
    """Words separated by white space, each a shape or the name of a set."""
    return [parse_shape(notation) for word in text.split() for notation in SETS.get(word, word).split()]


# Of one random shape: query heads * q_len * kv_len * batch, so that its reference stays affordable.
MAX_RANDOM_SCORES = 2**30


def _log_uniform(rng, low, high):
    return round(low * (high / low) ** rng.random())


def _draw(rng):
    head_dim = rng.choice((32, 64, 64, 96, 128, 128, 256, 8 * rng.randint(1, 32)))
    num_kv_heads = rng.choice((1, 2, 4, 8, 16))
    q_len = rng.choice((1, _log_uniform(rng, 2, 256), _log_uniform(rng, 128, 8192), 2 ** rng.randint(7, 12)))
    causal = rng.random() < 0.5
    windowed = rng.random() < 0.2
    return Shape(
        batch=rng.choice((1, 1, 2, 4, 8, 16, 32)),
        num_qo_heads=num_kv_heads * rng.choice((1, 1, 1, 2, 4, 7, 8)),
        q_len=q_len,
        head_dim=head_dim,
        num_kv_heads=num_kv_heads,
        kv_len=q_len if q_len > 1 and rng.random() < 0.7 else _log_uniform(rng, 16, 16384),
        causal=causal,
        bf16=rng.random() < 0.4,
        bshd=rng.random() < 0.4,
        window_left=rng.randint(3, 533) if windowed else -1,
        window_right=rng.randint(0, 533) if windowed and not causal else -1,
        soft_cap=rng.choice((1.0, 30.0, 50.0)) if rng.random() < 0.1 else 0.0)


def random_shapes(count, seed):
    """The same shapes for the same seed; the first shapes do not depend on count."""
    rng = random.Random(seed)
    shapes = []
    while len(shapes) < count:
        shape = _draw(rng)
        if shape.batch * shape.num_qo_heads * shape.q_len * shape.kv_len <= MAX_RANDOM_SCORES:
            shapes.append(shape)
    return shapes
