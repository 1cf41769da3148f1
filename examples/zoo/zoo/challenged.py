"""What the challenge saw of browsers, when every one of them meets it: rules for that, and the table."""

RULES = """\
[[route]]
name       = "everything"
paths      = ["/{*rest}", "/"]
origin     = "app"
clients    = "browser"
preset     = "relaxed"
thresholds = { throttle = "off", challenge = 0.95, block = 0.99, ban = "off" }

[[route.rule]]
name   = "whoever asks"
when   = { method = ["GET", "POST", "PUT", "DELETE"] }
action = "challenge"
"""

CATEGORIES = ("browser", "browser-automated")


def rules(folder):
    """A folder of rules by which everybody is challenged once."""
    made = folder / "challenged"
    made.mkdir()
    (made / "rules.toml").write_text(RULES)
    return made


def of(row):
    """How one client fared: the rung it reached, how long it took, and what its evidence showed."""
    steps = [record["challenge"] for record in row["records"] if "challenge" in record]
    solved = next((step for step in steps if step["step"] == "solved"), None)
    return {
        "shown": any(step["step"] == "shown" for step in steps),
        "rung": solved and solved["rung"],
        "took_ms": solved and solved.get("took_ms"),
        "evidence": sorted({name for step in steps for name in step.get("evidence", [])}),
        "refused": sorted({step["refusal"] for step in steps if step["step"] == "refused"}),
    }


def markdown(results, about):
    parts = [about]
    for category, title in zip(CATEGORIES, ("People's browsers", "Browsers that a program drives")):
        rows = [(row, of(row)) for row in results if row["category"] == category]
        met = [(row, seen) for row, seen in rows if seen["shown"]]
        told = [row for row, seen in met if seen["evidence"]]
        missed = [row["client"] for row, seen in met if not seen["evidence"]]
        parts.append(f"## {title}\n")
        parts.append(f"{len(met)} met the challenge, {sum(seen['rung'] is not None for _, seen in met)} got through, "
                     f"and {len(told)} ({100 * len(told) // max(1, len(met))} %) showed that a program drives them.\n")
        if category == "browser-automated":
            parts.append(f"Missed: {', '.join(missed) or 'none'}.\n")
        parts.append(table(rows))
    return "\n".join(parts)


def table(rows):
    lines = ["| client | version | kind | through by | after | evidence |", "|---|---|---|---|---|---|"]
    for row, seen in sorted(rows, key=lambda pair: pair[0]["client"].lower()):
        took = "–" if seen["took_ms"] is None else f"{seen['took_ms'] / 1000:.1f} s"
        through = seen["rung"] or ("not through" if seen["shown"] else "not challenged")
        if seen["refused"]:
            through += f" ({', '.join(seen['refused'])})"
        evidence = ", ".join(seen["evidence"]) or "nothing"
        lines.append(f"| {row['client']} | {row['version']} | {row['mode']} | {through} | {took} | {evidence} |")
    return "\n".join(lines) + "\n"
