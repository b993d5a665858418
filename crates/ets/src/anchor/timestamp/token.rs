//! `TimeStampToken`: a `SignedData` (RFC 5652) around a `TSTInfo`, with one signer.

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Encode as _, Error, ErrorKind, Tag};

use super::asn1::{self, Members, Value, context, primitive_context};
use super::certificate::Certificate;
use super::chain;
use super::info::{self, TimestampInfo};
use super::signature::{self, Hash};

/// `id-signedData`.
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `id-ct-TSTInfo`.
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// The signed attributes.
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// With SHA-1 (RFC 2634, section 5.4), and with any hash (RFC 5035, section 3).
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// What a verified token says.
#[derive(Debug)]
pub struct Verified {
    /// What its authority signed.
    pub info: TimestampInfo,
    /// The subject of the certificate whose key signed.
    pub signer: String,
    /// The token with nothing in it that is not signed: without certificates that are
    /// not of the chain, revocation lists and unsigned attributes.
    pub bare: Vec<u8>,
}

/// Verifies a token in DER against the certificates that the user trusts. What was
/// stamped is for the caller to compare.
///
/// # Errors
/// What does not hold.
pub fn verify(token: &[u8], trusted: &[Certificate]) -> Result<Verified, String> {
    let malformed = |error: Error| format!("it is no timestamp token: {error}");
    let parts = Parts::read(token).map_err(malformed)?;
    let info = info::read(parts.content).map_err(malformed)?;
    let mut carried = Vec::new();
    for der in &parts.certificates {
        carried.push(Certificate::read(der).map_err(malformed)?);
    }
    let signer = carried.iter().find(|certificate| parts.is_of(certificate));
    let signer = signer.ok_or("it does not carry the certificate of its signer")?;
    parts.verify_signed_by(signer)?;
    let chain = chain::find(signer, &carried, trusted, &info.time)?;
    let bare = parts.bare(&chain).map_err(malformed)?;
    Ok(Verified { info, signer: signer.subject().to_string(), bare })
}

/// A token taken apart.
struct Parts<'a> {
    /// The `digestAlgorithms` and `encapContentInfo` in DER.
    digest_algorithms: Value<'a>,
    encapsulated: Value<'a>,
    /// The `TSTInfo` in DER.
    content: &'a [u8],
    /// Each in DER, as they came.
    certificates: Vec<Vec<u8>>,
    /// Of the one `SignerInfo`:
    signer_version: u8,
    signer: Value<'a>,
    digest: (Value<'a>, Hash),
    /// `signedAttrs`, with the tag that they have here.
    attributes: Value<'a>,
    signature_algorithm: Value<'a>,
    signature: Value<'a>,
}

impl<'a> Parts<'a> {
    fn read(token: &'a [u8]) -> Result<Self, Error> {
        let mut content_info = Members::of(asn1::read(token, Tag::Sequence)?)?;
        is(&content_info.required(Tag::ObjectIdentifier)?, SIGNED_DATA)?;
        let signed_data = asn1::only(content_info.required(context(0))?, Tag::Sequence)?;
        content_info.end()?;

        let mut signed_data = Members::of(signed_data)?;
        // Version 3: what is signed is no plain data (RFC 5652, section 5.1).
        if signed_data.required(Tag::Integer)?.decode_as::<u8>()? != 3 {
            return Err(ErrorKind::Value { tag: Tag::Integer }.into());
        }
        let digest_algorithms = signed_data.required(Tag::Set)?;
        let encapsulated = signed_data.required(Tag::Sequence)?;
        let certificates = match signed_data.optional(context(0))? {
            Some(certificates) => Members::of(certificates)?.all(Tag::Sequence)?,
            None => Vec::new(),
        };
        if certificates.len() > chain::MAX_CERTIFICATES {
            return Err(ErrorKind::Value { tag: context(0) }.into());
        }
        signed_data.optional(context(1))?;
        let signer_info = asn1::only(signed_data.required(Tag::Set)?, Tag::Sequence)?;
        signed_data.end()?;

        let mut inner = Members::of(encapsulated)?;
        is(&inner.required(Tag::ObjectIdentifier)?, TST_INFO)?;
        let content = asn1::only(inner.required(context(0))?, Tag::OctetString)?.value();
        inner.end()?;

        let mut signer_info = Members::of(signer_info)?;
        let signer_version = signer_info.required(Tag::Integer)?.decode_as::<u8>()?;
        // Version 1 names the certificate by issuer and number, version 3 by its key.
        let signer = signer_info.required(match signer_version {
            1 => Tag::Sequence,
            3 => primitive_context(0),
            _ => return Err(ErrorKind::Value { tag: Tag::Integer }.into()),
        })?;
        let digest = signer_info.required(Tag::Sequence)?;
        let hash = signature::hash(digest)?;
        if signature::hash(asn1::only(digest_algorithms, Tag::Sequence)?)? != hash {
            return Err(ErrorKind::Value { tag: Tag::Set }.into());
        }
        let attributes = signer_info.required(context(0))?;
        let signature_algorithm = signer_info.required(Tag::Sequence)?;
        let signature = signer_info.required(Tag::OctetString)?;
        signer_info.optional(context(1))?;
        signer_info.end()?;
        Ok(Parts {
            digest_algorithms,
            encapsulated,
            content,
            certificates: certificates.iter().map(|value| value.to_der()).collect::<Result<_, _>>()?,
            signer_version,
            signer,
            digest: (digest, hash),
            attributes,
            signature_algorithm,
            signature,
        })
    }

    /// Whether the `SignerIdentifier` names the certificate.
    fn is_of(&self, certificate: &Certificate) -> bool {
        if self.signer_version == 3 {
            return certificate.key_identifier().is_some_and(|identifier| identifier == self.signer.value());
        }
        let named = || -> Result<bool, Error> {
            let mut members = Members::of(self.signer)?;
            let issuer = members.required(Tag::Sequence)?.to_der()?;
            let number = members.required(Tag::Integer)?;
            members.end()?;
            Ok(issuer == certificate.issuer().to_der()? && number.value() == certificate.serial_number())
        };
        named().unwrap_or_default()
    }

    /// Whether the certificate's key signed the content: the attributes are about this
    /// content and this certificate, and the signature is over the attributes.
    fn verify_signed_by(&self, certificate: &Certificate) -> Result<(), String> {
        let attribute = |kind| self.attribute(kind).map_err(|_| "its signed attributes are garbled");
        let content_type = attribute(CONTENT_TYPE)?.ok_or("its signer does not say what was signed")?;
        is(&content_type, TST_INFO).map_err(|_| "its signer signed something else than a timestamp")?;
        let digest =
            attribute(MESSAGE_DIGEST)?.ok_or("its signer does not say the digest of what was signed")?;
        let (_, hash) = self.digest;
        if digest.decode_as::<&x509_cert::der::asn1::OctetStringRef>().is_err()
            || digest.value() != hash.digest(self.content)
        {
            return Err("what it says is not what its signer signed".into());
        }
        let (first, second) = (attribute(SIGNING_CERTIFICATE)?, attribute(SIGNING_CERTIFICATE_V2)?);
        if first.is_none() && second.is_none() {
            return Err("its signer does not say with which certificate it signed".into());
        }
        for (attribute, is_v2) in [(first, false), (second, true)] {
            if let Some(attribute) = attribute {
                match is_for(attribute, is_v2, certificate.der()) {
                    Ok(true) => {}
                    Ok(false) => return Err("its signer signed for another certificate".into()),
                    Err(_) => return Err("its signed attributes are garbled".into()),
                }
            }
        }
        // Signed as a SET OF, not with the tag that stands in the token (RFC 5652, section 5.4).
        let signed = asn1::write(Tag::Set, &[self.attributes.value()]).map_err(|error| error.to_string())?;
        certificate.verify(self.signature_algorithm, Some(hash), &signed, self.signature.value())?;
        Ok(())
    }

    /// The value of the signed attribute of a kind, if it is there, once, with one value.
    fn attribute(&self, kind: ObjectIdentifier) -> Result<Option<Value<'a>>, Error> {
        let mut found = None;
        for attribute in Members::of(self.attributes)?.all(Tag::Sequence)? {
            let mut attribute = Members::of(attribute)?;
            let oid = attribute.required(Tag::ObjectIdentifier)?.decode_as::<ObjectIdentifier>()?;
            let mut values = Members::of(attribute.required(Tag::Set)?)?;
            attribute.end()?;
            if oid == kind {
                let value = values.any()?;
                values.end()?;
                if found.replace(value).is_some() {
                    return Err(ErrorKind::Value { tag: context(0) }.into());
                }
            }
        }
        Ok(found)
    }

    /// The token again, with these certificates and without what is not signed.
    fn bare(&self, certificates: &[Certificate]) -> Result<Vec<u8>, Error> {
        let signer_info = asn1::write(
            Tag::Sequence,
            &[
                &self.signer_version.to_der()?,
                &self.signer.to_der()?,
                &self.digest.0.to_der()?,
                &self.attributes.to_der()?,
                &self.signature_algorithm.to_der()?,
                &self.signature.to_der()?,
            ],
        )?;
        // A SET OF is sorted in DER.
        let mut certificates: Vec<&[u8]> = certificates.iter().map(Certificate::der).collect();
        certificates.sort_unstable();
        let signed_data = asn1::write(
            Tag::Sequence,
            &[
                &3_u8.to_der()?,
                &self.digest_algorithms.to_der()?,
                &self.encapsulated.to_der()?,
                &asn1::write(context(0), &certificates)?,
                &asn1::write(Tag::Set, &[&signer_info])?,
            ],
        )?;
        let content = asn1::write(context(0), &[&signed_data])?;
        asn1::write(Tag::Sequence, &[&SIGNED_DATA.to_der()?, &content])
    }
}

/// Whether a `SigningCertificate`, or one of version 2, is for the certificate: its
/// first hash is the signer's.
fn is_for(attribute: Value<'_>, is_v2: bool, certificate: &[u8]) -> Result<bool, Error> {
    if attribute.value().is_empty() {
        return Ok(false);
    }
    let attribute = attribute.to_der()?;
    let mut attribute = Members::of(asn1::read(&attribute, Tag::Sequence)?)?;
    let identifiers = Members::of(attribute.required(Tag::Sequence)?)?.all(Tag::Sequence)?;
    let Some(first) = identifiers.first() else { return Ok(false) };
    let mut first = Members::of(*first)?;
    let expected = match (is_v2, if is_v2 { first.optional(Tag::Sequence)? } else { None }) {
        (true, Some(algorithm)) => signature::hash(algorithm)?.digest(certificate),
        (true, None) => Hash::Sha256.digest(certificate),
        (false, _) => signature::sha_1(certificate),
    };
    Ok(first.required(Tag::OctetString)?.value() == expected)
}

/// An error unless the value is this object identifier.
fn is(value: &Value<'_>, oid: ObjectIdentifier) -> Result<(), Error> {
    match value.decode_as::<ObjectIdentifier>()? == oid {
        true => Ok(()),
        false => Err(ErrorKind::OidUnknown { oid }.into()),
    }
}
