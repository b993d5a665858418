//! `ets anchor --tsa` on a real ledger: what `ets.anchor` has after refusals, and after
//! an answer that verifies. What of a token is verified is tested in the program itself.

use std::sync::{Arc, Mutex};

use ets_tests::timestamp_authority::{P_256, TimestampAuthority, reply_of, send, serve};
use ets_tests::{Ledger, order, publish};

#[test]
fn a_checkpoint_is_stamped_once_the_authority_answers_as_it_should() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    let checkpoint = ledger.seal();
    let authority = TimestampAuthority::new();
    authority.issue("signer", P_256, "ca", "tsa", 30);
    authority.root("other");
    let path = |name: &str| authority.path(name).to_str().expect("UTF-8").to_owned();
    let (ca, other) = (path("ca.pem"), path("other.pem"));
    let authority = Arc::new(authority);
    let (answering, turn) = (Arc::downgrade(&authority), Mutex::new(0));
    let url = serve(move |query, stream| {
        let turn = {
            let mut turn = turn.lock().expect("no panic");
            *turn += 1;
            *turn
        };
        match turn {
            1 => {
                std::thread::sleep(std::time::Duration::from_secs(3));
                Ok(())
            }
            2 => send(stream, "200 OK", &reply_of(&answering, "ts_refusing", query)),
            _ => send(stream, "200 OK", &reply_of(&answering, "ts", query)),
        }
    });
    let row = "SELECT state || ' ' || attempts || ' ' || (evidence IS NULL) || ' ' || coalesce(reason, '-') FROM ets.anchor";
    for (attempt, root, says) in [
        (1, &ca, "timeout"),
        (2, &ca, "the authority gave no timestamp: rejection, badAlg"),
        (3, &other, "no chain of certificates leads from CN=signer"),
    ] {
        let (code, lines, _) = publish(&ledger, &["--tsa", &url, "--tsa-ca", root, "--time-out", "2"]);
        assert_eq!((code, lines[0]["state"].as_str()), (Some(1), Some("failed")), "{lines:?}");
        let row: String = ledger.one(row, &[]);
        assert!(row.starts_with(&format!("failed {attempt} true ")) && row.contains(says), "{row}");
    }
    let places = ["--tsa", &url, "--tsa-ca", &ca];
    let (code, lines, _) = publish(&ledger, &places);
    assert_eq!((code, lines[0]["state"].as_str()), (Some(0), Some("confirmed")), "{lines:?}");
    assert_eq!(lines[0]["service"], format!("rfc3161 {url}"));
    assert_eq!(ledger.one::<String>(row, &[]), "confirmed 4 false -");
    let sql = "SELECT evidence FROM ets.anchor WHERE checkpoint_id = $1";
    let token: Vec<u8> = ledger.one(sql, &[&checkpoint]);
    let statement: String = ledger.one("SELECT statement FROM ets.anchor", &[]);
    assert!(authority.openssl_accepts(statement.as_bytes(), &token, "ca"));
    assert!(!authority.openssl_accepts(statement.as_bytes(), &token, "other"));
    assert!(!authority.openssl_accepts(b"{}", &token, "ca"));
    // Once more asks for nothing: the evidence is verified as it is, and not with another root.
    assert_eq!(publish(&ledger, &places).0, Some(0));
    assert_eq!(ledger.one::<Vec<u8>>(sql, &[&checkpoint]), token);
    let (code, lines, _) = publish(&ledger, &["--tsa", &url, "--tsa-ca", &other]);
    assert_eq!((code, lines[0]["state"].as_str()), (Some(1), Some("gone")), "{lines:?}");
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());
    // An audit believes whom it is told to.
    for (root, code, trust, says) in [
        (Some(&ca), 0, "ANCHORED", "the statement existed at "),
        (Some(&other), 1, "null", "no chain of certificates leads from CN=signer"),
        (None, 0, "SELF-CONSISTENT", "the evidence of 1 recorded anchors: whom to trust"),
    ] {
        let arguments: Vec<&str> = root.iter().flat_map(|root| ["--tsa", &url, "--tsa-ca", root]).collect();
        let report = ets_tests::audit(&mut ledger, &arguments, code);
        assert_eq!(report["trust"].as_str().unwrap_or("null"), trust, "{report}");
        assert!(report.to_string().contains(says), "{report}");
    }
    // Wrong usage.
    for (arguments, says) in [
        (vec!["--tsa", &url], "--tsa-ca"),
        (vec!["--tsa", &url, "--tsa-ca", &ca, "--tsa-ca", &ca], "one for each"),
        (vec!["--tsa", "ftp://tsa.example", "--tsa-ca", &ca], "https://"),
        (vec!["--tsa", "https://user@tsa.example", "--tsa-ca", &ca], "no user"),
        (vec!["--tsa", &url, "--tsa-ca", "/nowhere"], "/nowhere"),
    ] {
        let (code, lines, message) = publish(&ledger, &arguments);
        assert_eq!((code, lines.len()), (Some(2), 0), "{arguments:?}");
        assert!(message.contains(says), "{message}");
    }
}
