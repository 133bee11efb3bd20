//! Receipts that are wrong by order. None is kept, none is CERT's word.

use jiff::{SignedDuration, Timestamp};

use super::Desk;
use crate::cades;
use crate::error::Error;
use crate::hex;
use crate::problem::Problem;
use crate::receipt::{Kind, Receipt};
use crate::wrong::WrongReceipt;

impl Desk {
    /// A receipt for `id` that is wrong in this way, as it might come in place of `right`. `of_commit`: R1 is due.
    pub(crate) fn wrong_receipt(
        &self,
        id: &str,
        how: WrongReceipt,
        of_commit: bool,
        right: Option<&[u8]>,
    ) -> Result<Vec<u8>, Problem> {
        let (true_receipt, other) = {
            let state = self.state();
            let Some(dossier) = state.dossiers.get(id) else {
                return Err(Problem::Unknown("no such dossier"));
            };
            let record = &dossier.record;
            let end = Receipt {
                kind: if of_commit { Kind::R1 } else { Kind::R2 },
                dossier: id.to_owned(),
                parcel_sha256: record.sha256.clone(),
                size: record.size,
                station: record.station.clone(),
                manifest_sha256: None,
                demande: None,
                reason: None,
                time: Timestamp::now(),
                serial: state.serial + 1_000_000,
                previous_sha256: None,
            };
            let manifest = dossier
                .judged
                .as_ref()
                .map(|judged| judged.manifest_sha256.clone());
            let other = state.dossiers.iter().find(|(other, _)| *other != id);
            let other = other.map(|(other, dossier)| (other.clone(), dossier.record.clone()));
            (with_end(end, manifest), other)
        };
        let right = right.unwrap_or_default().to_vec();
        let mut receipt = true_receipt;
        Ok(match how {
            WrongReceipt::Forged => {
                let mut bytes = if right.is_empty() {
                    receipt.sign(&self.keys)?
                } else {
                    right
                };
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                bytes
            }
            WrongReceipt::OtherKey => self.sign_by_tls_key(&receipt)?,
            WrongReceipt::OtherDossier => {
                "00000000-0000-7000-8000-000000000000".clone_into(&mut receipt.dossier);
                if let Some((other, record)) = other {
                    receipt.dossier = other;
                    (receipt.parcel_sha256, receipt.size) = (record.sha256, record.size);
                }
                receipt.sign(&self.keys)?
            }
            WrongReceipt::OtherParcel => {
                receipt.parcel_sha256 = hex::sha256(b"another parcel");
                receipt.sign(&self.keys)?
            }
            WrongReceipt::OtherStation => {
                "another-station".clone_into(&mut receipt.station);
                receipt.sign(&self.keys)?
            }
            WrongReceipt::OtherKind => {
                receipt.kind = if of_commit { Kind::R2 } else { Kind::R1 };
                with_end(receipt, None).sign(&self.keys)?
            }
            WrongReceipt::OtherManifest => {
                receipt.manifest_sha256 = Some(hex::sha256(b"another dossier.json"));
                receipt.sign(&self.keys)?
            }
            WrongReceipt::ForgedRefusal => {
                receipt.kind = Kind::Reject;
                self.sign_by_tls_key(&with_end(receipt, None))?
            }
            WrongReceipt::Expired => {
                receipt.time += SignedDuration::from_hours(20 * 365 * 24);
                receipt.sign(&self.keys)?
            }
            WrongReceipt::OldSerial => {
                receipt.serial = 1;
                receipt.sign(&self.keys)?
            }
            WrongReceipt::Malformed => vec![0x30, 0x82, 0xff, 0xff, 0x06, 0x09],
            WrongReceipt::Unsigned => serde_json::to_vec(&receipt).unwrap_or_default(),
            WrongReceipt::Oversized => {
                let bytes = if right.is_empty() {
                    receipt.sign(&self.keys)?
                } else {
                    right
                };
                [bytes, vec![0; 100 << 10]].concat()
            }
        })
    }

    fn sign_by_tls_key(&self, receipt: &Receipt) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_vec(receipt).map_err(|_value| Error::Crypto("write a receipt"))?;
        let (certificate, key) = crate::keys::tls_signer(&self.dir)?;
        cades::sign(&json, &certificate, &key, receipt.time)
    }
}

/// The members that each kind has.
fn with_end(mut receipt: Receipt, manifest_sha256: Option<String>) -> Receipt {
    (receipt.manifest_sha256, receipt.demande, receipt.reason) = (None, None, None);
    match receipt.kind {
        Kind::R1 => {}
        Kind::R2 => {
            receipt.manifest_sha256 = manifest_sha256.or_else(|| Some(hex::sha256(b"dossier.json")));
            receipt.demande = Some("WRONG00001".to_owned());
        }
        Kind::Reject => receipt.reason = Some("by nobody".to_owned()),
    }
    receipt
}
