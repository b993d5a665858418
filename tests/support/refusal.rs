//! Errors, as strictly as the ledger promises them.

use std::fmt::Debug;

use postgres::error::DbError;
use serde_json::Value;

/// An error that the ledger gave: every part of it.
#[derive(Debug)]
pub struct Refusal {
    /// One line that says what is wrong.
    pub message: String,
    /// A JSON object for programs; null if the error is not of class ET.
    pub detail: Value,
    /// What to do.
    pub hint: String,
}

/// The server's error in `result`, which must be one.
#[track_caller]
pub fn error_of<T: Debug>(result: Result<T, postgres::Error>) -> DbError {
    match result {
        Ok(value) => panic!("expected an error, got {value:?}"),
        Err(error) => match error.as_db_error() {
            Some(error) => error.clone(),
            None => panic!("expected an error of the server, got {error}"),
        },
    }
}

/// The refusal in `result`, which must have the SQLSTATE `code`. One of class ET
/// must have a one-line message, a JSON object as detail, and a hint.
#[track_caller]
pub fn refused<T: Debug>(result: Result<T, postgres::Error>, code: &str) -> Refusal {
    let error = error_of(result);
    assert_eq!(error.code().code(), code, "{error:?}");
    let message = error.message().to_owned();
    assert!(!message.contains('\n'), "a message is one line: {message}");
    let mut detail = Value::Null;
    if code.starts_with("ET") {
        let text = error.detail().unwrap_or_else(|| panic!("no detail: {error:?}"));
        detail = serde_json::from_str(text).unwrap_or_else(|_| panic!("detail is not JSON: {text}"));
        assert!(detail.is_object(), "detail is not an object: {text}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "no hint: {error:?}");
    }
    Refusal { message, detail, hint: error.hint().unwrap_or_default().to_owned() }
}
