//! CMS `SignedData` with CAdES-B attributes, in the one form of the protocol: written for receipts, read for seals.

use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::{digest, signature};

use crate::certificate::Certificate;
use crate::der::{Reader, element, sequence, set_of, tag};
use crate::error::{Error, Refusal};
use crate::oid;

const CONTEXT_0: u8 = 0xa0;
const VERSION_1: &[u8] = &[tag::INTEGER, 1, 1];

/// Signs `content`, attached.
///
/// # Errors
/// The system has no randomness, or the clock is beyond 2049 (`UTCTime`, RFC 5652 §11.3).
pub(crate) fn sign(
    content: &[u8],
    certificate: &Certificate,
    key: &signature::EcdsaKeyPair,
    now: Timestamp,
) -> Result<Vec<u8>, Error> {
    let time = now.strftime("%y%m%d%H%M%SZ").to_string();
    if now.strftime("%Y").to_string().as_str() >= "2050" {
        return Err(Error::Crypto("write this year into a signature"));
    }
    let hash = digest::digest(&digest::SHA256, certificate.der());
    let certificate_id = sequence(&[&element(tag::OCTET_STRING, &[hash.as_ref()])]);
    let attributes = set_of(
        tag::SET,
        vec![
            attribute(oid::CONTENT_TYPE, oid::DATA),
            attribute(
                oid::MESSAGE_DIGEST,
                &element(
                    tag::OCTET_STRING,
                    &[digest::digest(&digest::SHA256, content).as_ref()],
                ),
            ),
            attribute(oid::SIGNING_TIME, &element(tag::UTC_TIME, &[time.as_bytes()])),
            attribute(
                oid::SIGNING_CERTIFICATE_V2,
                &sequence(&[&sequence(&[&certificate_id])]),
            ),
        ],
    );
    let signature = key
        .sign(&SystemRandom::new(), &attributes)
        .map_err(|_random| Error::Crypto("sign a receipt"))?;

    // RFC 5652 §5.4: signed as SET OF, carried as [0] IMPLICIT.
    let carried = retagged(&attributes, CONTEXT_0);
    let signer = sequence(&[
        VERSION_1,
        certificate.id(),
        oid::SHA256,
        &carried,
        oid::ECDSA_SHA256,
        &element(tag::OCTET_STRING, &[signature.as_ref()]),
    ]);
    let content = element(CONTEXT_0, &[&element(tag::OCTET_STRING, &[content])]);
    let data = sequence(&[
        VERSION_1,
        &set_of(tag::SET, vec![oid::SHA256.to_vec()]),
        &sequence(&[oid::DATA, &content]),
        &element(CONTEXT_0, &[certificate.der()]),
        &set_of(tag::SET, vec![signer]),
    ]);
    Ok(sequence(&[oid::SIGNED_DATA, &element(CONTEXT_0, &[&data])]))
}

/// Verifies a detached signature over `content` and gives the signer's certificate, whose issuer is for the
/// caller to judge.
pub(crate) fn verify_detached(signature: &[u8], content: &[u8]) -> Result<Certificate, Refusal> {
    let mut outer = Reader::new(signature, "the seal");
    let mut info = outer.enter(tag::SEQUENCE)?;
    outer.end()?;
    info.exactly(oid::SIGNED_DATA, "is not SignedData")?;
    let mut explicit = info.enter(CONTEXT_0)?;
    info.end()?;
    let mut data = explicit.enter(tag::SEQUENCE)?;
    explicit.end()?;

    data.exactly(VERSION_1, "is not of version 1")?;
    let mut digests = data.enter(tag::SET)?;
    sha256(&mut digests)?;
    digests.end()?;
    data.exactly(&sequence(&[oid::DATA]), "is not detached over id-data")?;
    let mut certificates = data.enter(CONTEXT_0)?;
    let certificate = Certificate::parse(certificates.one(tag::SEQUENCE)?.whole)?;
    certificates.end()?;
    let mut signers = data.enter(tag::SET)?;
    data.end()?;
    let signer = signers.enter(tag::SEQUENCE)?;
    signers.end()?;
    verify_signer(signer, &certificate, content)?;
    Ok(certificate)
}

fn verify_signer(mut signer: Reader<'_>, certificate: &Certificate, content: &[u8]) -> Result<(), Refusal> {
    signer.exactly(VERSION_1, "is not of version 1")?;
    signer.exactly(certificate.id(), "names another signer than its certificate")?;
    sha256(&mut signer)?;
    let attributes = signer.one(CONTEXT_0)?;
    signer.exactly(oid::ECDSA_SHA256, "is not signed with ECDSA and SHA-256")?;
    let value = signer.one(tag::OCTET_STRING)?.content;
    signer.end()?;

    verify_attributes(attributes.content, certificate, content)?;
    let signed = retagged(attributes.whole, tag::SET);
    signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, certificate.public_key())
        .verify(&signed, value)
        .map_err(|_signature| "the seal's signature does not verify".into())
}

/// Exactly the four attributes of the profile, each with one value, in the order of DER.
fn verify_attributes(attributes: &[u8], certificate: &Certificate, content: &[u8]) -> Result<(), Refusal> {
    let mut reader = Reader::new(attributes, "the seal");
    let mut seen = Vec::new();
    let mut before: &[u8] = &[];
    while reader.peek().is_some() {
        let whole = reader.one(tag::SEQUENCE)?;
        if whole.whole <= before {
            return Err("the seal's attributes are not in the order of DER".into());
        }
        before = whole.whole;
        let mut attribute = Reader::new(whole.content, "an attribute of the seal");
        let name = attribute.one(tag::OID)?.whole;
        let mut values = attribute.enter(tag::SET)?;
        attribute.end()?;
        match name {
            oid::CONTENT_TYPE => values.exactly(oid::DATA, "says another content type")?,
            oid::MESSAGE_DIGEST => {
                let digest = digest::digest(&digest::SHA256, content);
                let expected = element(tag::OCTET_STRING, &[digest.as_ref()]);
                values.exactly(&expected, "says another digest than that of the manifest")?;
            }
            oid::SIGNING_TIME => {
                values.one(tag::UTC_TIME)?;
            }
            oid::SIGNING_CERTIFICATE_V2 => {
                verify_certificate_id(values.one(tag::SEQUENCE)?.content, certificate)?;
            }
            _ => return Err("the seal has an attribute outside the profile".into()),
        }
        values.end()?;
        if seen.contains(&name) {
            return Err("the seal has an attribute twice".into());
        }
        seen.push(name);
    }
    if seen.len() == 4 {
        Ok(())
    } else {
        Err("the seal lacks an attribute of CAdES-B".into())
    }
}

/// `SigningCertificateV2`, RFC 5035 §3: one `ESSCertIDv2` of the signer's certificate by SHA-256.
fn verify_certificate_id(value: &[u8], certificate: &Certificate) -> Result<(), Refusal> {
    let mut signing = Reader::new(value, "the seal's signing-certificate-v2");
    let mut ids = signing.enter(tag::SEQUENCE)?;
    signing.end()?;
    let mut id = ids.enter(tag::SEQUENCE)?;
    ids.end()?;
    let hash = digest::digest(&digest::SHA256, certificate.der());
    id.exactly(
        &element(tag::OCTET_STRING, &[hash.as_ref()]),
        "names another certificate",
    )?;
    if id.peek().is_some() {
        // IssuerSerial: GeneralNames with one directoryName ([4]), and the serial number; the same two
        // elements as in IssuerAndSerialNumber.
        let mut own = Reader::new(certificate.id(), "the seal's certificate");
        let mut own = own.enter(tag::SEQUENCE)?;
        let (issuer, serial) = (own.any()?.whole, own.any()?.whole);
        let names = sequence(&[&element(0xa4, &[issuer])]);
        id.exactly(
            &sequence(&[&names, serial]),
            "names another issuer or serial number",
        )?;
    }
    id.end()
}

fn sha256(reader: &mut Reader<'_>) -> Result<(), Refusal> {
    let algorithm = reader.one(tag::SEQUENCE)?.whole;
    if algorithm == oid::SHA256 || algorithm == oid::SHA256_NULL {
        Ok(())
    } else {
        Err(reader.refusal("has another digest than SHA-256"))
    }
}

fn attribute(name: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[name, &element(tag::SET, &[value])])
}

/// The same element under another tag of one octet.
fn retagged(element: &[u8], tag: u8) -> Vec<u8> {
    std::iter::once(tag)
        .chain(element.iter().skip(1).copied())
        .collect()
}
