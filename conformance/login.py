"""A login for one run, where requests need none: through `onprem proxy`."""

import secrets

ACCOUNTS = "/redfish/v1/AccountService/Accounts"


class Login:
    """Makes an account on the device, and deletes it in the end."""

    def __init__(self, target, role):
        self.target = target
        self.role = role
        self.uri = None

    def __enter__(self):
        name = f"conformance-{secrets.token_hex(3)}"
        # Letters of each kind, for services with rules.
        password = f"Aa1-{secrets.token_urlsafe(18)}"
        body = {"UserName": name, "Password": password, "RoleId": self.role}
        made, headers = self.target.request("POST", ACCOUNTS, body)
        self.uri = headers.get("Location") or made["@odata.id"]
        self.target.user, self.target.password = name, password

    def __exit__(self, *_):
        if self.uri:
            # The account cannot be relied on to delete itself.
            self.target.user, self.target.password = "", ""
            self.target.request("DELETE", self.uri)
