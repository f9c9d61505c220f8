"""The DMTF tools in an environment of their own, and what they say."""

import csv
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / ".cache"
TOOLS = CACHE / "dmtf"
CSDL = CACHE / "csdl"
TIMEOUT = 600  # seconds, for one run of one tool


def environment():
    """The environment for a tool: with these two set, python-requests takes
    no self-signed certificate, whatever the tool's own options say."""
    env = dict(os.environ)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        env.pop(name, None)
    return env


def install():
    """Installs the pinned tools, unless they are there, and the CSDL."""
    wanted, others = HERE / "requirements.txt", HERE / "constraints.txt"
    pinned = wanted.read_bytes() + others.read_bytes()
    digest = hashlib.sha256(pinned).hexdigest()
    stamp = TOOLS / "installed"
    if not stamp.exists() or stamp.read_text() != digest:
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", TOOLS], check=True
        )
        subprocess.run(
            [TOOLS / "bin/pip", "install", "-q", "-r", wanted, "-c", others],
            check=True,
        )
        stamp.write_text(digest)
    subprocess.run(
        ["cargo", "run", "-q", "--locked", "-p", "onprem-redfish",
         "--example", "csdl", "--", CSDL],
        cwd=ROOT, check=True,
    )


def call(name, *args):
    """Runs one of the tools; what it said, and whether it was content."""
    try:
        done = subprocess.run(
            [TOOLS / "bin" / name, *map(str, args)],
            env=environment(), cwd=CACHE, text=True, timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
    except subprocess.TimeoutExpired as late:
        return False, f"not done after {late.timeout} s"
    return done.returncode == 0, done.stdout


def table(said):
    """The counts in the table that two of the tools close with."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    found = re.search(r"\|" + r"\s*(\d+)\s*\|" * 4, plain)
    if not found:
        raise AssertionError(f"the tool gave up:\n{said[-3000:]}")
    names = ("PASS", "WARN", "FAIL", "NOT_TESTED")
    return dict(zip(names, map(int, found.groups())))


def logged(report, pattern):
    """What the debug logs below a report say of this."""
    lines = []
    for log in sorted(Path(report).glob("*/*Debug*.log")):
        lines += re.findall(pattern, log.read_text())
    return lines


def service_validator(bmc, report):
    """Counts of the service validator, and a line for what it minds."""
    _, said = call(
        "rf_service_validator", "-r", bmc.url, "-u", bmc.user,
        "-p", bmc.password, "--authtype", "Session", "--skipschema",
        "--schema_directory", CSDL, "--logdir", report,
    )
    return table(said), logged(report, r"(?:FAIL|WARN) - .*")


def use_cases(bmc, report, *tests):
    """Counts of the use-case checkers, and a line for what they mind."""
    _, said = call(
        "rf_use_case_checkers", "-r", bmc.url, "-u", bmc.user,
        "-p", bmc.password, "--report-dir", report, "--test-list", *tests,
    )
    return table(said), logged(report, r"ERROR - .*")


def protocol_validator(bmc, report):
    """Counts of the protocol validator, and a row for what it minds."""
    _, said = call(
        "rf_protocol_validator", "-r", bmc.url, "-u", bmc.user,
        "-p", bmc.password, "--no-cert-check", "--report-dir", report,
        "--report-type", "tsv",
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    found = re.search(r"Summary - (.*)", plain)
    if not found:
        raise AssertionError(f"the protocol validator gave up:\n{said[-3000:]}")
    counts = {
        name: int(number)
        for name, number in re.findall(r"(\w+): (\d+)", found.group(1))
    }
    rows = []
    for table in Path(report).glob("*.tsv"):
        with table.open(newline="") as text:
            rows += list(csv.reader(text, delimiter="\t"))
    minded = [row for row in rows if {"FAIL", "WARN"} & set(row)]
    return counts, minded


def say(counts):
    return ", ".join(f"{name} {number}" for name, number in counts.items())
