//! RFC 6962, section 2.1, word for word: slow, recursive, over the whole list of
//! leaf hashes. `MTH({d(0)})` is a leaf hash here, as the leaves come hashed.

use ets_core::hash::{Digest, EMPTY_ROOT, node_hash};

/// `MTH(D[n])`, section 2.1.
pub fn mth(d: &[Digest]) -> Digest {
    match d.len() {
        0 => EMPTY_ROOT,
        1 => d[0],
        n => node_hash(&mth(&d[..k(n)]), &mth(&d[k(n)..])),
    }
}

/// `PATH(m, D[n])`, section 2.1.1.
pub fn path(m: usize, d: &[Digest]) -> Vec<Digest> {
    match d.len() {
        1 => Vec::new(),
        n if m < k(n) => then(path(m, &d[..k(n)]), mth(&d[k(n)..])),
        n => then(path(m - k(n), &d[k(n)..]), mth(&d[..k(n)])),
    }
}

/// `PROOF(m, D[n])`, section 2.1.2.
pub fn proof(m: usize, d: &[Digest]) -> Vec<Digest> {
    subproof(m, d, true)
}

fn subproof(m: usize, d: &[Digest], b: bool) -> Vec<Digest> {
    match d.len() {
        n if m == n && b => Vec::new(),
        n if m == n => vec![mth(d)],
        n if m <= k(n) => then(subproof(m, &d[..k(n)], b), mth(&d[k(n)..])),
        n => then(subproof(m - k(n), &d[k(n)..], false), mth(&d[..k(n)])),
    }
}

/// The largest power of two smaller than `n`.
fn k(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

fn then(mut hashes: Vec<Digest>, last: Digest) -> Vec<Digest> {
    hashes.push(last);
    hashes
}
