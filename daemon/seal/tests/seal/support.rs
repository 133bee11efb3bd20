//! A small PKI, a dossier made by hand, and the judges.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm,
    date_time_ymd,
};
use recueil_dossier::{
    Content, Dossier, DossierId, Draft, Item, MediaType, Opening, Procedure, Provenance, Source, StationId,
};
use recueil_seal::{Clock, OpeningKey, Recipient, Roots, SealContext, SealingKey};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

pub(crate) const STATION: &str = "MAIRIE-59350-01";
pub(crate) const EKU: &str = "1.3.6.1.4.1.61001.1.1";
pub(crate) const EKU_ARCS: [u64; 9] = [1, 3, 6, 1, 4, 1, 61001, 1, 1];

pub(crate) fn now() -> Timestamp {
    Timestamp::constant(1_780_000_000, 0)
}

pub(crate) fn station() -> Outcome<StationId> {
    Ok(STATION.parse()?)
}

/// A certificate and its key.
pub(crate) struct Issued {
    pub(crate) der: Vec<u8>,
    pub(crate) pem: String,
    pub(crate) key_der: Vec<u8>,
    pub(crate) key_pem: String,
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> Outcome<(PathBuf, PathBuf)> {
        let paths = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        std::fs::write(&paths.0, &self.pem)?;
        std::fs::write(&paths.1, &self.key_pem)?;
        Ok(paths)
    }
}

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) der: Vec<u8>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        let mut params = params(name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    pub(crate) fn issue(
        &self,
        name: &str,
        curve: &'static SignatureAlgorithm,
        usage: KeyUsagePurpose,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Outcome<Issued> {
        let mut params = params(name)?;
        params.key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        adjust(&mut params);
        let key = KeyPair::generate_for(curve)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            key_der: key.serialize_der(),
            key_pem: key.serialize_pem(),
        })
    }

    pub(crate) fn roots(&self) -> Outcome<Roots> {
        Ok(Roots::from_der(&[&self.der])?)
    }
}

fn params(name: &str) -> Outcome<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    Ok(params)
}

/// One of each certificate, all issued by one root.
pub(crate) struct Pki {
    pub(crate) root: Authority,
    pub(crate) seal: Issued,
    pub(crate) station_encryption: Issued,
    pub(crate) cert: Issued,
    pub(crate) escrow: Issued,
    pub(crate) receipt: Issued,
}

impl Pki {
    pub(crate) fn new() -> Outcome<Self> {
        let root = Authority::new("Test root")?;
        let p384 = &PKCS_ECDSA_P384_SHA384;
        let agree = KeyUsagePurpose::KeyAgreement;
        let sign = KeyUsagePurpose::DigitalSignature;
        Ok(Self {
            seal: root.issue(STATION, &PKCS_ECDSA_P256_SHA256, sign, |_| ())?,
            station_encryption: root.issue(STATION, p384, agree, |_| ())?,
            cert: root.issue("CERT", p384, agree, |_| ())?,
            escrow: root.issue("Escrow", p384, agree, |_| ())?,
            receipt: root.issue("Receipts", &PKCS_ECDSA_P256_SHA256, sign, for_receipts)?,
            root,
        })
    }

    pub(crate) fn sealing_key(&self) -> Outcome<SealingKey> {
        let rng = SystemRandom::new();
        Ok(SealingKey::from_pkcs8_der(
            &self.seal.key_der,
            &self.seal.der,
            &rng,
        )?)
    }

    pub(crate) fn recipients(&self) -> Outcome<Vec<Recipient>> {
        let roots = self.root.roots()?;
        let read = |issued: &Issued| Recipient::from_certificate_der(&issued.der, &roots, now());
        Ok(vec![read(&self.cert)?, read(&self.escrow)?])
    }

    pub(crate) fn opening_key(&self) -> Outcome<OpeningKey> {
        let issued = &self.station_encryption;
        Ok(OpeningKey::from_pkcs8_der(
            &issued.key_der,
            &issued.der,
            &SystemRandom::new(),
        )?)
    }
}

pub(crate) fn for_receipts(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(EKU_ARCS.to_vec())];
}

pub(crate) fn context<'a>(
    station: &'a StationId,
    key: &'a SealingKey,
    recipients: &'a [Recipient],
) -> SealContext<'a> {
    SealContext {
        station,
        sequence: 7,
        now: now(),
        clock: Clock::Synchronised,
        application: "recueil 0.1.0",
        key,
        recipients,
    }
}

/// Needs nothing: what makes a dossier complete is tested in `recueil-dossier`.
const PROCEDURE: &str = r#"
procedure = 1
id = "essai"
title = "Essai"
kind = "deposit"
profile = "cni"
[sources]
pre-demande = "this test"
[[step]]
id = "pre-demande"
type = "pre-demande"
required = false
"#;

/// A dossier of a photo and pages, with these payloads: the first is the photo.
pub(crate) fn dossier(payloads: Vec<Vec<u8>>) -> Outcome<Dossier> {
    let procedure = Procedure::parse(PROCEDURE)?;
    let mut draft = Draft::open(
        &procedure,
        Opening {
            id: DossierId::new(now(), [9; 10]),
            owner_uid: 1000,
            agent: "agent.dupont".parse()?,
            at: now(),
            expires_at: now(),
            demande: None,
        },
    );
    let mut items = Vec::new();
    for (at, payload) in payloads.into_iter().enumerate() {
        let (name, content, media_type) = if at == 0 {
            ("photo".to_owned(), Content::Face, MediaType::Png)
        } else {
            let document = "justificatif".to_owned();
            let number = u32::try_from(at)?;
            (
                format!("page-{at}"),
                Content::Page { document, number },
                MediaType::Jpeg,
            )
        };
        let item = Item::new(
            name.parse()?,
            "photo",
            content,
            media_type,
            Vec::new(),
            provenance()?,
            Zeroizing::new(payload),
        );
        draft.items.insert(item.record.name.clone(), item.record.clone());
        items.push(item);
    }
    draft
        .finish(&procedure, items)
        .map_err(|unfinished| format!("{:?}", unfinished.missing).into())
}

fn provenance() -> Outcome<Provenance> {
    Ok(Provenance {
        source: Source {
            vendor: "Recueil".into(),
            model: "simulator".into(),
            serial: "SIM-1".into(),
            plugin: "org.recueil.simulator".into(),
            plugin_version: "0.1.0".into(),
        },
        agent: "agent.dupont".parse()?,
        captured_at: now(),
        profile_sha256: "0".repeat(64),
        analyser: "recueil-analyser 0.1.0".into(),
    })
}

/// Bytes that look like nothing, the same each time.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(len).collect()
}

/// Runs a program in a folder; gives its output whatever its end.
pub(crate) fn run(dir: &Path, program: &str, args: &[&str]) -> Outcome<Output> {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    Ok(output)
}

/// Runs a program that must succeed; gives what it prints.
pub(crate) fn run_ok(dir: &Path, program: &str, args: &[&str]) -> Outcome<String> {
    let output = run(dir, program, args)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} {args:?}: {}: {said}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn openssl(dir: &Path, args: &str) -> Outcome<String> {
    run_ok(dir, "openssl", &args.split_whitespace().collect::<Vec<_>>())
}

/// The same dossier with one byte of the photo changed after its record was made.
pub(crate) fn damaged(dossier: Dossier) -> Outcome<Dossier> {
    let procedure = Procedure::parse(PROCEDURE)?;
    let (draft, mut items) = dossier.into_parts();
    let photo = items.first_mut().and_then(|item| item.payload.first_mut());
    *photo.ok_or("no photo")? ^= 1;
    draft
        .finish(&procedure, items)
        .map_err(|unfinished| format!("{:?}", unfinished.missing).into())
}
