//! How the extension refuses: one error type, and the one table of SQLSTATEs.
//!
//! pgrx turns every SQLSTATE that it does not know, and so the whole class `ET`,
//! into `XX000` when an error crosses one of its FFI boundaries. Errors are
//! therefore carried as values up to the function boundary (`function.rs`) and
//! raised there, past pgrx, once every Rust value has been dropped.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;

use ets_core::canonical::CanonicalError;
use ets_core::event::DocumentError;
use ets_core::hash::LengthError;
use ets_core::key::KeyError;
use ets_core::name::NameError;
use ets_core::registry::{Denial, RegistryError};
use pgrx::{PgLogLevel, pg_sys};
use serde_json::{Value, json};

/// Shorthand for what can be refused.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a statement ends.
#[derive(Debug)]
pub enum Error {
    /// Refused by the ledger.
    Refused(Box<Refusal>),
    /// An error of Postgres that lies on its error stack, to be raised again as
    /// it is. Whoever holds one must return it: the transaction cannot go on.
    Postgres,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(refusal) => f.write_str(&refusal.message),
            Error::Postgres => f.write_str("an error of Postgres"),
        }
    }
}

/// A refusal as the client sees it.
#[derive(Debug)]
pub struct Refusal {
    sqlstate: &'static CStr,
    message: String,
    detail: Option<Value>,
    hint: Option<String>,
}

impl Refusal {
    /// Every refusal has a detail that is JSON, and a hint.
    fn complete(mut self) -> Self {
        self.detail.get_or_insert_with(|| json!({"reason": self.message}));
        self.hint.get_or_insert_with(|| "docs/errors.md says what each SQLSTATE means".to_owned());
        self
    }
}

/// The SQLSTATEs of the ledger (class `ET`) and those of Postgres that it uses.
pub mod sqlstate {
    use std::ffi::CStr;

    /// The payload has no canonical form, or is too large or deep.
    pub const PAYLOAD: &CStr = c"ET001";
    /// A hash is not the computed one.
    pub const HASH: &CStr = c"ET002";
    /// A signature or public key is invalid.
    pub const SIGNATURE: &CStr = c"ET003";
    /// The key is unknown, revoked, outside its validity, or without authority.
    pub const AUTHORITY: &CStr = c"ET004";
    /// `previous_hash` is not the stream's head.
    pub const HEAD: &CStr = c"ET005";
    /// The schema is unknown, retired, malformed or incompatible.
    pub const SCHEMA: &CStr = c"ET006";
    /// The payload violates its schema.
    pub const VIOLATION: &CStr = c"ET007";
    /// The payload violates a business rule.
    pub const RULE: &CStr = c"ET008";
    /// The ledger is append-only.
    pub const APPEND_ONLY: &CStr = c"ET009";
    /// A server-assigned field is wrong, not the caller's to set, or taken.
    pub const FIELD: &CStr = c"ET010";
    /// No such event, checkpoint, domain, stream, key or grant.
    pub const NOT_FOUND: &CStr = c"ET011";
    /// Not sealed yet.
    pub const NOT_SEALED: &CStr = c"ET012";
    /// The ledger is not initialised, or is already.
    pub const STATE: &CStr = c"ET013";
    /// A rule or reducer failed.
    pub const REDUCER: &CStr = c"ET014";
    /// The key for this is not on this server.
    pub const NO_KEY: &CStr = c"ET015";
    /// `null_value_not_allowed`
    pub const NULL: &CStr = c"22004";
    /// `invalid_parameter_value`
    pub const PARAMETER: &CStr = c"22023";
    /// `insufficient_privilege`
    pub const PRIVILEGE: &CStr = c"42501";
    /// `active_sql_transaction`
    pub const ACTIVE_TRANSACTION: &CStr = c"25001";
    /// `read_only_sql_transaction`
    pub const READ_ONLY: &CStr = c"25006";
    /// `program_limit_exceeded`
    pub const LIMIT: &CStr = c"54000";
    /// `data_corrupted`
    pub const CORRUPTED: &CStr = c"XX001";
}

impl Error {
    /// A refusal with its SQLSTATE and its message: one line, lower case, no full stop.
    pub fn new(sqlstate: &'static CStr, message: impl Into<String>) -> Self {
        Error::Refused(Box::new(Refusal { sqlstate, message: message.into(), detail: None, hint: None }))
    }

    /// With a JSON object for programs; pointers and keywords, never payload values.
    pub fn detail(mut self, detail: Value) -> Self {
        if let Error::Refused(refusal) = &mut self {
            refusal.detail = Some(detail);
        }
        self
    }

    /// With one more member in the detail.
    pub fn with_detail_member(mut self, name: &str, value: Value) -> Self {
        if let Error::Refused(refusal) = &mut self {
            let mut members = match refusal.detail.take() {
                Some(Value::Object(members)) => members,
                _ => serde_json::Map::new(),
            };
            members.insert(name.to_owned(), value);
            refusal.detail = Some(Value::Object(members));
        }
        self
    }

    /// With what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Error::Refused(refusal) = &mut self {
            refusal.hint = Some(hint.into());
        }
        self
    }

    /// The refusal's SQLSTATE; none for an error of Postgres.
    pub fn sqlstate(&self) -> Option<&'static CStr> {
        match self {
            Error::Refused(refusal) => Some(refusal.sqlstate),
            Error::Postgres => None,
        }
    }

    /// `22004`, for a NULL where none is allowed.
    pub fn null(argument: &str) -> Self {
        Error::new(sqlstate::NULL, format!("{argument} must not be null"))
            .detail(json!({"argument": argument}))
            .hint("only arguments with a default may be left out")
    }

    /// `22023`, for an argument out of its range.
    pub fn parameter(argument: &str, problem: impl fmt::Display) -> Self {
        Error::new(sqlstate::PARAMETER, format!("{argument} {problem}"))
            .detail(json!({"argument": argument}))
            .hint("docs/reference.md says what each argument may be")
    }

    /// Ends the statement with this error.
    ///
    /// Jumps out of all Rust frames without unwinding: the caller must hold no
    /// value whose drop matters.
    pub fn raise(self) -> ! {
        match self {
            // SAFETY: an Error::Postgres is made only where an error lies on the stack.
            Error::Postgres => unsafe { pg_re_throw() },
            Error::Refused(refusal) => report(ERROR, refusal.complete()),
        }
        unreachable!("errors of Postgres do not return")
    }
}

/// Sends a WARNING with the ledger's own wording.
pub fn warn(message: &str, hint: &str) {
    report(
        WARNING,
        Refusal {
            sqlstate: c"01000",
            message: message.to_owned(),
            detail: None,
            hint: Some(hint.to_owned()),
        },
    );
}

/// Sends a NOTICE.
pub fn notice(message: &str, hint: &str) {
    report(
        NOTICE,
        Refusal {
            sqlstate: c"00000",
            message: message.to_owned(),
            detail: None,
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        },
    );
}

const NOTICE: c_int = PgLogLevel::NOTICE as c_int;
const WARNING: c_int = PgLogLevel::WARNING as c_int;
const ERROR: c_int = PgLogLevel::ERROR as c_int;

fn report(level: c_int, refusal: Refusal) {
    // SAFETY: plain calls of Postgres' error reporting in its documented order.
    // errfinish leaves by longjmp at ERROR; only Copy values are alive then.
    unsafe {
        if !errstart(level, std::ptr::null()) {
            return;
        }
        let message = pg_string(&refusal.message);
        let detail = refusal.detail.as_ref().map(|detail| pg_string(&detail.to_string()));
        let hint = refusal.hint.as_deref().map(|hint| pg_string(hint));
        let code = sqlstate_code(refusal.sqlstate);
        drop(refusal);
        errcode(code);
        errmsg_internal(c"%s".as_ptr(), message);
        if let Some(detail) = detail {
            errdetail_internal(c"%s".as_ptr(), detail);
        }
        if let Some(hint) = hint {
            errhint(c"%s".as_ptr(), hint);
        }
        errfinish(c"pg_ets".as_ptr(), 0, c"pg_ets".as_ptr());
    }
}

/// `text` as a C string that Postgres frees with the current memory context.
unsafe fn pg_string(text: &str) -> *const c_char {
    let text = CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
    // SAFETY: pstrdup copies a valid C string.
    unsafe { pg_sys::pstrdup(text.as_ptr()) }
}

/// `MAKE_SQLSTATE`: six bits a character, the first lowest (utils/errcodes.h).
fn sqlstate_code(sqlstate: &CStr) -> c_int {
    sqlstate
        .to_bytes()
        .iter()
        .enumerate()
        .map(|(place, character)| ((c_int::from(*character) - c_int::from(b'0')) & 0x3f) << (6 * place))
        .sum()
}

// Declared here, not taken from pgrx: its versions catch the jump that is wanted.
unsafe extern "C-unwind" {
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    fn errcode(code: c_int) -> c_int;
    fn errmsg_internal(format: *const c_char, ...) -> c_int;
    fn errdetail_internal(format: *const c_char, ...) -> c_int;
    fn errhint(format: *const c_char, ...) -> c_int;
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
    fn pg_re_throw() -> !;
}

impl From<CanonicalError> for Error {
    fn from(error: CanonicalError) -> Self {
        let hint = match error {
            CanonicalError::Number { .. } => {
                "send a number that a double cannot hold exactly as a string, or an amount in integer minor units"
            }
            CanonicalError::TooDeep { .. } | CanonicalError::TooLarge { .. } => {
                "ets.max_payload_bytes and ets.max_payload_depth are the limits; keep large data elsewhere and its hash here"
            }
            _ => "send JSON (RFC 8259) in UTF-8 without duplicate keys, lone surrogates and U+0000",
        };
        Error::new(sqlstate::PAYLOAD, format!("payload refused: {error}"))
            .detail(json!({"reason": error.to_string()}))
            .hint(hint)
    }
}

impl From<DocumentError> for Error {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Json(error) => error.into(),
            error => Error::new(sqlstate::PARAMETER, error.to_string())
                .hint("an event document has exactly the thirteen members that ets.event_document returns"),
        }
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        let code = match error.what {
            "schema_version" => sqlstate::SCHEMA,
            _ => sqlstate::PARAMETER,
        };
        Error::new(code, error.to_string()).detail(json!({"argument": error.what})).hint(error.expectation())
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        Error::new(sqlstate::SIGNATURE, format!("public key refused: {error}"))
            .detail(json!({"argument": "public_key"}))
            .hint("use a key from ets.generate_key() or any RFC 8032 key generator")
    }
}

impl From<LengthError> for Error {
    fn from(error: LengthError) -> Self {
        Error::new(sqlstate::PARAMETER, error.to_string())
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        Error::new(sqlstate::AUTHORITY, denial.to_string())
            .detail(denial.detail())
            .hint("ets.signing_key and ets.authority_grant show the keys and what each may append")
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        let code = match error.sqlstate() {
            "ET001" => sqlstate::PAYLOAD,
            "ET002" => sqlstate::HASH,
            "ET003" => sqlstate::SIGNATURE,
            "ET004" => sqlstate::AUTHORITY,
            "ET005" => sqlstate::HEAD,
            "ET006" => sqlstate::SCHEMA,
            "ET007" => sqlstate::VIOLATION,
            "ET008" => sqlstate::RULE,
            "ET014" => sqlstate::REDUCER,
            "ET011" => sqlstate::NOT_FOUND,
            "ET013" => sqlstate::STATE,
            "ET016" => c"ET016",
            _ => sqlstate::FIELD,
        };
        Error::new(code, error.to_string()).detail(error.detail()).hint(error.hint())
    }
}
