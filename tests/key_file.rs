//! The file of the server's key: used only as the server made it, and nothing of it is
//! anywhere in the database.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;

use ets_tests::{Ledger, order, program, refused};

fn key_file(ledger: &mut Ledger) -> PathBuf {
    let data: String = ledger.one("SELECT current_setting('data_directory')", &[]);
    let name = format!("{}.pem", ledger.id);
    PathBuf::from(data).parent().expect("a folder").join("pg_ets_keys").join(name)
}

#[test]
fn a_key_file_that_is_not_as_it_was_made_is_not_used() {
    let mut ledger = Ledger::new();
    let file = key_file(&mut ledger);
    let made = fs::symlink_metadata(&file).expect("the server made it");
    assert!(made.is_file() && made.mode() & 0o777 == 0o600, "{made:?}");
    let aside = file.with_extension("aside");
    fs::rename(&file, &aside).expect("ours to move");
    let other = file.with_extension("other");
    assert!(
        Command::new(program("ets")).arg("keygen").arg(&other).output().expect("ets runs").status.success()
    );
    let owned = |path: &PathBuf| {
        std::os::unix::fs::chown(path, Some(made.uid()), Some(made.gid())).expect("the server's own");
    };
    let copy = |file: &PathBuf, from: &PathBuf, mode: u32| {
        fs::copy(from, file).expect("a copy");
        fs::set_permissions(file, Permissions::from_mode(mode)).expect("a mode");
        owned(file);
    };
    type Attack<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let attacks: [Attack; 8] = [
        ("missing", Box::new(|| ())),
        ("readable by others", Box::new(|| copy(&file, &aside, 0o644))),
        ("readable by its group", Box::new(|| copy(&file, &aside, 0o640))),
        ("a link", Box::new(|| symlink(&aside, &file).expect("a link"))),
        ("a folder", Box::new(|| fs::create_dir(&file).expect("a folder"))),
        (
            "a pipe",
            Box::new(|| {
                assert!(
                    Command::new("mkfifo").args(["-m", "600"]).arg(&file).status().expect("mkfifo").success()
                );
                owned(&file);
            }),
        ),
        ("another key", Box::new(|| copy(&file, &other, 0o600))),
        (
            "no key",
            Box::new(|| {
                fs::write(&file, "-----BEGIN PRIVATE KEY-----\n").expect("written");
                fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("a mode");
                owned(&file);
            }),
        ),
    ];
    for (what, attack) in &attacks {
        attack();
        let refusal = refused(ledger.client.batch_execute("SELECT ets.create_domain('d')"), "ET015");
        assert!(refusal.detail["file"].as_str().is_some_and(|named| named.ends_with(".pem")), "{what}");
        // Appends and verification go on; a seal, too, without its notes.
        ledger.append(&order(what, 1));
        ledger.seal();
        refused(ledger.client.query("SELECT ets.checkpoint_note('orders')", &[]), "ET015");
        assert_eq!(ledger.findings(), Vec::<String>::new(), "{what}");
        match fs::symlink_metadata(&file) {
            Ok(found) if found.is_dir() => fs::remove_dir(&file).expect("removed"),
            Ok(_) => fs::remove_file(&file).expect("removed"),
            Err(_) => {}
        }
    }
    drop(attacks);
    fs::remove_file(&other).expect("removed");
    fs::rename(&aside, &file).expect("and back");
    ledger.client.batch_execute("SELECT ets.create_domain('d')").expect("with the key again");
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn nothing_of_the_secret_is_in_the_database() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());
    let pem = fs::read_to_string(key_file(&mut ledger)).expect("the key file");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der: Vec<u8> = ledger.one("SELECT decode($1, 'base64')", &[&body]);
    // PKCS #8 without the public half ends with the seed.
    let seed = &der[der.len() - 32..];
    let secret = ets_core::key::SecretKey::from_seed(seed.try_into().expect("32 bytes"));
    let public: Vec<u8> = ledger.one("SELECT server_public_key FROM ets.ledger", &[]);
    assert_eq!(secret.public_key().as_bytes().as_slice(), public, "this is the secret to look for");
    let base64: String = ledger.one("SELECT encode($1, 'base64')", &[&seed]);
    let hex: String = ledger.one("SELECT encode($1, 'hex')", &[&seed]);
    let tables: Vec<String> = ledger.one(
        "SELECT array_agg(oid::regclass::text) FROM pg_class WHERE relnamespace = 'ets'::regnamespace AND relkind IN ('r', 'v')",
        &[],
    );
    assert!(tables.len() > 15, "{tables:?}");
    for table in tables {
        let text: String =
            ledger.one(&format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} AS t"), &[]);
        assert!(![&hex, &base64, &body].into_iter().any(|secret| text.contains(secret)), "{table}");
    }
    let settings: String = ledger.one("SELECT string_agg(s::text, ' ') FROM pg_settings AS s", &[]);
    assert!(!settings.contains(&body) && !settings.contains(&hex));
}
