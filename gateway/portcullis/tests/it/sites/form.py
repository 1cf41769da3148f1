"""The example's form, sent by its own page as soon as it is there, and what its backend then answered.

Arguments: the folder of the example, and those of the form.
"""

import sys

sys.path.insert(0, sys.argv.pop(1))

from app import app, port  # noqa: E402
from flask import jsonify, request  # noqa: E402

outcomes = []

SEND = """<script>
addEventListener('load', function () {
  document.querySelector('[name=name]').value = 'Ann';
  document.querySelector('button').click();
});
</script>"""


@app.after_request
def watch(response):
    if request.path == "/" and request.method == "GET":
        response.set_data(response.get_data(as_text=True).replace("</html>", SEND + "</html>"))
    if request.path == "/" and request.method == "POST":
        outcomes.append({"status": response.status_code, "body": response.get_data(as_text=True)})
        # The page behind the form has the form once more, whose widget would work on a puzzle of its own.
        response.set_data("sent")
    return response


@app.route("/outcomes")
def told():
    return jsonify(outcomes)


app.run("127.0.0.1", int(port), threaded=True)
