#!/usr/bin/env python3
"""Builds a bundle with the two small models and tries it as a stranger would. Python 3 standard library only.

  tools/bundle_test.py BINARY MODELS_DIR

1. It verifies; a changed byte in each member, in the manifest and in the signature is refused, as are a cut file and an unsigned one.
2. It installs with its own script, without the program at hand, in a network namespace without routes (`unshare -n`, when allowed):
   with the key beside it, or as one file with the key's fingerprint, and not without either.
3. Installed there, it finds its own data and models, ingests the samples, answers a question, and verifies its audit log.
Prints one line a step and `N passed, N failed` at the end; exit code 1 when a step failed.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

MODELS = ["smollm2-135m-instruct-q4_1", "all-minilm-l6-v2"]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Steps:
    """Counts what held and what did not."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, name, held, detail=""):
        self.passed += bool(held)
        self.failed += not held
        print(("ok      " if held else "FAILED  ") + name + (f": {detail}" if detail and not held else ""), flush=True)


def run(*words, **options):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options)


def without_network():
    """The prefix that runs a command in a namespace without routes, or nothing where that is not allowed."""
    return ["unshare", "-n"] if run("unshare", "-n", "true").returncode == 0 else []


def build(binary, models, folder):
    key = os.path.join(folder, "signing.key")
    with open(key, "w", encoding="ascii") as out:
        import base64
        out.write(base64.b64encode(os.urandom(32)).decode("ascii") + "\n")
    os.chmod(key, 0o600)
    bundle = os.path.join(folder, "cloister.bundle")
    wanted = [word for model in MODELS for word in ("--model", model)]
    done = run(binary, "--models", models, "bundle", "build", "--out", bundle, "--key", key, *wanted)
    return bundle, done


def members(bundle):
    with tarfile.open(bundle) as tar:
        return [(m.name, m.offset_data, m.size) for m in tar.getmembers() if m.isfile() and m.size > 0]


def flipped(bundle, copy, offset):
    """`copy` becomes the bundle with the byte at `offset` changed, without copying the file more than once."""
    with open(copy, "r+b") as out:
        out.seek(offset)
        old = out.read(1)
        out.seek(offset)
        out.write(bytes([old[0] ^ 1]))
    return old


def refused(binary, copy, public, name=""):
    done = run(binary, "bundle", "verify", copy, "--public-key", public)
    told = (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.returncode == 1 and (name in told), told.strip()[:300]


def tampering(steps, binary, bundle, folder):
    public = bundle + ".pub"
    copy = os.path.join(folder, "changed.bundle")
    shutil.copyfile(bundle, copy)
    for name, offset, size in members(bundle):
        place = offset + size // 2
        old = flipped(bundle, copy, place)
        held, told = refused(binary, copy, public, name)
        steps.check(f"changed byte in {name} is refused by name", held, told)
        with open(copy, "r+b") as out:
            out.seek(place)
            out.write(old)
    size = os.path.getsize(bundle)
    for share in (0.999, 0.5, 0.01):
        with open(copy, "r+b") as out:
            out.truncate(int(size * share))
        held, told = refused(binary, copy, public)
        steps.check(f"cut to {share:.1%} is refused", held, told)
    unsigned = os.path.join(folder, "unsigned.bundle")
    with tarfile.open(bundle) as tar, tarfile.open(unsigned, "w") as out:
        for member in tar.getmembers():
            if not member.name.endswith(".sig"):
                out.addfile(member, tar.extractfile(member) if member.isfile() else None)
    held, told = refused(binary, unsigned, public)
    steps.check("without a signature is refused", held, told)
    os.unlink(copy)
    os.unlink(unsigned)


def installed(steps, bundle, folder):
    alone = without_network()
    steps.check("a namespace without routes is at hand" if alone else "passed over: namespace without routes (unshare -n not allowed)", True)
    prefix, work = os.path.join(folder, "prefix"), os.path.join(folder, "stranger")
    os.makedirs(work)
    script = run("tar", "xf", bundle, "-C", work, "install")
    steps.check("the install script comes out with tar alone", script.returncode == 0, script.stderr.decode())
    key_needed(steps, [*alone, "sh", os.path.join(work, "install")], bundle, prefix, work)
    done = run(*alone, "sh", os.path.join(work, "install"), bundle, prefix, cwd=work)
    steps.check("installs with its own script", done.returncode == 0, (done.stdout + done.stderr).decode()[-600:])
    again = run(*alone, "sh", os.path.join(work, "install"), bundle, prefix, cwd=work)
    steps.check("installs a second time without harm", again.returncode == 0, again.stderr.decode()[-300:])
    binary = os.path.join(prefix, "current", "bin", "cloister")
    base = [*alone, binary, "--data", os.path.join(folder, "data"), "--models", os.path.join(prefix, "current", "models"), "--json"]
    used(steps, base)
    at_home(steps, alone, prefix, os.path.join(prefix, "bin", "cloister"))


def key_needed(steps, script, bundle, prefix, work):
    """With the bundle alone: refused without a key, and with a wrong one; installed with its fingerprint."""
    public = bundle + ".pub"
    with open(public, encoding="ascii") as file:
        fingerprint = file.readline().split("public key ")[1].strip()
    os.rename(public, public + ".away")
    done = run(*script, bundle, prefix, cwd=work)
    told = done.stderr.decode()
    held = done.returncode == 1 and "FINGERPRINT" in told and "os error" not in told
    steps.check("without a key it says what is missing and how to give it", held, told[-600:])
    steps.check("and leaves no folder behind", not os.path.exists(prefix))
    done = run(*script, bundle, prefix, "0" * 40, cwd=work)
    steps.check("a wrong fingerprint is refused", done.returncode == 1 and not os.path.exists(prefix), done.stderr.decode()[-600:])
    done = run(*script, bundle, prefix, "no-such-key", cwd=work)
    steps.check("what is neither key nor fingerprint is refused", done.returncode == 2 and not os.path.exists(prefix), done.stderr.decode()[-600:])
    done = run(*script, bundle, prefix, *fingerprint.split(), cwd=work)
    steps.check("installs from one file with the fingerprint", done.returncode == 0, (done.stdout + done.stderr).decode()[-600:])
    steps.check("says how to start it", b"bin/cloister serve" in done.stdout and b"systemctl enable --now" in done.stdout, done.stdout.decode()[-600:])
    os.rename(public + ".away", public)


def at_home(steps, alone, prefix, program):
    """The installed program without any option, from a folder that is not its own."""
    done = run(*alone, program, "--json", "doctor", cwd="/")
    checks = {check["name"]: check for check in map(json.loads, done.stdout.decode().splitlines())}
    generator = checks.pop("model generator", {"ok": None, "mend": ""})
    steps.check("finds its own data and models", checks and all(check["ok"] for check in checks.values()), done.stdout.decode()[-900:])
    held = generator["ok"] is False and "bundle" in generator["mend"] and "pull" not in generator["mend"]
    steps.check("sends to a bundle for the model that this one lacks", held, str(generator))
    here = os.path.join(prefix, "data")
    steps.check("its data is its owner's alone", not run("find", here, "-perm", "/077").stdout, run("find", here, "-perm", "/077").stdout.decode()[-300:])
    with open(os.path.join(prefix, "current", "README.md"), encoding="utf-8") as file:
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", file.read())
    missing = [link for link in links if "://" not in link and not os.path.exists(os.path.join(prefix, "current", link))]
    steps.check("its README links to nothing that was left out", not missing, ", ".join(missing))


def used(steps, base):
    done = run(*base, "ingest", "--collection", "Samples", os.path.join(ROOT, "samples", "documents"))
    lines = [json.loads(line) for line in done.stdout.decode().splitlines() if line.strip()]
    steps.check("ingests the samples", done.returncode == 0 and lines and "total" in lines[-1], done.stderr.decode()[-600:])
    with open(os.path.join(ROOT, "samples", "questions.json"), encoding="utf-8") as file:
        question = json.load(file)["questions"][0]["question"]
    done = run(*base, "ask", "--collection", "Samples", "--model", MODELS[0], question)
    answer = json.loads(done.stdout.decode() or "{}")
    steps.check("answers or abstains, with evidence", done.returncode == 0 and answer.get("passages"), done.stderr.decode()[-600:])
    done = run(*base, "audit", "verify")
    steps.check("its audit log verifies", done.returncode == 0, (done.stdout + done.stderr).decode()[-300:])


def main():
    binary, models = sys.argv[1:3]
    steps = Steps()
    with tempfile.TemporaryDirectory(prefix="cloister-bundle-") as folder:
        bundle, done = build(binary, models, folder)
        steps.check("builds", done.returncode == 0 and os.path.exists(bundle), done.stderr.decode()[-600:])
        if os.path.exists(bundle):
            done = run(binary, "bundle", "verify", bundle, "--public-key", bundle + ".pub")
            steps.check("verifies", done.returncode == 0, done.stderr.decode()[-300:])
            for name, _, size in members(bundle):
                print(f"        {size:>12} bytes  {name}")
            tampering(steps, binary, bundle, folder)
            installed(steps, bundle, folder)
    print(f"{steps.passed} passed, {steps.failed} failed")
    return 1 if steps.failed else 0


if __name__ == "__main__":
    sys.exit(main())
