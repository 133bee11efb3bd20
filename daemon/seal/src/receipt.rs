//! Receipts: believed only when signed by CERT's receipt key, and only for the parcel that was sent.

use recueil_dossier::{DossierId, Receipt, ReceiptKind, StationId};
use x509_cert::der::asn1::ObjectIdentifier;

use crate::{Error, Party, Roots, cades};

/// Largest receipt, bytes of CMS.
pub const RECEIPT_MAX_BYTES: usize = 64 << 10;
/// Longest reason of a refusal, bytes.
const REASON_MAX_BYTES: usize = 4 << 10;

/// Whose receipts are believed.
#[derive(Debug, Clone)]
pub struct ReceiptTrust {
    roots: Roots,
    extended_key_usage: ObjectIdentifier,
}

impl ReceiptTrust {
    /// The roots that issue receipt certificates, and the extended key usage in dotted form (`1.3.6.1.4.1.…`) that
    /// those certificates must have, alone.
    ///
    /// # Errors
    /// [`Error::Trust`] if that is not an object identifier.
    pub fn new(roots: Roots, extended_key_usage: &str) -> Result<Self, Error> {
        let extended_key_usage = ObjectIdentifier::new(extended_key_usage)
            .map_err(|_| Error::Trust("the receipts' extended key usage is no object identifier"))?;
        Ok(Self {
            roots,
            extended_key_usage,
        })
    }
}

/// What a receipt must be for; from the store's record of the parcel.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedReceipt<'a> {
    /// The dossier.
    pub dossier: DossierId,
    /// SHA-256 of the parcel, lower-case hexadecimal.
    pub parcel_sha256: &'a str,
    /// Length of the parcel, bytes.
    pub size: u64,
    /// This station.
    pub station: &'a StationId,
    /// SHA-256 of its `dossier.json`, lower-case hexadecimal.
    pub manifest_sha256: &'a str,
}

/// Verifies a receipt (CMS) and everything it says. The order of receipts (`serial`, `previous_sha256`) is left to
/// whoever keeps them.
///
/// Certificates are looked at as of the time that the receipt states, which is CERT's and the legal one: the
/// station's clock has no say, and a receipt stays good after its signer's certificate has ended.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Profile`], [`Error::Signature`] or a fault of the signer's certificate: it proves
/// nothing. [`Error::ReceiptMismatch`]: genuine, but not for this parcel. [`Error::ReceiptContent`]: signed, but
/// no receipt.
pub fn verify_receipt(
    cms: &[u8],
    trust: &ReceiptTrust,
    expected: &ExpectedReceipt<'_>,
) -> Result<Receipt, Error> {
    if cms.len() > RECEIPT_MAX_BYTES {
        return Err(Error::TooLarge {
            what: "bytes of a receipt",
            max: RECEIPT_MAX_BYTES,
        });
    }
    let verified = cades::verify(cms, None, Party::ReceiptSigner)?;
    let signer = &verified.signer;
    trust.roots.require_issued(signer)?;
    signer.require_usage(
        x509_cert::ext::pkix::KeyUsage::digital_signature,
        "digitalSignature is needed",
    )?;
    signer.require_only_extended_usage(&trust.extended_key_usage)?;
    signer.require_valid_at(verified.signing_time)?;

    let receipt: Receipt = serde_json::from_slice(verified.content.unwrap_or_default())
        .map_err(|_| Error::ReceiptContent("not the JSON of a receipt"))?;
    signer.require_valid_at(receipt.time)?;
    require_members(&receipt)?;
    require_expected(&receipt, expected)?;
    Ok(receipt)
}

/// Each kind has its own members, no more and no fewer.
fn require_members(receipt: &Receipt) -> Result<(), Error> {
    let has = (
        receipt.manifest_sha256.is_some(),
        receipt.demande.is_some(),
        receipt
            .reason
            .as_deref()
            .is_some_and(|reason| !reason.trim().is_empty()),
    );
    let (needed, what) = match receipt.kind {
        ReceiptKind::Stored => ((false, false, false), "R1 has no manifest, demande or reason"),
        ReceiptKind::Ingested => ((true, true, false), "R2 has manifest and demande, no reason"),
        ReceiptKind::Refused => (
            (false, false, true),
            "a refusal has a reason, no manifest or demande",
        ),
    };
    let reason_len = receipt.reason.as_deref().map_or(0, str::len);
    if reason_len > REASON_MAX_BYTES {
        return Err(Error::ReceiptContent("the reason is too long"));
    }
    let is_hash =
        |text: &String| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !receipt.previous_sha256.as_ref().is_none_or(is_hash) {
        return Err(Error::ReceiptContent("previous_sha256 is no SHA-256"));
    }
    if has == needed {
        Ok(())
    } else {
        Err(Error::ReceiptContent(what))
    }
}

fn require_expected(receipt: &Receipt, expected: &ExpectedReceipt<'_>) -> Result<(), Error> {
    let manifest_is_same = receipt
        .manifest_sha256
        .as_ref()
        .is_none_or(|manifest| manifest == expected.manifest_sha256);
    let members = [
        ("dossier", receipt.dossier == expected.dossier),
        ("parcel_sha256", receipt.parcel_sha256 == expected.parcel_sha256),
        ("size", receipt.size == expected.size),
        ("station", receipt.station == *expected.station),
        ("manifest_sha256", manifest_is_same),
    ];
    match members.iter().find(|(_member, is_same)| !is_same) {
        None => Ok(()),
        Some((member, _)) => Err(Error::ReceiptMismatch { member }),
    }
}
