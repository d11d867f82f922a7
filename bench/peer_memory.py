"""Memory and start of Cloister's engine beside llama.cpp's.

    python bench/peer_memory.py --model FILE.gguf... [--runs 3] [--cold]

Needs `llama-cpp-python`, built on this machine (CMAKE_ARGS="-DGGML_NATIVE=ON"), and a built `cloister`. Every run is a process
of its own, in turns. Ours starts once without a file of packed weights (first) and once with it (second); the peer with its
default settings, and with weights not repacked. `--cold` measures starts besides for which the kernel holds no page of the
model's files: it drops them for everybody, so do nothing else with the models meanwhile.

One row a side and kind of start, medians: seconds from the start of the process to the first token after a prompt of 16
(the peer's without the time that Python takes to start), resident size after that token and after 64 more, and its highest
value so far. Sizes count mapped pages of files, as the kernel does. The last row of a model gives our share of the better of
the peer's settings, for each figure.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

PROMPT, WRITTEN, CONTEXT = 16, 64, 4096


def memory(pid):
    """Resident size and its highest value, in bytes."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return [int(sizes[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM")]


def ours(args, model):
    """Seconds, then resident size and highest value after the first token and at the end."""
    call = [args.program, "bench", "turns", "--model", str(model), "--threads", str(args.threads), "--context", str(CONTEXT)]
    begun = time.perf_counter()
    child = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(**figure):
        child.stdin.write(json.dumps(figure) + "\n")
        child.stdin.flush()
        if not child.stdout.readline():
            sys.exit(f"cloister ended with {child.wait()}")

    turn(id="prompt", size=PROMPT)
    found = [time.perf_counter() - begun, *memory(child.pid)]
    turn(id="written", size=WRITTEN, batch=1)
    found += memory(child.pid)
    child.stdin.close()
    child.wait()
    return found


def peer(args, model, repack):
    """As `ours`, by a process of this very program."""
    call = [sys.executable, __file__, "--peer", str(int(repack)), "--model", str(model), "--threads", str(args.threads)]
    return json.loads(subprocess.run(call, capture_output=True, check=True, text=True).stdout.splitlines()[-1])


def run_peer(args):
    """One run of llama.cpp in this process."""
    import ctypes

    from llama_cpp import llama_cpp as lib

    quiet = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(quiet, ctypes.c_void_p(0))
    own = memory("self")[0]
    begun = time.perf_counter()
    params = lib.llama_model_default_params()
    params.use_extra_bufts = bool(args.peer)
    model = lib.llama_model_load_from_file(str(args.model[0]).encode(), params)
    settings = lib.llama_context_default_params()
    settings.n_ctx, settings.n_threads, settings.n_threads_batch = CONTEXT, args.threads, args.threads
    context = lib.llama_init_from_model(model, settings)
    if not model or not context:
        sys.exit(f"llama.cpp cannot load {args.model[0]}")

    def decode(tokens):
        values = (lib.llama_token * len(tokens))(*tokens)
        if lib.llama_decode(context, lib.llama_batch_get_one(values, len(tokens))) != 0:
            sys.exit("llama.cpp cannot compute a batch")
        lib.llama_synchronize(context)

    decode([100 + place for place in range(PROMPT)])
    seconds = time.perf_counter() - begun
    # What Python and its libraries take is not the engine's.
    found = [seconds, *[size - own for size in memory("self")]]
    for place in range(WRITTEN):
        decode([200 + place])
    print(json.dumps(found + [size - own for size in memory("self")]))


def packed(model):
    """Our file of packed weights beside a model."""
    model = model.resolve()
    return model.with_name(model.name + ".packed")


def drop_pages(*files):
    """Makes the kernel forget what it holds of these files."""
    for path in files:
        if path.exists():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(args, model):
    """All kinds of start of one model, in turns."""
    sides = {"peer": lambda: peer(args, model, True), "peer, not repacked": lambda: peer(args, model, False)}
    rows = {}
    kinds = ["second", "cold"] if args.cold else ["second"]
    for turn in range(args.runs):
        if turn == 0 or args.cold:
            packed(model).unlink(missing_ok=True)
            rows.setdefault("ours, first", []).append(ours(args, model))
        for kind in kinds:
            for name, run in {"ours": lambda: ours(args, model), **sides}.items():
                if kind == "cold":
                    drop_pages(model.resolve(), packed(model))
                rows.setdefault(f"{name}, {kind}", []).append(run())
    names = ["seconds_to_token", "resident", "highest", "resident_after_64", "highest_after_64"]
    medians = {}
    for name, runs in rows.items():
        medians[name] = [statistics.median(column) for column in zip(*runs)]
        values = [round(medians[name][0], 3)] + [round(value / 2**20, 1) for value in medians[name][1:]]
        print(json.dumps({"what": name, "model": model.name, "runs": len(runs), "sizes": "MiB", **dict(zip(names, values))}), flush=True)
    for kind in kinds:
        better = [min(medians[f"{side}, {kind}"][at] for side in sides) for at in range(len(names))]
        shares = [round(own / other, 3) for own, other in zip(medians[f"ours, {kind}"], better)]
        print(json.dumps({"what": f"ours to the better of the peer's, {kind}", "model": model.name, **dict(zip(names, shares))}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--program", default="target/release/cloister")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="measure starts from the disk as well")
    parser.add_argument("--peer", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer is not None:
        return run_peer(args)
    for model in args.model:
        measure(args, model)
    return None


if __name__ == "__main__":
    main()
