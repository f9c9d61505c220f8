#!/usr/bin/env python3
"""A mock-up from a folder, as a plain static service: mockup.py FOLDER [PORT].

It is no good Redfish service: no login, no ETag, no write. The judges must
say so, each in its way, and none of that may be taken for a pass.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def handler(folder):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = self.path.split("?")[0].split("#")[0].strip("/")
            path = path.removeprefix("redfish/v1").strip("/")
            if self.path.rstrip("/") == "/redfish":
                return self.answer(200, b'{"v1": "/redfish/v1/"}')
            for name in ("index.json", "index.xml"):
                file = (folder / path / name).resolve()
                if file.is_file() and folder in file.parents:
                    return self.answer(200, file.read_bytes(), name)
            return self.answer(404, b"{}")

        def do_POST(self):
            # The tools insist on a session; this one is as good as any.
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            place = "/redfish/v1/SessionService/Sessions"
            if self.path.rstrip("/") != place:
                return self.answer(405, b"{}")
            body = json.dumps({"@odata.id": place + "/1", "Id": "1"}).encode()
            headers = {"X-Auth-Token": "mockup", "Location": place + "/1"}
            return self.answer(201, body, headers=headers)

        def do_DELETE(self):
            self.answer(204, b"")

        def answer(self, status, body, name="index.json", headers=None):
            kind = "xml" if name.endswith("xml") else "json"
            self.send_response(status)
            self.send_header("Content-Type", f"application/{kind}")
            self.send_header("Content-Length", str(len(body)))
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


class Mockup:
    """The server while it is needed, at `url`."""

    def __init__(self, folder, port=0):
        address = ("127.0.0.1", port)
        folder = Path(folder).resolve()
        self.server = ThreadingHTTPServer(address, handler(folder))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    served = Mockup(sys.argv[1], int((sys.argv[2:] or ["0"])[0]))
    print(served.url, flush=True)
    try:
        served.server.serve_forever()
    except KeyboardInterrupt:
        pass
