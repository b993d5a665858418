//! `ets keygen`, `ets key-id`, and the files that hold secret keys.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use ets_core::hash::from_hex;
use ets_core::key::{PublicKey, SecretKey};
use serde_json::json;
use zeroize::Zeroizing;

use crate::output;

/// The largest file that is read as a key, in bytes.
const MAX_KEY_BYTES: usize = 16 << 10;

/// Make a key for an actor or a root authority.
///
/// Writes the secret half to a new file that only you can read (PKCS #8 PEM, as
/// `openssl genpkey -algorithm ed25519` does) and prints the public half, which
/// is what the ledger registers.
#[derive(clap::Args)]
pub struct KeygenArguments {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print the public key and key id of a key.
#[derive(clap::Args)]
pub struct KeyIdArguments {
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
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| format!("no randomness from the system: {error}"))?;
    // Without the public half: openssl reads no version 2 of PKCS #8 (RFC 5958).
    let pem = KeypairBytes { secret_key: *seed, public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| format!("cannot encode the key: {error}"))?;
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
        Err(_) => read_secret(Path::new(&arguments.key))?.public_key(),
    };
    print(&key)
}

/// The secret key in a file.
///
/// # Errors
/// A message for the user, if it cannot be read or holds no Ed25519 key.
pub fn read_secret(path: &Path) -> Result<SecretKey, String> {
    let text = Zeroizing::new(output::read_text(path, MAX_KEY_BYTES)?);
    let key = SigningKey::from_pkcs8_pem(&text)
        .map_err(|_| format!("{} holds no Ed25519 secret key in PKCS #8 PEM", path.display()))?;
    Ok(SecretKey::from_seed(key.as_bytes()))
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
