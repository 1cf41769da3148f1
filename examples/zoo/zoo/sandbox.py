"""A place of its own for the run: no network but loopback, no process of others, a name and a trust store."""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading

INSIDE = "ZOO_INSIDE"
HOST = "shop.example"


def enter(argv):
    """Runs this program again within namespaces of its own, unless it runs there already.

    Mounts, so that `shop.example` and the private authority are known to every client without a change to the
    machine; the network, so that nothing can leave it and ports are free; processes, so that a client which leaves
    something behind cannot leave it for long.
    """
    if os.environ.get(INSIDE):
        return
    unshare = shutil.which("unshare")
    if unshare is None:
        sys.exit("zoo: `unshare` (util-linux) is not installed; see examples/zoo/setup")
    options = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    if os.geteuid() != 0:
        options.append("--map-root-user")
    probe = subprocess.run([unshare, *options, "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        sys.exit(f"zoo: namespaces cannot be made here: {probe.stderr.strip()}")
    env = {**os.environ, INSIDE: "1"}
    os.execve(unshare, [unshare, *options, sys.executable, *argv], env)


def loopback_up():
    """Brings up the loopback device of this network namespace, with a second address beside 127.0.0.1.

    Some resolvers (GLib's) look up no name on a machine that has loopback addresses only.
    """
    SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8913, 0x8914, 0x8916, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton("192.0.2.1"))
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16s16s", b"lo:1", address))


def lay_over(folder, certs):
    """Puts names and a trust store with the run's own authority over those of the machine."""
    for path, text in (("/etc/hosts", f"127.0.0.1 localhost {HOST}\n"), ("/etc/resolv.conf", "nameserver 127.0.0.1\n")):
        ours = folder / path.rsplit("/", 1)[-1]
        ours.write_text(text)
        bind(ours, os.path.realpath(path))
    if os.path.isdir("/etc/ssl/certs"):
        bind(certs.store, "/etc/ssl/certs")


class NameServer:
    """Answers clients that read no hosts file: the shop is on loopback, and nothing else is anywhere."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        shop = b"".join(bytes([len(label)]) + label.encode() for label in HOST.split(".")) + b"\0"
        while True:
            query, asker = self.socket.recvfrom(1500)
            name, kind = query[12:12 + len(shop)], query[12 + len(shop):14 + len(shop)]
            known = name.lower() == shop
            found = known and kind == b"\0\1"
            end = query.find(b"\0", 12) + 5
            flags = b"\x81\x80" if known else b"\x81\x83"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if found else b""
            counts = struct.pack(">4H", 1, 1 if found else 0, 0, 0)
            self.socket.sendto(query[:2] + flags + counts + query[12:end] + answer, asker)


def bind(source, target):
    MS_BIND = 4096
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None) != 0:
        number = ctypes.get_errno()
        sys.exit(f"zoo: {source} cannot be mounted over {target}: {os.strerror(number)}")
