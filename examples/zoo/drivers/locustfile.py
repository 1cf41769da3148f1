"""A user of locust who asks for the page, the API and the login once."""

import os

from locust import HttpUser, constant, task


class User(HttpUser):
    wait_time = constant(1)

    @task
    def visit(self):
        # It reads no environment.
        self.client.verify = os.environ["SSL_CERT_FILE"]
        self.client.get("/")
        self.client.get("/api/items")
        self.client.post("/login", json={"user": "ada", "password": "lovelace"})
        self.environment.runner.quit()
