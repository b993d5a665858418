//! Tokens (CEL language definition, "Syntax").

use super::error::{ExpressionError, ExpressionProblem, Position};
use super::literal;

/// A token of the language.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'s> {
    /// An identifier or keyword.
    Name(&'s str),
    /// An integer without its sign, at most 2^63.
    Int(u64),
    /// A finite number with fraction or exponent, without its sign.
    Double(f64),
    /// A string, its escapes resolved.
    Text(String),
    /// Punctuation.
    Symbol(&'static str),
    /// Nothing is left.
    End,
}

/// The longer symbols come before those that they start with.
const SYMBOLS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "-", "+", "*", "/", "%", "?", ":", ".", ",", "(", ")",
    "[", "]", "{", "}", "=",
];

/// Reads an expression token by token.
pub(super) struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Lexer { source, at: 0 }
    }

    /// The error for what stands at an offset.
    pub(super) fn error(&self, offset: usize, problem: ExpressionProblem) -> ExpressionError {
        ExpressionError { problem, position: Position::of(self.source, offset) }
    }

    /// The next token and where it starts.
    pub(super) fn next(&mut self) -> Result<(Token<'s>, usize), ExpressionError> {
        self.skip_space();
        let start = self.at;
        let token = self.token().map_err(|(offset, problem)| self.error(offset, problem))?;
        Ok((token, start))
    }

    fn token(&mut self) -> Result<Token<'s>, (usize, ExpressionProblem)> {
        let start = self.at;
        let rest = self.source.get(start..).unwrap_or_default();
        let bytes = rest.as_bytes();
        let Some(&first) = bytes.first() else { return Ok(Token::End) };
        if let Some((text, end)) = literal::string(self.source, start)? {
            self.at = end;
            return Ok(Token::Text(text));
        }
        let followed_by_digit = bytes.get(1).is_some_and(u8::is_ascii_digit);
        if first.is_ascii_digit() || (first == b'.' && followed_by_digit) {
            let (token, length) = literal::number(rest).map_err(|problem| (start, problem))?;
            self.at = start + length;
            return Ok(token);
        }
        if first.is_ascii_alphabetic() || first == b'_' {
            let length =
                bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            self.at = start + length;
            return Ok(Token::Name(rest.get(..length).unwrap_or_default()));
        }
        match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => {
                self.at = start + symbol.len();
                Ok(Token::Symbol(symbol))
            }
            None => Err((start, ExpressionProblem::Character)),
        }
    }

    /// Steps over white space and comments, which run from `//` to the line's end.
    fn skip_space(&mut self) {
        let bytes = self.source.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0c => self.at += 1,
                b'/' if bytes.get(self.at + 1) == Some(&b'/') => {
                    let rest = bytes.get(self.at..).unwrap_or_default();
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                _ => break,
            }
        }
    }
}
