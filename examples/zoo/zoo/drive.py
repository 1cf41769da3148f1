"""Runs one client against one gateway, and ends all that it started."""

import os
import pathlib
import signal
import subprocess
import time

from .sandbox import HOST

SITE = f"https://{HOST}"
# What a command may take. Scanners are cut here, which is as good as their end.
COMMAND_SECS = 15
# A driver waits for its page by itself, as long as 20 s.
DRIVER_SECS = 30
# A browser is over when its page is done, or nothing more comes.
BROWSER_SECS = 30
QUIET_SECS = 5
# A browser that was challenged works on the puzzle in silence.
PUZZLE_SECS = 20
FIREFOX_PREFERENCES = """\
user_pref("network.manage-offline-status", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
"""


class Driver:
    """Where clients run: their homes, their screens, their environment."""

    def __init__(self, home, work, certs, installed):
        self.home, self.work, self.certs, self.installed = home, work, certs, installed
        self.drivers = pathlib.Path(__file__).parent.parent / "drivers"
        self.words = work / "words"
        self.words.write_text("admin\nbackup\nlogin\nlovelace1\n")
        # Node looks for modules beside the script.
        (work / "node.mjs").write_bytes((self.drivers / "node.mjs").read_bytes())
        (work / "node_modules").symlink_to(installed.modules)
        self.go_cache = work / "go"
        self.authorities = self._certificate_database(work / "nss")

    def run(self, client, gateway, folder):
        """Runs every command of `client`; returns the last words of each that failed."""
        home = folder / "home"
        home.mkdir()
        self._furnish(home)
        # A screen holds on to what clients leave there, such as the address of a bus that is gone.
        display = Display()
        try:
            return self._run(client, gateway, home, display)
        finally:
            display.end()

    def _run(self, client, gateway, home, display):
        env = self._environment(client, home, display)
        complaints = []
        for command in client.commands:
            argv = [self._fill(part, home) for part in command]
            output = home.parent / "output"
            with open(output, "ab") as out:
                process = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=home, start_new_session=True
                )
                if client.endless:
                    self._watch(client, process, gateway)
                    code = 0
                else:
                    code = self._wait(process, client)
                end_strays(keep={gateway.process.pid, display.process.pid}, child=process)
            if code != 0:
                complaints.append(f"{argv[0].rsplit('/', 1)[-1]} ended with {code}: {complaint(output)}")
        return complaints

    def _wait(self, process, client):
        try:
            return process.wait(DRIVER_SECS if client.category == "browser-automated" else COMMAND_SECS)
        except subprocess.TimeoutExpired:
            return "no end"

    def _watch(self, client, process, gateway):
        begun = last = time.monotonic()
        seen = 0
        while time.monotonic() - begun < BROWSER_SECS and process.poll() is None:
            records = gateway.records()
            if any(record["path"] == "/api/done" for record in records):
                return
            if len(records) > seen:
                seen, last = len(records), time.monotonic()
            refused = client.script and any(record["action"] == "challenge" for record in records)
            if seen and time.monotonic() - last > (PUZZLE_SECS if refused else QUIET_SECS):
                return
            time.sleep(0.05)

    def _fill(self, part, home):
        return part.format(
            page=f"{SITE}/", api=f"{SITE}/api/items", login=f"{SITE}/login", site=SITE, host=HOST, home=home,
            words=self.words, authority=self.certs.authority, drivers=self.drivers, work=self.work,
            python=self.installed.python,
        )  # fmt: skip

    def _environment(self, client, home, display):
        bundle = str(self.certs.store / "ca-certificates.crt")
        kept = {name: os.environ[name] for name in ("PATH", "ZOO_INSIDE") if name in os.environ}
        runtime = home / "runtime"
        runtime.mkdir(mode=0o700)
        return {
            **kept,
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(runtime),
            "TMPDIR": str(home),
            "DISPLAY": display.name,
            "LANG": "en_US.UTF-8",
            "LANGUAGE": "en_US:en",
            "NO_AT_BRIDGE": "1",
            "GDK_BACKEND": "x11",
            "QT_QPA_PLATFORM": "xcb",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "SSL_CERT_FILE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            "CURL_CA_BUNDLE": bundle,
            "PERL_LWP_SSL_CA_FILE": bundle,
            "NODE_EXTRA_CA_CERTS": bundle,
            "GOCACHE": str(self.go_cache),
            "GO111MODULE": "off",
            "ZOO_CA": str(self.certs.authority),
            "ZOO_URL": SITE,
            "ZOO_CHROMIUM": "/usr/bin/chromium",
            "ZOO_MINIBROWSER": minibrowser(),
            **client.env,
        }

    def _certificate_database(self, folder):
        """What Chromium, QtWebEngine and Firefox read in place of the system's trust store."""
        folder.mkdir()
        make = (["-N", "--empty-password"], ["-A", "-n", "zoo", "-t", "C,,", "-i", str(self.certs.authority)])
        for step in make:
            try:
                subprocess.run(["certutil", "-d", f"sql:{folder}", *step], check=True, capture_output=True)
            except (OSError, subprocess.SubprocessError):
                return None
        return folder

    def _furnish(self, home):
        """Lays out a home that no client has used: profiles with the authority in them, and nothing else."""
        for place in (".pki/nssdb", "firefox", "firefox-resist"):
            (home / place).mkdir(parents=True)
            for file in self.authorities.iterdir() if self.authorities else ():
                (home / place / file.name).write_bytes(file.read_bytes())
        (home / "firefox" / "user.js").write_text(FIREFOX_PREFERENCES)
        resist = FIREFOX_PREFERENCES + 'user_pref("privacy.resistFingerprinting", true);\n'
        (home / "firefox-resist" / "user.js").write_text(resist)


def complaint(output):
    """The line that most likely says what went wrong: the last that speaks of an error, or the last."""
    lines = output.read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [""])[-1].strip()[:200]


class Display:
    """A screen that nobody sees."""

    def __init__(self):
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
        # It would begin anew whenever the last window is gone, and may miss the next client.
        command.append("-noreset")
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, pass_fds=[write], **quiet)
        os.close(write)
        # Ends with the number, or with Xvfb.
        with open(read) as numbers:
            number = numbers.readline().strip()
        if not number:
            raise RuntimeError("Xvfb did not start")
        self.name = f":{number}"

    def end(self):
        self.process.terminate()
        self.process.wait()


def minibrowser():
    from .clients import MINIBROWSER

    return MINIBROWSER


def end_strays(keep, child):
    """Ends every process of this run but those of `keep`, by its number, and waits until they are gone.

    All processes that can be seen here were started by this run: the run has a process namespace of its own.
    """
    keep = keep | {os.getpid()}
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        strays = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in keep]
        for pid in strays:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        # What has lost its parent is ours to bury.
        for pid in strays:
            if pid != child.pid:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
        child.poll()
        if not strays:
            return
        time.sleep(0.01)
    raise RuntimeError("some processes of a client do not end")
