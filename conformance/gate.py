"""What the agent has to show: the jobs of the gate, each on its own agent."""

import json
import os
import shutil
import subprocess
import sys
import threading
from argparse import Namespace
from collections import Counter
from contextlib import ExitStack, contextmanager

import any_service
import judges
import tools
from bmc import Agent, Fleet, Service
from commands import Commands
from finding import Finding, Judgement
from mockup import Mockup
from report import Report

# A network of its own for the protocol validator: it subscribes to events for
# a made-up address and sends multicast, neither of which may leave here.
NAMESPACE = """
ip link set lo up && ip link set lo multicast on &&
ip route add 224.0.0.0/4 dev lo && exec "$@"
"""
ALONE = bool(os.geteuid() == 0 and shutil.which("unshare") and shutil.which("ip"))
BLADE = "A simulated blade"
HOST = "This host"
JOINED = "A simulated blade in a fleet"
OLD = "A simulated blade with the deprecated Power and Thermal"
ALL_CASES = judges.QUIET_CASES + judges.RESET_CASES


def expected(name):
    """The first word of each line of a file in expected/, and the rest."""
    lines = (tools.HERE / "expected" / name).read_text().splitlines()
    words = [line.split(maxsplit=1) for line in lines
             if line and not line.startswith("#")]
    return {word[0]: word[1] if len(word) > 1 else "" for word in words}


def skipped():
    """Reasons for which a use case may be skipped, as beginnings."""
    lines = (tools.HERE / "expected/skipped.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def faults(judgement, but=lambda finding: False):
    """The counts; an error with what the judge minds, unless `but` knows it."""
    assert judgement.state == "ran", judgement.say()
    minded = [it for it in judgement.that("FAIL", "WARN") if not but(it)]
    lines = [f"{it.result} {it.where} {it.what}: {it.said or it.expected}: {it.seen}"[:300]
             for it in minded[:40]]
    assert not minded, "\n".join([judgement.say(), *lines])
    return judgement.say()


class Gate:
    """Runs the jobs, and keeps what the judges said for the report."""

    def __init__(self, agent, board, reports, tally):
        self.agent = agent
        self.board = board
        self.reports = reports
        self.tally = tally
        self.report = Report("Redfish conformance of on-prem")
        self.lock = threading.Lock()
        for label in (BLADE, JOINED, HOST, OLD):
            self.report.target(label, {})

    def job(self, name):
        return lambda: JOBS[name](self)

    @contextmanager
    def joined(self, name):
        """A blade that calls a fleet, and is watched by it."""
        with Fleet(self.agent.parent / "onprem-fleet",
                   tools.CACHE / "agents" / f"{name}-fleet") as fleet:
            with self.on(JOINED, name) as bmc:
                bmc.join(fleet)
                yield bmc

    @contextmanager
    def on(self, label, name, board=True, **options):
        state = tools.CACHE / "agents" / name
        board = self.board if board else None
        with Agent(self.agent, state, board, **options) as bmc:
            self.keep(label, bmc.facts())
            yield bmc

    def keep(self, label, facts=None, judgement=None):
        with self.lock:
            if facts:
                self.report.targets[label][0].update(facts)
            if judgement:
                self.report.add(label, judgement)

    def judged(self, label, judgement, check=faults):
        self.keep(label, judgement=judgement)
        self.tally.check(f"{label}: {judgement.judge}", lambda: check(judgement))


def simulated(gate):
    with gate.on(BLADE, "simulated") as bmc:
        gate.tally.check(f"{BLADE}: shows what a blade has",
                         lambda: shows_what_a_blade_has(bmc))
        gate.judged(BLADE, ours(gate, bmc, "simulated"))
        interop(gate, BLADE, bmc, gate.reports / "interop")
        commands = Commands(bmc, gate.tally.check)
        commands.reading()
        commands.writing()
        commands.accounts()


def shows_what_a_blade_has(bmc):
    found = {resource.get("@odata.type", "").rsplit(".", 1)[-1]
             for resource in bmc.tree().values()}
    lacking = sorted(set(expected("types.txt")) - found)
    assert not lacking, f"nowhere in the tree: {', '.join(lacking)}"
    return f"{len(found)} types"


def interop(gate, label, bmc, reports):
    judgement = judges.interop(bmc, reports / judges.OURS.stem, judges.OURS)
    gate.judged(label, judgement)
    for name, path in judges.profiles_of_others():
        if not path:
            why = f"there is no {judges.DATA / 'profiles' / name}"
            print(f"      not run: profile {name}: {why}", flush=True)
            gate.keep(label, judgement=judges.left_out("interop", f"Profile {name}", why))
            continue
        judgement = judges.interop(bmc, reports / path.stem, path)
        ironic = name.startswith("OpenStackIronic")
        gate.judged(label, judgement, but_what_it_lacks if ironic else faults)


def but_what_it_lacks(judgement):
    """A blade has no drive for images that its users bring."""
    return faults(judgement, lambda it: "VirtualMedia" in it.where + it.what)


def joined(gate):
    with gate.joined("joined") as bmc:
        # A system that was started by the agent has more to tell.
        bmc.request("POST", bmc.system() + "/Actions/ComputerSystem.Reset",
                    {"ResetType": "ForceRestart"})
        bmc.wait_power("On")
        gate.tally.check(f"{JOINED}: shows the fleet, and objects of our own",
                         lambda: shows_the_fleet(bmc))
        gate.judged(JOINED, ours(gate, bmc, "joined"))
        interop(gate, JOINED, bmc, gate.reports / "joined-interop")


def ours(gate, bmc, name):
    """Every resource against the schemas, those of our own among them."""
    return judges.service(
        bmc, gate.reports / name, fetch=True,
        name="Service validator, with the schemas that the service offers",
    )


def shows_the_fleet(bmc):
    """What only a blade in a fleet has is there, so that it is judged."""
    tree = bmc.tree().values()
    own = {it["@odata.type"].split(".")[0] for it in tree
           if any(own_kinds(it.get("Oem")))}
    assert own >= {"#ComputerSystem", "#Manager"}, f"objects of ours in {own}"
    kinds = Counter(it.get("@odata.type", "").split(".")[0] for it in tree)
    assert kinds["#OutboundConnection"] == 1, "no OutboundConnection"
    streams = [it for it in tree if it.get("SubscriptionType") == "SSE"]
    assert streams, "the fleet does not listen to events"
    tunnels = [it for it in tree if it.get("SessionType") == "OutboundConnection"]
    assert len(tunnels) == 1, f"{len(tunnels)} sessions stand for the tunnel"
    return f"streams: {len(streams)}; objects of our own in {', '.join(sorted(own))}"


def own_kinds(oem):
    """The types below an Oem object, each without its version."""
    for value in (oem or {}).values():
        if isinstance(value, dict) and "@odata.type" in value:
            yield value["@odata.type"].rsplit(".", 1)[-1]


def joined_use_cases(gate):
    # What resets and boots knows nothing of a fleet.
    with gate.joined("joined-use-cases") as bmc:
        report = gate.reports / "joined-use-cases"
        judgement = judges.use_cases(bmc, report, *judges.QUIET_CASES)
        gate.judged(JOINED, judgement, nothing_skipped)


def use_cases(gate):
    with gate.on(BLADE, "use-cases") as bmc:
        judgement = judges.use_cases(bmc, gate.reports / "use-cases", *ALL_CASES)
        gate.judged(BLADE, judgement, nothing_skipped)


def nothing_skipped(judgement):
    said = faults(judgement)
    known = skipped()
    new = {f"{it.what}: {it.seen}" for it in judgement.that("NOT_TESTED")
           if not any(part in it.seen for part in known)}
    assert not new, "\n".join([said, "skipped:", *sorted(new)])
    return said


def protocol(gate):
    told = protocol_alone(gate, "protocol")
    gate.judged(BLADE, read_back(told), lambda it: all_by_name(it, ALONE))


def joined_protocol(gate):
    told = protocol_alone(gate, "joined-protocol", "--joined")
    gate.judged(JOINED, read_back(told), lambda it: all_by_name(it, ALONE))


def protocol_alone(gate, name, *options):
    """What the protocol validator said of an agent in a network of its own."""
    report = gate.reports / name
    command = [sys.executable, tools.HERE / "run.py", "protocol",
               "--agent", gate.agent, "--report", report, *options]
    if ALONE:
        command = ["unshare", "-n", "sh", "-c", NAMESPACE, "sh", *command]
    else:
        print("      no network of its own (not root): SSDP is not tested")
    done = subprocess.run(
        list(map(str, command)), text=True, timeout=2 * tools.TIMEOUT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return json.loads((report / "judgement.json").read_text())["judgement"]


def read_back(told):
    findings = [Finding(**it) for it in told.pop("findings")]
    counts = Counter(told.pop("counts"))
    return Judgement(**told, counts=counts, findings=findings)


def all_by_name(judgement, alone):
    said = faults(judgement)
    wanted = [name for name, reason in expected("protocol.txt").items()
              if not reason and (alone or "_SSDP_" not in name)]
    lacking = [name for name in wanted if judgement.names.get(name) != "PASS"]
    assert not lacking, f"{said}\nnot passed: {', '.join(lacking)}"
    return f"{said}; {len(wanted)} of {len(wanted)} assertions by name"


def deprecated(gate):
    with gate.on(OLD, "deprecated", deprecated_power_thermal="true") as bmc:
        chassis = bmc.get(bmc.chassis())
        assert "Power" in chassis and "Thermal" in chassis, "the option is off"
        gate.judged(OLD, ours(gate, bmc, "deprecated"), old_and_no_worse)


def old_and_no_worse(judgement):
    return faults(judgement, lambda it: it.result == "WARN"
                  and "deprecated" in it.said)


def host(gate):
    # Nothing here may ask for a reset: the host is the real one.
    with gate.on(HOST, "host", False) as bmc:
        gate.judged(HOST, ours(gate, bmc, "host"))
        Commands(bmc, gate.tally.check).reading()


def foreign(gate):
    """The runner on services that are wrong: it says so, and goes on."""
    gate.tally.check("the runner on a service that is wrong",
                     lambda: says_so(gate, tools.HERE / "mockup", True))
    for name in ("public-rackmount1", "public-telemetry"):
        mockup = judges.DATA / "mockups" / name
        if mockup.is_dir():
            gate.tally.check(f"the runner on DMTF's mock-up {name}",
                             lambda it=mockup: says_so(gate, it, False))
        else:
            print(f"      not run: there is no {mockup}", flush=True)


def says_so(gate, folder, changes):
    report = gate.reports / "foreign" / folder.name
    args = Namespace(only=("service", "protocol"), profile=[],
                     allow_changes=changes, allow_resets=False,
                     through_fleet=False)
    with Mockup(folder) as served:
        target = Service(served.url, "nobody", "mockup")
        told = any_service.judge(target, report, args, say=lambda _: None)
    page = told.write(report).read_text()
    assert not told.content, "taken for a good service"
    service, protocol = told.judgements()
    assert service.counts["FAIL"] > 2, service.say()
    assert service.that("FAIL")[0].where in page
    state = "crashed" if changes else "left out"
    assert protocol.state == state, protocol.say()
    assert ("judge crashed" in page) == changes
    return f"{service.say()}; protocol validator: {protocol.state}"


def board(name):
    """The tree of another simulated board that ships."""
    label = f"The board {name}"

    def judge(gate):
        gate.report.target(label, {})
        state = tools.CACHE / "agents" / name
        file = gate.board.parent / f"{name}.toml"
        with ExitStack() as stack:
            if name == RACK:
                file = stack.enter_context(rack(gate, name, file))
            bmc = stack.enter_context(Agent(gate.agent, state, file))
            gate.keep(label, bmc.facts())
            if file.stem != name:
                gate.tally.check(f"{label}: reaches the agent of its node",
                                 lambda: reaches(bmc))
            gate.judged(label, ours(gate, bmc, name))

    return judge


# The board that is judged with an agent on one of its nodes.
RACK = "sim-bitscope-er24"
# That node, as the board file names it.
NODE = '{ address = 0x05, id = "b1" }'
NODE_PATH = "/redfish/v1/Systems/b1"
# And the one that the rack's agent finds itself on, which it then offers no
# reset of.
HOME_PATH = "/redfish/v1/Systems/a0"


@contextmanager
def rack(gate, name, board):
    """The board file of a rack, of whose nodes one has an agent of its own."""
    with Agent(gate.agent, tools.CACHE / "agents" / f"{name}-node",
               gate.board) as node:
        agent = (f'{{ url = "{node.url}", user = "{node.user}", '
                 f'password_file = "{node.state}/initial-password", '
                 f'certificate_file = "{node.state}/tls/cert.pem" }}')
        text = board.read_text()
        assert NODE in text, f"{board} has no node {NODE}"
        more = NODE.replace(" }", f", agent = {agent} }}")
        file = node.state / "rack.toml"
        file.write_text(text.replace(NODE, more))
        yield file


def reaches(bmc):
    """And knows where it is itself: from then on its tree stays as it is."""
    def is_graceful():
        action = bmc.get(NODE_PATH)["Actions"]["#ComputerSystem.Reset"]
        return "GracefulShutdown" in action["ResetType@Redfish.AllowableValues"]

    bmc.wait("it does not reach the node's agent", is_graceful)
    bmc.wait("it does not know which node it is on",
             lambda: "HostsManager" in bmc.get(HOME_PATH)["Oem"]["OnPrem"])


# Those that ship beside the blade, which is judged in every way.
BOARDS = sorted(
    file.stem for file in (tools.ROOT / "bmc/boards").glob("sim-*.toml")
    if file.stem != "sim-blade"
)

# The long ones first.
JOBS = {
    "use-cases": use_cases,
    "simulated": simulated,
    "protocol": protocol,
    "joined-protocol": joined_protocol,
    "joined-use-cases": joined_use_cases,
    "joined": joined,
    "host": host,
    "deprecated": deprecated,
    "foreign": foreign,
    **{name: board(name) for name in BOARDS},
}
