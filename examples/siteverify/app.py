"""A sign-up form with the widget. It asks siteverify by Flask-WTF's own reCAPTCHA field, nothing of it is changed.

Arguments: the port of the form, where the gateway's paths are, the site key, and the file with the secret.
"""

import sys

from flask import Flask, render_template_string
from flask_wtf import FlaskForm
from flask_wtf.recaptcha import RecaptchaField
from wtforms import StringField

port, gateway, key, secret_file = sys.argv[1:]

app = Flask(__name__)
app.config.update(
    SECRET_KEY="for the form's own token; a secret of its own in production",
    # All that moves a form from reCAPTCHA to the gateway:
    RECAPTCHA_PUBLIC_KEY=key,
    RECAPTCHA_PRIVATE_KEY=open(secret_file).read().strip(),
    RECAPTCHA_VERIFY_SERVER=gateway + "siteverify",
    RECAPTCHA_HTML=f"""
      <portcullis-widget site-key="{key}" response-field="g-recaptcha-response"></portcullis-widget>
      <script src="{gateway}widget.js" defer></script>""",
)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sign up</title>
<h1>Sign up</h1>
{% if done %}<p id="done">Welcome, {{ form.name.data }}.</p>{% endif %}
{% for errors in form.errors.values() %}<p class="error">{{ errors | join(" ") }}</p>{% endfor %}
<form method="post">
  {{ form.csrf_token }}
  <p><label>Name {{ form.name }}</label></p>
  {{ form.recaptcha }}
  <p><button>Sign up</button></p>
</form>
</html>
"""


class SignUp(FlaskForm):
    name = StringField()
    recaptcha = RecaptchaField()


@app.route("/", methods=["GET", "POST"])
def sign_up():
    form = SignUp()
    done = form.validate_on_submit()
    return render_template_string(PAGE, form=form, done=done), 200 if done or not form.errors else 403


if __name__ == "__main__":
    app.run("localhost", int(port), threaded=True)
