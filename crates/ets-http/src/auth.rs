//! Who may ask: tokens that a request bears (RFC 6750).

use std::fs;
use std::path::Path;

use axum::http::{HeaderMap, header};
use ets_core::hash::{Digest, sha256};

use crate::problem::Problem;

/// What a request is allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To ask.
    Read,
    /// To append.
    Write,
}

/// The tokens, as hashes: comparing those tells nothing of the tokens by its time.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    read: Option<Digest>,
    write: Option<Digest>,
}

impl Tokens {
    /// From files of one line each.
    ///
    /// # Errors
    /// A message for the user: a file cannot be read, or holds no token.
    pub fn of(read: Option<&Path>, write: Option<&Path>) -> Result<Self, String> {
        Ok(Tokens { read: read.map(token).transpose()?, write: write.map(token).transpose()? })
    }

    /// Whether the request may do that: without a token for it, whoever asks may.
    ///
    /// # Errors
    /// 401 without a token that is known, 403 with one that is for reading only.
    pub fn check(&self, headers: &HeaderMap, wanted: Access) -> Result<(), Problem> {
        let needed = match wanted {
            Access::Read => self.read.is_some(),
            Access::Write => self.write.is_some(),
        };
        if !needed {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| sha256(&[token.trim().as_bytes()]))
        });
        let Some(given) = given else { return Err(Problem::request(401, "this needs a token")) };
        let is = |token: &Option<Digest>| *token == Some(given);
        match wanted {
            _ if is(&self.write) => Ok(()),
            Access::Read if is(&self.read) => Ok(()),
            Access::Write if is(&self.read) => Err(Problem::request(403, "this token is for reading")),
            _ => Err(Problem::request(401, "the token is not known")),
        }
    }
}

fn token(path: &Path) -> Result<Digest, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let token = text.trim();
    if token.len() < 16 || token.contains(char::is_whitespace) {
        return Err(format!("{} must hold one token of at least 16 characters", path.display()));
    }
    Ok(sha256(&[token.as_bytes()]))
}
