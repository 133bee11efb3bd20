//! CAdES-B signatures (ETSI EN 319 122-1) by one signer, ECDSA P-256 with SHA-256: made detached for parcels,
//! verified detached (parcels) and attached (receipts).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use ring::digest::{SHA256, digest};
use ring::rand::SecureRandom;

use crate::asn1::{
    CONTEXT_0, CONTEXT_4, GENERALIZED_TIME, INTEGER, OCTET_STRING, Reader, SEQUENCE, SET, UTC_TIME, element,
    oid, set_of,
};
use crate::certificate::{Certificate, Curve, SignatureAlgorithm};
use crate::{Error, Party, SealingKey};

const VERSION_1: &[u8] = &[INTEGER, 1, 1];
const NULL: &[u8] = &[5, 0];

/// A detached signature over `content`: CMS `SignedData`, DER, with the signer's certificate.
pub(crate) fn sign_detached(
    content: &[u8],
    key: &SealingKey,
    at: Timestamp,
    rng: &dyn SecureRandom,
) -> Result<Vec<u8>, Error> {
    let certificate = key.certificate();
    let (issuer, serial) = certificate.issuer_then_serial()?;
    let attributes = set_of(vec![
        attribute(oid::CONTENT_TYPE, oid::DATA),
        attribute(
            oid::MESSAGE_DIGEST,
            &element(OCTET_STRING, &[digest(&SHA256, content).as_ref()]),
        ),
        attribute(oid::SIGNING_TIME, &encoded_time(at)),
        attribute(oid::SIGNING_CERTIFICATE_V2, &signing_certificate(certificate)?),
    ]);
    // What is signed has the tag of a SET, what is written that of [0] (RFC 5652 section 5.4).
    let signature = key.sign(&attributes, rng)?;
    let attributes = Reader::new(&attributes).read(SET, "signedAttrs")?;

    let digest_algorithm = element(SEQUENCE, &[oid::SHA_256]);
    let signer_info = element(
        SEQUENCE,
        &[
            VERSION_1,
            &element(SEQUENCE, &[issuer, serial]),
            &digest_algorithm,
            &element(CONTEXT_0, &[attributes]),
            &element(SEQUENCE, &[oid::ECDSA_SHA256]),
            &element(OCTET_STRING, &[signature.as_ref()]),
        ],
    );
    let signed_data = element(
        SEQUENCE,
        &[
            VERSION_1,
            &element(SET, &[&digest_algorithm]),
            &element(SEQUENCE, &[oid::DATA]),
            &element(CONTEXT_0, &[certificate.der()]),
            &element(SET, &[&signer_info]),
        ],
    );
    Ok(element(
        SEQUENCE,
        &[oid::SIGNED_DATA, &element(CONTEXT_0, &[&signed_data])],
    ))
}

/// A signature that verifies, made with the certificate that came along. Whether that certificate is believed
/// is another question.
#[derive(Debug)]
pub(crate) struct Verified<'a> {
    /// What is signed, where it came inside.
    pub(crate) content: Option<&'a [u8]>,
    pub(crate) signer: Certificate,
    pub(crate) signing_time: Timestamp,
}

/// Reads and verifies a signature over `detached`, or over the content inside where that is `None`.
///
/// # Errors
/// [`Error::Profile`] naming a deviation, [`Error::Signature`] naming what does not verify, the faults of the
/// certificate.
pub(crate) fn verify<'a>(
    cms: &'a [u8],
    detached: Option<&[u8]>,
    party: Party,
) -> Result<Verified<'a>, Error> {
    let mut file = Reader::new(cms);
    let mut content_info = file.enter(SEQUENCE, "a ContentInfo in DER")?;
    file.finish("no byte after the ContentInfo")?;
    content_info.exact(oid::SIGNED_DATA, "SignedData")?;
    let mut explicit = content_info.enter(CONTEXT_0, "the content of ContentInfo")?;
    content_info.finish("nothing after the content of ContentInfo")?;
    let mut data = explicit.enter(SEQUENCE, "SignedData as a SEQUENCE")?;
    explicit.finish("one SignedData")?;

    data.exact(VERSION_1, "SignedData of version 1")?;
    let mut algorithms = data.enter(SET, "digestAlgorithms")?;
    sha256(algorithms.enter(SEQUENCE, "a digest algorithm")?)?;
    algorithms.finish("one digest algorithm")?;
    let content = encapsulated(data.enter(SEQUENCE, "encapContentInfo")?)?;
    let signed = match (content, detached) {
        (Some(inside), None) => inside,
        (None, Some(beside)) => beside,
        (Some(_), Some(_)) => return Err(Error::Profile("a detached signature")),
        (None, None) => return Err(Error::Profile("an attached signature")),
    };
    let mut certificates = data.enter(CONTEXT_0, "the signer's certificate")?;
    let certificate = certificates.whole(SEQUENCE, "the signer's certificate")?;
    certificates.finish("one certificate")?;
    let mut signers = data.enter(SET, "signerInfos")?;
    data.finish("nothing after signerInfos, no CRL")?;
    let signer_info = signers.enter(SEQUENCE, "a signerInfo")?;
    signers.finish("one signer")?;

    let signer = Certificate::parse(certificate, party)?;
    signer.require_curve(Curve::P256)?;
    let signing_time = verify_signer(signer_info, signed, &signer)?;
    Ok(Verified {
        content,
        signer,
        signing_time,
    })
}

/// `SignerInfo` (RFC 5652 section 5.3); gives the signing time.
fn verify_signer(mut info: Reader<'_>, signed: &[u8], signer: &Certificate) -> Result<Timestamp, Error> {
    info.exact(VERSION_1, "SignerInfo of version 1")?;
    let identifier = info.read(SEQUENCE, "the signer by issuerAndSerialNumber")?;
    if identifier != signer.issuer_and_serial()? {
        return Err(Error::Signature("the certificate inside is not the signer's"));
    }
    sha256(info.enter(SEQUENCE, "the signer's digest algorithm")?)?;
    let attributes_encoded = info.whole(CONTEXT_0, "signedAttrs")?;
    let mut algorithm = info.enter(SEQUENCE, "the signature algorithm")?;
    algorithm.exact(oid::ECDSA_SHA256, "ecdsa-with-SHA256")?;
    algorithm.finish("no parameters of the signature algorithm")?;
    let signature = info.read(OCTET_STRING, "the signature")?;
    info.finish("no unsignedAttrs")?;

    let attributes = Attributes::parse(Reader::new(attributes_encoded).enter(CONTEXT_0, "signedAttrs")?)?;
    if attributes.message_digest != digest(&SHA256, signed).as_ref() {
        return Err(Error::Signature("the content's digest differs"));
    }
    verify_signing_certificate(attributes.signing_certificate, signer)?;
    let (_context_tag, rest) = attributes_encoded
        .split_first()
        .ok_or(Error::Profile("signedAttrs"))?;
    let to_be_signed = [&[SET], rest].concat();
    if signer.verifies(SignatureAlgorithm::EcdsaSha256, &to_be_signed, signature) {
        Ok(attributes.signing_time)
    } else {
        Err(Error::Signature("not made by the key of the certificate"))
    }
}

/// The four attributes of CAdES-B as this profile has them, and no other.
struct Attributes<'a> {
    message_digest: &'a [u8],
    signing_time: Timestamp,
    signing_certificate: Reader<'a>,
}

impl<'a> Attributes<'a> {
    fn parse(mut attributes: Reader<'a>) -> Result<Self, Error> {
        let (mut content_type, mut message_digest) = (None, None);
        let (mut signing_time, mut signing_certificate) = (None, None);
        let mut previous: &[u8] = &[];
        while !attributes.is_empty() {
            let encoded = attributes.whole(SEQUENCE, "a signed attribute")?;
            if encoded <= previous {
                return Err(Error::Profile("signed attributes in the order of DER"));
            }
            previous = encoded;
            let mut attribute = Reader::new(encoded).enter(SEQUENCE, "a signed attribute")?;
            let slot = [
                (oid::CONTENT_TYPE, &mut content_type),
                (oid::MESSAGE_DIGEST, &mut message_digest),
                (oid::SIGNING_TIME, &mut signing_time),
                (oid::SIGNING_CERTIFICATE_V2, &mut signing_certificate),
            ]
            .into_iter()
            .find_map(|(oid, slot)| attribute.exact(oid, "").ok().map(|()| slot))
            .ok_or(Error::Profile("no signed attribute but those of CAdES-B"))?;
            let value = attribute.enter(SET, "a signed attribute's value")?;
            attribute.finish("nothing after a signed attribute's value")?;
            if slot.replace(value).is_some() {
                return Err(Error::Profile("each signed attribute once"));
            }
        }
        let mut content_type = content_type.ok_or(Error::Profile("the attribute content-type"))?;
        content_type.exact(oid::DATA, "content-type id-data")?;
        content_type.finish("one content-type")?;
        let mut digests = message_digest.ok_or(Error::Profile("the attribute message-digest"))?;
        let message_digest = digests.read(OCTET_STRING, "message-digest")?;
        digests.finish("one message-digest")?;
        let mut times = signing_time.ok_or(Error::Profile("the attribute signing-time"))?;
        let signing_time = read_time(&mut times)?;
        times.finish("one signing-time")?;
        let signing_certificate =
            signing_certificate.ok_or(Error::Profile("the attribute signing-certificate-v2"))?;
        Ok(Self {
            message_digest,
            signing_time,
            signing_certificate,
        })
    }
}

fn attribute(oid: &[u8], value: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[oid, &element(SET, &[value])])
}

/// `SigningCertificateV2` (RFC 5035 section 3): SHA-256 as its default has it, issuer and serial number.
fn signing_certificate(certificate: &Certificate) -> Result<Vec<u8>, Error> {
    let (issuer, serial) = certificate.issuer_then_serial()?;
    let directory_name = element(CONTEXT_4, &[issuer]);
    let issuer_serial = element(SEQUENCE, &[&element(SEQUENCE, &[&directory_name]), serial]);
    let hash = element(OCTET_STRING, &[certificate.sha256().as_ref()]);
    let id = element(SEQUENCE, &[&hash, &issuer_serial]);
    Ok(element(SEQUENCE, &[&element(SEQUENCE, &[&id])]))
}

fn verify_signing_certificate(mut values: Reader<'_>, signer: &Certificate) -> Result<(), Error> {
    const WHAT: &str = "signing-certificate-v2 with one SHA-256";
    let mut attribute = values.enter(SEQUENCE, WHAT)?;
    values.finish(WHAT)?;
    let mut ids = attribute.enter(SEQUENCE, WHAT)?;
    attribute.finish(WHAT)?;
    let mut id = ids.enter(SEQUENCE, WHAT)?;
    ids.finish(WHAT)?;
    let hash = id.read(OCTET_STRING, WHAT)?;
    if hash != signer.sha256().as_ref() {
        return Err(Error::Signature(
            "signing-certificate-v2 names another certificate",
        ));
    }
    if id.is_empty() {
        return Ok(());
    }
    let (issuer, serial) = signer.issuer_then_serial()?;
    let directory_name = element(CONTEXT_4, &[issuer]);
    let expected = element(SEQUENCE, &[&element(SEQUENCE, &[&directory_name]), serial]);
    id.exact(
        &expected,
        "signing-certificate-v2 with the signer's issuer and serial number",
    )?;
    id.finish(WHAT)
}

/// `AlgorithmIdentifier` of SHA-256; NULL parameters must be accepted (RFC 5754 section 2).
fn sha256(mut algorithm: Reader<'_>) -> Result<(), Error> {
    algorithm.exact(oid::SHA_256, "SHA-256")?;
    if !algorithm.is_empty() {
        algorithm.exact(NULL, "SHA-256 without parameters")?;
    }
    algorithm.finish("SHA-256 without parameters")
}

fn encapsulated(mut info: Reader<'_>) -> Result<Option<&[u8]>, Error> {
    info.exact(oid::DATA, "eContentType id-data")?;
    if info.is_empty() {
        return Ok(None);
    }
    let mut explicit = info.enter(CONTEXT_0, "eContent")?;
    info.finish("nothing after eContent")?;
    let content = explicit.read(OCTET_STRING, "eContent in one piece")?;
    explicit.finish("one eContent")?;
    Ok(Some(content))
}

/// Time (RFC 5652 section 11.3): `UTCTime` from 1950 to 2049, else `GeneralizedTime`, to the second.
fn encoded_time(at: Timestamp) -> Vec<u8> {
    let time = Offset::UTC.to_datetime(at);
    if (1950..2050).contains(&time.year()) {
        element(UTC_TIME, &[time.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()])
    } else {
        element(
            GENERALIZED_TIME,
            &[time.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()],
        )
    }
}

fn read_time(times: &mut Reader<'_>) -> Result<Timestamp, Error> {
    const WHAT: &str = "signing-time to the second, in Z";
    let is_short = times.is_at(UTC_TIME);
    let text = times.read(if is_short { UTC_TIME } else { GENERALIZED_TIME }, WHAT)?;
    parsed_time(text, is_short).ok_or(Error::Profile(WHAT))
}

fn parsed_time(text: &[u8], is_short: bool) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z")?;
    let (year, rest) = digits.split_at_checked(if is_short { 2 } else { 4 })?;
    let pairs: Vec<i8> = rest.chunks(2).map(number).collect::<Option<_>>()?;
    let [month, day, hour, minute, second] = pairs.try_into().ok()?;
    let year = if let [_, _] = year {
        let year = i16::from(number(year)?);
        year + if year < 50 { 2000 } else { 1900 }
    } else {
        let (century, year) = year.split_at_checked(2)?;
        i16::from(number(century)?) * 100 + i16::from(number(year)?)
    };
    let is_in_its_form = is_short || !(1950..2050).contains(&year);
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let time = Offset::UTC.to_timestamp(time).ok()?;
    is_in_its_form.then_some(time)
}

/// Two digits.
fn number(pair: &[u8]) -> Option<i8> {
    let [tens, ones] = pair else { return None };
    let digit = |byte: &u8| {
        let value = byte.checked_sub(b'0').filter(|value| *value < 10)?;
        i8::try_from(value).ok()
    };
    Some(digit(tens)? * 10 + digit(ones)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_input_makes_it_panic(inside in prop::collection::vec(any::<u8>(), 0..120)) {
            let data = element(SEQUENCE, &[VERSION_1, &inside]);
            let cms = element(SEQUENCE, &[oid::SIGNED_DATA, &element(CONTEXT_0, &[&data])]);
            prop_assert!(verify(&cms, None, Party::Station).is_err());
            prop_assert!(verify(&inside, None, Party::Station).is_err());
            let mut attributes = Reader::new(&inside);
            while attributes.read(SEQUENCE, "").is_ok() {}
            prop_assert!(Attributes::parse(Reader::new(&inside)).is_err());
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2049-12-31T23:59:59Z",
            "2050-01-01T00:00:00Z",
        ] {
            let at: Timestamp = text.parse().unwrap();
            let encoded = encoded_time(at);
            assert_eq!(read_time(&mut Reader::new(&encoded)), Ok(at));
        }
        let refused = |tag, text: &[u8]| read_time(&mut Reader::new(&element(tag, &[text]))).is_err();
        assert!(refused(UTC_TIME, b"261124110000+0100"));
        assert!(refused(UTC_TIME, b"2611241100Z"));
        assert!(refused(UTC_TIME, b"261324110000Z"));
        assert!(refused(UTC_TIME, b"26112411000\xc3Z"));
        assert!(
            refused(GENERALIZED_TIME, b"20261124110000Z"),
            "UTCTime is due until 2049"
        );
        assert!(refused(GENERALIZED_TIME, b"20501124110000.5Z"));
    }
}
