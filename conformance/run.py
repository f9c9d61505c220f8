#!/usr/bin/env python3
"""DMTF's judges and tools against the agent: the gate.

    run.py direct --agent PROGRAM        judges and commands, on simulated
                                         blades and on this host
    run.py proxy --onprem PROGRAM --device NAME --user NAME --password-file F
                                         the commands through `onprem proxy`

Prints a line a check with the judge's counts, and closes with
`N passed, N failed`. .cache/conformance/report.html says it all.
"""

import argparse
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import tools
from tools import CACHE, ROOT

REPORTS = CACHE / "conformance"
BOARD = ROOT / "bmc/boards/sim-blade.toml"


class Tally:
    """Counts checks, and prints a line for each."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.lock = threading.Lock()

    def check(self, name, action):
        began = time.monotonic()
        try:
            remark = action()
        except Exception as error:  # a check may fail in any way
            if not isinstance(error, AssertionError):
                error = traceback.format_exc()
            shown = str(error).replace("\n", "\n      ")
            with self.lock:
                self.failed += 1
                print(f"FAIL  {name}\n      {shown}", flush=True)
            return
        took = time.monotonic() - began
        remark = f": {remark}" if remark else ""
        with self.lock:
            self.passed += 1
            print(f"ok    {name}{remark} ({took:.1f} s)", flush=True)

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0


def direct(args):
    from gate import JOBS, Gate

    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    gate = Gate(Path(args.agent), BOARD, REPORTS, Tally())
    began = time.monotonic()
    # Two at a time, each on an agent of its own: the tools wait a lot.
    with ThreadPoolExecutor(2) as pool:
        for job in JOBS if not args.only else args.only:
            pool.submit(gate.tally.check, f"{job}: starts and ends",
                        gate.job(job))
    print(f"report: {gate.report.write(REPORTS)}")
    print(f"all judges took {time.monotonic() - began:.0f} s")
    return gate.tally.close()


def protocol(args):
    """In the network namespace that `direct` made for it."""
    import finding
    import judges
    from bmc import Agent, Fleet

    fleet = None
    with ExitStack() as stack:
        state = CACHE / "agents" / args.report.name
        if args.joined:
            fleet = Fleet(Path(args.agent).parent / "onprem-fleet",
                          state.with_name(f"{state.name}-fleet"))
            stack.enter_context(fleet)
        bmc = stack.enter_context(Agent(args.agent, state, BOARD))
        if fleet:
            bmc.join(fleet)
        judgement = judges.protocol(bmc, args.report)
        facts = bmc.facts()
    finding.write(args.report / "judgement.json",
                  {"facts": facts, "judgement": judgement.data()})
    return 0


def proxy(args):
    from bmc import Service
    from commands import Commands

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
    for name, mode in (("direct", direct), ("protocol", protocol)):
        sub = modes.add_parser(name)
        sub.add_argument("--agent", required=True, help="path of onprem-bmc")
        sub.add_argument("--report", type=Path, default=REPORTS)
        sub.add_argument("--only", nargs="+", metavar="JOB",
                         help="only these jobs of gate.py")
        sub.add_argument("--joined", action="store_true",
                         help="the agent is in a fleet")
        sub.set_defaults(mode=mode)
    sub = modes.add_parser("proxy")
    for flag in ("onprem", "device", "user", "password-file"):
        sub.add_argument(f"--{flag}", required=True)
    sub.set_defaults(mode=proxy)
    args = parser.parse_args()
    tools.enter()
    return args.mode(args)


if __name__ == "__main__":
    sys.exit(main())
