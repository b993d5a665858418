// SHA-256 and SHA-512 (FIPS 180-4) for browsers that keep WebCrypto for pages served over TLS.

const MASK = 0xffffffffffffffffn;

function primes(count) {
  const found = [];
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime !== 0)) found.push(n);
  return found;
}

/** The first 64 bits after the point of the root of a prime, exactly. */
function fraction(prime, power) {
  const scaled = BigInt(prime) << BigInt(64 * power);
  let low = 0n, high = 1n << 70n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** BigInt(power) <= scaled) low = middle; else high = middle;
  }
  return low & MASK;
}

const ROUNDS = primes(80).map((prime) => fraction(prime, 3)), START = primes(8).map((prime) => fraction(prime, 2));

/** How the two differ: bits of a word, bytes of the length field, and the rotations of FIPS 180-4, section 4.1. */
const SHA_256 = { bits: 32, length: 8, sums: [[2, 13, 22], [6, 11, 25]], schedule: [[7, 18, 3], [17, 19, 10]] };
const SHA_512 = { bits: 64, length: 16, sums: [[28, 34, 39], [14, 18, 41]], schedule: [[1, 8, 7], [19, 61, 6]] };

function padded(bytes, { length, bits }) {
  const block = bits * 2, size = Math.ceil((bytes.length + 1 + length) / block) * block, message = new Uint8Array(size);
  message.set(bytes);
  message[bytes.length] = 0x80;
  new DataView(message.buffer).setBigUint64(size - 8, BigInt(bytes.length) * 8n);
  return message;
}

/** On 64-bit words as BigInt: slow, and only used for the one hash of a signature. */
export function sha512(bytes) {
  const { sums, schedule } = SHA_512, message = padded(bytes, SHA_512), view = new DataView(message.buffer);
  const right = (word, by) => ((word >> BigInt(by)) | (word << BigInt(64 - by))) & MASK;
  const sum = (word, [a, b, c]) => right(word, a) ^ right(word, b) ^ right(word, c);
  const mix = (word, [a, b, shift]) => right(word, a) ^ right(word, b) ^ (word >> BigInt(shift));
  const state = [...START];
  for (let at = 0; at < message.length; at += 128) {
    const words = Array.from({ length: 16 }, (_, place) => view.getBigUint64(at + place * 8));
    for (let t = 16; t < 80; t++) words[t] = (mix(words[t - 2], schedule[1]) + words[t - 7] + mix(words[t - 15], schedule[0]) + words[t - 16]) & MASK;
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 80; t++) {
      const first = h + sum(e, sums[1]) + ((e & f) ^ (~e & MASK & g)) + ROUNDS[t] + words[t];
      const second = sum(a, sums[0]) + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) & MASK, c, b, a, (first + second) & MASK];
    }
    [a, b, c, d, e, f, g, h].forEach((word, place) => { state[place] = (state[place] + word) & MASK; });
  }
  const digest = new DataView(new ArrayBuffer(64));
  state.forEach((word, place) => digest.setBigUint64(place * 8, word));
  return new Uint8Array(digest.buffer);
}

const ROUNDS_32 = ROUNDS.map((word) => Number(word >> 32n) | 0), START_32 = START.map((word) => Number(word >> 32n) | 0);

export function sha256(bytes) {
  const { sums, schedule } = SHA_256, message = padded(bytes, SHA_256), view = new DataView(message.buffer);
  const right = (word, by) => (word >>> by) | (word << (32 - by));
  const sum = (word, [a, b, c]) => right(word, a) ^ right(word, b) ^ right(word, c);
  const mix = (word, [a, b, shift]) => right(word, a) ^ right(word, b) ^ (word >>> shift);
  const state = [...START_32], words = new Int32Array(64);
  for (let at = 0; at < message.length; at += 64) {
    for (let t = 0; t < 16; t++) words[t] = view.getInt32(at + t * 4);
    for (let t = 16; t < 64; t++) words[t] = mix(words[t - 2], schedule[1]) + words[t - 7] + mix(words[t - 15], schedule[0]) + words[t - 16];
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 64; t++) {
      const first = (h + sum(e, sums[1]) + ((e & f) ^ (~e & g)) + ROUNDS_32[t] + words[t]) | 0;
      const second = sum(a, sums[0]) + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, place) => { state[place] = (state[place] + word) | 0; });
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, place) => digest.setInt32(place * 4, word));
  return new Uint8Array(digest.buffer);
}
