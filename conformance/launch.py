"""Runs one of the DMTF tools with arguments that nobody else can read.

A process's arguments are open to everybody on a machine, and the tools want
the password there. So this reads {"tool", "arguments", "ca"} from its standard
input and puts them where the tool looks for them. With `ca`, the tools that
check no certificate by themselves check it against that file.
"""

import json
import runpy
import sys


def check_certificates(ca):
    from redfish.rest import v1

    begin = v1.RestClientBase.__init__

    def checked(self, *args, **kwargs):
        kwargs["cafile"] = ca
        begin(self, *args, **kwargs)

    v1.RestClientBase.__init__ = checked


def main():
    order = json.load(sys.stdin)
    sys.argv = [order["tool"], *order["arguments"]]
    sys.path.pop(0)  # this folder: no tool shall find our modules
    if order["ca"]:
        check_certificates(order["ca"])
    runpy.run_path(order["tool"], run_name="__main__")


if __name__ == "__main__":
    main()
