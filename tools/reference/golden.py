"""Writes the golden files of the engine's tests: tokens by llama.cpp, vectors by the float64 reference.

    python3 tools/reference/golden.py tokens MODEL.gguf > engine/tests/it/golden/tokens_smollm2.jsonl
    python3 tools/reference/golden.py vectors MINILM_FOLDER > engine/tests/it/golden/minilm.jsonl
"""

import json
import pathlib
import sys

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parent.parent / "bench")]
import strings  # noqa: E402

TEXTS = ["A cloister is a covered walk.", "", "x", "Notice period: thirty (30) days before the end of a term. " * 30,
         "Ünïcödé café naïve ﬁne", "本契約は東京で締結された。", "[CLS] <|im_end|> [SEP] ##ing", "Łódź ĂŁ ß ẞ İstanbul",
         "12,345.67 USD on 2026-11-21", "supercalifragilisticexpialidocious-antidisestablishmentarianism"]


def tokens(path):
    from llama_cpp import Llama

    model = Llama(path, vocab_only=True, verbose=False)
    for special in (False, True):
        for text in strings.POOL:
            ids = model.tokenize(text.encode("utf-8"), add_bos=True, special=special)
            print(json.dumps({"text": text, "special": special, "tokens": list(ids)}))


def vectors(folder):
    import embed_float64
    import numpy as np

    config, weights, tokenizer, limit = embed_float64.load(folder)
    weights = {name: value.astype(np.float64) for name, value in weights.items() if value.dtype.kind == "f"}
    for text in TEXTS:
        ids = embed_float64.token_ids(tokenizer, text, limit)
        vector = [round(float(v), 7) for v in embed_float64.embed(config, weights, ids)]
        print(json.dumps({"text": text, "tokens": ids, "embedding": vector}))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("tokens", "vectors"):
        sys.exit(__doc__)
    {"tokens": tokens, "vectors": vectors}[sys.argv[1]](sys.argv[2])
