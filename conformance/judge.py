#!/usr/bin/env python3
"""DMTF's judges on any Redfish service, and one report that can be read."""

import argparse
import getpass
import os
import ssl
import sys
import urllib.error
from datetime import datetime
from pathlib import Path

import tools

PASSWORD = "ONPREM_CONFORMANCE_PASSWORD"
TOOLS = ("service", "interop", "protocol", "use-cases")
HELP = f"""
judges (--only takes these names)
  service     rf_service_validator: every resource against DMTF's schemas, and
              against the OEM schemas that the service offers
  interop     rf_interop_validator: the profiles given by --profile, else those
              in $ONPREM_REDFISH_DATA/profiles (default ../shared/redfish), and
              our own for a blade where the service is on-prem's
  protocol    rf_protocol_validator: the rules of DSP0266, login included
  use-cases   rf_use_case_checkers: what scripts do

what they change
  service and interop open a session and read; nothing else. They are all that
  is run unless --allow-changes is given. protocol and use-cases then make and
  delete accounts, sessions and subscriptions, and write network settings back
  and forth. --allow-resets adds what resets the machine: power control and
  boot override.

the password
  comes from --password-file, from ${PASSWORD}, or is asked for. It reaches
  the tools through a pipe: it is in no process's arguments, and in no report.

the report
  DIR/report.html is one file that opens everywhere; DIR/report.json has the
  same for programs. The tools' own reports lie beside them.

exit status: 0 no judge found a fault, 1 some did, or a judge crashed; 2 wrong use
or no service there.
"""


def arguments(argv=None):
    parser = argparse.ArgumentParser(
        prog=os.environ.get("ONPREM_PROGRAM", "./dev conformance"),
        description=__doc__, epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--url", required=True, help="address of the service, with http or https")
    add("--user", help="who logs in")
    add("--password-file", type=Path, metavar="F")
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument("--ca", type=Path, metavar="F",
                       help="certificates to trust, PEM; else the system's")
    trust.add_argument("--insecure", action="store_true",
                       help="take any certificate")
    add("--report", type=Path, metavar="DIR",
        help="where the report goes (default: .cache/conformance/<time>)")
    add("--only", nargs="+", choices=TOOLS, metavar="TOOL", default=TOOLS,
        help="run only these judges: " + " ".join(TOOLS))
    add("--profile", nargs="+", type=Path, metavar="F", default=[],
        help="interoperability profiles instead of those found")
    changes = parser.add_mutually_exclusive_group()
    changes.add_argument("--read-only", action="store_true",
                         help="change nothing; so it is unless said otherwise")
    changes.add_argument("--allow-changes", action="store_true",
                         help="let judges make and delete accounts and the like")
    add("--allow-resets", action="store_true",
        help="with --allow-changes: let judges reset the machine")
    add("--through-fleet", action="store_true",
        help="the address is one of `onprem proxy`: use a login made for the "
             "run, and deleted after it")
    args = parser.parse_args(argv)
    if args.allow_resets and not args.allow_changes:
        parser.error("--allow-resets is only for --allow-changes")
    if not args.user and not args.through_fleet:
        parser.error("--user is missing")
    if not args.url.startswith(("http://", "https://")):
        parser.error(f"--url {args.url} begins with neither http:// nor https://")
    for path in [args.password_file, args.ca, *args.profile]:
        if path and not path.is_file():
            parser.error(f"there is no file {path}")
    return args


def password(args):
    if args.password_file:
        return args.password_file.read_text().rstrip("\r\n")
    if PASSWORD in os.environ:
        return os.environ.pop(PASSWORD)
    if sys.stdin.isatty():
        return getpass.getpass(f"password of {args.user}: ")
    return refuse(f"a password is needed: --password-file, or {PASSWORD}")


def trusted(args):
    """The file of certificates to check with, if any are checked."""
    if args.insecure or args.url.startswith("http://"):
        return None
    if args.ca:
        return args.ca.resolve()
    import certifi

    return ssl.get_default_verify_paths().cafile or certifi.where()


def refuse(why):
    print(why, file=sys.stderr)
    sys.exit(2)


def main():
    args = arguments()
    tools.enter()
    sys.stdout.reconfigure(line_buffering=True)
    from any_service import judge
    from bmc import Service
    from login import Login

    now = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    folder = (args.report or tools.CACHE / "conformance" / now).resolve()
    if args.user:
        target = Service(args.url, args.user, password(args), trusted(args))
        login = None
    else:
        target = Service(args.url, "", "", trusted(args))
        login = Login(target, "ReadOnly" if not args.allow_changes else "Administrator")
    try:
        target.get("/redfish/v1/")
    except urllib.error.HTTPError as error:
        refuse(f"{error.url} answers {error.code} {error.reason}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        refuse(f"no Redfish service at {args.url}: {reason}")
    with login or target:
        report = judge(target, folder, args)
    page = report.write(folder)
    print(f"report: {page}")
    sys.exit(0 if report.content else 1)


if __name__ == "__main__":
    main()
