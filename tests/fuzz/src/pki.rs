//! The keys that seeds were made with: of tests, made once by `recueil_cert::init` for a hundred years, and kept, so
//! that what was signed stays signed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Timestamp;
use recueil_cert::fuzzing::Cert;
use recueil_seal::{OpeningKey, ReceiptTrust, Roots, SealingKey};
use ring::rand::SystemRandom;

/// The station of the seeds.
pub const STATION: &str = "MAIRIE-1";

/// All of both sides.
#[derive(Debug)]
pub struct Pki {
    /// CERT's.
    pub cert: Cert,
    /// The station's key for parcels.
    pub sealing: SealingKey,
    /// The same, PKCS#8.
    pub sealing_pkcs8: Vec<u8>,
    /// The station's certificate of that key.
    pub sealing_certificate: Vec<u8>,
    /// The station's key for what CERT sends.
    pub opening: OpeningKey,
    /// Whose receipts are believed.
    pub trust: ReceiptTrust,
}

/// When seeds were made.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

/// The folder.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pki")
}

/// The keys, read once.
pub fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let station = dir().join("station");
        let der = |name: &str| pem(&station.join(name));
        let sealing_pkcs8 = der("seal.key");
        let sealing_certificate = der("seal.crt");
        let sealing = SealingKey::from_pkcs8_der(&sealing_pkcs8, &sealing_certificate, &SystemRandom::new())
            .expect("a key");
        let opening = OpeningKey::from_pkcs8_der(
            &der("encryption.key"),
            &der("encryption.crt"),
            &SystemRandom::new(),
        )
        .expect("a key");
        let roots = Roots::from_der(&[der("trust/receipt-root.crt")]).expect("a root");
        let usage = recueil_cert::RECEIPT_USAGE.map(|arc| arc.to_string()).join(".");
        Pki {
            cert: Cert::load(&dir()).expect("CERT's keys"),
            sealing,
            sealing_pkcs8,
            sealing_certificate,
            opening,
            trust: ReceiptTrust::new(roots, &usage).expect("a usage"),
        }
    })
}

/// The bytes in a PEM file (RFC 7468) of one object.
pub fn pem(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).expect("a PEM file");
    let digits = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .flat_map(str::bytes)
        .filter(|byte| *byte != b'=')
        .map(|byte| {
            let place = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => panic!("{} is no PEM file", path.display()),
            };
            u32::from(place)
        });
    let digits: Vec<u32> = digits.collect();
    digits
        .chunks(4)
        .flat_map(|group| {
            let bits = (0..4).fold(0, |bits, at| bits << 6 | group.get(at).copied().unwrap_or(0));
            let [_, bytes @ ..] = bits.to_be_bytes();
            bytes.into_iter().take(group.len() - 1)
        })
        .collect()
}
