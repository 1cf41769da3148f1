"""The clients: what each is, what it needs, and the commands that drive it.

In a command `{page}`, `{api}`, `{login}`, `{site}` and `{host}` stand for addresses, `{home}` for the client's own
empty home folder, `{words}` for a short list of words, `{authority}` for the certificate of the run's authority and
`{drivers}` for the folder of the drivers.
"""

import dataclasses
import glob

JSON = '{{"user":"ada","password":"lovelace"}}'
JSON_TYPE = "content-type: application/json"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
OLD_CHROME = "Mozilla/5.0 (Windows NT 5.1) AppleWebKit/534.25 (KHTML, like Gecko) Chrome/12.0.706.0 Safari/534.25"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
MINIBROWSER = next(iter(sorted(glob.glob("/usr/lib/*/webkit2gtk-4.*/MiniBrowser"), reverse=True)), "MiniBrowser")

CATEGORIES = {
    "browser": "a person could be behind it",
    "browser-automated": "a browser that a program drives",
    "impersonator": "a program that claims to be a browser",
    "library": "an HTTP library that says what it is",
    "cli": "a command line client",
    "crawler": "follows links",
    "scanner": "looks for weaknesses",
    "loadtool": "makes load",
}


@dataclasses.dataclass(frozen=True)
class Client:
    name: str
    category: str
    mode: str
    # Where its version is known: deb:PACKAGE, pip:PACKAGE, npm:PACKAGE or exe:COMMAND.
    source: str
    # One after the other; each ends by itself, but a browser's.
    commands: tuple
    needs: tuple = ()
    env: dict = dataclasses.field(default_factory=dict)
    # Browsers are ended when their page is done; `script` says whether that can be told.
    endless: bool = False
    script: bool = True
    # What makes it trust the run's authority, where it is not the trust store.
    trust: str = ""


def tool(name, category, source, *commands, mode="", exe=None, trust=""):
    return Client(name, category, mode, source, commands, (exe or commands[0][0],), trust=trust)


def browser(name, source, *command, mode="headful", category="browser", script=True, env=None, trust=""):
    return Client(name, category, mode, source, (command,), (command[0],), env or {}, True, script, trust)


def python(name, category, package, driver, variant="", mode="", script="libraries.py", needs=(), trust=""):
    command = ("{python}", "{drivers}/" + script, driver, *([variant] if variant else []))
    return Client(name, category, mode, f"pip:{package}", (command,), needs, trust=trust)


def node(name, category, package, driver, mode="", needs=(), trust=""):
    source = f"npm:{package}" if package else "exe:node"
    return Client(name, category, mode, source, (("node", "{work}/node.mjs", driver),), ("node", *needs), trust=trust)


def script(name, source, *command, needs=(), category="library", mode=""):
    return Client(name, category, mode, source, (command,), (command[0], *needs))


def curl(name, *options, category="cli", mode=""):
    base = ("curl", "-sS", "-o", "{home}/out", *options)
    post = ("-H", JSON_TYPE, "-d", JSON)
    return tool(name, category, "deb:curl", (*base, "{page}"), (*base, "{api}"), (*base, *post, "{login}"), mode=mode)


def wget(name, command, *options, category="cli", mode=""):
    base = (command, "-q", "-O", "{home}/out", "--tries=1", *options)
    post = (f"--header={JSON_TYPE}", f"--post-data={JSON}", "{login}")
    return tool(name, category, f"deb:{command}", (*base, "{page}"), (*base, "{api}"), (*base, *post), mode=mode)


CHROMIUM = (
    "chromium", "--no-sandbox", "--no-first-run", "--no-default-browser-check", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--password-store=basic", "--user-data-dir={home}/profile",
)  # fmt: skip
NO_SANDBOX = "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"
QT = {"QTWEBENGINE_DISABLE_SANDBOX": "1", "QTWEBENGINE_CHROMIUM_FLAGS": "--no-sandbox"}
NSS = "authority in its certificate database"
UNVERIFIED = "told not to verify"

BROWSERS = (
    browser("chromium", "deb:chromium", *CHROMIUM, "{page}", trust=NSS),
    browser("firefox", "deb:firefox-esr", "firefox-esr", "--new-instance", "--profile", "{home}/firefox", "{page}",
            trust=NSS),
    browser("firefox-resist", "deb:firefox-esr", "firefox-esr", "--new-instance", "--profile", "{home}/firefox-resist",
            "{page}", mode="headful, resistFingerprinting", trust=NSS),
    browser("epiphany", "deb:epiphany-browser", "dbus-run-session", "--", "epiphany", "{page}", env={NO_SANDBOX: "1"}),
    browser("minibrowser", "deb:libwebkit2gtk-4.1-0", "dbus-run-session", "--", MINIBROWSER, "{page}",
            env={NO_SANDBOX: "1"}),
    browser("surf", "deb:surf", "dbus-run-session", "--", "surf", "{page}", env={NO_SANDBOX: "1"}),
    browser("falkon", "deb:falkon", "dbus-run-session", "--", "falkon", "{page}", env=QT, trust=NSS),
    browser("qutebrowser", "deb:qutebrowser", "qutebrowser", "--temp-basedir", "{page}", env=QT, trust=NSS),
    browser("konqueror", "deb:konqueror", "dbus-run-session", "--", "konqueror", "{page}", env=QT, trust=NSS),
    browser("angelfish", "deb:angelfish", "dbus-run-session", "--", "angelfish", "{page}", env=QT, trust=NSS),
    browser("netsurf", "deb:netsurf-gtk", "netsurf-gtk", "{page}", script=False),
)  # fmt: skip

AUTOMATED = "browser-automated"
DRIVES_CHROMIUM = ("chromium",)
DRIVERS = (
    browser("chromium-headless", "deb:chromium", *CHROMIUM, "--headless=new", "--remote-debugging-port=0", "{page}",
            mode="headless", category=AUTOMATED, trust=NSS),
    browser("firefox-headless", "deb:firefox-esr", "firefox-esr", "--headless", "--new-instance", "--profile",
            "{home}/firefox", "{page}", mode="headless", category=AUTOMATED, trust=NSS),
    *(
        python(name, AUTOMATED, package, driver, mode=mode, script="automated.py", needs=needs, trust=NSS)
        for name, package, driver, mode, needs in (
            ("playwright-py", "playwright", "playwright_headless", "headless", DRIVES_CHROMIUM),
            ("playwright-py-headful", "playwright", "playwright_headful", "headful", DRIVES_CHROMIUM),
            ("playwright-stealth-py", "playwright-stealth", "playwright_stealth", "stealth", DRIVES_CHROMIUM),
            ("patchright", "patchright", "patchright", "stealth", DRIVES_CHROMIUM),
            ("selenium-chrome", "selenium", "selenium", "headful", ("chromium", "chromedriver")),
            ("selenium-chrome-headless", "selenium", "selenium_headless", "headless", ("chromium", "chromedriver")),
            ("undetected-chromedriver", "undetected-chromedriver", "undetected_chromedriver", "stealth",
             ("chromium", "chromedriver")),
            ("nodriver", "nodriver", "nodriver", "stealth", DRIVES_CHROMIUM),
        )
    ),
    python("selenium-webkitgtk", AUTOMATED, "selenium", "selenium_webkit", mode="headful", script="automated.py",
           needs=("WebKitWebDriver", MINIBROWSER)),
    node("puppeteer", AUTOMATED, "puppeteer-core", "puppeteer", "headless", DRIVES_CHROMIUM, NSS),
    node("puppeteer-stealth", AUTOMATED, "puppeteer-extra", "puppeteer-stealth", "stealth", DRIVES_CHROMIUM, NSS),
    node("playwright-js-headful", AUTOMATED, "playwright-core", "playwright", "headful", DRIVES_CHROMIUM, NSS),
    node("playwright-stealth-js", AUTOMATED, "playwright-extra", "playwright-stealth", "stealth", DRIVES_CHROMIUM, NSS),
    node("jsdom", AUTOMATED, "jsdom", "jsdom"),
)  # fmt: skip

FULL_CHROME = (
    'sec-ch-ua: "Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
    "sec-ch-ua-mobile: ?0",
    'sec-ch-ua-platform: "Windows"',
    "upgrade-insecure-requests: 1",
    f"user-agent: {CHROME}",
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "sec-fetch-site: none",
    "sec-fetch-mode: navigate",
    "sec-fetch-user: ?1",
    "sec-fetch-dest: document",
    "accept-encoding: gzip, deflate, br, zstd",
    "accept-language: en-US,en;q=0.9",
)
FAKE = "impersonator"
IMPERSONATORS = (
    *(
        python(f"curl_cffi {target}", FAKE, "curl-cffi", "curl_cffi", target, mode="TLS, HTTP/2, headers")
        for target in ("chrome", "chrome+coherent", "chrome110", "chrome120", "firefox", "safari", "safari_ios",
                       "edge101")
    ),
    *(
        python(f"tls-client {target}", FAKE, "tls-client", "tls_client", target, mode="TLS, HTTP/2", trust=UNVERIFIED)
        for target in ("chrome_120", "firefox_120", "safari_16_0")
    ),
    *(
        python(f"primp {target}", FAKE, "primp", "primp", target, mode="TLS, HTTP/2, headers")
        for target in ("chrome", "firefox", "safari", "edge")
    ),
    *(
        python(f"impit {target}", FAKE, "impit", "impit", target, mode="TLS, HTTP/2, headers", trust=UNVERIFIED)
        for target in ("chrome", "firefox")
    ),
    node("impit-js chrome", FAKE, "impit", "impit", "TLS, HTTP/2, headers", trust=UNVERIFIED),
    *(
        python(f"rnet {target}", FAKE, "rnet", "rnet", target, mode="TLS, HTTP/2, headers", trust=UNVERIFIED)
        for target in ("Chrome137", "Edge134", "Firefox139", "SafariIos18_1_1")
    ),
    python("cycletls", FAKE, "cycletls", "cycletls", mode="TLS", trust=UNVERIFIED),
    python("cloudscraper", FAKE, "cloudscraper", "cloudscraper", mode="ciphers, headers"),
    node("got-scraping", FAKE, "got-scraping", "got-scraping", "ciphers, headers"),
    curl("curl as Chrome", *(part for line in FULL_CHROME for part in ("-H", line)), category=FAKE,
         mode="headers only"),
    wget("wget as Firefox", "wget", f"--user-agent={FIREFOX}", category=FAKE, mode="headers only"),
    python("requests as Chrome", FAKE, "requests", "requests", "chrome-full", mode="headers only"),
    python("requests, Chrome's user agent", FAKE, "requests", "requests", "chrome-ua", mode="headers only"),
    python("requests, an old Chrome's user agent", FAKE, "requests", "requests", "old-chrome-ua", mode="headers only"),
    python("httpx as Firefox", FAKE, "httpx", "httpx", "firefox-full", mode="headers only"),
    python("aiohttp, Firefox's user agent", FAKE, "aiohttp", "aiohttp", "firefox-ua", mode="headers only"),
    node("axios, Chrome's user agent", FAKE, "axios", "axios+chrome-ua", "headers only"),
    script("php-curl, Chrome's user agent", "deb:php-curl", "php", "{drivers}/three.php", CHROME, category=FAKE,
           mode="headers only"),
)  # fmt: skip

LIBRARIES = (
    *(
        python(name, "library", package, driver, variant)
        for name, package, driver, variant in (
            ("requests", "requests", "requests", ""), ("httpx", "httpx", "httpx", ""),
            ("httpx HTTP/1.1", "httpx", "httpx", "http1"), ("aiohttp", "aiohttp", "aiohttp", ""),
            ("urllib3", "urllib3", "urllib3", ""), ("niquests", "niquests", "niquests", ""),
        )
    ),
    script("urllib", "exe:python3", "python3", "{drivers}/libraries.py", "urllib"),
    script("pycurl", "deb:python3-pycurl", "/usr/bin/python3", "{drivers}/libraries.py", "pycurl", mode="GnuTLS"),
    node("node fetch", "library", "", "fetch"),
    *(node(name, "library", name, name) for name in ("node-fetch", "undici", "axios", "got", "superagent")),
    script("go net/http", "exe:go", "go", "run", "{drivers}/three.go"),
    script("java HttpClient", "exe:java", "java", "{drivers}/Three.java"),
    script("perl LWP", "deb:libwww-perl", "perl", "{drivers}/lwp.pl"),
    script("perl Mojo", "deb:libmojolicious-perl", "perl", "{drivers}/mojo.pl"),
    script("ruby net/http", "deb:ruby", "ruby", "{drivers}/three.rb"),
    script("php-curl", "deb:php-curl", "php", "{drivers}/three.php"),
    script("tcl http", "deb:tcl-tls", "tclsh", "{drivers}/three.tcl"),
)  # fmt: skip

HTTPIE = ("http", "--ignore-stdin", "--print=")
COMMAND_LINE = (
    curl("curl", mode="OpenSSL"),
    curl("curl HTTP/1.1", "--http1.1", mode="OpenSSL"),
    wget("wget", "wget", mode="GnuTLS"),
    # Its HTTP/2 names a second content type beside a given one, so it posts a form.
    tool("wget2", "cli", "deb:wget2", ("wget2", "-q", "-O", "{home}/out", "--tries=1", "{page}"),
         ("wget2", "-q", "-O", "{home}/out", "--tries=1", "{api}"),
         ("wget2", "-q", "-O", "{home}/out", "--tries=1", "--post-data=user=ada&password=lovelace", "{login}"),
         mode="GnuTLS"),
    tool("httpie", "cli", "deb:httpie", (*HTTPIE, "{page}"), (*HTTPIE, "{api}"),
         (*HTTPIE, "POST", "{login}", "user=ada", "password=lovelace")),
    *(
        tool(name, "cli", f"deb:{name}", (name, "-dump", "{page}"), (name, "-dump", "{api}"))
        for name in ("links", "w3m", "lynx", "elinks")
    ),
    tool("aria2", "cli", "deb:aria2", ("aria2c", "-q", "-d", "{home}", "-o", "out", "{page}"),
         ("aria2c", "-q", "-d", "{home}", "-o", "items", "{api}")),
)  # fmt: skip

CRAWLERS = (
    python("scrapy", "crawler", "scrapy", "scrapy"),
    python("mechanicalsoup", "crawler", "MechanicalSoup", "mechanicalsoup"),
    tool("wget -r", "crawler", "deb:wget",
         ("wget", "-q", "-r", "-l", "2", "-p", "-P", "{home}", "--tries=1", "{page}")),
)  # fmt: skip

SCANNERS = (
    tool("sqlmap", "scanner", "deb:sqlmap", ("sqlmap", "-u", "{page}?id=1", "--batch", "--retries=0", "--smart")),
    tool("sqlmap, Chrome's user agent", "scanner", "deb:sqlmap",
         ("sqlmap", "-u", "{page}?id=1", "--batch", "--retries=0", "--smart", f"--user-agent={CHROME}")),
    # One of those that its --random-agent draws.
    tool("sqlmap, an old Chrome's user agent", "scanner", "deb:sqlmap",
         ("sqlmap", "-u", "{page}?id=1", "--batch", "--retries=0", "--smart", f"--user-agent={OLD_CHROME}")),
    tool("gobuster", "scanner", "deb:gobuster", ("gobuster", "dir", "-q", "-t", "1", "-u", "{page}", "-w", "{words}")),
    tool("dirb", "scanner", "deb:dirb", ("dirb", "{page}", "{words}", "-S")),
    tool("hydra", "scanner", "deb:hydra",
         ("hydra", "-t", "1", "-l", "ada", "-P", "{words}", "-S", "{host}", "https-post-form",
          "/login:user=^USER^&password=^PASS^:F=false")),
    tool("wapiti", "scanner", "deb:wapiti",
         ("wapiti", "-u", "{page}", "--max-scan-time", "8", "-m", "sql", "-v", "0", "--flush-session"),
         trust=UNVERIFIED),
    tool("whatweb", "scanner", "deb:whatweb", ("whatweb", "--max-threads", "1", "{page}"), trust=UNVERIFIED),
)  # fmt: skip

LOAD = (
    tool("ab", "loadtool", "deb:apache2-utils", ("ab", "-q", "-n", "3", "-c", "1", "{page}")),
    tool("hey", "loadtool", "deb:hey", ("hey", "-n", "3", "-c", "1", "{page}")),
    tool("hey HTTP/2", "loadtool", "deb:hey", ("hey", "-h2", "-n", "3", "-c", "1", "{page}")),
    tool("wrk", "loadtool", "deb:wrk", ("wrk", "-t", "1", "-c", "1", "-d", "1s", "{page}")),
    tool("h2load", "loadtool", "deb:nghttp2-client", ("h2load", "-n", "3", "-c", "1", "{page}"), trust=UNVERIFIED),
    tool("siege", "loadtool", "deb:siege", ("siege", "-b", "-c", "1", "-r", "3", "{page}"), trust=UNVERIFIED),
    Client("locust", "loadtool", "", "pip:locust",
           (("{python}", "-m", "locust", "-f", "{drivers}/locustfile.py", "--headless", "-u", "1", "-t", "5s", "-H",
             "{site}", "--only-summary"),)),
)  # fmt: skip

ALL = (*BROWSERS, *DRIVERS, *IMPERSONATORS, *LIBRARIES, *COMMAND_LINE, *CRAWLERS, *SCANNERS, *LOAD)
