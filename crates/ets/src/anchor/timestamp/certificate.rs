//! One certificate (RFC 5280): what it says, and what it may be used for.

use std::path::Path;

use x509_cert::der::asn1::{BitStringRef, ObjectIdentifier};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode as _, Error, Tag};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    BasicConstraints, CertificatePolicies, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::asn1::{self, Members};
use super::info::Time;
use super::signature::{self, Hash};
use crate::http;

/// `id-kp-timeStamping` and `anyExtendedKeyUsage`.
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// A certificate, as its bytes and as what they say.
#[derive(Debug, Clone)]
pub struct Certificate {
    der: Vec<u8>,
    /// `tbsCertificate` in DER: what is signed.
    signed: Vec<u8>,
    parsed: x509_cert::Certificate,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Certificate {
    /// Reads a certificate in DER.
    pub fn read(der: &[u8]) -> Result<Self, Error> {
        let signed = Members::of(asn1::read(der, Tag::Sequence)?)?.required(Tag::Sequence)?.to_der()?;
        Ok(Certificate { der: der.to_vec(), signed, parsed: x509_cert::Certificate::from_der(der)? })
    }

    /// The certificates in a PEM file, at least one.
    ///
    /// # Errors
    /// A message for the user.
    pub fn read_file(path: &Path) -> Result<Vec<Self>, String> {
        let found = http::certificates(path)?;
        let read = |der: &[u8]| Certificate::read(der);
        let found = found.iter().map(|found| read(found.der())).collect::<Result<_, _>>();
        found.map_err(|error| format!("{} has what is no X.509 certificate: {error}", path.display()))
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whose key it certifies.
    pub fn subject(&self) -> &Name {
        self.parsed.tbs_certificate().subject()
    }

    /// Who says so.
    pub fn issuer(&self) -> &Name {
        self.parsed.tbs_certificate().issuer()
    }

    /// The issuer's number for it, as the content of an INTEGER.
    pub fn serial_number(&self) -> &[u8] {
        self.parsed.tbs_certificate().serial_number().as_bytes()
    }

    /// The identifier of its key, if it states one.
    pub fn key_identifier(&self) -> Option<Vec<u8>> {
        let (_, identifier) = self.extension::<SubjectKeyIdentifier>().ok()??;
        Some(identifier.0.as_bytes().to_vec())
    }

    /// Whether its key made a signature over `message`; see [`signature::verify`].
    pub fn verify(
        &self,
        algorithm: asn1::Value<'_>,
        hash: Option<Hash>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), &'static str> {
        let key = self.parsed.tbs_certificate().subject_public_key_info().to_der();
        let key = key.map_err(|_| "its key cannot be read")?;
        let key = SubjectPublicKeyInfoRef::from_der(&key).map_err(|_| "its key cannot be read")?;
        signature::verify(&key, algorithm, hash, message, signature)
    }

    /// Whether the issuer's key signed it.
    pub fn is_signed_by(&self, issuer: &Certificate) -> bool {
        // Both say how it is signed; only the inner one is under the signature.
        if self.parsed.signature_algorithm() != self.parsed.tbs_certificate().signature() {
            return false;
        }
        let parts = || -> Result<_, Error> {
            let mut members = Members::of(asn1::read(&self.der, Tag::Sequence)?)?;
            members.required(Tag::Sequence)?;
            let algorithm = members.required(Tag::Sequence)?;
            let signature = members.required(Tag::BitString)?.decode_as::<BitStringRef<'_>>()?;
            members.end()?;
            Ok((algorithm, signature))
        };
        let Ok((algorithm, signature)) = parts() else { return false };
        let Some(signature) = signature.as_bytes() else { return false };
        issuer.verify(algorithm, None, &self.signed, signature).is_ok()
    }

    /// The extension of a kind, with whether it is critical. One that stands twice is an error.
    fn extension<T: AssociatedOid + for<'a> Decode<'a, Error = Error>>(
        &self,
    ) -> Result<Option<(bool, T)>, &'static str> {
        let mut found = self.extensions().iter().filter(|extension| extension.extn_id == T::OID);
        let Some(extension) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err("has an extension twice");
        }
        let value = T::from_der(extension.extn_value.as_bytes()).map_err(|_| "has a garbled extension")?;
        Ok(Some((extension.critical, value)))
    }

    fn extensions(&self) -> &[Extension] {
        self.parsed.tbs_certificate().extensions().map_or(&[], Vec::as_slice)
    }

    /// What holds of every certificate of a chain: valid at the time, and no critical
    /// extension that is not understood here.
    fn check(&self, time: &Time) -> Result<(), &'static str> {
        let validity = self.parsed.tbs_certificate().validity();
        if time.seconds() < validity.not_before.to_unix_duration().as_secs() {
            return Err("was not valid yet at the time of the timestamp");
        }
        if time.seconds() > validity.not_after.to_unix_duration().as_secs() {
            return Err("had expired at the time of the timestamp");
        }
        // Policies are understood: any will do here, so none can make a chain invalid.
        let understood =
            [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID, CertificatePolicies::OID];
        let is_strange =
            |extension: &&Extension| extension.critical && !understood.contains(&extension.extn_id);
        match self.extensions().iter().find(is_strange) {
            Some(_) => Err("has a critical extension that is not understood"),
            None => Ok(()),
        }
    }

    /// Whether it may sign timestamps at the time (RFC 3161, section 2.3); why not, after "its certificate".
    pub fn check_signer(&self, time: &Time) -> Result<(), &'static str> {
        self.check(time)?;
        match self.extension::<ExtendedKeyUsage>()? {
            Some((true, usage)) if usage.0 == [TIME_STAMPING] => {}
            Some((false, _)) => return Err("has an extended key usage that is not critical"),
            _ => return Err("is not for timestamps alone"),
        }
        match self.extension::<KeyUsage>()? {
            Some((_, usage)) if !usage.digital_signature() && !usage.non_repudiation() => {
                Err("is not for signatures")
            }
            _ => Ok(()),
        }
    }

    /// Whether it may issue certificates of timestamp authorities at the time, with
    /// `below` other issuers between it and the signer; why not.
    pub fn check_issuer(&self, time: &Time, below: usize) -> Result<(), &'static str> {
        self.check(time)?;
        match self.extension::<BasicConstraints>()? {
            Some((_, constraints)) if constraints.ca => {
                if constraints.path_len_constraint.is_some_and(|most| usize::from(most) < below) {
                    return Err("allows no chain as long as this");
                }
            }
            _ => return Err("is not one of a certificate authority"),
        }
        if self.extension::<KeyUsage>()?.is_some_and(|(_, usage)| !usage.key_cert_sign()) {
            return Err("is not for signing certificates");
        }
        match self.extension::<ExtendedKeyUsage>()? {
            Some((_, usage)) if !usage.0.contains(&TIME_STAMPING) && !usage.0.contains(&ANY_USAGE) => {
                Err("is not for timestamps")
            }
            _ => Ok(()),
        }
    }
}
