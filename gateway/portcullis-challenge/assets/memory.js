// Argon2id (RFC 9106) of one lane, for memory-hard parts. It is also sent to workers, as text, so it
// refers to nothing outside of itself.
//
// A word of 64 bits is two of 32 bits, the low one first.
function portcullisMemory() {
  'use strict';
  var IV = new Int32Array([
    0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a,
    0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19
  ]);
  // The order of the message's words in each round of BLAKE2b (RFC 7693 §2.7).
  var ORDER = [
    '0123456789abcdef', 'ea489fd61c02b753', 'b8c052fdae367194', '7931dcbe265a40f8', '905724afe1bc683d',
    '2c6a0b834d75fe19', 'c51fed4a0763928b', 'db7ec13950f4862a', '6fe9b308c2d714a5', 'a2847615fb9e3cd0'
  ];
  var V = new Int32Array(32), R = new Int32Array(256), Z = new Int32Array(256), M = null;

  // a = a + b + the word (low, high), in v; a and b are indices of low halves.
  function add(v, a, b, low, high) {
    var sum = (v[a] >>> 0) + (v[b] >>> 0) + (low >>> 0);
    v[a] = sum | 0;
    v[a + 1] = v[a + 1] + v[b + 1] + high + (sum / 4294967296 | 0) | 0;
  }

  // a = a ^ b, turned right by `by` bits.
  function turn(v, a, b, by) {
    var low = v[a] ^ v[b], high = v[a + 1] ^ v[b + 1], swap = low;
    if (by === 32) {
      low = high;
      high = swap;
    } else if (by === 63) {
      low = low << 1 | high >>> 31;
      high = high << 1 | swap >>> 31;
    } else {
      low = low >>> by | high << (32 - by);
      high = high >>> by | swap << (32 - by);
    }
    v[a] = low;
    v[a + 1] = high;
  }

  // BLAKE2b of `words` (RFC 7693), `bytes` long and padded with zeros, as `size` bytes.
  function blake(words, bytes, size) {
    var h = IV.slice(), at = 0, i, r;
    h[0] ^= 0x01010000 ^ size;
    function mix(a, b, c, d, x, y) {
      x = at + 2 * parseInt(x, 16);
      y = at + 2 * parseInt(y, 16);
      add(V, a, b, words[x], words[x + 1]);
      turn(V, d, a, 32);
      add(V, c, d, 0, 0);
      turn(V, b, c, 24);
      add(V, a, b, words[y], words[y + 1]);
      turn(V, d, a, 16);
      add(V, c, d, 0, 0);
      turn(V, b, c, 63);
    }
    for (;; at += 32) {
      var last = at * 4 + 128 >= bytes;
      V.set(h);
      V.set(IV, 16);
      V[24] ^= last ? bytes : at * 4 + 128;
      if (last) {
        V[28] = ~V[28];
        V[29] = ~V[29];
      }
      for (r = 0; r < 12; r++) {
        var s = ORDER[r % 10];
        for (i = 0; i < 4; i++) mix(2 * i, 2 * i + 8, 2 * i + 16, 2 * i + 24, s[2 * i], s[2 * i + 1]);
        for (i = 0; i < 4; i++) mix(2 * i, 2 * ((i + 1) % 4) + 8, 2 * ((i + 2) % 4) + 16, 2 * ((i + 3) % 4) + 24, s[2 * i + 8], s[2 * i + 9]);
      }
      for (i = 0; i < 16; i++) h[i] ^= V[i] ^ V[i + 16];
      if (last) return h;
    }
  }

  // A message for `blake`: words of 32 bits, padded to whole blocks.
  function padded(words) {
    var out = new Int32Array(Math.ceil(words.length / 32) * 32);
    out.set(words);
    return out;
  }

  // H' (RFC 9106 §3.3) of `words`, 1024 bytes long, into memory at `to`.
  function expand(words, to) {
    var v = blake(padded([1024].concat(words)), 4 * words.length + 4, 64), i;
    for (i = 0; i < 30; i++) {
      M.set(v.subarray(0, 8), to + 8 * i);
      v = blake(padded(Array.prototype.slice.call(v)), 64, 64);
    }
    M.set(v, to + 240);
  }

  // a = a + b + 2 × low(a) × low(b) (RFC 9106 §3.6), all of it in whole numbers of 32 bits.
  function grow(a, b) {
    var x = R[a], y = R[b], x0 = x & 65535, x1 = x >>> 16, y0 = y & 65535, y1 = y >>> 16;
    var low = Math.imul(x0, y0), mid = Math.imul(x1, y0) + (low >>> 16) | 0, other = Math.imul(x0, y1) + (mid & 65535) | 0;
    var high = Math.imul(x1, y1) + (mid >>> 16) + (other >>> 16) | 0;
    low = Math.imul(x, y);
    high = high << 1 | low >>> 31;
    low <<= 1;
    var sum = x + y | 0, carry = (sum >>> 0) < (x >>> 0) ? 1 : 0, all = sum + low | 0;
    if ((all >>> 0) < (sum >>> 0)) carry++;
    R[a] = all;
    R[a + 1] = R[a + 1] + R[b + 1] + high + carry | 0;
  }

  function mix(a, b, c, d) {
    var low, high;
    grow(a, b);
    low = R[d] ^ R[a];
    R[d] = R[d + 1] ^ R[a + 1];
    R[d + 1] = low;
    grow(c, d);
    low = R[b] ^ R[c];
    high = R[b + 1] ^ R[c + 1];
    R[b] = low >>> 24 | high << 8;
    R[b + 1] = high >>> 24 | low << 8;
    grow(a, b);
    low = R[d] ^ R[a];
    high = R[d + 1] ^ R[a + 1];
    R[d] = low >>> 16 | high << 16;
    R[d + 1] = high >>> 16 | low << 16;
    grow(c, d);
    low = R[b] ^ R[c];
    high = R[b + 1] ^ R[c + 1];
    R[b] = low << 1 | high >>> 31;
    R[b + 1] = high << 1 | low >>> 31;
  }

  // The permutation of 16 words, of which the first is at `o`, pairs are `p` apart.
  function permute(o, p) {
    var q = o + 2 * p, r = o + 4 * p, s = o + 6 * p;
    mix(o, q, r, s);
    mix(o + 2, q + 2, r + 2, s + 2);
    mix(o + p, q + p, r + p, s + p);
    mix(o + p + 2, q + p + 2, r + p + 2, s + p + 2);
    mix(o, q + 2, r + p, s + p + 2);
    mix(o + 2, q + p, r + p + 2, s);
    mix(o + p, q + p + 2, r, s + 2);
    mix(o + p + 2, q, r + 2, s + p);
  }

  // Compresses the blocks at `x` in X and `y` in Y into the one at `to` in T, on top of what is there
  // when `keep` is -1 and in its place when it is 0.
  function compress(X, x, Y, y, T, to, keep) {
    var i;
    for (i = 0; i < 256; i++) R[i] = Z[i] = X[x + i] ^ Y[y + i];
    for (i = 0; i < 8; i++) permute(32 * i, 4);
    for (i = 0; i < 8; i++) permute(4 * i, 32);
    for (i = 0; i < 256; i++) T[to + i] = T[to + i] & keep ^ Z[i] ^ R[i];
  }

  // The first word of the hash of part and nonce, as a number that sorts by its leading zeros.
  function hash(seed, part, nonce, blocks, passes) {
    function swapped(w) { return w << 24 | (w & 0xff00) << 8 | w >>> 8 & 0xff00 | w >>> 24; }
    var start = [1, 32, blocks, passes, 0x13, 2, 8, swapped(part), swapped(nonce), 32], i, pass, slice, index;
    for (i = 0; i < 8; i++) start.push(swapped(seed[i]));
    start.push(0, 0);
    var first = Array.prototype.slice.call(blake(padded(start), 4 * start.length, 64));
    if (!M || M.length !== 256 * blocks) M = new Int32Array(256 * blocks);
    expand(first.concat([0, 0]), 0);
    expand(first.concat([1, 0]), 256);
    var segment = blocks / 4, zero = new Int32Array(256), input = new Int32Array(256), addresses = new Int32Array(256);
    for (pass = 0; pass < passes; pass++) {
      for (slice = 0; slice < 4; slice++) {
        var early = pass === 0 && slice === 0, still = pass === 0 && slice < 2;
        input.fill(0);
        input[0] = pass;
        input[4] = slice;
        input[6] = blocks;
        input[8] = passes;
        input[10] = 2;
        for (index = early ? 2 : 0; index < segment; index++) {
          var at = slice * segment + index, before = at === 0 ? blocks - 1 : at - 1, random = M[256 * before];
          if (still) {
            if (index % 128 === 0 || early && index === 2) {
              input[12]++;
              compress(zero, 0, input, 0, addresses, 0, 0);
              compress(zero, 0, addresses, 0, addresses, 0, 0);
            }
            random = addresses[2 * (index % 128)];
          }
          // RFC 9106 §3.4.2, with the upper half of products of 32 bits by way of 16.
          var area = (pass === 0 ? slice * segment : blocks - segment) + index - 1;
          var relative = area - 1 - upper(area, upper(random, random));
          var from = pass === 0 || slice === 3 ? 0 : (slice + 1) * segment;
          compress(M, 256 * before, M, 256 * ((from + relative) % blocks), M, 256 * at, pass === 0 ? 0 : -1);
        }
      }
    }
    var last = [32].concat(Array.prototype.slice.call(M, 256 * (blocks - 1)));
    return swapped(blake(padded(last), 1028, 32)[0]);
  }

  // The upper 32 bits of the product of two numbers of 32 bits.
  function upper(x, y) {
    var x0 = x & 65535, x1 = x >>> 16, y0 = y & 65535, y1 = y >>> 16;
    var mid = x1 * y0 + (x0 * y0 >>> 16 >>> 0), other = x0 * y1 + mid % 65536;
    return x1 * y1 + Math.floor(mid / 65536) + Math.floor(other / 65536);
  }

  // Whether `nonce` solves `part`.
  return function (seed, part, nonce, memory) {
    return hash(seed, part, nonce, 1024 * memory.mebibytes, memory.passes) >>> (32 - memory.bits) === 0;
  };
}
