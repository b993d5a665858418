//! From the certificate that signed to one that the user trusts (RFC 5280, section 6).
//!
//! Names are compared byte by byte. Revocation is not asked for: that needs a network,
//! and an answer from now about then.

use super::certificate::Certificate;
use super::info::Time;

/// The most issuers above a signer.
const MAX_ISSUERS: usize = 6;
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
    let mut closest = None;
    match extend(&mut chain, carried, trusted, time, &mut closest) {
        true => Ok(chain),
        false => Err(closest.unwrap_or_else(|| {
            format!("no chain of certificates leads from {} to one that is trusted", signer.subject())
        })),
    }
}

/// Goes on from the last of `chain`; whether it came to a trusted certificate. As no
/// certificate comes twice and each must be signed by the next, the search is short.
fn extend(
    chain: &mut Vec<Certificate>,
    carried: &[Certificate],
    trusted: &[Certificate],
    time: &Time,
    closest: &mut Option<String>,
) -> bool {
    let Some(last) = chain.last().cloned() else { return false };
    let below = chain.len() - 1;
    if below >= MAX_ISSUERS {
        return false;
    }
    let issued = |issuer: &&Certificate| issuer.subject() == last.issuer();
    let mut may_issue = |issuer: &Certificate| {
        if !last.is_signed_by(issuer) {
            return false;
        }
        let checked = issuer.check_issuer(time, below);
        if let Err(problem) = checked {
            *closest = Some(format!("the certificate of {} {problem}", issuer.subject()));
        }
        checked.is_ok()
    };
    if trusted.iter().filter(issued).any(&mut may_issue) {
        return true;
    }
    let issuers: Vec<_> = carried.iter().filter(issued).filter(|issuer| may_issue(issuer)).cloned().collect();
    for issuer in issuers {
        if chain.contains(&issuer) {
            continue;
        }
        chain.push(issuer);
        if extend(chain, carried, trusted, time, closest) {
            return true;
        }
        chain.pop();
    }
    false
}
