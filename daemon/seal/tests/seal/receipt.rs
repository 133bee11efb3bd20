//! Receipts made by stock `openssl`, believed or refused here.

use std::path::Path;

use rcgen::{
    ExtendedKeyUsagePurpose, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, date_time_ymd,
};
use recueil_dossier::{DemandeNumber, DossierId, ReceiptKind, StationId};
use recueil_seal::{Error, ExpectedReceipt, Party, ReceiptTrust, verify_receipt};

use crate::support::{
    Authority, EKU, EKU_ARCS, Issued, Outcome, Pki, STATION, for_receipts, now, openssl, station,
};

const SIGN: &str = "cms -sign -cades -nodetach -nosmimecap -binary -md sha256 -outform DER \
                    -in receipt.json -signer signer.pem -inkey signer.key -out receipt.p7s";

/// A desk that signs receipts, and a station that expects one.
struct Desk {
    pki: Pki,
    folder: tempfile::TempDir,
    station: StationId,
    dossier: DossierId,
    parcel_sha256: String,
    manifest_sha256: String,
}

impl Desk {
    fn new() -> Outcome<Self> {
        Ok(Self {
            pki: Pki::new()?,
            folder: tempfile::tempdir()?,
            station: station()?,
            dossier: DossierId::new(now(), [3; 10]),
            parcel_sha256: "ab".repeat(32),
            manifest_sha256: "cd".repeat(32),
        })
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn json(&self, kind: &str, more: &str) -> String {
        let (dossier, parcel, time) = (self.dossier, &self.parcel_sha256, now());
        format!(
            r#"{{"type":"{kind}","dossier":"{dossier}","parcel_sha256":"{parcel}","size":1234,"station":"{STATION}","time":"{time}","serial":17{more}}}"#
        )
    }

    fn r1(&self) -> String {
        self.json("R1", "")
    }

    fn r2(&self) -> String {
        let manifest = &self.manifest_sha256;
        self.json(
            "R2",
            &format!(r#","manifest_sha256":"{manifest}","demande":"2026AB000042""#),
        )
    }

    fn sign_as(&self, json: &str, signer: &Issued, options: &str) -> Outcome<Vec<u8>> {
        std::fs::write(self.dir().join("receipt.json"), json)?;
        signer.write(self.dir(), "signer")?;
        openssl(self.dir(), &format!("{SIGN} {options}"))?;
        Ok(std::fs::read(self.dir().join("receipt.p7s"))?)
    }

    fn sign(&self, json: &str) -> Outcome<Vec<u8>> {
        self.sign_as(json, &self.pki.receipt, "")
    }

    fn verify(&self, cms: &[u8]) -> Outcome<Result<recueil_dossier::Receipt, Error>> {
        let trust = ReceiptTrust::new(self.pki.root.roots()?, EKU)?;
        Ok(verify_receipt(cms, &trust, &self.expected()))
    }

    fn expected(&self) -> ExpectedReceipt<'_> {
        ExpectedReceipt {
            dossier: self.dossier,
            parcel_sha256: &self.parcel_sha256,
            size: 1234,
            station: &self.station,
            manifest_sha256: &self.manifest_sha256,
        }
    }

    fn refusal(&self, json: &str) -> Outcome<Error> {
        self.verify(&self.sign(json)?)?
            .err()
            .ok_or_else(|| "believed".into())
    }
}

#[test]
fn each_kind_of_receipt_is_believed() -> Outcome {
    let desk = Desk::new()?;
    let stored = desk.verify(&desk.sign(&desk.r1())?)??;
    assert_eq!((stored.kind, stored.serial), (ReceiptKind::Stored, 17));
    let ingested = desk.verify(&desk.sign(&desk.r2())?)??;
    assert_eq!(ingested.kind, ReceiptKind::Ingested);
    assert_eq!(
        ingested.demande.as_ref().map(DemandeNumber::as_str),
        Some("2026AB000042")
    );
    let previous = "ef".repeat(32);
    let more = format!(r#","reason":"the seal does not verify","previous_sha256":"{previous}""#);
    let refused = desk.verify(&desk.sign(&desk.json("REJECT", &more))?)??;
    assert_eq!(refused.kind, ReceiptKind::Refused);
    assert_eq!(refused.previous_sha256, Some(previous));
    Ok(())
}

#[test]
fn a_receipt_for_another_parcel_is_refused_by_what_differs() -> Outcome {
    let desk = Desk::new()?;
    let check = |from: &str, to: &str, member| -> Outcome {
        let json = desk.r2().replace(from, to);
        assert_ne!(json, desk.r2());
        assert_eq!(desk.refusal(&json)?, Error::ReceiptMismatch { member });
        Ok(())
    };
    let other = DossierId::new(now(), [4; 10]);
    check(&desk.dossier.to_string(), &other.to_string(), "dossier")?;
    check(&"ab".repeat(32), &"ba".repeat(32), "parcel_sha256")?;
    check("1234", "1235", "size")?;
    check(STATION, "MAIRIE-59350-02", "station")?;
    check(&"cd".repeat(32), &"dc".repeat(32), "manifest_sha256")
}

#[test]
fn a_receipt_has_the_members_of_its_kind_and_no_other() -> Outcome {
    let desk = Desk::new()?;
    let check = |json: String| -> Outcome {
        let error = desk.refusal(&json)?;
        assert!(matches!(error, Error::ReceiptContent(_)), "{json}: {error}");
        Ok(())
    };
    check(desk.r2().replace("R2", "R1"))?;
    check(desk.r1().replace("R1", "R2"))?;
    check(desk.json("REJECT", ""))?;
    check(desk.json("REJECT", r#","reason":" ""#))?;
    check(desk.json("R1", r#","reason":"x""#))?;
    check(desk.json("R3", ""))?;
    check(desk.json("R1", r#","unknown":1"#))?;
    check(desk.json("R1", r#","serial":18"#))?;
    check(desk.json("R1", r#","previous_sha256":"x""#))?;
    check(desk.r1().replace("17", "-17"))?;
    check(format!("{} ", desk.r1()).replace("} ", "} {}"))?;
    check("[".repeat(20_000))?;
    check(String::new())
}

#[test]
fn only_certs_receipt_key_signs_receipts() -> Outcome {
    let desk = Desk::new()?;
    let (party, p256) = (Party::ReceiptSigner, &PKCS_ECDSA_P256_SHA256);
    let sign = || KeyUsagePurpose::DigitalSignature;
    let refusal = |signer: &Issued| -> Outcome<Error> {
        let cms = desk.sign_as(&desk.r2(), signer, "")?;
        desk.verify(&cms)?.err().ok_or_else(|| "believed".into())
    };
    let stranger = Authority::new("Test root")?.issue("Receipts", p256, sign(), for_receipts)?;
    assert_eq!(refusal(&stranger)?, Error::CertificateUntrusted { party });

    let root = &desk.pki.root;
    let what = "the extended key usage is not the one of the configuration, alone";
    assert_eq!(refusal(&desk.pki.seal)?, Error::CertificateUse { party, what });
    let both = root.issue("Receipts", p256, sign(), |params| {
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::Other(EKU_ARCS.to_vec()),
            ExtendedKeyUsagePurpose::EmailProtection,
        ];
    })?;
    assert_eq!(refusal(&both)?, Error::CertificateUse { party, what });
    let large = root.issue("Receipts", &PKCS_ECDSA_P384_SHA384, sign(), for_receipts)?;
    let what = "a key on P-256 is needed";
    assert_eq!(refusal(&large)?, Error::CertificateUse { party, what });
    let agrees = root.issue("Receipts", p256, KeyUsagePurpose::KeyAgreement, for_receipts)?;
    let what = "digitalSignature is needed";
    assert_eq!(refusal(&agrees)?, Error::CertificateUse { party, what });
    Ok(())
}

#[test]
fn a_signer_is_valid_when_it_signs_not_when_the_receipt_is_read() -> Outcome {
    let desk = Desk::new()?;
    let until = |year| {
        desk.pki.root.issue(
            "Receipts",
            &PKCS_ECDSA_P256_SHA256,
            KeyUsagePurpose::DigitalSignature,
            move |params| {
                for_receipts(params);
                params.not_after = date_time_ymd(year, 1, 1);
            },
        )
    };
    let party = Party::ReceiptSigner;
    let expired = desk.sign_as(&desk.r1(), &until(2026)?, "")?;
    let not_after = "2026-01-01T00:00:00Z".parse()?;
    assert_eq!(
        desk.verify(&expired)?.err(),
        Some(Error::CertificateExpired { party, not_after })
    );

    // The text's time counts as well as the signature's.
    let json = desk.r1().replace(&now().to_string(), "2049-06-01T00:00:00Z");
    assert!(matches!(desk.refusal(&json)?, Error::CertificateExpired { .. }));
    let json = desk.r1().replace(&now().to_string(), "2024-06-01T00:00:00Z");
    assert!(matches!(
        desk.refusal(&json)?,
        Error::CertificateNotYetValid { .. }
    ));
    Ok(())
}

#[test]
fn a_signature_outside_the_profile_is_refused_by_name() -> Outcome {
    let desk = Desk::new()?;
    let refusal = |command: &str| -> Outcome<Error> {
        std::fs::write(desk.dir().join("receipt.json"), desk.r1())?;
        desk.pki.receipt.write(desk.dir(), "signer")?;
        std::fs::write(desk.dir().join("ca.pem"), &desk.pki.root.pem)?;
        openssl(desk.dir(), command)?;
        let cms = std::fs::read(desk.dir().join("receipt.p7s"))?;
        desk.verify(&cms)?.err().ok_or_else(|| "believed".into())
    };
    let check = |from: &str, to: &str, what| -> Outcome {
        let command = SIGN.replace(from, to);
        assert_ne!(command, SIGN);
        assert_eq!(refusal(&command)?, Error::Profile(what), "{to}");
        Ok(())
    };
    check(" -cades", "", "the attribute signing-certificate-v2")?;
    check(" -nosmimecap", "", "no signed attribute but those of CAdES-B")?;
    check(" -nodetach", "", "an attached signature")?;
    check(" -nodetach", " -nodetach -nocerts", "the signer's certificate")?;
    check(" -nodetach", " -nodetach -keyid", "SignedData of version 1")?;
    check(" -nodetach", " -nodetach -certfile ca.pem", "one certificate")?;
    check(" -nodetach", " -nodetach -stream", "a ContentInfo in DER")?;
    check("sha256", "sha512", "SHA-256")
}

#[test]
fn no_changed_byte_of_a_receipt_is_believed() -> Outcome {
    let desk = Desk::new()?;
    let receipt = desk.sign(&desk.r2())?;
    let trust = ReceiptTrust::new(desk.pki.root.roots()?, EKU)?;
    let believed = desk.verify(&receipt)??;
    for at in 0..receipt.len() {
        let mut altered = receipt.clone();
        altered[at] ^= 1;
        let verified = verify_receipt(&altered, &trust, &desk.expected());
        assert!(verified.is_err(), "byte {at} of {}", receipt.len());
    }
    for len in 0..receipt.len() {
        assert!(verify_receipt(&receipt[..len], &trust, &desk.expected()).is_err());
    }
    let longer = [&receipt[..], b"\0"].concat();
    assert_eq!(
        desk.verify(&longer)?.err(),
        Some(Error::Profile("no byte after the ContentInfo"))
    );
    let huge = vec![0x30; recueil_seal::RECEIPT_MAX_BYTES + 1];
    assert!(matches!(desk.verify(&huge)?.err(), Some(Error::TooLarge { .. })));
    assert_eq!(believed.kind, ReceiptKind::Ingested);
    Ok(())
}
