"""Cloister beside llama.cpp on this machine: tokens, agreement with 32-bit floats, perplexity, speed.

Needs python3 with `llama-cpp-python` (build it natively:
CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAMA_CURL=OFF" pip install --no-binary llama-cpp-python llama-cpp-python).
Nothing is installed or downloaded here.

    python3 bench/peer.py tokens --model FILE.gguf... [--program target/release/cloister] [--corpora DIR...]
    python3 bench/peer.py tokenspeed --model FILE.gguf... --file TEXT... [--tokenizers]
    python3 bench/peer.py greedy --model FILE.gguf --float FILE-F32.gguf [--corpora DIR...]
    python3 bench/peer.py perplexity --model FILE.gguf --float FILE-F32.gguf --file TEXT
    python3 bench/peer.py divergence --model FILE.gguf --float FILE-F32.gguf --file TEXT... [--skip-peer]
    python3 bench/peer.py speed --model FILE.gguf...

FILE-F32.gguf holds the same weights as 32-bit floats (tools/reference/expand_f32.py).
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

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


def framed(model, peer, ids):
    """Ids with those that llama.cpp puts before and after a text."""
    empty = peer.tokenize(b"", add_bos=True, special=False)
    meta = peer.metadata
    closes = meta.get("tokenizer.ggml.add_eos_token") == "true" or meta.get("tokenizer.ggml.model") in ("bert", "t5")
    return [*empty, *ids] if not closes else [*empty[:-1], *ids, *empty[-1:]]


def tokens(args):
    """Token ids of the same texts, as text and with control tokens read, beside llama.cpp and the Hugging Face library."""
    import splits
    from llama_cpp import Llama

    texts = strings.draw(args.count, args.seed, args.corpora)
    lines = [{"id": i, "text": text} for i, text in enumerate(texts)]
    failed = 0
    for model in args.model:
        peer = Llama(str(model), vocab_only=True, verbose=False)
        for special in (False, True):
            rows = run_program(args.program, "tokenize", model, lines, ["--special"] if special else [])
            total = sum(len(row["tokens"]) for row in rows)
            wanted = {"llama.cpp": [list(peer.tokenize(text.encode("utf-8"), add_bos=True, special=special)) for text in texts]}
            if args.tokenizers and (other := splits.tokenizer(model, special)):
                wanted["tokenizers"] = [framed(model, peer, row.ids) for row in other.encode_batch(texts, add_special_tokens=False)]
            for name, lists in wanted.items():
                different = 0
                for text, row, ids in zip(texts, rows, lists, strict=True):
                    if row["tokens"] != ids:
                        different += 1
                        if different <= args.show:
                            print(f"  {name}: {text!r}\n    ours {row['tokens']}\n    peer {ids}", file=sys.stderr)
                print(json.dumps({"what": "tokens", "model": model.name, "beside": name, "special": special, "texts": len(texts),
                                  "seed": args.seed, "tokens": total, "different": different}))
                failed += different
    return failed


def peer_bytes_rate(peer, texts):
    """Bytes a second of llama.cpp's own function, into a buffer that is made beforehand."""
    import ctypes

    import llama_cpp

    vocab = llama_cpp.llama_model_get_vocab(peer.model)
    buffer = (ctypes.c_int32 * (max(map(len, texts)) + 16))()
    start = time.perf_counter()
    for text in texts:
        llama_cpp.llama_tokenize(vocab, text, len(text), buffer, len(buffer), True, False)
    return sum(map(len, texts)) / (time.perf_counter() - start)


def tokenspeed(args):
    """Megabytes of text made tokens a second on one thread, in turns: each file whole, and cut into short texts."""
    import splits
    from llama_cpp import Llama

    below = 0
    for model in args.model:
        peer = Llama(str(model), vocab_only=True, verbose=False)
        other = splits.tokenizer(model, False) if args.tokenizers else None
        for file in args.file:
            whole = file.read_text(encoding="utf-8")
            for size in (len(whole), 200):
                texts = [whole[at : at + size] for at in range(0, len(whole), size)]
                coded = [text.encode("utf-8") for text in texts]
                rates = {"ours": [], "llama.cpp": [], "tokenizers": []}
                for _ in range(args.runs):
                    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as handle:
                        handle.writelines(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))
                        handle.flush()
                        call = [args.program, "bench", "tokenize", "--model", str(model), "--texts", handle.name, "--runs", "3", "--json"]
                        done = subprocess.run(call, capture_output=True, check=True)
                    rates["ours"].append(json.loads(done.stdout.splitlines()[-1])["per_second"]["median"])
                    rates["llama.cpp"].append(peer_bytes_rate(peer, coded))
                    if other:
                        start = time.perf_counter()
                        for text in texts:
                            other.encode(text, add_special_tokens=False)
                        rates["tokenizers"].append(sum(map(len, coded)) / (time.perf_counter() - start))
                medians = {name: statistics.median(values) / 1e6 for name, values in rates.items() if values}
                best = max(rate for name, rate in medians.items() if name != "ours")
                below += medians["ours"] < best
                print(json.dumps({"what": "tokenspeed", "model": model.name, "file": file.name, "text_chars": size, "texts": len(texts),
                                  "megabytes_per_second": {name: round(rate, 2) for name, rate in medians.items()},
                                  "ratio": round(medians["ours"] / best, 2)}), flush=True)
    return below


def open_peer(path, context, threads, repack=True, kv_float=False, logits_all=False):
    """A llama.cpp model; `repack` off is its --no-repack, `kv_float` keeps keys and values as 32-bit floats."""
    import llama_cpp

    defaults = llama_cpp.llama_cpp.llama_model_default_params

    def params():
        value = defaults()
        value.use_extra_bufts = repack
        return value

    llama_cpp.llama_cpp.llama_model_default_params = params
    try:
        kinds = {"type_k": 0, "type_v": 0} if kv_float else {}
        return llama_cpp.Llama(str(path), n_ctx=context, n_batch=512, n_ubatch=512, n_threads=threads, n_threads_batch=threads,
                               logits_all=logits_all, verbose=False, **kinds)
    finally:
        llama_cpp.llama_cpp.llama_model_default_params = defaults


def log_softmax(rows):
    import numpy as np

    rows = np.asarray(rows, dtype=np.float64)
    top = rows.max(-1, keepdims=True)
    return rows - top - np.log(np.exp(rows - top).sum(-1, keepdims=True))


def forced(peer, ids):
    """Log-probabilities after each token of a given sequence."""
    peer.reset()
    peer.eval(ids)
    return log_softmax(peer.scores[: len(ids)])


def greedy(args):
    """Along greedy sequences of the float model: the same argmax where the float gap is wide, and the mean error of
    the log-probability of the sequence's own tokens, for both programs running the quantised file."""
    import random

    import numpy as np

    rng = random.Random(args.seed)
    prompts = strings.passages(args.corpora, rng, args.count * 3) if args.corpora else []
    prompts = [text.strip()[:300] for text in prompts if len(text.strip()) > 60][: args.count]
    prompts += [text for text in strings.SCRIPTS + strings.CODE if len(prompts) < args.count][: args.count - len(prompts)]
    floats = open_peer(args.float, 512, args.threads, kv_float=True, logits_all=True)
    sequences, starts, wanted = [], [], []
    for text in prompts:
        ids = floats.tokenize(text.encode("utf-8"), add_bos=True, special=False)[:128]
        floats.reset()
        floats.eval(ids)
        starts.append(len(ids))
        for _ in range(args.length):
            ids.append(int(np.argmax(floats.scores[len(ids) - 1])))
            floats.eval(ids[-1:])
        sequences.append(ids)
        wanted.append(log_softmax(floats.scores[: len(ids)]))
    del floats
    lines = [{"id": i, "tokens": ids} for i, ids in enumerate(sequences)]
    ours = run_program(args.program, "score", args.model, lines, ["--threads", str(args.threads)])
    peer = open_peer(args.model, 512, args.threads, logits_all=True)
    rows = {"wide": 0, "ours_differ": 0, "peer_differ": 0}
    ours_error, peer_error, ours_gaps, peer_gaps = [], [], [], []
    for ids, start, truth, own in zip(sequences, starts, wanted, ours, strict=True):
        theirs = forced(peer, ids)
        for at in range(start - 1, len(ids) - 1):
            best = np.sort(truth[at])[-2:]
            gap, top = float(best[1] - best[0]), int(np.argmax(truth[at]))
            ours_error.append(abs(own["logprobs"][at] - truth[at][ids[at + 1]]))
            peer_error.append(abs(theirs[at][ids[at + 1]] - truth[at][ids[at + 1]]))
            ours_off, peer_off = own["argmax"][at] != top, int(np.argmax(theirs[at])) != top
            ours_gaps += [gap] if ours_off else []
            peer_gaps += [gap] if peer_off else []
            if gap >= 0.25:
                rows["wide"] += 1
                rows["ours_differ"] += ours_off
                rows["peer_differ"] += peer_off
    result = {"what": "greedy", "model": args.model.name, "sequences": len(sequences), "tokens": len(ours_error), "seed": args.seed, **rows,
              "ours_widest_gap_lost": max(ours_gaps, default=0.0), "peer_widest_gap_lost": max(peer_gaps, default=0.0),
              "ours_error_mean": statistics.mean(ours_error), "peer_error_mean": statistics.mean(peer_error)}
    print(json.dumps(result))
    return rows["ours_differ"] + (result["ours_error_mean"] > result["peer_error_mean"])


def peer_perplexity(path, text, context, threads, **kinds):
    """As llama.cpp's tool computes it: windows of `context` tokens, the second half of each scored."""
    peer = open_peer(path, context, threads, logits_all=True, **kinds)
    ids = peer.tokenize(text.encode("utf-8"), add_bos=True, special=False)
    loss, count, first = 0.0, 0, context // 2
    add_bos = peer.metadata.get("tokenizer.ggml.add_bos_token") == "true"
    for start in range(0, len(ids) - context + 1, context):
        window = ids[start : start + context]
        if add_bos:
            window[0] = peer.token_bos()
        rows = forced(peer, window)
        loss -= sum(float(rows[at][window[at + 1]]) for at in range(first, context - 1))
        count += context - 1 - first
    return math.exp(loss / count), count


def perplexity(args):
    """Perplexity of one text: floats, llama.cpp with the quantised file, Cloister with it."""
    text = args.file.read_text(encoding="utf-8")
    floats, count = peer_perplexity(args.float, text, args.context, args.threads, kv_float=True)
    peer, _ = peer_perplexity(args.model, text, args.context, args.threads)
    call = [args.program, "perplexity", "--model", str(args.model), "--file", str(args.file), "--context", str(args.context),
            "--threads", str(args.threads), "--json"]
    done = subprocess.run(call, capture_output=True, check=True)
    ours = json.loads(done.stdout.splitlines()[-1])
    share = {"ours": ours["perplexity"] / floats - 1, "peer": peer / floats - 1}
    print(json.dumps({"what": "perplexity", "model": args.model.name, "tokens": count, "ours_tokens": ours["tokens"], "float": floats,
                      "peer": peer, "ours": ours["perplexity"], "off": share}))
    return abs(share["ours"]) > abs(share["peer"])


def distances(truth, logits, ids):
    """Per token: divergence from the truth in nats, whether the first choice is the same, loss of the text's own next token."""
    import numpy as np

    rows = log_softmax(logits[: len(ids)])
    divergence = (np.exp(truth) * (truth - rows)).sum(-1)
    at = np.arange(len(ids) - 1)
    return {"divergence": divergence, "agree": truth.argmax(-1) == rows.argmax(-1), "loss": -rows[at, ids[1:]]}


def divergence(args):
    """Windows of texts through the float model and both programs: mean Kullback-Leibler divergence of the next-token
    distribution from the float one, agreement of the first choice, and perplexity."""
    import numpy as np

    floats = open_peer(args.float, args.context, args.threads, kv_float=True, logits_all=True)
    peer = None if args.skip_peer else open_peer(args.model, args.context, args.threads, logits_all=True)
    rows = {"float": [], "ours": [], "peer": []}
    for file in args.file:
        ids = floats.tokenize(file.read_text(encoding="utf-8").encode("utf-8"), add_bos=True, special=False)
        windows = [ids[at : at + args.context] for at in range(0, len(ids) - args.context + 1, args.context)][: args.windows]
        for window in windows:
            truth = forced(floats, window)
            rows["float"].append({"loss": -truth[np.arange(len(window) - 1), window[1:]]})
            with tempfile.TemporaryDirectory() as folder:
                run_program(args.program, "score", args.model, [{"id": 0, "tokens": window}],
                            ["--threads", str(args.threads), "--logits", folder])
                own = np.fromfile(f"{folder}/0.f32", dtype="<f4").reshape(len(window), -1)
            rows["ours"].append(distances(truth, own, window))
            if peer:
                peer.reset()
                peer.eval(window)
                rows["peer"].append(distances(truth, peer.scores, window))

    def joined(who, what):
        return np.concatenate([row[what] for row in rows[who]])

    mean_loss = joined("float", "loss").mean()
    result = {"what": "divergence", "model": args.model.name, "windows": len(rows["float"]), "context": args.context}
    for who in ("ours", "peer") if peer else ("ours",):
        result[who] = {"divergence_mean": float(joined(who, "divergence").mean()),
                       "divergence_median": float(np.median(joined(who, "divergence"))), "agree": float(joined(who, "agree").mean()),
                       "perplexity_off": float(math.expm1(joined(who, "loss").mean() - mean_loss)),
                       "loss_error_mean": float(np.abs(joined(who, "loss") - joined("float", "loss")).mean())}
    print(json.dumps(result))
    return bool(peer) and result["ours"]["divergence_mean"] > result["peer"]["divergence_mean"]


def peer_rate(peer, prompt, generate):
    """Prompt tokens and generated tokens a second."""
    peer.reset()
    start = time.perf_counter()
    peer.eval(prompt)
    middle = time.perf_counter()
    for step in range(generate):
        peer.eval([prompt[step]])
    return len(prompt) / (middle - start), generate / (time.perf_counter() - middle)


def own_rate(args, model, what, size):
    call = [args.program, "bench", what, "--model", str(model), "--size", str(size), "--runs", "3", "--threads", str(args.threads), "--json"]
    done = subprocess.run(call, capture_output=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["per_second"]["median"]


def speed(args):
    """Prompt of 512 and 64 generated tokens, in turns; the peer with and without repacked weights, best of each."""
    below = 0
    for model in args.model:
        peers = {repack: open_peer(model, 1024, args.threads, repack=repack) for repack in (True, False)}
        prompt = [100 + at % 1000 for at in range(512)]
        rates = {"prefill": {"ours": [], True: [], False: []}, "decode": {"ours": [], True: [], False: []}}
        for _ in range(args.runs):
            for repack, peer in peers.items():
                fast, slow = peer_rate(peer, prompt, 64)
                rates["prefill"][repack].append(fast)
                rates["decode"][repack].append(slow)
            rates["prefill"]["ours"].append(own_rate(args, model, "prefill", 512))
            rates["decode"]["ours"].append(own_rate(args, model, "decode", 64))
        del peers
        for what, row in rates.items():
            medians = {name: statistics.median(values) for name, values in row.items()}
            best = max(medians[True], medians[False])
            ratio = medians["ours"] / best
            below += ratio < 0.5
            print(json.dumps({"what": what, "model": model.name, "threads": args.threads, "ours": round(medians["ours"], 1),
                              "peer_repacked": round(medians[True], 1), "peer_plain": round(medians[False], 1), "ratio": round(ratio, 3)}))
    return below


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(name, run, **model):
        sub = commands.add_parser(name, help=run.__doc__)
        sub.add_argument("--model", type=pathlib.Path, required=True, **model)
        sub.add_argument("--program", default="target/release/cloister")
        sub.add_argument("--threads", type=int, default=2)
        sub.add_argument("--seed", type=int, default=20261121)
        sub.add_argument("--corpora", nargs="*", type=pathlib.Path, default=[], help="folders of text files to draw from")
        sub.set_defaults(run=run)
        return sub

    sub = command("tokens", tokens, nargs="+")
    sub.add_argument("--count", type=int, default=300)
    sub.add_argument("--show", type=int, default=5, help="differences to print")
    sub.add_argument("--tokenizers", action="store_true", help="also beside the Hugging Face library, where its tokenizer can be made")
    sub = command("tokenspeed", tokenspeed, nargs="+")
    sub.add_argument("--file", type=pathlib.Path, nargs="+", required=True)
    sub.add_argument("--runs", type=int, default=5)
    sub.add_argument("--tokenizers", action="store_true", help="also beside the Hugging Face library, where its tokenizer can be made")
    sub = command("greedy", greedy)
    sub.add_argument("--float", type=pathlib.Path, required=True)
    sub.add_argument("--count", type=int, default=20)
    sub.add_argument("--length", type=int, default=64)
    sub = command("perplexity", perplexity)
    sub.add_argument("--float", type=pathlib.Path, required=True)
    sub.add_argument("--file", type=pathlib.Path, required=True)
    sub.add_argument("--context", type=int, default=512)
    sub = command("divergence", divergence)
    sub.add_argument("--float", type=pathlib.Path, required=True)
    sub.add_argument("--file", type=pathlib.Path, nargs="+", required=True)
    sub.add_argument("--context", type=int, default=512)
    sub.add_argument("--windows", type=int, default=4, help="windows of each file at most")
    sub.add_argument("--skip-peer", action="store_true", help="ours alone, for comparing builds")
    sub = command("speed", speed, nargs="+")
    sub.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    return 1 if args.run(args) else 0


if __name__ == "__main__":
    sys.exit(main())
