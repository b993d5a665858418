//! Numbers: which decimals the ledger accepts, and what they become.

use std::fmt;

use serde_json::Number;

/// 2^53: up to here every integer is a double, and is kept as an integer.
const MAX_INTEGER: u64 = 1 << 53;

/// A decimal, `±digits × 10^exponent`, with `digits` not ending in 0 (or being
/// 0): every number that a text can denote has exactly one such form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    negative: bool,
    /// At most [`MAX_DIGITS`] digits; meaningless if `too_long`.
    digits: u64,
    /// How many decimal digits `digits` has; 0 for 0.
    count: u32,
    exponent: i64,
    /// There are more significant digits than the text of any double has.
    too_long: bool,
    /// The text is what `jsonb` prints for this number: no exponent, no zeros
    /// at the end of a fraction, no minus before zero.
    pub(super) plain: bool,
}

/// The most significant digits that the shortest text of a double can have.
const MAX_DIGITS: u32 = 17;

const POWERS: [u64; MAX_DIGITS as usize + 1] = {
    let mut powers = [1; MAX_DIGITS as usize + 1];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

impl Decimal {
    /// Reads the number (RFC 8259, section 6) that `text` starts with, and says
    /// where it ends. Linear in its length, and never expands an exponent. `Err`
    /// is where the text stops being a number.
    pub(super) fn scan(text: &[u8]) -> Result<(Decimal, usize), usize> {
        let byte = |at: usize| text.get(at).copied().unwrap_or(0);
        let mut number =
            Decimal { negative: false, digits: 0, count: 0, exponent: 0, too_long: false, plain: true };
        let mut zeros = 0;
        let mut at = 0;
        if byte(at) == b'-' {
            number.negative = true;
            at += 1;
        }
        match byte(at) {
            b'0' => at += 1,
            b'1'..=b'9' => {
                while let digit @ b'0'..=b'9' = byte(at) {
                    number.push(digit, &mut zeros);
                    at += 1;
                }
            }
            _ => return Err(at),
        }
        if byte(at) == b'.' {
            let start = at + 1;
            at = start;
            while let digit @ b'0'..=b'9' = byte(at) {
                number.push(digit, &mut zeros);
                at += 1;
            }
            if at == start {
                return Err(at);
            }
            number.exponent -= length(at - start);
            number.plain = byte(at - 1) != b'0';
        }
        if let b'e' | b'E' = byte(at) {
            at += 1;
            let minus = byte(at) == b'-';
            if let b'+' | b'-' = byte(at) {
                at += 1;
            }
            let start = at;
            // Stops far beyond what any text is long enough to make up for.
            let mut exponent = 0_i64;
            while let digit @ b'0'..=b'9' = byte(at) {
                exponent = (exponent * 10 + i64::from(digit - b'0')).min(1 << 56);
                at += 1;
            }
            if at == start {
                return Err(at);
            }
            number.exponent += if minus { -exponent } else { exponent };
            number.plain = false;
        }
        number.exponent += length(zeros);
        if number.count == 0 && !number.too_long {
            number.exponent = 0;
            number.plain &= !number.negative;
        }
        Ok((number, at))
    }

    /// Takes a digit in. Zeros wait until a digit follows that makes them count.
    fn push(&mut self, digit: u8, zeros: &mut usize) {
        if digit == b'0' {
            if self.count > 0 {
                *zeros += 1;
            }
            return;
        }
        match u32::try_from(*zeros) {
            Ok(waiting) if self.count + waiting < MAX_DIGITS => {
                let more = waiting + 1;
                self.digits = self.digits * POWERS[more as usize] + u64::from(digit - b'0');
                self.count += more;
            }
            _ => self.too_long = true,
        }
        *zeros = 0;
    }

    /// The value as JSON libraries hold it.
    ///
    /// # Errors
    /// [`NumberProblem`] unless the decimal that the ECMAScript text of the
    /// nearest double denotes (RFC 8785, section 3.2.2.3) is this decimal.
    pub(super) fn to_number(self) -> Result<Number, NumberProblem> {
        // Exact decimals of up to 15 digits never share a double, so the
        // shortest text of the double has the same digits (DBL_DIG in C).
        let (double, exact_by_length) = self.nearest()?;
        if exact_by_length || self.is_text_of(double) {
            Ok(number_of(double))
        } else {
            Err(NumberProblem::Inexact)
        }
    }

    /// The nearest double, ties to even; and whether its text is known to be
    /// this decimal without looking.
    fn nearest(self) -> Result<(f64, bool), NumberProblem> {
        if self.too_long {
            return Err(NumberProblem::Inexact);
        }
        if self.digits == 0 {
            return Ok((0.0, true));
        }
        // The value lies in 0.1 to 1 times 10^magnitude. The greatest double has
        // magnitude 309, the smallest (5e-324) has -323.
        let magnitude = self.exponent + i64::from(self.count);
        if magnitude > 309 {
            return Err(NumberProblem::TooLarge);
        }
        if magnitude < -323 {
            return Err(NumberProblem::TooSmall);
        }
        let size = self.digits as f64;
        let size = match (usize::try_from(self.exponent), usize::try_from(-self.exponent)) {
            // Both operands are exact, so the result is rounded once.
            (Ok(power), _) if self.digits <= MAX_INTEGER && power < EXACT_POWERS.len() => {
                size * EXACT_POWERS[power]
            }
            (_, Ok(power)) if self.digits <= MAX_INTEGER && power < EXACT_POWERS.len() => {
                size / EXACT_POWERS[power]
            }
            _ => format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::INFINITY),
        };
        if size.is_infinite() {
            return Err(NumberProblem::TooLarge);
        }
        if size == 0.0 {
            return Err(NumberProblem::TooSmall);
        }
        // Subnormal doubles have fewer digits; stay clear of them.
        let exact_by_length = self.count <= 15 && magnitude.abs() <= 300;
        Ok((if self.negative { -size } else { size }, exact_by_length))
    }

    /// Whether the ECMAScript text of `double` denotes this decimal.
    fn is_text_of(self, double: f64) -> bool {
        Decimal::scan(ryu_js::Buffer::new().format(double).as_bytes()).is_ok_and(|(text, _)| {
            (text.negative, text.digits, text.exponent) == (self.negative, self.digits, self.exponent)
        })
    }
}

/// The powers of ten that are doubles.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A number as parsing would have given it.
///
/// # Errors
/// [`NumberProblem`] if it is an integer that no double equals.
pub(super) fn normal(number: &Number) -> Result<Number, NumberProblem> {
    if number.as_i64().is_some_and(|integer| integer.unsigned_abs() <= MAX_INTEGER) {
        return Ok(number.clone());
    }
    if number.is_f64() {
        return number.as_f64().map(number_of).ok_or(NumberProblem::TooLarge);
    }
    match Decimal::scan(number.to_string().as_bytes()) {
        Ok((decimal, _)) => decimal.to_number(),
        Err(_) => Err(NumberProblem::TooLarge),
    }
}

/// An integer if it is one of up to 2^53 in size (so that -0 becomes 0), else
/// the finite double itself.
fn number_of(double: f64) -> Number {
    if double.trunc() == double && double.abs() <= MAX_INTEGER as f64 {
        return Number::from(double as i64);
    }
    Number::from_f64(double).unwrap_or_else(|| Number::from(0))
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Why a number is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberProblem {
    /// It is beyond the greatest double.
    TooLarge,
    /// It is not zero, but the nearest double is.
    TooSmall,
    /// Its canonical text denotes another number. Up to 15 significant digits
    /// are always exact.
    Inexact,
}

impl fmt::Display for NumberProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NumberProblem::TooLarge => "is too large for a double",
            NumberProblem::TooSmall => "is too close to zero for a double",
            NumberProblem::Inexact => "is not exactly its canonical text",
        })
    }
}

impl std::error::Error for NumberProblem {}
