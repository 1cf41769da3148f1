"""The service behind the gateway."""

import http.server
import json
import secrets
import threading
import zlib

from .shop import ANSWERS


class Origin(http.server.ThreadingHTTPServer):
    """Listens on a free port of loopback and keeps what reached it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def take_seen(self):
        """What came through since the last call: method, path and header fields of each request."""
        seen, self.seen = self.seen, []
        return seen

    def handle_error(self, request, client_address):
        """A connection that is cut is no event here."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        kind, body = ANSWERS.get(path, ("text/plain", b"no such page\n"))
        self.answer(200 if path in ANSWERS else 404, kind, body)

    do_HEAD = do_GET

    def do_POST(self):
        given = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.split("?")[0] != "/login":
            return self.do_GET()
        good = b"lovelace" in given and b"lovelace1" not in given
        return self.answer(200 if good else 401, "application/json", json.dumps({"ok": good}).encode())

    do_PUT = do_DELETE = do_POST

    def answer(self, status, kind, body):
        self.server.seen.append({"method": self.command, "path": self.path, "headers": self.headers.items()})
        tag = f'"{zlib.crc32(body):08x}"'
        static = self.command == "GET" and status == 200 and kind not in ("application/json", "text/event-stream")
        if static and self.headers.get("if-none-match") == tag:
            status, body = 304, b""
        self.send_response(status)
        self.send_header("content-type", kind)
        if status != 304:
            self.send_header("content-length", str(len(body)))
        if static:
            # To be asked about each time, as much of what changes seldom is.
            self.send_header("cache-control", "no-cache")
            self.send_header("etag", tag)
        else:
            self.send_header("cache-control", "no-store")
        self.send_header("set-cookie", f"sid={secrets.token_hex(8)}; Path=/; Secure; HttpOnly; SameSite=Lax")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        """The gateway's audit log tells it all."""
