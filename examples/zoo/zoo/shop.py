"""What the shop behind the gateway serves: a page with all that pages of today ask for."""

import base64
import json

# `/` is a page with a script and a stylesheet. `app.js` asks the API, posts JSON to the login and goes on to the
# everyday things below, each of which a browser asks for in a way of its own; `/next` loads itself once more, which
# asks whether files have changed, and ends it with `/api/done`.
PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Shop</title>
<link rel="stylesheet" href="/style.css"><link rel="icon" href="/favicon.ico">
<link rel="manifest" href="/manifest.json"><link rel="prefetch" href="/prefetched.html">
<link rel="preload" href="/font.woff2" as="font" type="font/woff2" crossorigin>
<script src="/app.js" defer></script><script type="module" src="/module.js"></script></head>
<body><h1>Shop</h1><img src="/logo.png" alt="Shop"><p id="state">loading</p>
<audio src="/sound.wav" preload="auto"></audio><object data="/object.svg" type="image/svg+xml"></object>
<iframe name="inner" src="/frame"></iframe>
<form id="login" method="post" action="/login" target="inner">
<input name="user" value="ada"><input name="password" type="password" value="lovelace"></form></body></html>
"""
# Written for old engines too.
SCRIPT = b"""'use strict';
function once(start) {
  return new Promise(function (resolve) {
    setTimeout(resolve, 2000);
    try { start(resolve); } catch (error) { resolve(); }
  });
}
function asked(url, how) { return once(function (end) { fetch(url, how).then(end, end); }); }
var json = { 'content-type': 'application/json' };
function form() {
  return once(function (end) {
    document.querySelector('iframe').onload = end;
    document.getElementById('login').submit();
  });
}
var everyday = [
  function () { return once(function (end) {
    var worker = new Worker('/worker.js');
    worker.onmessage = worker.onerror = end;
  }); },
  function () { return once(function (end) {
    var request = new XMLHttpRequest();
    request.onloadend = end;
    request.open('POST', '/api/items');
    request.setRequestHeader('content-type', 'application/json');
    request.setRequestHeader('x-requested-with', 'XMLHttpRequest');
    request.send('{"name":"rug"}');
  }); },
  function () { return asked('/api/items/1', { method: 'PUT', headers: json, body: '{"name":"sofa"}' }); },
  function () { return asked('/api/items/1', { method: 'DELETE' }); },
  function () { return asked('/api/items', {
    method: 'POST', body: '{"name":"bench"}',
    headers: {
      'content-type': 'application/json', accept: 'application/json', authorization: 'Bearer x',
      'x-requested-with': 'fetch', 'x-csrf-token': 'x', 'x-client-version': '1', 'x-trace-id': 'x', 'x-locale': 'en'
    }
  }); },
  function () { return asked('/api/items', { credentials: 'omit' }); },
  function () { return asked('/page-data.json', { cache: 'no-store' }); },
  function () { return once(function (end) {
    var form = new FormData();
    form.append('file', new Blob(['x']), 'x.txt');
    fetch('/api/upload', { method: 'POST', body: form }).then(end, end);
  }); },
  function () { return once(function (end) { navigator.sendBeacon('/api/beacon', 'seen'); end(); }); },
  function () { return once(function (end) {
    var events = new EventSource('/api/events');
    events.onmessage = events.onerror = function () { events.close(); end(); };
  }); },
  function () { return once(function (end) {
    var socket = new WebSocket('wss://' + location.host + '/api/socket');
    socket.onclose = socket.onerror = end;
  }); },
  form,
  function () { return once(function (end) {
    navigator.serviceWorker.register('/service.js').then(function () {
      return navigator.serviceWorker.ready;
    }).then(end, end);
  }); },
  form
];
asked('/api/items').then(function () {
  return asked('/login', {
    method: 'POST', headers: json, body: JSON.stringify({ user: 'ada', password: 'lovelace' })
  });
}).then(function () {
  return everyday.reduce(function (before, next) { return before.then(next); }, Promise.resolve());
}).then(function () { location.assign('/next'); });
"""
NEXT = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Next</title><link rel="stylesheet" href="/style.css"></head>
<body><p>Thank you.</p><img src="/logo.png" alt="Shop"><script>
window.onload = function () {
  if (sessionStorage.getItem('again')) {
    fetch('/api/done').then(function () { document.title = 'done'; });
  } else {
    sessionStorage.setItem('again', '1');
    var json = { 'content-type': 'application/json' };
    var again = function () { location.reload(); };
    fetch('/api/items').then(function () {
      return fetch('/api/items', { method: 'POST', headers: json, body: '{"name":"cup"}' });
    }).then(function () {
      return fetch('/api/items/1', { method: 'DELETE' });
    }).then(function () {
      var request = new XMLHttpRequest();
      request.onloadend = again;
      request.open('POST', '/api/items');
      request.setRequestHeader('content-type', 'application/json');
      request.setRequestHeader('x-requested-with', 'XMLHttpRequest');
      request.send('{"name":"jar"}');
    }).then(null, again);
  }
};
</script></body></html>
"""
WORKER = b"""importScripts('/of-worker.js');
fetch('/api/items').then(function () {
  return fetch('/api/items', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"bed"}'
  });
}).then(function () { postMessage(1); });
"""
# Passes on what the form and the next page ask for, as they ask for it, and leaves alone what comes after.
SERVICE = b"""var pages = 0;
self.addEventListener('fetch', function (event) {
  if (event.request.mode === 'navigate') { pages += 1; }
  if (pages < 3) { event.respondWith(fetch(event.request)); }
});
"""
STYLE = b"""@import url("/more.css");
@font-face { font-family: shop; src: url("/font.woff2") format("woff2") }
body { font-family: shop, sans-serif; margin: 2em; background: url("/background.png") }
"""
PIXEL = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ITEMS = json.dumps({"items": [{"id": 1, "name": "lamp"}, {"id": 2, "name": "chair"}]}).encode()
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'
# A second of silence.
SOUND = b"RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\x40\x1f\0\0" + b"\x80" * 8000
HTML = "text/html; charset=utf-8"
JAVASCRIPT = "text/javascript"
ANSWERS = {
    "/": (HTML, PAGE),
    "/app.js": (JAVASCRIPT, SCRIPT),
    "/module.js": (JAVASCRIPT, b"import './imported.js';\n"),
    "/imported.js": (JAVASCRIPT, b"export default 1;\n"),
    "/worker.js": (JAVASCRIPT, WORKER),
    "/of-worker.js": (JAVASCRIPT, b"\n"),
    "/service.js": (JAVASCRIPT, SERVICE),
    "/style.css": ("text/css", STYLE),
    "/more.css": ("text/css", b"h1 { color: navy }\n"),
    "/logo.png": ("image/png", PIXEL),
    "/background.png": ("image/png", PIXEL),
    "/favicon.ico": ("image/png", PIXEL),
    "/object.svg": ("image/svg+xml", SVG),
    "/sound.wav": ("audio/wav", SOUND),
    # Not a font, which a browser learns only when it has asked for it.
    "/font.woff2": ("font/woff2", b"\0"),
    "/manifest.json": ("application/manifest+json", b'{"name":"Shop","icons":[]}'),
    "/prefetched.html": (HTML, b"<!doctype html><title>Later</title>"),
    "/frame": (HTML, b"<!doctype html><title>Frame</title>"),
    "/next": (HTML, NEXT),
    "/page-data.json": ("application/json", b"{}"),
    "/api/items": ("application/json", ITEMS),
    "/api/items/1": ("application/json", b"{}"),
    "/api/upload": ("application/json", b"{}"),
    "/api/beacon": ("application/json", b"{}"),
    "/api/events": ("text/event-stream", b"data: 1\n\n"),
    "/api/done": ("application/json", b"{}"),
}
