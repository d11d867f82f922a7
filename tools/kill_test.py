#!/usr/bin/env python3
"""Kills the server again and again while it takes documents in, and looks whether anything was lost. Python 3 standard library only.

  tools/kill_test.py BINARY MODELS_DIR [FOLDER] [--kills 20] [--documents 100] [--seed 1]

Documents are the first files of FOLDER, or texts made up here. They are uploaded over HTTP a few at a time. In turn the server is
killed (SIGKILL) in an upload (half of it sent, or all of it and no answer read), while a document is read, while one is embedded,
and while one is committed: as soon as the event of that state comes, after a random moment of at most some milliseconds. A kill
counts only when a copy of the catalogue, taken before the restart, confirms where it fell; one that fell beside is told and tried
again. A document under way at two kills is let through before the next: at a third the appliance would give it up, so that a
document that ends it cannot do so for ever. After each kill the server starts again, and uploads that it had not acknowledged are
sent again.
At the end: each document is there once with the bytes that were sent, what was acknowledged kept its id, each is found by a word that no other
has, by keyword and by vector, no passage is there twice, the three stores agree, `doctor` finds nothing, the audit log verifies.
Prints one JSON line and `N passed, N failed`; exit code 1 when something failed.
"""
import argparse
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

STAGES = ["upload", "reading", "embedding", "commit"]
STATE_OF = {"reading": "reading", "embedding": "embedding", "commit": "indexing"}
ENDED = {"ready", "partial", "failed", "cancelled", "duplicate"}
# Longest random moment between the event and the kill, in seconds: the stages differ in length.
DELAY = {"reading": 0.02, "embedding": 0.05, "commit": 0.004}
AT_ONCE = 3
PATIENCE = 120
COLLECTION = "Killed"


def made_up(count, rng):
    """Texts of some pages, each with a word of its own in several places."""
    words = "the lease ends when either party gives notice rent is due on first day of month repairs heating lift garden water meter key".split()
    for number in range(count):
        own = f"marker{number:03}x{rng.randrange(1 << 20):05x}"
        paragraphs = []
        for idx in range(rng.randrange(20, 50)):
            sentence = " ".join(rng.choice(words) for _ in range(rng.randrange(30, 70)))
            paragraphs.append(f"{idx + 1}. {sentence}." + (f" Reference {own}." if idx % 7 == 0 else ""))
        yield f"{number:03}.txt", "\n\n".join(paragraphs).encode()


def files_of(folder, count):
    """The first files below a folder, by name."""
    found = sorted(os.path.join(base, name) for base, _, names in os.walk(folder) for name in names)
    for path in found[:count]:
        with open(path, "rb") as file:
            yield os.path.relpath(path, folder), file.read()


class Server:
    """`cloister serve` on a free port, and what its event stream has told."""

    def __init__(self, words, key):
        self.key = key
        self.log = tempfile.TemporaryFile()
        command = words + ["serve", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.port = self.find_port()
        threading.Thread(target=self.drain, daemon=True).start()
        self.told = {}
        self.changed = threading.Condition()
        self.target = None
        self.connected = threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()
        self.connected.wait(PATIENCE)

    def find_port(self):
        for line in self.process.stderr:
            self.log.write(line)
            found = re.search(rb"serves http://127\.0\.0\.1:(\d+)", line)
            if found:
                return int(found[1])
        self.log.seek(0)
        sys.exit("the server did not start:\n" + self.log.read().decode())

    def drain(self):
        for line in self.process.stderr:
            self.log.write(line)

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def headers(self, **more):
        return {"authorization": f"Bearer {self.key}", **more}

    def get(self, path):
        connection = self.connection()
        connection.request("GET", path, headers=self.headers())
        return json.loads(connection.getresponse().read())

    def listen(self):
        """Follows the jobs; strikes as soon as the target's state is told."""
        try:
            connection = self.connection()
            connection.request("GET", "/api/v1/jobs/events", headers=self.headers())
            answer = connection.getresponse()
            self.connected.set()
            for line in answer:
                if line.startswith(b"data: "):
                    self.hear(json.loads(line[6:]))
        except (OSError, http.client.HTTPException, ValueError):
            # The server was killed, which is what this is about.
            self.connected.set()

    def hear(self, job):
        with self.changed:
            if self.target and job["state"] == self.target[0]:
                self.kill(self.target[1])
                self.struck, self.target = job, None
            self.told[job["id"]] = job
            self.changed.notify_all()

    def kill(self, delay=0.0):
        if delay:
            time.sleep(delay)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def kill_at(self, state, delay):
        """Waits for the state of any job and strikes; the job struck, or None when nothing was under way any more."""
        with self.changed:
            self.struck, self.target = None, (state, delay)
            until = time.monotonic() + PATIENCE
            while self.target and self.open_jobs() and time.monotonic() < until:
                self.changed.wait(1)
            self.target = None
            return self.struck

    def open_jobs(self):
        return [job for job in self.told.values() if job["state"] not in ENDED]

    def upload(self, name, body, half_sent=None, all_sent=None):
        """Sends a file; what became of it, once it is acknowledged. The other two are called on the way."""
        boundary = "cloister-kill-test"
        start = (f"--{boundary}\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\n{name}\r\n"
                 f"--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"file\"\r\n\r\n").encode()
        whole = start + body + f"\r\n--{boundary}--\r\n".encode()
        connection = self.connection()
        connection.putrequest("POST", f"/api/v1/collections/{COLLECTION}/documents")
        for header, value in self.headers(**{"content-type": f"multipart/form-data; boundary={boundary}",
                                             "content-length": str(len(whole))}).items():
            connection.putheader(header, value)
        connection.endheaders()
        half = len(start) + len(body) // 2
        connection.send(whole[:half])
        if half_sent:
            half_sent()
        connection.send(whole[half:])
        if all_sent:
            all_sent()
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if answer.status != 202:
            raise SystemExit(f"{name}: {told}")
        item = told["uploads"][0]
        with self.changed:
            if item.get("job") and item["job"] not in self.told:
                self.told[item["job"]] = {"id": item["job"], "state": "queued", "name": name}
        return item


class Trial:
    """The data directory, the documents, and what was acknowledged."""

    def __init__(self, options):
        self.rng = random.Random(options.seed)
        self.dir = tempfile.mkdtemp(prefix="cloister-kill-")
        self.data = os.path.join(self.dir, "data")
        self.words = [os.path.abspath(options.binary), "--json", "--data", self.data, "--models", os.path.abspath(options.models)]
        given = files_of(options.folder, options.documents) if options.folder else made_up(options.documents, self.rng)
        self.documents = dict(given)
        self.unsent = list(self.documents)
        self.acknowledged = {}
        self.resent = 0
        self.hits = {}
        self.landed = {stage: 0 for stage in STAGES}
        self.beside = []
        self.server = None
        self.key = self.set_up()

    def cli(self, *words, stdin=""):
        done = subprocess.run(self.words + list(words), input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()

    def set_up(self):
        self.cli("user", "add", "killer", "--role", "administrator", "--password-stdin", stdin="a password that is long\n")
        self.cli("collection", "add", COLLECTION)
        code, lines, stderr = self.cli("key", "add", "kill test", "--user", "killer")
        if code:
            sys.exit(stderr)
        return lines[0]["key"]

    def restart(self):
        self.server = Server(self.words, self.key)

    def send(self, name):
        item = self.server.upload(name, self.documents[name])
        self.acknowledged.setdefault(name, item["document"])
        self.unsent.remove(name)

    def fill(self):
        """Keeps a few documents under way."""
        while self.unsent and len(self.server.open_jobs()) < AT_ONCE:
            self.send(self.unsent[0])

    def stages(self):
        """The stage of every job, from a copy of the catalogue, the names given, and the files that are being received."""
        store = os.path.join(self.data, "store")
        with tempfile.TemporaryDirectory() as copy:
            for end in ("", "-wal"):
                path = os.path.join(store, "catalogue.sqlite" + end)
                if os.path.exists(path):
                    shutil.copy(path, copy)
            catalogue = sqlite3.connect(os.path.join(copy, "catalogue.sqlite"))
            stages = dict(catalogue.execute("SELECT id, stage FROM jobs"))
            names = {name for (name,) in catalogue.execute("SELECT name FROM names")}
            catalogue.close()
        return stages, names, os.listdir(self.incoming())

    def strike(self, stage):
        """One kill; whether it fell where it was meant to."""
        self.fill()
        if stage == "upload":
            return self.strike_upload()
        job = self.server.kill_at(STATE_OF[stage], self.rng.random() * DELAY[stage])
        if job is None:
            return None
        found = self.stages()[0][job["id"]]
        # Done in the catalogue but never told: the kill fell into the last of the commit, where the other two stores follow.
        landed = found == STATE_OF[stage] or (stage == "commit" and found == "done")
        if not landed:
            self.beside.append(f"{stage}: {found}")
        return landed

    def note_hits(self):
        for job in self.server.open_jobs():
            self.hits[job["id"]] = self.hits.get(job["id"], 0) + 1

    def strike_upload(self):
        """Kills with half a file sent, or in turn with all of it sent and no answer read."""
        # One that a kill cut off may be there already; it is sent again in its turn.
        name = next(name for name in self.unsent if name not in self.stages()[1])
        self.resent += 1
        half = self.landed["upload"] % 2 == 0
        kill = self.kill_with_half if half else self.kill_with_all
        try:
            self.server.upload(name, self.documents[name], **{"half_sent" if half else "all_sent": kill})
        except (OSError, http.client.HTTPException):
            # The server is gone, as it must be.
            pass
        _, names, incoming = self.stages()
        landed = bool(incoming) and name not in names if half else bool(incoming) or name in names
        if not landed:
            self.beside.append("upload: " + ("named already" if name in names else "nothing lies there"))
        return landed

    def kill_with_half(self):
        """Strikes once the server has begun to write the file."""
        until = time.monotonic() + PATIENCE
        while not os.listdir(self.incoming()) and time.monotonic() < until:
            time.sleep(0.001)
        self.server.kill(self.rng.random() * 0.05)

    def kill_with_all(self):
        self.server.kill(self.rng.random() * 0.03)

    def incoming(self):
        return os.path.join(self.data, "store", "blobs", "incoming")

    def run(self, kills):
        """Strikes the stages in turn, and takes in the rest undisturbed."""
        self.restart()
        done = tried = 0
        while done < kills and tried < 4 * kills:
            stage = STAGES[done % len(STAGES)]
            if not self.unsent:
                break
            landed = self.strike(stage)
            tried += 1
            if landed is None:
                continue
            self.note_hits()
            if landed:
                self.landed[stage] += 1
                done += 1
                print(f"kill {done}: {stage}, {len(self.acknowledged)} of {len(self.documents)} acknowledged", file=sys.stderr, flush=True)
            self.restart()
        while self.unsent:
            self.fill()
            with self.server.changed:
                self.server.changed.wait(0.2)
        self.wait_until_done()

    def wait_until_done(self):
        until = time.monotonic() + 10 * PATIENCE
        while any(job["state"] not in ENDED for job in self.server.get("/api/v1/jobs")["jobs"]):
            if time.monotonic() > until:
                sys.exit("jobs do not end")
            with self.server.changed:
                self.server.changed.wait(0.5)

    def close(self):
        if self.server and self.server.process.poll() is None:
            self.server.process.terminate()
            self.server.process.wait()


class Checks:
    """Counts what held and what did not."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, name, held, detail=""):
        self.passed += bool(held)
        self.failed += not held
        print(("ok      " if held else "FAILED  ") + name + (f": {detail}" if detail and not held else ""), flush=True)


def check_documents(trial, checks):
    """Each document once, as it was sent."""
    listed = trial.cli("document", "list", "--collection", COLLECTION)[1]
    names = [document["name"] for document in listed]
    checks.check("each document is there once", sorted(names) == sorted(trial.documents), f"{len(names)} of {len(trial.documents)}")
    not_ready = [document for document in listed if document["status"] not in ("ready", "partial") or not document["passages"]]
    checks.check("each is ready, with passages", not not_ready, not_ready[:3])
    moved = [name for document in listed for name in [document["name"]] if trial.acknowledged[name] != document["id"]]
    checks.check("what was acknowledged kept its id", not moved, moved[:3])
    wrong = []
    for document in listed:
        versions = trial.cli("document", "show", document["id"])[1][0]["versions"]
        sent = hashlib.sha256(trial.documents[document["name"]]).hexdigest()
        if [version["sha256"] for version in versions] != [sent]:
            wrong.append(document["name"])
    checks.check("each has one version, with the bytes that were sent", not wrong, wrong[:3])
    return listed


def text(trial, document):
    """The canonical text; none for a document that has not become ready."""
    code, lines, _ = trial.cli("document", "text", document)
    return "" if code else lines[0]["text"]


def own_words(texts):
    """A word of each text that stands in no other."""
    words = {name: set(re.findall(r"[a-z0-9]{5,24}", text.lower())) for name, text in texts.items()}
    count = {}
    for found in words.values():
        for word in found:
            count[word] = count.get(word, 0) + 1
    return {name: next((word for word in sorted(found, key=len, reverse=True) if count[word] == 1), None) for name, found in words.items()}


def check_search(trial, checks, listed):
    """Each document is found by its own word, no passage twice."""
    texts = {document["name"]: text(trial, document["id"]) for document in listed}
    own = own_words(texts)
    path = os.path.join(trial.dir, "queries.jsonl")
    for mode in ("keyword", "vector"):
        with open(path, "w", encoding="utf-8") as file:
            for document in listed:
                query = {"id": document["name"], "collection": COLLECTION, "query": own[document["name"]] or "-"}
                if mode == "vector":
                    query["documents"] = [document["id"]]
                file.write(json.dumps(query) + "\n")
        lines = trial.cli("search", "--mode", mode, "--limit", "200", "--queries", path)[1]
        lost, twice, passages = [], [], {document["name"]: document["passages"] for document in listed}
        for line in lines:
            places = [(passage["start"], passage["end"]) for passage in line.get("passages", [])]
            names = {passage["name"] for passage in line.get("passages", [])}
            # Within one document a vector search ranks every passage, so it shows that each has its vector.
            complete = len(places) == passages[line["id"]] if mode == "vector" else bool(places)
            if names != {line["id"]} or not complete:
                lost.append(line["id"])
            if len(set(places)) != len(places):
                twice.append(line["id"])
        checks.check(f"each document is found by a word of its own ({mode})", len(lines) == len(listed) and not lost, lost[:3])
        checks.check(f"no passage is there twice ({mode})", not twice, twice[:3])


def check_stores(trial, checks, listed):
    """The catalogue, the keyword index and the vectors hold the same; the log verifies."""
    found = trial.cli("doctor")[1]
    wrong = [line for line in found if not line["ok"] and not (line["name"] == "model generator" and "not here" in line["detail"])]
    checks.check("doctor finds nothing", len(found) > 8 and not wrong, wrong)
    counts = {line["name"] + line["detail"].lstrip("0123456789"): int(re.match(r"\d+", line["detail"])[0])
              for line in found if re.match(r"\d+", line["detail"])}
    passages = sum(document["passages"] for document in listed)
    three = {"catalogue": passages, "keyword index": counts.get("keyword index passages"), "vectors": counts.get("vectors vectors")}
    checks.check("the three stores agree", len(set(three.values())) == 1, three)
    code, lines, stderr = trial.cli("audit", "verify")
    checks.check("the audit log verifies", code == 0 and lines[0]["records"] > len(listed), stderr)
    return three, (lines or [{}])[0].get("records")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("models")
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun, checks, trial = time.monotonic(), Checks(), Trial(options)
    try:
        trial.run(options.kills)
        trial.close()
        checks.check(f"{options.kills} kills, in each stage at least {options.kills // 5}",
                     sum(trial.landed.values()) == options.kills and min(trial.landed.values()) >= options.kills // 5, trial.landed)
        listed = check_documents(trial, checks)
        check_search(trial, checks, listed)
        three, records = check_stores(trial, checks, listed)
    finally:
        trial.close()
        shutil.rmtree(trial.dir, ignore_errors=True)
    summary = {"documents": len(listed), "kills": trial.landed, "beside": trial.beside, "uploads_sent_again": trial.resent,
               "documents_interrupted": len(trial.hits), "most_kills_of_one": max(trial.hits.values(), default=0), "passages": three, "audit_records": records, "seed": options.seed,
               "seconds": round(time.monotonic() - begun, 1)}
    print(json.dumps(summary))
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
