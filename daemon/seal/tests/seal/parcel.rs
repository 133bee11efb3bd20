//! What the station seals, CERT and its escrow open with stock tools, and nobody else.

use std::path::Path;

use rcgen::{KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, date_time_ymd};
use recueil_dossier::{Parcel, sha256_hex};
use recueil_seal::{Error, Party, Recipient, SealContext, SealingKey, seal};
use ring::rand::SystemRandom;

use crate::support::{
    Authority, Outcome, Pki, STATION, context, dossier, noise, now, openssl, run, run_ok, station,
};

const DECRYPT: &str = "cms -decrypt -binary -inform DER -in parcel.p7m";

fn sealed(pki: &Pki, payloads: Vec<Vec<u8>>) -> Outcome<Parcel> {
    let (station, key, recipients) = (station()?, pki.sealing_key()?, pki.recipients()?);
    let context = context(&station, &key, &recipients);
    Ok(seal(dossier(payloads)?, &context, &SystemRandom::new())?)
}

/// Reads the container with Python's own `zipfile` and checks each digest of the `ASiCManifest`; prints one
/// member of `dossier.json` a line.
const JUDGE: &str = r#"
import base64, hashlib, json, sys, zipfile
import xml.etree.ElementTree as xml
z = zipfile.ZipFile("container.zip")
assert z.testzip() is None
infos = z.infolist()
assert infos[0].filename == "mimetype" and all(i.compress_type == 0 and not i.extra for i in infos)
assert {i.date_time for i in infos} == {(1980, 1, 1, 0, 0, 0)}
root = xml.fromstring(z.read("META-INF/ASiCManifest001.xml"))
asic, ds = "{http://uri.etsi.org/02918/v1.2.1#}", "{http://www.w3.org/2000/09/xmldsig#}"
assert root.tag == asic + "ASiCManifest"
assert root.find(asic + "SigReference").get("URI") == "META-INF/signature001.p7s"
listed = {}
for o in root.findall(asic + "DataObjectReference"):
    assert o.find(ds + "DigestMethod").get("Algorithm") == "http://www.w3.org/2001/04/xmlenc#sha256"
    name = o.get("URI")
    assert base64.b64decode(o.find(ds + "DigestValue").text) == hashlib.sha256(z.read(name)).digest()
    assert name not in listed
    listed[name] = True
assert set(listed) == set(z.namelist()) - {"mimetype", "META-INF/ASiCManifest001.xml", "META-INF/signature001.p7s"}
d = json.loads(z.read("dossier.json"))
assert sorted(d) == ["application", "clock", "content", "dossier", "recipients", "schema", "sealed_at", "sequence", "station"]
for name, item in d["content"]["items"].items():
    ending = {"image/png": "png", "image/jpeg": "jpg"}[item["media_type"]]
    data = z.read(name + "." + ending)
    assert len(data) == item["len_bytes"] and hashlib.sha256(data).hexdigest() == item["sha256"]
print(d["schema"], d["dossier"], d["station"], d["sequence"], d["clock"], d["sealed_at"])
print(d["content"]["owner_uid"], len(d["content"]["items"]))
print(" ".join(d["recipients"]))
print(hashlib.sha256(z.read("dossier.json")).hexdigest())
"#;

#[test]
fn cert_and_escrow_open_a_parcel_and_verify_all_of_it_with_stock_tools() -> Outcome {
    let pki = Pki::new()?;
    let photo = noise(70_000, 1);
    let parcel = sealed(&pki, vec![photo.clone(), noise(300_000, 2), Vec::new()])?;
    assert_eq!(parcel.sha256, sha256_hex(&parcel.bytes));

    let folder = tempfile::tempdir()?;
    let dir = folder.path();
    std::fs::write(dir.join("parcel.p7m"), &parcel.bytes)?;
    std::fs::write(dir.join("ca.pem"), &pki.root.pem)?;
    pki.cert.write(dir, "cert")?;
    pki.escrow.write(dir, "escrow")?;

    openssl(
        dir,
        &format!("{DECRYPT} -recip cert.pem -inkey cert.key -out container.zip"),
    )?;
    openssl(
        dir,
        &format!("{DECRYPT} -recip escrow.pem -inkey escrow.key -out by-escrow.zip"),
    )?;
    let container = std::fs::read(dir.join("container.zip"))?;
    assert_eq!(container, std::fs::read(dir.join("by-escrow.zip"))?);

    let kind = run_ok(dir, "file", &["--brief", "container.zip"])?;
    assert!(kind.contains("application/vnd.etsi.asic-e+zip"), "{kind}");
    run_ok(dir, "unzip", &["-q", "container.zip", "-d", "content"])?;
    assert_eq!(std::fs::read(dir.join("content/photo.png"))?, photo);

    let said = run_ok(dir, "python3", &["-c", JUDGE])?;
    let recipients = [&pki.cert, &pki.escrow].map(|issued| sha256_hex(&issued.der));
    let expected = format!(
        "recueil-dossier-1 {} {STATION} 7 synchronised {}\n0 3\n{}\n{}\n",
        parcel.dossier,
        now(),
        recipients.join(" "),
        parcel.manifest_sha256
    );
    assert_eq!(said, expected);

    let verify = "cms -verify -cades -binary -inform DER -in content/META-INF/signature001.p7s \
                  -CAfile ca.pem -purpose any -signer signer.pem -out /dev/null -content";
    openssl(dir, &format!("{verify} content/META-INF/ASiCManifest001.xml"))?;
    let signer = openssl(dir, "x509 -in signer.pem -noout -subject")?;
    assert!(signer.contains(STATION), "{signer}");
    let other = run(
        dir,
        "openssl",
        &format!("{verify} content/dossier.json")
            .split_whitespace()
            .collect::<Vec<_>>(),
    )?;
    assert_eq!(other.status.code(), Some(4), "another content does not verify");
    Ok(())
}

#[test]
fn nobody_else_opens_a_parcel() -> Outcome {
    let pki = Pki::new()?;
    let parcel = sealed(&pki, vec![noise(100, 1)])?;
    let folder = tempfile::tempdir()?;
    let dir = folder.path();
    std::fs::write(dir.join("parcel.p7m"), &parcel.bytes)?;
    pki.station_encryption.write(dir, "station")?;
    let args = format!("{DECRYPT} -recip station.pem -inkey station.key -out out");
    let refused = run(dir, "openssl", &args.split_whitespace().collect::<Vec<_>>())?;
    assert!(!refused.status.success());
    let opened = recueil_seal::open_envelope(&parcel.bytes, &pki.opening_key()?, 1 << 20);
    assert_eq!(opened.err(), Some(Error::NotForUs));
    Ok(())
}

#[test]
fn nothing_of_a_parcel_repeats() -> Outcome {
    let pki = Pki::new()?;
    let (one, other) = (
        sealed(&pki, vec![noise(500, 1)])?,
        sealed(&pki, vec![noise(500, 1)])?,
    );
    let windows = |parcel: &Parcel| -> std::collections::BTreeSet<Vec<u8>> {
        parcel.bytes.windows(16).map(<[u8]>::to_vec).collect()
    };
    let shared: Vec<Vec<u8>> = windows(&one).intersection(&windows(&other)).cloned().collect();
    // What two parcels share is structure and the recipients' names, before the first ciphertext.
    let structure_len = one.bytes.len() - 500;
    assert!(shared.len() < structure_len);
    let ciphertext = &one.bytes[one.bytes.len() - 600..];
    assert!(
        !ciphertext
            .windows(16)
            .any(|window| shared.contains(&window.to_vec())),
        "key or nonce used twice"
    );
    Ok(())
}

#[test]
fn a_dossier_of_many_items_fits_and_of_one_more_does_not() -> Outcome {
    let pki = Pki::new()?;
    assert!(sealed(&pki, vec![vec![1]; 124]).is_ok());
    let refused = sealed(&pki, vec![vec![1]; 125]).err().ok_or("sealed")?;
    assert!(refused.to_string().contains("at most 124"), "{refused}");
    Ok(())
}

/// Seals a small dossier with a changed context and gives the error.
fn refusal(pki: &Pki, change: impl FnOnce(&mut SealContext<'_>)) -> Outcome<Error> {
    let (station, key, recipients) = (station()?, pki.sealing_key()?, pki.recipients()?);
    let mut context = context(&station, &key, &recipients);
    change(&mut context);
    let sealed = seal(dossier(vec![vec![1]])?, &context, &SystemRandom::new());
    sealed.err().ok_or_else(|| "sealed".into())
}

#[test]
fn an_expired_recipient_keeps_the_draft_and_says_so() -> Outcome {
    let pki = Pki::new()?;
    let expired = pki.root.issue(
        "CERT",
        &PKCS_ECDSA_P384_SHA384,
        KeyUsagePurpose::KeyAgreement,
        |params| params.not_after = date_time_ymd(2026, 1, 1),
    )?;
    let roots = pki.root.roots()?;
    let refused = Recipient::from_certificate_der(&expired.der, &roots, now()).err();
    let message = refused.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(message.contains("keep the dossier as a draft"), "{message}");
    let not_after = "2026-01-01T00:00:00Z".parse()?;
    let party = Party::Recipient;
    assert_eq!(refused, Some(Error::CertificateExpired { party, not_after }));

    // Read in time, sealed too late.
    let before = "2025-12-31T23:59:59Z".parse()?;
    let recipients = [Recipient::from_certificate_der(&expired.der, &roots, before)?];
    let refused = {
        let (station, key) = (station()?, pki.sealing_key()?);
        let context = context(&station, &key, &recipients);
        seal(dossier(vec![vec![1]])?, &context, &SystemRandom::new()).err()
    };
    assert_eq!(refused, Some(Error::CertificateExpired { party, not_after }));
    let early = "2020-01-01T00:00:00Z".parse()?;
    let too_early = Recipient::from_certificate_der(&pki.cert.der, &roots, early).err();
    assert!(matches!(too_early, Some(Error::CertificateNotYetValid { .. })));
    Ok(())
}

#[test]
fn a_recipient_is_certs_for_encryption_and_issued_by_the_root() -> Outcome {
    let pki = Pki::new()?;
    let roots = pki.root.roots()?;
    let read = |der: &[u8]| Recipient::from_certificate_der(der, &roots, now()).err();
    let party = Party::Recipient;
    let stranger = Authority::new("Test root")?.issue(
        "CERT",
        &PKCS_ECDSA_P384_SHA384,
        KeyUsagePurpose::KeyAgreement,
        |_| (),
    )?;
    assert_eq!(read(&stranger.der), Some(Error::CertificateUntrusted { party }));
    let signing = pki.root.issue(
        "CERT",
        &PKCS_ECDSA_P384_SHA384,
        KeyUsagePurpose::DigitalSignature,
        |_| (),
    )?;
    let what = "keyAgreement is needed";
    assert_eq!(read(&signing.der), Some(Error::CertificateUse { party, what }));
    let small = pki.root.issue(
        "CERT",
        &PKCS_ECDSA_P256_SHA256,
        KeyUsagePurpose::KeyAgreement,
        |_| (),
    )?;
    let what = "a key on P-384 is needed";
    assert_eq!(read(&small.der), Some(Error::CertificateUse { party, what }));
    let what = "it is an authority's";
    assert_eq!(read(&pki.root.der), Some(Error::CertificateUse { party, what }));
    let mut altered = pki.cert.der.clone();
    for at in 0..altered.len() {
        altered[at] ^= 1;
        assert!(read(&altered).is_some(), "byte {at}");
        altered[at] ^= 1;
    }
    Ok(())
}

#[test]
fn the_station_seals_with_its_own_key_in_its_own_name() -> Outcome {
    let pki = Pki::new()?;
    let rng = SystemRandom::new();
    let other = pki.root.issue(
        "MAIRIE-59350-02",
        &PKCS_ECDSA_P256_SHA256,
        KeyUsagePurpose::DigitalSignature,
        |_| (),
    )?;
    let mixed = SealingKey::from_pkcs8_der(&other.key_der, &pki.seal.der, &rng).err();
    assert!(matches!(mixed, Some(Error::PrivateKey { .. })));
    let other = SealingKey::from_pkcs8_der(&other.key_der, &other.der, &rng)?;
    let refused = {
        let (station, recipients) = (station()?, pki.recipients()?);
        let context = context(&station, &other, &recipients);
        seal(dossier(vec![vec![1]])?, &context, &rng).err()
    };
    assert_eq!(refused, Some(Error::StationName));
    let late = "2050-01-01T00:00:00Z".parse()?;
    let refused = refusal(&pki, |context| context.now = late)?;
    let is_the_stations = matches!(
        refused,
        Error::CertificateExpired {
            party: Party::Station,
            ..
        }
    );
    assert!(is_the_stations);
    Ok(())
}

#[test]
fn a_parcel_has_one_to_four_different_recipients() -> Outcome {
    let pki = Pki::new()?;
    let all = pki.recipients()?;
    let twice = [all[0].clone(), all[0].clone()];
    let many: Vec<Recipient> = all.iter().cycle().take(5).cloned().collect();
    for recipients in [&[][..], &twice, &many] {
        let (station, key) = (station()?, pki.sealing_key()?);
        let context = context(&station, &key, recipients);
        let refused = seal(dossier(vec![vec![1]])?, &context, &SystemRandom::new()).err();
        assert_eq!(refused, Some(Error::Recipients));
    }
    Ok(())
}

#[test]
fn an_item_that_changed_in_memory_is_not_sealed() -> Outcome {
    // The draft's record and the item's agree, the bytes do not.
    let pki = Pki::new()?;
    let damaged = dossier_with_damage()?;
    let (station, key, recipients) = (station()?, pki.sealing_key()?, pki.recipients()?);
    let refused = seal(
        damaged,
        &context(&station, &key, &recipients),
        &SystemRandom::new(),
    )
    .err();
    let name = "photo".to_owned();
    assert_eq!(refused, Some(Error::ItemDamaged { name }));
    Ok(())
}

fn dossier_with_damage() -> Outcome<recueil_dossier::Dossier> {
    crate::support::damaged(dossier(vec![vec![1, 2, 3]])?)
}

#[test]
fn an_altered_parcel_is_refused_by_openssl_too() -> Outcome {
    let pki = Pki::new()?;
    let parcel = sealed(&pki, vec![noise(1000, 1)])?;
    let folder = tempfile::tempdir()?;
    let dir: &Path = folder.path();
    pki.cert.write(dir, "cert")?;
    let mut altered = parcel.bytes.clone();
    let at = altered.len() - 500;
    altered[at] ^= 1;
    std::fs::write(dir.join("parcel.p7m"), altered)?;
    let args = format!("{DECRYPT} -recip cert.pem -inkey cert.key -out out");
    let refused = run(dir, "openssl", &args.split_whitespace().collect::<Vec<_>>())?;
    assert_eq!(refused.status.code(), Some(4));
    Ok(())
}
