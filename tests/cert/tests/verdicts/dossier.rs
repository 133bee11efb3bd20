//! `dossier.json`.

use super::*;

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
