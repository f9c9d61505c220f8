"""An agent to test, and plain Redfish requests to it."""

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

START = 30.0  # seconds an agent has to come up
STOP = 15.0  # and to go


class Service:
    """A Redfish service at a URL; without `ca`, any certificate is taken."""

    def __init__(self, url, user, password, ca=None):
        self.url = url.rstrip("/")
        self.user = user
        self.password = password
        self.ca = ca

    @property
    def host(self):
        return self.url.split("//", 1)[1]

    def request(self, method, path, body=None):
        """The answer to a request: its body and its headers."""
        login = base64.b64encode(f"{self.user}:{self.password}".encode())
        headers = {"Content-Type": "application/json"}
        if self.user:
            headers["Authorization"] = f"Basic {login.decode()}"
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode() if body else None,
            headers, method=method,
        )
        trust = ssl.create_default_context(cafile=self.ca)
        if not self.ca:
            trust.check_hostname = False
            trust.verify_mode = ssl.CERT_NONE
        with urllib.request.urlopen(request, context=trust, timeout=10) as r:
            text = r.read()
            return json.loads(text) if text else None, r.headers

    def get(self, path):
        return self.request("GET", path)[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def facts(self):
        """What the service says of itself, for a report."""
        root = self.get("/redfish/v1/")
        found = {"Address": self.url, "User": self.user}
        for name in ("Vendor", "Product", "RedfishVersion", "UUID"):
            if root.get(name):
                found[name] = root[name]
        try:
            managers = self.get(root["Managers"]["@odata.id"])["Members"]
            manager = self.get(managers[0]["@odata.id"])
        except (KeyError, IndexError, TypeError, OSError, ValueError):
            return found
        for name in ("Manufacturer", "Model", "FirmwareVersion"):
            if isinstance(manager, dict) and manager.get(name):
                found[f"Manager {name}"] = manager[name]
        return found

    def tree(self):
        """Every resource that links lead to, by URI; with a session open."""
        body = {"UserName": self.user, "Password": self.password}
        sessions = "/redfish/v1/SessionService/Sessions"
        _, headers = self.request("POST", sessions, body)
        found, ahead = {}, ["/redfish/v1"]
        while ahead:
            uri = ahead.pop()
            if uri in found or "#" in uri:
                continue
            found[uri] = self.get(uri)
            ahead += [link for link in links(found[uri])
                      if link.startswith("/redfish/v1/")]
        self.request("DELETE", headers["Location"])
        return found

    def system(self):
        return self.get("/redfish/v1/Systems")["Members"][0]["@odata.id"]

    def chassis(self):
        return self.get("/redfish/v1/Chassis")["Members"][0]["@odata.id"]

    def wait_power(self, state):
        """Waits until the first system is in this power state."""
        system, until = self.system(), time.monotonic() + START
        while self.get(system)["PowerState"] != state:
            assert time.monotonic() < until, f"the system is not {state}"
            time.sleep(0.2)


def links(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "@odata.id" and isinstance(inner, str):
                yield inner.rstrip("/")
            else:
                yield from links(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from links(inner)


def configured(options):
    """Keys of the agent's configuration, as its environment has them."""
    return {f"ONPREM_BMC_{name.upper()}": value
            for name, value in options.items()}


class Process:
    """A program of ours that runs in an empty state directory of its own."""

    def __init__(self, program, state, *arguments, **options):
        self.name = Path(program).name
        self.state = Path(state)
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True)
        command = [program, "--state-dir", self.state, *arguments]
        self.log = (self.state / "log").open("w")
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL,
            env={**os.environ, **options},
            stdout=self.log, stderr=self.log,
        )
        told = self.state / "addresses.json"
        self.wait("it does not start", lambda: told.exists())
        self.addresses = json.loads(told.read_text())

    def wait(self, what, condition):
        until = time.monotonic() + START
        while not condition():
            late = time.monotonic() > until
            if late or self.process.poll() is not None:
                self.stop()
                log = (self.state / "log").read_text()[-3000:]
                raise AssertionError(f"{self.name}: {what}:\n{log}")
            time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        ended = self.stop()
        assert failed or ended == 0, f"{self.name} ended with {ended}"


class Agent(Process, Service):
    """An agent of this run, on a simulated board or on this host."""

    def __init__(self, program, state, board=None, **options):
        arguments = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
        if board:
            arguments += ["--board", board]
        Process.__init__(self, program, state, *arguments, **configured(options))
        password = (self.state / "initial-password").read_text().strip()
        Service.__init__(self, self.addresses["redfish"], "admin", password)

    def join(self, fleet):
        """Joins a fleet as a client of Redfish would let it."""
        connections = "/redfish/v1/AccountService/OutboundConnections"
        _, headers = self.request("POST", connections, {
            "EndpointURI": fleet.addresses["devices"],
            "Authentication": "MTLS",
            "Roles": ["Administrator", "Operator", "ReadOnly"],
            "WebSocketPingIntervalMinutes": 0,
            "PreUpgradeHTTPHeaders": {"Authorization": f"Bearer {fleet.token()}"},
        })
        place = headers["Location"]
        self.wait("it does not join the fleet",
                  lambda: self.get(place)["Status"]["State"] == "Enabled")


class Fleet(Process):
    """A fleet of this run."""

    def __init__(self, program, state):
        super().__init__(program, state, "--listen", "127.0.0.1:0",
                         "--devices-listen", "127.0.0.1:0")

    def token(self):
        """A join token."""
        return self.post("/v1/join-tokens", {"description": "conformance"})["token"]

    def post(self, path, body):
        login = (self.state / "initial-token").read_text().strip()
        request = urllib.request.Request(
            self.addresses["api"] + path, json.dumps(body).encode(),
            {"Content-Type": "application/json",
             "Authorization": f"Bearer {login}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
