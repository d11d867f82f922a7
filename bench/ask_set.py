#!/usr/bin/env python3
"""Asks the questions of an evaluation set and writes predictions for its scorer. Python 3 standard library only.

  bench/ask_set.py SET_DIR --bin target/release/cloister --data DIR --models DIR
      [--collection NAME] [--pdf] [--answerable 30] [--unanswerable 15] [--model ID] [--out predictions.jsonl]

SET_DIR holds documents.jsonl (document, file or pdf) and questions.jsonl (id, question, scope, answerable). The documents, or with --pdf
the PDFs, are ingested when the collection is missing. Each question is asked within the document it is scoped to. Beside the predictions,
every quote is compared with `cloister document text` at its offsets, and with --pdf with the words that Poppler's `pdftotext -bbox` finds
under its boxes. The summary goes to stdout as JSON: answered, abstained, quotes exact, quotes under their boxes, seconds.
"""
import argparse
import html
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import unicodedata


def load(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set_dir")
    parser.add_argument("--bin", default="target/release/cloister")
    parser.add_argument("--data", required=True)
    parser.add_argument("--models", default="models")
    parser.add_argument("--collection", default="set")
    parser.add_argument("--pdf", action="store_true", help="the set's PDFs instead of its texts")
    parser.add_argument("--answerable", type=int, default=30)
    parser.add_argument("--unanswerable", type=int, default=15)
    parser.add_argument("--model")
    parser.add_argument("--out", default="predictions.jsonl")
    return parser.parse_args()


class Cloister:
    """Runs the binary and reads its JSON lines."""

    def __init__(self, args):
        self.base = [args.bin, "--data", args.data, "--models", args.models, "--json"]

    def lines(self, *words):
        done = subprocess.run([*self.base, *words], stdout=subprocess.PIPE, check=False)
        return [json.loads(line) for line in done.stdout.decode("utf-8").splitlines() if line.strip()]

    def text(self, document):
        done = subprocess.run([*self.base[:-1], "document", "text", document], stdout=subprocess.PIPE, check=True)
        return done.stdout.decode("utf-8")


def choose(questions, names, answerable, unanswerable):
    scoped = [q for q in questions if q.get("scope") in names]
    yes = [q for q in scoped if q["answerable"]][:answerable]
    no = [q for q in scoped if not q["answerable"]][:unanswerable]
    return yes + no


def ask(cloister, args, questions, names):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8", delete=False) as batch:
        for q in questions:
            line = {"id": q["id"], "collection": args.collection, "question": q["question"], "documents": [names[q["scope"]]]}
            batch.write(json.dumps(line) + "\n")
    model = ["--model", args.model] if args.model else []
    answers = cloister.lines("ask", "--questions", batch.name, *model)
    os.unlink(batch.name)
    return {a["id"]: a for a in answers}


def prediction(question, answer, document_of):
    def place(entry):
        return {"document": document_of.get(entry["name"], entry["name"]), "start": entry["start"], "end": entry["end"], "page": entry["page"]}

    return {
        "id": question["id"],
        "ranked": [place(p) for p in answer.get("passages", [])],
        "answer": answer.get("answer", ""),
        "abstained": answer.get("abstained", False),
        "citations": [{**place(c), "quote": c["quote"]} for c in answer.get("citations", [])],
    }


def quotes_exact(cloister, answers):
    texts, exact, total = {}, 0, 0
    for answer in answers.values():
        for citation in answer.get("citations", []):
            document = citation["document"]
            if document not in texts:
                texts[document] = cloister.text(document)
            total += 1
            exact += texts[document][citation["start"] : citation["end"]] == citation["quote"]
    return exact, total


WORD = re.compile(r'<word xMin="([\d.-]+)" yMin="([\d.-]+)" xMax="([\d.-]+)" yMax="([\d.-]+)">(.*?)</word>')


def letters(text):
    """Letters and digits alone: producers part words and lines differently."""
    return "".join(c for c in unicodedata.normalize("NFKC", text) if c.isalnum())


def words_under(path, boxes):
    """The words whose middle lies under boxes `[page, x0, y0, x1, y1]` (points from the top left), as one text."""
    found = []
    for page in sorted({int(box[0]) for box in boxes}):
        call = ["pdftotext", "-bbox", "-f", str(page), "-l", str(page), path, "-"]
        listed = subprocess.run(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode("utf-8")
        for x0, y0, x1, y1, word in WORD.findall(listed):
            x, y = (float(x0) + float(x1)) / 2, (float(y0) + float(y1)) / 2
            if any(b[0] == page and b[1] <= x <= b[3] and b[2] <= y <= b[4] for b in boxes):
                found.append(html.unescape(word))
    return found


def under_boxes(folder, answers):
    """Quotes of which every word lies under the boxes, and how many words under the boxes are not of the quote."""
    good, total, beside, missed = 0, 0, 0, []
    for answer in answers.values():
        for citation in answer.get("citations", []):
            found = words_under(os.path.join(folder, citation["name"]), citation["boxes"])
            quote, seen = letters(citation["quote"]), letters("".join(found))
            wanted = [letters(word) for word in citation["quote"].split()]
            lacking = [word for word in wanted if word and word not in seen]
            total += 1
            good += not lacking
            beside += sum(1 for word in found if letters(word) not in quote)
            missed += [(citation["name"], citation["page"], lacking)] if lacking else []
    for name, page, lacking in missed[:5]:
        print(f"{name}, page {page}: not under the boxes: {lacking[:8]}", file=sys.stderr)
    return {"quotes": total, "whole_under_boxes": good, "other_words_under_boxes": beside}


def main():
    args = arguments()
    cloister = Cloister(args)
    documents = load(os.path.join(args.set_dir, "documents.jsonl"))
    kind, folder = ("pdf", "pdf") if args.pdf else ("file", "docs")
    names = {d["document"]: os.path.basename(d[kind]) for d in documents if d.get(kind)}
    document_of = {name: document for document, name in names.items()}
    collections = {c.get("name") for c in cloister.lines("collection", "list")}
    if args.collection not in collections:
        ingested = cloister.lines("ingest", "--collection", args.collection, os.path.join(args.set_dir, folder))
        print(json.dumps(ingested[-1]), file=sys.stderr)
    questions = choose(load(os.path.join(args.set_dir, "questions.jsonl")), names, args.answerable, args.unanswerable)
    answers = ask(cloister, args, questions, names)
    with open(args.out, "w", encoding="utf-8") as out:
        for q in questions:
            out.write(json.dumps(prediction(q, answers.get(q["id"], {}), document_of)) + "\n")
    exact, total = quotes_exact(cloister, answers)
    cited = sum(1 for q in questions if q["answerable"] and answers.get(q["id"], {}).get("citations"))
    abstained = sum(1 for q in questions if not q["answerable"] and answers.get(q["id"], {}).get("abstained"))
    seconds = [a["timings"]["total_ms"] / 1000 for a in answers.values() if "timings" in a]
    print(json.dumps({
        "answerable": sum(q["answerable"] for q in questions), "answered_with_citation": cited,
        "unanswerable": sum(not q["answerable"] for q in questions), "abstained": abstained,
        "quotes": total, "quotes_exact": exact, **({"boxes": under_boxes(os.path.join(args.set_dir, folder), answers)} if args.pdf else {}), "errors": sum("error" in a for a in answers.values()),
        "seconds_median": round(statistics.median(seconds), 2) if seconds else None,
    }))


if __name__ == "__main__":
    main()
