//! CMS: envelopes, signatures, certificates and receipts, each read by the station and by CERT, which share no line.
#![expect(
    clippy::match_same_arms,
    reason = "each way to agree stands apart with its reason"
)]

use recueil_dossier::{DossierId, Receipt, ReceiptKind};
use recueil_seal::{Error, ExpectedReceipt, fuzzing as ours, open_envelope, verify_receipt};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

use recueil_cert::fuzzing as theirs;

use crate::pki::{STATION, now, pki};

/// What is signed in seeds, detached.
pub const SIGNED: &[u8] = b"<?xml version=\"1.0\"?>";
/// What is encrypted to the station in seeds.
pub const ENCRYPTED: &[u8] =
    br#"{"number":"VALID12345","status":"validated","procedure":"cni-adulte","fields":{}}"#;
/// Of the dossier that receipts are for.
pub const PARCEL_SHA256: &str = "00000000000000000000000000000000000000000000000000000000000000cd";
/// Of its `dossier.json`.
pub const MANIFEST_SHA256: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

/// The dossier that receipts are for.
pub fn dossier() -> DossierId {
    DossierId::new(now(), [1; 10])
}

fn expected() -> ExpectedReceipt<'static> {
    static STATION_ID: std::sync::OnceLock<recueil_dossier::StationId> = std::sync::OnceLock::new();
    ExpectedReceipt {
        dossier: dossier(),
        parcel_sha256: PARCEL_SHA256,
        size: 100,
        station: STATION_ID.get_or_init(|| STATION.parse().expect("a name")),
        manifest_sha256: MANIFEST_SHA256,
    }
}

/// An envelope: both sides read the same in it, or neither reads it.
pub fn envelope(bytes: &[u8]) {
    match (ours::envelope(bytes), theirs::envelope(bytes)) {
        (Ok(a), Ok(b)) => {
            super::reach("cms-envelope");
            assert_eq!(
                (a.nonce, a.content, a.mac.as_slice()),
                (b.nonce, b.content, b.mac)
            );
            assert_eq!(a.recipients.len(), b.recipients.len());
            for ([point, id, key], [their_point, their_id, their_key]) in
                a.recipients.iter().zip(&b.recipients)
            {
                assert_eq!((point, key), (their_point, their_key));
                assert!(their_id.ends_with(id), "theirs has tag and length before it");
            }
            assert!((1..=4).contains(&a.recipients.len()));
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(refused)) => panic!("CERT would refuse what the station takes: {refused}"),
        // CERT compares names byte by byte and need not look into them.
        (
            Err(Error::Profile(
                "the issuer's name" | "the serial number" | "nothing after the serial number",
            )),
            Ok(_),
        ) => {}
        (Err(error), Ok(_)) => panic!("the station would refuse what CERT takes: {error}"),
    }
}

/// An envelope that is opened with the station's key: nothing comes out but what CERT put in.
pub fn opened(bytes: &[u8]) {
    match open_envelope(bytes, &pki().opening, 64 << 10) {
        Ok(plain) => {
            super::reach("cms-opened");
            assert_eq!(
                plain.as_slice(),
                ENCRYPTED,
                "nobody made an envelope of anything else"
            );
        }
        Err(Error::TooLarge { .. }) => assert!(bytes.len() > 64 << 10),
        Err(_) => {}
    }
}

/// A detached signature: both sides believe it, or neither.
pub fn signature(bytes: &[u8]) {
    let station = ours::signature(bytes, Some(SIGNED));
    let cert = theirs::signature(bytes, SIGNED);
    agree("cms-signature", station, cert);
    // The attached form is CERT's own; a detached one is none.
    if let Ok(signed) = ours::signature(bytes, None) {
        assert!(signed.content.is_some());
    }
}

fn agree(target: &'static str, station: Result<ours::Signed<'_>, Error>, cert: Result<Vec<u8>, String>) {
    match (station, cert) {
        (Ok(signed), Ok(certificate)) => {
            super::reach(target);
            assert_eq!(signed.certificate, certificate);
        }
        (Err(_), Err(_)) => {}
        // CERT signs and reads UTCTime alone, which ends with 2049 (RFC 5652 section 11.3).
        (Ok(signed), Err(refused)) => assert!(
            signed.signing_time.as_second() >= 2_524_608_000,
            "CERT would refuse what the station believes: {refused}"
        ),
        // CERT's own clock counts, so it does not read the station's; certificates are judged in another step.
        (Err(Error::Profile("signing-time to the second, in Z")), Ok(_)) => {}
        (Err(Error::CertificateMalformed { .. } | Error::CertificateUse { .. }), Ok(_)) => {}
        (Err(error), Ok(_)) => panic!("CERT would believe what the station does not: {error}"),
    }
}

/// Signed attributes, with a good signature over whatever they are.
pub fn attributes(bytes: &[u8]) {
    let cms = signed_data(bytes);
    agree(
        "cms-attributes",
        ours::signature(&cms, Some(SIGNED)),
        theirs::signature(&cms, SIGNED),
    );
}

/// `SignedData` of the station over these attributes (RFC 5652 sections 5.1, 5.3), made by neither side's code.
pub fn signed_data(attributes: &[u8]) -> Vec<u8> {
    const VERSION_1: &[u8] = &[2, 1, 1];
    const SHA_256: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
    const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    const DATA: &[u8] = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    let pki = pki();
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pki.sealing_pkcs8, &random)
        .expect("a key");
    let signature = key
        .sign(&random, &element(0x31, &[attributes]))
        .expect("a signature");
    let certificate = ours::certificate(&pki.sealing_certificate).expect("a certificate");
    let info = element(
        0x30,
        &[
            VERSION_1,
            &element(0x30, &[&certificate.issuer_and_serial]),
            SHA_256,
            &element(0xa0, &[attributes]),
            ECDSA_SHA256,
            &element(4, &[signature.as_ref()]),
        ],
    );
    let data = element(
        0x30,
        &[
            VERSION_1,
            &element(0x31, &[SHA_256]),
            DATA,
            &element(0xa0, &[&pki.sealing_certificate]),
            &element(0x31, &[&info]),
        ],
    );
    element(0x30, &[SIGNED_DATA, &element(0xa0, &[&data])])
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len().to_be_bytes();
    let digits: Vec<u8> = len.into_iter().skip_while(|digit| *digit == 0).collect();
    let mut out = vec![tag];
    match digits.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).expect("at most eight"));
            out.extend(long);
        }
    }
    out.extend(content);
    out
}

/// A certificate: both sides name and use it alike.
pub fn certificate(bytes: &[u8]) {
    let Ok(read) = ours::certificate(bytes) else {
        // CERT judges usage later, so it may read more.
        let _read = theirs::certificate(bytes);
        return;
    };
    let cert = theirs::certificate(bytes).expect("CERT reads what the station reads");
    super::reach("certificate");
    assert!(
        cert.id.ends_with(&read.issuer_and_serial),
        "the same signer is named"
    );
    assert_eq!(cert.public_key, read.public_key);
    // CERT wants one common name and in UTF-8; where both see one it is the same.
    if let (Some(a), Some(b)) = (cert.common_name, read.common_name) {
        assert_eq!(a, b);
    }
}

/// A receipt: nothing is believed but what CERT signed in seeds.
pub fn receipt(bytes: &[u8]) {
    match verify_receipt(bytes, &pki().trust, &expected()) {
        Ok(receipt) => {
            super::reach("receipt");
            assert_eq!(receipt, said(receipt.kind), "CERT signed nothing else");
        }
        Err(Error::TooLarge { .. }) => assert!(bytes.len() > 64 << 10),
        Err(_) => {}
    }
}

/// What CERT says, signed by its key whatever it is.
pub fn receipt_content(bytes: &[u8]) {
    let signed = pki().cert.sign(bytes, now()).expect("CERT signs");
    let Ok(receipt) = verify_receipt(&signed, &pki().trust, &expected()) else {
        return;
    };
    super::reach("receipt-content");
    assert_eq!(receipt.dossier, dossier());
    assert_eq!(
        (receipt.parcel_sha256.as_str(), receipt.size),
        (PARCEL_SHA256, 100)
    );
    assert_eq!(receipt.station.as_str(), STATION);
    let final_members = (receipt.manifest_sha256.as_deref(), receipt.demande.is_some());
    match receipt.kind {
        ReceiptKind::Ingested => assert_eq!(final_members, (Some(MANIFEST_SHA256), true)),
        ReceiptKind::Stored | ReceiptKind::Refused => assert_eq!(final_members, (None, false)),
    }
    let reason = receipt.reason.as_deref().unwrap_or_default();
    assert_eq!(receipt.kind == ReceiptKind::Refused, !reason.trim().is_empty());
    assert!(reason.len() <= 4096);
    let again = serde_json::to_vec(&receipt).expect("a receipt is written");
    assert_eq!(serde_json::from_slice::<Receipt>(&again).ok(), Some(receipt));
}

/// The receipts of the seeds.
pub fn said(kind: ReceiptKind) -> Receipt {
    let ingested = kind == ReceiptKind::Ingested;
    Receipt {
        kind,
        dossier: dossier(),
        parcel_sha256: PARCEL_SHA256.to_owned(),
        size: 100,
        station: STATION.parse().expect("a name"),
        manifest_sha256: ingested.then(|| MANIFEST_SHA256.to_owned()),
        demande: ingested.then(|| "2026AB000042".parse().expect("a number")),
        reason: (kind == ReceiptKind::Refused).then(|| "the seal is not of this station".to_owned()),
        time: now(),
        serial: 7,
        previous_sha256: None,
    }
}
