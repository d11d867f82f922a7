"""A model of random weights with the shape and the weight types of Llama-3.1-8B as Q4_K_M: for time and memory, not for texts.

    python3 tools/reference/shape_8b.py OUT_FOLDER [--vocabulary VOCABULARY.gguf] [--layers 32] [--seed 1]

Writes `random-8b-q4_k_m.gguf` (4.9 GB) into the folder. Needs the PyPI packages `gguf` and `numpy`. Blocks are random bytes
whose scales are set so that weights have the size that keeps activations as they are, so nothing is quantised and the disk
sets the pace. The tokenizer is that of `--vocabulary`, a GGUF file with 128,256 tokens such as llama.cpp's vocabulary of
Llama 3; without one it is the 256 bytes, an end token and fillers.
"""

import argparse
import math
import pathlib

import gguf
import numpy as np
from random_model import letters

Kind = gguf.GGMLQuantizationType
NAME = "random-8b-q4_k_m.gguf"
WIDTH, INNER, HEADS, KEY_HEADS, VOCABULARY = 4096, 14336, 32, 8, 128_256
KEYS = WIDTH // HEADS * KEY_HEADS
# Bytes drawn at once.
PIECE = 64 << 20
# Standard deviation of a block's weights where its outer scale is 1: of 6-bit scale times 4-bit quant less 6-bit minimum, and
# of 8-bit scale times 6-bit quant, all of them uniform. The scale of the minima makes the mean 0.
Q4_K_MINIMUM = 7.5
DEVIATION = {Kind.Q4_K: 258.0, Kind.Q6_K: 1366.0}


def is_finer(layer, layers):
    """Layers in which Q4_K_M keeps `attn_v` and `ffn_down` as Q6_K: the first and last eighth and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def tensors(layers):
    """Name, rows, columns and type of each tensor; vectors have no rows."""
    yield "token_embd.weight", VOCABULARY, WIDTH, Kind.Q4_K
    yield "output.weight", VOCABULARY, WIDTH, Kind.Q6_K
    yield "output_norm.weight", None, WIDTH, Kind.F32
    yield "rope_freqs.weight", None, WIDTH // HEADS // 2, Kind.F32
    for layer in range(layers):
        name, finer = f"blk.{layer}.", Kind.Q6_K if is_finer(layer, layers) else Kind.Q4_K
        yield f"{name}attn_norm.weight", None, WIDTH, Kind.F32
        yield f"{name}attn_q.weight", WIDTH, WIDTH, Kind.Q4_K
        yield f"{name}attn_k.weight", KEYS, WIDTH, Kind.Q4_K
        yield f"{name}attn_v.weight", KEYS, WIDTH, finer
        yield f"{name}attn_output.weight", WIDTH, WIDTH, Kind.Q4_K
        yield f"{name}ffn_norm.weight", None, WIDTH, Kind.F32
        yield f"{name}ffn_gate.weight", INNER, WIDTH, Kind.Q4_K
        yield f"{name}ffn_up.weight", INNER, WIDTH, Kind.Q4_K
        yield f"{name}ffn_down.weight", WIDTH, INNER, finer


def blocks(rng, kind, count, deviation):
    """Random blocks of a type, a row of bytes each."""
    data = np.frombuffer(rng.bytes(count * gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8).reshape(count, -1).copy()
    scale = np.float16(deviation / DEVIATION[kind])
    if kind == Kind.Q4_K:
        data[:, 0:4] = np.array([scale, np.float16(float(scale) * Q4_K_MINIMUM)]).view(np.uint8)
    else:
        data[:, 208:210] = np.array([scale]).view(np.uint8)
    return data


def pieces(rng, name, rows, cols, kind):
    """The bytes of a tensor, piece by piece."""
    if rows is None:
        if name == "rope_freqs.weight":
            yield llama3_factors(cols)
        else:
            yield (1.0 + 0.1 * rng.standard_normal(cols)).astype(np.float32)
        return
    values, size = gguf.GGML_QUANT_SIZES[kind]
    # What comes out of the embedding is about 1 in size; every other matrix keeps the size of what goes in.
    deviation = 1.0 if name == "token_embd.weight" else 1.0 / math.sqrt(cols)
    left = rows * cols // values
    while left:
        count = min(left, PIECE // size)
        yield blocks(rng, kind, count, deviation)
        left -= count


def llama3_factors(pairs, base=500_000.0, factor=8.0, low=1.0, high=4.0, original=8192):
    """What Llama 3.1 divides its frequencies by: nothing for short waves, `factor` for long ones, smoothly between."""
    waves = 2 * math.pi * base ** (np.arange(pairs) / pairs)
    smooth = np.clip((original / waves - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - smooth) / factor + smooth)).astype(np.float32)


def settings(writer, layers):
    writer.add_name("random weights")
    writer.add_context_length(131_072)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)


def fillers(writer):
    tokens = letters() + ["<|end|>"]
    kinds = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * (VOCABULARY - 256)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens + [f"<|filler {at}|>" for at in range(VOCABULARY - len(tokens))])
    writer.add_token_types(kinds)
    writer.add_token_merges([])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(256)
    writer.add_add_bos_token(False)


def copied(writer, path):
    """The tokenizer of another file."""
    reader = gguf.GGUFReader(path)
    found = len(reader.fields["tokenizer.ggml.tokens"].data)
    if found != VOCABULARY:
        raise SystemExit(f"{path} has {found} tokens instead of {VOCABULARY}")
    for name, field in reader.fields.items():
        if name.startswith("tokenizer."):
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--vocabulary", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(args.folder / NAME, "llama")
    settings(writer, args.layers)
    copied(writer, args.vocabulary) if args.vocabulary else fillers(writer)
    listed = list(tensors(args.layers))
    for name, rows, cols, kind in listed:
        values, size = gguf.GGML_QUANT_SIZES[kind]
        shape = (cols,) if rows is None else (rows, cols // values * size)
        length = (rows or 1) * cols // values * size
        writer.add_tensor_info(name, shape, np.dtype(np.float32 if rows is None else np.uint8), length, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    file = writer.fout[0]
    rng = np.random.default_rng(args.seed)
    for name, rows, cols, kind in listed:
        writer.write_padding(file, file.tell())
        for piece in pieces(rng, name, rows, cols, kind):
            piece.tofile(file)
        writer.write_padding(file, file.tell())
    writer.close()


if __name__ == "__main__":
    main()
