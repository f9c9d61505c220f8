"""The judges: how each of DMTF's tools is run, and what its run came to."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import finding
import tools
from finding import Judgement

HERE = tools.HERE
# Where profiles of others lie, in `profiles/`; they are not in this project.
DATA = Path(os.environ.get("ONPREM_REDFISH_DATA",
                           tools.ROOT.parent / "shared/redfish"))
OURS = HERE / "profiles/OnPremBlade.v1_0_0.json"
OTHERS = (
    "OCPServiceBaseline.v1_0_0.json",
    "OCPBaselineHardwareManagement.v1_1_1.json",
    "OpenStackIronicProfile.v1_2_0.json",
)
QUIET_CASES = ("AccountManagement", "ManagerEthernetInterfaces", "QueryParameters")
RESET_CASES = ("PowerControl", "BootOverride")
# A look-up at dmtf.org would make runs differ from day to day: a closed door.
NOWHERE = "http://127.0.0.1:9"
ABOUT = {
    "service": "reads every resource and holds each property against DMTF's schemas (DSP8010)",
    "protocol": "holds requests, answers, logins and headers against the Redfish specification (DSP0266)",
    "interop": "asks whether what a profile names is there: it finds what is missing",
    "use-cases": "does what scripts do: adds accounts, resets, sets the boot source, queries",
}
PACKAGES = {
    "service": "redfish-service-validator",
    "protocol": "redfish-protocol-validator",
    "interop": "redfish-interop-validator",
    "use-cases": "redfish-use-case-checkers",
}


def begin(kind, name):
    package = PACKAGES[kind]
    version = f"{package} {tools.version(package)}"
    return Judgement(name, ABOUT[kind], version)


def left_out(kind, name, why):
    judgement = begin(kind, name)
    judgement.state, judgement.said = "left out", why
    return judgement


def run(judgement, report, read, tool, target, *args):
    """Runs a tool and reads its report; no report is no verdict."""
    shutil.rmtree(report, ignore_errors=True)
    report.mkdir(parents=True)
    began = time.monotonic()
    login = ["-r", target.url, "-u", target.user, "-p", target.password]
    _, said = tools.call(tool, *login, *args, ca=target.ca)
    judgement.seconds = round(time.monotonic() - began, 1)
    said = said.replace(target.password, "********")
    (report / "said.txt").write_text(said)
    if read(judgement, report):
        return judgement
    late = said.rstrip().endswith(f"not done after {tools.TIMEOUT:.0f} s")
    judgement.state = "late" if late else "crashed"
    judgement.said = last_words(said)
    return judgement


def last_words(said):
    """The end of what a tool said: of a traceback, the line that says why."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    lines = [line for line in plain.splitlines() if line.strip()]
    return "\n".join(lines[-3:])[-1000:] or "it said nothing"


def service(target, report, csdl=tools.CSDL, fetch=False,
            name="Service validator"):
    """Every resource against the schemas; with `fetch`, also against those
    that the service itself offers."""
    schemas = report.parent / (report.name + "-csdl")
    shutil.rmtree(schemas, ignore_errors=True)
    shutil.copytree(csdl, schemas)
    look_up = ["--ext_http_proxy", NOWHERE, "--ext_https_proxy", NOWHERE]
    judgement = run(
        begin("service", name), report, finding.read_resources,
        "rf_service_validator", target, "--authtype", "Session",
        *(look_up if fetch else ["--skipschema"]),
        "--schema_directory", schemas, "--logdir", report,
    )
    shutil.rmtree(schemas, ignore_errors=True)
    return judgement


def interop(target, report, profile):
    """What one profile asks for."""
    profile = Path(profile)
    told = json.loads(profile.read_text())
    title = f"{told['ProfileName']} {told['ProfileVersion']}"
    return run(
        begin("interop", f"Profile {title}"), report, finding.read_resources,
        "rf_interop_validator", target, "--logdir", report, profile,
    )


def profiles_of_others():
    """Paths of them, and None for each that is not on this machine."""
    for name in OTHERS:
        path = DATA / "profiles" / name
        yield name, path if path.is_file() else None


def use_cases(target, report, *cases):
    return run(
        begin("use-cases", "Use-case checkers"), report,
        finding.read_use_cases, "rf_use_case_checkers", target,
        "--report-dir", report, "--test-list", *cases,
    )


def protocol(target, report):
    trust = ["--ca-bundle", target.ca] if target.ca else ["--no-cert-check"]
    judgement = run_protocol(target, report, trust)
    random = {it.what for it in judgement.that("FAIL", "WARN")}
    # A token that is random looks otherwise in some of 100 runs.
    if random == {"RESP_HEADERS_X_AUTH_TOKEN"}:
        again = run_protocol(target, report, trust)
        again.said = "run twice: the first time, tokens did not look random"
        return again
    return judgement


def run_protocol(target, report, trust):
    return run(
        begin("protocol", "Protocol validator"), report,
        finding.read_assertions, "rf_protocol_validator", target, *trust,
        "--report-dir", report, "--report-type", "both",
    )
