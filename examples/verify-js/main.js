// usage: node main.js verify ROOT_KEY BUNDLE…
//        node main.js sign KEY_FILE PAYLOAD PREVIOUS_HASH
// Exits with 0 if every check passes, 1 if one fails, 2 if it cannot be done.
import { readFileSync } from "node:fs";
import { canonical, signEvent, verify } from "./verify.js";

// Node 18 has it, but not under this name.
globalThis.crypto ??= (await import("node:crypto")).webcrypto;

const [command, ...given] = process.argv.slice(2);
const hex = (bytes) => Buffer.from(bytes).toString("hex");
try {
  if (command === "verify" && given.length > 1) {
    for (const path of given.slice(1)) {
      const checks = await verify(readFileSync(path, "utf8"), given[0]);
      for (const [name, passed, { error }] of checks) console.log(`${passed ? "ok    " : "FAILED"} ${name}${error ? `: ${error}` : ""}`);
      const isMatch = checks.every(([, passed]) => passed);
      console.log(`${path}: ${isMatch ? "MATCH (schema and rules are not judged here)" : "MISMATCH"}`);
      process.exitCode = isMatch ? process.exitCode : 1;
    }
  } else if (command === "sign" && given.length === 3) {
    const pem = readFileSync(given[0], "utf8").replace(/-----.*-----|\s/g, "");
    const payload = JSON.parse(given[1]);
    const { hash, signature } = await signEvent(payload, Buffer.from(given[2], "hex"), Buffer.from(pem, "base64"));
    console.log(JSON.stringify({ payload: canonical(payload), current_hash: hex(hash), signature: hex(signature) }));
  } else throw new Error("usage: node main.js verify ROOT_KEY BUNDLE… | sign KEY_FILE PAYLOAD PREVIOUS_HASH");
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
}
