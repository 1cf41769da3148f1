"""What is installed, in which version."""

import json
import os
import re
import shutil
import subprocess

LISTING = """\
import importlib.metadata, json
print(json.dumps([[package.name, package.version] for package in importlib.metadata.distributions()]))
"""


class Installed:
    """Versions of Debian, Python and npm packages, each list read once."""

    def __init__(self, home):
        self.python = home / "venv" / "bin" / "python"
        self.modules = home / "npm" / "node_modules"
        self.deb = self._debian()
        self.pip = self._pip()

    def version(self, source):
        """The version of `deb:PACKAGE`, `pip:PACKAGE`, `npm:PACKAGE` or `exe:COMMAND`; none where it is missing."""
        kind, name = source.split(":", 1)
        if kind == "deb":
            return self.deb.get(name)
        if kind == "pip":
            return self.pip.get(canonical(name))
        if kind == "npm":
            try:
                return json.loads((self.modules / name / "package.json").read_text())["version"]
            except OSError:
                return None
        if shutil.which(name) is None:
            return None
        said = run([name, "version" if name == "go" else "--version"])
        found = re.search(r"\d+(\.\d+)+", said)
        return found[0] if found else "?"

    def missing(self, client):
        """How to get what `client` lacks; none where it lacks nothing."""
        kind, name = client.source.split(":", 1)
        if self.version(client.source) is None:
            how = {"deb": "apt-get install", "pip": "pip install", "npm": "npm install", "exe": "install"}
            return f"{how[kind]} {name}"
        for need in client.needs:
            if shutil.which(need) is None and not os.path.exists(need):
                return f"install the command {need}"
        return None

    def _debian(self):
        lines = run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"]).splitlines()
        return {name: version for status, name, version in map(str.split, lines) if status == "installed"}

    def _pip(self):
        said = run([str(self.python), "-c", LISTING])
        return {canonical(name): version for name, version in json.loads(said or "[]")}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def run(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
