//! The signature algorithms of timestamps and of their certificates: RSA (PKCS #1
//! v1.5, from 2048 bits), ECDSA on P-256 and P-384, Ed25519, over SHA-2.

use ring::digest::{self, Algorithm};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Error, ErrorKind, Tag};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::asn1::{Members, Value};

/// `id-sha256` (RFC 5754).
pub const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
/// `rsaEncryption`: a key, and in CMS also a signature whose hash is said elsewhere.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
/// `id-ecPublicKey`, its parameters the curve.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ECDSA_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// The key and the signature (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A hash that no two messages are known to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl Hash {
    /// Of these bytes.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm: &Algorithm = match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }
}

/// SHA-1, which no signature here is over: it only names a certificate (RFC 2634).
pub fn sha_1(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

/// An `AlgorithmIdentifier` without parameters, or with NULL.
fn algorithm(value: Value<'_>) -> Result<ObjectIdentifier, Error> {
    let mut members = Members::of(value)?;
    let oid = members.required(Tag::ObjectIdentifier)?.decode_as()?;
    if let Some(null) = members.optional(Tag::Null)? {
        null.decode_as::<()>()?;
    }
    members.end()?;
    Ok(oid)
}

/// The hash that an `AlgorithmIdentifier` names.
pub fn hash(value: Value<'_>) -> Result<Hash, Error> {
    match algorithm(value)? {
        SHA_256 => Ok(Hash::Sha256),
        SHA_384 => Ok(Hash::Sha384),
        SHA_512 => Ok(Hash::Sha512),
        oid => Err(ErrorKind::OidUnknown { oid }.into()),
    }
}

/// Verifies a signature: of a certificate, or of a CMS signer, who says with `hash`
/// what was hashed before (RFC 5652, section 5.3). What is wrong, in a few words.
pub fn verify(
    key: &SubjectPublicKeyInfoRef<'_>,
    signature_algorithm: Value<'_>,
    hash: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Result<(), &'static str> {
    let unsupported = "its signature algorithm is not supported";
    let oid = algorithm(signature_algorithm).map_err(|_| unsupported)?;
    let curve = key.algorithm.parameters.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
    let (verifier, signed): (&dyn VerificationAlgorithm, Option<Hash>) =
        match (key.algorithm.oid, curve, oid, hash) {
            (RSA, _, RSA_SHA_256, _) | (RSA, _, RSA, Some(Hash::Sha256)) => {
                (&signature::RSA_PKCS1_2048_8192_SHA256, Some(Hash::Sha256))
            }
            (RSA, _, RSA_SHA_384, _) | (RSA, _, RSA, Some(Hash::Sha384)) => {
                (&signature::RSA_PKCS1_2048_8192_SHA384, Some(Hash::Sha384))
            }
            (RSA, _, RSA_SHA_512, _) | (RSA, _, RSA, Some(Hash::Sha512)) => {
                (&signature::RSA_PKCS1_2048_8192_SHA512, Some(Hash::Sha512))
            }
            (EC, Some(P_256), ECDSA_SHA_256, _) => (&signature::ECDSA_P256_SHA256_ASN1, Some(Hash::Sha256)),
            (EC, Some(P_256), ECDSA_SHA_384, _) => (&signature::ECDSA_P256_SHA384_ASN1, Some(Hash::Sha384)),
            (EC, Some(P_384), ECDSA_SHA_256, _) => (&signature::ECDSA_P384_SHA256_ASN1, Some(Hash::Sha256)),
            (EC, Some(P_384), ECDSA_SHA_384, _) => (&signature::ECDSA_P384_SHA384_ASN1, Some(Hash::Sha384)),
            // A CMS signer with such a key hashes with SHA-512 (RFC 8419, section 2.3).
            (ED25519, _, ED25519, _) => (&signature::ED25519, Some(Hash::Sha512)),
            _ => return Err(unsupported),
        };
    if hash.is_some() && hash != signed {
        return Err("its signature is over another hash than it says");
    }
    let key = key.subject_public_key.as_bytes().ok_or("its key is no whole number of bytes")?;
    UnparsedPublicKey::new(verifier, key).verify(message, signature).map_err(|_| "its signature is not valid")
}
