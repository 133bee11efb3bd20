//! The self-check, against a machine that errs. What a good parcel is, `tests/seal` has judged by others.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm, date_time_ymd,
};
use recueil_dossier::{Content, DossierId, MediaType, Opening, Procedure, Provenance, Source};
use ring::rand::SystemRandom;

use super::*;
use crate::Roots;

fn params(name: &str, usage: KeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    params.key_usages = vec![usage];
    params
}

fn now() -> Timestamp {
    Timestamp::constant(1_780_000_000, 0)
}

fn keys() -> (SealingKey, Vec<Recipient>) {
    let mut root = params("Root", KeyUsagePurpose::KeyCertSign);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
    let issuer = Issuer::new(root, root_key);
    let issue = |name, usage, curve: &'static SignatureAlgorithm| {
        let key = KeyPair::generate_for(curve).unwrap();
        let certificate = params(name, usage).signed_by(&key, &issuer).unwrap();
        (certificate.der().to_vec(), key.serialize_der())
    };
    let (own, key) = issue("S-1", KeyUsagePurpose::DigitalSignature, &PKCS_ECDSA_P256_SHA256);
    let key = SealingKey::from_pkcs8_der(&key, &own, &SystemRandom::new()).unwrap();
    let roots = Roots::from_der(&[root_der]).unwrap();
    let recipients = ["CERT", "Escrow"].map(|name| {
        let (der, _key) = issue(name, KeyUsagePurpose::KeyAgreement, &PKCS_ECDSA_P384_SHA384);
        Recipient::from_certificate_der(&der, &roots, now()).unwrap()
    });
    (key, recipients.to_vec())
}

fn dossier() -> Dossier {
    let procedure = Procedure::parse(
        "procedure = 1\nid = \"essai\"\ntitle = \"Essai\"\nkind = \"deposit\"\nprofile = \"cni\"\n\
         [sources]\npre-demande = \"this test\"\n\
         [[step]]\nid = \"pre-demande\"\ntype = \"pre-demande\"\nrequired = false\n",
    )
    .unwrap();
    let source = Source {
        vendor: String::new(),
        model: String::new(),
        serial: String::new(),
        plugin: String::new(),
        plugin_version: String::new(),
    };
    let item = Item::new(
        "photo".parse().unwrap(),
        "photo",
        Content::Face,
        MediaType::Png,
        Vec::new(),
        Provenance {
            source,
            agent: "a".parse().unwrap(),
            captured_at: now(),
            profile_sha256: String::new(),
            analyser: String::new(),
        },
        Zeroizing::new(vec![7; 20]),
    );
    let opening = Opening {
        id: DossierId::new(now(), [1; 10]),
        owner_uid: 1000,
        agent: "a".parse().unwrap(),
        at: now(),
        expires_at: now(),
        demande: None,
    };
    let mut draft = Draft::open(&procedure, opening);
    draft.items.insert(item.record.name.clone(), item.record.clone());
    draft.finish(&procedure, vec![item]).unwrap()
}

/// Calls `then` with a usable context.
fn with_context<T>(then: impl FnOnce(SealContext<'_>) -> T) -> T {
    let (key, recipients) = keys();
    then(SealContext {
        station: &"S-1".parse().unwrap(),
        sequence: 1,
        now: now(),
        clock: Clock::Unsynchronised,
        application: "test",
        key: &key,
        recipients: &recipients,
    })
}

fn made(context: &SealContext<'_>) -> (Made, Manifest) {
    let (made, manifest, _sha256) = make(dossier(), context, &SystemRandom::new()).unwrap();
    (made, manifest)
}

/// Makes a parcel, lets `err` change it, and checks it.
fn checked(err: impl FnOnce(&mut Made)) -> Result<String, Error> {
    with_context(|context| {
        let (mut made, manifest) = made(&context);
        err(&mut made);
        made.self_check(&context, &manifest)
    })
}

#[test]
fn a_parcel_comes_out_of_the_check_as_it_went_in() {
    with_context(|context| {
        let (mut made, manifest) = made(&context);
        let before = made.envelope.to_vec();
        let sha256 = made.self_check(&context, &manifest).unwrap();
        assert_eq!(sha256, sha256_hex(&before));
        assert_eq!(*made.envelope, before);
    });
}

#[test]
fn no_changed_byte_passes_the_check() {
    with_context(|context| {
        let (mut made, manifest) = made(&context);
        let good = made.envelope.to_vec();
        for at in 0..good.len() {
            good.clone_into(&mut made.envelope);
            made.envelope[at] ^= 1;
            assert!(made.self_check(&context, &manifest).is_err(), "byte {at}");
        }
    });
}

/// The machine errs before encryption: the content is wrong, the encryption good.
#[test]
fn a_wrong_content_does_not_pass_although_it_decrypts() {
    let with_plain = |change: fn(&mut [u8])| {
        checked(|made| {
            let read = Envelope::parse(&made.envelope).unwrap();
            let (content, mac) = (read.content, read.mac);
            let end = content.end;
            let plain = &mut made.envelope[content];
            envelope::decrypt(plain, &made.content_key, made.nonce, mac).unwrap();
            change(plain);
            let mac = envelope::encrypt(plain, &made.content_key, made.nonce).unwrap();
            made.envelope[end + 2..].copy_from_slice(&mac);
        })
    };
    assert!(with_plain(|_| ()).is_ok());
    assert!(with_plain(|plain| plain[0] ^= 1).is_err());
    assert!(
        with_plain(|plain| {
            let middle = plain.len() / 2;
            plain[middle] ^= 1;
        })
        .is_err()
    );
}

#[test]
fn the_manifest_must_say_what_was_meant() {
    let refused = with_context(|context| {
        let (mut parcel, _) = made(&context);
        let later = SealContext {
            sequence: 2,
            ..context
        };
        let (_, meant) = made(&later);
        parcel.self_check(&context, &meant)
    });
    assert_eq!(refused, Err(Error::SelfCheck("dossier.json says something else")));
}

#[test]
fn each_recipients_key_must_be_the_content_key() {
    let refused = checked(|made| made.content_key[0] ^= 1);
    assert_eq!(refused, Err(Error::SelfCheck("a recipient's key")));
}
