"""The gateway under test: started afresh for each client, read by its audit log."""

import json
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

ADMIN = "127.0.0.1:9090"
SETTINGS = """\
rules = {rules}

[[listener]]
name    = "https"
address = "127.0.0.1:443"
tls     = true

[[certificate]]
chain = {chain}
key   = {key}

[[origin]]
name    = "app"
servers = ["127.0.0.1:{port}"]

[audit]
path    = {audit}
allowed = "all"

[admin]
address = "{admin}"
"""


class Gateway:
    """One gateway process, and the records it has written.

    Every client gets a new one. What the gateway remembers (rates, failures, bans, cookies, prints) would mix
    clients otherwise, since all of them come from one address; to raise what is usual instead would test other rules
    than those that are shipped.
    """

    def __init__(self, binary, rules, certs, origin_port, folder):
        self.folder = folder
        self.audit = folder / "audit.jsonl"
        settings = folder / "portcullis.toml"
        quoted = {"rules": rules, "chain": certs.chain, "key": certs.key, "audit": self.audit}
        settings.write_text(
            SETTINGS.format(
                port=origin_port, admin=ADMIN, **{name: json.dumps(str(path)) for name, path in quoted.items()}
            )
        )
        self.log = open(folder / "gateway.log", "wb")
        self.process = subprocess.Popen(
            [binary, "run", "--config", settings], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        self.wait_until_ready()

    def wait_until_ready(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://{ADMIN}/ready", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        self.end()
        raise RuntimeError("the gateway did not get ready:\n" + (self.folder / "gateway.log").read_text()[-4000:])

    def records(self):
        """The audit records so far; a line that is being written is left for the next call."""
        if not self.audit.exists():
            return []
        whole, _, _ = self.audit.read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines() if line]

    def end(self):
        """Ends the process, which writes its last records first."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def version(binary):
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def monitored(rules, folder):
    """A copy of the rules that decides and records, and alters no response."""
    copy = folder / "rules"
    shutil.copytree(rules, copy)
    changed = 0
    for path in copy.glob("*.toml"):
        lines = path.read_text().split("\n")
        for at, line in enumerate(lines):
            if line.split("#")[0].replace(" ", "") == 'mode="enforce"':
                lines[at] = 'mode = "monitor"'
                changed += 1
        path.write_text("\n".join(lines))
    if changed != 1:
        raise RuntimeError(f"expected one `mode = \"enforce\"` in {rules}, but found {changed}")
    return copy
