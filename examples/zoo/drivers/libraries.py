"""Asks for the page, the API and the login with one Python library: libraries.py NAME [VARIANT]."""

import asyncio
import json
import os
import sys
import urllib.request

BASE = os.environ["ZOO_URL"]
CA = os.environ["SSL_CERT_FILE"]
PAGE, API, LOGIN = f"{BASE}/", f"{BASE}/api/items", f"{BASE}/login"
CREDENTIALS = {"user": "ada", "password": "lovelace"}

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
OLD_CHROME = "Mozilla/5.0 (Windows NT 5.1) AppleWebKit/534.25 (KHTML, like Gecko) Chrome/12.0.706.0 Safari/534.25"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
CHROME_HEADERS = {
    "sec-ch-ua": '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Windows"',
    "upgrade-insecure-requests": "1",
    "user-agent": CHROME,
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7",
    "sec-fetch-site": "none",
    "sec-fetch-mode": "navigate",
    "sec-fetch-user": "?1",
    "sec-fetch-dest": "document",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept-language": "en-US,en;q=0.9",
    "priority": "u=0, i",
}
FIREFOX_HEADERS = {
    "user-agent": FIREFOX,
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "en-US,en;q=0.5",
    "accept-encoding": "gzip, deflate, br, zstd",
    "upgrade-insecure-requests": "1",
    "sec-fetch-dest": "document",
    "sec-fetch-mode": "navigate",
    "sec-fetch-site": "none",
    "sec-fetch-user": "?1",
    "priority": "u=0, i",
    "te": "trailers",
}


def three(get, post):
    """The three requests; one that fails does not keep the next from being made."""
    failures = 0
    for ask in (lambda: get(PAGE), lambda: get(API), lambda: post(LOGIN)):
        try:
            ask()
        except Exception as error:
            failures += 1
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1 if failures == 3 else 0)


def with_session(session, **how):
    three(lambda url: session.get(url, **how), lambda url: session.post(url, json=CREDENTIALS, **how))


def requests(variant):
    import requests

    session = requests.Session()
    claims = {"chrome-ua": {"user-agent": CHROME}, "old-chrome-ua": {"user-agent": OLD_CHROME}}
    session.headers.update({"": {}, "chrome-full": CHROME_HEADERS, **claims}[variant])
    with_session(session)


def niquests(_):
    import niquests

    # Names its own authorities otherwise.
    with_session(niquests.Session(), verify=CA)


def httpx(variant):
    import httpx

    headers = FIREFOX_HEADERS if variant == "firefox-full" else {}
    with_session(httpx.Client(http2=variant != "http1", headers=headers, verify=CA))


def urllib3(_):
    import urllib3

    pool = urllib3.PoolManager(ca_certs=CA)
    three(lambda url: pool.request("GET", url), lambda url: pool.request("POST", url, json=CREDENTIALS))


def urllib_(_):
    def ask(url, body=None):
        request = urllib.request.Request(url, body, {"content-type": "application/json"} if body else {})
        urllib.request.urlopen(request).read()

    three(ask, lambda url: ask(url, json.dumps(CREDENTIALS).encode()))


def aiohttp(variant):
    import aiohttp

    headers = {"user-agent": FIREFOX} if variant == "firefox-ua" else {}

    async def main():
        async with aiohttp.ClientSession(headers=headers) as session:
            for method, url, how in (("GET", PAGE, {}), ("GET", API, {}), ("POST", LOGIN, {"json": CREDENTIALS})):
                async with session.request(method, url, **how) as answer:
                    await answer.read()

    asyncio.run(main())


def pycurl(_):
    import io

    import pycurl

    def ask(url, body=None):
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.WRITEDATA, io.BytesIO())
        if body:
            curl.setopt(pycurl.POSTFIELDS, body)
            curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json"])
        curl.perform()

    three(ask, lambda url: ask(url, json.dumps(CREDENTIALS)))


def curl_cffi(variant):
    from curl_cffi import requests

    if not variant.endswith("+coherent"):
        return with_session(requests.Session(impersonate=variant), verify=CA)
    # Somebody who took care: what a script of the page would send, by request.
    session = requests.Session(impersonate=variant.removesuffix("+coherent"), verify=CA)
    fetch = {"accept": "*/*", "referer": PAGE, "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
    fetch |= {"sec-fetch-dest": "empty", "sec-fetch-user": None, "upgrade-insecure-requests": None}
    fetch |= {"priority": "u=1, i"}
    return three(
        lambda url: session.get(url, headers=fetch if "/api" in url else None),
        lambda url: session.post(url, json=CREDENTIALS, headers={**fetch, "origin": BASE}),
    )


def tls_client(variant):
    import tls_client

    session = tls_client.Session(client_identifier=variant, random_tls_extension_order=True)
    session.headers.update(CHROME_HEADERS if "chrome" in variant else FIREFOX_HEADERS)
    # It brings its own trust store and takes no other; that it does not verify alters nothing that it sends.
    with_session(session, insecure_skip_verify=True)


def primp(variant):
    import primp

    client = primp.Client(impersonate=variant, ca_cert_file=CA)
    with_session(client)


def impit(variant):
    import impit

    client = impit.Client(browser=variant, verify=False)
    three(
        client.get,
        lambda url: client.post(
            url, content=json.dumps(CREDENTIALS).encode(), headers={"content-type": "application/json"}
        ),
    )


def rnet(variant):
    import rnet

    client = rnet.BlockingClient(impersonate=getattr(rnet.Impersonate, variant), verify=False)
    three(lambda url: client.get(url).text(), lambda url: client.post(url, json=CREDENTIALS).text())


def cloudscraper(_):
    import cloudscraper

    with_session(cloudscraper.create_scraper(), verify=CA)


def cycletls(_):
    import cycletls

    client = cycletls.CycleTLS()
    ja3 = (
        "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,"
        "0-23-65281-10-11-35-16-5-13-18-51-45-43-27-17513,29-23-24,0"
    )
    how = {"ja3": ja3, "user_agent": CHROME, "insecure_skip_verify": True}
    body = json.dumps(CREDENTIALS)
    three(
        lambda url: client.get(url, **how),
        lambda url: client.post(url, body=body, headers={"content-type": "application/json"}, **how),
    )


def mechanicalsoup(_):
    import mechanicalsoup

    browser = mechanicalsoup.StatefulBrowser()

    def log_in(_url):
        browser.open(PAGE)
        browser.select_form("form")
        browser["user"], browser["password"] = "ada", "lovelace"
        browser.submit_selected()

    three(browser.open, log_in)


def scrapy(_):
    import scrapy
    from scrapy.crawler import CrawlerProcess

    class Shop(scrapy.Spider):
        name = "shop"
        start_urls = [PAGE]
        custom_settings = {"HTTPERROR_ALLOW_ALL": True, "TELNETCONSOLE_ENABLED": False, "RETRY_ENABLED": False}

        def parse(self, response):
            yield scrapy.Request(API, callback=self.after)
            yield scrapy.http.JsonRequest(LOGIN, data=CREDENTIALS, callback=self.after)

        def after(self, response):
            return None

    process = CrawlerProcess({"LOG_LEVEL": "ERROR"})
    process.crawl(Shop)
    process.start()


if __name__ == "__main__":
    name, variant = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    # The folder of this script holds no library, and its file must not stand in for one.
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]
    {"urllib": urllib_}.get(name, globals().get(name))(variant)
