//! Messages between `recueild`, hostd and hosts.

use std::collections::BTreeMap;

use recueil_dossier::PixelFormat;
use recueil_wire::{devices, host};

use crate::{Result, json, position};

pub(crate) fn capabilities() -> devices::Capabilities {
    devices::Capabilities {
        modalities: vec![devices::Modality::Fingerprint],
        width_max: 1600,
        height_max: 1500,
        ppi_milli: 500_000,
        formats: vec![PixelFormat::Gray8],
        preview: true,
        capture_timeout_ms: 30_000,
    }
}

fn failure() -> host::PluginFailure {
    host::PluginFailure {
        status: -14,
        vendor_code: 7,
        text: "jam \u{1b}[31m".into(),
    }
}

pub(crate) fn write() -> Result {
    let identity = devices::Identity {
        vendor: "Recueil".into(),
        model: "fp4".into(),
        serial: "SN0001".into(),
        firmware: "1".into(),
    };
    let confinement = host::Confinement {
        landlock_abi: 2,
        seccomp: true,
    };
    let params = devices::CaptureParams {
        modality: devices::Modality::Fingerprint,
        format: Some(PixelFormat::Gray8),
        ppi_milli: 500_000,
        deadline_ms: 60_000,
        preview_fps: 15,
        position: position(14),
        missing: position(7).into_iter().collect(),
        area_um: None,
    };
    for (index, message) in [
        host::FromHost::Ready {
            plugin_version: "0.1.0".into(),
            identity: identity.clone(),
            capabilities: capabilities(),
            confinement: confinement.clone(),
        },
        host::FromHost::Failed {
            stage: "open".into(),
            failure: failure(),
        },
        host::FromHost::Event {
            req: 1,
            event: 3,
            value: -4,
            position: position(13),
        },
        host::FromHost::Captured {
            req: 1,
            results: 1,
            previews: 2,
            failure: Some(failure()),
            broken_rule: Some("R10".into()),
        },
        host::FromHost::Log {
            level: 2,
            text: "ready".into(),
        },
        host::FromHost::BlobPut {
            key: "gain".into(),
            part: "00ff".into(),
            last: true,
        },
        host::FromHost::Misbehaved {
            rule: "a NULL pointer".into(),
        },
    ]
    .iter()
    .enumerate()
    {
        json("wire-host", &format!("from-{index}"), message)?;
    }
    let load = host::Load {
        plugin_id: "fr.recueil.simulator".into(),
        bus: host::Bus::Virtual,
        path: "/run/virtual/fp4.SN0001.sock".into(),
        serial: "SN0001".into(),
        usb_vid: 0,
        usb_pid: 0,
        config: BTreeMap::from([("speed".into(), "fast".into())]),
        blobs: vec![host::Blob {
            key: "gain".into(),
            len: 2,
        }],
        sandbox: host::Sandbox {
            read_dirs: vec!["/usr/lib".into()],
            landlock_abi_max: 2,
            allow_unsandboxed: false,
            memory_mib: 512,
            threads: 8,
        },
    };
    json("wire-host", "to-load", &host::ToHost::Load(Box::new(load)))?;
    let capture = host::ToHost::Capture {
        req: 1,
        params: params.clone(),
    };
    json("wire-host", "to-capture", &capture)?;
    json("wire-host", "to-cancel", &host::ToHost::Cancel { req: 1 })?;

    let start = devices::Call::Start {
        device: "virtual-fp4-SN0001".into(),
        req: 1,
        params,
    };
    json("wire-devices", "start", &devices::Request { id: 3, call: start })?;
    let failure = devices::Failure {
        code: devices::FailureCode::DeviceError,
        text: "the device is jammed: clear it".into(),
        plugin: Some(failure()),
    };
    let device = devices::Device {
        id: "virtual-fp4-SN0001".into(),
        state: devices::DeviceState::Faulted,
        plugin: "fr.recueil.simulator".into(),
        plugin_version: "0.1.0".into(),
        identity: Some(identity),
        capabilities: Some(capabilities()),
        confinement: Some(confinement),
        failure: Some(failure.clone()),
    };
    let plugin = devices::Plugin {
        id: "fr.recueil.simulator".into(),
        name: "Recueil simulator".into(),
        version: "0.1.0".into(),
        refused: Some("its file is writable by others".into()),
    };
    let list = devices::Answer::Devices {
        devices: vec![device.clone()],
        plugins: vec![plugin],
        limits: devices::HostLimits::Rlimits,
    };
    let reply = |answer| devices::FromHostd::Reply { id: 3, answer };
    json("wire-devices", "list", &reply(Ok(list)))?;
    json("wire-devices", "failed", &reply(Err(failure.clone())))?;
    let device = Box::new(device);
    json(
        "wire-devices",
        "device",
        &devices::FromHostd::Notice(devices::Notice::Device { device }),
    )?;
    let ended = devices::Notice::HostEnded {
        device: "virtual-fp4-SN0001".into(),
        failure,
    };
    json("wire-devices", "ended", &devices::FromHostd::Notice(ended))?;
    Ok(())
}
