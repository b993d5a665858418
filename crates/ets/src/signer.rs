//! Who signs: a key in a file, or a program of the user's that keeps the key elsewhere.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ets_core::hash::Digest;
use ets_core::key::{PublicKey, SecretKey, Signature};

use crate::{keys, passphrase};

/// The key to sign with.
#[derive(clap::Args)]
pub struct SignerArguments {
    /// The file of the secret key
    #[arg(long, value_name = "FILE", conflicts_with = "signer")]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: passphrase::PassphraseArguments,
    /// A shell command that signs instead: it gets 32 bytes on standard input and answers the 64 of
    /// the Ed25519 signature over them; needs --public-key
    #[arg(long, value_name = "CMD", requires = "public_key")]
    signer: Option<String>,
    /// The public key of --signer, by which its answers are verified
    #[arg(long, value_name = "HEX", requires = "signer")]
    public_key: Option<String>,
    /// How long --signer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    signer_timeout: u64,
}

impl SignerArguments {
    /// Opens the key; a program is not started before there is something to sign.
    ///
    /// # Errors
    /// A message for the user: neither is named, or the key cannot be used.
    pub fn open(&self) -> Result<Signer, String> {
        match (&self.key, &self.signer, &self.public_key) {
            (Some(file), ..) => Ok(Signer::Key(keys::read_secret(file, &self.passphrase)?)),
            (None, Some(command), Some(hex)) => {
                let public_key = keys::public_key("--public-key", hex)?;
                let timeout = Duration::from_secs(self.signer_timeout);
                Ok(Signer::Program { command: command.clone(), public_key, timeout })
            }
            _ => Err("what signs? --key FILE, or --signer CMD with --public-key HEX".into()),
        }
    }
}

/// What signs hashes.
pub enum Signer {
    /// A key that this program has read.
    Key(SecretKey),
    /// A command of the shell, whose answers are verified.
    Program { command: String, public_key: PublicKey, timeout: Duration },
}

impl Signer {
    /// The key that verifies the signatures.
    pub fn public_key(&self) -> PublicKey {
        match self {
            Signer::Key(key) => key.public_key(),
            Signer::Program { public_key, .. } => public_key.clone(),
        }
    }

    /// The signature over the 32 bytes of `hash`.
    ///
    /// # Errors
    /// A message for the user: the program failed, took too long, or its answer is no
    /// signature of the public key.
    pub fn sign(&self, hash: &Digest) -> Result<Signature, String> {
        match self {
            Signer::Key(key) => Ok(key.sign(hash)),
            Signer::Program { command, public_key, timeout } => {
                let answer = ask(command, hash.as_bytes(), *timeout)?;
                let bytes: [u8; 64] = answer.as_slice().try_into().map_err(|_| match answer.len() {
                    65 => "the signer answered more than the 64 bytes of a signature".to_owned(),
                    length => format!("the signer answered {length} bytes, a signature has 64"),
                })?;
                let signature = Signature(bytes);
                match public_key.verify(hash, &signature) {
                    true => Ok(signature),
                    false => Err("the signer's answer is no signature of --public-key over the hash".into()),
                }
            }
        }
    }
}

/// What `command` answers to `message`, at most 65 bytes of it.
fn ask(command: &str, message: &[u8], timeout: Duration) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot run the signer: {error}");
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // 32 bytes fit into every pipe; a signer that has gone away is found by its answer.
        let _ = stdin.write_all(message);
    }
    let stdout = child.stdout.take();
    let (sender, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(65).read_to_end(&mut bytes));
        // Nobody listens after the timeout.
        let _ = sender.send(read.map(|_| bytes));
    });
    let answered = answer.recv_timeout(timeout);
    let Ok(answered) = answered else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("the signer gave no answer within {} s", timeout.as_secs()));
    };
    // Dropped, it may go on; nothing that it does now changes the answer.
    answered.map_err(failed)
}
