//! The simulator plugin: reader, camera and scanner on a virtual bus.
//!
//! It drives what `recueil-virtual` plays, over the connected socket that it is handed as its device, like any
//! other plugin. Invariant: it knows nothing of images, scenarios or the service; whatever happens at a device
//! comes over the socket, in the words of [`protocol`].
#![forbid(unsafe_code)]

mod device;
mod link;
pub mod protocol;

use recueil_plugin::{
    Bus, DevRef, DeviceInfo, Error, Host, Modalities, Plugin, Result, Status, export_plugin,
};

pub use device::SimulatedDevice;

/// The plugin.
#[derive(Debug)]
pub struct Simulator;

impl Plugin for Simulator {
    type Device = SimulatedDevice;

    fn create(_host: Host) -> Result<Self> {
        Ok(Self)
    }

    fn probe(&self, device: &DevRef<'_>) -> Result<Option<DeviceInfo>> {
        Ok(announced(device))
    }

    fn open(&self, device: &DevRef<'_>) -> Result<SimulatedDevice> {
        match device.fd {
            Some(fd) if device.bus == Bus::Virtual => SimulatedDevice::open(fd),
            _ => Err(Error::new(Status::INVALID, "not a socket of the virtual bus")),
        }
    }
}

/// What the socket's name, `MODEL.SERIAL.sock`, tells.
fn announced(device: &DevRef<'_>) -> Option<DeviceInfo> {
    let name = device.path.rsplit('/').next()?.strip_suffix(".sock")?;
    let (model, serial) = name.split_once('.')?;
    let modalities = match model {
        "fp4" => Modalities::FINGERPRINT,
        "cam" => Modalities::CAMERA,
        "flatbed" => Modalities::SCANNER,
        _ => return None,
    };
    (device.bus == Bus::Virtual).then(|| DeviceInfo {
        modalities,
        model: model.to_owned(),
        serial: serial.to_owned(),
        ..DeviceInfo::default()
    })
}

export_plugin! {
    plugin: Simulator,
    id: "fr.recueil.simulator",
    name: "Recueil simulator",
    vendor: "Recueil",
    licence: "MIT OR Apache-2.0",
    modalities: Modalities::FINGERPRINT.with(Modalities::CAMERA).with(Modalities::SCANNER),
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_manifest_says_the_same_as_the_descriptor() {
        let manifest = include_str!("../plugin.toml");
        for line in [
            "id = \"fr.recueil.simulator\"".to_owned(),
            "name = \"Recueil simulator\"".to_owned(),
            format!("version = \"{}\"", env!("CARGO_PKG_VERSION")),
            format!("library = \"lib{}.so\"", env!("CARGO_PKG_NAME").replace('-', "_")),
        ] {
            assert!(manifest.lines().any(|known| known == line), "{line}");
        }
    }
}
