#!/usr/bin/env python3
"""The whole product as its user has it: `./dev up`, every door, plugs pulled.

Prints one line a check and closes with `N passed, N failed`. Needs root for
the check that cuts a network; says so and skips that one otherwise.
"""

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import tools

ROOT = Path(__file__).resolve().parent.parent
STATE = Path(os.environ.get("ONPREM_DIR", ROOT / ".cache/system"))
BIN = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
NEAR, FAR = "10.213.7.1", "10.213.7.2"  # the ends of the wire that is cut
OFFLINE_WITHIN = 60.0  # seconds; the product's promise


class Fleet:
    """What `./dev up` left running, seen through the CLI and HTTP."""

    def __init__(self):
        self.env = dict(
            os.environ, ONPREM_DIR=str(STATE), NO_COLOR="1",
            # What agents know the fleet by; the last from behind a wire.
            ONPREM_FLEET_DEVICE_NAMES=f'["localhost", "127.0.0.1", "{NEAR}"]',
        )
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            self.env.pop(name, None)

    def up(self):
        self.said = run("./dev", "up", "--detach", env=self.env)
        for line in (STATE / "env").read_text().splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self.env[name] = value.strip("'")

    def down(self):
        run("./dev", "down", env=self.env)

    def cli(self, *args):
        return run(BIN / "onprem", *args, env=self.env)

    def devices(self):
        listed = json.loads(self.cli("get", "devices", "-o", "json"))
        return {device["name"]: device for device in listed}

    def pid(self, name):
        return int((STATE / f"{name}.pid").read_text())

    def redfish(self, path):
        """GETs a resource of this host's agent, directly."""
        login = f"{self.env['BMC_USER']}:{self.env['BMC_PASSWORD']}"
        request = urllib.request.Request(
            self.env["BMC_URL"] + path,
            headers={
                "Authorization": "Basic "
                + base64.b64encode(login.encode()).decode()
            },
        )
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
        with urllib.request.urlopen(request, context=trust, timeout=10) as r:
            return json.load(r)

    def page(self, path):
        """GETs a console page, as one who has signed in."""
        password = (STATE / "fleet/initial-password").read_text().strip()
        login = urllib.request.Request(
            self.env["ONPREM_URL"] + "/v1/login",
            data=json.dumps({"name": "admin", "password": password}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(login, timeout=10) as answer:
            token = json.load(answer)["token"]
        page = urllib.request.Request(
            self.env["ONPREM_URL"] + path,
            headers={"Cookie": f"onprem_session={token}", "Accept": "text/html"},
        )
        with urllib.request.urlopen(page, timeout=10) as answer:
            return answer.read().decode()


class Skip(Exception):
    """The check cannot be made on this machine."""


def run(*command, env, fail=True):
    done = subprocess.run(
        [str(word) for word in command],
        env=env, cwd=ROOT, text=True, capture_output=True, timeout=900,
    )
    if fail and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(map(str, command))} ended with {done.returncode}: "
            f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def wait(what, seconds, condition):
    """Waits until `condition` holds; returns how long that took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.5)
    return time.monotonic() - began


def first_line(*paths):
    for path in paths:
        try:
            text = Path(path).read_bytes().replace(b"\0", b"").decode().strip()
        except OSError:
            continue
        if text:
            return text
    return None


# The checks, in their order: each gets the fleet and may return a remark.


def the_first_row_is_this_machine(fleet):
    table = fleet.said.splitlines()
    row = [cell.strip() for cell in table[5].strip("│ ").split("┆")]
    header = [cell.strip() for cell in table[1].strip("│ ").split("┆")]
    assert header == [
        "id", "name", "manufacturer", "model", "uuid", "lastIpAddr", "tainted",
    ], header
    device = dict(zip(header, row))
    system = fleet.redfish("/redfish/v1/Systems/host")
    assert device["uuid"] == system["UUID"].lower(), (device, system["UUID"])
    assert device["model"] == system["Model"], device
    assert device["manufacturer"] == system["Manufacturer"], device
    board = first_line(
        "/sys/class/dmi/id/product_name", "/proc/device-tree/model"
    )
    if board:
        assert device["model"] in board, (device["model"], board)
    links = json.loads(run("ip", "-j", "address", env=fleet.env))
    own = {
        address["local"]
        for link in links for address in link.get("addr_info", [])
    }
    assert device["lastIpAddr"] in own, (device["lastIpAddr"], own)
    return f"{device['manufacturer']} {device['model']} {device['lastIpAddr']}"


def redfish_says_what_the_kernel_says(fleet):
    system = fleet.redfish("/redfish/v1/Systems/host")
    kib = int(
        next(
            line for line in Path("/proc/meminfo").read_text().splitlines()
            if line.startswith("MemTotal")
        ).split()[1]
    )
    gib = system["MemorySummary"]["TotalSystemMemoryGiB"]
    assert abs(gib - kib / 1024 / 1024) < 0.1, (gib, kib)
    links = json.loads(run("ip", "-j", "address", env=fleet.env))
    expected = {
        link["ifname"]: link for link in links
        if link["link_type"] == "ether" and link["operstate"] == "UP"
        and "master" not in link
    }
    found = fleet.redfish("/redfish/v1/Systems/host/EthernetInterfaces")
    named = {m["@odata.id"].rsplit("/", 1)[1]: m for m in found["Members"]}
    for name, link in expected.items():
        resource = fleet.redfish(named[name]["@odata.id"])
        assert resource["MACAddress"].lower() == link["address"], resource
        v4 = {a["local"] for a in link["addr_info"] if a["family"] == "inet"}
        assert {a["Address"] for a in resource["IPv4Addresses"]} == v4
    members = fleet.redfish("/redfish/v1/Chassis/host/Sensors")["Members"]
    sensors = [fleet.redfish(member["@odata.id"]) for member in members]
    memory = {
        line.split(":")[0]: int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
    }
    used = 100 - 100 * memory["MemAvailable"] / memory["MemTotal"]
    shown = next(s["Reading"] for s in sensors if s["Id"] == "Memory_Used")
    assert abs(shown - used) < 10, (shown, used)
    temperatures = [
        s["Reading"] for s in sensors if s.get("ReadingUnits") == "Cel"
    ]
    kernel = [
        int(first_line(path)) / 1000
        for pattern in ("thermal/thermal_zone*/temp", "hwmon/hwmon*/temp*_input")
        for path in Path("/sys/class").glob(pattern)
        if first_line(path)
    ]
    for degrees in kernel:
        assert any(abs(degrees - t) < 10 for t in temperatures), (
            degrees, temperatures,
        )
    return (
        f"{len(expected)} links, {len(sensors)} sensors, "
        f"{len(kernel)} temperatures in /sys, {shown:.0f} % of memory used"
    )


def promtool_finds_nothing_to_say_of_the_metrics(fleet):
    if not shutil.which("promtool"):
        raise Skip("needs promtool, in Debian's package prometheus")
    for name in ("host", "c001-b8-n01"):
        address = json.loads((STATE / name / "addresses.json").read_text())
        with urllib.request.urlopen(address["metrics"] + "/metrics") as answer:
            text = answer.read()
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return f"{len(text.splitlines())} lines"


def a_device_is_judged_through_the_fleet(fleet):
    blade, report = "c001-b8-n02", STATE / "judged"
    accounts = ("curl", blade, "/redfish/v1/AccountService/Accounts")
    before = json.loads(fleet.cli(*accounts))["Members"]
    said = fleet.cli("conformance", "run", blade, "--only", "service",
                     "--report", report)
    told = json.loads((report / "report.json").read_text())
    assert told["content"] and told["counts"]["PASS"] > 1000, told["counts"]
    (target,) = told["targets"]
    (judgement,) = target["judgements"]
    assert judgement["state"] == "ran", judgement["said"]
    page = (report / "report.html").read_text()
    assert target["facts"]["UUID"] in page and "No judge found a fault" in page
    after = json.loads(fleet.cli(*accounts))["Members"]
    assert after == before, "the login of the run is still there"
    refused = run(BIN / "onprem", "conformance", "run", "no-such-blade",
                  env=fleet.env, fail=False)
    assert not refused, refused
    return said.splitlines()[-2].strip() if said.count("\n") > 1 else said


def console(fleet, *words, typed=""):
    """`onprem console` with lines that are typed into it."""
    # Lines as they come: `text` would make others of them.
    return subprocess.run(
        [str(BIN / "onprem"), "console", *words],
        input=typed.encode(), env=fleet.env, capture_output=True, timeout=60,
    )


def a_serial_console_answers_a_script(fleet):
    """Lines of a pipe are typed, and what they lead to is printed."""
    said = console(fleet, "c001-b8-n02",
                   typed="pi\nsecret\necho seen by a script\nexit\n")
    assert said.returncode == 0, said.stderr
    assert b"\r\nseen by a script\r\n" in said.stdout, said
    absent = console(fleet, "c001-b8-n02", "nobody")
    assert absent.returncode == 4, absent
    assert b"there are: node" in absent.stderr, absent.stderr


def redfishtool_works_directly_and_through_the_proxy(fleet):
    out = run(
        sys.executable, "conformance/run.py", "proxy",
        "--onprem", BIN / "onprem", "--device", "c001-b8-n01",
        "--user", "admin", "--password-file",
        STATE / "c001-b8-n01/initial-password",
        env=fleet.env,
    )
    print(out, end="")
    assert "0 failed" in out.splitlines()[-1], out.splitlines()[-1]


def the_console_passes_in_a_browser(fleet):
    env = dict(
        fleet.env,
        ONPREM_USER="admin",
        ONPREM_PASSWORD_FILE=str(STATE / "fleet/initial-password"),
        ONPREM_DEVICE="c001-b8-n02",
    )
    out = run("conformance/browser/run.sh", env=env)
    print(out, end="")
    assert ", 0 failed" in out.splitlines()[-1], out.splitlines()[-1]


def nothing_acknowledged_is_lost_when_the_fleet_is_killed(fleet):
    names = []
    for number in range(5):
        name = f"renamed-{number}"
        fleet.cli("set", "device", "c001-b8-n01" if not names else names[-1],
                  f"name={name}")
        names.append(name)
        fleet.cli("token", "create")
        os.kill(fleet.pid("fleet"), signal.SIGKILL)
        wait("the fleet's end", 5, lambda: not alive(fleet.pid("fleet")))
        fleet.up()
        assert name in fleet.devices(), fleet.devices()
    fleet.cli("set", "device", names[-1], "name=c001-b8-n01")
    seconds = wait(
        "all devices online again", 60,
        lambda: all(d["state"] == "online" for d in fleet.devices().values()),
    )
    return f"5 kills; all online {seconds:.1f} s after the last"


def a_cut_network_shows_as_offline_and_comes_back(fleet):
    if os.geteuid() != 0 or not shutil.which("ip"):
        raise Skip("needs root and `ip`")
    space = "onprem-cut"
    state = STATE / "cut"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    token = state / "token"
    token.write_text(fleet.cli("token", "create"))
    token.chmod(0o600)
    ip = lambda *words: run("ip", *words, env=fleet.env)
    # The fleet listens on loopback: a relay at the near end of the wire
    # carries the agent's connection to it.
    devices = json.loads((STATE / "fleet/addresses.json").read_text())
    port = devices["devices"].rsplit(":", 1)[1]
    ip("netns", "add", space)
    relay = agent = None
    try:
        ip("link", "add", "onprem-near", "type", "veth",
           "peer", "name", "onprem-far", "netns", space)
        ip("address", "add", f"{NEAR}/24", "dev", "onprem-near")
        ip("link", "set", "onprem-near", "up")
        ip("-n", space, "address", "add", f"{FAR}/24", "dev", "onprem-far")
        ip("-n", space, "link", "set", "onprem-far", "up")
        ip("-n", space, "link", "set", "lo", "up")
        relay = subprocess.Popen([
            sys.executable, str(ROOT / "conformance/relay.py"),
            NEAR, port, "127.0.0.1", port,
        ])
        agent = subprocess.Popen(
            ["ip", "netns", "exec", space, str(BIN / "onprem-bmc"),
             "--state-dir", str(state / "bmc"),
             "--board", "bmc/boards/sim-blade.toml", "--name", "cut-blade",
             "--serial-number", "cut-1", "--listen", "127.0.0.1:0",
             "--metrics-listen", "127.0.0.1:0",
             "--fleet-url", f"https://{NEAR}:{port}",
             "--join-token-file", str(token)],
            env=fleet.env, cwd=ROOT,
            stdout=subprocess.DEVNULL, stderr=(state / "log").open("w"),
        )
        online = lambda: (
            fleet.devices().get("cut-blade", {}).get("state") == "online"
        )
        wait("the agent online", 30, online)
        ip("link", "set", "onprem-near", "down")
        off = wait("offline in the CLI", OFFLINE_WITHIN, lambda: not online())
        page = fleet.page("/devices/cut-blade").lower()
        assert "cut-blade" in page and "offline" in page, page[:2000]
        ip("link", "set", "onprem-near", "up")
        back = wait("online again", 120, online)
    finally:
        for process in (agent, relay):
            if process:
                process.terminate()
                process.wait(20)
        ip("netns", "delete", space)
        forget(fleet, "cut-blade")
    return f"offline after {off:.0f} s, back {back:.0f} s after the cable"


def a_rack_is_switched_through_the_fleet_one_node_after_the_other(fleet):
    state = STATE / "rack"
    rack = agent = None
    try:
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        rack = subprocess.Popen(
            [BIN / "onprem-bmc", "simulate", "bitscope", "--nodes", "24"],
            stdout=subprocess.PIPE, text=True, env=fleet.env,
        )
        path = rack.stdout.readline().strip()
        assert path.startswith("/dev/"), path
        text = (ROOT / "bmc/boards/bitscope-er24.toml").read_text()
        board = state / "bitscope-er24.toml"
        board.write_text(text.replace("/dev/serial0", path))
        agent = join(fleet, "rack", board)
        nodes = lambda: json.loads(fleet.cli("get", "nodes", "rack", "-o", "json"))
        own = lambda: any(node["runsAgent"] for node in nodes())
        wait("the rack to know its own node", 30, own)
        tool = lambda *words: redfishtool(agent, *words)
        listed = tool("Systems", "list")
        assert listed["Members@odata.count"] == 24, listed
        # Off all at once, on one after the other.
        fleet.cli("power", "off", "rack", "--nodes", "b0,b1,b2,b3", "--yes")
        off = [node["id"] for node in nodes() if node["powerState"] == "Off"]
        assert off == ["b0", "b1", "b2", "b3"], off
        assert tool("Systems", "-I", "b2")["PowerState"] == "Off"
        began = time.monotonic()
        fleet.cli("power", "on", "rack", "--nodes", "b0,b1,b2,b3", "--yes")
        took = time.monotonic() - began
        assert took > 2.9, f"four nodes, a second apart, after {took:.1f} s"
        assert all(node["powerState"] == "On" for node in nodes())
        # The console of a node is a pipe on the control bus, where nothing is
        # switched for as long.
        said = console(fleet, "rack", "b1",
                       typed="pi\nsecret\necho seen on the bus\nexit\n")
        assert said.returncode == 0, said.stderr
        assert b"\r\nseen on the bus\r\n" in said.stdout, said
        absent = console(fleet, "rack", "nobody")
        assert absent.returncode == 4, absent
        assert b"there are:" in absent.stderr and b"b1" in absent.stderr, absent
        for word in ("off", "on"):
            fleet.cli("power", word, "rack", "--nodes", "b1", "--yes")
        # Nobody can be asked here, and nobody said yes.
        refused = run(BIN / "onprem", "power", "off", "rack",
                      env=fleet.env, fail=False)
        assert not refused, refused
        assert all(node["powerState"] == "On" for node in nodes())
        page = fleet.page("/devices/rack/nodes")
        assert "b3" in page and "f3" in page, page[:2000]
        page = fleet.page("/devices/rack/actions/reset")
        assert "the agent runs on it" in page, page[:4000]
        assert "GracefulShutdown" not in page, "a rack cannot do that"
    finally:
        end(agent, rack)
        forget(fleet, "rack")
    return f"24 systems; four nodes on in {took:.1f} s"


def a_cut_of_the_mains_ends_in_an_orderly_shutdown(fleet):
    state = STATE / "hats"
    agent = None
    try:
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        mains = state / "mains"
        mains.write_text("on")
        text = (ROOT / "bmc/boards/sim-hats.toml").read_text()
        said = "shutdown_after_seconds = 120"
        assert said in text
        text = text.replace(said, "shutdown_after_seconds = 3, "
                            f'simulated_mains_file = "{mains}"')
        board = state / "sim-hats.toml"
        board.write_text(text)
        agent = join(fleet, "hats", board)
        device = lambda: fleet.devices()["hats"]
        wait("the blade on", 30, lambda: device()["powerState"] == "On")
        mains.write_text("off")
        why = lambda: " ".join(device()["healthReasons"])
        wait("the reason", 30, lambda: "input is lost" in why())
        took = wait("the blade off", 60, lambda: device()["powerState"] == "Off")
        told = json.loads(fleet.cli(
            "get", "events", "--device", "hats", "-o", "json"))
        told = [event["message"] for event in reversed(told)]
        off = [text for text in told if text.startswith("hats is ")]
        assert "hats is powering off" in off and "hats is off" in off, told
        page = fleet.page("/devices/hats")
        assert "input is lost" in page, page[:4000]
        mains.write_text("on")
        wait("the mains again", 30, lambda: "input is lost" not in why())
        wait("the blade again", 30, lambda: device()["powerState"] == "On")
    finally:
        end(agent)
        forget(fleet, "hats")
    return f"off {took:.0f} s after the reason was known"


def join(fleet, name, board):
    """An agent on a board that has joined, and is online."""
    state = board.parent
    token = state / "token"
    token.write_text(fleet.cli("token", "create"))
    token.chmod(0o600)
    devices = json.loads((STATE / "fleet/addresses.json").read_text())
    agent = subprocess.Popen(
        [BIN / "onprem-bmc", "--state-dir", state / "bmc", "--board", board,
         "--name", name, "--serial-number", f"system-{name}",
         "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
         "--fleet-url", devices["devices"], "--join-token-file", token],
        env=fleet.env, cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=(state / "log").open("w"),
    )
    agent.state = state / "bmc"
    before = {device["id"] for device in fleet.devices().values()}
    known = lambda: [device for device in fleet.devices().values()
                     if device["id"] not in before]
    try:
        wait(f"{name} online", 30,
             lambda: known() and known()[0]["state"] == "online")
    except AssertionError as late:
        end(agent)
        raise AssertionError(f"{late}: {fleet.devices()}") from late
    if known()[0]["name"] != name:
        fleet.cli("set", "device", known()[0]["name"], f"name={name}")
    return agent


def end(*processes):
    for process in processes:
        if process:
            process.terminate()
            process.wait(20)


def forget(fleet, name):
    """Deletes a device of a check, that no other check waits for it."""
    if name in fleet.devices():
        fleet.cli("delete", "device", name, "--yes")


def redfishtool(agent, *words):
    """What DMTF's tool says of an agent."""
    if not (tools.TOOLS / "installed").exists():
        tools.install()
    address = json.loads((agent.state / "addresses.json").read_text())
    host = address["redfish"].removeprefix("https://")
    password = (agent.state / "initial-password").read_text().strip()
    content, said = tools.call(
        "redfishtool", "-r", host, "-u", "admin", "-p", password,
        "-S", "Always", "-A", "Basic", *words,
    )
    assert content, said[-2000:]
    return json.loads(said)


CHECKS = [
    the_first_row_is_this_machine,
    redfish_says_what_the_kernel_says,
    promtool_finds_nothing_to_say_of_the_metrics,
    redfishtool_works_directly_and_through_the_proxy,
    a_serial_console_answers_a_script,
    a_device_is_judged_through_the_fleet,
    the_console_passes_in_a_browser,
    a_rack_is_switched_through_the_fleet_one_node_after_the_other,
    a_cut_of_the_mains_ends_in_an_orderly_shutdown,
    nothing_acknowledged_is_lost_when_the_fleet_is_killed,
    a_cut_network_shows_as_offline_and_comes_back,
]


def alive(pid):
    """Whether a process runs; one that nobody waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def main():
    wanted = sys.argv[1:]
    shutil.rmtree(STATE, ignore_errors=True)
    fleet = Fleet()
    passed = failed = skipped = 0
    try:
        fleet.up()
        print(fleet.said, flush=True)
        for check in CHECKS:
            name = check.__name__.replace("_", " ")
            if wanted and check.__name__ not in wanted:
                continue
            try:
                remark = check(fleet)
            except Skip as reason:
                skipped += 1
                print(f"skip  {name}: {reason}", flush=True)
            except Exception as error:  # the run goes on with the next check
                failed += 1
                print(f"FAIL  {name}: {error!r}", flush=True)
            else:
                passed += 1
                print(f"ok    {name}" + (f": {remark}" if remark else ""),
                      flush=True)
    finally:
        fleet.down()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
