"""Sentence vectors beside the float64 reference, and their speed beside the same weights in onnxruntime and llama.cpp.

    python3 bench/embed_peer.py --model MINILM_FOLDER [--program target/release/cloister] [--corpora DIR...]

Prints the cosine of 100 texts to the reference and, where corpora are given, the speed of all programs in turns: onnxruntime
with 32-bit floats and with 8-bit integers (each column or each matrix
with a scale), llama.cpp with 32-bit, 16-bit and 8-bit weights. A peer whose package is not there is left out and named.
Needs numpy, safetensors and tokenizers from PyPI; onnx and onnxruntime, llama-cpp-python and gguf for the peers.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parent / "tools" / "reference")]
import embed_float64 as reference  # noqa: E402
import numpy as np  # noqa: E402
import strings  # noqa: E402


def vectors_of(program, model, texts, threads):
    lines = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))
    call = [program, "embed", "--model", str(model), "--json", "--threads", str(threads)]
    done = subprocess.run(call, input=lines.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr.decode("utf-8", "replace"))
    return [json.loads(line)["embedding"] for line in done.stdout.splitlines()]


class Ours:
    """`cloister bench embed --turns`: loaded once, as the peers are."""

    def __init__(self, program, model, texts, threads, folder):
        lines = folder / "texts.jsonl"
        lines.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)), encoding="utf-8")
        call = [program, "bench", "embed", "--turns", "--model", str(model), "--texts", str(lines), "--threads", str(threads), "--json"]
        self.child = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            sys.exit(f"cloister ended with {self.child.wait()}")

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def accuracy(args, config, weights64, tokenizer, limit):
    texts = strings.draw(args.count, args.seed, args.corpora)
    vectors = vectors_of(args.program, args.model, texts, args.threads)
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


def onnx_peers(args, config, weights, folder):
    """A function from lists of token ids to vectors for each way in which onnxruntime can run the network."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain = folder / "plain.onnx"
    plain.write_bytes(reference.onnx_model(config, weights))
    files = {"onnxruntime fp32": plain}
    for name, settings in {"onnxruntime int8 by column": {"weight_type": QuantType.QInt8, "per_channel": True},
                           "onnxruntime int8 by matrix": {"weight_type": QuantType.QUInt8}}.items():
        files[name] = folder / f"{name.replace(' ', '-')}.onnx"
        quantize_dynamic(plain, files[name], **settings)
    peers = {}
    for name, file in files.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

        def run(_texts, rows, session=session):
            rows = sorted(rows, key=len)
            for at in range(0, len(rows), 8):
                vectors = reference.onnx_embed(session, rows[at : at + 8])
            return vectors[-1]

        peers[name] = run
    return peers


def llama_peers(args, folder):
    """The same for llama.cpp; it tokenises by itself, as we do."""
    import bert_gguf
    from llama_cpp import Llama

    peers = {}
    for kind in ("F32", "F16", "Q8_0"):
        file = folder / f"{kind}.gguf"
        bert_gguf.write(args.model, file, kind)
        for flash in (False, True):
            model = Llama(str(file), embedding=True, n_ctx=4096, n_batch=2048, n_ubatch=2048, n_threads=args.threads,
                          n_threads_batch=args.threads, flash_attn=flash, pooling_type=1, verbose=False)
            name = f"llama.cpp {kind}" + (" flash" if flash else "")
            peers[name] = lambda texts, _rows, model=model: model.embed(texts, normalize=True)[-1]
    return peers


def peers_at_hand(args, config, weights, folder):
    peers = {}
    for make in (lambda: onnx_peers(args, config, weights, folder), lambda: llama_peers(args, folder)):
        try:
            peers |= make()
        except ImportError as missing:
            print(f"left out: {missing}", file=sys.stderr)
    return peers


def speed(args, config, weights, tokenizer, limit):
    """A round warms all up; peers at less than half of the best peer's speed take no part in the others."""
    texts = long_texts(args, tokenizer, args.speed_texts, 184)
    rows = [reference.token_ids(tokenizer, text, limit) for text in texts]

    def rate(run):
        start = time.perf_counter()
        run()
        return len(texts) / (time.perf_counter() - start)

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        ours = Ours(args.program, args.model, texts, args.threads, folder)
        peers = {who: lambda run=run: run(texts, rows) for who, run in peers_at_hand(args, config, weights, folder).items()}
        warm = {who: rate(run) for who, run in {"cloister": ours.run, **peers}.items()}
        fast = {who: run for who, run in peers.items() if warm[who] >= 0.5 * max(warm[other] for other in peers)}
        rates = {who: [] for who in ("cloister", *fast)}
        for _ in range(args.runs):
            for who, run in {"cloister": ours.run, **fast}.items():
                rates[who].append(rate(run))
        ours.close()
    medians = {who: statistics.median(values) for who, values in rates.items()}
    best = max(fast, key=medians.get, default=None)
    print(json.dumps({"what": "texts a second", "texts": len(texts), "tokens_mean": sum(map(len, rows)) / len(rows),
                      "threads": args.threads, "runs": {who: [round(value, 1) for value in values] for who, values in rates.items()},
                      "left_out_after_one": {who: round(warm[who], 1) for who in peers if who not in fast},
                      "best_peer": best, "ratio": round(medians["cloister"] / medians[best], 3) if best else None}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--program", default="target/release/cloister")
    parser.add_argument("--corpora", nargs="*", type=pathlib.Path, default=[])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--speed-texts", type=int, default=96)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    config, weights, tokenizer, limit = reference.load(args.model)
    weights64 = {name: value.astype(np.float64) for name, value in weights.items() if value.dtype.kind == "f"}
    worst = accuracy(args, config, weights64, tokenizer, limit)
    if args.corpora:
        speed(args, config, weights, tokenizer, limit)
    return 0 if worst > 0.999 else 1


if __name__ == "__main__":
    sys.exit(main())
