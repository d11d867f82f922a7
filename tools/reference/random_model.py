"""Small models of random weights as GGUF files, one for each architecture, for comparing programs with each other.

    python3 tools/reference/random_model.py ARCHITECTURE OUT.gguf [--type F32] [--seed 1] [--layers N] [--set KEY=VALUE...]
                                            [--adapter ADAPTER.gguf]
    python3 tools/reference/random_model.py --list

Needs the PyPI packages `gguf` and `numpy`. The vocabulary is made here: the 256 bytes, some pairs of letters, an end token
and fillers. Weights are scaled so that scores and logits are neither flat nor saturated. Windows, original contexts and the
like are short, so that a prompt of a few hundred tokens reaches beyond them. `--set` adds or replaces a setting of the
architecture (`rope.scaling.factor=2.0`); an empty value takes it away. `--adapter` writes a low-rank adapter for the model too.
"""

import argparse
import math
import sys
import zlib

import gguf
import numpy as np

VOCABULARY = 512
LETTERS = "etaoinshrdlu"

# Sizes that an architecture may replace; `settings` are its own keys, with the kind of value that converters write.
BASE = {"width": 256, "inner": 512, "layers": 4, "heads": 8, "key_heads": 2, "dim": 32, "tied": True, "settings": {}}
YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 8.0, "rope.scaling.original_context_length": 64}
MODELS = {
    "llama": {"tied": False, "rope_factors": True},
    "mixtral": {"arch": "llama", "tied": False, "experts": 8, "chosen": 2},
    "qwen2": {"biases": ("attn_q", "attn_k", "attn_v"), "tied": False},
    "qwen3": {"dim": 64, "head_norms": True},
    "qwen3-yarn": {"arch": "qwen3", "dim": 64, "head_norms": True, "settings": YARN},
    "mistral3": {"dim": 64, "tied": False, "settings": YARN | {
        "attention.temperature_scale": 0.1, "rope.scaling.yarn_beta_fast": 32.0, "rope.scaling.yarn_beta_slow": 1.0,
        "rope.scaling.yarn_log_multiplier": 1.0}},
    "gemma3": {"layers": 7, "dim": 64, "heads": 4, "key_heads": 1, "head_norms": True, "sandwich": 1.0, "gemma": True, "tied": False, "settings": {
        "attention.sliding_window": 48, "rope.freq_base": 1_000_000.0, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0}},
    "gemma3-27b": {"arch": "gemma3", "layers": 62, "width": 128, "inner": 64, "dim": 64, "heads": 4, "key_heads": 2,
                   "head_norms": True, "sandwich": 0.5, "gemma": True, "tied": False,
                   "settings": {"attention.sliding_window": 48, "rope.freq_base": 1_000_000.0}},
    "gemma2": {"dim": 64, "heads": 4, "sandwich": 4.0, "gemma": True, "settings": {
        "attention.sliding_window": 48, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 8.0}},
    "phi3": {"fused": True, "tied": False, "dim": 32, "key_heads": 8, "rotary": 24, "settings": {}},
    "phi3-long": {"arch": "phi3", "fused": True, "tied": False, "dim": 32, "rotary": 24, "longrope": True, "settings": {
        "rope.scaling.original_context_length": 128, "rope.scaling.attn_factor": 1.19}},
    "granite": {"tied": False, "settings": {"logit_scale": 8.0, "residual_scale": 0.5, "embedding_scale": 12.0, "attention.scale": 0.15}},
    "smollm3": {"layers": 5, "settings": {"rope.freq_base": 5_000_000.0}},
    "qwen3moe": {"dim": 64, "head_norms": True, "tied": False, "experts": 8, "chosen": 3, "expert_inner": 96},
    "gpt-oss": {"dim": 64, "tied": False, "experts": 8, "chosen": 3, "expert_inner": 256, "sinks": True,
                "biases": ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"),
                "expert_norm": "post_attention_norm", "settings": YARN | {"attention.sliding_window": 48, "rope.freq_base": 150_000.0}},
}


class Maker:
    """Draws the tensors of one model; each has its own seed, so that a change in one leaves the others as they are."""

    def __init__(self, model, kind, seed):
        self.model, self.kind, self.seed, self.tensors = model, kind, seed, []

    def draw(self, name, shape, deviation, mean=0.0):
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        return (mean + deviation * rng.standard_normal(shape)).astype(np.float32)

    def matrix(self, name, *shape, gain=1.0, kind=None):
        self.tensors.append((f"{name}.weight", self.draw(name, shape, gain / math.sqrt(shape[-1])), kind or self.kind))
        if name.rsplit(".", 1)[-1] in self.model.get("biases", ()):
            self.vector(f"{name}.bias", *shape[:-1], mean=0.0, deviation=0.3)

    def vector(self, name, *shape, mean=1.0, deviation=0.2):
        self.tensors.append((name, self.draw(name, shape, deviation, mean), gguf.GGMLQuantizationType.F32))

    def attention(self, layer):
        model, name = self.model, f"blk.{layer}."
        width, queries, keys = model["width"], model["heads"] * model["dim"], model["key_heads"] * model["dim"]
        self.vector(f"{name}attn_norm.weight", width)
        gain = 1.0 if model.get("head_norms") else 1.4
        if model.get("fused"):
            self.matrix(f"{name}attn_qkv", queries + 2 * keys, width, gain=gain)
        else:
            self.matrix(f"{name}attn_q", queries, width, gain=gain)
            self.matrix(f"{name}attn_k", keys, width, gain=gain)
            self.matrix(f"{name}attn_v", keys, width)
        self.matrix(f"{name}attn_output", width, queries)
        if model.get("head_norms"):
            self.vector(f"{name}attn_q_norm.weight", model["dim"], mean=1.4)
            self.vector(f"{name}attn_k_norm.weight", model["dim"], mean=1.4)
        if model.get("sinks"):
            self.vector(f"{name}attn_sinks.weight", model["heads"], mean=1.0, deviation=1.0)
        if "sandwich" in model:
            self.vector(f"{name}post_attention_norm.weight", width, mean=model["sandwich"])

    def feed_forward(self, layer):
        model, name = self.model, f"blk.{layer}."
        width, inner = model["width"], model["inner"]
        self.vector(f"{name}{model.get('expert_norm', 'ffn_norm')}.weight", width)
        if experts := model.get("experts"):
            inner = model.get("expert_inner", inner)
            self.matrix(f"{name}ffn_gate_inp", experts, width, gain=1.5, kind=gguf.GGMLQuantizationType.F32)
            self.matrix(f"{name}ffn_gate_exps", experts, inner, width, gain=2.0)
            self.matrix(f"{name}ffn_up_exps", experts, inner, width, gain=2.0)
            self.matrix(f"{name}ffn_down_exps", experts, width, inner)
        elif model.get("fused"):
            self.matrix(f"{name}ffn_up", 2 * inner, width)
            self.matrix(f"{name}ffn_down", width, inner)
        else:
            self.matrix(f"{name}ffn_gate", inner, width)
            self.matrix(f"{name}ffn_up", inner, width)
            self.matrix(f"{name}ffn_down", width, inner)
        if "sandwich" in model:
            self.vector(f"{name}post_ffw_norm.weight", width, mean=model["sandwich"])

    def all(self):
        model = self.model
        width, rotary = model["width"], model.get("rotary", model["dim"])
        logits = 2.5 * model["settings"].get("logit_scale", 1.0)
        # What comes out of the embedding is about 1 in size.
        factor = math.sqrt(width) if model.get("gemma") else model["settings"].get("embedding_scale", 1.0)
        self.matrix("token_embd", VOCABULARY, width, gain=logits if model["tied"] else math.sqrt(width) / factor)
        for layer in range(model["layers"]):
            self.attention(layer)
            self.feed_forward(layer)
        self.vector("output_norm.weight", width)
        if not model["tied"]:
            self.matrix("output", VOCABULARY, width, gain=logits)
        if model.get("rope_factors"):
            self.vector("rope_freqs.weight", rotary // 2, mean=3.0, deviation=0.6)
        if model.get("longrope"):
            self.vector("rope_factors_long.weight", rotary // 2, mean=5.0, deviation=1.0)
            self.vector("rope_factors_short.weight", rotary // 2, mean=1.2, deviation=0.1)
        return self.tensors


RANK = 8


def write_adapter(path, arch, maker):
    """A low-rank adapter that changes every matrix of every layer but those of experts."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2.0 * RANK)
    for name, data, _ in maker.tensors:
        if name.startswith("blk.") and data.ndim == 2 and name.endswith(".weight") and "ffn_gate_inp" not in name:
            rows, cols = data.shape
            writer.add_tensor(f"{name}.lora_a", maker.draw(f"{name}.a", (RANK, cols), 1.0 / math.sqrt(cols)))
            writer.add_tensor(f"{name}.lora_b", maker.draw(f"{name}.b", (rows, RANK), 0.2 / math.sqrt(RANK)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def letters():
    """The letters by which byte-level vocabularies write the bytes 0 to 255."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    names = {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(rest)}
    return [names[byte] for byte in range(256)]


def vocabulary(writer):
    pairs = [(a, b) for a in LETTERS for b in LETTERS]
    tokens = letters() + [a + b for a, b in pairs] + ["<|end|>"]
    kinds = [gguf.TokenType.NORMAL] * (len(tokens) - 1) + [gguf.TokenType.CONTROL]
    tokens += [f"<|filler {at}|>" for at in range(VOCABULARY - len(tokens))]
    kinds += [gguf.TokenType.CONTROL] * (VOCABULARY - len(kinds))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_eos_token_id(tokens.index("<|end|>"))
    writer.add_bos_token_id(tokens.index("<|end|>"))
    writer.add_add_bos_token(False)


def settings(model, arch):
    """The architecture's keys without its name."""
    values = {
        "context_length": 4096,
        "embedding_length": model["width"],
        "block_count": model["layers"],
        "feed_forward_length": model["inner"],
        "attention.head_count": model["heads"],
        "attention.head_count_kv": model["key_heads"],
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 10_000.0,
        "rope.dimension_count": model.get("rotary", model["dim"]),
        "vocab_size": VOCABULARY,
    }
    if model["dim"] * model["heads"] != model["width"] or arch.startswith("gemma"):
        values |= {"attention.key_length": model["dim"], "attention.value_length": model["dim"]}
    if "experts" in model:
        values |= {"expert_count": model["experts"], "expert_used_count": model["chosen"]}
    if "expert_inner" in model:
        values |= {"expert_feed_forward_length": model["expert_inner"]}
    if arch.startswith("gemma"):
        del values["rope.dimension_count"]
    return values | model["settings"]


def parse(text):
    """A setting given by hand: a whole number, a number with a point, true or false, or a text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def write(args):
    model = BASE | MODELS[args.architecture]
    arch = model.get("arch", args.architecture)
    model["layers"] = args.layers or model["layers"]
    values = settings(model, arch)
    for pair in args.set:
        key, _, text = pair.partition("=")
        values.pop(key, None)
        if text:
            values[key] = parse(text)
    writer = gguf.GGUFWriter(args.out, arch)
    # llama.cpp reads more than a name out of some families' names.
    writer.add_name("random weights")
    kinds = {bool: gguf.GGUFValueType.BOOL, int: gguf.GGUFValueType.UINT32, float: gguf.GGUFValueType.FLOAT32, str: gguf.GGUFValueType.STRING}
    for key, value in values.items():
        writer.add_key_value(f"{arch}.{key}", value, kinds[type(value)])
    vocabulary(writer)
    kind = gguf.GGMLQuantizationType[args.type]
    maker = Maker(model, kind, args.seed)
    for name, data, wanted in maker.all():
        writer.add_tensor(name, gguf.quants.quantize(data, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if args.adapter:
        write_adapter(args.adapter, arch, maker)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", nargs="?", choices=sorted(MODELS))
    parser.add_argument("out", nargs="?")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--type", default="F32", help="of the matrices: F32, F16, BF16, Q8_0, Q4_0, ...")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--adapter", metavar="ADAPTER.gguf")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    if args.list:
        print("\n".join(MODELS))
        return
    if not args.out:
        sys.exit(__doc__)
    write(args)


if __name__ == "__main__":
    main()
