//! Keys by what they are for. Private keys are wiped when dropped, as far as this crate holds them: `ring` makes
//! its own short-lived copies, which it does not wipe.

use std::fmt;

use jiff::Timestamp;
use p384::pkcs8::DecodePrivateKey;
use ring::rand::SecureRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, Signature,
};
use zeroize::Zeroizing;

use recueil_dossier::StationId;

use crate::certificate::{Certificate, Curve};
use crate::{Error, Party, Roots};

/// The station's signing key, P-256, and its certificate. It lives in a file here; a token comes behind the
/// same type.
pub struct SealingKey {
    pkcs8: Zeroizing<Vec<u8>>,
    certificate: Certificate,
}

impl SealingKey {
    /// Reads a PKCS#8 DER private key, and its certificate (DER, `digitalSignature`).
    ///
    /// # Errors
    /// [`Error::PrivateKey`] if it is not on P-256 or not that of the certificate; the certificate's faults.
    pub fn from_pkcs8_der(
        pkcs8: &[u8],
        certificate_der: &[u8],
        rng: &dyn SecureRandom,
    ) -> Result<Self, Error> {
        let party = Party::Station;
        let certificate = Certificate::parse(certificate_der, party)?;
        certificate.require_curve(Curve::P256)?;
        certificate.require_usage(
            x509_cert::ext::pkix::KeyUsage::digital_signature,
            "digitalSignature is needed",
        )?;
        let key = Self {
            pkcs8: Zeroizing::new(pkcs8.to_vec()),
            certificate,
        };
        if key.pair(rng)?.public_key().as_ref() == key.certificate.public_key() {
            Ok(key)
        } else {
            let what = "it is not the key of the certificate";
            Err(Error::PrivateKey { party, what })
        }
    }

    /// The certificate that travels with the seal, DER.
    pub fn certificate_der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// When that certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.certificate.not_after()
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whether it may seal now in this station's name.
    pub(crate) fn require_usable(&self, station: &StationId, now: Timestamp) -> Result<(), Error> {
        self.certificate.require_valid_at(now)?;
        if self.certificate.common_name().as_deref() == Some(station.as_str()) {
            Ok(())
        } else {
            Err(Error::StationName)
        }
    }

    pub(crate) fn sign(&self, message: &[u8], rng: &dyn SecureRandom) -> Result<Signature, Error> {
        self.pair(rng)?.sign(rng, message).map_err(|_| Error::Randomness)
    }

    fn pair(&self, rng: &dyn SecureRandom) -> Result<EcdsaKeyPair, Error> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.pkcs8, rng).map_err(|_| {
            Error::PrivateKey {
                party: Party::Station,
                what: "a PKCS#8 key on P-256, with its public key, is needed",
            }
        })
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Somebody who can open a parcel: CERT, or its escrow.
#[derive(Debug, Clone)]
pub struct Recipient(Certificate);

impl Recipient {
    /// Reads an encryption certificate (DER): P-384, `keyAgreement`, issued by one of the roots, valid now. Made
    /// for each sealing, so that what is checked is the certificate as it is that day; [`crate::seal()`] looks at
    /// its time again.
    ///
    /// # Errors
    /// [`Error::CertificateExpired`]: keep the draft and raise the alarm; capture goes on. The other faults of a
    /// certificate, each by its name.
    pub fn from_certificate_der(
        certificate_der: &[u8],
        roots: &Roots,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let certificate = Certificate::parse(certificate_der, Party::Recipient)?;
        certificate.require_curve(Curve::P384)?;
        certificate.require_usage(
            x509_cert::ext::pkix::KeyUsage::key_agreement,
            "keyAgreement is needed",
        )?;
        roots.require_issued(&certificate)?;
        certificate.require_valid_at(now)?;
        Ok(Self(certificate))
    }

    /// SHA-256 of the certificate, lower-case hexadecimal, as `dossier.json` names recipients.
    pub fn sha256(&self) -> String {
        recueil_dossier::hex(self.0.sha256().as_ref())
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.0
    }
}

/// The station's decryption key, P-384, and its certificate: it opens what CERT encrypts to this station. It
/// opens no parcel.
pub struct OpeningKey {
    pkcs8: Zeroizing<Vec<u8>>,
    certificate: Certificate,
}

impl OpeningKey {
    /// Reads a PKCS#8 DER private key that holds its public key too, and its certificate (DER). The
    /// certificate's time is CERT's business: CERT chose to encrypt to it.
    ///
    /// # Errors
    /// [`Error::PrivateKey`] if it is not on P-384 or not that of the certificate; the certificate's faults.
    pub fn from_pkcs8_der(
        pkcs8: &[u8],
        certificate_der: &[u8],
        rng: &dyn SecureRandom,
    ) -> Result<Self, Error> {
        let party = Party::Station;
        let certificate = Certificate::parse(certificate_der, party)?;
        certificate.require_curve(Curve::P384)?;
        // Of the two implementations here ring's is much the faster, and every start waits for this.
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8, rng);
        let pair = pair.map_err(|_| Error::PrivateKey {
            party,
            what: "a PKCS#8 key on P-384, with its public key, is needed",
        })?;
        if pair.public_key().as_ref() == certificate.public_key() {
            let pkcs8 = Zeroizing::new(pkcs8.to_vec());
            Ok(Self { pkcs8, certificate })
        } else {
            let what = "it is not the key of the certificate";
            Err(Error::PrivateKey { party, what })
        }
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The key for an agreement, which ring makes with ephemeral keys only.
    pub(crate) fn secret(&self) -> Result<p384::SecretKey, Error> {
        p384::SecretKey::from_pkcs8_der(&self.pkcs8).map_err(|_| Error::PrivateKey {
            party: Party::Station,
            what: "a PKCS#8 key on P-384, with its public key, is needed",
        })
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningKey")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
