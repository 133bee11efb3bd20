//! Makes the keys and certificates of one CERT and its stations. For tests: keys are files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm,
};
use zeroize::Zeroizing;

use crate::disk::make_dir;
use crate::error::{At, Error};

/// What the receipt signer's certificate says it is for; of this project's tests.
pub const RECEIPT_USAGE: [u64; 9] = [1, 3, 6, 1, 4, 1, 61001, 1, 1];

/// How long certificates are valid when nobody says otherwise, days.
pub const VALIDITY_DAYS: u32 = 365;

const TLS_ROOT: &str = "Recueil test TLS root";
const STATION_ROOT: &str = "Recueil test station root";

/// Makes a CERT and its first station in `dir`: CERT's secrets in `dir/cert`, what the station gets in
/// `dir/station`, and the pré-demande `VALID12345` of a citizen who does not exist.
///
/// Certificates are valid from one hour ago for `validity_days`. Keys are PKCS#8 in PEM, readable by their
/// owner alone.
///
/// # Errors
/// There is one already; the name is no station's; the disk.
pub fn init(dir: &Path, station: &str, validity_days: u32) -> Result<(), Error> {
    let cert_dir = dir.join("cert");
    if cert_dir.exists() {
        return Err(Error::Exists(cert_dir));
    }
    check_name(station)?;
    make_dir(dir)?;
    make_dir(&cert_dir)?;
    make_dir(&cert_dir.join("stations"))?;
    let maker = Maker {
        dir: &cert_dir,
        validity_days,
    };

    let tls = maker.root("tls-root", TLS_ROOT)?;
    let server = maker.tls(&["localhost", "127.0.0.1"])?;
    maker.issue("tls", &server, &PKCS_ECDSA_P256_SHA256, &tls)?;

    let cert = maker.root("cert-root", "Recueil test CERT root")?;
    for (file, name) in [
        ("encryption", "Recueil test CERT encryption"),
        ("escrow", "Recueil test CERT escrow"),
    ] {
        let params = maker.leaf(name, &[KeyUsagePurpose::KeyAgreement])?;
        maker.issue(file, &params, &PKCS_ECDSA_P384_SHA384, &cert)?;
    }

    let receipts = maker.root("receipt-root", "Recueil test receipt root")?;
    let mut receipt = maker.leaf("Recueil test receipts", &[KeyUsagePurpose::DigitalSignature])?;
    receipt.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(RECEIPT_USAGE.to_vec())];
    maker.issue("receipt", &receipt, &PKCS_ECDSA_P256_SHA256, &receipts)?;

    maker.root("station-root", STATION_ROOT)?;
    add_station(dir, station, &dir.join("station"), validity_days)?;
    crate::predemande::write_specimen(dir)
}

/// Makes another TLS certificate of CERT's, in place of the one that is there: for these names, valid from `from` to
/// `until` counted from now in seconds. A CERT that serves does not take it up.
///
/// # Errors
/// There is no CERT; a name is none; the disk.
pub fn renew_tls(dir: &Path, names: &[&str], from_s: i64, until_s: i64) -> Result<(), Error> {
    let cert_dir = dir.join("cert");
    let maker = Maker {
        dir: &cert_dir,
        validity_days: VALIDITY_DAYS,
    };
    let root = maker.stored_root(&cert_dir, "tls-root", TLS_ROOT)?;
    let mut server = maker.tls(names)?;
    let now = SystemTime::now();
    let at = |seconds: i64| {
        let far = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { now - far } else { now + far }
    };
    (server.not_before, server.not_after) = (at(from_s).into(), at(until_s).into());
    for ending in ["crt", "key"] {
        let path = cert_dir.join(format!("tls.{ending}"));
        fs::remove_file(&path).at(&path)?;
    }
    maker.issue("tls", &server, &PKCS_ECDSA_P256_SHA256, &root)
}

/// Makes another station of the CERT in `dir`, in the new folder `station_dir`.
///
/// # Errors
/// There is no CERT, the folder exists, the name is no station's or is taken; the disk.
pub fn add_station(dir: &Path, station: &str, station_dir: &Path, validity_days: u32) -> Result<(), Error> {
    check_name(station)?;
    let cert_dir = dir.join("cert");
    let register_dir = cert_dir.join("stations").join(station);
    for taken in [&register_dir, station_dir] {
        if taken.exists() {
            return Err(Error::Exists(taken.to_path_buf()));
        }
    }
    let maker = Maker {
        dir: station_dir,
        validity_days,
    };
    let root = maker.stored_root(&cert_dir, "station-root", STATION_ROOT)?;
    make_dir(station_dir)?;

    let mut tls = maker.leaf(station, &[KeyUsagePurpose::DigitalSignature])?;
    tls.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    maker.issue("tls", &tls, &PKCS_ECDSA_P256_SHA256, &root)?;
    let seal_usages = [
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::ContentCommitment,
    ];
    maker.issue(
        "seal",
        &maker.leaf(station, &seal_usages)?,
        &PKCS_ECDSA_P256_SHA256,
        &root,
    )?;
    let encryption = maker.leaf(station, &[KeyUsagePurpose::KeyAgreement])?;
    maker.issue("encryption", &encryption, &PKCS_ECDSA_P384_SHA384, &root)?;

    let trust_dir = station_dir.join("trust");
    make_dir(&trust_dir)?;
    for (from, to) in [
        ("tls-root.crt", "tls-root.crt"),
        ("cert-root.crt", "cert-root.crt"),
        ("encryption.crt", "cert-encryption.crt"),
        ("escrow.crt", "escrow.crt"),
        ("receipt-root.crt", "receipt-root.crt"),
    ] {
        let from = cert_dir.join(from);
        write_public(&trust_dir.join(to), &fs::read(&from).at(&from)?)?;
    }
    make_dir(&register_dir)?;
    let own = station_dir.join("encryption.crt");
    write_public(&register_dir.join("encryption.crt"), &fs::read(&own).at(&own)?)
}

/// A name of the protocol, safe as a file name too.
pub(crate) fn is_station_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn check_name(station: &str) -> Result<(), Error> {
    is_station_name(station).then_some(()).ok_or(Error::StationName)
}

struct Maker<'a> {
    dir: &'a Path,
    validity_days: u32,
}

impl Maker<'_> {
    fn root(&self, file: &str, name: &str) -> Result<Issuer<'static, KeyPair>, Error> {
        let params = self.root_params(name)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        self.write(file, &certificate.pem(), &key)?;
        Ok(Issuer::new(params, key))
    }

    fn root_params(&self, name: &str) -> Result<CertificateParams, Error> {
        let mut params = self.params(name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }

    /// A root that was made before: what it lends to certificates is its name and its key.
    fn stored_root(
        &self,
        cert_dir: &Path,
        file: &str,
        name: &str,
    ) -> Result<Issuer<'static, KeyPair>, Error> {
        let path = cert_dir.join(format!("{file}.key"));
        let key = KeyPair::from_pem(&Zeroizing::new(fs::read_to_string(&path).at(&path)?))?;
        Ok(Issuer::new(self.root_params(name)?, key))
    }

    fn leaf(&self, name: &str, usages: &[KeyUsagePurpose]) -> Result<CertificateParams, Error> {
        let mut params = self.params(name)?;
        params.key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    /// CERT's own TLS certificate.
    fn tls(&self, names: &[&str]) -> Result<CertificateParams, Error> {
        let mut params = self.leaf("Recueil test CERT", &[KeyUsagePurpose::DigitalSignature])?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params)
    }

    fn params(&self, name: &str) -> Result<CertificateParams, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let from = SystemTime::now() - Duration::from_hours(1);
        params.not_before = from.into();
        params.not_after = (from + Duration::from_hours(24) * self.validity_days).into();
        Ok(params)
    }

    fn issue(
        &self,
        file: &str,
        params: &CertificateParams,
        algorithm: &'static SignatureAlgorithm,
        issuer: &Issuer<'_, KeyPair>,
    ) -> Result<(), Error> {
        let key = KeyPair::generate_for(algorithm)?;
        let certificate = params.signed_by(&key, issuer)?;
        self.write(file, &certificate.pem(), &key)
    }

    fn write(&self, file: &str, certificate: &str, key: &KeyPair) -> Result<(), Error> {
        write_public(&self.dir.join(format!("{file}.crt")), certificate.as_bytes())?;
        write_new(
            &self.dir.join(format!("{file}.key")),
            key.serialize_pem().as_bytes(),
            0o600,
        )
    }
}

fn write_public(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_new(path, bytes, 0o644)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    file.and_then(|mut file| file.write_all(bytes)).at(path)
}
