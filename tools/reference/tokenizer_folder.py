"""A folder with the `tokenizer.json` of an encoder, made of the vocabulary in a GGUF file.

    python3 tools/reference/tokenizer_folder.py VOCABULARY.gguf STYLE FOLDER

STYLE is the layout to follow: `xlm-roberta` and `bge-m3` (Unigrams with their map of characters, two ways to write down what
is done with spaces), `roberta`, `modernbert`, `llama3`, `qwen2`, `gpt-4o` and `digits` (byte pairs with GPT-2's alphabet, and
different ways to cut text). Needs gguf from PyPI.
"""

import base64
import json
import pathlib
import sys

import gguf

PLAIN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
CASED = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{ENDING}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{ENDING}"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPLITS = {"llama3": PLAIN % "{1,3}", "qwen2": PLAIN % "", "gpt-4o": CASED}


def field(reader, name, default=None):
    found = reader.get_field(f"tokenizer.ggml.{name}")
    return default if found is None else found.contents()


def template(opening, closing, tokens, separators):
    special = lambda text: {"SpecialToken": {"id": text, "type_id": 0}}  # noqa: E731
    sequence = lambda text: {"Sequence": {"id": text, "type_id": 0}}  # noqa: E731
    ids = {text: {"id": text, "ids": [tokens.index(text)], "tokens": [text]} for text in (opening, closing)}
    single = [special(opening), sequence("A"), special(closing)]
    pair = [*single, *[special(closing)] * (separators - 1), sequence("B"), special(closing)]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": ids}


def added(tokens, kinds):
    """Control tokens are special; those of users' own are found in any text."""
    rows = [(i, text, kind) for i, (text, kind) in enumerate(zip(tokens, kinds)) if kind in (2, 3, 4)]
    return [{"id": i, "content": text, "single_word": False, "lstrip": text == "<mask>", "rstrip": False,
             "normalized": kind == 4, "special": kind != 4} for i, text, kind in rows]


def unigram(reader, tokens, kinds, style):
    charsmap = base64.b64encode(bytes(field(reader, "precompiled_charsmap"))).decode()
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    mark = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    if style == "bge-m3":
        spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
        normalizer = {"type": "Sequence", "normalizers": [precompiled, {"type": "Strip", "strip_left": False, "strip_right": True}, spaces]}
        cut = mark
    else:
        normalizer, cut = precompiled, {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, mark]}
    scores = field(reader, "scores")
    special = [(i, kind) for i, kind in enumerate(kinds) if kind in (2, 3)]
    unknown = next(i for i, kind in special if kind == 2)
    model = {"type": "Unigram", "unk_id": unknown, "vocab": [list(row) for row in zip(tokens, scores)]}
    return normalizer, cut, template("<s>", "</s>", tokens, 2), model


def pairs(reader, tokens, kinds, style):
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": style not in SPLITS}
    cut = level
    if style == "digits":
        cut = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, level]}
    elif style in SPLITS:
        split = {"type": "Split", "pattern": {"Regex": SPLITS[style]}, "behavior": "Isolated", "invert": False}
        cut = {"type": "Sequence", "pretokenizers": [split, level]}
    vocab = {text: i for i, text in enumerate(tokens) if kinds[i] == 1}
    merges = [line.split(" ", 1) for line in field(reader, "merges")]
    if style in ("roberta", "digits"):
        merges = [" ".join(pair) for pair in merges]
    end = next(text for text, kind in zip(tokens, kinds) if kind == 3)
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": merges}
    if style == "roberta":
        frame = {"type": "RobertaProcessing", "sep": [end, tokens.index(end)], "cls": [end, tokens.index(end)],
                 "trim_offsets": True, "add_prefix_space": False}
    else:
        frame = template(end, end, tokens, 1)
    return {"type": "NFC"} if style == "modernbert" else None, cut, frame, model


def main():
    vocabulary, style, folder = sys.argv[1:]
    reader = gguf.GGUFReader(vocabulary)
    tokens, kinds = field(reader, "tokens"), field(reader, "token_type")
    make = unigram if style in ("xlm-roberta", "bge-m3") else pairs
    normalizer, cut, frame, model = make(reader, tokens, kinds, style)
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added(tokens, kinds), "normalizer": normalizer,
            "pre_tokenizer": cut, "post_processor": frame, "decoder": None, "model": model}
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    (pathlib.Path(folder) / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False))


if __name__ == "__main__":
    main()
