//! `devices`: what is plugged in, who holds it, what is wrong with it; and out of quarantine again.

use clap::{Args, Subcommand};
use recueil_bus::{Code, DeviceProxy, DeviceView, Error};
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Report, list, none};
use crate::page::{Cell, Page, Tone};
use crate::session::{Session, call};
use crate::shapes;

/// What is done with devices; without a word they are listed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Start the driver again of a device in quarantine
    Release {
        /// The device's id, as `recueilctl devices` shows it
        #[arg(value_name = "DEVICE")]
        device: String,
    },
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> Result<Report, Failure> {
    match &arguments.verb {
        None => list_all(session).await,
        Some(Verb::Release { device }) => release(device, session).await,
    }
}

async fn release(device: &str, session: &Session) -> Result<Report, Failure> {
    let devices = call(recueil_bus::devices(&session.connection)).await?;
    if !devices.iter().any(|known| known.id == device) {
        let text = "there is no such device; `recueilctl devices` lists them";
        return Err(Error::new(Code::UnknownDevice, text).into());
    }
    let path = recueil_bus::device_path(device);
    let proxy = call(DeviceProxy::new(&session.connection, path)).await?;
    call(proxy.lift_quarantine()).await?;
    Ok(Report {
        json: json!({ "device": device, "released": true }),
        page: Page::of_line(format!(
            "{device}: out of quarantine, its driver is started again"
        )),
    })
}

async fn list_all(session: &Session) -> Result<Report, Failure> {
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
        "faulted" | "quarantined" => Tone::Bad,
        "absent" => Tone::Dim,
        _ => Tone::Plain,
    };
    Cell::new(state, tone)
}
