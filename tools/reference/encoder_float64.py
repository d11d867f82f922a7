"""Encoders of four families in float64, straight from their papers: the yardstick for random weights made by rule.

    python3 tools/reference/encoder_float64.py > engine/tests/it/golden/encoders.jsonl
    python3 tools/reference/encoder_float64.py --rerank > engine/tests/it/golden/rerankers.jsonl

Each line: {"family", "pooling", "tokens", "embedding"}, or with a head on the encoder that gives pairs of texts a score
{"family", "pooling", "tokens", "second", "score"}, where tokens from `second` on are of the second type. The weights are those of `value` below, tensor after tensor in the
order of `shapes`; the engine's test makes the same ones. Needs numpy.
"""

import json
import math
import sys

import numpy as np

WIDTH, HEADS, INNER, LAYERS, VOCABULARY, POSITIONS = 48, 3, 80, 4, 40, 64
REACH, EVERY = 4, 3
BASES = {"nomic_bert": (1000.0, 1000.0), "modernbert": (160000.0, 100.0)}
EPSILON = {"bert": 1e-12, "xlm-roberta": 1e-5, "nomic_bert": 1e-12, "modernbert": 1e-5}


def value(count, seed):
    """Values between -1 and 1 by a fixed rule in 32-bit arithmetic."""
    at = np.arange(count, dtype=np.uint64)
    mixed = ((at ^ (seed << 16)) * 2654435761) & 0xFFFFFFFF
    mixed = (((mixed << 13) | (mixed >> 19)) & 0xFFFFFFFF) * 40503 & 0xFFFFFFFF
    return (mixed >> 8).astype(np.float64) / (1 << 23) - 1.0


def shapes(family):
    """Names and shapes of a family's tensors in the order in which they are made."""
    both = lambda name, *shape: [(f"{name}.weight", shape), (f"{name}.bias", shape[:1])]  # noqa: E731
    weight = lambda name, *shape: [(f"{name}.weight", shape)]  # noqa: E731
    if family in ("bert", "xlm-roberta"):
        out = weight("embeddings.word_embeddings", VOCABULARY, WIDTH) + weight("embeddings.position_embeddings", POSITIONS, WIDTH)
        out += weight("embeddings.token_type_embeddings", 2, WIDTH) + both("embeddings.LayerNorm", WIDTH)
        for n in range(LAYERS):
            p = f"encoder.layer.{n}."
            for part in ("query", "key", "value"):
                out += both(f"{p}attention.self.{part}", WIDTH, WIDTH)
            out += both(f"{p}attention.output.dense", WIDTH, WIDTH) + both(f"{p}attention.output.LayerNorm", WIDTH)
            out += both(f"{p}intermediate.dense", INNER, WIDTH) + both(f"{p}output.dense", WIDTH, INNER) + both(f"{p}output.LayerNorm", WIDTH)
    elif family == "nomic_bert":
        out = weight("embeddings.word_embeddings", VOCABULARY, WIDTH) + weight("embeddings.token_type_embeddings", 2, WIDTH)
        out += both("emb_ln", WIDTH)
        for n in range(LAYERS):
            p = f"encoder.layers.{n}."
            out += weight(f"{p}attn.Wqkv", 3 * WIDTH, WIDTH) + weight(f"{p}attn.out_proj", WIDTH, WIDTH) + both(f"{p}norm1", WIDTH)
            out += weight(f"{p}mlp.fc11", INNER, WIDTH) + weight(f"{p}mlp.fc12", INNER, WIDTH) + weight(f"{p}mlp.fc2", WIDTH, INNER)
            out += both(f"{p}norm2", WIDTH)
    else:
        out = weight("model.embeddings.tok_embeddings", VOCABULARY, WIDTH) + weight("model.embeddings.norm", WIDTH)
        for n in range(LAYERS):
            p = f"model.layers.{n}."
            if n:
                out += weight(f"{p}attn_norm", WIDTH)
            out += weight(f"{p}attn.Wqkv", 3 * WIDTH, WIDTH) + weight(f"{p}attn.Wo", WIDTH, WIDTH) + weight(f"{p}mlp_norm", WIDTH)
            out += weight(f"{p}mlp.Wi", 2 * INNER, WIDTH) + weight(f"{p}mlp.Wo", WIDTH, INNER)
        out += weight("model.final_norm", WIDTH)
    return out


def head_shapes(family):
    """The tensors of a reranker's head, which are made after the encoder's."""
    dense, score = {"bert": ("pooler.dense", "classifier"), "xlm-roberta": ("classifier.dense", "classifier.out_proj"),
                    "modernbert": ("head.dense", "classifier")}[family]
    out = [(f"{dense}.weight", (WIDTH, WIDTH))]
    out += [("head.norm.weight", (WIDTH,))] if family == "modernbert" else [(f"{dense}.bias", (WIDTH,))]
    return out + [(f"{score}.weight", (1, WIDTH)), (f"{score}.bias", (1,))]


def weights(family, with_head=False):
    """Norm weights lie around 1, everything else around 0."""
    out = {}
    for seed, (name, shape) in enumerate(shapes(family) + (head_shapes(family) if with_head else [])):
        values = value(int(np.prod(shape)), seed).reshape(shape)
        is_norm = len(shape) == 1 and name.endswith(".weight")
        out[name] = (1.0 + 0.25 * values if is_norm else 0.25 * values).astype(np.float32).astype(np.float64)
    return out


def norm(x, w, name, eps):
    centred = x - x.mean(-1, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * w[f"{name}.weight"]
    return y + w.get(f"{name}.bias", 0.0)


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def silu(x):
    return x / (1 + np.exp(-x))


def heads(x):
    return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)


def rotate(x, base):
    """The first half of a head is rotated against the second."""
    n, dim = x.shape[1:]
    angles = np.arange(n)[:, None] * base ** (-2.0 * np.arange(dim // 2) / dim)
    a, b = x[..., : dim // 2], x[..., dim // 2 :]
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)], -1)


def attend(q, k, v, reach=None):
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
    if reach is not None:
        far = np.abs(np.subtract.outer(np.arange(q.shape[1]), np.arange(q.shape[1]))) > reach
        scores = np.where(far, -np.inf, scores)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = shares / shares.sum(-1, keepdims=True) @ v
    return mixed.transpose(1, 0, 2).reshape(q.shape[1], -1)


def bert(w, ids, family, second=None):
    eps, first = EPSILON[family], 2 if family == "xlm-roberta" else 0
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][first : first + len(ids)]
    types = [int(second is not None and i >= second) for i in range(len(ids))]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][types], w, "embeddings.LayerNorm", eps)
    for n in range(LAYERS):
        p = f"encoder.layer.{n}."
        q, k, v = (heads(linear(x, w, f"{p}attention.self.{part}")) for part in ("query", "key", "value"))
        x = norm(x + linear(attend(q, k, v), w, f"{p}attention.output.dense"), w, f"{p}attention.output.LayerNorm", eps)
        y = gelu(linear(x, w, f"{p}intermediate.dense"))
        x = norm(x + linear(y, w, f"{p}output.dense"), w, f"{p}output.LayerNorm", eps)
    return x


def nomic(w, ids, family):
    eps, base = EPSILON[family], BASES[family][0]
    x = norm(w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0], w, "emb_ln", eps)
    for n in range(LAYERS):
        p = f"encoder.layers.{n}."
        q, k, v = (heads(part) for part in np.split(linear(x, w, f"{p}attn.Wqkv"), 3, -1))
        x = norm(x + linear(attend(rotate(q, base), rotate(k, base), v), w, f"{p}attn.out_proj"), w, f"{p}norm1", eps)
        y = linear(x, w, f"{p}mlp.fc11") * silu(linear(x, w, f"{p}mlp.fc12"))
        x = norm(x + linear(y, w, f"{p}mlp.fc2"), w, f"{p}norm2", eps)
    return x


def modern(w, ids, family):
    eps = EPSILON[family]
    x = norm(w["model.embeddings.tok_embeddings.weight"][ids], w, "model.embeddings.norm", eps)
    for n in range(LAYERS):
        p, local = f"model.layers.{n}.", n % EVERY != 0
        y = norm(x, w, f"{p}attn_norm", eps) if n else x
        q, k, v = (heads(part) for part in np.split(linear(y, w, f"{p}attn.Wqkv"), 3, -1))
        base = BASES[family][local]
        x = x + linear(attend(rotate(q, base), rotate(k, base), v, REACH if local else None), w, f"{p}attn.Wo")
        y, gate = np.split(linear(norm(x, w, f"{p}mlp_norm", eps), w, f"{p}mlp.Wi"), 2, -1)
        x = x + linear(gelu(y) * gate, w, f"{p}mlp.Wo")
    return norm(x, w, "model.final_norm", eps)


FORWARD = {"bert": bert, "xlm-roberta": bert, "nomic_bert": nomic, "modernbert": modern}
POOL = {"mean": lambda x: x.mean(0), "first": lambda x: x[0], "last": lambda x: x[-1]}


def score(w, pooled, family):
    """The heads of BertForSequenceClassification, of its RoBERTa kin and of ModernBERT's."""
    dense, _, *_, (out, _), _ = head_shapes(family)
    y, out = linear(pooled, w, dense[0].removesuffix(".weight")), out.removesuffix(".weight")
    y = norm(gelu(y), w, "head.norm", EPSILON[family]) if family == "modernbert" else np.tanh(y)
    return float(linear(y, w, out)[0])


def rerank():
    for family, pooling in (("bert", "first"), ("xlm-roberta", "first"), ("modernbert", "first"), ("modernbert", "mean")):
        w = weights(family, with_head=True)
        for length in (5, 22, 37, 51):
            ids = [2] + [4 + (11 * i + length) % 36 for i in range(length - 3)] + [3]
            second = len(ids) // 3
            ids.insert(second, 3)
            second += 1
            states = bert(w, ids, family, second) if family == "bert" else FORWARD[family](w, ids, family)
            row = {"family": family, "pooling": pooling, "tokens": ids, "second": second if family == "bert" else len(ids)}
            print(json.dumps({**row, "score": round(score(w, POOL[pooling](states), family), 8)}))


def main():
    if "--rerank" in sys.argv[1:]:
        return rerank()
    for family, forward in FORWARD.items():
        w = weights(family)
        for length, pooling in ((3, "mean"), (21, "first"), (50, "mean"), (33, "last")):
            ids = [2] + [4 + (7 * i + length) % 36 for i in range(length - 2)] + [3]
            pooled = POOL[pooling](forward(w, ids, family))
            vector = [round(float(v), 8) for v in pooled / np.linalg.norm(pooled)]
            print(json.dumps({"family": family, "pooling": pooling, "tokens": ids, "embedding": vector}))


if __name__ == "__main__":
    main()
