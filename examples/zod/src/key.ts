// The actor's key. It stays with the actor; the ledger knows its public half.
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

export class Key {
  private constructor(private readonly secret: KeyObject) {}

  /** Reads the key in `file`, or makes a new one there. */
  static at(file: string): Key {
    if (!existsSync(file)) {
      const { privateKey } = generateKeyPairSync("ed25519");
      writeFileSync(file, privateKey.export({ format: "pem", type: "pkcs8" }), { mode: 0o600, flag: "wx" });
    }
    return new Key(createPrivateKey(readFileSync(file)));
  }

  /** The 32 bytes of the public key (RFC 8032). */
  get publicKey(): Buffer {
    const { x } = createPublicKey(this.secret).export({ format: "jwk" });
    return Buffer.from(x!, "base64url");
  }

  /** The 64 bytes of the Ed25519 signature of a hash. */
  sign(hash: Buffer): Buffer {
    return sign(null, hash, this.secret);
  }
}
