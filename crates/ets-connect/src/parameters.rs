//! libpq connection strings: what of them is about TLS, taken out.
//!
//! The driver knows fewer modes than libpq and no certificates; the rest is its own.

use std::path::PathBuf;
use std::str::FromStr;

/// libpq's `sslmode`: how much the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it, whoever the server is; libpq's `allow` as well.
    #[default]
    Prefer,
    /// TLS, whoever the server is, unless a root certificate is named.
    Require,
    /// TLS with a certificate of the root's, whatever its name.
    VerifyCa,
    /// TLS with a certificate of the root's for the host's name.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "disable" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => {
                return Err(format!(
                    "sslmode {text:?} is none of disable, prefer, require, verify-ca, verify-full"
                ));
            }
        })
    }
}

/// What a connection string says of TLS; what it leaves out is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsParameters {
    /// `sslmode`
    pub mode: Option<SslMode>,
    /// `sslrootcert`: the file of the certificates that the server's must come from.
    pub root: Option<PathBuf>,
    /// `sslcert`: the file of the client's certificate and its chain.
    pub certificate: Option<PathBuf>,
    /// `sslkey`: the file of the client's secret key.
    pub key: Option<PathBuf>,
}

impl TlsParameters {
    /// Takes a parameter; whether it is about TLS.
    fn take(&mut self, name: &str, value: String) -> Result<bool, String> {
        match name {
            "sslmode" => self.mode = Some(value.parse()?),
            "sslrootcert" => self.root = Some(value.into()),
            "sslcert" => self.certificate = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is missing, from the environment: `variable` answers `PGSSLMODE` and so on.
    ///
    /// # Errors
    /// A message for the user: `PGSSLMODE` is no mode.
    pub fn or_environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        if self.mode.is_none() {
            self.mode = variable("PGSSLMODE").map(|text| text.parse()).transpose()?;
        }
        self.root = self.root.or_else(|| variable("PGSSLROOTCERT").map(PathBuf::from));
        self.certificate = self.certificate.or_else(|| variable("PGSSLCERT").map(PathBuf::from));
        self.key = self.key.or_else(|| variable("PGSSLKEY").map(PathBuf::from));
        Ok(self)
    }
}

/// A connection string, `key=value` pairs or a URL, without its parameters for TLS.
///
/// # Errors
/// A message for the user: the string is none, or `sslmode` is no mode.
pub fn split(text: &str) -> Result<(String, TlsParameters), String> {
    match text.starts_with("postgres://") || text.starts_with("postgresql://") {
        true => split_url(text),
        false => split_pairs(text),
    }
}

/// `postgresql://…?name=value&…`, names and values percent-encoded.
fn split_url(text: &str) -> Result<(String, TlsParameters), String> {
    let mut tls = TlsParameters::default();
    let Some((before, query)) = text.split_once('?') else { return Ok((text.to_owned(), tls)) };
    let mut rest = Vec::new();
    for pair in query.split('&') {
        let is_taken = match pair.split_once('=') {
            Some((name, value)) => tls.take(&decoded(name)?, decoded(value)?)?,
            None => false,
        };
        if !is_taken {
            rest.push(pair);
        }
    }
    let separator = if rest.is_empty() { "" } else { "?" };
    Ok((format!("{before}{separator}{}", rest.join("&")), tls))
}

fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("the connection string is wrong: {text:?} is not percent-encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'%', ..) => return Err(wrong()),
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// `name = value …`; a value with spaces in single quotes, `\` before a quote or itself.
fn split_pairs(text: &str) -> Result<(String, TlsParameters), String> {
    let mut tls = TlsParameters::default();
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.trim_start().is_empty() {
        let before = rest;
        let Some((name, value)) = rest.split_once('=') else {
            return Err(format!("the connection string is wrong: no \"=\" after {:?}", rest.trim()));
        };
        let (value, after) = value_of(value.trim_start())?;
        if !tls.take(name.trim(), value)? {
            kept.push_str(before.strip_suffix(after).unwrap_or(before));
        }
        rest = after;
    }
    Ok((kept, tls))
}

/// The value that `text` begins with, and what follows it.
fn value_of(text: &str) -> Result<(String, &str), String> {
    let (is_quoted, body) = text.strip_prefix('\'').map_or((false, text), |body| (true, body));
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if is_quoted => return Ok((value, body.get(at + 1..).unwrap_or_default())),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ if !is_quoted && character.is_whitespace() => {
                return Ok((value, body.get(at..).unwrap_or_default()));
            }
            _ => value.push(character),
        }
    }
    if is_quoted {
        return Err("the connection string is wrong: a quote is not closed".into());
    }
    Ok((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_for_tls_are_taken_out() {
        let named = |mode| TlsParameters { mode: Some(mode), ..TlsParameters::default() };
        for (text, rest, tls) in [
            ("", "", TlsParameters::default()),
            ("host=a dbname='b c'", "host=a dbname='b c'", TlsParameters::default()),
            ("host=a sslmode=require dbname=b", "host=a dbname=b", named(SslMode::Require)),
            ("sslmode = 'verify-full'host=a", "host=a", named(SslMode::VerifyFull)),
            (
                r"password='it\'s sslmode=x' sslmode=disable",
                r"password='it\'s sslmode=x'",
                named(SslMode::Disable),
            ),
            ("postgresql://u@h/d", "postgresql://u@h/d", TlsParameters::default()),
            ("postgres://u@h/d?sslmode=allow", "postgres://u@h/d", named(SslMode::Prefer)),
            (
                "postgresql://h/d?options=-c%20a%3Db&sslmode=verify%2Dca&connect_timeout=3",
                "postgresql://h/d?options=-c%20a%3Db&connect_timeout=3",
                named(SslMode::VerifyCa),
            ),
        ] {
            let (kept, found) = split(text).unwrap();
            assert_eq!((kept.trim(), found), (rest, tls), "{text}");
        }
        let (_, tls) = split(r"sslrootcert='/a b/\'c\\' sslcert=/d sslkey=/e\ f").unwrap();
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!((tls.root, tls.certificate, tls.key), (path("/a b/'c\\"), path("/d"), path("/e f")));
        let (_, tls) = split("postgres://h/d?sslrootcert=%2Fa%20b").unwrap();
        assert_eq!(tls.root, path("/a b"));
        for wrong in ["host", "a='b", "sslmode=on", "postgres://h/d?sslmode=%6", "postgres://h?sslkey=%ff"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_environment_fills_the_gaps() {
        let (_, tls) = split("sslmode=require").unwrap();
        let tls = tls.or_environment(|name| Some(name.to_owned())).unwrap();
        assert_eq!((tls.mode, tls.root), (Some(SslMode::Require), Some("PGSSLROOTCERT".into())));
        assert!(TlsParameters::default().or_environment(|_| Some("on".into())).is_err());
    }
}
