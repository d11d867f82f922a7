"""Tokens of encoder folders beside the Hugging Face `tokenizers` library, on random and awkward texts.

    python3 bench/folder_tokens.py --model FOLDER... [--program target/release/cloister] [--corpora DIR...] [--count 10000]

A folder needs its `tokenizer.json` only. The library reads the same file with what it says of truncation and padding taken
out, and special tokens are kept from coming out of text in it as well: it is told to read them as text, and in Unigrams,
whose pieces they are nevertheless, they are renamed to what no text holds. One JSON line a folder; every difference is told
on standard error. Needs tokenizers from PyPI.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import strings
from tokenizers import Tokenizer


def library(folder):
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw.update(truncation=None, padding=None)
    if raw["model"]["type"] == "Unigram":
        for token in raw["added_tokens"]:
            if token["special"] and token["id"] < len(raw["model"]["vocab"]):
                raw["model"]["vocab"][token["id"]][0] = f"\0{token['id']}\0"
        # The library looks the tokens of the frame up by their texts, so the frame is put around by hand.
        raw.update(added_tokens=[token for token in raw["added_tokens"] if not token["special"]], post_processor=None)
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    tokenizer.encode_special_tokens = True
    return tokenizer, raw["post_processor"] is not None


def compare(folder, texts, program):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))
        file.flush()
        command = [program, "--json", "tokenize", "--model", str(folder), "--texts", file.name]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    ours = [json.loads(line)["tokens"] for line in out.splitlines()]
    tokenizer, framed = library(folder)
    theirs = [row.ids for row in tokenizer.encode_batch(texts, add_special_tokens=framed)]
    different = 0
    for text, own, peer in zip(texts, ours, theirs, strict=True):
        own = own if framed else own[1:-1]
        if own != peer:
            different += 1
            print(f"{folder.name}: {text!r}\n  ours {own}\n  peer {peer}", file=sys.stderr)
    return {"model": folder.name, "texts": len(texts), "tokens": sum(map(len, ours)), "different": different}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--program", default="target/release/cloister")
    parser.add_argument("--corpora", nargs="*", default=[])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    texts = strings.draw(args.count, args.seed, args.corpora)
    for folder in args.model:
        print(json.dumps({"what": "tokens", **compare(folder, texts, args.program), "seed": args.seed}), flush=True)


if __name__ == "__main__":
    main()
