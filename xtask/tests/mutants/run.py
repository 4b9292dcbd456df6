#!/usr/bin/env python3
"""Breaks each guard of table.toml, one at a time, and says which test tells.

    python3 xtask/tests/mutants/run.py            all of them, then writes docs/mutants.md
    python3 xtask/tests/mutants/run.py NAME…      these, and what they print
    python3 xtask/tests/mutants/run.py --sample N every N-th

All mutants are in one build: the sources are copied to target/mutants/tree, each text of the table is replaced by one with a switch, and
XTASK_MUTANT turns one of them on. Only what the table names is run for it; where that does not tell, everything is.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TABLE = HERE / "table.toml"
PAGE = ROOT / "docs/mutants.md"
MATRIX = "faults::every_fault_leaves_what_its_row_says"
# Longer than any row or test that ends; what takes longer hangs.
LIMIT = 150
# All of tests/it take longer than that.
WHOLE_LIMIT = 900
# Tests of tests/it that need other parts than the fake AWS, or know nothing of a run.
SKIPPED = ["real_", "tidy", "readme", "ci_examples", "completion", "screens", "adopt", "faults", "mutants", "exclusive_proof"]

SWITCH = '''
/// Whether this guard is the one that is broken.
#[allow(clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::disallowed_methods)]
pub(crate) fn mutant(name: &str) -> bool {
    static BROKEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BROKEN.get_or_init(|| std::env::var("XTASK_MUTANT").unwrap_or_default()) == name
}
'''


def mutants():
    with TABLE.open("rb") as file:
        return tomllib.load(file)["mutant"]


def schemata(table, sources):
    """The sources (path below src to text) with every mutant of the table in them."""
    places = {}
    for mutant in table:
        name, file, text = mutant["name"], mutant["file"], mutant["text"]
        source = sources[file]
        if source.count(text) != 1:
            sys.exit(f"{name}: `{text.strip()}` stands {source.count(text)} times in {file}")
        switch = f'crate::mutant("{name}")'
        if "instead" in mutant:
            # A statement keeps its beginning: what is replaced is the expression.
            new = f"(if {switch} {{ {mutant['instead']} }} else {{ {text} }})"
        else:
            new = mutant["rewrite"].replace("MUTANT", switch)
        places.setdefault(file, []).append((source.index(text), len(text), name, new))
    made = dict(sources)
    for file, changes in places.items():
        source = sources[file]
        made[file] = nested(source, sorted(changes, key=lambda it: (it[0], -it[1])))
    made["lib.rs"] += SWITCH
    return made


def nested(source, changes):
    """Carries the changes out. One text may lie in another: then the inner one is changed first, in its copies within the outer one's."""
    made, at = [], 0
    while changes:
        start, length, name, new = changes.pop(0)
        inner = [it for it in changes if it[0] + it[1] <= start + length]
        changes = [it for it in changes if it not in inner]
        if changes and changes[0][0] < start + length:
            sys.exit(f"{name} and {changes[0][2]} overlap")
        for _, inner_length, inner_name, inner_new in inner:
            text = source[_ : _ + inner_length]
            if text not in new:
                sys.exit(f"{inner_name} lies in {name}, whose other text does not have it")
            new = new.replace(text, inner_new)
        made += [source[at:start], new]
        at = start + length
    return "".join([*made, source[at:]])


def build(table):
    """Copies the sources with the mutants in them and builds the tests. Gives the paths of the two test programs by kind."""
    folder = ROOT / "target/mutants"
    tree = folder / "tree"
    wanted = {}
    for path in sorted(ROOT.rglob("*")):
        name = path.relative_to(ROOT)
        if name.parts[0] in ("target", ".git") or not path.is_file():
            continue
        wanted[name] = path.read_bytes()
    base = Path("xtask/src")
    sources = {str(it.relative_to(base)): text.decode() for it, text in wanted.items() if base in it.parents}
    for file, text in schemata(table, sources).items():
        wanted[base / file] = text.encode()
    for path in sorted(tree.rglob("*")) if tree.exists() else []:
        if path.is_file() and path.relative_to(tree) not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = tree / name
        # What has not changed keeps its time, so that it is not built again.
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            shutil.copymode(ROOT / name, path)
    seed(folder / "debug")
    command = ["cargo", "test", "--package", "xtask", "--lib", "--test", "it", "--no-run", "--locked", "--message-format", "json"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(folder)}
    built = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True)
    programs, complaints = {}, []
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-message" and message["message"]["level"] == "error":
            complaints.append(message["message"]["rendered"])
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            kind = message["target"]["name"] if "test" in message["target"]["kind"] else message["target"]["kind"][0]
            programs[kind] = message["executable"]
    if built.returncode != 0:
        sys.exit("\n".join(complaints) or "the build failed")
    return programs


def seed(folder):
    """What others wrote is built already where the tests were: it is linked to, not built again."""
    built = ROOT / "target/debug"
    if folder.exists() or not built.exists():
        return
    for name in ("deps", "build", ".fingerprint"):
        for path in (built / name).rglob("*"):
            part = path.relative_to(built)
            ours = any(it.startswith(("xtask", "libxtask", "it-", "guestbook", "libguestbook")) for it in part.parts)
            if path.is_file() and not ours:
                (folder / part).parent.mkdir(parents=True, exist_ok=True)
                os.link(path, folder / part)


def end_orphans(test):
    """Ends what tests of that process have left running: a broken guard may well be the one that ends it. Each has the test's folder in
    its environment. Where there is no /proc they stay."""
    marks = [f"/xtask-{it}-{test}-".encode() for it in ("it", "local")]
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes()
            if any(it in environment for it in marks):
                os.kill(int(path.parent.name), signal.SIGKILL)
        except OSError:
            pass  # It is gone, or somebody else's.


class Tests:
    """Runs tests of the build with a mutant."""

    def __init__(self, programs):
        self.programs = programs
        self.rows = []

    def run(self, kind, arguments, mutant, more=None, limit=LIMIT):
        """Gives exit code (None: it hangs) and output."""
        environment = os.environ | {"XTASK_MUTANT": mutant, "RUST_BACKTRACE": "0"} | (more or {})
        folder = ROOT / "target/mutants/tree/xtask"
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                [self.programs[kind], *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                code = None
            end_orphans(process.pid)
            output.seek(0)
            return code, output.read().decode(errors="replace")

    def matrix(self, mutant, rows=None):
        """The rows that fail; all rows where none is named."""
        more = {"XTASK_TEST_ROWS": "\n".join(rows)} if rows else {}
        code, output = self.run("it", ["--exact", MATRIX], mutant, more)
        if code == 0:
            return []
        told = [line[3:] for line in output.splitlines() if line.startswith("## ")]
        failed = []
        for row in sorted(self.rows, key=len, reverse=True):
            mine = [it for it in told if it.startswith(f"{row}: ")]
            told = [it for it in told if it not in mine]
            if mine:
                hangs = all(" it takes too long and was killed" in it for it in mine)
                failed.append(f"{row} (it hangs)" if hangs else row)
        if not failed:
            # It breaks what is there without a fault, or the test itself: the message says.
            failed.append("the whole matrix (it hangs)" if code is None else "the run without a fault")
        return failed

    def tests(self, kind, arguments, mutant, limit=LIMIT):
        """The tests that fail."""
        code, output = self.run(kind, arguments, mutant, limit=limit)
        if code is None:
            return [f"{kind}: {' '.join(arguments)} (it hangs)"]
        if re.search(r"^running 0 tests", output, re.M):
            sys.exit(f"{mutant}: no test {' '.join(arguments)}")
        return [f"{kind}: {it}" for it in re.findall(r"^test (\S+) \.\.\. FAILED", output, re.M)]

    def tell(self, mutant):
        """Who tells, of those that the table names; else of all."""
        name = mutant["name"]
        wanted = mutant.get("fails", [])
        rows = [it for it in wanted if not it.startswith(("lib: ", "it: "))]
        told = self.matrix(name, rows) if rows else []
        for it in wanted:
            if it.startswith(("lib: ", "it: ")):
                kind, test = it.split(": ")
                told += self.tests(kind, ["--exact", test], name)
        if told:
            return told, True
        told = self.tests("lib", [], name) + self.matrix(name)
        if not told and "survives" not in mutant:
            skips = [it for skip in SKIPPED for it in ("--skip", skip)]
            told = self.tests("it", skips, name, WHOLE_LIMIT)
        return told, bool(told) == ("survives" not in mutant) and "survives" in mutant


def page(table, results):
    survivors = [it for it in table if not results[it["name"]]]
    by_row = sum(any(not it.startswith(("lib: ", "it: ")) for it in results[m["name"]]) for m in table)
    by_unit = sum(all(it.startswith("lib: ") for it in results[m["name"]]) for m in table if results[m["name"]])
    others = len(table) - len(survivors) - by_row - by_unit
    lines = [
        "# What the tests would say if a guard were gone",
        "",
        "Each row takes one guard out of the sources (`xtask/tests/mutants/table.toml`) and runs the tests that are to tell. "
        "`python3 xtask/tests/mutants/run.py` does it, prints it and writes this page; "
        "`cargo test -p xtask --test it mutants` holds that every guard of the table still stands where it says.",
        "",
        f"{len(table)} guards: of {by_row} a row of the [fault matrix](faults.md) tells, of {by_unit} a unit test, of {others} another test "
        f"of `tests/it`; of {len(survivors)} none does.",
        "",
        "| guard | in | who tells when it is gone |",
        "|---|---|---|",
    ]
    for mutant in table:
        told = results[mutant["name"]]
        who = "; ".join(f"`{it}`" if it.startswith(("lib: ", "it: ")) else it for it in told)
        who = who or f"**nobody**: {mutant.get('survives', 'unexplained')}"
        lines.append(f"| {mutant['guard']} | `{mutant['file']}` | {who} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Breaks each guard of table.toml, one at a time, and says which test tells.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--sample", type=int, metavar="N", help="every N-th")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="so many at a time (2)")
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests without a mutant first")
    flags = parser.parse_args()
    table = mutants()
    chosen = [it for it in table if not flags.names or it["name"] in flags.names][:: flags.sample or 1]
    unknown = set(flags.names) - {it["name"] for it in table}
    if unknown:
        sys.exit(f"no such mutant: {', '.join(sorted(unknown))}")

    started = time.monotonic()
    tests = Tests(build(table))
    print(f"built in {time.monotonic() - started:.0f} s", flush=True)
    tests.rows = re.findall(r"^\| \d+ \| (.*?) \| \d+ \|", (ROOT / "docs/faults.md").read_text(), re.M)
    if not flags.no_baseline:
        code, output = tests.run("it", ["--exact", MATRIX], "")
        if code != 0:
            sys.exit(f"without a mutant the matrix fails:\n{output}")
        broken = tests.tests("lib", [], "")
        if broken:
            sys.exit(f"without a mutant there fails: {', '.join(broken)}")
        print(f"the matrix holds without a mutant, after {time.monotonic() - started:.0f} s", flush=True)

    results, unexpected, lock = {}, [], threading.Lock()

    def one(mutant):
        began = time.monotonic()
        told, expected = tests.tell(mutant)
        name, seconds = mutant["name"], time.monotonic() - began
        with lock:
            results[name] = told
            if not expected:
                unexpected.append(name)
            how = "; ".join(told) if told else "SURVIVES" + (": " + mutant["survives"] if "survives" in mutant else "")
            print(f"{name} ({seconds:.0f} s): {how}" + ("" if expected else " [not what the table says]"), flush=True)

    with concurrent.futures.ThreadPoolExecutor(flags.jobs) as pool:
        list(pool.map(one, chosen))
    survivors = [it["name"] for it in chosen if not results[it["name"]] and "survives" not in it]
    print(f"{len(chosen)} mutants in {time.monotonic() - started:.0f} s; unexplained survivors: {', '.join(survivors) or 'none'}")
    if unexpected:
        print(f"another test tells than the table says: {', '.join(it for it in unexpected if it not in survivors) or 'none'}")
    if len(chosen) == len(table):
        PAGE.write_text(page(table, results))
    sys.exit(1 if survivors or unexpected else 0)


if __name__ == "__main__":
    main()
