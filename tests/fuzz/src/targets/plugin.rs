//! What a plugin says in its host's memory.

use recueil_abi::{rcl_caps, rcl_frame};
use recueil_device_host::fuzzing;
use recueil_wire::host::Blob;

use crate::bytes::Bytes;

/// The description of a picture.
pub fn meta(bytes: &[u8]) {
    let mut numbers = Bytes(bytes);
    let Some(Some(fingerprint)) = fuzzing::meta(|| numbers.word()) else {
        return;
    };
    super::reach("plugin-meta");
    assert!(fingerprint.segments.len() <= 16);
    assert!(fingerprint.pad_score.is_none_or(|score| score <= 1000));
    for segment in &fingerprint.segments {
        assert!(segment.quality.is_none_or(|quality| quality <= 100));
        assert!(segment.position.is_none_or(|position| !position.is_slap()));
    }
}

/// Abilities, wishes for memory, texts and stored values.
pub fn words(bytes: &[u8]) {
    let mut input = Bytes(bytes);
    let caps = rcl_caps {
        size: rcl_caps::SIZE,
        modalities: input.word(),
        max_width: input.word(),
        max_height: input.word(),
        ppi_milli: input.word(),
        pixfmts: input.word(),
        flags: input.word(),
        capture_timeout_ms: input.word(),
    };
    if let Some(capabilities) = fuzzing::capabilities(&caps) {
        assert!((1..=32_768).contains(&capabilities.width_max));
        assert!((1..=32_768).contains(&capabilities.height_max));
        assert!((1..=3).contains(&capabilities.modalities.len()));
        assert!((1..=3).contains(&capabilities.formats.len()));
        assert!(capabilities.capture_timeout_ms <= 3_600_000);
    }
    let asked = rcl_frame {
        size: rcl_frame::SIZE,
        pixfmt: input.word() % 32,
        width: input.word(),
        height: input.word(),
        stride: input.word(),
        capacity: u64::from(input.word()),
        ..rcl_frame::ZERO
    };
    if let Some((stride, memory)) = fuzzing::layout(&asked) {
        let compressed = stride == 0;
        assert!(compressed || u64::from(stride) * u64::from(asked.height) == memory);
        assert!(compressed || stride >= asked.width);
    }
    let (text, key) = (input.text(), input.text());
    let identity = fuzzing::identity(&text);
    for (said, max) in [(&identity.vendor, 63), (&identity.firmware, 31)] {
        assert!(said.chars().count() <= max && !said.chars().any(char::is_control));
    }
    let line = fuzzing::line(&text, 200);
    assert!(line.len() <= 1024 && line.chars().count() <= 200 && !line.chars().any(char::is_control));
    let table = [Blob {
        key,
        len: u64::from(input.word()),
    }];
    let stored = input.take(usize::MAX);
    if let Some(values) = fuzzing::blobs(&table, stored) {
        super::reach("plugin-words");
        for (value, parts) in values {
            assert_eq!(value, stored, "what was stored comes back");
            assert!(parts.is_none_or(|parts| parts <= 64));
        }
    }
}
