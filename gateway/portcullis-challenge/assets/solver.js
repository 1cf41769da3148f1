// Finds the nonces of a puzzle. Protocol: PROTOCOL.md.
//
// The page, the widget and the renewal all begin with this file and run.js. It has a SHA-256 of its own because
// crypto.subtle is missing on plain HTTP and is asynchronous, which costs more than such a short
// hash. Nothing here needs to compile text or WASM. Lines are for people: they are sent without
// indentation, comments and blank lines.

// Makes the search. It is also sent to workers, as text, so it refers to nothing outside of itself.
function portcullisSolver() {
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

  return search;
}

// What a worker does: it searches in slices of a tenth of a second or so and says how far it is.
// `solves` is that of memory.js, where it was sent along.
function portcullisWorker(search, solves) {
  'use strict';
  self.onmessage = function (event) {
    var task = event.data, nonce = -1, from = 0, slice = task.memory ? 1 : 131072;
    for (; nonce < 0; from += slice) {
      if (!task.memory) nonce = search(task.seed, task.part, task.bits, from, from + slice);
      else if (solves(task.seed, task.part, from, task.memory)) nonce = from;
      self.postMessage({ task: task.id, nonce: nonce, tried: nonce < 0 ? slice : nonce - from + 1 });
    }
  };
  var n = self.navigator;
  self.postMessage({ told: { ua: n.userAgent, platform: n.platform, languages: n.languages, cores: n.hardwareConcurrency } });
}
