//! `TSTInfo` (RFC 3161, section 2.4.2): what an authority signs.

use std::fmt;

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{DateTime, Error, ErrorKind, Tag};

use super::asn1::{self, Members, Value, primitive_context};
use super::signature::{self, Hash};

/// The parts of a `TSTInfo` that anything here depends on.
#[derive(Debug)]
pub struct TimestampInfo {
    /// The digest that was stamped, in the algorithm of the request.
    pub imprint: (Hash, Vec<u8>),
    /// When.
    pub time: Time,
    /// How far from it the authority's clock may have been, in microseconds, if it says so.
    pub accuracy: Option<u64>,
    /// The number of the request, if it had one that fits here.
    pub nonce: Option<u64>,
}

/// Reads a `TSTInfo`; one of another version or with a critical extension is none.
pub fn read(der: &[u8]) -> Result<TimestampInfo, Error> {
    let mut info = Members::of(asn1::read(der, Tag::Sequence)?)?;
    if info.required(Tag::Integer)?.decode_as::<u8>()? != 1 {
        return Err(ErrorKind::Value { tag: Tag::Integer }.into());
    }
    info.required(Tag::ObjectIdentifier)?.decode_as::<ObjectIdentifier>()?;
    let mut imprint = Members::of(info.required(Tag::Sequence)?)?;
    let algorithm = signature::hash(imprint.required(Tag::Sequence)?)?;
    let digest = imprint.required(Tag::OctetString)?.value().to_vec();
    imprint.end()?;
    info.required(Tag::Integer)?;
    let time = Time::parse(info.required(Tag::GeneralizedTime)?.value())
        .ok_or(ErrorKind::Value { tag: Tag::GeneralizedTime })?;
    let accuracy = info.optional(Tag::Sequence)?.map(accuracy).transpose()?;
    if let Some(ordering) = info.optional(Tag::Boolean)? {
        ordering.decode_as::<bool>()?;
    }
    let nonce = info.optional(Tag::Integer)?.and_then(|nonce| nonce.decode_as::<u64>().ok());
    info.optional(asn1::context(0))?;
    if let Some(extensions) = info.optional(asn1::context(1))? {
        for extension in Members::of(extensions)?.all(Tag::Sequence)? {
            let mut extension = Members::of(extension)?;
            extension.required(Tag::ObjectIdentifier)?;
            // Whoever does not know a critical extension must not go on; none is known here.
            if extension.optional(Tag::Boolean)?.is_some_and(|critical| critical.value() != [0]) {
                return Err(ErrorKind::Value { tag: asn1::context(1) }.into());
            }
        }
    }
    info.end()?;
    Ok(TimestampInfo { imprint: (algorithm, digest), time, accuracy, nonce })
}

/// `Accuracy` in microseconds: each part may be left out.
fn accuracy(value: Value<'_>) -> Result<u64, Error> {
    let mut parts = Members::of(value)?;
    let seconds = parts.optional(Tag::Integer)?.map_or(Ok(0), |seconds| seconds.decode_as::<u32>())?;
    let mut part = |number: u32| match parts.optional(primitive_context(number))? {
        Some(part) => Value::new(Tag::Integer, part.value())?.decode_as::<u16>(),
        None => Ok(0),
    };
    let (millis, micros) = (part(0)?, part(1)?);
    parts.end()?;
    Ok(u64::from(seconds) * 1_000_000 + u64::from(millis) * 1_000 + u64::from(micros))
}

/// `genTime`: a time in UTC, perhaps with a fraction of a second, which the times of
/// X.509 do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    date_time: DateTime,
    /// Decimal digits, without a zero at the end; empty if there is no fraction.
    fraction: String,
}

impl Time {
    /// `YYYYMMDDhhmmss[.f…]Z`.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
        let (whole, fraction) = text.split_once('.').map_or((text, None), |(a, b)| (a, Some(b)));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() != 14 || !is_number(whole) {
            return None;
        }
        if fraction.is_some_and(|text| text.is_empty() || !is_number(text) || text.ends_with('0')) {
            return None;
        }
        let part = |from: usize| whole.get(from..from + 2)?.parse::<u8>().ok();
        let year = whole.get(..4)?.parse::<u16>().ok()?;
        let date_time = DateTime::new(year, part(4)?, part(6)?, part(8)?, part(10)?, part(12)?).ok()?;
        Some(Time { date_time, fraction: fraction.unwrap_or_default().to_owned() })
    }

    /// Whole seconds since 1970.
    pub fn seconds(&self) -> u64 {
        self.date_time.unix_duration().as_secs()
    }
}

impl fmt::Display for Time {
    /// RFC 3339.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.date_time;
        let (year, month, day) = (time.year(), time.month(), time.day());
        let (hour, minutes, seconds) = (time.hour(), time.minutes(), time.seconds());
        let dot = if self.fraction.is_empty() { "" } else { "." };
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minutes:02}:{seconds:02}{dot}{}Z", self.fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_have_a_fraction_and_nothing_else() {
        let shown = |text: &str| Time::parse(text.as_bytes()).map(|time| time.to_string());
        assert_eq!(shown("20261123172000Z").as_deref(), Some("2026-11-23T17:20:00Z"));
        assert_eq!(shown("20261123172000.000001Z").as_deref(), Some("2026-11-23T17:20:00.000001Z"));
        assert_eq!(Time::parse(b"19700101000001.5Z").map(|time| time.seconds()), Some(1));
        for text in [
            "20261123172000",
            "20261123172000.Z",
            "20261123172000.50Z",
            "202611231720Z",
            "20261323172000Z",
            "20261123172000+0100",
            "2026112317200aZ",
            "20261123172000.-1Z",
            "20260230000000Z",
            "Z",
            "",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn accuracy_adds_up() {
        let read = |der: &[u8]| accuracy(asn1::read(der, Tag::Sequence).expect("a sequence"));
        assert_eq!(read(&[0x30, 0x00]).expect("nothing"), 0);
        let all = [0x30, 0x0A, 0x02, 0x01, 0x01, 0x80, 0x02, 0x01, 0xF4, 0x81, 0x01, 0x64];
        assert_eq!(read(&all).expect("1 s, 500 ms, 100 µs"), 1_500_100);
        assert!(read(&[0x30, 0x03, 0x82, 0x01, 0x01]).is_err());
        assert!(read(&[0x30, 0x03, 0x02, 0x01, 0xFF]).is_err(), "below 0");
    }
}
