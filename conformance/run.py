#!/usr/bin/env python3
"""DMTF's validators and tools against the agent.

    run.py direct --agent PROGRAM        validators and commands, on a
                                         simulated blade and on this host
    run.py proxy --onprem PROGRAM --device NAME --user NAME --password-file F
                                         the commands through `onprem proxy`

Prints a line a check, the validators' counts, and closes with
`N passed, N failed`. Reports are in .cache/conformance/.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import tools
from bmc import Agent, Service
from commands import Commands
from tools import CACHE, HERE, ROOT

BOARD = ROOT / "bmc/boards/sim-blade.toml"
REPORTS = CACHE / "conformance"
# Boot override is not offered; the interfaces lack IPv6 address states.
USE_CASES = ("AccountManagement", "PowerControl", "QueryParameters")
# A network of its own for the protocol validator: it subscribes to events for
# a made-up address and sends multicast, neither of which may leave here.
NAMESPACE = """
ip link set lo up && ip link set lo multicast on &&
ip route add 224.0.0.0/4 dev lo && exec "$@"
"""


class Tally:
    """Counts checks, and prints a line for each."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, name, action):
        began = time.monotonic()
        try:
            remark = action()
        except Exception as error:  # a check may fail in any way
            self.failed += 1
            print(f"FAIL  {name}", flush=True)
            if not isinstance(error, AssertionError):
                error = traceback.format_exc()
            print("      " + str(error).replace("\n", "\n      "), flush=True)
            return
        self.passed += 1
        took = time.monotonic() - began
        remark = f": {remark}" if remark else ""
        print(f"ok    {name}{remark} ({took:.1f} s)", flush=True)

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0


def expected(name):
    """The first word of each line of a file beside this one, and the rest."""
    lines = (HERE / "expected" / name).read_text().splitlines()
    words = [line.split(maxsplit=1) for line in lines
             if line and not line.startswith("#")]
    return {word[0]: word[1] if len(word) > 1 else "" for word in words}


def no_fail(found):
    counts, lines = found
    for line in lines:
        print("      " + line[:300])
    assert counts["FAIL"] == 0, tools.say(counts)
    return tools.say(counts)


def shows_what_a_blade_has(bmc):
    found = {resource.get("@odata.type", "").rsplit(".", 1)[-1]
             for resource in bmc.tree().values()}
    lacking = sorted(set(expected("types.txt")) - found)
    assert not lacking, f"nowhere in the tree: {', '.join(lacking)}"
    return f"{len(found)} types"


def validate_protocol(args):
    with Agent(args.agent, CACHE / "agents/protocol", BOARD) as bmc:
        report = REPORTS / "protocol"
        shutil.rmtree(report, ignore_errors=True)
        counts, rows = tools.protocol_validator(bmc, report)
    known, new = expected("protocol.txt"), []
    for row in rows:
        print("      " + " | ".join(row)[:400])
        if "FAIL" in row and not set(row) & set(known):
            new.append(row[0])
    said = tools.say(counts)
    if new:
        said += f"; failed and not expected to: {', '.join(sorted(set(new)))}"
    print(said)
    return 1 if new else 0


def in_a_network_of_its_own(args):
    command = [sys.executable, __file__, "protocol", "--agent", args.agent]
    if os.geteuid() == 0 and shutil.which("unshare") and shutil.which("ip"):
        command = ["unshare", "-n", "sh", "-c", NAMESPACE, "sh", *command]
    else:
        print("      no network of its own (not root): SSDP is not tested")
    done = subprocess.run(
        list(map(str, command)), text=True, timeout=tools.TIMEOUT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    *lines, last = done.stdout.splitlines() or [""]
    for line in lines:
        print(line)
    assert done.returncode == 0, last
    return last


def on_a_simulated_blade(args, tally):
    with Agent(args.agent, CACHE / "agents/simulated", BOARD) as bmc:
        tally.check("a simulated blade shows what a blade has",
                    lambda: shows_what_a_blade_has(bmc))
        tally.check("service validator, simulated blade",
                    lambda: no_fail(
                        tools.service_validator(bmc, REPORTS / "simulated")))
        tally.check("use-case checkers",
                    lambda: no_fail(
                        tools.use_cases(bmc, REPORTS / "use-cases", *USE_CASES)))
        commands = Commands(bmc, tally.check)
        commands.reading()
        commands.writing()
        commands.accounts()


def on_this_host(args, tally):
    # Nothing here may ask for a reset: the host is the real one.
    with Agent(args.agent, CACHE / "agents/host") as bmc:
        tally.check("service validator, this host",
                    lambda: no_fail(
                        tools.service_validator(bmc, REPORTS / "host")))
        Commands(bmc, tally.check).reading()


def direct(args):
    tools.install()
    shutil.rmtree(REPORTS, ignore_errors=True)
    tally = Tally()
    tally.check("an agent on a simulated blade starts and ends",
                lambda: on_a_simulated_blade(args, tally))
    tally.check("an agent on this host starts and ends",
                lambda: on_this_host(args, tally))
    tally.check("protocol validator", lambda: in_a_network_of_its_own(args))
    return tally.close()


def proxy(args):
    tools.install()
    password = Path(args.password_file).read_text().strip()
    process = subprocess.Popen(
        [args.onprem, "proxy", args.device], text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    tally = Tally()
    try:
        url = announced(process)
        print(f"proxy at {url}")
        commands = Commands(Service(url, args.user, password), tally.check)
        commands.reading()
        commands.writing()
    finally:
        process.terminate()
        process.wait()
    return tally.close()


def announced(process):
    """The address that the proxy says it listens on."""
    for line in process.stdout:
        found = re.search(r"https?://[\w.:\[\]]+:\d+", line)
        if found:
            # The pipe must not fill up behind us.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return found.group()
    raise AssertionError("the proxy ended without an address")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modes = parser.add_subparsers(required=True, metavar="MODE")
    for name, mode in (("direct", direct), ("protocol", validate_protocol)):
        sub = modes.add_parser(name)
        sub.add_argument("--agent", required=True, help="path of onprem-bmc")
        sub.set_defaults(mode=mode)
    sub = modes.add_parser("proxy")
    for flag in ("onprem", "device", "user", "password-file"):
        sub.add_argument(f"--{flag}", required=True)
    sub.set_defaults(mode=proxy)
    args = parser.parse_args()
    return args.mode(args)


if __name__ == "__main__":
    sys.exit(main())
