"""Argument: a port."""

import sys

from flask import Flask

app = Flask(__name__, static_folder=None)


@app.route("/admin")
@app.route("/admin/")
@app.route("/admin/<path:rest>")
def admin(rest=""):
    return "ADMIN"


@app.route("/")
@app.route("/<path:rest>")
def other(rest=""):
    return "OTHER"


app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
