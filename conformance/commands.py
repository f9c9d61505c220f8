"""What people type: redfishtool and DMTF's tacklebox, one command a check."""

import json

from tools import call

TAG = "c001-b8-n01"
USER = "conformance"
PASSWORD = "Blue-Kettle-42"


class Commands:
    """Runs commands of the two tool sets against a service."""

    def __init__(self, bmc, check):
        self.bmc = bmc
        self.check = check
        secure = "Always" if bmc.url.startswith("https") else "IfSendingCredentials"
        self.redfishtool_base = [
            "-r", bmc.host, "-u", bmc.user, "-p", bmc.password,
            "-S", secure, "-A", "Session" if secure == "Always" else "None",
        ]
        self.tacklebox_base = [
            "-r", bmc.url, "-u", bmc.user, "-p", bmc.password,
        ]

    def redfishtool(self, *args, shows=None, then=None):
        self.run("redfishtool", [*self.redfishtool_base, *args], args, shows, then)

    def tacklebox(self, tool, *args, shows=None, then=None):
        self.run(tool, [*self.tacklebox_base, *args], args, shows, then)

    def run(self, tool, words, args, shows, then):
        def command():
            content, said = call(tool, *words)
            assert content, said[-2000:]
            if shows:
                assert shows in said, f"no {shows!r} in:\n{said[-2000:]}"
            if then:
                then()

        self.check(" ".join([tool, *args]), command)

    def power(self, state):
        return lambda: self.bmc.wait_power(state)

    def tagged(self, tag):
        def tagged():
            found = self.bmc.get(self.bmc.system())["AssetTag"]
            assert found == tag, found

        return tagged

    def reading(self):
        """Commands that change nothing."""
        self.redfishtool("versions", shows="/redfish/v1/")
        self.redfishtool("root", shows="RedfishVersion")
        self.redfishtool("Systems", shows="Members")
        self.redfishtool("Systems", "list", shows="/redfish/v1/Systems/")
        self.redfishtool("Systems", "-F", shows="PowerState")
        self.redfishtool("Systems", "-F", "Processors", "list", shows="Processors/")
        self.redfishtool("Systems", "-F", "EthernetInterfaces", shows="Members")
        self.redfishtool("Chassis", "-F", shows="ChassisType")
        self.redfishtool("Managers", "-F", shows="ManagerType")
        self.redfishtool("AccountService", "Accounts", "list", shows=self.bmc.user)
        self.redfishtool("AccountService", "Roles", "list", shows="Administrator")
        self.redfishtool("SessionService", shows="SessionTimeout")
        self.redfishtool("odata", shows="value")
        # Its own `Chassis Sensors` wants the deprecated Thermal.
        sensors = self.bmc.chassis() + "/Sensors"
        self.redfishtool("raw", "GET", sensors, shows="Members")
        self.tacklebox("rf_sys_inventory.py")
        self.tacklebox("rf_sensor_list.py")
        self.tacklebox("rf_power_reset.py", "--info", shows="ForceRestart")
        self.tacklebox("rf_manager_config.py", "info")
        self.tacklebox("rf_raw_request.py", "-req", "/redfish/v1", shows="UUID")

    def writing(self):
        """Commands that change the blade; it must be a simulated one."""
        self.redfishtool("Systems", "-F", "setAssetTag", TAG, then=self.tagged(TAG))
        self.redfishtool("Systems", "-F", "reset", "ForceOff", then=self.power("Off"))
        self.redfishtool("Systems", "-F", "reset", "On", then=self.power("On"))
        self.tacklebox("rf_power_reset.py", "-t", "ForceRestart", then=self.power("On"))
        body = json.dumps({"AssetTag": TAG + "-b"})
        self.redfishtool("raw", "PATCH", self.bmc.system(), "-d", body,
                         then=self.tagged(TAG + "-b"))

    def accounts(self):
        """Commands on accounts, subscriptions and sessions of the agent."""
        self.redfishtool("AccountService", "adduser", USER, PASSWORD, "ReadOnly")
        self.tacklebox("rf_accounts.py", shows=USER)
        self.tacklebox("rf_accounts.py", "--setrole", USER, "Operator")
        self.redfishtool("AccountService", "deleteuser", USER)
        self.tacklebox("rf_accounts.py", "--add", USER, PASSWORD, "Operator")
        self.tacklebox("rf_accounts.py", "--delete", USER)
        self.tacklebox("rf_event_service.py", "info")
        self.redfishtool("SessionService", "Sessions", "list")
