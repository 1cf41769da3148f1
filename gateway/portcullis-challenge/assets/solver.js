// The challenge: finds the nonces of a puzzle and hands them in. Protocol: PROTOCOL.md.
//
// One file, two roles: inside the page it shows and directs, in a Web Worker it only searches.
// It has a SHA-256 of its own because crypto.subtle is missing on plain HTTP and is asynchronous,
// which costs more than such a short hash. Nothing here needs to compile text or WASM.
(function () {
  'use strict';

  var K = new Int32Array([
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
  ]);
  var H = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
  var NONCES = 0x100000000;
  var W = new Int32Array(64), S = new Int32Array(8);

  // Puts into S the state after the first eight rounds, which the seed alone decides.
  function afterSeed(seed) {
    var a = H[0] | 0, b = H[1] | 0, c = H[2] | 0, d = H[3] | 0, e = H[4] | 0, f = H[5] | 0, g = H[6] | 0, h = H[7] | 0;
    for (var i = 0; i < 8; i++) {
      var x = h + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) + (g ^ (e & (f ^ g))) + K[i] + seed[i] | 0;
      var y = (((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) + ((a & b) | (c & (a | b))) | 0;
      h = g; g = f; f = e; e = d + x | 0; d = c; c = b; b = a; a = x + y | 0;
    }
    S[0] = a; S[1] = b; S[2] = c; S[3] = d; S[4] = e; S[5] = f; S[6] = g; S[7] = h;
  }

  // The first word of the hash of the block in W, from the state in S on.
  function firstWord() {
    var i, t, x, y;
    for (i = 16; i < 64; i++) {
      x = W[i - 15];
      y = W[i - 2];
      W[i] = ((W[i - 16] + W[i - 7] | 0)
        + (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)) | 0)
        + (((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)) | 0;
    }
    var a = S[0], b = S[1], c = S[2], d = S[3], e = S[4], f = S[5], g = S[6], h = S[7];
    // Eight rounds at a time, in which the variables change roles instead of values.
    for (i = 8; i < 64; i += 8) {
      t = ((h + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) | 0) + (g ^ (e & (f ^ g))) | 0) + (K[i] + W[i] | 0) | 0;
      d = d + t | 0;
      h = (t + (((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) | 0) + ((a & b) | (c & (a | b))) | 0;
      t = ((g + (((d >>> 6) | (d << 26)) ^ ((d >>> 11) | (d << 21)) ^ ((d >>> 25) | (d << 7))) | 0) + (f ^ (d & (e ^ f))) | 0) + (K[i + 1] + W[i + 1] | 0) | 0;
      c = c + t | 0;
      g = (t + (((h >>> 2) | (h << 30)) ^ ((h >>> 13) | (h << 19)) ^ ((h >>> 22) | (h << 10))) | 0) + ((h & a) | (b & (h | a))) | 0;
      t = ((f + (((c >>> 6) | (c << 26)) ^ ((c >>> 11) | (c << 21)) ^ ((c >>> 25) | (c << 7))) | 0) + (e ^ (c & (d ^ e))) | 0) + (K[i + 2] + W[i + 2] | 0) | 0;
      b = b + t | 0;
      f = (t + (((g >>> 2) | (g << 30)) ^ ((g >>> 13) | (g << 19)) ^ ((g >>> 22) | (g << 10))) | 0) + ((g & h) | (a & (g | h))) | 0;
      t = ((e + (((b >>> 6) | (b << 26)) ^ ((b >>> 11) | (b << 21)) ^ ((b >>> 25) | (b << 7))) | 0) + (d ^ (b & (c ^ d))) | 0) + (K[i + 3] + W[i + 3] | 0) | 0;
      a = a + t | 0;
      e = (t + (((f >>> 2) | (f << 30)) ^ ((f >>> 13) | (f << 19)) ^ ((f >>> 22) | (f << 10))) | 0) + ((f & g) | (h & (f | g))) | 0;
      t = ((d + (((a >>> 6) | (a << 26)) ^ ((a >>> 11) | (a << 21)) ^ ((a >>> 25) | (a << 7))) | 0) + (c ^ (a & (b ^ c))) | 0) + (K[i + 4] + W[i + 4] | 0) | 0;
      h = h + t | 0;
      d = (t + (((e >>> 2) | (e << 30)) ^ ((e >>> 13) | (e << 19)) ^ ((e >>> 22) | (e << 10))) | 0) + ((e & f) | (g & (e | f))) | 0;
      t = ((c + (((h >>> 6) | (h << 26)) ^ ((h >>> 11) | (h << 21)) ^ ((h >>> 25) | (h << 7))) | 0) + (b ^ (h & (a ^ b))) | 0) + (K[i + 5] + W[i + 5] | 0) | 0;
      g = g + t | 0;
      c = (t + (((d >>> 2) | (d << 30)) ^ ((d >>> 13) | (d << 19)) ^ ((d >>> 22) | (d << 10))) | 0) + ((d & e) | (f & (d | e))) | 0;
      t = ((b + (((g >>> 6) | (g << 26)) ^ ((g >>> 11) | (g << 21)) ^ ((g >>> 25) | (g << 7))) | 0) + (a ^ (g & (h ^ a))) | 0) + (K[i + 6] + W[i + 6] | 0) | 0;
      f = f + t | 0;
      b = (t + (((c >>> 2) | (c << 30)) ^ ((c >>> 13) | (c << 19)) ^ ((c >>> 22) | (c << 10))) | 0) + ((c & d) | (e & (c | d))) | 0;
      t = ((a + (((f >>> 6) | (f << 26)) ^ ((f >>> 11) | (f << 21)) ^ ((f >>> 25) | (f << 7))) | 0) + (h ^ (f & (g ^ h))) | 0) + (K[i + 7] + W[i + 7] | 0) | 0;
      e = e + t | 0;
      a = (t + (((b >>> 2) | (b << 30)) ^ ((b >>> 13) | (b << 19)) ^ ((b >>> 22) | (b << 10))) | 0) + ((b & c) | (d & (b | c))) | 0;
    }
    return a + 0x6a09e667 | 0;
  }

  // The least nonce from `first` up to but not including `end` that solves `part`, or -1.
  //
  // The message, seed (8 words), part and nonce, is one block with its padding. The first word of
  // the hash decides, as a difficulty has fewer than 32 bits.
  function search(seed, part, bits, first, end) {
    var i, n, shift = 32 - bits;
    afterSeed(seed);
    for (i = 0; i < 8; i++) W[i] = seed[i];
    W[8] = part;
    W[10] = 0x80000000;
    W[11] = W[12] = W[13] = W[14] = 0;
    W[15] = 320;
    for (n = first; n < end; n++) {
      W[9] = n;
      if (firstWord() >>> shift === 0) return n;
    }
    return -1;
  }

  if (typeof document === 'undefined') {
    self.onmessage = function (event) {
      var task = event.data;
      self.postMessage({ part: task.part, nonce: search(task.seed, task.part, task.bits, 0, NONCES) });
    };
    self.postMessage({ ready: true });
    return;
  }

  // From here on: the page.

  var box = document.getElementById('challenge');
  var bar = document.getElementById('bar');
  var line = document.getElementById('line');
  var live = document.getElementById('live');
  var show = window.portcullisShow;
  var total = Number(text('count')), bits = Number(text('bits')), seed = words(text('seed'));
  var nonces = [], done = 0, hashes = 0, started = 0, spokenAt = 0, shownAt = 0;
  var waiting = [], ready = false, here = false;

  function text(name) { return box.getAttribute('data-' + name); }

  function words(hex) {
    var out = new Int32Array(8);
    for (var i = 0; i < 8; i++) out[i] = parseInt(hex.substr(i * 8, 8), 16);
    return out;
  }

  // Whether this browser will keep the cookie. Without it the work would be for nothing, and the
  // page would come again and again.
  function keepsCookies() {
    document.cookie = 'portcullis-probe=1; path=/; max-age=60; SameSite=Lax';
    var kept = document.cookie.indexOf('portcullis-probe=1') >= 0;
    document.cookie = 'portcullis-probe=; path=/; max-age=0; SameSite=Lax';
    return kept;
  }

  // How often in a row this tab was let through and yet came back here within a minute.
  function passes(change) {
    try {
      var now = Date.now(), kept = (sessionStorage.getItem('portcullis-passes') || '0 0').split(' ');
      var count = now - Number(kept[1]) < 60000 ? Number(kept[0]) : 0;
      if (change) sessionStorage.setItem('portcullis-passes', change(count) + ' ' + now);
      return count;
    } catch (blocked) {
      return 0;
    }
  }

  function duration(ms) {
    var amount = Math.max(1, Math.ceil(ms / 1000)), unit = 'second';
    if (amount > 90) { amount = Math.ceil(amount / 60); unit = 'minute'; }
    try {
      return new Intl.NumberFormat(document.documentElement.lang, { style: 'unit', unit: unit, unitDisplay: 'long' }).format(amount);
    } catch (old) {
      return amount + (unit === 'second' ? ' s' : ' min');
    }
  }

  // What is seen changes four times a second; what is spoken, every five seconds.
  function progress() {
    var now = Date.now();
    bar.value = done;
    if (now - shownAt < 250 || done === 0) return;
    shownAt = now;
    var left = (total - done) * Math.pow(2, bits) * (now - started) / hashes;
    line.textContent = text('progress').replace('{done}', done).replace('{total}', total).replace('{left}', duration(left));
    if (now - spokenAt >= 5000) {
      spokenAt = now;
      live.textContent = line.textContent;
    }
  }

  function say(name) {
    line.textContent = live.textContent = text(name);
  }

  function found(part, nonce) {
    if (nonces[part] !== undefined) return;
    nonces[part] = nonce;
    hashes += nonce + 1;
    done++;
    progress();
    if (done === total) {
      bar.value = total;
      say('sending');
      send(0);
    }
  }

  function encoded() {
    var bytes = '';
    for (var i = 0; i < total; i++) {
      bytes += String.fromCharCode(nonces[i] >>> 24, nonces[i] >>> 16 & 255, nonces[i] >>> 8 & 255, nonces[i] & 255);
    }
    return btoa(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  }

  function send(tries) {
    var request = new XMLHttpRequest();
    request.open('POST', text('redeem'));
    request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
    request.onload = function () {
      if (request.status >= 200 && request.status < 300) {
        say('done');
        passes(function (count) { return count + 1; });
        leave();
      } else if (request.status === 503 && tries < 5) {
        setTimeout(function () { send(tries + 1); }, 2000);
      } else {
        show('refused');
      }
    };
    request.onerror = function () {
      show('offline', function () { show(''); say('sending'); send(0); });
    };
    request.send('solution=' + text('token') + '.' + encoded());
  }

  function leave() {
    var target = text('return');
    // Reloading keeps the fragment; going to the same address with it would not load anything.
    if (target === location.pathname + location.search) location.reload();
    else location.replace(target);
  }

  function employ() {
    var worker = new Worker(text('solver')), mine = [];
    function next() {
      if (!waiting.length) return;
      var part = waiting.shift();
      mine.push(part);
      worker.postMessage({ seed: seed, part: part, bits: bits });
    }
    worker.onmessage = function (event) {
      if (event.data.ready) {
        ready = true;
        next();
      } else {
        mine.splice(mine.indexOf(event.data.part), 1);
        found(event.data.part, event.data.nonce);
      }
      // Two at a time, so that a worker never waits for this thread.
      next();
    };
    worker.onerror = function (event) {
      if (event.preventDefault) event.preventDefault();
      worker.terminate();
      waiting = mine.concat(waiting);
      mine = [];
      // The other workers may be idle by now, and nothing would wake them.
      workHere();
    };
  }

  // Without workers: in slices of some ten milliseconds, so that the page stays usable.
  function workHere() {
    if (here) return;
    here = true;
    var part = -1, from = 0, size = 1000, channel = typeof MessageChannel === 'function' ? new MessageChannel() : null;
    function later() { if (channel) channel.port2.postMessage(0); else setTimeout(slice, 0); }
    function slice() {
      if (part < 0) {
        if (!waiting.length) { here = false; return; }
        part = waiting.shift();
        from = 0;
      }
      var before = Date.now();
      var nonce = search(seed, part, bits, from, Math.min(from + size, NONCES));
      var took = Date.now() - before;
      if (nonce < 0) {
        from += size;
        size = took < 8 ? size * 2 : took > 16 ? Math.max(1000, size >> 1) : size;
      } else {
        var solved = part;
        part = -1;
        found(solved, nonce);
      }
      later();
    }
    if (channel) channel.port1.onmessage = slice;
    later();
  }

  function start() {
    for (var part = 0; part < total; part++) waiting.push(part);
    started = Date.now();
    say('starting');
    try {
      var cores = Math.min(navigator.hardwareConcurrency || 2, 8, total);
      for (var i = 0; i < cores; i++) employ();
      setTimeout(function () { if (!ready) workHere(); }, 1500);
    } catch (blocked) {
      workHere();
    }
  }

  window.onerror = null;
  try {
    if (!keepsCookies() || passes() >= 2) {
      show('no-cookies', function () {
        passes(function () { return 0; });
        location.reload();
      });
    } else {
      show('');
      start();
    }
  } catch (fault) {
    show('failed');
  }
})();
