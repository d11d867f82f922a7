"""Small GGUF files without weights, for comparing tokenizer families of which no model lies at hand.

    python3 tools/reference/vocab_variants.py SOURCE.gguf OUT_DIR

SOURCE is a byte-level BPE model. Written are copies with another split (`tokenizer.ggml.pre`) and a SentencePiece
vocabulary made of the same pieces, with byte tokens and scores by rank. Needs the PyPI package `gguf`.
"""

import pathlib
import sys

import gguf

SPLITS = ["default", "gpt-2", "smollm", "falcon", "llama-bpe", "smaug-bpe", "glm4", "qwen2", "qwen35", "bailingmoe", "seed-coder", "ufakzeka",
          "minicpm5", "laguna", "gpt-4o", "llama4", "tekken", "kimi-k2", "deepseek-llm", "deepseek-coder", "deepseek-v3", "bloom", "viking"]


def alphabet():
    """The byte of each character of the GPT-2 alphabet."""
    own = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b]
    rest = [b for b in range(256) if b not in own]
    return {chr(b): b for b in own} | {chr(256 + i): b for i, b in enumerate(rest)}


def start(path, name):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_block_count(0)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(64)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    return writer


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def bpe(path, source, split):
    writer = start(path, f"bpe {split}")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(source["tokens"])
    writer.add_token_types(source["token_type"])
    writer.add_token_merges(source["merges"])
    writer.add_bos_token_id(source["bos_token_id"])
    writer.add_eos_token_id(source["eos_token_id"])
    finish(writer)


def spm(path, source):
    table = alphabet()
    tokens, types = ["<unk>", "<s>", "</s>"], [2, 3, 3]
    tokens += [f"<0x{b:02X}>" for b in range(256)]
    types += [6] * 256
    seen = set(tokens)
    for text, kind in zip(source["tokens"], source["token_type"]):
        if kind != 1 or any(c not in table for c in text):
            continue
        try:
            piece = bytes(table[c] for c in text).decode("utf-8").replace(" ", "\u2581")
        except UnicodeDecodeError:
            continue
        if piece not in seen and "\0" not in piece:  # a C reader takes a text for over at NUL
            seen.add(piece)
            tokens.append(piece)
            types.append(1)
    writer = start(path, "spm")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_scores([0.0] * 259 + [-float(i) for i in range(len(tokens) - 259)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    finish(writer)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    reader = gguf.GGUFReader(sys.argv[1])
    prefix = "tokenizer.ggml."
    source = {k[len(prefix):]: f.contents() for k, f in reader.fields.items() if k.startswith(prefix)}
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        bpe(out / f"bpe-{split}.gguf", source, split)
    spm(out / "spm.gguf", source)


if __name__ == "__main__":
    main()
