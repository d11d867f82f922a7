"""Sentence vectors of a BERT encoder folder in 64-bit floats, straight from its safetensors: the yardstick for `cloister embed`.

    python3 tools/reference/embed_float64.py MODEL_FOLDER < LINES > LINES

Lines in: {"id", "text"}; lines out: {"id", "embedding", "tokens"}. Needs numpy, safetensors and tokenizers from PyPI.
Tokens come from the `tokenizers` library with truncation at `max_seq_length` of sentence_bert_config.json and no padding
(what tokenizer.json says of both is a leftover of training), and with special tokens taken from nothing that the text spells.

    python3 tools/reference/embed_float64.py --check MODEL_FOLDER

builds the same network as an ONNX graph of onnxruntime's own kernels (needs onnx and onnxruntime) and compares.
"""

import json
import math
import pathlib
import sys

import numpy as np
from safetensors import safe_open
from tokenizers import Tokenizer


def load(folder):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    sentence = folder / "sentence_bert_config.json"
    limit = json.loads(sentence.read_text())["max_seq_length"] if sentence.exists() else config["max_position_embeddings"]
    with safe_open(str(folder / "model.safetensors"), framework="numpy") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}
    # Special tokens written out in a text must not be read as such: the added tokens are left out.
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw.update(truncation=None, padding=None, added_tokens=[], post_processor=None)
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    return config, weights, tokenizer, limit


def token_ids(tokenizer, text, limit):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    return [tokenizer.token_to_id("[CLS]"), *ids[: limit - 2], tokenizer.token_to_id("[SEP]")]


def erf(x):
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def norm(x, w, name, eps):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * w[name + ".weight"] + w[name + ".bias"]


def embed(config, weights64, ids):
    w, eps, heads = weights64, config["layer_norm_eps"], config["num_attention_heads"]
    linear = lambda x, name: x @ w[name + ".weight"].T + w[name + ".bias"]  # noqa: E731
    n = len(ids)
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:n]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], w, "embeddings.LayerNorm", eps)
    for layer in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{layer}."
        split = lambda y: y.reshape(n, heads, -1).transpose(1, 0, 2)  # noqa: E731
        q, k, v = (split(linear(x, p + f"attention.self.{part}")) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        mixed = (scores @ v).transpose(1, 0, 2).reshape(n, -1)
        x = norm(linear(mixed, p + "attention.output.dense") + x, w, p + "attention.output.LayerNorm", eps)
        y = linear(x, p + "intermediate.dense")
        y = 0.5 * y * (1 + erf(y / math.sqrt(2)))
        x = norm(linear(y, p + "output.dense") + x, w, p + "output.LayerNorm", eps)
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def onnx_model(config, weights):
    """The network up to the last states as an ONNX graph: Gather, MatMul, LayerNormalization, Softmax, Gelu."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, initial = [], []

    def const(name, value):
        initial.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(kind, inputs, **attributes):
        out = f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    w = {name: value.astype(np.float32) for name, value in weights.items() if value.dtype.kind == "f"}
    dense = lambda x, n: op("Add", [op("MatMul", [x, const(n + ".w", w[n + ".weight"].T)]), const(n + ".b", w[n + ".bias"])])  # noqa: E731
    layer_norm = lambda x, n: op("LayerNormalization", [x, const(n + ".g", w[n + ".weight"]), const(n + ".b", w[n + ".bias"])],  # noqa: E731
                                 axis=-1, epsilon=float(config["layer_norm_eps"]))
    heads = config["num_attention_heads"]
    dim = config["hidden_size"] // heads
    shape4, shape3 = const("shape4", np.array([0, 0, heads, dim])), const("shape3", np.array([0, 0, heads * dim]))
    x = op("Gather", [const("words", w["embeddings.word_embeddings.weight"]), "ids"])
    x = op("Add", [x, op("Gather", [const("positions", w["embeddings.position_embeddings.weight"]), "positions_in"])])
    x = layer_norm(op("Add", [x, const("type0", w["embeddings.token_type_embeddings.weight"][0])]), "embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{layer}."
        q, k, v = (op("Transpose", [op("Reshape", [dense(x, p + f"attention.self.{part}"), shape4])], perm=perm)
                   for part, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])))
        scores = op("Mul", [op("MatMul", [q, k]), const(p + "scale", np.float32(1 / math.sqrt(dim)))])
        scores = op("Softmax", [op("Add", [scores, "mask"])], axis=-1)
        mixed = op("Reshape", [op("Transpose", [op("MatMul", [scores, v])], perm=[0, 2, 1, 3]), shape3])
        x = layer_norm(op("Add", [dense(mixed, p + "attention.output.dense"), x]), p + "attention.output.LayerNorm")
        y = op("Gelu", [dense(x, p + "intermediate.dense")])
        x = layer_norm(op("Add", [dense(y, p + "output.dense"), x]), p + "output.LayerNorm")
    nodes.append(helper.make_node("Identity", [x], ["states"]))
    graph = helper.make_graph(
        nodes, "bert",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["b", "n"]), helper.make_tensor_value_info("positions_in", TensorProto.INT64, ["n"]),
         helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["b", 1, 1, "n"])],
        [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["b", "n", config["hidden_size"]])], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 9
    return model.SerializeToString()


def onnx_session(config, weights, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(onnx_model(config, weights), options, providers=["CPUExecutionProvider"])


def onnx_embed(session, batch):
    """Vectors of several id lists, padded to the longest."""
    longest = max(map(len, batch))
    ids = np.array([row + [0] * (longest - len(row)) for row in batch], dtype=np.int64)
    live = np.array([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in batch], dtype=np.float32)
    mask = ((1 - live) * -1e9)[:, None, None, :].astype(np.float32)
    states = session.run(["states"], {"ids": ids, "positions_in": np.arange(longest), "mask": mask})[0]
    mean = (states * live[:, :, None]).sum(1) / live.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def check(folder):
    config, weights, tokenizer, limit = load(folder)
    weights64 = {name: value.astype(np.float64) for name, value in weights.items() if value.dtype.kind == "f"}
    session = onnx_session(config, weights, 2)
    texts = ["A cloister is a covered walk.", "x", "Notice period: thirty (30) days. " * 60, "本契約は東京 café naïve", "1 2 3 4 5"]
    worst = 1.0
    for text in texts:
        ids = token_ids(tokenizer, text, limit)
        worst = min(worst, float(embed(config, weights64, ids) @ onnx_embed(session, [ids])[0]))
    print(json.dumps({"what": "float64 reference against onnxruntime", "texts": len(texts), "cosine_min": worst}))
    return 0 if worst > 0.999999 else 1


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2]))
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    config, weights, tokenizer, limit = load(sys.argv[1])
    weights64 = {name: value.astype(np.float64) for name, value in weights.items() if value.dtype.kind == "f"}
    for line in sys.stdin:
        row = json.loads(line)
        ids = token_ids(tokenizer, row["text"], limit)
        print(json.dumps({"id": row["id"], "embedding": embed(config, weights64, ids).tolist(), "tokens": ids}))


if __name__ == "__main__":
    main()
