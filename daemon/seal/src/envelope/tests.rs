//! Each deviation from the profile is refused by its name. The envelopes here are put together part by part, so
//! that one part can differ; those of `tests/seal` come from `OpenSSL`.

use proptest::prelude::*;

use super::*;

/// The parts of an envelope, each replaceable.
struct Parts {
    content_type: &'static [u8],
    version: Vec<u8>,
    infos: Vec<u8>,
    data_type: &'static [u8],
    algorithm: Vec<u8>,
    content: Vec<u8>,
    between: Vec<u8>,
    mac: Vec<u8>,
    after_mac: Vec<u8>,
    after: Vec<u8>,
}

fn info_with(version: &[u8], ukm: &[u8], agreement: &[u8], point: &[u8], keys: &[u8]) -> Vec<u8> {
    let algorithm = element(SEQUENCE, &[oid::EC_PUBLIC_KEY]);
    let originator = element(CONTEXT_1, &[&algorithm, &element(BIT_STRING, &[&[0], point])]);
    let keys = element(SEQUENCE, &[keys]);
    element(
        CONTEXT_1,
        &[
            version,
            &element(CONTEXT_0, &[&originator]),
            ukm,
            agreement,
            &keys,
        ],
    )
}

fn point() -> Vec<u8> {
    [&[4][..], &[0x11; 96]].concat()
}

fn keys(serial: u8, wrapped_len: usize) -> Vec<u8> {
    let id = element(SEQUENCE, &[&element(SEQUENCE, &[]), &[INTEGER, 1, serial]]);
    element(
        SEQUENCE,
        &[&id, &element(OCTET_STRING, &[&vec![0x22; wrapped_len]])],
    )
}

fn info(serial: u8) -> Vec<u8> {
    info_with(
        VERSION_3,
        &[],
        &key_encryption_algorithm(),
        &point(),
        &keys(serial, WRAPPED_LEN),
    )
}

fn gcm_algorithm(nonce_len: usize, icv: &[u8]) -> Vec<u8> {
    let nonce = element(OCTET_STRING, &[&vec![0x33; nonce_len]]);
    element(SEQUENCE, &[oid::AES_256_GCM, &element(SEQUENCE, &[&nonce, icv])])
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            content_type: oid::AUTH_ENVELOPED_DATA,
            version: VERSION_0.to_vec(),
            infos: element(SET, &[&info(1)]),
            data_type: oid::DATA,
            algorithm: gcm_algorithm(12, ICV_LEN_16),
            content: element(CONTEXT_0_PRIMITIVE, &[b"ciphertext"]),
            between: Vec::new(),
            mac: element(OCTET_STRING, &[&[0x44; 16]]),
            after_mac: Vec::new(),
            after: Vec::new(),
        }
    }
}

impl Parts {
    fn encoded(&self) -> Vec<u8> {
        let encrypted = element(SEQUENCE, &[self.data_type, &self.algorithm, &self.content]);
        let data = element(
            SEQUENCE,
            &[
                &self.version,
                &self.infos,
                &encrypted,
                &self.between,
                &self.mac,
                &self.after_mac,
            ],
        );
        let info = element(SEQUENCE, &[self.content_type, &element(CONTEXT_0, &[&data])]);
        [info, self.after.clone()].concat()
    }
}

fn refused(change: impl FnOnce(&mut Parts)) -> Error {
    let mut parts = Parts::default();
    change(&mut parts);
    match Envelope::parse(&parts.encoded()) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

/// id-envelopedData, 1.2.840.113549.1.7.3: what a downgrade would use.
const ENVELOPED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
const ATTRIBUTES: u8 = 0xa1;

#[test]
fn the_form_of_the_profile_is_read() {
    let bytes = Parts::default().encoded();
    let envelope = Envelope::parse(&bytes).unwrap();
    assert_eq!(&bytes[envelope.content], b"ciphertext");
    assert_eq!((envelope.nonce, envelope.mac), ([0x33; 12], [0x44; 16]));
    assert_eq!(envelope.recipients.len(), 1);
    assert_eq!(envelope.recipients[0].ephemeral_point, point());
}

#[test]
fn the_outer_layers_have_one_form() {
    let check = |change: fn(&mut Parts), what| assert_eq!(refused(change), Error::Profile(what));
    check(|parts| parts.content_type = ENVELOPED_DATA, "AuthEnvelopedData");
    check(|parts| parts.version = VERSION_3.to_vec(), "version 0");
    check(
        |parts| parts.version = [VERSION_0, &element(CONTEXT_0, &[])].concat(),
        "no originatorInfo",
    );
    check(|parts| parts.data_type = oid::SIGNED_DATA, "contentType id-data");
    check(
        |parts| parts.content = element(CONTEXT_0, &[&element(OCTET_STRING, &[b"x"])]),
        "the encrypted content in one piece",
    );
    check(
        |parts| parts.content = Vec::new(),
        "the encrypted content in one piece",
    );
    check(
        |parts| parts.content.extend([5, 0]),
        "nothing after the encrypted content",
    );
    check(|parts| parts.between = element(ATTRIBUTES, &[]), "no authAttrs");
    check(
        |parts| parts.after_mac = element(crate::asn1::CONTEXT_2, &[]),
        "no unauthAttrs",
    );
    check(|parts| parts.after_mac = vec![5, 0], "nothing after the mac");
    check(|parts| parts.after = vec![0], "no byte after the ContentInfo");
}

#[test]
fn gcm_has_one_nonce_length_and_one_tag_length() {
    for len in [0, 1, 4, 8, 12, 13, 15, 17] {
        let error = refused(|parts| parts.mac = element(OCTET_STRING, &[&vec![0; len]]));
        assert_eq!(error, Error::Profile("a mac of 16 bytes"), "mac of {len}");
    }
    for len in [0, 8, 11, 13, 16] {
        let error = refused(|parts| parts.algorithm = gcm_algorithm(len, ICV_LEN_16));
        assert_eq!(error, Error::Profile("a nonce of 12 bytes"), "nonce of {len}");
    }
    for icv in [&[][..], &[INTEGER, 1, 4], &[INTEGER, 1, 12], &[INTEGER, 2, 0, 16]] {
        let error = refused(|parts| parts.algorithm = gcm_algorithm(12, icv));
        assert_eq!(error, Error::Profile("ICVlen 16, written out"), "{icv:?}");
    }
    let cbc = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
    let error =
        refused(|parts| parts.algorithm = element(SEQUENCE, &[cbc, &element(OCTET_STRING, &[&[0; 16]])]));
    assert_eq!(error, Error::Profile("id-aes256-GCM"));
}

#[test]
fn a_recipient_has_one_form() {
    let agreement = key_encryption_algorithm();
    let check = |info: Vec<u8>, what| {
        let error = refused(|parts| parts.infos = element(SET, &[&info]));
        assert_eq!(error, Error::Profile(what));
    };
    let with = |version: &[u8], ukm: &[u8], agreement: &[u8], point: &[u8], keys: &[u8]| {
        info_with(version, ukm, agreement, point, keys)
    };
    let ukm = element(CONTEXT_1, &[&element(OCTET_STRING, &[b"u"])]);
    let good = keys(1, WRAPPED_LEN);
    check(
        with(VERSION_0, &[], &agreement, &point(), &good),
        "KeyAgreeRecipientInfo of version 3",
    );
    check(with(VERSION_3, &ukm, &agreement, &point(), &good), "no ukm");
    // dhSinglePass-stdDH-sha1kdf-scheme, OpenSSL's default, 1.3.133.16.840.63.0.2.
    let sha1 = b"\x06\x09\x2b\x81\x05\x10\x86\x48\x3f\x00\x02";
    let sha1 = element(SEQUENCE, &[sha1, &element(SEQUENCE, &[oid::AES_256_WRAP])]);
    let one_agreement = "dhSinglePass-stdDH-sha384kdf with id-aes256-wrap, no parameters";
    check(with(VERSION_3, &[], &sha1, &point(), &good), one_agreement);
    let with_null = element(SEQUENCE, &[oid::AES_256_WRAP, &[5, 0]]);
    let with_null = element(SEQUENCE, &[oid::ECDH_SHA384_KDF, &with_null]);
    check(with(VERSION_3, &[], &with_null, &point(), &good), one_agreement);
    let mut compressed = point();
    compressed[0] = 2;
    let uncompressed = "an uncompressed point of P-384";
    check(with(VERSION_3, &[], &agreement, &compressed, &good), uncompressed);
    check(
        with(VERSION_3, &[], &agreement, &point()[..49], &good),
        uncompressed,
    );
    check(
        with(VERSION_3, &[], &agreement, &point(), &keys(1, 48)),
        "an encryptedKey of 40 bytes",
    );
    let two_keys = [keys(1, WRAPPED_LEN), keys(2, WRAPPED_LEN)].concat();
    check(
        with(VERSION_3, &[], &agreement, &point(), &two_keys),
        "one recipientEncryptedKey",
    );
    // A KeyTransRecipientInfo (RSA) is a SEQUENCE.
    check(element(SEQUENCE, &[VERSION_0]), "KeyAgreeRecipientInfo");
}

#[test]
fn there_are_one_to_four_recipients_in_order() {
    let check = |serials: &[u8], what| {
        let infos: Vec<Vec<u8>> = serials.iter().map(|serial| info(*serial)).collect();
        let parts: Vec<&[u8]> = infos.iter().map(Vec::as_slice).collect();
        let encoded = Parts {
            infos: element(SET, &parts),
            ..Parts::default()
        }
        .encoded();
        let error = Envelope::parse(&encoded).err();
        assert_eq!(error, what, "{serials:?}");
    };
    let order = Some(Error::Profile("recipients in the order of DER, each once"));
    check(&[1, 2, 3, 4], None);
    check(&[], Some(Error::Profile("a recipient")));
    check(&[1, 2, 3, 4, 5], Some(Error::Profile("at most four recipients")));
    check(&[2, 1], order.clone());
    check(&[1, 1], order);
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(changes in prop::collection::vec((0_usize..400, any::<u8>()), 0..8), keep in 0_usize..400) {
        let mut bytes = Parts::default().encoded();
        for (at, byte) in changes {
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        bytes.truncate(keep);
        if let Ok(envelope) = Envelope::parse(&bytes) {
            prop_assert!(bytes.get(envelope.content).is_some());
        }
    }
}
