"""Hugging Face tokenizers made from the vocabularies of GGUF files, as a second opinion beside llama.cpp.

GGUF files name the way that their model cuts text but do not hold it. SPLITS gives the regular expressions that the
models' own tokenizers use, by the name in `tokenizer.ggml.pre`; matches become words of their own, one expression
after the other. Needs the PyPI packages `tokenizers` and `gguf`.
"""

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
QWEN35 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACES


def cased(contraction, numbers, tail, but=""):
    """Words cut at the change of case, as by GPT-4o."""
    upper = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}" + but + "]"
    lower = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}" + but + "]"
    start = r"[^\r\n\p{L}\p{N}]?"
    return f"{start}{upper}*{lower}+{contraction}|{start}{upper}+{lower}*{contraction}|{numbers}| ?[^\\s\\p{{L}}\\p{{N}}]+{tail}|" + SPACES


GPT4O = cased(CONTRACTION + "?", r"\p{N}{1,3}", r"[\r\n/]*")
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|""" + SPACES)
DEEPSEEK_LETTERS = (
    "\\s?["
    "\u0041-\u005a\u0061-\u007a\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
    "\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15"
    "\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
    "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115"
    "\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b"
    "\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
    "\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb"
    "\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
    "]+")
BLOOM = " ?[^(\\s|.,!?…。，、।۔،)]+"
MARKS = r"[\p{P}\$\+<=>\^~\|"

SPLITS = {
    "default": [MARKS + "]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "falcon": [MARKS + "`]+", GPT2, "[0-9][0-9][0-9]"],
    "llama-bpe": [LLAMA3],
    "smaug-bpe": [LLAMA3],
    "glm4": [LLAMA3],
    "qwen2": [QWEN2],
    "qwen35": [QWEN35],
    "bailingmoe": ["'(?i:[sdmt]|ll|ve|re)" + r"|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"],
    "seed-coder": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + SPACES],
    "ufakzeka": [r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES],
    "minicpm5": [r"\p{N}{1,3}", LLAMA3.replace("{1,3}", "+")],
    "laguna": [r"[^\n]+|[\n]+", QWEN2],
    "gpt-4o": [GPT4O],
    "llama4": [GPT4O],
    "tekken": [cased("", r"\p{N}", r"[\r\n/]*")],
    "kimi-k2": [r"[\p{Han}]+|" + cased(CONTRACTION + "?", r"\p{N}{1,3}", r"[\r\n]*", r"&&[^\p{Han}]")],
    "deepseek-llm": [r"[\r\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+", r"\p{N}+"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
}
ALIKE = {"starcoder": "smollm", "refact": "smollm", "command-r": "smollm", "mpt": "gpt-2", "": "default"}
WHOLE_WORDS = {"llama-bpe", "glm4", "tekken", "minicpm5"}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def metadata(path):
    """What a GGUF file says of its tokenizer."""
    import gguf

    prefix = "tokenizer.ggml."
    fields = gguf.GGUFReader(path).fields
    return {key[len(prefix):]: field.contents() for key, field in fields.items() if key.startswith(prefix)}


def of_bpe(meta):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    name = meta.get("pre", "")
    name = ALIKE.get(name, name)
    if name not in SPLITS:
        return None
    merges = [tuple(line.split(" ", 1)) for line in meta["merges"]]
    vocab = {text: at for at, text in enumerate(meta["tokens"])}
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=name in WHOLE_WORDS))
    steps = [pre_tokenizers.Split(Regex(expression), "isolated") for expression in SPLITS[name]]
    made.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return made


def of_gemma(meta):
    from tokenizers import Tokenizer, models, normalizers

    merges = [tuple(line.split(" ", 1)) for line in meta["merges"]]
    vocab = {text: at for at, text in enumerate(meta["tokens"])}
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    return made


def of_unigram(meta):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    kinds = meta["token_type"]
    pieces = [(text if kind in (NORMAL, USER_DEFINED, UNUSED) else f"\0{at}", score if kind == NORMAL else 0.0)
              for at, (text, score, kind) in enumerate(zip(meta["tokens"], meta["scores"], kinds, strict=True))]
    made = Tokenizer(models.Unigram(pieces, unk_id=meta["unknown_token_id"], byte_fallback=False))
    made.normalizer = normalizers.Precompiled(bytes(meta["precompiled_charsmap"]))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    return made


def of_bert(meta):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    def piece(text, kind):
        if kind == CONTROL:
            return text
        return text[1:] if text.startswith("\u2581") else "##" + text

    vocab = {piece(text, kind): at for at, (text, kind) in enumerate(zip(meta["tokens"], meta["token_type"], strict=True))}
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def tokenizer(path, special):
    """The tokenizer of a vocabulary, or None where it cannot be made here. Control tokens are known to it only where
    `special`; tokens that the model's makers added, always."""
    from tokenizers import AddedToken

    meta = metadata(path)
    make = {"gpt2": of_bpe, "gemma4": of_gemma, "t5": of_unigram, "bert": of_bert}.get(meta["model"])
    made = make(meta) if make else None
    if made is None:
        return None
    kinds = {USER_DEFINED} | ({CONTROL, UNKNOWN} if special else set())
    steering = {"</s>"} if special else set()  # llama.cpp takes it for a control token whatever the file says
    added = [AddedToken(text, normalized=False, special=False)
             for text, kind in zip(meta["tokens"], meta.get("token_type", []), strict=False) if kind in kinds or text in steering]
    made.add_tokens(added)
    return made
