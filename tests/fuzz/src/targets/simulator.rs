//! The virtual devices: scenarios, the protocol on their sockets, the folder of images.

use recueil_plugin_simulator::protocol::{self, FromDevice, Message, ToDevice};
use recueil_virtual::scenario::{self, Command};

/// One line of a scenario, and the name of a device.
pub fn scenario(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(Command::Next { presentations, .. }) = scenario::parse(text) {
        super::reach("scenario");
        assert!(presentations.len() <= 1000);
        assert!(presentations.iter().all(|one| one.wait_ms <= 3_600_000));
    }
    if let Ok(info) = recueil_virtual::models::parse(text) {
        assert_eq!(format!("{}:{}", info.model, info.serial), text);
        info_is_written(info);
    }
}

fn info_is_written(info: protocol::Info) {
    protocol::encode(&FromDevice::Info(info)).expect("a device can say what it is");
}

/// A message of the virtual hardware, and one of the plugin.
pub fn protocol(bytes: &[u8]) {
    if let Some((prelude, json)) = bytes.split_first_chunk() {
        if let Ok(len) = protocol::json_len(*prelude) {
            assert!(len <= 16 << 10);
        }
        message::<ToDevice>(json);
        if let Some(FromDevice::Picture { picture, .. }) = message(json) {
            super::reach("virtual-protocol");
            assert!(picture.payload_bytes() <= 256 << 20);
            assert!((1..=32_768).contains(&picture.width) && (1..=32_768).contains(&picture.height));
            assert!(picture.segments.len() <= 16);
        }
    }
}

fn message<M: Message + PartialEq + std::fmt::Debug>(json: &[u8]) -> Option<M> {
    let read: M = protocol::decode(json).ok()?;
    // Shorter is allowed: what was read may have held blanks.
    if let Ok(written) = protocol::encode(&read) {
        let json = written.get(protocol::PRELUDE_BYTES..).unwrap_or_default();
        assert_eq!(protocol::decode::<M>(json).ok().as_ref(), Some(&read));
    }
    Some(read)
}

/// Photos, prints and their index.
pub fn images(bytes: &[u8]) {
    if let Some((width, height, count)) = recueil_virtual::fuzzing::pgm(bytes) {
        assert_eq!(width * height, count);
        assert!(width <= 4096 && height <= 4096);
    }
    if let Some((width, height)) = recueil_virtual::fuzzing::portrait(bytes) {
        super::reach("images");
        assert!(width > 0 && height > 0);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        recueil_virtual::fuzzing::index(text);
    }
}
