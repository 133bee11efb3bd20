//! Names, numbers and what a code says.

use recueil_fuzz::targets::cms::dossier;

use crate::{Result, put};

pub(crate) fn write() -> Result {
    let id = dossier().to_string();
    for (index, name) in [
        id.as_str(),
        "fingerprint-02",
        "2026AB000042",
        "VALID12345",
        "in-instruction",
        "fp4.SN0001.sock",
        "agent.dupont@x",
    ]
    .into_iter()
    .enumerate()
    {
        put("names", &index.to_string(), name.as_bytes())?;
        put("bus-names", &index.to_string(), name.as_bytes())?;
    }
    for (name, text) in [
        ("number", "VALID12345"),
        ("address", "https://predemande.example/cni/VALID12345"),
        ("query", "https://x.example/?type=cni&numero=valid12345#top"),
        ("none", "javascript://x/VALID12345"),
        ("two", "https://x.example/VALID12345/VALID54321"),
    ] {
        put("qr-text", name, text.as_bytes())?;
        put("number", name, text.as_bytes())?;
    }
    Ok(())
}
