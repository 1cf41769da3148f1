"""A private authority and a certificate for the gateway, good for the run."""

import dataclasses
import pathlib
import shutil
import subprocess

from .sandbox import HOST


@dataclasses.dataclass
class Certs:
    authority: pathlib.Path
    chain: pathlib.Path
    key: pathlib.Path
    # A folder as OpenSSL and GnuTLS read it: the bundle, and the authority under the hash of its name.
    store: pathlib.Path


def make(folder):
    folder.mkdir()

    def openssl(*args):
        done = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def key(path):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)

    key("ca.key")
    openssl(
        "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Zoo authority", "-days", "2", "-out", "ca.crt",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )
    key("leaf.key")
    openssl("req", "-new", "-key", "leaf.key", "-subj", f"/CN={HOST}", "-out", "leaf.csr")
    (folder / "leaf.ext").write_text(
        f"subjectAltName=DNS:{HOST},DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
        "keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n"
    )
    openssl(
        "x509", "-req", "-in", "leaf.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", "0x5a6f6f", "-days", "2",
        "-out", "leaf.crt", "-extfile", "leaf.ext",
    )
    store = folder / "store"
    store.mkdir()
    shutil.copy(folder / "ca.crt", store / "ca-certificates.crt")
    name = openssl("x509", "-in", "ca.crt", "-noout", "-hash")
    shutil.copy(folder / "ca.crt", store / f"{name}.0")
    return Certs(folder / "ca.crt", folder / "leaf.crt", folder / "leaf.key", store)
