//! Tokens of an authority made with openssl: accepted as they are, refused in every
//! other way.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ets_core::checkpoint::DomainRoot;
use ets_core::hash::Digest;
use ets_tests::timestamp_authority::{P_256, P_384, RSA, TimestampAuthority as Maker, reply_of, send, serve};

use super::*;

fn statement(checkpoint: u64) -> AnchorStatement {
    let id = "0190d0a0-0000-7000-8000-000000000001";
    let root = DomainRoot {
        domain: "orders".parse().expect("a domain"),
        tree_size: 1,
        root: Digest::try_from(&[7; 32][..]).expect("32 bytes"),
    };
    let ledger = id.parse().expect("a UUID");
    let origin = "ledger.example".parse().expect("an origin");
    AnchorStatement::new(ledger, origin, checkpoint, id.parse().expect("an id"), vec![root])
        .expect("a statement")
}

fn authority(maker: &Maker, url: &str, root: &str) -> TimestampAuthority {
    TimestampAuthority {
        url: url.parse().expect("a URL"),
        trusted: Certificate::read_file(&maker.path(&format!("{root}.pem"))).expect("certificates"),
        http: Http::new(Duration::from_secs(1), None).expect("a client"),
    }
}

/// What the authority offline says of evidence.
fn offline(maker: &Maker, root: &str) -> TimestampAuthority {
    authority(maker, "http://nowhere.invalid", root)
}

/// A token for checkpoint 1 as `openssl ts` answers it.
fn token(maker: &Maker, section: &str, signer: &str, chain: &[&str]) -> Vec<u8> {
    let digest = Hash::Sha256.digest(statement(1).to_jcs().as_bytes());
    let query = request::request(&digest, 1).expect("a request");
    request::token(&maker.reply(section, signer, chain, &query)).expect("granted")
}

#[test]
fn tokens_of_every_kind_of_key_verify_here_and_with_openssl() {
    let maker = Maker::new();
    maker.issue("middle", P_384, "ca", "short", 30);
    maker.issue("edwards", &["ed25519"], "ca", "short", 30);
    for (signer, kind, issuer, section) in [
        ("rsa", RSA, "ca", "ts"),
        ("p256", P_256, "ca", "ts"),
        ("p384", P_384, "middle", "ts_384"),
        ("below", RSA, "middle", "ts_old"),
        ("below_edwards", P_256, "edwards", "ts"),
    ] {
        maker.issue(signer, kind, issuer, "tsa", 30);
        // What does not belong to the chain, and the root itself, are left out of the evidence.
        let came = token(&maker, section, signer, &["middle", "edwards", "ca"]);
        let bare = token::verify(&came, &offline(&maker, "ca").trusted).expect(signer).bare;
        assert!(bare.len() < came.len());
        let says = offline(&maker, "ca").verify(&statement(1), &bare).expect(signer);
        assert!(says.contains(&format!("says CN={signer}")), "{says}");
        assert_eq!(says.contains("(± 1.5 s)"), section == "ts", "{says}");
        let data = statement(1);
        assert!(maker.openssl_accepts(data.to_jcs().as_bytes(), &bare, "ca"), "{signer}");
        let problem = offline(&maker, "ca").verify(&statement(1), &came).expect_err("as it came");
        assert!(problem.contains("nobody signed"), "{problem}");
        let problem = offline(&maker, "ca").verify(&statement(2), &bare).expect_err("another statement");
        assert!(problem.contains("something else"), "{problem}");
    }
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let maker = Maker::new();
    maker.issue("middle", P_256, "ca", "short", 30);
    maker.issue("signer", P_256, "middle", "tsa", 30);
    let authority = offline(&maker, "ca");
    let came = token(&maker, "ts", "signer", &["middle"]);
    let bare = token::verify(&came, &authority.trusted).expect("it verifies").bare;
    authority.verify(&statement(1), &bare).expect("it verifies");
    for place in 0..bare.len() {
        for mask in [0x01, 0x20, 0x80, 0xFF] {
            let mut changed = bare.clone();
            changed[place] ^= mask;
            assert!(authority.verify(&statement(1), &changed).is_err(), "byte {place} ^ {mask:#x}");
        }
        assert!(authority.verify(&statement(1), &bare[..place]).is_err(), "cut at {place}");
    }
    assert!(authority.verify(&statement(1), &[&bare[..], &[0]].concat()).is_err());
}

#[test]
fn only_a_chain_of_the_right_certificates_is_trusted() {
    let maker = Maker::new();
    let wrong = [
        ("expired", "tsa", -1, "expired"),
        ("server", "server", 30, "not for timestamps alone"),
        ("more", "more", 30, "not for timestamps alone"),
        ("no_usage", "no_usage", 30, "not for timestamps alone"),
        ("not_critical", "not_critical", 30, "not critical"),
        ("strange", "strange", 30, "not understood"),
    ];
    // All before the token: a certificate is not valid before it was made.
    maker.issue("right", P_256, "ca", "tsa", 30);
    for (name, extensions, days, _) in wrong {
        maker.issue(name, P_256, "ca", extensions, days);
    }
    maker.issue("no_ca", P_256, "ca", "no_ca", 30);
    maker.issue("below_no_ca", P_256, "no_ca", "tsa", 30);
    maker.root("other");
    let right = token(&maker, "ts", "right", &[]);
    let content = content(&right);
    // Signed by openssl's CMS, as the authority would have.
    let verify = |signer: &str, root: &str| {
        token::verify(&maker.sign(signer, &content), &offline(&maker, root).trusted).map(|_| ())
    };
    verify("right", "ca").expect("the same token, made by hand");
    for (name, _, _, says) in wrong {
        let problem = verify(name, "ca").expect_err(name);
        assert!(problem.contains(says), "{name}: {problem}");
    }
    assert!(verify("right", "other").expect_err("another root").contains("no chain"));
    // A root of the same name with another key.
    let impostor = Maker::new();
    let problem = token::verify(&right, &offline(&impostor, "ca").trusted).expect_err("an impostor");
    assert!(problem.contains("no chain"), "{problem}");
    // Issuers that may not issue: trusted themselves, they still may not.
    let problem = verify("below_no_ca", "no_ca").expect_err("no authority");
    assert!(problem.contains("not one of a certificate authority"), "{problem}");
    maker.issue("short", P_256, "ca", "short", 30);
    maker.issue("too_deep", P_256, "short", "ca", 30);
    maker.issue("deep", P_256, "too_deep", "tsa", 30);
    let problem =
        token::verify(&token(&maker, "ts", "deep", &["too_deep", "short"]), &offline(&maker, "ca").trusted);
    assert!(problem.expect_err("a path too long").contains("no chain as long"));
}

/// The `TSTInfo` in a token.
fn content(token: &[u8]) -> Vec<u8> {
    use super::asn1::{Members, context, only, read};
    use x509_cert::der::Tag;
    let parts = || -> Result<_, x509_cert::der::Error> {
        let mut info = Members::of(read(token, Tag::Sequence)?)?;
        info.required(Tag::ObjectIdentifier)?;
        let mut signed = Members::of(only(info.required(context(0))?, Tag::Sequence)?)?;
        signed.required(Tag::Integer)?;
        signed.required(Tag::Set)?;
        let mut inner = Members::of(signed.required(Tag::Sequence)?)?;
        inner.required(Tag::ObjectIdentifier)?;
        Ok(only(inner.required(context(0))?, Tag::OctetString)?.value().to_vec())
    };
    parts().expect("a token")
}

#[test]
fn only_a_fresh_answer_in_time_is_confirmed() {
    let maker = Arc::new(Maker::new());
    maker.issue("signer", P_256, "ca", "tsa", 30);
    let trusted = offline(&maker, "ca").trusted;
    let kept = maker.reply("ts", "signer", &[], &request::request(&[1; 32], 1).expect("a request"));
    let earlier: Mutex<Vec<u8>> = Mutex::default();
    let turn = Mutex::new(0);
    let signer = Arc::downgrade(&maker);
    let url = serve(move |query, stream| {
        let turn = {
            let mut turn = turn.lock().expect("no panic");
            *turn += 1;
            *turn
        };
        let honest = || reply_of(&signer, "ts", query);
        match turn {
            1 => {
                let answer = honest();
                earlier.lock().expect("no panic").clone_from(&answer);
                send(stream, "200 OK", &answer)
            }
            2 => send(stream, "200 OK", &earlier.lock().expect("no panic")),
            3 => send(stream, "200 OK", &kept),
            4 => send(stream, "200 OK", &reply_of(&signer, "ts_refusing", query)),
            5 => send(stream, "200 OK", b"<html>all is well</html>"),
            6 => send(stream, "500 Internal Server Error", &honest()),
            7 => send(stream, "404 Not Found", &honest()),
            8 => send(stream, "302 Found", &honest()),
            9 => {
                std::thread::sleep(Duration::from_secs(3));
                send(stream, "200 OK", &honest())
            }
            10 => {
                // A byte now and then: each in time, the whole never.
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\n\r\n")?;
                for _ in 0..20 {
                    stream.write_all(&[0x30])?;
                    std::thread::sleep(Duration::from_millis(200));
                }
                Ok(())
            }
            11 => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\n\r\n")?;
                loop {
                    stream.write_all(&[0x30; 4096])?;
                }
            }
            12 => Ok(()),
            _ => send(stream, "200 OK", &honest()),
        }
    });
    let http = Http::new(Duration::from_secs(1), None).expect("a client");
    let authority = TimestampAuthority { url: url.parse().expect("a URL"), trusted, http };
    let publish = |checkpoint| authority.stamp(&statement(checkpoint));
    let evidence = publish(1).expect("an honest answer is confirmed");
    authority.verify(&statement(1), &evidence).expect("it verifies later");
    for (says, retry) in [
        ("answers another request", true),
        ("something else", true),
        ("rejection, badAlg", false),
        ("no TimeStampResp", true),
        ("HTTP status 500", true),
        ("HTTP status 404", false),
        ("HTTP status 302", false),
        ("timeout", true),
        ("timeout", true),
        ("limit", true),
        ("", true),
    ] {
        let start = Instant::now();
        let failure = publish(1).expect_err(says);
        assert!(failure.reason.contains(says), "{}", failure.reason);
        assert_eq!(failure.retry, retry, "{}", failure.reason);
        assert!(start.elapsed() < Duration::from_secs(3), "{}", failure.reason);
    }
    publish(1).expect("an honest answer is confirmed again");
}
