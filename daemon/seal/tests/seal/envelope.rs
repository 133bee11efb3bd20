//! What CERT encrypts to the station: made by stock `openssl`, opened here.

use std::path::Path;

use rcgen::{KeyUsagePurpose, PKCS_ECDSA_P384_SHA384};
use recueil_seal::{Error, OpeningKey, open_envelope};
use ring::rand::SystemRandom;

use crate::support::{Outcome, Pki, noise, openssl};

const MAX_BYTES: usize = 1 << 20;
const GCM: &str = "-aes-256-gcm";
const KDF: &str = "-keyopt ecdh_kdf_md:sha384 -aes256-wrap";

/// `openssl cms -encrypt` of a text to the station, and to CERT where there are two.
fn encrypted(dir: &Path, pki: &Pki, content: &[u8], cipher: &str, recipients: &str) -> Outcome<Vec<u8>> {
    std::fs::write(dir.join("plain"), content)?;
    pki.station_encryption.write(dir, "station")?;
    pki.cert.write(dir, "cert")?;
    openssl(
        dir,
        &format!("cms -encrypt -binary -in plain -outform DER -out envelope.p7m {cipher} {recipients}"),
    )?;
    Ok(std::fs::read(dir.join("envelope.p7m"))?)
}

#[test]
fn the_station_opens_what_openssl_encrypts_in_the_profile() -> Outcome {
    let pki = Pki::new()?;
    let key = pki.opening_key()?;
    let folder = tempfile::tempdir()?;
    for content in [b"{}".to_vec(), Vec::new(), noise(60_000, 3)] {
        let to_one = format!("-recip station.pem {KDF}");
        let envelope = encrypted(folder.path(), &pki, &content, GCM, &to_one)?;
        assert_eq!(*open_envelope(&envelope, &key, MAX_BYTES)?, content);
        let to_two = format!("-recip cert.pem {KDF} -recip station.pem {KDF}");
        let envelope = encrypted(folder.path(), &pki, &content, GCM, &to_two)?;
        assert_eq!(*open_envelope(&envelope, &key, MAX_BYTES)?, content);
    }
    Ok(())
}

#[test]
fn what_openssl_encrypts_outside_the_profile_is_refused_by_name() -> Outcome {
    let pki = Pki::new()?;
    let key = pki.opening_key()?;
    let folder = tempfile::tempdir()?;
    let refusal = |cipher: &str, recipients: &str| -> Outcome<Option<Error>> {
        let envelope = encrypted(folder.path(), &pki, b"secret", cipher, recipients)?;
        Ok(open_envelope(&envelope, &key, MAX_BYTES).err())
    };
    let good = format!("-recip station.pem {KDF}");
    assert_eq!(
        refusal("-aes-256-cbc", &good)?,
        Some(Error::Profile("AuthEnvelopedData")),
        "the downgrade to no authentication"
    );
    assert_eq!(
        refusal("-aes-128-gcm", &good)?,
        Some(Error::Profile("an encryptedKey of 40 bytes"))
    );
    assert_eq!(
        refusal(GCM, "-recip station.pem -aes256-wrap")?,
        Some(Error::Profile(
            "dhSinglePass-stdDH-sha384kdf with id-aes256-wrap, no parameters"
        )),
        "its default is SHA-1"
    );
    let by_key_id = format!("-keyid {good}");
    assert_eq!(
        refusal(GCM, &by_key_id)?,
        Some(Error::Profile("issuerAndSerialNumber"))
    );
    let streamed = refusal(&format!("-stream {GCM}"), &good)?;
    assert_eq!(streamed, Some(Error::Profile("a ContentInfo in DER")), "BER");
    Ok(())
}

#[test]
fn an_envelope_for_somebody_else_or_too_large_is_refused() -> Outcome {
    let pki = Pki::new()?;
    let key = pki.opening_key()?;
    let folder = tempfile::tempdir()?;
    let to_cert = format!("-recip cert.pem {KDF}");
    let envelope = encrypted(folder.path(), &pki, b"secret", GCM, &to_cert)?;
    assert_eq!(
        open_envelope(&envelope, &key, MAX_BYTES).err(),
        Some(Error::NotForUs)
    );
    let refused = open_envelope(&envelope, &key, envelope.len() - 1).err();
    assert!(matches!(refused, Some(Error::TooLarge { .. })));

    let other = pki.root.issue(
        "Other",
        &PKCS_ECDSA_P384_SHA384,
        KeyUsagePurpose::KeyAgreement,
        |_| (),
    )?;
    let mixed =
        OpeningKey::from_pkcs8_der(&other.key_der, &pki.station_encryption.der, &SystemRandom::new()).err();
    assert!(matches!(mixed, Some(Error::PrivateKey { .. })));
    Ok(())
}

/// CMS is malleable outside what GCM covers, so an accepted change must at least not change the content.
#[test]
fn no_changed_byte_of_an_envelope_changes_what_it_says() -> Outcome {
    let pki = Pki::new()?;
    let key = pki.opening_key()?;
    let folder = tempfile::tempdir()?;
    let to_one = format!("-recip station.pem {KDF}");
    let to_two = format!("-recip cert.pem {KDF} {to_one}");
    // Nothing may change when there is one recipient. With two, the other's part is not ours to verify.
    for (recipients, must_refuse_all) in [(&to_one, true), (&to_two, false)] {
        let content = b"VALID12345";
        let envelope = encrypted(folder.path(), &pki, content, GCM, recipients)?;
        let (mut refused, mut same) = (0, 0);
        for at in 0..envelope.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut altered = envelope.clone();
                altered[at] ^= change;
                match open_envelope(&altered, &key, MAX_BYTES) {
                    Err(_) => refused += 1,
                    Ok(opened) => {
                        assert_eq!(*opened, content, "byte {at}");
                        same += 1;
                    }
                }
            }
        }
        println!(
            "{} bytes, {refused} changes refused, {same} opened to the same content",
            envelope.len()
        );
        assert!(refused > 0 && (same == 0 || !must_refuse_all));
        for len in 0..envelope.len() {
            assert!(
                open_envelope(&envelope[..len], &key, MAX_BYTES).is_err(),
                "cut to {len}"
            );
        }
    }
    Ok(())
}
