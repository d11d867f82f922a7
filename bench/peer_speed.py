"""Speed of Cloister's engine beside llama.cpp's, run by run in turns.

    python bench/peer_speed.py --model FILE.gguf... [--runs 7] [--only NAME...] [--cache f16] [--embedder FOLDER]

Needs `llama-cpp-python`, built on this machine (CMAKE_ARGS="-DGGML_NATIVE=ON"), and a built `cloister`. For each figure the
peer runs with each of its settings (weights repacked or not, flash attention on or off; keys and values as half floats), and
the best of their medians counts. One row a figure: medians of both sides, their ratio, and the share of the machine's
ceiling (8-bit products or memory reads, measured before the rounds) that ours reaches.

With `--cache q8` both sides keep keys and values in 8 bits; llama.cpp can do that with flash attention alone. With `--embedder`
the figures that write are measured for ours alone: by itself and, in turns, while `cloister bench embed` embeds texts with
that model on as many threads; a row says which share of its speed writing keeps.
"""

import argparse
import ctypes
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

FIGURES = {
    "prefill 512": {"size": 512},
    "prefill 2048": {"size": 2048},
    "prefill 512 at 4096": {"size": 512, "depth": 4096},
    "decode 64": {"size": 64, "batch": 1},
    "decode 64 at 2048": {"size": 64, "depth": 2048, "batch": 1},
    "decode 32 by 8": {"size": 32, "batch": 8},
}
SETTINGS = [(repack, flash) for repack in (True, False) for flash in (True, False)]
# Settings of the peer and bits of ours for each way of keeping keys and values.
CACHES = {"f16": (SETTINGS, 16), "q8": ([(True, True), (False, True)], 8)}


class Peer:
    """llama.cpp with one setting and room for `sequences` sequences of `context` tokens together."""

    def __init__(self, path, context, sequences, threads, cache, repack, flash):
        from llama_cpp import llama_cpp as lib

        self.lib = lib
        params = lib.llama_model_default_params()
        params.use_extra_bufts = repack
        self.model = lib.llama_model_load_from_file(str(path).encode(), params)
        settings = lib.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = context, 512, 512
        settings.n_seq_max, settings.kv_unified = sequences, True
        settings.n_threads = settings.n_threads_batch = threads
        if cache == "q8":
            settings.type_k = settings.type_v = lib.GGML_TYPE_Q8_0
        settings.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = lib.llama_init_from_model(self.model, settings)
        if not self.model or not self.context:
            sys.exit(f"llama.cpp cannot load {path}")
        self.batch = lib.llama_batch_init(512, 0, 1)
        self.filled = None

    def close(self):
        self.lib.llama_batch_free(self.batch)
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)

    def decode(self, rows):
        """One pass over (token, position, sequence); logits of each sequence's last token."""
        last = {sequence: at for at, (_, _, sequence) in enumerate(rows)}
        for at, (token, position, sequence) in enumerate(rows):
            self.batch.token[at], self.batch.pos[at] = token, position
            self.batch.n_seq_id[at], self.batch.seq_id[at][0] = 1, sequence
            self.batch.logits[at] = last[sequence] == at
        self.batch.n_tokens = len(rows)
        if self.lib.llama_decode(self.context, self.batch) != 0:
            sys.exit("llama.cpp cannot compute a batch")
        self.lib.llama_synchronize(self.context)

    def read(self, start, count):
        for at in range(start, start + count, 512):
            self.decode([(100 + place % 1000, place, 0) for place in range(at, min(at + 512, start + count))])

    def stand_at(self, depth, sequences):
        """Sequences of `depth` tokens each, kept from one call to the next."""
        memory = self.lib.llama_get_memory(self.context)
        if self.filled != (depth, sequences):
            self.lib.llama_memory_clear(memory, True)
            self.read(0, depth)
            for other in range(1, sequences):
                self.lib.llama_memory_seq_cp(memory, 0, other, 0, depth)
            self.filled = (depth, sequences)
        for sequence in range(sequences):
            self.lib.llama_memory_seq_rm(memory, sequence, depth, -1)

    def rate(self, size, depth=0, batch=None):
        """Tokens a second."""
        self.stand_at(depth, batch or 1)
        begun = time.perf_counter()
        if batch is None:
            self.read(depth, size)
        else:
            for place in range(depth, depth + size):
                self.decode([(100 + place % 1000, place, sequence) for sequence in range(batch)])
        return size * (batch or 1) / (time.perf_counter() - begun)


class Ours:
    """`cloister bench turns`."""

    def __init__(self, program, model, threads, cache):
        call = [program, "bench", "turns", "--model", str(model), "--threads", str(threads)]
        # A program that keeps them in 16 bits alone need not know the word.
        self.more = {} if cache == "f16" else {"kv_bits": CACHES[cache][1]}
        self.child = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def rate(self, name, **figure):
        self.child.stdin.write(json.dumps({"id": name, **figure, **self.more}) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            sys.exit(f"cloister ended with {self.child.wait()}")
        return json.loads(line)["per_second"]

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def ceilings(program, threads):
    """8-bit products and bytes read a second."""
    call = [program, "bench", "machine", "--runs", "3", "--threads", str(threads), "--json"]
    rows = [json.loads(line) for line in subprocess.run(call, capture_output=True, check=True, text=True).stdout.splitlines()]
    return [row["per_second"]["median"] * 1e9 for row in rows]


def costs(path):
    """Products for each token read, without the head, and bytes of weights for each token written."""
    import gguf

    products = weight_bytes = 0
    tensors = gguf.GGUFReader(str(path)).tensors
    tied = not any(tensor.name == "output.weight" for tensor in tensors)
    for tensor in tensors:
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2:
            products += int(tensor.n_elements)
        if tensor.name != "token_embd.weight" or tied:
            weight_bytes += int(tensor.n_bytes)
    return products, weight_bytes


def drop_slow(peers, warm):
    """Settings that were far behind in the round that warms up take no part in the others."""
    best = max(warm.values())
    for setting in [setting for setting, rate in warm.items() if rate < 0.75 * best]:
        peers.pop(setting).close()


def measure(args, model, name, figure):
    """One figure: a round warms all up, then rounds in turns."""
    products, memory = ceilings(args.program, args.threads)
    context = figure.get("depth", 0) + figure["size"] * figure.get("batch", 1) + 64
    settings = CACHES[args.cache][0]
    peers = {setting: Peer(model, context, figure.get("batch", 1), args.threads, args.cache, *setting) for setting in settings}
    ours = Ours(args.program, model, args.threads, args.cache)
    rates, warm = {setting: [] for setting in settings} | {"ours": []}, {}
    for turn in range(args.runs + 1):
        for setting, peer in peers.items():
            found = peer.rate(**figure)
            rates[setting] += [found] if turn else []
            warm[setting] = found
        if turn == 0:
            drop_slow(peers, warm)
        found = ours.rate(name, **figure)
        rates["ours"] += [found] if turn else []
    for side in [*peers.values(), ours]:
        side.close()
    medians = {who: statistics.median(found or [warm[who]]) for who, found in rates.items()}
    best = max(peers, key=medians.get)
    row = {"what": name, "model": model.name, "threads": args.threads, "cache": args.cache, "runs": args.runs, "ours": round(medians["ours"], 1),
           "peer": round(medians[best], 1), "ratio": round(medians["ours"] / medians[best], 3),
           "peer_setting": f"{'repacked' if best[0] else 'plain'}, flash attention {'on' if best[1] else 'off'}",
           "peer_all": [round(medians[setting], 1) for setting in settings],
           "ours_range": [round(min(rates["ours"]), 1), round(max(rates["ours"]), 1)]}
    per_token, weight_bytes = costs(model)
    if "batch" in figure:
        row["share_of_memory"] = round(medians["ours"] / figure["batch"] * weight_bytes / memory, 3)
    else:
        row["share_of_products"] = round(medians["ours"] * per_token / products, 3)
    print(json.dumps(row), flush=True)
    return row


class Embedding:
    """`cloister bench embed` over and over, for as long as the block lasts."""

    # Texts are embedded in rounds; one that is cut short at the end of the block counts for nothing.
    ROUNDS = 1_000_000

    def __init__(self, args):
        self.call = [args.program, "bench", "embed", "--model", str(args.embedder), "--threads", str(args.threads), "--runs", str(self.ROUNDS)]

    def __enter__(self):
        self.child = subprocess.Popen(self.call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = 0.0
        # Loading is over once the program has used a second of processor time.
        while before < 1.0:
            if self.child.poll() is not None:
                sys.exit(f"{' '.join(self.call)} ended with {self.child.returncode}")
            time.sleep(0.05)
            before = self.used()
        return self

    def used(self):
        """Processor time in seconds."""
        fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()


def measure_beside(args, model, name, figure):
    """Writing alone and writing beside embedding, in turns."""
    ours = Ours(args.program, model, args.threads, args.cache)
    alone, beside, shares = [], [], []
    for turn in range(args.runs + 1):
        found = ours.rate(name, **figure)
        with Embedding(args) as embedding:
            before, begun = embedding.used(), time.perf_counter()
            slowed = ours.rate(name, **figure)
            share = (embedding.used() - before) / (time.perf_counter() - begun)
        if turn:
            alone, beside, shares = [*alone, found], [*beside, slowed], [*shares, share]
    ours.close()
    row = {"what": f"{name} beside embedding", "model": model.name, "threads": args.threads, "cache": args.cache, "runs": args.runs,
           "alone": round(statistics.median(alone), 1), "beside": round(statistics.median(beside), 1),
           "kept": round(statistics.median(b / a for a, b in zip(alone, beside)), 3),
           "beside_range": [round(min(beside), 1), round(max(beside), 1)],
           "cores_of_the_embedder": round(statistics.median(shares), 2)}
    print(json.dumps(row), flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--program", default="target/release/cloister")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", nargs="*", choices=FIGURES, default=list(FIGURES), help="figures to measure")
    parser.add_argument("--cache", choices=CACHES, default="f16", help="how both sides keep keys and values")
    parser.add_argument("--embedder", type=pathlib.Path, help="measure writing beside this embedder instead")
    args = parser.parse_args()
    from llama_cpp import llama_cpp as lib

    import llama_cpp

    quiet = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(quiet, ctypes.c_void_p(0))
    print(json.dumps({"peer": f"llama-cpp-python {llama_cpp.__version__}", "features": lib.llama_print_system_info().decode()}))
    for model in args.model:
        for name in args.only:
            if not args.embedder:
                measure(args, model, name, FIGURES[name])
            elif "batch" in FIGURES[name]:
                measure_beside(args, model, name, FIGURES[name])


if __name__ == "__main__":
    main()
