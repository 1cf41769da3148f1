"""What the gateway decided, by client and by category, as Markdown."""

from .clients import CATEGORIES

# From the mildest on.
ACTIONS = ("allow", "throttle", "challenge", "step_up", "block", "ban")
KINDS = {"page": ("GET", "/"), "api": ("GET", "/api/items"), "login": ("POST", "/login")}
NONE = "–"


def rank(action):
    return ACTIONS.index(action) if action in ACTIONS else len(ACTIONS)


def result(client, version, records, complaints, seen):
    """What is kept of one client."""
    worst = max(records, key=lambda record: (rank(record["verdict"]), record["score"]), default=None)
    return {
        "client": client.name,
        "version": version,
        "category": client.category,
        "mode": client.mode,
        "trust": client.trust or "trust store",
        **{kind: of_kind(records, *request) for kind, request in KINDS.items()},
        "worst": worst and worst["verdict"],
        "score": max((record["score"] for record in records), default=None),
        "cause": worst and cause(worst),
        "reasons": reasons(worst) if worst else [],
        "requests": len(records),
        "http": sorted({record["http"] for record in records}),
        "ja4": sorted({record["ja4"] for record in records if record.get("ja4")}),
        "complaints": complaints,
        "records": records,
        "seen": seen,
    }


def of_kind(records, method, path):
    """The worst that was decided of requests of one kind."""
    verdicts = [record["verdict"] for record in records if (record["method"], record["path"]) == (method, path)]
    return max(verdicts, key=rank, default=None)


def cause(record):
    return record.get("rule") or record.get("limit") or record["cause"]


def reasons(record):
    return [reason["signal"] for reason in record["reasons"] if reason["points"] > 0]


def markdown(results, missing, about):
    parts = [about, "## By category\n", by_category(results)]
    for category, what in CATEGORIES.items():
        rows = [row for row in results if row["category"] == category]
        if rows:
            parts += [f"## {category}: {what}\n", by_client(rows)]
    parts += ["## What stands out\n", findings(results)]
    parts += ["## Requests of real browsers that raised anything\n", doubts(results)]
    if missing:
        lines = "".join(f"- {name}: `{how}`\n" for name, how in missing)
        parts += ["## Not installed\n", lines]
    return "\n".join(parts)


def by_category(results):
    lines = [
        "| category | clients | challenged or worse on the page | on the API | on the login | anywhere | blocked |",
        "|---|---|---|---|---|---|---|",
    ]
    for category in CATEGORIES:
        rows = [row for row in results if row["category"] == category and row["worst"]]
        if rows:
            cells = [share(rows, kind, "challenge") for kind in (*KINDS, "worst")] + [share(rows, "worst", "block")]
            lines.append(f"| {category} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def share(rows, key, least):
    """How many of those that made such a request met `least` or worse."""
    asked = [row for row in rows if row[key]]
    met = sum(rank(row[key]) >= rank(least) for row in asked)
    return f"{met} of {len(asked)}" if asked else NONE


def by_client(rows):
    lines = [
        "| client | version | kind | HTTP | page | API | login | worst | score | reasons of the worst |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: row["client"].lower()):
        why = ", ".join(row["reasons"][:6])
        if row["cause"] not in (None, "score", "clear"):
            why = f"{row['cause']}; {why}" if why else row["cause"]
        score = NONE if row["score"] is None else f"{row['score']:.2f}"
        kinds = " | ".join(row[kind] or NONE for kind in KINDS)
        lines.append(
            f"| {row['client']} | {row['version']} | {row['mode']} | {', '.join(row['http'])} | {kinds} | "
            f"{row['worst'] or 'not seen'} | {score} | {why} |"
        )
    return "\n".join(lines) + "\n"


def findings(results):
    def challenged(row, key="worst"):
        return row[key] is not None and rank(row[key]) >= rank("challenge")

    def let_through(row):
        return row["page"] is not None and not challenged(row, "page")

    tools = [row for row in results if row["category"] not in ("browser", "browser-automated", "impersonator")]
    groups = (
        (
            "real browsers challenged or worse on the page, the API or the login",
            only(results, "browser", lambda row: any(challenged(row, kind) for kind in KINDS)),
        ),
        ("real browsers challenged or worse on anything", only(results, "browser", challenged)),
        ("automated browsers that show nothing", only(results, "browser-automated", lambda row: not challenged(row))),
        ("tools let through on the page", [row for row in tools if let_through(row)]),
        ("impersonators let through on the page", only(results, "impersonator", let_through)),
        ("impersonators challenged nowhere", only(results, "impersonator", lambda row: not challenged(row))),
        ("clients that made no request", [row for row in results if not row["worst"]]),
    )
    lines = [f"- {title}: {', '.join(row['client'] for row in rows) or 'none'}" for title, rows in groups]
    return "\n".join(lines) + "\n"


def doubts(results):
    """Each kind of request of a person's browser that scored at all: what a rule may be wrong about."""
    lines = ["| client | request | HTTP | action | score | reasons |", "|---|---|---|---|---|---|"]
    for row in results:
        kinds = {}
        for record in row["records"] if row["category"] == "browser" else ():
            if record["score"] > 0 or rank(record["verdict"]) > 0:
                kinds.setdefault((record["method"], record["path"], record["verdict"]), record)
        for (method, path, verdict), record in kinds.items():
            why = ", ".join(reasons(record)) or cause(record)
            lines.append(
                f"| {row['client']} | {method} {path} | {record['http']} | {verdict} | {record['score']:.2f} | {why} |"
            )
    return "\n".join(lines) + "\n" if len(lines) > 2 else "None.\n"


def only(results, category, test):
    return [row for row in results if row["category"] == category and row["worst"] and test(row)]
