//! The views of the bus as JSON, by the same keys, and as cells for people.

use recueil_bus::{
    CaptureView, DeviceView, DossierSummary, DossierView, ItemView, MissingView, OutboxView, PluginView,
    RecepisseView, StatusView,
};
use recueil_dossier::State;
use serde_json::{Value, json};

use crate::page::{Cell, Tone};

pub(crate) fn dossier(view: &DossierView) -> Value {
    json!({
        "id": view.id,
        "kind": view.kind,
        "state": view.state,
        "procedure": view.procedure,
        "agent": view.agent,
        "opened-at": view.opened_at,
        "expires-at": view.expires_at,
        "pre-demande": view.pre_demande,
        "demande": view.demande,
        "missing": view.missing,
        "sent-bytes": view.sent_bytes,
        "total-bytes": view.total_bytes,
        "refusal": view.refusal,
    })
}

pub(crate) fn summary(summary: &DossierSummary) -> Value {
    json!({
        "id": summary.id,
        "kind": summary.kind,
        "state": summary.state,
        "procedure": summary.procedure,
        "agent": summary.agent,
        "since": summary.since,
        "demande": summary.demande,
        "sequence": summary.sequence,
    })
}

pub(crate) fn item(item: &ItemView) -> Value {
    let criteria = item.criteria.iter().map(|(code, value, threshold, pass)| {
        // Not a number is how the bus says that there is none; JSON says null.
        json!({ "code": code, "value": value, "threshold": threshold, "pass": pass })
    });
    json!({
        "name": item.name,
        "step": item.step,
        "content": item.content,
        "media-type": item.media_type,
        "len-bytes": item.len_bytes,
        "sha256": item.sha256,
        "position": item.position,
        "document": item.document,
        "page": item.page,
        "device": item.device,
        "captured-at": item.captured_at,
        "criteria": criteria.collect::<Vec<_>>(),
    })
}

pub(crate) fn missing((step, what, name): &MissingView) -> Value {
    json!({ "step": step, "what": what, "name": name })
}

pub(crate) fn device(device: &DeviceView) -> Value {
    json!({
        "id": device.id,
        "state": device.state,
        "vendor": device.vendor,
        "model": device.model,
        "serial": device.serial,
        "modalities": device.modalities,
        "plugin": device.plugin,
        "plugin-version": device.plugin_version,
        "trouble": device.trouble,
        "holder-uid": device.holder_uid,
    })
}

pub(crate) fn capture(view: &CaptureView) -> Value {
    json!({
        "state": view.state,
        "step": view.step,
        "device": view.device,
        "attempt": view.attempt,
        "attempts-max": view.attempts_max,
    })
}

pub(crate) fn outbox(parcel: &OutboxView) -> Value {
    json!({
        "dossier": parcel.dossier,
        "state": parcel.state,
        "sealed-at": parcel.sealed_at,
        "sequence": parcel.sequence,
        "sent-bytes": parcel.sent_bytes,
        "total-bytes": parcel.total_bytes,
        "failures": parcel.failures,
        "trouble": parcel.trouble,
    })
}

pub(crate) fn plugin(plugin: &PluginView) -> Value {
    json!({ "id": plugin.id, "name": plugin.name, "version": plugin.version, "refused": plugin.refused })
}

pub(crate) fn recepisse(status: &str, data: &RecepisseView) -> Value {
    json!({
        "status": status,
        "dossier": data.dossier,
        "title": data.title,
        "sealed-at": data.sealed_at,
        "sequence": data.sequence,
        "demande": data.demande,
        "ingested-at": data.ingested_at,
        "text": data.text,
    })
}

pub(crate) fn status(status: &StatusView) -> Value {
    json!({
        "version": status.version,
        "station": status.station,
        "hostd": status.hostd,
        "courier": status.courier,
        "cert": status.cert,
        "cert-trouble": status.cert_trouble,
        "analyser": status.analyser,
        "driver-limits": status.driver_limits,
        "authority": status.authority,
        "seal-key": status.seal_key,
        "seal-certificate-days": status.seal_certificate_days,
        "reserve": status.reserve,
        "devices": status.devices,
        "drafts": status.drafts,
        "outbox": status.outbox,
    })
}

/// A time for people: the service's RFC 3339 without fractions of a second.
pub(crate) fn time(text: &str) -> Cell {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let whole = whole.trim_end_matches('Z').replace('T', " ");
    Cell::from(format!("{whole} UTC"))
}

/// A dossier's state, by how good the news are.
pub(crate) fn state(name: &str) -> Cell {
    let tone = match State::parse(name) {
        Some(State::Refused | State::Expired | State::Cancelled) => Tone::Bad,
        Some(State::Ingested | State::Available | State::HandedOver) => Tone::Good,
        _ => Tone::Plain,
    };
    Cell::new(name, tone)
}

/// Bytes sent of bytes in all.
pub(crate) fn sent(sent: u64, total: u64) -> Cell {
    let percent = sent.saturating_mul(100).checked_div(total).unwrap_or(0);
    Cell::from(format!("{percent} % of {} KiB", total.div_ceil(1024)))
}
