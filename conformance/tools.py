"""The DMTF tools in an environment of their own."""

import hashlib
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / ".cache"
TOOLS = CACHE / "dmtf"
CSDL = CACHE / "csdl"
TIMEOUT = 900.0  # seconds, for one run of one tool


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


def enter():
    """Goes on in the tools' environment, which is made if need be."""
    if Path(sys.prefix) == TOOLS:
        return
    install()
    sys.stdout.flush()
    python = TOOLS / "bin/python"
    os.execv(python, [str(python), *sys.argv])


def version(package):
    return metadata.version(package)


def call(name, *args, ca=None):
    """Runs one of the tools; what it said, and whether it was content."""
    order = {
        "tool": str(TOOLS / "bin" / name),
        "arguments": [str(arg) for arg in args],
        "ca": str(ca) if ca else None,
    }
    try:
        done = subprocess.run(
            [TOOLS / "bin/python", HERE / "launch.py"],
            input=json.dumps(order), env=environment(), cwd=CACHE, text=True,
            errors="replace", timeout=TIMEOUT,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
        if isinstance(said, bytes):
            said = said.decode(errors="replace")
        return False, f"{said}\nnot done after {TIMEOUT:.0f} s"
    return done.returncode == 0, done.stdout
