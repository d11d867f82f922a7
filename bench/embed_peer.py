"""Sentence vectors beside the float64 reference and beside onnxruntime (fp32, the same weights as an ONNX graph).

    python3 bench/embed_peer.py --model MINILM_FOLDER [--program target/release/cloister] [--corpora DIR...]

Prints the cosine of 100 texts to the reference, the token ids that differ, and the speed of both in turns.
Needs numpy, safetensors, tokenizers, onnx and onnxruntime from PyPI.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import time

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parent / "tools" / "reference")]
import embed_float64 as reference  # noqa: E402
import numpy as np  # noqa: E402
import strings  # noqa: E402


def ours(program, model, texts, threads):
    lines = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))
    call = [program, "embed", "--model", str(model), "--json", "--threads", str(threads)]
    start = time.perf_counter()
    done = subprocess.run(call, input=lines.encode(), capture_output=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(done.stderr.decode("utf-8", "replace"))
    return [json.loads(line)["embedding"] for line in done.stdout.splitlines()], seconds


def accuracy(args, config, weights64, tokenizer, limit):
    texts = strings.draw(args.count, args.seed, args.corpora)
    vectors, _ = ours(args.program, args.model, texts, args.threads)
    cosines, tokens = [], 0
    for text, vector in zip(texts, vectors, strict=True):
        ids = reference.token_ids(tokenizer, text, limit)
        wanted = reference.embed(config, weights64, ids)
        tokens += len(ids)
        cosines.append(float(np.dot(vector, wanted) / np.linalg.norm(vector)))
        if cosines[-1] < 0.999:
            print(f"  {cosines[-1]:.6f} {text[:100]!r}", file=sys.stderr)
    print(json.dumps({"what": "cosine to float64", "texts": len(texts), "seed": args.seed, "tokens": tokens,
                      "min": min(cosines), "median": statistics.median(cosines)}))
    return min(cosines)


def long_texts(args, tokenizer, count, length):
    """Texts of about `length` tokens from the corpora."""
    rng = random.Random(args.seed)
    out = []
    while len(out) < count:
        joined = " ".join(strings.passages(args.corpora, rng, 4))
        ids = tokenizer.encode(joined, add_special_tokens=False).offsets
        if len(ids) >= length:
            out.append(joined[: ids[length - 1][1]])
    return out


def speed(args, config, weights, tokenizer, limit):
    texts = long_texts(args, tokenizer, args.speed_texts, 184)
    rows = [reference.token_ids(tokenizer, text, limit) for text in texts]
    session = reference.onnx_session(config, weights, args.threads)
    rows_sorted = sorted(rows, key=len)
    _, empty = ours(args.program, args.model, texts[:1], args.threads)
    rates = {"cloister": [], "onnxruntime": []}
    for _ in range(args.runs):
        _, seconds = ours(args.program, args.model, texts, args.threads)
        rates["cloister"].append(len(texts) / max(1e-6, seconds - empty))
        start = time.perf_counter()
        for at in range(0, len(rows_sorted), 8):
            reference.onnx_embed(session, rows_sorted[at : at + 8])
        rates["onnxruntime"].append(len(texts) / (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(json.dumps({"what": "texts a second", "texts": len(texts), "tokens_mean": sum(map(len, rows)) / len(rows), "threads": args.threads,
                      "runs": {name: [round(v, 1) for v in values] for name, values in rates.items()},
                      "ratio": round(medians["cloister"] / medians["onnxruntime"], 3)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--program", default="target/release/cloister")
    parser.add_argument("--corpora", nargs="*", type=pathlib.Path, default=[])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--speed-texts", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    config, weights, tokenizer, limit = reference.load(args.model)
    weights64 = {name: value.astype(np.float64) for name, value in weights.items() if value.dtype.kind == "f"}
    worst = accuracy(args, config, weights64, tokenizer, limit)
    if args.corpora:
        speed(args, config, weights, tokenizer, limit)
    return 0 if worst > 0.999 else 1


if __name__ == "__main__":
    sys.exit(main())
