//! `outbox`: the parcels that CERT has not finally acknowledged.

use crate::failure::Failure;
use crate::output::{Report, list};
use crate::page::{Cell, Page, Tone};
use crate::session::{Session, call};
use crate::shapes;

pub(crate) async fn run(session: &Session) -> Result<Report, Failure> {
    let parcels = call(session.station.outbox()).await?;
    let json = list("outbox", parcels.iter().map(shapes::outbox));
    if parcels.is_empty() {
        return Ok(Report {
            json,
            page: Page::of_line("nothing waits; every parcel has its final receipt"),
        });
    }
    let rows = parcels.iter().map(|parcel| {
        let failures = match parcel.failures {
            0 => Cell::from(""),
            failures => Cell::new(failures.to_string(), Tone::Bad),
        };
        vec![
            parcel.sequence.to_string().into(),
            parcel.dossier.as_str().into(),
            shapes::state(&parcel.state),
            shapes::time(&parcel.sealed_at),
            shapes::sent(parcel.sent_bytes, parcel.total_bytes),
            failures,
            Cell::new(parcel.trouble.clone().unwrap_or_default(), Tone::Bad),
        ]
    });
    let head = [
        "number",
        "dossier",
        "state",
        "sealed",
        "sent",
        "failed tries",
        "trouble",
    ];
    Ok(Report {
        json,
        page: Page::default().table(&head, rows.collect()),
    })
}
