// Puts JavaScript in the place of what a browser's WebCrypto lacks: Ed25519 in older browsers,
// and everything on pages that come neither over TLS nor from this machine.
import { join, primitives, same } from "./bytes.js";

const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const littleEndian = (bytes) => bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);

/**
 * RFC 8032 as docs/formats.md has it: without cofactor, encodings compared. The package's own `verify`
 * multiplies by the cofactor, so only its points are used.
 */
export async function verifyInJavaScript(publicKey, message, signature) {
  const [{ Point }, { sha512 }] = await Promise.all([import("./vendor/noble-ed25519.js"), import("./sha2.js")]);
  const [r, s] = [signature.slice(0, 32), littleEndian(signature.slice(32))];
  if (s >= ORDER) return false;
  const k = littleEndian(sha512(join(r, publicKey, message))) % ORDER;
  try {
    const times = (point, number) => number === 0n ? Point.ZERO : point.multiply(number, false);
    const expected = times(Point.BASE, s).add(times(Point.fromBytes(publicKey, true), k).negate());
    return same(expected.toBytes(), r);
  } catch {
    return false; // no point of the curve
  }
}

/** Names what does the cryptography here, having replaced what is missing. */
export async function chooseCryptography(subtle = globalThis.crypto?.subtle) {
  if (!subtle) {
    const { sha256 } = await import("./sha2.js");
    Object.assign(primitives, { sha256: async (bytes) => sha256(bytes), ed25519: verifyInJavaScript });
    return "JavaScript: this page did not come over TLS, so the browser lends it no WebCrypto";
  }
  try {
    // The base point, as any key.
    await subtle.importKey("raw", Uint8Array.of(0x58, ...new Uint8Array(31).fill(0x66)), "Ed25519", true, ["verify"]);
    return "WebCrypto";
  } catch {
    primitives.ed25519 = verifyInJavaScript;
    return "WebCrypto, and JavaScript for Ed25519, which this browser lacks";
  }
}
