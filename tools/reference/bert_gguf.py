"""A BERT encoder folder as a GGUF file, as llama.cpp reads it: for comparing both on the same weights.

    python3 tools/reference/bert_gguf.py MODEL_FOLDER OUT.gguf [F32|F16|Q8_0]

Needs numpy, safetensors and gguf from PyPI. Matrices take the type given; norms, biases and positions stay 32-bit floats.
"""

import json
import pathlib
import sys

import gguf
import numpy as np
from safetensors import safe_open

LAYER = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
         "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
         "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
OUTSIDE = {"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
           "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
           "pooler.dense": "cls", "classifier": "cls.output"}


def tensor_name(name):
    """The name in the file, or None for what it does not hold."""
    stem, part = name.removeprefix("bert.").rsplit(".", 1)
    if stem.startswith("encoder.layer."):
        number, inner = stem.removeprefix("encoder.layer.").split(".", 1)
        return f"blk.{number}.{LAYER[inner]}.{part}"
    return f"{OUTSIDE[stem]}.{part}" if stem in OUTSIDE else None


def vocabulary(folder):
    """Pieces of the vocabulary by id; those that begin a word get the mark of a space, the others lose their prefix."""
    pieces = sorted(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"].items(), key=lambda item: item[1])
    for piece, _ in pieces:
        if piece.startswith("[") and piece.endswith("]"):
            yield piece, gguf.TokenType.CONTROL
        else:
            yield piece[2:] if piece.startswith("##") else "\u2581" + piece, gguf.TokenType.NORMAL


def write(folder, out, kind="F16", pooling=1):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(str(out), "bert")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType(pooling))
    writer.add_file_type({"F32": 0, "F16": 1, "Q8_0": 7}[kind])
    tokens, types = zip(*vocabulary(folder), strict=True)
    ids = {token: number for number, token in enumerate(tokens)}
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(tokens))
    writer.add_token_types(list(types))
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_pad_token_id(ids["[PAD]"])
    with safe_open(str(folder / "model.safetensors"), framework="numpy") as file:
        for name in file.keys():
            new = tensor_name(name) if name.rsplit(".", 1)[-1] in ("weight", "bias") else None
            if new is None:
                continue
            value = file.get_tensor(name).astype(np.float32)
            matrix = value.ndim == 2 and "position" not in name and "token_type" not in name
            if matrix and kind != "F32":
                stored = gguf.GGMLQuantizationType[kind]
                writer.add_tensor(new, gguf.quants.quantize(value, stored), raw_dtype=stored)
            else:
                writer.add_tensor(new, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    write(*sys.argv[1:])
