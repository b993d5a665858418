//! Secret keys under a passphrase: PKCS #8 PEM encrypted with PBES2 (RFC 8018).

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::pkcs5::{self, EncryptionScheme};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

use crate::output;

/// What the PEM of an encrypted key is called (RFC 7468, section 11).
const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// Of PBKDF2-HMAC-SHA256, as OWASP recommends; openssl reads any number.
const ITERATIONS: u32 = 600_000;
/// What scrypt may take of memory for a key made elsewhere, in bytes.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;
/// The longest passphrase that is read from a file, in bytes.
const MAX_PASSPHRASE_BYTES: usize = 4096;

/// Where the passphrase of a key comes from, if it has one.
#[derive(Default, clap::Args)]
pub struct PassphraseArguments {
    /// The passphrase is the first line of this file; else it is in ETS_PASSPHRASE, or asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArguments {
    /// The passphrase of the key in `path`; `twice` asks for it again, where it is new.
    ///
    /// # Errors
    /// A message for the user: there is none, or nobody to ask.
    pub fn read(&self, path: &Path, twice: bool) -> Result<Zeroizing<String>, String> {
        let found = match &self.passphrase_file {
            Some(file) => {
                let text = Zeroizing::new(output::read_text(file, MAX_PASSPHRASE_BYTES)?);
                Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
            }
            None => match std::env::var("ETS_PASSPHRASE") {
                Ok(text) => Zeroizing::new(text),
                Err(std::env::VarError::NotUnicode(_)) => return Err("ETS_PASSPHRASE is not UTF-8".into()),
                Err(std::env::VarError::NotPresent) => ask(path, twice)?,
            },
        };
        match found.is_empty() {
            true => Err(format!("the passphrase of {} is empty", path.display())),
            false => Ok(found),
        }
    }
}

/// Asks on the terminal, without echo.
fn ask(path: &Path, twice: bool) -> Result<Zeroizing<String>, String> {
    if !io::stderr().is_terminal() {
        return Err(format!(
            "{} needs a passphrase, and nobody is there to ask: --passphrase-file or ETS_PASSPHRASE",
            path.display()
        ));
    }
    let prompt = |text: String| {
        rpassword::prompt_password(text)
            .map(Zeroizing::new)
            .map_err(|error| format!("cannot ask for the passphrase: {error}"))
    };
    let first = prompt(format!("Passphrase of {}: ", path.display()))?;
    if twice && first != prompt("Again: ".into())? {
        return Err("the two passphrases differ".into());
    }
    Ok(first)
}

/// Whether `pem` is a key under a passphrase.
pub fn is_encrypted(pem: &str) -> bool {
    pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

/// The PEM of a key under a passphrase: PBKDF2-HMAC-SHA256 and AES-256-CBC.
///
/// # Errors
/// A message for the user: no randomness, or no encoding.
pub fn encrypt(key: &PrivateKeyInfoRef<'_>, passphrase: &str) -> Result<Zeroizing<String>, String> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    for bytes in [&mut salt, &mut iv] {
        getrandom::fill(bytes).map_err(|error| format!("no randomness from the system: {error}"))?;
    }
    let failed = |error: &dyn std::fmt::Display| format!("cannot encrypt the key: {error}");
    let parameters = Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv)
        .map_err(|error| failed(&error))?;
    let document = key.encrypt_with_params(parameters, passphrase).map_err(|error| failed(&error))?;
    document.to_pem(LABEL, LineEnding::LF).map_err(|error| failed(&error))
}

/// The DER of the key in an encrypted PEM.
///
/// # Errors
/// What is wrong with it: no such PEM, another encryption, or another passphrase.
pub fn decrypt(pem: &str, passphrase: &str) -> Result<SecretDocument, &'static str> {
    const BROKEN: &str = "is no encrypted PKCS #8 PEM";
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| BROKEN)?;
    if label != LABEL {
        return Err(BROKEN);
    }
    let key = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| BROKEN)?;
    let EncryptionScheme::Pbes2(parameters) = &key.encryption_algorithm else {
        return Err("is encrypted with something else than PBES2");
    };
    if let Some(scrypt) = parameters.kdf.scrypt() {
        // A number in the file must not take the machine's memory (RFC 7914, section 2).
        let bytes = scrypt.cost_parameter.saturating_mul(128 * u64::from(scrypt.block_size));
        if bytes > MAX_SCRYPT_BYTES || scrypt.parallelization > 64 {
            return Err("asks for more memory or time than is reasonable");
        }
    }
    key.decrypt(passphrase).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::UnsupportedAlgorithm { .. })
        | pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::AlgorithmParametersInvalid { .. }) => {
            "is encrypted in a way that ets does not know; openssl pkey -aes256 makes another"
        }
        // Another passphrase gives wrong padding, or bytes that are no key.
        _ => "does not open with this passphrase",
    })
}
