// Drives the challenge of the real gateway in real browsers: starts it, an origin behind it, and the browser, and says of
// each thing that was tried whether it held. See README.md.
//
//   node gateway.cjs PORTCULLIS chromium|firefox            tries everything
//   node gateway.cjs PORTCULLIS chromium|firefox times      prints how long page to origin takes, for each preset
//
// RUNS=20 sets how many runs of each preset are timed, STRICT_RUNS how many of strict, and HEADFUL=1 has windows.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const http = require('http');
const net = require('net');
const os = require('os');
const path = require('path');
const puppeteer = require('puppeteer-core');

const [binary, kind, mode] = process.argv.slice(2);
if (!binary || !['chromium', 'firefox'].includes(kind)) {
  console.error('usage: node gateway.cjs PORTCULLIS chromium|firefox [times]');
  process.exit(2);
}
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-browsers-'));
const seen = { requests: [] };
const children = [];

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

const results = [];
function report(name, good, detail) {
  results.push(good);
  console.log(`${good ? 'ok  ' : 'FAIL'} ${kind.padEnd(9)} ${name}${detail === undefined || detail === '' ? '' : ': ' + detail}`);
}

// The origin: a page for every path, and what a form sent.
async function originAnswer(request, response) {
  let body = '';
  for await (const chunk of request) body += chunk;
  if (request.url === '/favicon.ico') {
    response.writeHead(404).end();
    return;
  }
  seen.requests.push(`${request.method} ${request.url}`);
  const form = request.url === '/form' && request.method === 'GET';
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
  response.end(`<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>${form ? 'form' : 'through'}</title><main><h1>through</h1>${form ? '<form method="post" action="/sent"><label>a <input name="a" value="b"></label><button>send</button></form>' : ''}<p id="got">${request.method} ${body.replace(/[<&]/g, '')}</p></main>`);
}

function listen(server) {
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
}

async function freePort() {
  const server = net.createServer();
  const port = await listen(server);
  await new Promise(resolve => server.close(resolve));
  return port;
}

// One route for each kind of challenge; a rule challenges everybody, so that no browser has to look like a machine.
function route(name, paths, puzzle, more) {
  return `[[route]]
name = "${name}"
paths = [${paths.map(path => `"${path}"`).join(', ')}]
origin = "app"
clients = "browser"
thresholds = { throttle = "off", challenge = 0.95, block = 0.99, ban = "off" }
puzzle = ${puzzle}
${more || ''}
[[route.rule]]
name = "everybody on ${name}"
when = { path = [${paths.map(path => `"${path}"`).join(', ')}] }
action = "challenge"

`;
}

async function startGateway() {
  const origin = http.createServer((request, response) => originAnswer(request, response).catch(() => response.destroy()));
  const [originPort, port, admin] = [await listen(origin), await freePort(), await freePort()];
  fs.mkdirSync(path.join(folder, 'rules'));
  const quick = '{ difficulty_bits = 12, count = 60 }';
  fs.writeFileSync(path.join(folder, 'rules/rules.toml'),
    route('relaxed', ['/relaxed', '/sent'], quick) +
    route('balanced', ['/balanced'], '{ difficulty_bits = 16, count = 80 }') +
    // The page stays at work for as long as it is looked at.
    route('strict', ['/strict'], '{ difficulty_bits = 20, count = 120 }') +
    '[[route]]\nname = "form"\npaths = ["/form", "/free"]\norigin = "app"\nmode = "monitor"\n');
  fs.writeFileSync(path.join(folder, 'portcullis.toml'), `rules = "rules"
[[listener]]
name = "plain"
address = "127.0.0.1:${port}"
tls = false
[[origin]]
name = "app"
servers = ["127.0.0.1:${originPort}"]
[challenge]
name = "Shop"
contact = "help@shop.example"
[admin]
address = "127.0.0.1:${admin}"
[audit]
path = "audit.jsonl"
allowed = "all"
`);
  // It runs in a folder of its own.
  const gateway = spawn(path.resolve(binary), ['run', '--config', path.join(folder, 'portcullis.toml')], { cwd: folder, stdio: ['ignore', 'ignore', fs.openSync(path.join(folder, 'log'), 'w')] });
  children.push(gateway);
  for (let i = 0; i < 300; i++) {
    if (await fetch(`http://127.0.0.1:${admin}/ready`).then(answer => answer.ok, () => false)) return `http://127.0.0.1:${port}`;
    await pause(100);
  }
  throw new Error('the gateway does not become ready:\n' + fs.readFileSync(path.join(folder, 'log'), 'utf8'));
}

let profiles = 0;
async function launch(settings) {
  const { cookies = true, script = true, dark = false, language } = settings || {};
  const profile = path.join(folder, `profile-${profiles++}`);
  const headless = !process.env.HEADFUL;
  if (kind === 'firefox') {
    const prefs = { 'dom.confirm_repost.testing.always_accept': true };
    if (!cookies) prefs['network.cookie.cookieBehavior'] = 2;
    if (!script) prefs['javascript.enabled'] = false;
    if (language) prefs['intl.accept_languages'] = language;
    if (dark) prefs['layout.css.prefers-color-scheme.content-override'] = 0;
    return puppeteer.launch({ browser: 'firefox', executablePath: '/usr/bin/firefox-esr', headless, extraPrefsFirefox: prefs, protocolTimeout: 60000 });
  }
  fs.mkdirSync(path.join(profile, 'Default'), { recursive: true });
  const content = {};
  if (!cookies) content.cookies = 2;
  if (!script) content.javascript = 2;
  fs.writeFileSync(path.join(profile, 'Default/Preferences'), JSON.stringify({ profile: { default_content_setting_values: content } }));
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
  if (language) args.push(`--accept-lang=${language}`);
  return puppeteer.launch({ browser: 'chrome', executablePath: '/usr/bin/chromium', headless, userDataDir: profile, args, protocolTimeout: 60000 });
}

async function withPage(settings, act) {
  const browser = await launch(settings);
  try {
    const page = await browser.newPage();
    await act(page, browser);
  } finally {
    await browser.close();
  }
}

const reached = (page, title, ms) => page.waitForFunction(title => document.title === title, { timeout: ms || 60000 }, title).then(() => true, () => false);

// Without a script nothing can be asked of the page, so the origin and the address say where it is.
async function arrives(wanted, before, ms) {
  const until = Date.now() + ms;
  while (Date.now() < until) {
    if (seen.requests.slice(before).includes(wanted)) return true;
    await pause(100);
  }
  return false;
}

async function violations(page) {
  // The policy forbids foreign scripts, so axe is run by the debugger.
  await page.evaluate(axe);
  return page.evaluate(async () => (await axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })).violations.map(v => v.id + ' ' + v.nodes.map(n => n.html.slice(0, 80)).join(' | ')));
}

async function looked(page, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const found = await violations(page);
  report(`axe and width: ${name}`, found.length === 0 && wide <= 0, found.join('; ') || `no violation, ${Math.max(wide, 0)} px too wide`);
  await pictured(page, name);
}

async function pictured(page, name) {
  if (process.env.SHOTS) await page.screenshot({ path: path.join(process.env.SHOTS, `${kind}-gateway-${name.replace(/\W+/g, '-')}.png`), fullPage: true });
}

// What has led away from other sites: GHSA-jhjj-2g64-px7c, CVE-2025-8066 and their like.
const HOSTILE = ['//evil.example/', '///evil.example', '/\\evil.example', '\\\\evil.example', '/..//evil.example', '/.//evil.example',
  '/a/..//evil.example', '/%2f/evil.example', '/%2F%2Fevil.example', '/%5cevil.example', '/%2e%2e//evil.example', '/%09/evil.example',
  '/\t/evil.example', '/\n/evil.example', '/\r\nLocation: //evil.example', '/%0d%0aLocation:%20//evil.example', '/%00/evil.example',
  'https://evil.example/', 'https:evil.example', 'javascript:alert(1)', 'java\nscript:alert(1)', ' javascript:alert(1)', 'data:text/html,x',
  '//user@evil.example/', '//3221225985/', '/\uff0fevil.example', '/%252f%252fevil.example', '/' + 'a'.repeat(5000)];

// The answer to a target that no client library would send.
function raw(gateway, target) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(new URL(gateway).port), '127.0.0.1', () => socket.write(`GET ${target} HTTP/1.1\r\nhost: ${new URL(gateway).host}\r\nuser-agent: Mozilla/5.0\r\naccept: text/html\r\nconnection: close\r\n\r\n`));
    let text = '';
    socket.setEncoding('utf8').on('data', part => { text += part; }).on('end', () => resolve(text)).on('error', reject);
  });
}

// Every place that the pages of the challenge lead to, as this browser's own parser reads it.
async function returns(gateway, page) {
  const answers = [];
  for (const target of HOSTILE) {
    answers.push(await raw(gateway, `/.well-known/portcullis/arrived?return=${encodeURIComponent(target)}`));
    // Controls would end the line of the request.
    if (!/[\x00-\x20\u0080-\uffff]/.test(target)) answers.push(await raw(gateway, `${target.startsWith('/') ? '' : '/relaxed?to='}${target}`));
  }
  return page.evaluate(answers => {
    const led = [];
    for (const answer of answers) {
      const location = /^location: (.*)\r$/im.exec(answer);
      const places = location ? [location[1]] : [];
      const read = new DOMParser().parseFromString(answer.slice(answer.indexOf('\r\n\r\n') + 4), 'text/html');
      for (const element of read.querySelectorAll('[href], [action], [src], [data-return], [data-redeem], [data-solver], input[name=return]')) {
        for (const name of ['href', 'action', 'src', 'data-return', 'data-redeem', 'data-solver', 'value']) {
          if (element.hasAttribute(name) && !/^(data:,|mailto:help@shop.example)/.test(element.getAttribute(name))) places.push(element.getAttribute(name));
        }
      }
      led.push(...places.map(place => [place, new URL(place, window.location.origin + '/deep/page').origin === window.location.origin]));
    }
    return [led.length, led.filter(([, same]) => !same).map(([place]) => place)];
  }, answers);
}

function records() {
  return fs.readFileSync(path.join(folder, 'audit.jsonl'), 'utf8').trim().split('\n').filter(Boolean).map(JSON.parse);
}

async function everything(gateway) {
  await withPage({}, async (page, browser) => {
    const refused = [];
    page.on('console', line => { if (/Content.Security.Policy|Refused to/i.test(line.text())) refused.push(line.text()); });
    const began = Date.now();
    await page.goto(`${gateway}/relaxed?item=1#part`);
    const there = await reached(page, 'through');
    report('the page is solved and leads to the origin', there && page.url() === `${gateway}/relaxed?item=1#part`, `${Date.now() - began} ms, ${page.url()}`);
    report('the strict policy of the page refuses nothing of its own', refused.length === 0, refused.join('; '));
    await page.goto(`${gateway}/relaxed?item=2`);
    report('it is asked once', await reached(page, 'through', 5000));
    const [places, astray] = await returns(gateway, page);
    report('no hostile target leads away from the site, as this browser reads it', places >= HOSTILE.length && astray.length === 0, astray.join(' ') || `${places} places`);

    // Another tab climbs higher, at the same time as this one is at work.
    const context = await browser.createBrowserContext();
    const [one, two] = [await context.newPage(), await context.newPage()];
    await Promise.all([one.goto(`${gateway}/balanced`), two.goto(`${gateway}/relaxed`)]);
    const both = await Promise.all([reached(one, 'through'), reached(two, 'through')]);
    await one.goto(`${gateway}/balanced?again`);
    await two.goto(`${gateway}/relaxed?again`);
    report('two tabs at once: neither takes the other\'s clearance', both.every(Boolean) && await reached(one, 'through', 3000) && await reached(two, 'through', 3000));
    await context.close();

    // By the keyboard alone: a form that met the check.
    const form = await (await browser.createBrowserContext()).newPage();
    await form.goto(`${gateway}/form`);
    await form.focus('input');
    const before = seen.requests.length;
    await Promise.all([form.waitForNavigation(), form.keyboard.press('Enter')]);
    await form.waitForFunction(() => { const again = document.getElementById('again'); return again && !again.hidden; }, { timeout: 30000 });
    await looked(form, 'a form that met the check');
    report('the form was not passed on', !seen.requests.slice(before).includes('POST /sent'));
    form.on('dialog', dialog => dialog.accept().catch(() => {}));
    const focused = [];
    for (let i = 0; i < 6 && focused[focused.length - 1] !== 'resend'; i++) {
      await form.keyboard.press('Tab');
      focused.push(await form.evaluate(() => document.activeElement.id));
    }
    await form.keyboard.press('Enter');
    report('the form is sent again, by the keyboard', await arrives('POST /sent', before, 10000), focused.join(' '));

    // Looked at while it is at work.
    for (const [name, width] of [['at work', 900], ['at work, 320 pixels', 320]]) {
      const work = await (await browser.createBrowserContext()).newPage();
      await work.setViewport({ width, height: 700 });
      await work.goto(`${gateway}/strict`);
      await pause(2500);
      await looked(work, name);
      const progress = await work.evaluate(() => [document.getElementById('bar').value > 0, document.getElementById('line').textContent]);
      report(`${name}: progress and the time that remains are shown`, progress[0] && /\d/.test(progress[1]), progress[1]);
      await work.close();
    }

    // No worker can be made.
    const alone = await (await browser.createBrowserContext()).newPage();
    await alone.evaluateOnNewDocument(() => { window.Worker = function () { throw new Error('workers are blocked'); }; });
    await alone.goto(`${gateway}/relaxed?alone`);
    report('workers blocked: the page works by itself', await reached(alone, 'through'));
    await alone.close();

    // A computer whose clock is wrong: nothing that counts is told by the client's clock.
    const late = await (await browser.createBrowserContext()).newPage();
    await late.evaluateOnNewDocument(() => { const now = Date.now; Date.now = () => now() - 86400000; });
    await late.goto(`${gateway}/relaxed?yesterday`);
    report('a clock behind by a day', await reached(late, 'through'));
    await late.close();
  });

  await withPage({ language: 'ar' }, async page => {
    await page.setViewport({ width: 320, height: 700 });
    await page.goto(`${gateway}/strict`);
    await pause(2000);
    const said = await page.evaluate(() => [document.documentElement.lang, document.documentElement.dir, /[؀-ۿ]/.test(document.querySelector('h1').textContent)]);
    report('Accept-Language: ar', said.join() === 'ar,rtl,true', said.join(' '));
    await looked(page, 'Arabic, 320 pixels');
  });

  await withPage({ dark: true }, async page => {
    if (kind === 'chromium') await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
    await page.goto(`${gateway}/strict`);
    await pause(2000);
    const shade = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number));
    report('who wants dark pages gets one', Math.max(...shade) < 100, shade.join(' '));
    await looked(page, 'at work, dark');
  });

  await withPage({ cookies: false }, async page => {
    const before = seen.requests.length, pages = records().length;
    await page.goto(`${gateway}/relaxed?no-cookies`);
    await pause(4000);
    const alert = await page.evaluate(() => document.getElementById('alert').textContent);
    const since = records().slice(pages).filter(line => !/favicon/.test(line.path));
    report('cookies blocked: said once, without work and without a loop', /cookie/i.test(alert) && since.length === 1 && seen.requests.length === before, `${since.length} requests: ${alert}`);
    await looked(page, 'cookies blocked');
    await page.goto(`${gateway}/.well-known/portcullis/arrived?return=%2Frelaxed`);
    await looked(page, 'the end of the way');
  });

  await withPage({ script: false }, async page => {
    let before = seen.requests.length;
    const began = Date.now();
    await page.goto(`${gateway}/relaxed?by-itself`);
    await pictured(page, 'no script');
    report('no script: through by the timed refresh', await arrives('GET /relaxed?by-itself', before, 30000), `${Date.now() - began} ms`);
  });

  await withPage({ script: false }, async page => {
    const before = seen.requests.length;
    await page.goto(`${gateway}/relaxed?by-button`);
    // The button is there when the wait is over, a second before the refresh, or with it.
    const until = Date.now() + 20000;
    while (Date.now() < until && !seen.requests.slice(before).includes('GET /relaxed?by-button')) {
      await page.keyboard.press('Tab').catch(() => {});
      await page.keyboard.press('Enter').catch(() => {});
      await pause(300);
    }
    report('no script: through, by the keyboard', await arrives('GET /relaxed?by-button', before, 5000));
  });

  await withPage({ script: false, cookies: false }, async page => {
    const before = seen.requests.length, past = records().length;
    await page.goto(`${gateway}/relaxed?neither`);
    const until = Date.now() + 30000;
    while (!page.url().includes('/arrived') && Date.now() < until) await pause(200);
    await pause(1500);
    const arrivals = records().slice(past).filter(line => /arrived$/.test(line.path) && line.status === 403).length;
    report('neither script nor cookies: said once, no loop', page.url().includes('/arrived') && arrivals === 1 && seen.requests.length === before, page.url());
  });

  const steps = records().map(line => line.challenge).filter(Boolean);
  const browserEvidence = steps.filter(step => step.step === 'solved' && step.rung === 'proof-of-work').map(step => (step.evidence || []).join('+'));
  console.log(`     evidence of this driven browser: ${[...new Set(browserEvidence)].join(', ') || 'none'}`);
  const refusals = steps.filter(step => step.step === 'refused').map(step => step.refusal);
  report('nothing honest was refused', refusals.every(refusal => ['too-early', 'spent'].includes(refusal)), refusals.join(' '));
}

async function times(gateway) {
  const runs = Number(process.env.RUNS || 20), median = list => list.slice().sort((a, b) => a - b)[list.length >> 1];
  const presets = (process.env.PRESETS || 'relaxed balanced strict').split(' ');
  await withPage({}, async (_, browser) => {
    for (const preset of presets) {
      const taken = [], rates = [], count = preset === 'strict' ? Number(process.env.STRICT_RUNS || runs) : runs;
      let workers = 0;
      for (let i = 0; i < count; i++) {
        const context = await browser.createBrowserContext();
        const page = await context.newPage();
        // What the page says of its work to the gateway, kept until it has arrived.
        await page.evaluateOnNewDocument(() => {
          const send = XMLHttpRequest.prototype.send;
          XMLHttpRequest.prototype.send = function (body) {
            sessionStorage.setItem('sent', body);
            return send.call(this, body);
          };
        });
        const began = Date.now();
        await page.goto(`${gateway}/${preset}?run=${i}`);
        if (!await reached(page, 'through', 600000)) throw new Error(`${preset}: run ${i} did not arrive`);
        taken.push(Date.now() - began);
        const sent = await page.evaluate(() => sessionStorage.getItem('sent'));
        const work = JSON.parse(new URLSearchParams(sent).get('evidence')).work;
        workers = work.workers;
        rates.push(work.hashes / work.ms / 1000 / Math.max(1, work.workers));
        await context.close();
      }
      console.log(`${kind} ${process.env.HEADFUL ? 'with a window' : 'headless'}, ${os.cpus().length} cores, ${preset}: page to origin, median of ${count}: ${median(taken)} ms (${Math.min(...taken)} to ${Math.max(...taken)}), ${workers} workers, ${median(rates).toFixed(2)} million hashes a second each`);
    }
  });
}

(async () => {
  let failed;
  try {
    const gateway = await startGateway();
    await (mode === 'times' ? times(gateway) : everything(gateway));
  } catch (fault) {
    failed = fault;
  }
  for (const child of children) child.kill('SIGTERM');
  if (failed) {
    console.error(failed.stack);
    try { console.error(fs.readFileSync(path.join(folder, 'log'), 'utf8').slice(-3000)); } catch (none) { /* it never started */ }
  }
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  if (mode !== 'times') console.log(`${results.filter(Boolean).length} of ${results.length} good`);
  process.exit(!failed && results.every(Boolean) ? 0 : 1);
})();
