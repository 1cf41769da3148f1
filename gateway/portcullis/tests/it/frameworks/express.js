// Arguments: a port, and `exact` where letters of a path are told apart by case, which is not the default.
const [port, letters] = process.argv.slice(2);

// Where Debian puts its packages; Node from elsewhere does not look there.
process.env.NODE_PATH = [process.env.NODE_PATH, "/usr/share/nodejs"].filter(Boolean).join(":");
require("module").Module._initPaths();

const express = require("express");
const app = express();
if (letters === "exact") app.enable("case sensitive routing");
app.use("/admin", (request, response) => response.type("text").send("ADMIN"));
app.use((request, response) => response.type("text").send("OTHER"));
app.listen(Number(port), "127.0.0.1");
