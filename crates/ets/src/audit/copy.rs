//! Rows as `COPY … TO STDOUT (FORMAT binary)` sends them, read as what they are:
//! bytes of whoever answers. No function of the server's makes a value of them.

use std::io::Read;
use std::ops::Range;

use ets_core::event::Event;
use ets_core::verify::RawEvent;
use uuid::Uuid;

/// The most columns of a row that is read.
const COLUMNS: usize = 16;
/// The longest row, in bytes: a payload and its hashes are far below.
const MAX_ROW: usize = 256 << 20;
/// Microseconds from 1970 to PostgreSQL's epoch, 2000-01-01.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// A row, owned, so that another thread can have it.
#[derive(Debug, Clone, Default)]
pub struct Row {
    bytes: Vec<u8>,
    columns: [Option<(u32, u32)>; COLUMNS],
}

impl Row {
    /// A row of these columns, at most as many as a row has.
    pub fn of_columns(columns: &[Option<&[u8]>]) -> Self {
        let mut row = Row::default();
        for (column, bytes) in row.columns.iter_mut().zip(columns) {
            let Some(bytes) = bytes else { continue };
            let start = row.bytes.len();
            row.bytes.extend_from_slice(bytes);
            *column = u32::try_from(start).ok().zip(u32::try_from(row.bytes.len()).ok());
        }
        row
    }

    /// The row that a server would send of an event, its payload only if asked for,
    /// with the two columns behind its members.
    pub fn of_event(event: &Event, with_payload: bool, leaf_index: Option<i64>, last: Option<i64>) -> Self {
        let header = &event.header;
        let int = |number: u64| i64::try_from(number).unwrap_or(i64::MAX).to_be_bytes();
        let (sequence, version) = (int(header.sequence), int(header.registry_version));
        let timestamp = header.timestamp.unix_micros().saturating_sub(POSTGRES_EPOCH).to_be_bytes();
        let (leaf_index, last) = (leaf_index.map(i64::to_be_bytes), last.map(i64::to_be_bytes));
        let payload = with_payload.then(|| [b"\x01", event.payload.canonical().as_bytes()].concat());
        let key_id = header.key_id.to_string();
        let schema_version = header.schema_version.to_string();
        Row::of_columns(&[
            Some(header.event_id.as_uuid().as_bytes()),
            Some(header.domain.as_str().as_bytes()),
            Some(header.stream.as_str().as_bytes()),
            Some(&sequence),
            payload.as_deref(),
            Some(schema_version.as_bytes()),
            Some(key_id.as_bytes()),
            Some(&header.public_key),
            Some(header.previous_hash.as_bytes()),
            Some(header.current_hash.as_bytes()),
            Some(&header.signature.0),
            Some(&timestamp),
            Some(&version),
            leaf_index.as_ref().map(|bytes| &bytes[..]),
            last.as_ref().map(|bytes| &bytes[..]),
        ])
    }

    /// The bytes of a column, from 0; none for NULL.
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        let (start, end) = self.columns.get(column).copied().flatten()?;
        self.bytes.get(Range { start: start as usize, end: end as usize })
    }

    /// A `text`; none also for what is not UTF-8.
    pub fn text(&self, column: usize) -> Option<&str> {
        self.bytes(column).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// A `bigint`.
    pub fn int(&self, column: usize) -> Option<i64> {
        self.bytes(column)?.try_into().ok().map(i64::from_be_bytes)
    }

    /// A `uuid`.
    pub fn uuid(&self, column: usize) -> Option<Uuid> {
        self.bytes(column).and_then(|bytes| Uuid::from_slice(bytes).ok())
    }

    /// A `jsonb` as text; its first byte is the format's version, 1.
    pub fn jsonb(&self, column: usize) -> Option<&str> {
        let text = self.bytes(column)?.strip_prefix(&[1])?;
        std::str::from_utf8(text).ok()
    }

    /// A `timestamptz` in microseconds since 1970; none for `infinity`.
    pub fn unix_micros(&self, column: usize) -> Option<i64> {
        self.int(column).filter(|micros| ![i64::MIN, i64::MAX].contains(micros))?.checked_add(POSTGRES_EPOCH)
    }

    /// The event of a row that begins with its thirteen members in the order of
    /// `ets.event`.
    pub fn event(&self) -> RawEvent<'_> {
        RawEvent {
            event_id: self.uuid(0),
            domain: self.text(1),
            stream: self.text(2),
            sequence: self.int(3),
            payload: self.jsonb(4),
            schema_version: self.text(5),
            key_id: self.text(6),
            public_key: self.bytes(7),
            previous_hash: self.bytes(8),
            current_hash: self.bytes(9),
            signature: self.bytes(10),
            timestamp: self.unix_micros(11),
            registry_version: self.int(12),
        }
    }

    /// How much memory it takes, about.
    pub fn size(&self) -> usize {
        self.bytes.len() + size_of::<Row>()
    }
}

/// Reads the rows of a binary COPY.
pub struct Rows<R> {
    reader: R,
}

impl<R: Read> Rows<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// A message, if it is none.
    pub fn new(mut reader: R) -> Result<Self, String> {
        const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
        let mut head = [0; 19];
        reader.read_exact(&mut head).map_err(|error| broken(&error))?;
        let (signature, rest) = head.split_at(SIGNATURE.len());
        // No flags, and no extension of the header.
        if signature != SIGNATURE || rest != [0; 8] {
            return Err("the server's answer is no binary COPY".to_owned());
        }
        Ok(Rows { reader })
    }

    /// The next row; none after the last.
    ///
    /// # Errors
    /// A message: the connection broke, or what came is no row.
    pub fn next_row(&mut self) -> Result<Option<Row>, String> {
        let count = self.number::<2>().map(i16::from_be_bytes)?;
        if count == -1 {
            // The end of the transfer: whatever the server has to say about it comes now.
            let rest = self.reader.read(&mut [0]).map_err(|error| broken(&error))?;
            return if rest == 0 {
                Ok(None)
            } else {
                Err("the server goes on after the last row".to_owned())
            };
        }
        let count = usize::try_from(count).ok().filter(|count| *count <= COLUMNS);
        let count = count.ok_or("the server's answer has another number of columns than was asked for")?;
        let mut row = Row { bytes: Vec::with_capacity(1024), ..Row::default() };
        for column in row.columns.iter_mut().take(count) {
            let length = self.number::<4>().map(i32::from_be_bytes)?;
            let Ok(length) = usize::try_from(length) else { continue };
            let start = row.bytes.len();
            if start + length > MAX_ROW {
                return Err(format!("the server's answer has a row of more than {MAX_ROW} bytes"));
            }
            row.bytes.resize(start + length, 0);
            let into = row.bytes.get_mut(start..).unwrap_or_default();
            self.reader.read_exact(into).map_err(|error| broken(&error))?;
            // Both are below MAX_ROW.
            *column = Some((start as u32, (start + length) as u32));
        }
        Ok(Some(row))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| broken(&error))?;
        Ok(bytes)
    }
}

fn broken(error: &std::io::Error) -> String {
    format!("the server's answer broke off: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for row in rows {
            out.extend((row.len() as i16).to_be_bytes());
            for column in *row {
                match column {
                    None => out.extend((-1_i32).to_be_bytes()),
                    Some(bytes) => {
                        out.extend((bytes.len() as i32).to_be_bytes());
                        out.extend(*bytes);
                    }
                }
            }
        }
        out.extend((-1_i16).to_be_bytes());
        out
    }

    #[test]
    fn columns_are_what_was_sent() {
        let sent = copy(&[
            &[Some(b"abc"), None, Some(&7_i64.to_be_bytes()), Some(b"\x01{}"), Some(&0_i64.to_be_bytes())],
            &[],
        ]);
        let mut rows = Rows::new(&sent[..]).expect("a header");
        let row = rows.next_row().expect("a row").expect("a row");
        assert_eq!((row.text(0), row.text(1), row.int(2)), (Some("abc"), None, Some(7)));
        assert_eq!((row.jsonb(3), row.unix_micros(4)), (Some("{}"), Some(POSTGRES_EPOCH)));
        assert_eq!((row.jsonb(0), row.int(0), row.bytes(15), row.bytes(16)), (None, None, None, None));
        assert!(rows.next_row().expect("a row").is_some());
        assert!(rows.next_row().expect("the end").is_none());
    }

    #[test]
    fn an_answer_that_breaks_off_is_no_shorter_answer() {
        let whole = copy(&[&[Some(b"abc")], &[Some(b"def")]]);
        for length in 0..whole.len() {
            let read = Rows::new(&whole[..length]).and_then(|mut rows| {
                while rows.next_row()?.is_some() {}
                Ok(())
            });
            assert!(read.is_err(), "{length} bytes");
        }
        let more = [&whole[..], b"x"].concat();
        let mut rows = Rows::new(&more[..]).expect("a header");
        assert!(rows.next_row().is_ok() && rows.next_row().is_ok() && rows.next_row().is_err());
    }
}
