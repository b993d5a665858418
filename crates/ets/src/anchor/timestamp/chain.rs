//! From the certificate that signed to one that the user trusts (RFC 5280, section 6).
//!
//! Names are compared byte by byte. Revocation is not asked for: that needs a network,
//! and an answer from now about then.

use super::certificate::Certificate;
use super::info::Time;

/// The most issuers above a signer.
const MAX_ISSUERS: usize = 6;
/// The most signatures that are verified in a search: whoever writes a token could
/// make certificates that all sign each other.
const MAX_VERIFICATIONS: usize = 64;
/// The most certificates that a token may carry.
pub const MAX_CERTIFICATES: usize = 16;

/// The certificates of `carried` that lead from `signer`, which may sign timestamps, to
/// one of `trusted`, all of them valid at the time: the signer's first, the trusted one
/// left out.
///
/// # Errors
/// Why there is no such chain: what is wrong with the one that comes closest.
pub fn find(
    signer: &Certificate,
    carried: &[Certificate],
    trusted: &[Certificate],
    time: &Time,
) -> Result<Vec<Certificate>, String> {
    signer
        .check_signer(time)
        .map_err(|problem| format!("the certificate of {} {problem}", signer.subject()))?;
    let mut chain = vec![signer.clone()];
    let mut search = Search { carried, trusted, time, verifications: MAX_VERIFICATIONS, closest: None };
    match search.extend(&mut chain) {
        true => Ok(chain),
        false => Err(search.closest.unwrap_or_else(|| {
            format!("no chain of certificates leads from {} to one that is trusted", signer.subject())
        })),
    }
}

struct Search<'a> {
    carried: &'a [Certificate],
    trusted: &'a [Certificate],
    time: &'a Time,
    /// How many signatures may still be verified.
    verifications: usize,
    /// What was wrong with an issuer that had signed.
    closest: Option<String>,
}

impl Search<'_> {
    /// Goes on from the last of `chain`; whether it came to a trusted certificate.
    fn extend(&mut self, chain: &mut Vec<Certificate>) -> bool {
        let Some(last) = chain.last().cloned() else { return false };
        let below = chain.len() - 1;
        if below >= MAX_ISSUERS {
            return false;
        }
        let (carried, trusted) = (self.carried, self.trusted);
        if trusted.iter().any(|issuer| self.issued(issuer, &last, below)) {
            return true;
        }
        for issuer in carried {
            if chain.contains(issuer) || !self.issued(issuer, &last, below) {
                continue;
            }
            chain.push(issuer.clone());
            if self.extend(chain) {
                return true;
            }
            chain.pop();
        }
        false
    }

    /// Whether the issuer signed the certificate and may have, with `below` issuers
    /// between it and the signer.
    fn issued(&mut self, issuer: &Certificate, certificate: &Certificate, below: usize) -> bool {
        if issuer.subject() != certificate.issuer() || self.verifications == 0 {
            return false;
        }
        self.verifications -= 1;
        if !certificate.is_signed_by(issuer) {
            return false;
        }
        let checked = issuer.check_issuer(self.time, below);
        if let Err(problem) = checked {
            self.closest = Some(format!("the certificate of {} {problem}", issuer.subject()));
        }
        checked.is_ok()
    }
}
