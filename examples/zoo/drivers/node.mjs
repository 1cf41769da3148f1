// Asks with one Node library, or loads the page in a browser that one drives: node.mjs NAME.
const base = process.env.ZOO_URL;
const chromium = process.env.ZOO_CHROMIUM;
const limitMs = 20_000;
const credentials = { user: 'ada', password: 'lovelace' };
const json = { 'content-type': 'application/json' };
const body = JSON.stringify(credentials);
const chromeAgent =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36';
const flags = ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** The three requests; one that fails does not keep the next from being made. */
async function three(get, post) {
  for (const ask of [() => get(`${base}/`), () => get(`${base}/api/items`), () => post(`${base}/login`)]) {
    try {
      await ask();
    } catch (error) {
      console.error(String(error));
    }
  }
}

const withFetch = (fetch) =>
  three(
    async (url) => (await fetch(url)).text(),
    async (url) => (await fetch(url, { method: 'POST', headers: json, body })).text(),
  );

async function axios(headers) {
  const { default: axios } = await import('axios');
  const client = axios.create({ headers, validateStatus: () => true });
  await three((url) => client.get(url), (url) => client.post(url, credentials));
}

async function puppeteer(driver) {
  const browser = await driver.launch({ executablePath: chromium, headless: true, args: flags });
  const page = await browser.newPage();
  const done = page.waitForResponse((answer) => answer.url().endsWith('/api/done'), { timeout: limitMs });
  await page.goto(`${base}/`);
  await done;
  await browser.close();
}

async function playwright(driver, headless) {
  const browser = await driver.launch({ executablePath: chromium, headless, args: flags });
  const page = await browser.newPage();
  const done = page.waitForResponse('**/api/done', { timeout: limitMs });
  await page.goto(`${base}/`);
  await done;
  await browser.close();
}

const clients = {
  fetch: () => withFetch(fetch),
  'node-fetch': async () => withFetch((await import('node-fetch')).default),
  undici: async () => {
    const { request } = (await import('undici')).default;
    await three(
      async (url) => (await request(url)).body.text(),
      async (url) => (await request(url, { method: 'POST', headers: json, body })).body.text(),
    );
  },
  axios: () => axios({}),
  'axios+chrome-ua': () => axios({ 'user-agent': chromeAgent }),
  got: async () => {
    const { got } = await import('got');
    const client = got.extend({ http2: true, retry: { limit: 0 }, throwHttpErrors: false });
    await three((url) => client(url), (url) => client.post(url, { json: credentials }));
  },
  superagent: async () => {
    const { default: superagent } = await import('superagent');
    await three((url) => superagent.get(url), (url) => superagent.post(url).send(credentials));
  },
  'got-scraping': async () => {
    const { gotScraping } = await import('got-scraping');
    const client = gotScraping.extend({ retry: { limit: 0 }, throwHttpErrors: false });
    await three((url) => client(url), (url) => client.post(url, { json: credentials }));
  },
  impit: async () => {
    const { Impit } = (await import('impit')).default;
    const client = new Impit({ browser: 'chrome', ignoreTlsErrors: true });
    await withFetch((url, how) => client.fetch(url, how));
  },
  jsdom: async () => {
    const { JSDOM } = (await import('jsdom')).default;
    const page = await JSDOM.fromURL(`${base}/`, { runScripts: 'dangerously', resources: 'usable' });
    await new Promise((resolve) => page.window.addEventListener('load', resolve));
    page.window.close();
  },
  puppeteer: async () => puppeteer((await import('puppeteer-core')).default),
  'puppeteer-stealth': async () => {
    const { addExtra } = (await import('puppeteer-extra')).default;
    const driver = addExtra((await import('puppeteer-core')).default);
    driver.use((await import('puppeteer-extra-plugin-stealth')).default());
    await puppeteer(driver);
  },
  playwright: async () => playwright((await import('playwright-core')).default.chromium, false),
  'playwright-stealth': async () => {
    const { addExtra } = (await import('playwright-extra')).default;
    const driver = addExtra((await import('playwright-core')).default.chromium);
    driver.use((await import('puppeteer-extra-plugin-stealth')).default());
    await playwright(driver, true);
  },
};

await clients[process.argv[2]]();
process.exit(0);
