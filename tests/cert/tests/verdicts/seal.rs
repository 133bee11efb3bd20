//! The station's signature.

use super::*;

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
            Draft(|draft| {
                edited(draft, |cms| {
                    cms.at(SIGNER)?.at(&[5])?.raw()?[10] ^= 1;
                    Ok(())
                })
            }),
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
                    time.unwrap().raw()?[11] ^= 1;
                    Ok(())
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
