//! `ets sign`.

use std::path::PathBuf;

use ets_core::canonical::{Limits, Payload};
use ets_core::hash::{Digest, event_hash};
use ets_core::name::SchemaVersion;

use crate::output;
use crate::signer::{self, Signer};

/// Sign a payload for a place in a stream.
///
/// Prints one element of the array that `ets.append_batch` takes: payload, schema_version,
/// public_key, previous_hash and signature.
#[derive(clap::Args)]
#[command(after_help = "The previous_hash is the stream's head, in SQL:
  SELECT encode(head_hash, 'hex') FROM ets.head('orders')

Example:
  ets sign --key me.pem --schema-version order/1.0.0 --previous-hash 9ee49d… order.json")]
pub struct Arguments {
    #[command(flatten)]
    signer: signer::SignerArguments,
    /// The schema that the payload is appended under
    #[arg(long, value_name = "NAME/1.0.0")]
    schema_version: String,
    /// The head of the stream, 64 lowercase hex digits
    #[arg(long, value_name = "HEX")]
    previous_hash: String,
    /// The payload, a JSON file; `-` is standard input
    #[arg(value_name = "FILE")]
    payload: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A message for the user, if an argument or the payload cannot be used.
pub fn run(arguments: &Arguments) -> Result<u8, String> {
    let schema_version: SchemaVersion =
        arguments.schema_version.parse().map_err(|error| format!("--schema-version: {error}"))?;
    let previous_hash: Digest =
        arguments.previous_hash.parse().map_err(|error| format!("--previous-hash: {error}"))?;
    let text = output::read_text(&arguments.payload, 4 * Limits::CEILING.max_bytes)?;
    let payload = Payload::parse(&text, &Limits::CEILING)
        .map_err(|error| format!("{}: {error}", arguments.payload.display()))?;
    let key = arguments.signer.open()?;
    output::line(&element(&key, &payload, &schema_version, &previous_hash)?)?;
    Ok(0)
}

/// An event signed with `key`, as `ets.append_batch` takes it.
///
/// # Errors
/// A message for the user, if the signer gives no signature.
pub fn element(
    key: &Signer,
    payload: &Payload,
    schema_version: &SchemaVersion,
    previous_hash: &Digest,
) -> Result<String, String> {
    let signature = key.sign(&event_hash(payload.canonical().as_bytes(), previous_hash))?;
    Ok(format!(
        "{{\"payload\":{},\"previous_hash\":\"{previous_hash}\",\"public_key\":\"{}\",\"schema_version\":\"{schema_version}\",\"signature\":\"{signature}\"}}",
        payload.canonical(),
        key.public_key(),
    ))
}
