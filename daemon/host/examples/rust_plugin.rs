//! A plugin in safe Rust for this crate's tests: gives a grey slap of the left hand, panics when asked for
//! anything else.
#![forbid(unsafe_code)]

use recueil_plugin::{
    Caps, Capture, DevRef, Device, DeviceInfo, Event, Finger, Format, Host, Kind, Meta, Modalities, Params,
    Plugin, Result, export_plugin,
};

struct Grey;

impl Plugin for Grey {
    type Device = GreyDevice;

    fn create(_host: Host) -> Result<Self> {
        Ok(Self)
    }

    fn open(&self, _device: &DevRef<'_>) -> Result<GreyDevice> {
        Ok(GreyDevice)
    }
}

struct GreyDevice;

impl Device for GreyDevice {
    fn info(&mut self) -> Result<DeviceInfo> {
        Ok(DeviceInfo {
            modalities: Modalities::FINGERPRINT,
            model: "Grey 1".into(),
            ..DeviceInfo::default()
        })
    }

    fn caps(&mut self) -> Result<Caps> {
        Ok(Caps {
            modalities: Modalities::FINGERPRINT,
            width_max: 16,
            height_max: 8,
            formats: vec![Format::GRAY8],
            ..Caps::default()
        })
    }

    fn capture(&mut self, capture: &Capture<'_>, params: &Params) -> Result<()> {
        let asked = params.fingerprint.unwrap_or_default().positions;
        assert!(asked.contains(Finger::LEFT_SLAP), "not the left hand");
        capture.event(Event::Place(Some(Finger::LEFT_SLAP)));
        let mut frame = capture.frame(Kind::Result, Format::GRAY8, 16, 8)?;
        frame.rows_mut().for_each(|row| row.fill(128));
        frame.submit(&Meta::default())
    }
}

export_plugin! {
    plugin: Grey,
    id: "org.example.test",
    name: "Grey",
    vendor: "Exemple",
    licence: "MIT",
    modalities: Modalities::FINGERPRINT,
}
