//! Certificates, signatures, envelopes and receipts: ours, CERT's and openssl's.

use std::path::Path;

use recueil_dossier::ReceiptKind;
use recueil_fuzz::pki::{self, STATION, now};
use recueil_fuzz::targets::cms::{ENCRYPTED, SIGNED, said};
use recueil_seal::fuzzing as seal;

use crate::{Result, put, tool};

fn openssl(arguments: &str, files: &[(&str, &Path)], input: &[u8]) -> Result<Vec<u8>> {
    let mut all: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    for (option, path) in files {
        all.extend([(*option).to_owned(), path.to_string_lossy().into_owned()]);
    }
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    tool("openssl", &all, input)
}

pub(crate) fn write() -> Result {
    let keys = pki::pki();
    let (cert, station) = (pki::dir().join("cert"), pki::dir().join("station"));
    let sealed = keys.cert.seal(b"parcel")?;
    put("cms-envelope", "parcel", &sealed)?;
    let to_station = keys.cert.seal_to(STATION, ENCRYPTED)?;
    put("cms-envelope", "cert", &to_station)?;
    put("cms-opened", "cert", &to_station)?;
    let own = station.join("encryption.crt");
    let encrypt = format!(
        "cms -encrypt -binary -outform DER -aes-256-gcm -recip {} -keyopt ecdh_kdf_md:sha384",
        own.display()
    );
    let by_openssl = openssl(&encrypt, &[], ENCRYPTED)?;
    put("cms-envelope", "openssl", &by_openssl)?;
    put("cms-opened", "openssl", &by_openssl)?;
    let cbc = openssl(
        "cms -encrypt -binary -outform DER -aes-256-cbc",
        &[("-recip", &own)],
        ENCRYPTED,
    )?;
    put("cms-envelope", "enveloped-cbc", &cbc)?;

    let signed = seal::sign(SIGNED, &keys.sealing, now())?;
    put("cms-signature", "ours", &signed)?;
    let signer = [
        ("-signer", station.join("seal.crt")),
        ("-inkey", station.join("seal.key")),
    ];
    let signer = signer.each_ref().map(|(option, path)| (*option, path.as_path()));
    let sign = "cms -sign -cades -nosmimecap -binary -md sha256 -outform DER";
    let signed_by_openssl = openssl(sign, &signer, SIGNED)?;
    put("cms-signature", "openssl", &signed_by_openssl)?;
    put(
        "cms-signature",
        "openssl-attached",
        &openssl(&format!("{sign} -nodetach"), &signer, SIGNED)?,
    )?;
    put(
        "cms-signature",
        "openssl-plain",
        &openssl("cms -sign -binary -md sha256 -outform DER", &signer, SIGNED)?,
    )?;
    for (name, cms) in [("ours", &signed), ("openssl", &signed_by_openssl)] {
        put("cms-attributes", name, attributes(cms).ok_or("no attributes")?)?;
    }

    for name in [
        "encryption",
        "escrow",
        "receipt",
        "receipt-root",
        "station-root",
        "tls",
    ] {
        put("certificate", name, &pki::pem(&cert.join(format!("{name}.crt"))))?;
    }
    put("certificate", "seal", &keys.sealing_certificate)?;
    let other = tool(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
            "-nodes",
            "-keyout",
            "/dev/null",
            "-outform",
            "DER",
            "-days",
            "30000",
            "-subj",
            "/C=FR/O=Exemple é/CN=MAIRIE-1",
            "-utf8",
        ],
        b"",
    )?;
    put("certificate", "openssl", &other)?;

    let receipt_signer = [
        ("-signer", cert.join("receipt.crt")),
        ("-inkey", cert.join("receipt.key")),
    ];
    let receipt_signer = receipt_signer
        .each_ref()
        .map(|(option, path)| (*option, path.as_path()));
    for (name, kind) in [
        ("r1", ReceiptKind::Stored),
        ("r2", ReceiptKind::Ingested),
        ("reject", ReceiptKind::Refused),
    ] {
        let content = serde_json::to_vec(&said(kind))?;
        put("receipt-content", name, &content)?;
        put("receipt", name, &keys.cert.sign(&content, now())?)?;
        let by_openssl = openssl(&format!("{sign} -nodetach"), &receipt_signer, &content)?;
        put("receipt", &format!("{name}-openssl"), &by_openssl)?;
    }
    Ok(())
}

/// The content of the one `[0]` that holds the attribute content-type: signedAttrs.
fn attributes(cms: &[u8]) -> Option<&[u8]> {
    let content_type = b"\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
    let start = cms
        .windows(content_type.len())
        .position(|window| window == content_type)?;
    // Lengths of two bytes at most: the element's own stands before its content.
    let (one, two) = (
        cms.get(start.checked_sub(3)?..start)?,
        cms.get(start.checked_sub(4)?..start)?,
    );
    let len = match (one, two) {
        (_, [0xa0, 0x82, high, low]) => usize::from(*high) << 8 | usize::from(*low),
        ([0xa0, 0x81, len], _) => usize::from(*len),
        _ => return None,
    };
    cms.get(start..start + len)
}
