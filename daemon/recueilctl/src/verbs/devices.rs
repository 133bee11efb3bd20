//! `devices`: what is plugged in, who holds it, what is wrong with it.

use recueil_bus::DeviceView;

use crate::failure::Failure;
use crate::output::{Report, list, none};
use crate::page::{Cell, Page, Tone};
use crate::session::{Session, call};
use crate::shapes;

pub(crate) async fn run(session: &Session) -> Result<Report, Failure> {
    let devices = call(recueil_bus::devices(&session.connection)).await?;
    let json = list("devices", devices.iter().map(shapes::device));
    if devices.is_empty() {
        return Ok(Report {
            json,
            page: none("device; plug one in"),
        });
    }
    let page = Page::default().table(
        &[
            "id", "state", "kind", "model", "serial", "plugin", "held by", "trouble",
        ],
        devices.iter().map(row).collect(),
    );
    Ok(Report { json, page })
}

pub(crate) fn row(device: &DeviceView) -> Vec<Cell> {
    let model = format!("{} {}", device.vendor, device.model);
    let holder = device
        .holder_uid
        .map_or_else(String::new, |uid| format!("uid {uid}"));
    vec![
        device.id.as_str().into(),
        state(&device.state),
        device.modalities.join(",").into(),
        model.trim().into(),
        device.serial.as_str().into(),
        format!("{} {}", device.plugin, device.plugin_version).into(),
        holder.into(),
        Cell::new(device.trouble.clone().unwrap_or_default(), Tone::Bad),
    ]
}

fn state(state: &str) -> Cell {
    let tone = match state {
        "ready" | "in-session" => Tone::Good,
        "faulted" => Tone::Bad,
        "absent" => Tone::Dim,
        _ => Tone::Plain,
    };
    Cell::new(state, tone)
}
