//! Secret keys on this server: files beside the data directory, never rows.
//!
//! A key file is a PKCS#8 PEM that openssl reads, of mode 0600, created
//! exclusively and opened without following links; it is refused unless its
//! public half is the one that the ledger has registered.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use ets_core::key::SecretKey;
use ets_core::registry::Registry;
use pgrx::pg_sys;
use serde_json::json;
use uuid::Uuid;

use crate::db::{self, View};
use crate::error::{self, Error, Result, sqlstate};
use crate::{gucs, ledger};

/// No key file is longer than this, in bytes.
const MAX_FILE: u64 = 4096;

/// The server's key, as the registry has it now.
///
/// # Errors
/// ET015 if it is revoked, or its file is not on this server, or not what it should be.
pub fn server_key() -> Result<SecretKey> {
    match ledger::registry_if_begun(View::Latest)? {
        Some(registry) => server_key_at(&registry, registry.version()),
        None => {
            let announced = ledger::announced()?;
            load(&file_name(&announced.ledger_id, None), announced.server_public_key.as_bytes())
        }
    }
}

/// The server's key at a registry version: it signs the notes of a checkpoint
/// whose registry tree has that size. The first one's file bears the ledger's
/// name, that of a later one its own name too.
///
/// # Errors
/// As [`server_key`].
pub fn server_key_at(registry: &Registry, version: u64) -> Result<SecretKey> {
    let announced = ledger::announced()?;
    let key = registry
        .server_key_at(version)
        .and_then(|key_id| registry.key(key_id))
        .filter(|key| key.is_live_at(version))
        .ok_or_else(|| {
            Error::new(sqlstate::NO_KEY, "the server's key is revoked")
                .detail(json!({"registry_version": version}))
                .hint("SELECT ets.rotate_server_key('why') registers another one")
        })?;
    let is_first = key.public_key == *announced.server_public_key.as_bytes();
    let key_id = key.key_id.to_string();
    load(&file_name(&announced.ledger_id, (!is_first).then_some(key_id.as_str())), &key.public_key)
}

/// The key with which the calling role may use `ets.append_signed`: the one of
/// this name, or the role's only one.
///
/// # Errors
/// ET011 if there is none; 42501 if it is another role's.
pub fn local_key(name: Option<&str>) -> Result<SecretKey> {
    let ledger_id = ledger::id()?;
    // The outer user, not the current one: this runs with its definer's rights.
    // SAFETY: reads a static.
    let role = unsafe { pg_sys::GetOuterUserId() };
    let mut keys = db::query(
        View::Query,
        "SELECT local.name, local.key_id, key.public_key, role.oid::pg_catalog.int8
           FROM ets.local_key AS local
           JOIN ets.signing_key AS key ON key.key_id OPERATOR(pg_catalog.=) local.key_id
           LEFT JOIN pg_catalog.pg_roles AS role ON role.rolname OPERATOR(pg_catalog.=) local.used_by::pg_catalog.name
          ORDER BY local.name",
        &[],
        |row| Ok((row.text(1), row.text(2), row.bytes(3), row.int(4))),
    )?;
    let usable = |key: &(_, _, _, Option<i64>)| {
        key.3.and_then(|oid| u32::try_from(oid).ok()).is_some_and(|oid| {
            // SAFETY: looks both roles up.
            unsafe { pg_sys::has_privs_of_role(role, pg_sys::Oid::from(oid)) }
        })
    };
    match name {
        Some(name) => {
            keys.retain(|key| key.0.as_deref() == Some(name));
            if keys.is_empty() {
                return Err(no_local_key(&format!("no local key {name:?}")));
            }
            if !keys.iter().any(usable) {
                return Err(Error::new(sqlstate::PRIVILEGE, format!("local key {name:?} is another role's"))
                    .hint("ets.local_key shows which role uses which key"));
            }
        }
        None => {
            keys.retain(usable);
            if keys.len() > 1 {
                return Err(Error::parameter("key", "must be given: the role has more than one local key"));
            }
        }
    }
    let Some((_, Some(key_id), Some(public_key), _)) = keys.pop() else {
        return Err(no_local_key("the role has no local key"));
    };
    load(&file_name(&ledger_id, Some(&key_id)), &public_key)
}

/// Makes a secret key and its file; `key_id` is none for the server's own.
///
/// # Errors
/// ET015 if the file cannot be made.
pub fn create(ledger_id: &Uuid, secret_key: &SecretKey, is_server_key: bool) -> Result<()> {
    let key_id = secret_key.public_key().key_id().to_string();
    let directory = directory()?;
    let path = directory.join(file_name(ledger_id, (!is_server_key).then_some(key_id.as_str())));
    let pem = KeypairBytes { secret_key: *secret_key.seed(), public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| unusable(&path, error))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&path)
        .map_err(|error| unusable(&path, error))?;
    // Durable before the transaction that needs it can commit.
    file.write_all(pem.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(&directory)?.sync_all())
        .map_err(|error| unusable(&path, error))
}

fn load(name: &str, public_key: &[u8]) -> Result<SecretKey> {
    let path = directory()?.join(name);
    let file = OpenOptions::new()
        .read(true)
        // Not blocking, so that a named pipe put there cannot hang the backend.
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(&path)
        .map_err(|error| unusable(&path, error))?;
    let metadata = file.metadata().map_err(|error| unusable(&path, error))?;
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
        return Err(unusable(&path, "not a regular file of mode 0600"));
    }
    let mut pem = zeroize::Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut pem).map_err(|error| unusable(&path, error))?;
    let key = SigningKey::from_pkcs8_pem(&pem).map_err(|error| unusable(&path, error))?;
    if key.verifying_key().as_bytes().as_slice() != public_key {
        return Err(unusable(&path, "its public key is not the registered one"));
    }
    Ok(SecretKey::from_seed(&zeroize::Zeroizing::new(key.to_bytes())))
}

/// `ets.server_key_directory`; without it, `pg_ets_keys` beside the data
/// directory, or inside it if that cannot be made.
fn directory() -> Result<PathBuf> {
    if let Some(directory) = gucs::server_key_directory() {
        let directory = PathBuf::from(directory);
        make(&directory).map_err(|error| unusable(&directory, error))?;
        return Ok(directory);
    }
    // SAFETY: set when the server started, and never changed.
    let data = unsafe { std::ffi::CStr::from_ptr(pg_sys::DataDir) };
    let data = PathBuf::from(data.to_string_lossy().into_owned());
    let (beside, inside) = (data.with_file_name("pg_ets_keys"), data.join("pg_ets_keys"));
    if inside.is_dir() || make(&beside).is_err() {
        if !inside.is_dir() {
            make(&inside).map_err(|error| unusable(&inside, error))?;
            error::warn(
                "the secret keys lie inside the data directory, and so in every base backup",
                "set ets.server_key_directory in postgresql.conf to a directory outside it",
            );
        }
        return Ok(inside);
    }
    Ok(beside)
}

fn make(directory: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            // It must be there to be used, and be writable by this server alone
            // is for its administrator to see to.
            fs::read_dir(directory).map(drop)
        }
        result => result,
    }
}

fn file_name(ledger_id: &Uuid, key_id: Option<&str>) -> String {
    match key_id {
        None => format!("{ledger_id}.pem"),
        Some(key_id) => format!("{ledger_id}.{key_id}.pem"),
    }
}

fn unusable(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::new(sqlstate::NO_KEY, format!("the key file {} cannot be used: {problem}", path.display()))
        .detail(json!({"file": path.display().to_string()}))
        .hint("put the key file back from its backup; ets.server_key_directory says where it is looked for")
}

fn no_local_key(message: &str) -> Error {
    Error::new(sqlstate::NOT_FOUND, message).hint("ets.create_local_key makes one for a role")
}
