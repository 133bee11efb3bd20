//! Private sockets: what a process reads of another.

use std::cell::OnceCell;
use std::fmt::Debug;
use std::os::fd::OwnedFd;

use recueil_device::fuzzing::{Heard, hear};
use recueil_wire::{Error, MESSAGE_MAX_BYTES, Socket, analyser, courier, devices, frames, host, socket_pair};
use rustix::net::SendFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::same;

/// What hostd hears of a host, and a host of hostd. The plugin shares the host's memory, so nothing it says counts.
pub fn host(bytes: &[u8]) {
    packet::<host::ToHost>(bytes);
    let Some(message) = packet::<host::FromHost>(bytes) else {
        return;
    };
    super::reach("wire-host");
    match hear(message) {
        Heard::Ready(identity, capabilities) => {
            for (text, max) in [
                (&identity.vendor, 63),
                (&identity.model, 63),
                (&identity.serial, 63),
                (&identity.firmware, 31),
            ] {
                assert!(is_tame(text, max), "{text:?}");
            }
            if let Ok(capabilities) = *capabilities {
                let sides = [capabilities.width_max, capabilities.height_max];
                assert!(sides.iter().all(|side| (1..=32_768).contains(side)));
                assert!((1..=3).contains(&capabilities.modalities.len()));
                assert!((1..=16).contains(&capabilities.formats.len()));
            }
        }
        Heard::Failed(failure) => {
            let words = failure.plugin.map(|plugin| plugin.text).unwrap_or_default();
            assert!(is_tame(&words, 200), "{words:?}");
            assert!(is_tame(&failure.text, 400));
        }
        Heard::Line(line) => assert!(is_tame(&line, 200), "{line:?}"),
        Heard::Other => {}
    }
}

fn is_tame(text: &str, chars_max: usize) -> bool {
    text.chars().count() <= chars_max && !text.chars().any(char::is_control)
}

/// `recueild` and hostd.
pub fn devices(bytes: &[u8]) {
    packet::<devices::Request>(bytes);
    if packet::<devices::FromHostd>(bytes).is_some() {
        super::reach("wire-devices");
    }
}

/// `recueild` and an analyser; and the header of a preview, which a client reads.
pub fn analyser(bytes: &[u8]) {
    packet::<analyser::ToAnalyser>(bytes);
    if packet::<analyser::FromAnalyser>(bytes).is_some() {
        super::reach("wire-analyser");
    }
    if let Some(head) = bytes.first_chunk()
        && let Some(header) = analyser::PreviewHeader::decode(head)
    {
        assert_eq!(header.encode(), *head, "a header has one spelling");
    }
}

/// A host and an analyser: descriptions of frames.
pub fn frames(bytes: &[u8]) {
    packet::<frames::ToHost>(bytes);
    let Some(frames::FromHost::Frame { info, .. }) = packet(bytes) else {
        return;
    };
    for capacity in [1, 4096, info.used, u64::MAX] {
        if info.check(capacity).is_ok() {
            super::reach("wire-frames");
            assert!((1..=capacity).contains(&info.used) && info.used <= 256 << 20);
            assert!((1..=32_768).contains(&info.width) && (1..=32_768).contains(&info.height));
            if let Some(bytes_per_pixel) = info.format.bytes_per_pixel() {
                assert!(u64::from(info.stride) >= u64::from(info.width) * u64::from(bytes_per_pixel));
                assert_eq!(u64::from(info.stride) * u64::from(info.height), info.used);
            }
            let segments = info.fingerprint.as_ref().map_or(0, |meta| meta.segments.len());
            assert!(segments <= 16);
        }
    }
}

/// `recueild` and the courier.
pub fn courier(bytes: &[u8]) {
    packet::<courier::Request>(bytes);
    if packet::<courier::FromCourier>(bytes).is_some() {
        super::reach("wire-courier");
    }
}

/// The message in one packet, through a real socket. What is read is written and read again as the same.
fn packet<T: DeserializeOwned + Serialize + Debug>(bytes: &[u8]) -> Option<T> {
    thread_local! {
        static PAIR: OnceCell<(OwnedFd, Socket)> = const { OnceCell::new() };
    }
    // An empty packet is the end of a conversation, and one that no sender of ours makes.
    if bytes.is_empty() || bytes.len() > 2 * MESSAGE_MAX_BYTES {
        return None;
    }
    let received = PAIR.with(|pair| {
        let (stranger, ours) = pair.get_or_init(|| {
            let (left, right) = socket_pair().expect("a pair of sockets");
            (left, Socket::new(right))
        });
        rustix::net::send(stranger, bytes, SendFlags::empty()).expect("a packet is sent");
        ours.recv::<T>()
    });
    match received {
        Ok(received) => {
            assert!(received.fds.is_empty());
            let message = received.message;
            let written = serde_json::to_value(&message).expect("a message is written");
            let text = serde_json::to_vec(&message).expect("a message is written");
            let again: T = serde_json::from_slice(&text).expect("what is written is read");
            let again = serde_json::to_value(&again).expect("a message is written");
            assert!(same(&written, &again), "{written} became {again}");
            Some(message)
        }
        Err(Error::TooLarge) => {
            assert!(bytes.len() > MESSAGE_MAX_BYTES);
            None
        }
        Err(Error::Malformed(_)) => None,
        Err(other) => panic!("{other}"),
    }
}
