//! What CERT refuses, each with its reason. Every parcel but the first differs from it in one thing.

mod support;

use anyhow::Result;
use recueil_cert::add_station;
use serde_json::{Value, json};
use support::der::{Content, Node};
use support::parcel::{self, Draft, Entry, zip};
use support::{Cert, Station, dossier_id, openssl, read_receipt};

/// Sends each parcel as a dossier of its own and compares the reasons.
async fn check(cases: impl IntoIterator<Item = (&'static str, Change)>) -> Result<()> {
    let cert = Cert::start().await?;
    let (station, trust) = (cert.station()?, cert.path("station/trust"));
    for (number, (expected, change)) in (1..).zip(cases) {
        let id = dossier_id(number);
        let mut draft = Draft::new(&id, &cert.path("station"))?;
        let parcel = match change {
            Change::Envelope(change) => {
                let (mut root, _rest) = Node::parse(&draft.seal()?)?;
                change(&mut root)?;
                root.encode()
            }
            Change::Bytes(change) => change(draft.seal()?),
            Change::Dossier(change) => {
                change(&mut draft.dossier);
                draft.seal()?
            }
            Change::Draft(change) => change(&mut draft)?,
            Change::Zip(change) => draft.envelope(&change(draft.entries()?))?,
        };
        let sent = station.send(&id, &parcel).await?;
        let said = read_receipt(&sent.end, &trust)?;
        assert_eq!(said["type"], "REJECT", "{expected}: {said}");
        let reason = said["reason"].as_str().unwrap_or_default();
        assert!(
            reason.contains(expected),
            "case {number}: {reason:?} in place of {expected:?}"
        );
        assert!(said.get("demande").is_none() && said.get("manifest_sha256").is_none());
    }
    cert.server.stop().await;
    Ok(())
}

/// How a parcel is spoilt, and where.
enum Change {
    /// The elements of the CMS file.
    Envelope(fn(&mut Node) -> Result<()>),
    /// The bytes of the CMS file.
    Bytes(fn(Vec<u8>) -> Vec<u8>),
    /// `dossier.json`, before it is signed.
    Dossier(fn(&mut Value)),
    /// Anything, up to the parcel.
    Draft(fn(&mut Draft) -> Result<Vec<u8>>),
    /// The container, before it is encrypted.
    Zip(fn(Vec<Entry>) -> Vec<u8>),
}

/// Paths in the CMS file: ContentInfo, [0], AuthEnvelopedData.
const RECIPIENTS: &[usize] = &[1, 0, 1];
const RECIPIENT: &[usize] = &[1, 0, 1, 0];
const GCM: &[usize] = &[1, 0, 2, 1, 1];
const MAC: &[usize] = &[1, 0, 3];

#[tokio::test]
async fn an_envelope_outside_the_profile_is_refused_before_any_key_is_used() {
    use Change::{Bytes, Envelope};
    let cases = [
        (
            "tag is not of 16 bytes",
            Envelope(|cms| Ok(cms.at(MAC)?.raw()?.truncate(12))),
        ),
        (
            "tag is not of 16 bytes",
            Envelope(|cms| Ok(cms.at(MAC)?.raw()?.truncate(4))),
        ),
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
            Envelope(|cms| {
                cms.at(&[1, 0])?.members()?.push(Node::nodes(0xa2, Vec::new()));
                Ok(())
            }),
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
        (
            "not of version 0",
            Envelope(|cms| Ok(cms.at(&[1, 0, 0])?.raw()?[0] = 1)),
        ),
        (
            "AES-256-GCM",
            // aes256-CBC
            Envelope(|cms| Ok(*cms.at(&[1, 0, 2, 1, 0])?.raw()?.last_mut().unwrap() = 42)),
        ),
        (
            "ICVlen is not written out",
            Envelope(|cms| {
                cms.at(GCM)?.members()?.truncate(1);
                Ok(())
            }),
        ),
        (
            "ICVlen",
            Envelope(|cms| Ok(cms.at(GCM)?.at(&[1])?.raw()?[0] = 12)),
        ),
        (
            "nonce is not of 12 bytes",
            Envelope(|cms| Ok(cms.at(GCM)?.at(&[0])?.raw()?.push(0))),
        ),
        (
            "id-data",
            Envelope(|cms| Ok(cms.at(&[1, 0, 2, 0])?.raw()?[8] = 2)),
        ),
        (
            "no recipient",
            Envelope(|cms| Ok(cms.at(RECIPIENTS)?.members()?.clear())),
        ),
        (
            "order of DER",
            Envelope(|cms| Ok(cms.at(RECIPIENTS)?.members()?.reverse())),
        ),
        (
            "order of DER",
            Envelope(|cms| {
                let recipients = cms.at(RECIPIENTS)?.members()?;
                recipients.push(recipients[1].clone());
                Ok(())
            }),
        ),
        (
            "not of version 3",
            Envelope(|cms| Ok(cms.at(RECIPIENT)?.at(&[0])?.raw()?[0] = 2)),
        ),
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
            Envelope(|cms| Ok(cms.at(RECIPIENT)?.at(&[2, 0])?.raw()?[5] = 1)),
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
            Envelope(|cms| Ok(cms.at(RECIPIENT)?.at(&[1, 0, 1])?.raw()?[1] = 2)),
        ),
        (
            "wrapped key",
            Envelope(|cms| Ok(cms.at(RECIPIENT)?.at(&[3, 0, 1])?.raw()?.truncate(32))),
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
    use Change::{Draft, Envelope};
    let cases = [
        (
            "was changed",
            Envelope(|cms| Ok(cms.at(&[1, 0, 2, 2])?.raw()?[100] ^= 1)),
        ),
        ("was changed", Envelope(|cms| Ok(cms.at(MAC)?.raw()?[0] ^= 1))),
        (
            "was changed",
            Envelope(|cms| Ok(cms.at(GCM)?.at(&[0])?.raw()?[0] ^= 1)),
        ),
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

#[tokio::test]
async fn a_container_outside_the_profile_is_refused() {
    use Change::Zip;
    fn without(mut entries: Vec<Entry>, name: &str) -> Vec<u8> {
        entries.retain(|entry| entry.name != name);
        zip(&entries)
    }
    fn with(mut entries: Vec<Entry>, name: &str) -> Vec<u8> {
        entries.push(Entry::new(name, b"x"));
        zip(&entries)
    }
    /// Changes a byte at this place after the signature of the first local or central header.
    fn header(entries: &[Entry], signature: &[u8; 4], at: usize) -> Vec<u8> {
        let mut zip = zip(entries);
        let start = zip.windows(4).position(|window| window == signature).unwrap();
        zip[start + at] ^= 1;
        zip
    }
    let cases = [
        (
            "two entries of one name",
            Zip(|mut entries| {
                entries.push(entries[1].clone());
                zip(&entries)
            }),
        ),
        (
            "an extra field",
            Zip(|mut entries| {
                entries[1].extra = vec![1, 0, 0, 0];
                zip(&entries)
            }),
        ),
        ("does not list", Zip(|entries| with(entries, "unlisted.png"))),
        ("META-INF", Zip(|entries| with(entries, "META-INF/more.xml"))),
        ("name is not allowed", Zip(|entries| with(entries, "../up.png"))),
        ("name is not allowed", Zip(|entries| with(entries, "/root.png"))),
        ("name is not allowed", Zip(|entries| with(entries, "folder/"))),
        ("name is not allowed", Zip(|entries| with(entries, "pièce.png"))),
        ("is not there", Zip(|entries| without(entries, "dossier.json"))),
        ("is not there", Zip(|entries| without(entries, "photo.png"))),
        (
            "lacks META-INF/signature001.p7s",
            Zip(|entries| without(entries, "META-INF/signature001.p7s")),
        ),
        ("mimetype", Zip(|entries| without(entries, "mimetype"))),
        (
            "mimetype",
            Zip(|mut entries| {
                entries.swap(0, 1);
                zip(&entries)
            }),
        ),
        (
            "another digest",
            Zip(|mut entries| {
                entries[2].bytes.push(0);
                zip(&entries)
            }),
        ),
        ("flags", Zip(|entries| header(&entries, b"PK\x03\x04", 6))),
        ("not stored", Zip(|entries| header(&entries, b"PK\x03\x04", 8))),
        ("date", Zip(|entries| header(&entries, b"PK\x03\x04", 12))),
        ("wrong CRC", Zip(|entries| header(&entries, b"PK\x03\x04", 14))),
        (
            "disagrees with a local header",
            Zip(|entries| header(&entries, b"PK\x01\x02", 16)),
        ),
        (
            "external attributes",
            Zip(|entries| header(&entries, b"PK\x01\x02", 38)),
        ),
        (
            "offset of an entry",
            Zip(|entries| header(&entries, b"PK\x01\x02", 42)),
        ),
        (
            "disagrees with a local header",
            Zip(|entries| header(&entries, b"PK\x01\x02", 46)),
        ),
        (
            "count of entries",
            Zip(|entries| header(&entries, b"PK\x05\x06", 8)),
        ),
        ("after its end", Zip(|entries| [zip(&entries), vec![0]].concat())),
        (
            "after its entries",
            Zip(|entries| [b"x".as_slice(), &zip(&entries)].concat()),
        ),
        ("shorter", Zip(|_entries| b"PK".to_vec())),
        (
            "128 entries",
            Zip(|mut entries| {
                entries.extend((0..128).map(|number| Entry::new(&format!("n{number}"), b"")));
                zip(&entries)
            }),
        ),
    ];
    check(cases).await.unwrap();
}

#[tokio::test]
async fn a_seal_that_is_not_the_stations_is_refused() {
    use Change::{Draft, Zip};
    /// The container with another signature.
    fn signed(draft: &mut parcel::Draft, by: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let mut entries = draft.entries()?;
        let signature = by(&entries[entries.len() - 2].bytes)?;
        entries.last_mut().unwrap().bytes = signature;
        draft.envelope(&zip(&entries))
    }
    /// The container with its signature's elements changed.
    fn edited(draft: &mut parcel::Draft, change: fn(&mut Node) -> Result<()>) -> Result<Vec<u8>> {
        let copy = draft.clone();
        signed(draft, |manifest| {
            let mut cms = Node::parse(&copy.sign(manifest, "seal")?)?.0;
            change(&mut cms)?;
            Ok(cms.encode())
        })
    }
    const SIGNER: &[usize] = &[1, 0, 4, 0];
    let cases = [
        (
            "not one for sealing",
            Draft(|draft| {
                let copy = draft.clone();
                signed(draft, |manifest| copy.sign(manifest, "tls"))
            }),
        ),
        (
            "not issued by the station root",
            Draft(|draft| {
                let other = tempfile::tempdir()?;
                recueil_cert::init(other.path(), "MAIRIE-1", 2)?;
                let theirs = parcel::Draft::new(&dossier_id(1), &other.path().join("station"))?;
                signed(draft, |manifest| theirs.sign(manifest, "seal"))
            }),
        ),
        (
            "another digest than that of the manifest",
            Draft(|draft| {
                let copy = draft.clone();
                signed(draft, |_manifest| copy.sign(b"something else", "seal"))
            }),
        ),
        (
            "signature does not verify",
            // A byte within r, so that the DER stays what it is.
            Draft(|draft| edited(draft, |cms| Ok(cms.at(SIGNER)?.at(&[5])?.raw()?[10] ^= 1))),
        ),
        (
            "signature does not verify",
            // The signing-time, which only the signature protects.
            Draft(|draft| {
                edited(draft, |cms| {
                    let attributes = cms.at(SIGNER)?.at(&[3])?.members()?;
                    let time = attributes.iter_mut().find_map(|attribute| {
                        let time = attribute.at(&[1, 0]).ok()?;
                        (time.tag == 0x17).then_some(time)
                    });
                    Ok(time.unwrap().raw()?[11] ^= 1)
                })
            }),
        ),
        (
            "lacks an attribute",
            Draft(|draft| {
                edited(draft, |cms| {
                    cms.at(SIGNER)?.at(&[3])?.members()?.pop();
                    Ok(())
                })
            }),
        ),
        (
            "outside the profile",
            Draft(|draft| {
                edited(draft, |cms| {
                    cms.at(SIGNER)?.members()?.push(Node::nodes(0xa1, Vec::new()));
                    Ok(())
                })
            }),
        ),
        (
            // With S/MIME capabilities, as openssl signs by itself.
            "attribute outside the profile",
            Draft(|draft| {
                let copy = draft.clone();
                signed(draft, |manifest| copy.sign_with(manifest, "seal", &["-cades"]))
            }),
        ),
        (
            "lacks an attribute",
            Draft(|draft| {
                let copy = draft.clone();
                signed(draft, |manifest| {
                    copy.sign_with(manifest, "seal", &["-nosmimecap"])
                })
            }),
        ),
        (
            "not detached",
            Draft(|draft| {
                let copy = draft.clone();
                signed(draft, |manifest| {
                    copy.sign_with(manifest, "seal", &["-cades", "-nosmimecap", "-nodetach"])
                })
            }),
        ),
        (
            "bytes after its end",
            Zip(|mut entries| {
                entries.last_mut().unwrap().bytes.push(0);
                zip(&entries)
            }),
        ),
        (
            "XML",
            Zip(|mut entries| {
                let manifest = entries.len() - 2;
                entries[manifest].bytes.extend(b"<!-- -->");
                zip(&entries)
            }),
        ),
    ];
    check(cases).await.unwrap();
}

#[tokio::test]
async fn a_dossier_that_disagrees_with_its_parcel_is_refused() {
    use Change::{Dossier, Draft};
    let cases = [
        (
            "another dossier than the one that was announced",
            Dossier(|dossier| {
                dossier["dossier"] = json!(dossier_id(999));
                dossier["content"]["id"] = json!(dossier_id(999));
            }),
        ),
        (
            "names two dossiers",
            Dossier(|dossier| dossier["dossier"] = json!(dossier_id(999))),
        ),
        (
            "another station",
            Dossier(|dossier| dossier["station"] = json!("MAIRIE-2")),
        ),
        (
            "another schema",
            Dossier(|dossier| dossier["schema"] = json!("recueil-dossier-2")),
        ),
        (
            "uid",
            Dossier(|dossier| dossier["content"]["owner_uid"] = json!(1000)),
        ),
        (
            "recueil-dossier-1: line",
            Dossier(|dossier| dossier["more"] = json!(1)),
        ),
        (
            "recueil-dossier-1: line",
            Dossier(|dossier| dossier["content"]["items"]["photo"]["more"] = json!(1)),
        ),
        (
            "recueil-dossier-1: line",
            Dossier(|dossier| dossier["sequence"] = json!(-1)),
        ),
        (
            "recueil-dossier-1: line",
            Draft(|draft| {
                // A member that stands twice, which no serde_json::Value can hold.
                let mut entries = draft.entries()?;
                let json = String::from_utf8(entries[1].bytes.clone())?;
                let twice = json.replace("\"taille\":{", "\"nom-naissance\":{");
                assert_ne!(json, twice);
                entries[1].bytes = twice.into_bytes();
                let covered: Vec<_> = entries[1..entries.len() - 2]
                    .iter()
                    .map(|entry| (entry.name.clone(), entry.bytes.clone()))
                    .collect();
                let manifest = parcel::manifest(&covered)?.into_bytes();
                let place = entries.len() - 2;
                entries[place + 1].bytes = draft.sign(&manifest, "seal")?;
                entries[place].bytes = manifest;
                draft.envelope(&zip(&entries))
            }),
        ),
        (
            "deposit names no demande",
            Dossier(|dossier| dossier["content"]["demande"] = json!("DEMANDE123")),
        ),
        (
            "does not know the demande",
            Dossier(|dossier| {
                dossier["content"]["demande"] = json!("DEMANDE123");
                dossier["content"]["kind"] = json!("complement");
            }),
        ),
        (
            "finger",
            Dossier(|dossier| dossier["content"]["missing_fingers"] = json!({"13": "bandaged"})),
        ),
        (
            "another length",
            Dossier(|dossier| dossier["content"]["items"]["photo"]["len_bytes"] = json!(1)),
        ),
        (
            "another digest",
            Dossier(|dossier| dossier["content"]["items"]["photo"]["sha256"] = json!(support::sha256(b""))),
        ),
        (
            "the container lacks",
            Dossier(|dossier| dossier["content"]["items"]["photo"]["media_type"] = json!("image/jpeg")),
        ),
        (
            "another name than its own",
            Dossier(|dossier| dossier["content"]["items"]["photo"]["name"] = json!("page-1")),
        ),
        (
            "does not know",
            Dossier(|dossier| {
                dossier["content"]["items"]
                    .as_object_mut()
                    .unwrap()
                    .remove("photo");
            }),
        ),
        (
            "not of its media type",
            Draft(|draft| {
                draft.items[0].1[0] = 0;
                let bytes = draft.items[0].1.clone();
                draft.dossier["content"]["items"]["photo"]["sha256"] = json!(support::sha256(&bytes));
                draft.seal()
            }),
        ),
    ];
    check(cases).await.unwrap();
}

#[tokio::test]
async fn a_parcel_of_another_station_is_refused() {
    let cert = Cert::start().await.unwrap();
    let (other_dir, trust) = (cert.path("other"), cert.path("station/trust"));
    add_station(cert.dir.path(), "MAIRIE-2", &other_dir, 2).unwrap();
    let other = Station::new(&other_dir, &trust, cert.server.addr()).unwrap();

    let parcel = Draft::new(&dossier_id(1), &cert.path("station"))
        .unwrap()
        .seal()
        .unwrap();
    let sent = other.send(&dossier_id(1), &parcel).await.unwrap();
    let said = read_receipt(&sent.end, &trust).unwrap();
    assert!(
        said["reason"].as_str().unwrap().contains("another station"),
        "{said}"
    );
    assert_eq!(said["station"], "MAIRIE-2");
    cert.server.stop().await;
}

#[tokio::test]
async fn a_refusal_can_be_ordered_and_a_repeated_sequence_is_an_alarm() {
    let cert = Cert::start().await.unwrap();
    let (station, trust) = (cert.station().unwrap(), cert.path("station/trust"));
    cert.order(json!({"do": "refuse-next"})).await.unwrap();
    let mut ends = Vec::new();
    for number in 1..=3 {
        let parcel = Draft::new(&dossier_id(number), &cert.path("station"))
            .unwrap()
            .seal()
            .unwrap();
        let sent = station.send(&dossier_id(number), &parcel).await.unwrap();
        ends.push(read_receipt(&sent.end, &trust).unwrap()["type"].clone());
    }
    assert_eq!(ends, ["REJECT", "R2", "R2"]);
    let list = cert.order(json!({"do": "list"})).await.unwrap();
    let states: Vec<_> = list["dossiers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dossier| &dossier["state"])
        .collect();
    assert_eq!(states, ["refused", "ingested", "ingested"]);
    assert_eq!(list["alarms"].as_array().unwrap().len(), 1);
    cert.server.stop().await;
}

/// The parcel maker of these tests is itself judged, by openssl and by python.
#[test]
fn the_good_parcel_opens_with_tools_of_others() {
    let dir = tempfile::tempdir().unwrap();
    recueil_cert::init(dir.path(), "MAIRIE-1", 2).unwrap();
    let draft = Draft::new(&dossier_id(1), &dir.path().join("station")).unwrap();
    for recipient in ["encryption", "escrow"] {
        let path = |ending: &str| dir.path().join(format!("cert/{recipient}.{ending}"));
        let key = path("key").to_string_lossy().into_owned();
        let arguments = [
            "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", &key, "-recip",
        ];
        let plain = openssl(&arguments, &[&path("crt")], &draft.seal().unwrap()).unwrap();
        let zip_path = dir.path().join("plain.asice");
        std::fs::write(&zip_path, plain).unwrap();
        let python = std::process::Command::new("python3")
            .args(["-c", "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; print(len(z.namelist()))"])
            .arg(&zip_path)
            .output()
            .unwrap();
        assert_eq!(python.stdout, b"6\n", "{python:?}");
    }
}

/// Elements that are only taken apart and put together again are the same bytes.
#[test]
fn the_der_of_these_tests_changes_only_what_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    recueil_cert::init(dir.path(), "MAIRIE-1", 2).unwrap();
    let parcel = Draft::new(&dossier_id(1), &dir.path().join("station"))
        .unwrap()
        .seal()
        .unwrap();
    let (root, rest) = Node::parse(&parcel).unwrap();
    assert!(rest.is_empty());
    assert!(matches!(root.content, Content::Nodes(_)));
    assert_eq!(root.encode(), parcel);
}
