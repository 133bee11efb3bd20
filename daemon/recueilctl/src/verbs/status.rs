//! `status`: how the station stands.

use recueil_bus::StatusView;

use crate::failure::Failure;
use crate::output::Report;
use crate::page::{Cell, Page, Tone};
use crate::session::{Session, call};
use crate::shapes;

pub(crate) async fn run(session: &Session) -> Result<Report, Failure> {
    let status = call(session.station.status()).await?;
    Ok(Report {
        json: shapes::status(&status),
        page: page(&status),
    })
}

/// A certificate that ends sooner needs to be renewed now.
const RENEW_DAYS: i64 = 30;

fn page(status: &StatusView) -> Page {
    let good = |value: &str, good: &str| Cell::new(value, if value == good { Tone::Good } else { Tone::Bad });
    let station = if status.station.is_empty() {
        "not enrolled"
    } else {
        &status.station
    };
    let certificate = status.seal_certificate_days.map(|days| {
        Cell::new(
            format!("{days} days left"),
            if days < RENEW_DAYS { Tone::Bad } else { Tone::Plain },
        )
    });
    Page::default().pairs(vec![
        ("station", Some(station.into())),
        ("version", Some(status.version.as_str().into())),
        ("devices", Some(status.devices.to_string().into())),
        ("device service", Some(good(&status.hostd, "connected"))),
        ("courier", Some(good(&status.courier, "connected"))),
        ("CERT", Some(good(&status.cert, "reachable"))),
        ("CERT's trouble", status.cert_trouble.as_deref().map(Cell::from)),
        ("analyser", Some(good(&status.analyser, "separated"))),
        ("driver limits", Some(status.driver_limits.as_str().into())),
        ("authority", Some(status.authority.as_str().into())),
        ("seal key", Some(status.seal_key.as_str().into())),
        ("seal certificate", certificate),
        ("disk reserve", Some(good(&status.reserve, "kept"))),
        ("drafts", Some(status.drafts.to_string().into())),
        ("outbox", Some(status.outbox.to_string().into())),
    ])
}
