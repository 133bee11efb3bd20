//! The inside: ZIP and its manifest.

use super::*;

#[tokio::test]
async fn a_container_outside_the_profile_is_refused() {
    use Change::Zip;
    fn without(mut entries: Vec<Entry>, name: &str) -> Vec<u8> {
        entries.retain(|entry| entry.name != name);
        zip(&entries)
    }
    fn with(mut entries: Vec<Entry>, name: &str) -> Vec<u8> {
        entries.push(Entry::new(name, b"x"));
        zip(&entries)
    }
    /// Changes a byte at this place after the signature of the first local or central header.
    fn header(entries: &[Entry], signature: [u8; 4], at: usize) -> Vec<u8> {
        let mut zip = zip(entries);
        let start = zip.windows(4).position(|window| *window == signature).unwrap();
        zip[start + at] ^= 1;
        zip
    }
    let cases = [
        (
            "two entries of one name",
            Zip(|mut entries| {
                entries.push(entries[1].clone());
                zip(&entries)
            }),
        ),
        (
            "an extra field",
            Zip(|mut entries| {
                entries[1].extra = vec![1, 0, 0, 0];
                zip(&entries)
            }),
        ),
        ("does not list", Zip(|entries| with(entries, "unlisted.png"))),
        ("META-INF", Zip(|entries| with(entries, "META-INF/more.xml"))),
        ("name is not allowed", Zip(|entries| with(entries, "../up.png"))),
        ("name is not allowed", Zip(|entries| with(entries, "/root.png"))),
        ("name is not allowed", Zip(|entries| with(entries, "folder/"))),
        ("name is not allowed", Zip(|entries| with(entries, "pièce.png"))),
        ("is not there", Zip(|entries| without(entries, "dossier.json"))),
        ("is not there", Zip(|entries| without(entries, "photo.png"))),
        (
            "lacks META-INF/signature001.p7s",
            Zip(|entries| without(entries, "META-INF/signature001.p7s")),
        ),
        ("mimetype", Zip(|entries| without(entries, "mimetype"))),
        (
            "mimetype",
            Zip(|mut entries| {
                entries.swap(0, 1);
                zip(&entries)
            }),
        ),
        (
            "another digest",
            Zip(|mut entries| {
                entries[2].bytes.push(0);
                zip(&entries)
            }),
        ),
        ("flags", Zip(|entries| header(&entries, *b"PK\x03\x04", 6))),
        ("not stored", Zip(|entries| header(&entries, *b"PK\x03\x04", 8))),
        ("date", Zip(|entries| header(&entries, *b"PK\x03\x04", 12))),
        ("wrong CRC", Zip(|entries| header(&entries, *b"PK\x03\x04", 14))),
        (
            "disagrees with a local header",
            Zip(|entries| header(&entries, *b"PK\x01\x02", 16)),
        ),
        (
            "external attributes",
            Zip(|entries| header(&entries, *b"PK\x01\x02", 38)),
        ),
        (
            "offset of an entry",
            Zip(|entries| header(&entries, *b"PK\x01\x02", 42)),
        ),
        (
            "disagrees with a local header",
            Zip(|entries| header(&entries, *b"PK\x01\x02", 46)),
        ),
        (
            "count of entries",
            Zip(|entries| header(&entries, *b"PK\x05\x06", 8)),
        ),
        ("after its end", Zip(|entries| [zip(&entries), vec![0]].concat())),
        (
            "after its entries",
            Zip(|entries| [b"x".as_slice(), &zip(&entries)].concat()),
        ),
        ("shorter", Zip(|_entries| b"PK".to_vec())),
        (
            "128 entries",
            Zip(|mut entries| {
                entries.extend((0..128).map(|number| Entry::new(&format!("n{number}"), b"")));
                zip(&entries)
            }),
        ),
    ];
    check(cases).await.unwrap();
}
