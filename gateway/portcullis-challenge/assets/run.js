// Solves `puzzle`, an object with the members `seed`, `bits` and `count`, and calls
// `end(nonces, work, told)`: their text, how it went, and what a worker was told about the browser.
// On the way it calls `saw(done, hashes)`. The answer is a function that stops it.
//
// Workers come from a blob; where a policy forbids that, from `path`; where there are none the page
// works itself, in slices with `pause` milliseconds between them.
function portcullisRun(puzzle, path, most, pause, saw, end) {
  'use strict';
  var search = portcullisSolver(), seed = new Int32Array(8), nonces = [], waiting = [], workers = [], urls = [];
  var done = 0, here = false, stopped = false, began = Date.now(), told = null;
  var work = { ms: 0, hashes: 0, workers: 0, from: 'none' };

  function tried(count) {
    work.hashes += count;
    saw(done, work.hashes);
  }

  function found(part, nonce) {
    if (nonces[part] === undefined) {
      nonces[part] = nonce;
      done++;
    }
  }

  function stop() {
    stopped = true;
    workers.forEach(function (worker) { worker.terminate(); });
    urls.forEach(function (url) { URL.revokeObjectURL(url); });
    workers = urls = [];
  }

  function finish() {
    if (stopped || done < puzzle.count) return;
    stop();
    work.ms = Date.now() - began;
    var bytes = '';
    nonces.forEach(function (n) {
      bytes += String.fromCharCode(n >>> 24, n >>> 16 & 255, n >>> 8 & 255, n & 255);
    });
    end(btoa(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, ''), work, told);
  }

  function employ(from) {
    var worker, mine = [], lost = false, ready = false;
    function next() {
      if (!waiting.length) return;
      var part = waiting.shift();
      mine.push(part);
      worker.postMessage({ seed: seed, part: part, bits: puzzle.bits });
    }
    function lose(event) {
      if (event && event.preventDefault) event.preventDefault();
      if (lost || stopped) return;
      lost = true;
      if (worker) worker.terminate();
      if (ready) work.workers--;
      waiting = mine.concat(waiting);
      if (from === 'blob' && !ready && path) employ('path');
      // The other workers may be idle by now, and nothing would wake them.
      else workHere();
    }
    try {
      var url = path;
      if (from === 'blob') {
        url = URL.createObjectURL(new Blob(['(' + portcullisWorker + ')((' + portcullisSolver + ')())'], { type: 'text/javascript' }));
        urls.push(url);
      }
      worker = new Worker(url);
    } catch (blocked) {
      lose();
      return;
    }
    workers.push(worker);
    worker.onerror = lose;
    worker.onmessage = function (event) {
      var data = event.data;
      if (lost || stopped) return;
      if (data.told) {
        ready = true;
        told = data.told;
        work.workers++;
        work.from = from;
        next();
        next();
        return;
      }
      if (data.nonce >= 0) {
        mine.splice(mine.indexOf(data.part), 1);
        found(data.part, data.nonce);
        // Two at a time, so that a worker never waits for this thread.
        next();
      }
      tried(data.tried);
      finish();
    };
  }

  // Without workers: in slices of some ten milliseconds, so that the page stays usable.
  function workHere() {
    if (here || stopped) return;
    here = true;
    var part = -1, from = 0, size = 1000;
    var channel = !pause && typeof MessageChannel === 'function' ? new MessageChannel() : null;
    function later() {
      if (channel) channel.port2.postMessage(0);
      else setTimeout(slice, pause);
    }
    function slice() {
      if (stopped) return;
      if (part < 0) {
        if (!waiting.length) {
          here = false;
          return;
        }
        part = waiting.shift();
        from = 0;
      }
      var before = Date.now(), nonce = search(seed, part, puzzle.bits, from, from + size), took = Date.now() - before;
      if (nonce < 0) {
        tried(size);
        from += size;
        size = took < 8 ? size * 2 : took > 16 ? Math.max(1000, size >> 1) : size;
      } else {
        found(part, nonce);
        tried(nonce - from + 1);
        part = -1;
        finish();
      }
      later();
    }
    if (channel) channel.port1.onmessage = slice;
    later();
  }

  for (var i = 0; i < 8; i++) seed[i] = parseInt(puzzle.seed.substr(i * 8, 8), 16);
  for (var part = 0; part < puzzle.count; part++) waiting.push(part);
  var cores = Math.min(navigator.hardwareConcurrency || 2, most, puzzle.count);
  while (cores-- > 0) employ('blob');
  // A worker that neither starts nor fails, as some policies and extensions have it.
  setTimeout(function () { if (!work.workers) workHere(); }, 1500);
  return stop;
}
