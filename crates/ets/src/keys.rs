//! `ets keygen`, `ets key-id`, and the files that hold secret keys.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes, PrivateKeyInfoRef};
use ets_core::hash::from_hex;
use ets_core::key::{PublicKey, SecretKey};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{output, passphrase};

/// The largest file that is read as a key, in bytes.
const MAX_KEY_BYTES: usize = 16 << 10;

/// Make a key for an actor or a root authority.
///
/// Writes the secret half to a new file that only you can read (PKCS #8 PEM, as
/// `openssl genpkey -algorithm ed25519` does) and prints the public half, which
/// is what the ledger registers, as a JSON object: key_id and public_key.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ets keygen me.pem
  ets keygen --encrypt root.pem                          asks for a passphrase
  ets keygen --encrypt --passphrase-file pass root.pem   openssl pkey reads the file too

Exits with 0, or with 2 if no key was made.")]
pub struct KeygenArguments {
    /// Encrypt the file with a passphrase (PBES2: PBKDF2-HMAC-SHA256, AES-256-CBC)
    #[arg(long)]
    encrypt: bool,
    #[command(flatten)]
    passphrase: passphrase::PassphraseArguments,
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print the public key and key id of a key, as a JSON object: key_id and public_key.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ets key-id me.pem
  ets key-id 19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1

Exits with 0, or with 2 if it is no key.")]
pub struct KeyIdArguments {
    #[command(flatten)]
    passphrase: passphrase::PassphraseArguments,
    /// A public key in hex, or the file of a secret key
    #[arg(value_name = "HEX|FILE")]
    key: String,
}

/// Makes a key.
///
/// # Errors
/// A message for the user, if the file cannot be written.
pub fn keygen(arguments: &KeygenArguments) -> Result<u8, String> {
    let path = &arguments.file;
    if path.exists() {
        return Err(format!("cannot write {}: it exists already", path.display()));
    }
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| format!("no randomness from the system: {error}"))?;
    // Without the public half: openssl reads no version 2 of PKCS #8 (RFC 5958).
    let pair = KeypairBytes { secret_key: *seed, public_key: None };
    let failed = |error: &dyn std::fmt::Display| format!("cannot encode the key: {error}");
    let pem = if arguments.encrypt {
        let der = pair.to_pkcs8_der().map_err(|error| failed(&error))?;
        let key = PrivateKeyInfoRef::try_from(der.as_bytes()).map_err(|error| failed(&error))?;
        passphrase::encrypt(&key, &arguments.passphrase.read(path, true)?)?
    } else {
        pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| failed(&error))?
    };
    write_secret(path, pem.as_bytes())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    print(&SecretKey::from_seed(&seed).public_key())
}

/// Names a key.
///
/// # Errors
/// A message for the user, if it is no key.
pub fn key_id(arguments: &KeyIdArguments) -> Result<u8, String> {
    let key = match from_hex::<32>(&arguments.key) {
        Ok(bytes) => PublicKey::from_bytes(&bytes).map_err(|error| format!("the public key is {error}"))?,
        Err(_) => read_secret(Path::new(&arguments.key), &arguments.passphrase)?.public_key(),
    };
    print(&key)
}

/// The secret key in a file; `source` is asked if it is under a passphrase.
///
/// # Errors
/// A message for the user, if it cannot be read, holds no Ed25519 key or does not open
/// with the passphrase.
pub fn read_secret(path: &Path, source: &passphrase::PassphraseArguments) -> Result<SecretKey, String> {
    let text = Zeroizing::new(output::read_text(path, MAX_KEY_BYTES)?);
    let key = if passphrase::is_encrypted(&text) {
        let words = source.read(path, false)?;
        let der = passphrase::decrypt(&text, &words).map_err(|what| format!("{} {what}", path.display()))?;
        SigningKey::from_pkcs8_der(der.as_bytes())
    } else {
        SigningKey::from_pkcs8_pem(&text)
    };
    let key = key.map_err(|_| format!("{} holds no Ed25519 secret key in PKCS #8 PEM", path.display()))?;
    Ok(SecretKey::from_seed(key.as_bytes()))
}

/// The public key that an option names in hex.
///
/// # Errors
/// A message for the user that names the option.
pub fn public_key(option: &str, hex: &str) -> Result<PublicKey, String> {
    let bytes = from_hex::<32>(hex).map_err(|error| format!("{option} is {error}"))?;
    PublicKey::from_bytes(&bytes).map_err(|error| format!("{option} is {error}"))
}

fn print(key: &PublicKey) -> Result<u8, String> {
    output::line(&json!({"key_id": key.key_id(), "public_key": key.to_string()}).to_string())?;
    Ok(0)
}

/// Creates the file anew, readable by its owner alone from the first moment.
fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
