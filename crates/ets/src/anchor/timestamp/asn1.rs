//! DER (X.690) one value at a time. Lengths are minimal and definite, so a value has
//! one encoding, and what is read can be hashed and compared as it came.

use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Encode as _, Error, ErrorKind, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};

/// A value: its tag and its content.
pub type Value<'a> = AnyRef<'a>;

/// `[number]` around other values, or in place of a constructed value's tag.
pub fn context(number: u32) -> Tag {
    TagNumber(number).context_specific(true)
}

/// `[number]` in place of a primitive value's tag.
pub fn primitive_context(number: u32) -> Tag {
    TagNumber(number).context_specific(false)
}

/// The one value in `bytes`, which must have the tag.
pub fn read(bytes: &[u8], tag: Tag) -> Result<Value<'_>, Error> {
    let mut members = Members { reader: SliceReader::new(bytes)? };
    let value = members.required(tag)?;
    members.end()?;
    Ok(value)
}

/// The values inside a constructed value, in their order.
pub struct Members<'a> {
    reader: SliceReader<'a>,
}

impl<'a> Members<'a> {
    /// Those of `value`.
    pub fn of(value: Value<'a>) -> Result<Self, Error> {
        Ok(Members { reader: SliceReader::new(value.value())? })
    }

    /// The next one, whatever it is.
    pub fn any(&mut self) -> Result<Value<'a>, Error> {
        self.reader.decode()
    }

    /// The next one, which must have the tag.
    pub fn required(&mut self, tag: Tag) -> Result<Value<'a>, Error> {
        let value: Value<'a> = self.reader.decode()?;
        match value.tag() == tag {
            true => Ok(value),
            false => Err(ErrorKind::TagUnexpected { expected: Some(tag), actual: value.tag() }.into()),
        }
    }

    /// The next one, if it has the tag.
    pub fn optional(&mut self, tag: Tag) -> Result<Option<Value<'a>>, Error> {
        match !self.reader.is_finished() && Tag::peek(&self.reader)? == tag {
            true => self.required(tag).map(Some),
            false => Ok(None),
        }
    }

    /// All that are left, each with the tag.
    pub fn all(mut self, tag: Tag) -> Result<Vec<Value<'a>>, Error> {
        let mut values = Vec::new();
        while !self.reader.is_finished() {
            values.push(self.required(tag)?);
        }
        Ok(values)
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), Error> {
        self.reader.finish()
    }
}

/// The only element of a `SET OF` or `SEQUENCE OF`.
pub fn only(value: Value<'_>, tag: Tag) -> Result<Value<'_>, Error> {
    read(value.value(), tag)
}

/// A constructed value, written: `parts` are values in DER.
pub fn write(tag: Tag, parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
    AnyRef::new(tag, &parts.concat())?.to_der()
}
