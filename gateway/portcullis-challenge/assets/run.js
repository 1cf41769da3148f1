// Solves `puzzle`, an object with the members `seed`, `bits`, `count` and, where it is memory-hard,
// `memory` with `mebibytes`, `passes`, `bits` and `count`. Then it calls `end(nonces, work, told)`: their
// text, how it went, and what a worker was told about the browser. On the way it calls
// `saw(done, spent, left)`: the parts done, what was spent, and what is left to spend in the mean, both
// in about as much time as a hash takes. The answer is a function that stops it.
//
// Workers come from a blob; where a policy forbids that, from `path`; where there are none the page
// works itself, in slices with `pause` milliseconds between them.
function portcullisRun(puzzle, path, most, pause, saw, end) {
  'use strict';
  var memory = puzzle.memory, hard = memory ? portcullisMemory : null;
  var search = portcullisSolver(), solves = hard && hard(), seed = new Int32Array(8);
  var tasks = [], nonces = [], waiting = [], workers = [], urls = [];
  var done = 0, spent = 0, left = 0, here = false, stopped = false, began = Date.now(), told = null;
  var work = { ms: 0, hashes: 0, workers: 0, from: 'none' };

  function add(part, bits, cost, memory) {
    var task = { id: tasks.length, seed: seed, part: part, bits: bits, memory: memory, cost: cost };
    tasks.push(task);
    left += cost * Math.pow(2, bits);
    return task;
  }

  function tried(task, count, nonce) {
    spent += count * task.cost;
    if (!task.memory) work.hashes += count;
    if (nonce >= 0 && nonces[task.id] === undefined) {
      nonces[task.id] = nonce;
      // A part that is begun is as far from its end as one that is not.
      left -= task.cost * Math.pow(2, task.bits);
      done++;
    }
    saw(done, spent, left);
    if (done === tasks.length && !stopped) finish();
  }

  function stop() {
    stopped = true;
    workers.forEach(function (worker) { worker.terminate(); });
    urls.forEach(function (url) { URL.revokeObjectURL(url); });
    workers = urls = [];
  }

  function finish() {
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
      var task = waiting.shift();
      mine.push(task);
      worker.postMessage(task);
    }
    function lose(event) {
      if (event && event.preventDefault) event.preventDefault();
      if (lost || stopped) return;
      lost = true;
      if (worker) worker.terminate();
      if (ready) work.workers--;
      waiting = mine.concat(waiting);
      if (from === 'blob' && !ready && path && !hard) employ('path');
      // The other workers may be idle by now, and nothing would wake them.
      else workHere();
    }
    try {
      var url = path;
      if (from === 'blob') {
        url = URL.createObjectURL(new Blob(['(' + portcullisWorker + ')((' + portcullisSolver + ')(),' + (hard ? '(' + hard + ')()' : 'null') + ')'], { type: 'text/javascript' }));
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
        // Two hashed parts at a time, so that a worker never waits for this thread; a memory-hard one is
        // long, and waits for a worker that is free.
        next();
        if (!hard) next();
        return;
      }
      var task = tasks[data.task];
      if (data.nonce >= 0) {
        mine.splice(mine.indexOf(task), 1);
        next();
      }
      tried(task, data.tried, data.nonce);
    };
  }

  // Without workers: in slices of some ten milliseconds, so that the page stays usable.
  function workHere() {
    if (here || stopped) return;
    here = true;
    var task = null, from = 0, size = 1000;
    var channel = !pause && typeof MessageChannel === 'function' ? new MessageChannel() : null;
    function later() {
      if (channel) channel.port2.postMessage(0);
      else setTimeout(slice, pause);
    }
    function slice() {
      if (stopped) return;
      if (!task) {
        if (!waiting.length) {
          here = false;
          return;
        }
        task = waiting.shift();
        from = 0;
      }
      var before = Date.now(), count = task.memory ? 1 : size, nonce = -1, now = task;
      if (!task.memory) nonce = search(seed, task.part, task.bits, from, from + count);
      else if (solves(seed, task.part, from, task.memory)) nonce = from;
      var took = Date.now() - before;
      if (nonce >= 0) {
        count = nonce - from + 1;
        task = null;
      } else {
        from += count;
        if (!now.memory) size = took < 8 ? size * 2 : took > 16 ? Math.max(1000, size >> 1) : size;
      }
      tried(now, count, nonce);
      later();
    }
    if (channel) channel.port1.onmessage = slice;
    later();
  }

  for (var i = 0; i < 8; i++) seed[i] = parseInt(puzzle.seed.substr(i * 8, 8), 16);
  for (var part = 0; part < puzzle.count; part++) waiting.push(add(part, puzzle.bits, 1, null));
  if (hard) {
    // In front, as they are the longest. Filling a MiB takes as long as some 16,000 hashes.
    for (part = 0; part < memory.count; part++) waiting.unshift(add(part, memory.bits, 16000 * memory.mebibytes * memory.passes, memory));
    // All workers together take no more than a phone's browser gives a page.
    most = Math.max(1, Math.min(most, Math.floor(128 / memory.mebibytes)));
  }
  var cores = Math.min(navigator.hardwareConcurrency || 2, most, tasks.length);
  while (cores-- > 0) employ('blob');
  // A worker that neither starts nor fails, as some policies and extensions have it.
  setTimeout(function () { if (!work.workers) workHere(); }, 1500);
  return stop;
}
