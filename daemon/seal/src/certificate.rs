//! Certificates: read, and checked against pinned roots, one step deep.
//!
//! `x509-cert` gives fields their meaning; the bytes that are signed, hashed or repeated in CMS are taken from
//! the original, never encoded anew. There is no path building: in this protocol each certificate is issued
//! directly by a root that the configuration pins (tests/cert/PROTOCOL.md).

use std::fmt;

use jiff::Timestamp;
use ring::signature::{self, UnparsedPublicKey};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, referenced::OwnedToRef};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use crate::asn1::{CONTEXT_0, INTEGER, Reader, SEQUENCE};
use crate::{Error, Party};

/// Largest certificate read, bytes.
const CERTIFICATE_MAX_BYTES: usize = 16 << 10;
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// Extensions that may be critical, because they are looked at here (RFC 5280 section 4.2).
const UNDERSTOOD: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("2.5.29.15"),
    ObjectIdentifier::new_unwrap("2.5.29.19"),
    ObjectIdentifier::new_unwrap("2.5.29.37"),
];

/// Curves of the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

/// A certificate that was read, not yet believed.
#[derive(Clone)]
pub(crate) struct Certificate {
    party: Party,
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    curve: Curve,
    public_key: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
    is_authority: bool,
}

impl Certificate {
    /// Reads a version 3 certificate with an EC key on P-256 or P-384.
    pub(crate) fn parse(der: &[u8], party: Party) -> Result<Self, Error> {
        let malformed = |what| Error::CertificateMalformed { party, what };
        if der.len() > CERTIFICATE_MAX_BYTES {
            return Err(malformed("too long"));
        }
        let parsed =
            x509_cert::Certificate::from_der(der).map_err(|_| malformed("not a DER X.509 certificate"))?;
        let tbs = parsed.tbs_certificate();
        if tbs.signature() != parsed.signature_algorithm() {
            return Err(malformed("two signature algorithms"));
        }
        let extensions = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
        if extensions
            .iter()
            .any(|extension| extension.critical && !UNDERSTOOD.contains(&extension.extn_id))
        {
            return Err(malformed("an unknown critical extension"));
        }
        let bad_extension = |_| malformed("an extension that cannot be read, or is there twice");
        let key_usage = tbs.get_extension::<KeyUsage>().map_err(bad_extension)?;
        let extended = tbs.get_extension::<ExtendedKeyUsage>().map_err(bad_extension)?;
        let basic = tbs.get_extension::<BasicConstraints>().map_err(bad_extension)?;
        let time = |time: &x509_cert::time::Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
            seconds
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
                .ok_or(malformed("a time out of range"))
        };
        let not_before = time(&tbs.validity().not_before)?;
        let not_after = time(&tbs.validity().not_after)?;
        let (curve, public_key) =
            ec_key(tbs.subject_public_key_info()).ok_or(malformed("not an EC key on P-256 or P-384"))?;
        Ok(Self {
            party,
            der: der.to_vec(),
            curve,
            public_key,
            not_before,
            not_after,
            key_usage: key_usage.map(|(_critical, usage)| usage),
            extended_key_usage: extended.map(|(_critical, usage)| usage),
            is_authority: basic.is_some_and(|(_critical, basic)| basic.ca),
            parsed,
        })
    }

    pub(crate) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn sha256(&self) -> ring::digest::Digest {
        ring::digest::digest(&ring::digest::SHA256, &self.der)
    }

    /// The uncompressed point.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Issuer's name and serial number, each with tag and length, as a CMS `IssuerAndSerialNumber` holds them.
    pub(crate) fn issuer_and_serial(&self) -> Result<Vec<u8>, Error> {
        let raw = Raw::of(&self.der)?;
        Ok([raw.issuer, raw.serial].concat())
    }

    /// Issuer's name and serial number.
    pub(crate) fn issuer_then_serial(&self) -> Result<(&[u8], &[u8]), Error> {
        let raw = Raw::of(&self.der)?;
        Ok((raw.issuer, raw.serial))
    }

    pub(crate) fn common_name(&self) -> Option<String> {
        let name = self.parsed.tbs_certificate().subject().common_name().ok()??;
        Some(name.value().into_owned())
    }

    pub(crate) fn require_curve(&self, curve: Curve) -> Result<(), Error> {
        if self.curve == curve {
            return Ok(());
        }
        Err(self.wrong_use(match curve {
            Curve::P256 => "a key on P-256 is needed",
            Curve::P384 => "a key on P-384 is needed",
        }))
    }

    /// An end certificate whose key usage, which must be there, has what `allows` asks for.
    pub(crate) fn require_usage(
        &self,
        allows: impl FnOnce(&KeyUsage) -> bool,
        what: &'static str,
    ) -> Result<(), Error> {
        if self.is_authority {
            return Err(self.wrong_use("it is an authority's"));
        }
        match &self.key_usage {
            Some(usage) if allows(usage) => Ok(()),
            _ => Err(self.wrong_use(what)),
        }
    }

    /// This extended key usage and no other.
    pub(crate) fn require_only_extended_usage(&self, needed: &ObjectIdentifier) -> Result<(), Error> {
        match &self.extended_key_usage {
            Some(usage) if usage.0.as_slice() == [*needed] => Ok(()),
            _ => Err(self.wrong_use("the extended key usage is not the one of the configuration, alone")),
        }
    }

    pub(crate) fn require_valid_at(&self, at: Timestamp) -> Result<(), Error> {
        let party = self.party;
        if at < self.not_before {
            let not_before = self.not_before;
            return Err(Error::CertificateNotYetValid { party, not_before });
        }
        // RFC 5280 section 4.1.2.5: the last second belongs to the period.
        if at.as_second() > self.not_after.as_second() {
            let not_after = self.not_after;
            return Err(Error::CertificateExpired { party, not_after });
        }
        Ok(())
    }

    /// Whether this certificate's key made `signature` over `message`, with the digest named.
    pub(crate) fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn signature::VerificationAlgorithm = match (self.curve, algorithm) {
            (Curve::P256, SignatureAlgorithm::EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Curve::P256, SignatureAlgorithm::EcdsaSha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (Curve::P384, SignatureAlgorithm::EcdsaSha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (Curve::P384, SignatureAlgorithm::EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1,
        };
        UnparsedPublicKey::new(algorithm, &self.public_key)
            .verify(message, signature)
            .is_ok()
    }

    fn wrong_use(&self, what: &'static str) -> Error {
        let party = self.party;
        Error::CertificateUse { party, what }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("party", &self.party)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Signature algorithms of certificates and receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureAlgorithm {
    EcdsaSha256,
    EcdsaSha384,
}

/// The roots that the configuration pins: CERT's, and its next one during a change. Their own time is not
/// looked at: the administrator who pins a root decides how long.
#[derive(Debug, Clone)]
pub struct Roots(Vec<Certificate>);

impl Roots {
    /// Most roots.
    pub const MAX: usize = 8;

    /// Reads root certificates (DER).
    ///
    /// # Errors
    /// None or more than [`Self::MAX`]; one that cannot be read or is not an authority.
    pub fn from_der<D: AsRef<[u8]>>(certificates: &[D]) -> Result<Self, Error> {
        if certificates.is_empty() || certificates.len() > Self::MAX {
            return Err(Error::Trust("one to eight roots are needed"));
        }
        let read = |der: &D| {
            let root = Certificate::parse(der.as_ref(), Party::Root)?;
            let may_sign = root.key_usage.is_none_or(|usage| usage.key_cert_sign());
            if root.is_authority && may_sign {
                Ok(root)
            } else {
                Err(root.wrong_use("it is not an authority's"))
            }
        };
        certificates.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of the roots has issued and signed this certificate.
    pub(crate) fn require_issued(&self, certificate: &Certificate) -> Result<(), Error> {
        let party = certificate.party;
        let raw = Raw::of(&certificate.der)?;
        let algorithm = certificate.parsed.signature_algorithm();
        let algorithm = match algorithm.oid {
            ECDSA_WITH_SHA256 if algorithm.parameters.is_none() => SignatureAlgorithm::EcdsaSha256,
            ECDSA_WITH_SHA384 if algorithm.parameters.is_none() => SignatureAlgorithm::EcdsaSha384,
            _ => return Err(Error::CertificateUntrusted { party }),
        };
        let signature = certificate.parsed.signature().as_bytes().unwrap_or_default();
        let has_issued = |root: &Certificate| {
            Raw::of(&root.der).is_ok_and(|of_root| of_root.subject == raw.issuer)
                && root.verifies(algorithm, raw.to_be_signed, signature)
        };
        if self.0.iter().any(has_issued) {
            Ok(())
        } else {
            Err(Error::CertificateUntrusted { party })
        }
    }
}

/// Parts of a certificate as they were encoded, each with tag and length (RFC 5280 section 4.1).
struct Raw<'a> {
    to_be_signed: &'a [u8],
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
}

impl<'a> Raw<'a> {
    fn of(der: &'a [u8]) -> Result<Self, Error> {
        const WHAT: &str = "a certificate's fields";
        let mut certificate = Reader::new(der).enter(SEQUENCE, WHAT)?;
        let to_be_signed = certificate.whole(SEQUENCE, WHAT)?;
        let mut fields = Reader::new(to_be_signed).enter(SEQUENCE, WHAT)?;
        // The version: all of this product's certificates have extensions, hence version 3.
        fields.read(CONTEXT_0, "a certificate of version 3")?;
        let serial = fields.whole(INTEGER, WHAT)?;
        let _algorithm = fields.read(SEQUENCE, WHAT)?;
        let issuer = fields.whole(SEQUENCE, WHAT)?;
        let _validity = fields.read(SEQUENCE, WHAT)?;
        let subject = fields.whole(SEQUENCE, WHAT)?;
        Ok(Self {
            to_be_signed,
            serial,
            issuer,
            subject,
        })
    }
}

/// Curve and uncompressed point of an EC key on a named curve (RFC 5480 section 2.1.1).
fn ec_key(info: &x509_cert::SubjectPublicKeyInfo) -> Option<(Curve, Vec<u8>)> {
    let info = info.owned_to_ref();
    if info.algorithm.oid != EC_PUBLIC_KEY {
        return None;
    }
    let (curve, len) = match info.algorithm.parameters_oid().ok()? {
        SECP256R1 => (Curve::P256, 65),
        SECP384R1 => (Curve::P384, 97),
        _ => return None,
    };
    let point = info.subject_public_key.as_bytes()?;
    (point.len() == len && point.first() == Some(&4)).then(|| (curve, point.to_vec()))
}
