//! Everything that can go wrong, by name. No value of a dossier and no key ever stands in a message.

use std::fmt;

use jiff::Timestamp;

/// Whose certificate or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// CERT, or its escrow, as recipients of parcels.
    Recipient,
    /// CERT, as signer of receipts.
    ReceiptSigner,
    /// A pinned root.
    Root,
    /// This station.
    Station,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recipient => "the recipient",
            Self::ReceiptSigner => "the receipt's signer",
            Self::Root => "the root",
            Self::Station => "the station",
        })
    }
}

/// Why a dossier cannot be sealed, a receipt not believed, an envelope not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A certificate's time is over. For a recipient: keep the dossier as a draft and raise the alarm; never
    /// seal to a key that CERT may have given up.
    #[error("the certificate of {party} ended at {not_after}: keep the dossier as a draft and tell CERT")]
    CertificateExpired {
        /// Whose.
        party: Party,
        /// Its last moment.
        not_after: Timestamp,
    },
    /// Not an X.509 certificate that this product reads.
    #[error("the certificate of {party} cannot be read: {what}")]
    CertificateMalformed {
        /// Whose.
        party: Party,
        /// What is wrong.
        what: &'static str,
    },
    /// A certificate's time has not come: mostly it is the clock that is wrong.
    #[error("the certificate of {party} begins at {not_before}: is the clock right?")]
    CertificateNotYetValid {
        /// Whose.
        party: Party,
        /// Its first moment.
        not_before: Timestamp,
    },
    /// No configured root has issued it.
    #[error("the certificate of {party} was not issued by a root of the configuration")]
    CertificateUntrusted {
        /// Whose.
        party: Party,
    },
    /// It is not for this use.
    #[error("the certificate of {party} is not for this use: {what}")]
    CertificateUse {
        /// Whose.
        party: Party,
        /// What it lacks or has too much.
        what: &'static str,
    },
    /// The key is another one, or the bytes were altered; which, is not told.
    #[error("the envelope does not open: another key, or altered bytes")]
    Decryption,
    /// An item's bytes are no longer those that its record describes.
    #[error("item {name}: the bytes are not those of its record")]
    ItemDamaged {
        /// The item's name.
        name: String,
    },
    /// The system gives no memory for the parcel.
    #[error("no memory for a parcel of {len_bytes} bytes")]
    Memory {
        /// How much was asked for.
        len_bytes: usize,
    },
    /// The envelope is for other certificates.
    #[error("the envelope is not for this station's certificate")]
    NotForUs,
    /// A private key that is not of the curve needed, or not that of its certificate.
    #[error("the private key of {party} cannot be used: {what}")]
    PrivateKey {
        /// Whose.
        party: Party,
        /// What is wrong.
        what: &'static str,
    },
    /// A deviation from profile CERT-CMS-1 or from the profile of receipts.
    #[error("not of the profile: {0}")]
    Profile(&'static str),
    /// The random source failed.
    #[error("the random source failed")]
    Randomness,
    /// What the receipt's JSON says does not make a receipt.
    #[error("the receipt's text: {0}")]
    ReceiptContent(&'static str),
    /// A genuine receipt, but for something else.
    #[error("the receipt is for another parcel: {member} differs")]
    ReceiptMismatch {
        /// The member that differs.
        member: &'static str,
    },
    /// None, more than four, or one twice.
    #[error("a parcel has one to four recipients, each once")]
    Recipients,
    /// The parcel just made does not read back; it was destroyed.
    #[error("the parcel just made does not read back: {0}")]
    SelfCheck(&'static str),
    /// A signature, or a digest under it, does not verify.
    #[error("the signature does not verify: {0}")]
    Signature(&'static str),
    /// The sealing certificate names another station.
    #[error("the sealing certificate is of another station")]
    StationName,
    /// A limit of the profile.
    #[error("{what}: at most {max} are allowed")]
    TooLarge {
        /// Of what, with its unit.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The trust configuration makes no sense.
    #[error("trust configuration: {0}")]
    Trust(&'static str),
}
