//! CERT's answers, and what a station asks it.

use recueil_fuzz::targets::cms::dossier;

use crate::{Result, put};

pub(crate) fn write() -> Result {
    let answer = |choice: u8, text: &str| [&[choice], text.as_bytes()].concat();
    let body = |status: &str, media_type: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let announced = r#"{"state":"receiving","upload":"/v1/uploads/0d1f","offset":100}"#;
    put(
        "cert-answers",
        "announced",
        &answer(0, &body("201 Created", "application/json", announced)),
    )?;
    let tus = "HTTP/1.1 200 OK\r\ntus-resumable: 1.0.0\r\nupload-offset: 1000\r\ncontent-length: 0\r\n\r\n";
    put("cert-answers", "offset", &answer(1, tus))?;
    put(
        "cert-answers",
        "part",
        &answer(
            2,
            &tus.replace("200 OK", "204 No Content").replace("1000", "1100"),
        ),
    )?;
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: application/pkcs7-mime\r\ntransfer-encoding: chunked\r\n\r\n2\r\n0\u{3}\r\n0\r\n\r\n";
    put("cert-answers", "r1", &answer(3, chunked))?;
    put(
        "cert-answers",
        "none-yet",
        &answer(4, "HTTP/1.1 204 No Content\r\n\r\n"),
    )?;
    put(
        "cert-answers",
        "pre-demande",
        &answer(5, &body("200 OK", "application/pkcs7-mime", "0\u{3}abc")),
    )?;
    let statuses = r#"{"statuses":[{"demande":"2026AB000042","status":"available"}]}"#;
    put(
        "cert-answers",
        "statuses",
        &answer(6, &body("200 OK", "application/json", statuses)),
    )?;
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 99999999999\r\ncontent-length: 0\r\n\r\n";
    put("cert-answers", "busy", &answer(0, busy))?;
    let problem = r#"{"error":"offset","text":"another offset"}"#;
    put(
        "cert-answers",
        "conflict",
        &answer(2, &body("409 Conflict", "application/json", problem)),
    )?;
    put(
        "cert-answers",
        "portal",
        &answer(0, &body("302 Found", "text/html", "<html>sign in</html>")),
    )?;
    let id = dossier().to_string();
    for (index, text) in [
        id.as_str(),
        "wait=30",
        r#"{"size":100,"sha256":"00","profile":"CERT-CMS-1"}"#,
        r#"{"demandes":["2026AB000042"]}"#,
        r#"{"do":"pre-demande","number":"VALID12345","procedure":"cni-adulte","fields":{"a":"b"}}"#,
        r#"{"do":"fault","kind":"cut-after","bytes":100}"#,
        r#"{"do":"ingest","mode":"hold"}"#,
    ]
    .into_iter()
    .enumerate()
    {
        put("cert-requests", &index.to_string(), text.as_bytes())?;
    }
    clocks()
}

/// Our time, CERT's, and a date.
fn clocks() -> Result {
    let noon = 1_795_521_600_u32;
    for (name, ours, text) in [
        ("equal", noon, "Tue, 24 Nov 2026 12:00:00 GMT"),
        (
            "year-ahead",
            noon + 366 * 86_400,
            "Tue, 24 Nov 2026 13:00:00 +0100",
        ),
        ("minute-behind", noon - 61, "Tuesday, 24-Nov-26 12:00:00 GMT"),
        ("at-the-start", 0, "Tue Nov 24 12:00:00 2026"),
        ("far", u32::MAX, "Fri, 31 Dec 9999 23:59:60 -2359"),
    ] {
        let times = [ours, noon].map(u32::to_le_bytes).concat();
        put("cert-clocks", name, &[&times, text.as_bytes()].concat())?;
    }
    Ok(())
}
