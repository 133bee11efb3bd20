use proptest::prelude::*;

use super::*;

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut writer = Writer::new(&mut zip);
    for (name, data) in entries {
        writer.put(name, data).unwrap();
    }
    writer.finish().unwrap();
    zip
}

fn sample() -> Vec<u8> {
    zip_of(&[
        ("mimetype", b"application/vnd.etsi.asic-e+zip"),
        ("photo.png", b"\x89PNG and more"),
        ("META-INF/signature001.p7s", b""),
    ])
}

#[test]
fn what_is_written_is_read_and_has_the_length_foretold() {
    let entries = [("a", &b"1"[..]), ("dir/b.txt", b""), ("c-d_e.png", &[7; 300])];
    let zip = zip_of(&entries);
    let read: Vec<_> = read(&zip)
        .unwrap()
        .iter()
        .map(|entry| (entry.name, entry.data))
        .collect();
    assert_eq!(read, entries);
    let lens = entries.iter().map(|(name, data)| (*name, data.len()));
    assert_eq!(zip_len(lens), Some(zip.len()));
}

#[test]
fn no_byte_of_a_zip_can_change() {
    let zip = sample();
    for at in 0..zip.len() {
        for bit in 0..8 {
            let mut altered = zip.clone();
            altered[at] ^= 1 << bit;
            assert!(read(&altered).is_err(), "bit {bit} of byte {at} of {}", zip.len());
        }
    }
}

#[test]
fn a_zip_ends_where_it_ends() {
    let zip = sample();
    for len in 0..zip.len() {
        assert!(read(&zip[..len]).is_err(), "cut to {len}");
    }
    assert!(read(&[&zip[..], b"\0"].concat()).is_err());
    assert!(read(&[b"\0", &zip[..]].concat()).is_err());
}

#[test]
fn a_name_is_there_once_and_is_plain() {
    let refused = |entries: &[(&str, &[u8])]| read(&zip_of(entries)).unwrap_err();
    assert_eq!(
        refused(&[("a", b"1"), ("b", b"2"), ("a", b"3")]),
        Error::Profile("each name once in the ZIP")
    );
    let long = "a".repeat(129);
    for name in [
        "/etc/passwd",
        "../a",
        "a/../b",
        "a//b",
        "dir/",
        "",
        ".",
        "a\\b",
        "C:a",
        "é",
        "a b",
        "a\0",
        &long,
    ] {
        assert_eq!(
            refused(&[(name, b"")]),
            Error::Profile("plain relative ASCII names in the ZIP"),
            "{name:?}"
        );
    }
}

#[test]
fn there_are_at_most_128_entries() {
    let names: Vec<String> = (0..=ENTRIES_MAX).map(|at| format!("n{at}")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    assert!(read(&zip_of(&entries[..ENTRIES_MAX])).is_ok());
    assert_eq!(
        read(&zip_of(&entries)).unwrap_err(),
        Error::Profile("at most 128 ZIP entries")
    );
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(mut cuts in prop::collection::vec((0_usize..400, any::<u8>()), 0..8), keep in 0_usize..400) {
        let mut zip = sample();
        for (at, byte) in cuts.drain(..) {
            if let Some(slot) = zip.get_mut(at) {
                *slot = byte;
            }
        }
        zip.truncate(keep);
        let _whatever = read(&zip);
    }

    #[test]
    fn noise_after_a_signature_is_refused(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&[b"PK\x03\x04", &noise[..]].concat()).is_err());
    }
}
