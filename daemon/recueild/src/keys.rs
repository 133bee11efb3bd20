//! The station's keys and the certificates it trusts, read from files at start.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use recueil_bus::{Code, Error};
use recueil_dossier::{Dossier, Parcel, PreDemande, Receipt, StationId};
use recueil_seal::{
    Clock, ExpectedReceipt, OpeningKey, ReceiptTrust, Recipient, Roots, SealContext, SealingKey,
    open_envelope,
};
use ring::rand::SystemRandom;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use zeroize::Zeroizing;

/// Files of keys and certificates, PEM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    seal_key: PathBuf,
    seal_certificate: PathBuf,
    encryption_key: PathBuf,
    encryption_certificate: PathBuf,
    cert_roots: Vec<PathBuf>,
    recipients: Vec<PathBuf>,
    receipt_roots: Vec<PathBuf>,
    #[serde(default = "receipt_usage")]
    receipt_usage: String,
}

/// The usage that the CERT of this project's tests gives its receipt signer.
fn receipt_usage() -> String {
    "1.3.6.1.4.1.61001.1.1".to_owned()
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("{path}: no PEM file of the kind needed")]
    File { path: PathBuf },
    #[error("{path}")]
    Content {
        path: PathBuf,
        #[source]
        source: recueil_seal::Error,
    },
}

/// Loaded keys.
pub(crate) struct Keys {
    station: StationId,
    sealing: SealingKey,
    opening: OpeningKey,
    cert_roots: Roots,
    recipients: Vec<Vec<u8>>,
    receipts: ReceiptTrust,
}

/// Largest pré-demande, opened.
const PRE_DEMANDE_MAX_BYTES: usize = PreDemande::MAX_BYTES;

impl Keys {
    /// Reads all files.
    ///
    /// # Errors
    /// The first file that does not hold what it should.
    pub(crate) fn load(config: &Config, station: StationId) -> Result<Self, KeyError> {
        let of = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Content { path, source }
        };
        let seal_certificate = certificate(&config.seal_certificate)?;
        let sealing = SealingKey::from_pkcs8_der(
            &private_key(&config.seal_key)?,
            &seal_certificate,
            &SystemRandom::new(),
        )
        .map_err(of(&config.seal_key))?;
        let encryption_certificate = certificate(&config.encryption_certificate)?;
        let opening = OpeningKey::from_pkcs8_der(
            &private_key(&config.encryption_key)?,
            &encryption_certificate,
            &SystemRandom::new(),
        )
        .map_err(of(&config.encryption_key))?;
        let all = |paths: &[PathBuf]| {
            paths
                .iter()
                .map(|path| certificate(path))
                .collect::<Result<Vec<_>, _>>()
        };
        let first = |paths: &[PathBuf]| paths.first().cloned().unwrap_or_default();
        let cert_roots =
            Roots::from_der(&all(&config.cert_roots)?).map_err(of(&first(&config.cert_roots)))?;
        let receipts = Roots::from_der(&all(&config.receipt_roots)?)
            .and_then(|roots| ReceiptTrust::new(roots, &config.receipt_usage))
            .map_err(of(&first(&config.receipt_roots)))?;
        let recipients = all(&config.recipients)?;
        Ok(Self {
            station,
            sealing,
            opening,
            cert_roots,
            recipients,
            receipts,
        })
    }

    pub(crate) fn station(&self) -> &StationId {
        &self.station
    }

    /// Days until the seal certificate ends, below 0 afterwards.
    pub(crate) fn seal_certificate_days(&self, now: Timestamp) -> i64 {
        self.sealing.not_after().duration_since(now).as_hours() / 24
    }

    /// Seals a dossier. It takes the processor for a while: not to be called on the runtime's threads.
    pub(crate) fn seal(&self, dossier: Dossier, sequence: u64, now: Timestamp) -> Result<Parcel, Error> {
        let recipients = self
            .recipients
            .iter()
            .map(|der| Recipient::from_certificate_der(der, &self.cert_roots, now));
        let recipients: Vec<Recipient> = recipients.collect::<Result<_, _>>().map_err(|error| {
            tracing::error!(%error, "a certificate of CERT does not allow sealing");
            let text = format!("a certificate of CERT does not allow sealing now ({error}); the draft is kept; tell the administrator");
            Error::new(Code::CertificateInvalid, text)
        })?;
        let context = SealContext {
            station: &self.station,
            sequence,
            now,
            clock: clock(),
            application: concat!("recueild ", env!("CARGO_PKG_VERSION")),
            key: &self.sealing,
            recipients: &recipients,
        };
        recueil_seal::seal(dossier, &context, &SystemRandom::new()).map_err(|error| {
            tracing::error!(%error, "sealing failed");
            Error::new(
                Code::SealFailed,
                format!("sealing failed ({error}); the draft is kept; tell the administrator"),
            )
        })
    }

    /// Opens what CERT sent to the station and reads the pré-demande in it.
    pub(crate) fn open_pre_demande(&self, envelope: &[u8]) -> Result<PreDemande, Error> {
        let refused = |text: &str| Error::new(Code::CertRefused, text);
        let json = open_envelope(envelope, &self.opening, PRE_DEMANDE_MAX_BYTES).map_err(|error| {
            tracing::warn!(%error, "CERT's answer cannot be opened");
            refused("CERT's answer cannot be opened with the station's key; ask the administrator to check the keys")
        })?;
        serde_json::from_slice(&json).map_err(|_content| refused("CERT's answer is not a pré-demande"))
    }

    /// Verifies a receipt against what was sent.
    pub(crate) fn verify_receipt(
        &self,
        receipt: &[u8],
        expected: &ExpectedReceipt<'_>,
    ) -> Result<Receipt, recueil_seal::Error> {
        recueil_seal::verify_receipt(receipt, &self.receipts, expected)
    }
}

fn certificate(path: &Path) -> Result<Vec<u8>, KeyError> {
    CertificateDer::from_pem_file(path)
        .map(|der| der.to_vec())
        .map_err(|_not_pem| KeyError::File {
            path: path.to_owned(),
        })
}

fn private_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    PrivatePkcs8KeyDer::from_pem_file(path)
        .map(|der| Zeroizing::new(der.secret_pkcs8_der().to_vec()))
        .map_err(|_not_pem| KeyError::File {
            path: path.to_owned(),
        })
}

/// Synchronised if systemd-timesyncd says so since the machine started.
fn clock() -> Clock {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        Clock::Synchronised
    } else {
        Clock::Unsynchronised
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const STATION: &str = "TEST-1";

    /// A station enrolled at a CERT of its own; `dir` becomes CERT's folder.
    pub(crate) fn enrolled(dir: &Path) -> Config {
        recueil_cert::init(dir, STATION, recueil_cert::VALIDITY_DAYS).unwrap();
        let station = dir.join("station");
        Config {
            seal_key: station.join("seal.key"),
            seal_certificate: station.join("seal.crt"),
            encryption_key: station.join("encryption.key"),
            encryption_certificate: station.join("encryption.crt"),
            cert_roots: vec![station.join("trust/cert-root.crt")],
            recipients: vec![
                station.join("trust/cert-encryption.crt"),
                station.join("trust/escrow.crt"),
            ],
            receipt_roots: vec![station.join("trust/receipt-root.crt")],
            receipt_usage: receipt_usage(),
        }
    }

    fn refused(config: &Config) -> String {
        match Keys::load(config, STATION.parse().unwrap()) {
            Ok(_) => panic!("these keys are of no use"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_keys_of_an_enrolment_are_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let config = enrolled(&folder.path().join("cert"));
        let keys = Keys::load(&config, STATION.parse().unwrap()).unwrap();
        assert_eq!(keys.station().to_string(), STATION);
        let days = keys.seal_certificate_days(Timestamp::now());
        assert!(
            (1..=i64::from(recueil_cert::VALIDITY_DAYS)).contains(&days),
            "{days}"
        );
    }

    #[test]
    fn the_file_that_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let config = enrolled(&folder.path().join("cert"));
        let nowhere = folder.path().join("nowhere.pem");
        for wrong in [
            Config {
                seal_key: nowhere.clone(),
                ..config.clone()
            },
            Config {
                recipients: vec![config.recipients[0].clone(), nowhere.clone()],
                ..config.clone()
            },
            Config {
                receipt_roots: vec![nowhere.clone()],
                ..config.clone()
            },
        ] {
            assert!(refused(&wrong).contains("nowhere.pem"), "{}", refused(&wrong));
        }
    }

    #[test]
    fn a_key_that_is_not_its_certificates_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let config = enrolled(&folder.path().join("cert"));
        let key = std::fs::read_to_string(&config.encryption_key).unwrap();
        let other = refused(&Config {
            seal_key: config.encryption_key.clone(),
            ..config.clone()
        });
        assert!(other.contains("encryption.key"), "{other}");
        assert!(!other.contains(key.lines().nth(1).unwrap()));
        let certificate = refused(&Config {
            seal_key: config.seal_certificate.clone(),
            ..config.clone()
        });
        assert!(
            certificate.contains("no PEM file of the kind needed"),
            "{certificate}"
        );
        let usage = refused(&Config {
            receipt_usage: "receipts".to_owned(),
            ..config
        });
        assert!(usage.contains("receipt-root.crt"), "{usage}");
    }
}
