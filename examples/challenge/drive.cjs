// Drives the challenge page and the widget in Chromium and Firefox, against a small server that checks
// solutions and gives no other protection. See README.md.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const puppeteer = require('puppeteer-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const [pages, shots, only] = process.argv.slice(2);
if (!pages || !shots) {
  console.error('usage: node drive.cjs PAGES SCREENSHOTS [chromium|firefox|serve]');
  process.exit(2);
}
fs.mkdirSync(shots, { recursive: true });
const read = name => fs.readFileSync(path.join(pages, name), 'utf8');
const POLICY = read('policy.txt');
const BASE = '/.well-known/portcullis/';
const seen = { evidence: [], redeems: 0, pages: 0, renewals: 0, waited: null, foreign: [] };
let waitBegan = 0;

function field(page, name) {
  return new RegExp(`data-${name}="([^"]*)"`).exec(page)[1];
}

const solves = new Function(fs.readFileSync(path.join(__dirname, '../../gateway/portcullis-challenge/assets/memory.js'), 'utf8') + ';return portcullisMemory();')();

// Checks what the gateway would: each part's hash has its zeros.
function solved(page, solution) {
  const [token, nonces] = solution.split('.');
  const bytes = Buffer.from(nonces, 'base64url'), bits = Number(field(page, 'bits')), count = Number(field(page, 'count'));
  const [mebibytes, passes, hard, hardBits] = field(page, 'memory') ? field(page, 'memory').split(' ').map(Number) : [0, 0, 0, 0];
  if (token !== field(page, 'token') || bytes.length !== 4 * (count + hard)) return false;
  const block = Buffer.alloc(40);
  Buffer.from(field(page, 'seed'), 'hex').copy(block);
  for (let part = 0; part < count; part++) {
    block.writeUInt32BE(part, 32);
    bytes.copy(block, 36, 4 * part, 4 * part + 4);
    if (crypto.createHash('sha256').update(block).digest().readUInt32BE(0) >>> (32 - bits) !== 0) return false;
  }
  const seed = Int32Array.from({ length: 8 }, (_, i) => block.readInt32BE(4 * i));
  for (let part = 0; part < hard; part++) {
    if (!solves(seed, part, bytes.readUInt32BE(4 * (count + part)), { mebibytes, passes, bits: hardBits })) return false;
  }
  return true;
}

// The policy of a page, made stricter as `?policy=` says.
function policy(url) {
  const wanted = url.searchParams.get('policy'), worker = { none: "worker-src 'none'", path: "worker-src 'self'" }[wanted];
  if (wanted === 'script') return POLICY.replace(/script-src [^;]+/, "script-src 'none'");
  return worker ? POLICY.replace("worker-src 'self' blob:", worker) : POLICY;
}

async function answer(request, response) {
  const url = new URL(request.url, 'http://localhost'), name = url.pathname;
  let body = '';
  for await (const chunk of request) body += chunk;
  const form = new URLSearchParams(body), cleared = /cleared=1/.test(request.headers.cookie || '');
  const send = (status, type, text, headers) => {
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', ...headers });
    response.end(text);
  };
  const page = file => {
    seen.pages++;
    waitBegan = waitBegan || Date.now();
    send(403, 'text/html; charset=utf-8', read(file), { 'content-security-policy': policy(url), 'x-frame-options': 'DENY' });
  };
  const clear = { 'set-cookie': 'cleared=1; Path=/; HttpOnly; SameSite=Lax' };
  const cors = request.headers.origin ? { 'access-control-allow-origin': request.headers.origin } : {};
  if (name.startsWith('/page/')) page(name.slice(6));
  else if (name === '/origin') {
    if (cleared) send(200, 'text/html', '<!doctype html><link rel="icon" href="data:,"><title>origin</title><h1>origin</h1>');
    else page('relaxed.html');
  } else if (name === '/form') {
    if (cleared || request.method === 'GET') send(200, 'text/html', `<!doctype html><link rel="icon" href="data:,"><title>${cleared ? 'sent' : 'form'}</title><form method=post><input name=a value=b><button>send</button></form><p id=got>${request.method} ${form.get('a')}</p>`);
    else page('form.html');
  } else if (name === BASE + 'redeem' && form.get('site')) {
    const good = solved(read('relaxed.html'), form.get('solution')), secs = form.get('site') === 'pk_short' ? 20 : 300;
    seen.evidence.push(form.get('evidence'));
    send(good ? 200 : 403, 'application/json', good ? `{"response":"R1","expires_in_secs":${secs}}` : '{"code":"unsolved"}', cors);
  } else if (name === BASE + 'redeem') {
    seen.redeems++;
    seen.evidence.push(form.get('evidence'));
    const good = fs.readdirSync(pages).filter(file => file.endsWith('.html') && file !== 'end.html').some(file => solved(read(file), form.get('solution')));
    send(good ? 204 : 403, 'application/problem+json', good ? '' : '{"code":"unsolved"}', good ? clear : {});
  } else if (name === BASE + 'challenge') {
    const puzzle = read('relaxed.html');
    if (form.get('site') === 'pk_wrong') send(403, 'application/problem+json', '{"code":"unknown-site"}', cors);
    else send(200, 'application/json', JSON.stringify({ algorithm: 'sha256', difficulty_bits: Number(field(puzzle, 'bits')), count: Number(field(puzzle, 'count')), seed: field(puzzle, 'seed'), token: field(puzzle, 'token') }), cors);
  } else if (name === BASE + 'wait') {
    const early = Date.now() - waitBegan < 4000;
    seen.waited = early ? 'early' : request.method;
    waitBegan = 0;
    if (early) page('wait.html');
    else send(303, 'text/plain', '', { location: '/origin', ...clear });
  } else if (name.startsWith(BASE) && name.endsWith('.js')) {
    send(200, 'text/javascript; charset=utf-8', read(path.basename(name)), { 'cross-origin-resource-policy': 'cross-origin' });
  } else if (name === BASE + 'renew') {
    seen.renewals++;
    const puzzle = read('relaxed.html');
    if (seen.renewals === 1) send(200, 'application/json', '{"ask_again_secs":30}');
    else if (seen.renewals === 2) send(200, 'application/json', JSON.stringify({ challenge: { algorithm: 'sha256', difficulty_bits: Number(field(puzzle, 'bits')), count: Number(field(puzzle, 'count')), seed: field(puzzle, 'seed'), token: field(puzzle, 'token'), redeem: BASE + 'redeem' } }));
    else send(204, 'text/plain', '');
  } else if (name === '/renewing') {
    send(200, 'text/html', `<!doctype html><link rel="icon" href="data:,"><title>renewing</title><script src="${BASE}renew.js"></script>`);
  } else if (name === '/submitted') {
    send(200, 'text/html', `<!doctype html><link rel="icon" href="data:,"><title>submitted</title><pre id=got>${body}</pre>`);
  } else if (name === '/host') {
    const gateway = url.searchParams.get('gateway'), attributes = url.searchParams.get('attributes') || '', script = url.searchParams.get('script') || 'widget.js';
    send(200, 'text/html; charset=utf-8', `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>host</title><meta name="viewport" content="width=device-width"><style nonce="h">body{font:1rem sans-serif}label{display:block;margin:1rem 0}</style><main><h1>Sign up</h1><form method="post" action="/submitted"><label>Name <input name="name" id="name"></label><portcullis-widget site-key="${url.searchParams.get('site') || 'pk_test'}" ${attributes}></portcullis-widget><p><button name="go" value="yes" id="go">Send</button></p></form></main><script nonce="h" src="${gateway}${BASE}${script}"></script>`,
      { 'content-security-policy': `default-src 'none'; img-src data:; script-src 'nonce-h'; style-src 'nonce-h'; connect-src ${gateway}; form-action 'self'; worker-src ${url.searchParams.get('worker') || 'blob:'}` });
  } else {
    seen.foreign.push(request.url);
    send(404, 'text/plain', '');
  }
}

function listen() {
  return new Promise(resolve => {
    const server = http.createServer((request, response) => answer(request, response).catch(fault => { console.error(fault); response.destroy(); }));
    server.listen(0, '127.0.0.1', () => resolve({ server, at: `http://127.0.0.1:${server.address().port}` }));
  });
}

const results = [];
function report(browser, name, good, detail) {
  results.push(good);
  console.log(`${good ? 'ok  ' : 'FAIL'} ${browser.padEnd(9)} ${name}${detail === undefined ? '' : ': ' + detail}`);
}

const OPTIONS = {
  chromium: { browser: 'chrome', executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] },
  firefox: { browser: 'firefox', executablePath: '/usr/bin/firefox-esr' }
};

// Firefox asks before it sends a form again, in a dialog that no driver can reach.
OPTIONS.firefox.extraPrefsFirefox = { 'dom.confirm_repost.testing.always_accept': true };

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

function launch(kind, extra) {
  return puppeteer.launch({ headless: !process.env.HEADFUL, ...OPTIONS[kind], ...extra });
}

async function through(page, address, title, limit) {
  const began = Date.now();
  await page.goto(address);
  await page.waitForFunction(title => document.title === title, { timeout: limit || 60000 }, title);
  return Date.now() - began;
}

async function shot(page, name, width, scheme) {
  if (width) await page.setViewport({ width, height: 700 });
  if (scheme) await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]).catch(() => {});
  await page.screenshot({ path: path.join(shots, name + '.png'), fullPage: true });
}

async function violations(page) {
  // The policy forbids foreign scripts, so axe is run by the debugger.
  await page.evaluate(axe);
  return page.evaluate(async () => (await axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })).violations.map(v => v.id + ' ' + v.nodes.map(n => n.html.slice(0, 80)).join(' | ')));
}

const median = list => list.slice().sort((a, b) => a - b)[list.length >> 1];

async function drive(kind, gateway, other) {
  let browser = await launch(kind), page = await browser.newPage();
  const clean = async () => {
    await page.deleteCookie({ name: 'cleared', url: gateway }).catch(() => {});
    await page.close();
    const context = await browser.createBrowserContext();
    page = await context.newPage();
  };
  const runs = Number(process.env.RUNS || 5);
  for (const [name, count] of [['relaxed', runs], ['en', runs], ['memory', process.env.TIMES ? 5 : 1], ['strict', process.env.STRICT ? 1 : 0]]) {
    const times = [], rates = [];
    for (let i = 0; i < count; i++) {
      await clean();
      times.push(await through(page, `${gateway}/page/${name}.html`, 'origin', 300000));
      const work = JSON.parse(seen.evidence[seen.evidence.length - 1]).work;
      rates.push(work.hashes / work.ms / 1000 / Math.max(1, work.workers));
    }
    if (count) report(kind, `${name}: page to origin, median of ${count}`, true, `${median(times)} ms (${Math.min(...times)} to ${Math.max(...times)}), ${median(rates).toFixed(2)} M hashes/s per worker`);
  }
  if (process.env.TIMES) {
    await browser.close();
    return;
  }
  console.log('     evidence', seen.evidence[seen.evidence.length - 1]);

  for (const [file, how, from] of [['en', 'none', 'none'], ['en', 'path', 'path'], ['memory', 'path', 'none']]) {
    await clean();
    const took = await through(page, `${gateway}/page/${file}.html?policy=${how}`, 'origin');
    const work = JSON.parse(seen.evidence[seen.evidence.length - 1]).work;
    report(kind, `${file}, workers by policy "${how}"`, work.from === from, `${took} ms, from ${work.from}, ${work.workers} workers`);
  }

  // A form that met the check: sent again by the browser, with what was typed.
  await clean();
  await page.goto(`${gateway}/form`);
  await Promise.all([page.waitForNavigation(), page.click('button')]);
  await page.waitForFunction(() => { const again = document.getElementById('again'); return again && !again.hidden; }, { timeout: 30000 });
  await shot(page, `${kind}-form`);
  page.on('dialog', dialog => dialog.accept().catch(() => {}));
  await page.focus('#resend');
  await page.keyboard.press('Enter');
  const resent = await page.waitForFunction(() => document.title === 'sent' && document.getElementById('got').textContent, { timeout: 10000 }).then(handle => handle.jsonValue(), () => 'not sent');
  report(kind, 'a form is sent again', resent === 'POST b', resent);

  // axe and pictures, while the strict puzzle keeps the page open.
  for (const [name, file, width, scheme] of [['light', 'strict', 900, 'light'], ['dark', 'strict', 900, 'dark'], ['brand', 'brand', 900, 'dark'], ['ar', 'ar', 900, 'light'], ['ar-320', 'ar', 320, 'light'], ['de-320', 'de', 320, 'light'], ['ja', 'ja', 900, 'light'], ['end', 'end', 900, 'light']]) {
    await clean();
    await page.setViewport({ width, height: 700 });
    // Held in front of the end: what is looked at is the page at work.
    const held = file === 'strict' || file === 'end' ? file : 'held-' + file;
    if (held !== file) fs.writeFileSync(path.join(pages, held + '.html'), read(file + '.html').replace('data-bits="16"', 'data-bits="22"'));
    await page.goto(`${gateway}/page/${held}.html`);
    await pause(3000);
    await shot(page, `${kind}-${name}`, width, scheme);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    const found = await violations(page);
    report(kind, `axe and width: ${name}`, found.length === 0 && wide <= 0, found.join('; ') || `no violation, ${wide} px too wide`);
    if (held !== file) fs.unlinkSync(path.join(pages, held + '.html'));
  }

  // Each fault that the script can show.
  await clean();
  await page.goto(`${gateway}/page/strict.html`);
  for (const fault of ['failed', 'refused', 'offline', 'no-cookies']) {
    await page.evaluate(fault => window.portcullisShow(fault), fault);
    const said = await page.evaluate(() => [document.getElementById('alert').textContent.length > 20, document.getElementById('retry').hidden]);
    const found = await violations(page);
    report(kind, `the fault "${fault}" is said`, said[0] && !said[1] && !found.length, found.join('; '));
  }
  await pause(5500);
  await page.evaluate(() => window.portcullisShow('failed'));
  await shot(page, `${kind}-failed`);
  await page.keyboard.press('Tab');
  report(kind, 'the button is reached by the keyboard', await page.evaluate(() => document.activeElement.id === 'retry'));

  // Scripts are on, and yet this one is not let run: what needs none comes by itself.
  await clean();
  waitBegan = 0;
  await page.goto(`${gateway}/page/en.html?policy=script`);
  await pause(10500);
  await shot(page, `${kind}-stuck`);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.title === 'origin', { timeout: 5000 }).catch(() => {});
  report(kind, 'a script that may not run leaves the wait', page.url().endsWith('/origin'), page.url());

  // The renewal, with a hundredth of its pauses.
  await clean();
  seen.renewals = 0;
  const redeems = seen.redeems;
  await page.evaluateOnNewDocument(() => {
    const later = window.setTimeout;
    window.setTimeout = (act, ms) => later(act, ms / 100);
  });
  await page.goto(`${gateway}/renewing`);
  for (let i = 0; i < 100 && seen.renewals < 3; i++) await pause(100);
  await pause(1500);
  report(kind, 'a clearance is renewed, and then no more is asked', seen.renewals === 3 && seen.redeems === redeems + 1, `${seen.renewals} asked, ${seen.redeems - redeems} redeemed, ${seen.evidence[seen.evidence.length - 1].slice(0, 26)}`);

  await widget(kind, browser, gateway, other);
  await browser.close();

  if (kind === 'firefox') {
    // Its driver knows no colour schemes.
    browser = await launch(kind, { extraPrefsFirefox: { 'layout.css.prefers-color-scheme.content-override': 0 } });
    page = await browser.newPage();
    await page.goto(`${gateway}/page/strict.html`);
    await pause(2000);
    await shot(page, `${kind}-dark`);
    const found = await violations(page);
    report(kind, 'axe: dark', !found.length && await page.evaluate(() => getComputedStyle(document.body).backgroundColor !== 'rgb(255, 255, 255)'), found.join('; '));
    await browser.close();
  }

  // Cookies off: said once, no work, no loop.
  browser = await launch(kind, kind === 'firefox' ? { extraPrefsFirefox: { 'network.cookie.cookieBehavior': 2 } } : {});
  page = await browser.newPage();
  if (kind === 'chromium') await page.evaluateOnNewDocument(() => Object.defineProperty(document, 'cookie', { get: () => '', set: () => {} }));
  const before = [seen.redeems, seen.pages];
  await page.goto(`${gateway}/page/relaxed.html`);
  await pause(2500);
  report(kind, 'cookies off are said once', await page.evaluate(() => /cookies/.test(document.getElementById('alert').textContent)) && seen.redeems === before[0] && seen.pages === before[1] + 1);
  await shot(page, `${kind}-no-cookies`);
  await browser.close();

  // No JavaScript.
  browser = await launch(kind, kind === 'firefox' ? { extraPrefsFirefox: { 'javascript.enabled': false } } : {});
  for (const [file, act] of [['no-wait', null], ['en', 'button'], ['by-itself', 'refresh']]) {
    page = await (await browser.createBrowserContext()).newPage();
    if (kind === 'chromium') await page.setJavaScriptEnabled(false);
    waitBegan = 0;
    seen.waited = null;
    await page.goto(`${gateway}/page/${file}.html`);
    await pause(act === 'button' ? 5600 : 1000);
    await shot(page, `${kind}-no-script-${file}`, 320);
    if (act === 'button') {
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
    }
    if (act) {
      const until = Date.now() + 9000;
      while (!seen.waited && Date.now() < until) await pause(100);
      await pause(500);
      report(kind, `no script: through by the ${act}`, page.url().endsWith('/origin') && seen.waited === (act === 'button' ? 'POST' : 'GET'), `${page.url()} ${seen.waited}`);
    }
  }
  await browser.close();
}

async function widget(kind, browser, gateway, other) {
  const host = (attributes, more) => `${other}/host?gateway=${encodeURIComponent(gateway)}&attributes=${encodeURIComponent(attributes)}${more || ''}`;
  for (const [name, attributes, more] of [
    ['inline', 'response-field="cf-turnstile-response g-recaptcha-response"'],
    ['invisible, on submit', 'variant="invisible" start="submit"'],
    ['on focus', 'start="focus"'],
    ['workers forbidden', '', "&worker='none'"],
    ['Arabic', 'theme="dark"', '&script=widget-ar.js']
  ]) {
    const page = await (await browser.createBrowserContext()).newPage();
    await page.evaluateOnNewDocument(() => {
      window.events = [];
      for (const name of ['start', 'progress', 'solved', 'error', 'expired']) addEventListener('portcullis-' + name, () => window.events.push(name));
    });
    await page.goto(host(attributes, more));
    await page.type('#name', 'Ada');
    if (name !== 'invisible, on submit') {
      await page.waitForFunction(() => document.querySelector('portcullis-widget').response === 'R1', { timeout: 30000 });
      await shot(page, `${kind}-widget-${name.replace(/\W+/g, '-')}`, 400);
      const found = await violations(page);
      if (found.length) report(kind, `axe: widget ${name}`, false, found.join('; '));
    }
    const events = await page.evaluate(() => [...new Set(window.events)].join(' '));
    await Promise.all([page.waitForNavigation({ timeout: 30000 }), page.click('#go')]);
    const got = await page.evaluate(() => document.getElementById('got').textContent);
    const said = JSON.parse(seen.evidence[seen.evidence.length - 1]);
    report(kind, `widget ${name}`, /name=Ada/.test(got) && /portcullis-response=R1/.test(got) && /go=yes/.test(got), `${got}; events ${events}; ${JSON.stringify(said.interaction)} ${JSON.stringify(said.work)}`);
    await page.close();
  }
  for (const [site, state] of [['pk_wrong', 'failed'], ['pk_short', 'expired']]) {
    const page = await (await browser.createBrowserContext()).newPage();
    await page.goto(host('variant="invisible"', `&site=${site}`));
    const reached = await page.waitForFunction(state => document.querySelector('portcullis-widget').getAttribute('state') === state, { timeout: 15000 }, state).then(() => true, () => false);
    const shown = await page.evaluate(() => [!document.querySelector('portcullis-widget').shadowRoot.getElementById('box').hidden, document.querySelector('[name=portcullis-response]').value]);
    const found = await violations(page);
    report(kind, `widget ${state}`, reached && shown[0] === (state === 'failed') && shown[1] === '' && !found.length, found.join('; '));
    await shot(page, `${kind}-widget-${state}`, 400);
    await page.close();
  }
  await comingBack(kind, browser, host(''));
  await madeUp(kind, browser, host('variant="invisible" start="submit"'));
}

// A page that comes out of the cache for going back holds a token that may be spent: it asks for another.
async function comingBack(kind, browser, url) {
  const page = await (await browser.createBrowserContext()).newPage();
  const hasToken = () => page.waitForFunction(() => document.querySelector('[name=portcullis-response]').value === 'R1', { timeout: 30000 }).then(() => true, () => false);
  await page.goto(url);
  const first = await hasToken();
  const left = await page.evaluate(() => {
    dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
    return [document.querySelector('portcullis-widget').getAttribute('state'), document.querySelector('[name=portcullis-response]').value];
  });
  await page.type('#name', 'Ada');
  report(kind, 'widget on a page that comes back', first && left.join() === 'expired,' && await hasToken(), left.join());
  await page.close();
}

// What scripts make up is not counted as a person's.
async function madeUp(kind, browser, url) {
  const page = await (await browser.createBrowserContext()).newPage();
  await page.goto(url);
  await page.waitForFunction(() => customElements.get('portcullis-widget'));
  await page.evaluate(() => {
    const name = document.getElementById('name');
    for (let i = 0; i < 20; i++) {
      name.dispatchEvent(new Event('blur'));
      name.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true }));
      name.dispatchEvent(new PointerEvent('pointermove', { bubbles: true }));
      name.click();
    }
  });
  await Promise.all([page.waitForNavigation({ timeout: 30000 }), page.evaluate(() => document.querySelector('form').requestSubmit())]);
  const said = JSON.parse(seen.evidence[seen.evidence.length - 1]).interaction;
  report(kind, 'widget and events of scripts', said.keys + said.clicks + said.pointer === 0 && said.blur < 3, JSON.stringify(said));
  await page.close();
}

(async () => {
  const gateway = await listen(), other = await listen();
  if (only === 'serve') {
    // For browsers that nobody drives: prints what they say about themselves.
    console.log(`${gateway.at}/page/en.html`);
    seen.evidence.push = line => console.log(line);
    return;
  }
  for (const kind of only ? [only] : ['chromium', 'firefox']) {
    await drive(kind, gateway.at, other.at).catch(fault => report(kind, 'the drive itself', false, fault.stack));
  }
  if (seen.foreign.length) report('both', 'requests that nobody asked for', false, seen.foreign.join(' '));
  console.log(`${results.filter(good => good).length} of ${results.length} good`);
  process.exit(results.every(good => good) ? 0 : 1);
})();
