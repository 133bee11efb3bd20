//! A parcel and what it is made of: ours, and python's archives.

use recueil_dossier::{Draft, Item, Procedure, sha256_hex};
use recueil_fuzz::pki::{self, STATION, now};
use recueil_seal::{Clock, Recipient, Roots, SealContext, fuzzing as seal};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use crate::{Result, json, opening, put, tool};

pub(crate) fn write() -> Result {
    let keys = pki::pki();
    let trust = pki::dir().join("station/trust");
    let roots = Roots::from_der(&[pki::pem(&trust.join("cert-root.crt"))])?;
    let recipient = |name: &str| Recipient::from_certificate_der(&pki::pem(&trust.join(name)), &roots, now());
    let recipients = [recipient("cert-encryption.crt")?, recipient("escrow.crt")?];
    // One step that a photo completes.
    let text = "procedure = 1\nid = 'photo'\ntitle = 'Photo'\nkind = 'deposit'\nprofile = 'cni'\n[sources]\nnone = 'a test'\n[[step]]\nid = 'photo'\ntype = 'photo'\nrequired = true\nscan_ppi = 600\narea_mm = [130, 150]\n";
    put("procedure", "photo", text.as_bytes())?;
    let procedure = Procedure::parse(text)?;
    let mut draft = Draft::open(&procedure, opening(None)?);
    let pixels = b"\x89PNG\r\n\x1a\n0".to_vec();
    let record: recueil_dossier::ItemRecord = serde_json::from_value(serde_json::json!({
        "name": "photo", "step": "photo", "content": {"type": "face"}, "media_type": "image/png",
        "len_bytes": pixels.len(), "sha256": sha256_hex(&pixels),
        "criteria": [{"code": "print-width-mm", "value": 35.1, "threshold": 34.0, "pass": true}],
        "provenance": {"source": {"vendor": "v", "model": "m", "serial": "s", "plugin": "p", "plugin_version": "1"},
            "agent": "agent.dupont", "captured_at": now(), "profile_sha256": sha256_hex(b""), "analyser": "1"},
    }))?;
    draft.items.insert(record.name.clone(), record.clone());
    json("draft-json", "photo", &draft)?;
    let item = Item {
        record,
        payload: Zeroizing::new(pixels),
    };
    let dossier = draft
        .finish(&procedure, vec![item])
        .map_err(|_unfinished| "unfinished")?;
    let station = STATION.parse()?;
    let context = SealContext {
        station: &station,
        sequence: 1,
        now: now(),
        clock: Clock::Synchronised,
        application: "seeds 1",
        key: &keys.sealing,
        recipients: &recipients,
    };
    let parcel = recueil_seal::seal(dossier, &context, &SystemRandom::new())?;
    keys.cert.judge(
        &parcel.bytes,
        &recueil_fuzz::targets::cms::dossier().to_string(),
        STATION,
        now(),
    )?;
    let zip = keys.cert.open(&parcel.bytes)?;
    put("zip", "ours", &zip)?;
    put("container", "ours", &zip)?;
    for (name, data) in seal::zip(&zip)? {
        match name {
            "dossier.json" => {
                put("dossier-json", "ours", data)?;
                // In the order of another writer, with blanks.
                let sorted = tool(
                    "python3",
                    &[
                        "-c",
                        "import json,sys;json.dump(json.load(sys.stdin),sys.stdout,indent=1,sort_keys=True)",
                    ],
                    data,
                )?;
                put("dossier-json", "python", &sorted)?;
            }
            "META-INF/ASiCManifest001.xml" => put("asic-manifest", "ours", data)?,
            _ => {}
        }
    }
    let manifest = "<a:ASiCManifest xmlns:a='http://uri.etsi.org/02918/v1.2.1#' xmlns:d='http://www.w3.org/2000/09/xmldsig#'><a:SigReference URI='META-INF/signature001.p7s'/><a:DataObjectReference URI='dossier.json'><d:DigestMethod Algorithm='http://www.w3.org/2001/04/xmlenc#sha256'/><d:DigestValue>RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=</d:DigestValue></a:DataObjectReference></a:ASiCManifest>";
    put("asic-manifest", "covers", manifest.as_bytes())?;
    let python = "import zipfile,sys,io\nb=io.BytesIO()\nz=zipfile.ZipFile(b,'w')\nfor n in('mimetype','a/b'):\n i=zipfile.ZipInfo(n);i.create_system=0;i.external_attr=0;z.writestr(i,n)\nz.close()\nsys.stdout.buffer.write(b.getvalue())";
    put("zip", "python", &tool("python3", &["-c", python], b"")?)?;
    let deflated = python.replace("b,'w'", "b,'w',zipfile.ZIP_DEFLATED");
    put(
        "zip",
        "python-deflated",
        &tool("python3", &["-c", &deflated], b"")?,
    )
}
