//! The outside: CMS.

use super::*;

/// Paths from `ContentInfo` through `[0]` into `AuthEnvelopedData`.
const RECIPIENTS: &[usize] = &[1, 0, 1];
const RECIPIENT: &[usize] = &[1, 0, 1, 0];
const GCM: &[usize] = &[1, 0, 2, 1, 1];
const MAC: &[usize] = &[1, 0, 3];

#[tokio::test]
async fn an_envelope_outside_the_profile_is_refused_before_any_key_is_used() {
    use Change::{Bytes, Envelope, Members, Raw};
    let cases = [
        ("tag is not of 16 bytes", Raw(MAC, |bytes| bytes.truncate(12))),
        ("tag is not of 16 bytes", Raw(MAC, |bytes| bytes.truncate(4))),
        // id-envelopedData in place of id-ct-authEnvelopedData: the downgrade of an AEAD to nothing.
        (
            "not AuthEnvelopedData",
            Envelope(|cms| {
                *cms.at(&[0])? = Node::bytes(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 3]);
                Ok(())
            }),
        ),
        (
            "has authAttrs",
            Envelope(|cms| {
                let oid = Node::bytes(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3]);
                let value = Node::nodes(
                    0x31,
                    vec![Node::bytes(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1])],
                );
                let attributes = Node::nodes(0xa1, vec![Node::nodes(0x30, vec![oid, value])]);
                cms.at(&[1, 0])?.members()?.insert(3, attributes);
                Ok(())
            }),
        ),
        (
            "outside the profile",
            Members(&[1, 0], |nodes| nodes.push(Node::nodes(0xa2, Vec::new()))),
        ),
        (
            "tag 0xa0 in place of",
            Envelope(|cms| {
                cms.at(&[1, 0])?
                    .members()?
                    .insert(1, Node::nodes(0xa0, Vec::new()));
                Ok(())
            }),
        ),
        ("not of version 0", Raw(&[1, 0, 0], |bytes| bytes[0] = 1)),
        (
            "AES-256-GCM",
            // aes256-CBC
            Raw(&[1, 0, 2, 1, 0], |bytes| *bytes.last_mut().unwrap() = 42),
        ),
        (
            "ICVlen is not written out",
            Members(GCM, |nodes| nodes.truncate(1)),
        ),
        ("ICVlen", Raw(&[1, 0, 2, 1, 1, 1], |bytes| bytes[0] = 12)),
        (
            "nonce is not of 12 bytes",
            Raw(&[1, 0, 2, 1, 1, 0], |bytes| bytes.push(0)),
        ),
        ("id-data", Raw(&[1, 0, 2, 0], |bytes| bytes[8] = 2)),
        ("no recipient", Members(RECIPIENTS, Vec::clear)),
        ("order of DER", Members(RECIPIENTS, |nodes| nodes.reverse())),
        (
            "order of DER",
            Envelope(|cms| {
                let recipients = cms.at(RECIPIENTS)?.members()?;
                recipients.push(recipients[1].clone());
                Ok(())
            }),
        ),
        ("not of version 3", Raw(&[1, 0, 1, 0, 0], |bytes| bytes[0] = 2)),
        (
            "ukm",
            Envelope(|cms| {
                let ukm = Node::nodes(0xa1, vec![Node::bytes(4, b"ukm")]);
                cms.at(RECIPIENT)?.members()?.insert(2, ukm);
                Ok(())
            }),
        ),
        (
            "key agreement",
            // dhSinglePass-stdDH-sha256kdf-scheme
            Raw(&[1, 0, 1, 0, 2, 0], |bytes| bytes[5] = 1),
        ),
        (
            "originator key",
            Envelope(|cms| {
                let algorithm = cms.at(RECIPIENT)?.at(&[1, 0, 0])?;
                algorithm.members()?.push(Node::bytes(5, b""));
                Ok(())
            }),
        ),
        (
            "uncompressed point",
            Raw(&[1, 0, 1, 0, 1, 0, 1], |bytes| bytes[1] = 2),
        ),
        (
            "wrapped key",
            Raw(&[1, 0, 1, 0, 3, 0, 1], |bytes| bytes.truncate(32)),
        ),
        (
            "bytes after its end",
            Bytes(|mut parcel| {
                parcel.push(0);
                parcel
            }),
        ),
        (
            "shorter than it says",
            Bytes(|mut parcel| {
                parcel.pop();
                parcel
            }),
        ),
        (
            "not DER",
            Bytes(|parcel| [&[0x30, 0x80], &parcel[4..], &[0, 0]].concat()),
        ),
        ("in place of", Bytes(|_parcel| b"-----BEGIN CMS-----".to_vec())),
    ];
    check(cases).await.unwrap();
}

#[tokio::test]
async fn a_changed_byte_or_another_recipient_is_refused() {
    use Change::{Draft, Envelope, Raw};
    let cases = [
        ("was changed", Raw(&[1, 0, 2, 2], |bytes| bytes[100] ^= 1)),
        ("was changed", Raw(MAC, |bytes| bytes[0] ^= 1)),
        ("was changed", Raw(&[1, 0, 2, 1, 1, 0], |bytes| bytes[0] ^= 1)),
        (
            "no point of P-384",
            Envelope(|cms| {
                for recipient in cms.at(RECIPIENTS)?.members()? {
                    recipient.at(&[1, 0, 1])?.raw()?[50] ^= 1;
                }
                Ok(())
            }),
        ),
        (
            "does not unwrap",
            Envelope(|cms| {
                for recipient in cms.at(RECIPIENTS)?.members()? {
                    recipient.at(&[3, 0, 1])?.raw()?[0] ^= 1;
                }
                Ok(())
            }),
        ),
        (
            "not for this CERT",
            Draft(|draft| {
                let other = tempfile::tempdir()?;
                recueil_cert::init(other.path(), "MAIRIE-1", 2)?;
                let trust = other.path().join("station/trust");
                let plain = zip(&draft.entries()?);
                parcel::envelope(
                    &plain,
                    &[&trust.join("cert-encryption.crt"), &trust.join("escrow.crt")],
                )
            }),
        ),
        (
            "not for this CERT",
            Draft(|draft| {
                // The escrow is left out.
                let mut cms = Node::parse(&draft.seal()?)?.0;
                cms.at(RECIPIENTS)?.members()?.truncate(1);
                Ok(cms.encode())
            }),
        ),
        (
            "other recipients",
            Change::Dossier(|dossier| dossier["recipients"].as_array_mut().unwrap().reverse()),
        ),
    ];
    check(cases).await.unwrap();
}
