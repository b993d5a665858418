//! `TimeStampReq` and `TimeStampResp` (RFC 3161, sections 2.4.1 and 2.4.2).

use x509_cert::der::asn1::{BitStringRef, Null, OctetStringRef};
use x509_cert::der::{Encode as _, Error, Tag};

use super::asn1::{self, Members};
use super::signature::SHA_256;
use crate::anchor::service::Failure;

/// Asks for the timestamp of a SHA-256 digest, with the authority's certificates.
/// The nonce is random: it shows that an answer is to this request.
pub fn request(digest: &[u8], nonce: u64) -> Result<Vec<u8>, Error> {
    let algorithm = asn1::write(Tag::Sequence, &[&SHA_256.to_der()?, &Null.to_der()?])?;
    let imprint = asn1::write(Tag::Sequence, &[&algorithm, &OctetStringRef::new(digest)?.to_der()?])?;
    let (version, cert_req) = (1_u8, true);
    asn1::write(Tag::Sequence, &[&version.to_der()?, &imprint, &nonce.to_der()?, &cert_req.to_der()?])
}

/// The `TimeStampToken` in an answer, in DER as it came, not verified; a failure
/// unless the status is granted, or granted with modifications.
pub fn token(answer: &[u8]) -> Result<Vec<u8>, Failure> {
    let malformed = |_| Failure::passing("the answer is no TimeStampResp of RFC 3161");
    let (status, token) = read(answer).map_err(malformed)?;
    match (status.code, token) {
        (0 | 1, Some(token)) => Ok(token),
        (0 | 1, None) => Err(Failure::passing("the answer is granted, and has no token")),
        _ => Err(status.refusal()),
    }
}

fn read(answer: &[u8]) -> Result<(Status, Option<Vec<u8>>), Error> {
    let mut answer = Members::of(asn1::read(answer, Tag::Sequence)?)?;
    let mut info = Members::of(answer.required(Tag::Sequence)?)?;
    let token = answer.optional(Tag::Sequence)?;
    answer.end()?;
    let code = info.required(Tag::Integer)?.decode_as::<u32>()?;
    let mut texts = Vec::new();
    if let Some(said) = info.optional(Tag::Sequence)? {
        for text in Members::of(said)?.all(Tag::Utf8String)? {
            texts.push(text.decode_as::<String>()?);
        }
    }
    let failures = match info.optional(Tag::BitString)? {
        Some(bits) => bits.decode_as::<BitStringRef<'_>>()?.bits().collect(),
        None => Vec::new(),
    };
    info.end()?;
    Ok((Status { code, texts, failures }, token.map(|token| token.to_der()).transpose()?))
}

/// `PKIStatusInfo`.
struct Status {
    /// 0 granted, 1 granted with modifications, the others in [`STATUSES`].
    code: u32,
    texts: Vec<String>,
    /// The bits of `PKIFailureInfo`.
    failures: Vec<bool>,
}

/// `PKIStatus` from 2 on: there is no token.
const STATUSES: [&str; 4] = ["rejection", "waiting", "revocationWarning", "revocationNotification"];

/// `PKIFailureInfo`: the bit, its name, and whether it may pass.
const FAILURES: [(usize, &str, bool); 8] = [
    (0, "badAlg", false),
    (2, "badRequest", false),
    (5, "badDataFormat", false),
    (14, "timeNotAvailable", true),
    (15, "unacceptedPolicy", false),
    (16, "unacceptedExtension", false),
    (17, "addInfoNotAvailable", false),
    (25, "systemFailure", true),
];

impl Status {
    /// The longest text of an authority that is repeated, in characters.
    const MAX_TEXT: usize = 200;

    fn refusal(&self) -> Failure {
        let status = usize::try_from(self.code).ok().and_then(|code| STATUSES.get(code.checked_sub(2)?));
        let mut reason = match status {
            Some(status) => format!("the authority gave no timestamp: {status}"),
            None => format!("the authority gave no timestamp: status {}", self.code),
        };
        let is_set = |bit: usize| self.failures.get(bit).copied().unwrap_or_default();
        let failures: Vec<_> = FAILURES.iter().filter(|(bit, ..)| is_set(*bit)).collect();
        for (_, name, _) in &failures {
            reason = format!("{reason}, {name}");
        }
        let text: String = self.texts.join("; ").chars().take(Status::MAX_TEXT).collect();
        if !text.is_empty() {
            // Some other program's words go into a table: one line, nothing that moves a cursor.
            let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            reason = format!("{reason}: {text}");
        }
        // Waiting too: the authority said that it will answer later.
        let is_passing = self.code == 3 || failures.iter().any(|(_, _, passing)| *passing);
        Failure { reason, retry: is_passing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_der_of_rfc_3161() {
        let der = request(&[0xAB; 32], 0x8000_0000_0000_0001).expect("a request");
        let mut expected = vec![0x30, 0x44, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0D, 0x06, 0x09];
        expected.extend([0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20]);
        expected.extend([0xAB; 32]);
        // The highest bit is no sign.
        expected.extend([0x02, 0x09, 0x00, 0x80, 0, 0, 0, 0, 0, 0, 0x01, 0x01, 0x01, 0xFF]);
        assert_eq!(der, expected);
    }

    #[test]
    fn no_status_but_granted_gives_a_token() {
        // TimeStampResp { { status } } and TimeStampResp { { status }, SEQUENCE {} }.
        let without = |status: u8| vec![0x30, 0x05, 0x30, 0x03, 0x02, 0x01, status];
        let with = |status: u8| vec![0x30, 0x07, 0x30, 0x03, 0x02, 0x01, status, 0x30, 0x00];
        for status in 0..=1 {
            assert_eq!(token(&with(status)).expect("granted"), [0x30, 0x00]);
            assert!(token(&without(status)).expect_err("no token").reason.contains("no token"));
        }
        for status in 2..=127 {
            for answer in [without(status), with(status)] {
                let failure = token(&answer).expect_err("not granted");
                assert!(failure.reason.contains("gave no timestamp"), "{}", failure.reason);
                assert_eq!(failure.retry, status == 3);
            }
        }
        assert!(token(&with(2)).expect_err("rejected").reason.ends_with("rejection"));
    }

    #[test]
    fn a_refusal_says_what_the_authority_said() {
        // { { 2, { "no\nway" }, bit 25 } }
        let mut answer = vec![0x30, 0x15, 0x30, 0x13, 0x02, 0x01, 0x02, 0x30, 0x08, 0x0C, 0x06];
        answer.extend(b"no\nway");
        answer.extend([0x03, 0x04, 0x06, 0x00, 0x00, 0x00]);
        let failure = token(&answer).expect_err("refused");
        assert_eq!(failure.reason, "the authority gave no timestamp: rejection: no way");
        let end = answer.len();
        answer.splice(end - 6..end, [0x03, 0x05, 0x06, 0x00, 0x00, 0x00, 0x40]);
        (answer[1], answer[3]) = (0x16, 0x14);
        let failure = token(&answer).expect_err("refused");
        assert_eq!(failure.reason, "the authority gave no timestamp: rejection, systemFailure: no way");
        assert!(failure.retry);
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for answer in
            [&b""[..], b"<html>", &[0x30, 0x80], &[0x30, 0x00], &[0x30, 0x05, 0x30, 0x03, 0x02, 0x01]]
        {
            assert!(token(answer).expect_err("no answer").reason.contains("no TimeStampResp"));
        }
    }
}
