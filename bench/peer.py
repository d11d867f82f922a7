"""Cloister beside llama.cpp on this machine: tokens first of all.

Needs python3 with `llama-cpp-python` (build it natively:
CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAMA_CURL=OFF" pip install --no-binary llama-cpp-python llama-cpp-python).
Nothing is installed or downloaded here.

    python3 bench/peer.py tokens --model FILE.gguf... [--program target/release/cloister] [--corpora DIR...]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import strings  # noqa: E402


def run_program(program, command, model, lines, extra=()):
    """Rows of `program command --model MODEL --json` for input lines given as a file."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as handle:
        for line in lines:
            handle.write(json.dumps(line, ensure_ascii=False) + "\n")
        handle.flush()
        flag = {"tokenize": "--texts", "wordpiece": "--texts", "score": "--sequences", "generate": "--prompts"}[command]
        call = [program, command, "--model", str(model), flag, handle.name, "--json", *extra]
        done = subprocess.run(call, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(call)}: {done.stderr.decode('utf-8', 'replace')}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def tokens(args):
    """Token ids of the same texts, as text and with control tokens read."""
    from llama_cpp import Llama

    texts = strings.draw(args.count, args.seed, args.corpora)
    lines = [{"id": i, "text": text} for i, text in enumerate(texts)]
    failed = 0
    for model in args.model:
        peer = Llama(str(model), vocab_only=True, verbose=False)
        for special in (False, True):
            rows = run_program(args.program, "tokenize", model, lines, ["--special"] if special else [])
            different = 0
            for text, row in zip(texts, rows, strict=True):
                wanted = peer.tokenize(text.encode("utf-8"), add_bos=True, special=special)
                if row["tokens"] != list(wanted):
                    different += 1
                    if different <= args.show:
                        print(f"  {text!r}\n    ours {row['tokens']}\n    peer {list(wanted)}", file=sys.stderr)
            total = sum(len(row["tokens"]) for row in rows)
            print(json.dumps({"what": "tokens", "model": model.name, "special": special, "texts": len(texts), "seed": args.seed,
                              "tokens": total, "different": different}))
            failed += different
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("tokens", help="token ids of many texts")
    one.add_argument("--count", type=int, default=300)
    one.add_argument("--seed", type=int, default=20261121)
    one.add_argument("--corpora", nargs="*", type=pathlib.Path, default=[], help="folders of text files to draw from")
    one.add_argument("--show", type=int, default=5, help="differences to print")
    one.set_defaults(run=tokens)
    for sub in (one,):
        sub.add_argument("--model", nargs="+", type=pathlib.Path, required=True)
        sub.add_argument("--program", default="target/release/cloister")
    args = parser.parse_args()
    return 1 if args.run(args) else 0


if __name__ == "__main__":
    sys.exit(main())
