"""Loads the page in an automated browser until its script is done: automated.py NAME."""

import asyncio
import os
import shutil
import sys
import tempfile

PAGE = os.environ["ZOO_URL"] + "/"
CHROMIUM = os.environ["ZOO_CHROMIUM"]
LIMIT_SECS = 20
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def playwright(start, headless, prepare=None):
    with start() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=headless, args=FLAGS)
        page = browser.new_page()
        if prepare:
            prepare(page)
        with page.expect_response("**/api/done", timeout=LIMIT_SECS * 1000):
            page.goto(PAGE)
        browser.close()


def playwright_headless():
    from playwright.sync_api import sync_playwright

    playwright(sync_playwright, True)


def playwright_headful():
    from playwright.sync_api import sync_playwright

    playwright(sync_playwright, False)


def playwright_stealth():
    from playwright.sync_api import sync_playwright
    from playwright_stealth import Stealth

    playwright(sync_playwright, True, Stealth().apply_stealth_sync)


def patchright():
    from patchright.sync_api import sync_playwright

    playwright(sync_playwright, True)


def until_done(driver):
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(PAGE)
    WebDriverWait(driver, LIMIT_SECS).until(lambda driver: driver.title == "done")
    driver.quit()


def selenium(*flags):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, *flags):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    until_done(webdriver.Chrome(options=options, service=service))


def selenium_headless():
    selenium("--headless=new")


def selenium_webkit():
    from selenium import webdriver

    options = webdriver.WebKitGTKOptions()
    options.binary_location = os.environ["ZOO_MINIBROWSER"]
    options.add_argument("--automation")
    service = webdriver.WebKitGTKService(executable_path=shutil.which("WebKitWebDriver"))
    until_done(webdriver.WebKitGTK(options=options, service=service))


def undetected_chromedriver():
    import undetected_chromedriver

    # It alters the driver's file, so it gets a copy.
    driver = os.path.join(tempfile.mkdtemp(), "chromedriver")
    shutil.copy(os.path.realpath(shutil.which("chromedriver")), driver)
    options = undetected_chromedriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.binary_location = CHROMIUM
    until_done(
        undetected_chromedriver.Chrome(
            options=options, driver_executable_path=driver, browser_executable_path=CHROMIUM
        )
    )


def nodriver():
    import nodriver

    async def main():
        browser = await nodriver.start(
            browser_executable_path=CHROMIUM, headless=True, sandbox=False, browser_args=FLAGS
        )
        page = await browser.get(PAGE)
        deadline = asyncio.get_running_loop().time() + LIMIT_SECS
        while await page.evaluate("document.title") != "done":
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError("the page's script was not done in time")
            await asyncio.sleep(0.1)
        browser.stop()

    nodriver.loop().run_until_complete(main())


if __name__ == "__main__":
    name = sys.argv[1]
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]
    globals()[name]()
