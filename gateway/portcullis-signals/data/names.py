#!/usr/bin/env python3
"""Writes `names.tsv`: what tells a crawler, library or scanner by its User-Agent, as plain words.

    python3 names.py CRAWLER_USER_AGENTS_JSON ISBOT_PATTERNS_JSON BROWSERS_JSONL > names.tsv

The sources are lists of regular expressions; one automaton over words is several times faster than one over
them, and takes linear time whatever the input. So each expression becomes the words that a match must contain,
and is kept only where the words still find every example of the source and none of the browsers:

- crawler-user-agents 1.67.0 (2026-10-22), MIT: https://github.com/monperrus/crawler-user-agents
- isbot 5.2.3 (npm), Unlicense: https://github.com/omrilotan/isbot
- user-agents 2.1.198 (npm), BSD-2-Clause: only read to check, nothing of it is kept

Columns: kind, name, word in lower case, where it must begin (`^`: at the start of the text), what must follow
(`b`: no letter or digit), and words that may not stand around it (`-x`: not before it, `+x`: not behind it).
"""

import json
import re
import sys

KINDS = {"scanner": "scanner", "http-library": "library", "browser-automation": "automated"}

# The six expressions of isbot that look around themselves, by hand: word, where, behind, not around.
LOOKING = [("google", "", "", ["-channel/", "-google/", "+wv", "+app", "+/google", "+ pixel"]), ("news", "", "", ["-g", "+sapphire"]),
           ("bot", "", "b", ["- cu"]), ("bots", "", "b", ["- cu"]), ("scan", "", "", ["-cam"]), ("http", "", "", ["-lib"]), ("java", "", "", ["+;"])]

# A browser, whatever the source thinks of it.
BROWSERS = {"netsurf"}


def words(pattern):
    """The plain words of one expression, or none where it is not made of them."""
    start = pattern.startswith("^")
    body = pattern[1:] if start else pattern
    behind = ""
    if body.endswith("\\b"):
        body, behind = body[:-2], "b"
    body = re.sub(r"\(\[\^[^\]]*\]\|\$\)$", "", body).strip("()") if body.count("(") <= 1 else body
    if body.startswith("\\b"):
        body = body[2:]
    body = re.sub(r"\[(\w)(\w)\]", lambda m: m[1] if m[1].lower() == m[2].lower() else m[0], body)
    body = re.sub(r"\[([^\]\\])([^\]\\])\]$", "", body) if body.endswith("]") else body
    body = re.sub(r"\\d$", "", body)
    body = re.sub(r"\\([./\-+ !:()])", r"\1", body) if not re.search(r"\\[wWdDsSbB]", body) else body
    if re.search(r"[\\\[\]{}|*?+^$()]", body) and not re.fullmatch(r"[^\\\[\]{}|*?^$]*", body):
        return None
    return (body.lower(), "^" if start else "", behind)


def found(word, where, behind, around, text):
    text, at = text.lower(), -1
    while True:
        at = text.find(word, at + 1)
        if at < 0:
            return False
        end = at + len(word)
        if where == "^" and at:
            return False
        if behind == "b" and text[end:end + 1].isalnum():
            continue
        if any(text[:at].endswith(a[1:]) if a[0] == "-" else text[end:].startswith(a[1:]) for a in around):
            continue
        return True


def main(crawlers, isbot, browsers):
    people = [json.loads(line)["ua"] for line in open(browsers)]
    rows = {}

    def keep(kind, name, word, where, behind, around):
        if len(word) < 3 or word in BROWSERS or word.strip() != word and len(word.strip()) < 3:
            return
        if "\t" in word or any(found(word, where, behind, around, ua) for ua in people):
            return
        rows.setdefault(word, (kind, name, where, behind, around))

    for entry in json.load(open(crawlers)):
        made = words(entry["pattern"])
        if not made or not all(found(*made, [], ua) for ua in entry["instances"]):
            continue
        kind = next((KINDS[tag] for tag in entry["tags"] if tag in KINDS), "crawler")
        name = re.sub(r"[^a-z0-9.]+", "-", made[0]).strip("-") or "crawler"
        keep(kind, name, *made, [])
    for pattern in json.load(open(isbot)):
        made = words(pattern)
        if made:
            keep("bot", "bot-like", *made, [])
    for word, where, behind, around in LOOKING:
        keep("bot", "bot-like", word, where, behind, around)
    print("# Words that tell what a User-Agent is, written by names.py, which says where they come from.")
    for word in sorted(rows):
        kind, name, where, behind, around = rows[word]
        print("\t".join([kind, name, word, where, behind, " ".join(a.replace(" ", "\\s") for a in around)]))


main(*sys.argv[1:])
