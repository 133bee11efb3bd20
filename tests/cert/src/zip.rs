//! Profile CERT-CMS-1, the inside: a ZIP of one form (PKWARE APPNOTE 6.3, §4.3), read from the first byte to the
//! last so that nothing can hide between, before or after the entries.

use crate::error::Refusal;

/// Most entries.
pub(crate) const ENTRIES_MAX: usize = 128;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// 1980-01-01, APPNOTE §4.4.6.
const DATE: u16 = 0x21;
const NAME_MAX_BYTES: usize = 128;

/// One stored entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// All entries in their order.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Entry<'_>>, Refusal> {
    let mut cursor = Cursor { all: bytes, at: 0 };
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut heads = Vec::new();
    while cursor.signature()? == LOCAL {
        if entries.len() == ENTRIES_MAX {
            return Err("the container has more than 128 entries".into());
        }
        let offset = cursor.at;
        cursor.expect_u32(LOCAL, "a local header")?;
        let head = Head::read(&mut cursor)?;
        let extra_len = cursor.u16()?;
        let name = name(cursor.take(usize::from(head.name_len))?)?;
        if extra_len != 0 {
            return Err("the container has an extra field".into());
        }
        let content = cursor.take(usize::try_from(head.len).unwrap_or(usize::MAX))?;
        if crc32(content) != head.crc {
            return Err("the container has an entry with a wrong CRC".into());
        }
        if entries.iter().any(|entry| entry.name == name) {
            return Err("the container has two entries of one name".into());
        }
        entries.push(Entry { name, bytes: content });
        heads.push((head, offset));
    }

    let central_offset = cursor.at;
    for (entry, (head, offset)) in entries.iter().zip(&heads) {
        cursor.expect_u32(CENTRAL, "a central header")?;
        // By MS-DOS, so that the attributes mean what zero says.
        if !matches!(cursor.u16()?, 10 | 20) {
            return Err("the container has an entry that another system made".into());
        }
        if Head::read(&mut cursor)? != *head {
            return Err("the container's central directory disagrees with a local header".into());
        }
        cursor.expect_u16(0, "an extra field")?;
        cursor.expect_u16(0, "a comment")?;
        cursor.expect_u16(0, "a disk number")?;
        cursor.expect_u16(0, "internal attributes")?;
        cursor.expect_u32(0, "external attributes")?;
        let offset = u32::try_from(*offset).map_err(|_zip64| Refusal::from("the container needs ZIP64"))?;
        cursor.expect_u32(offset, "another offset of an entry")?;
        if cursor.take(entry.name.len())? != entry.name.as_bytes() {
            return Err("the container's central directory disagrees with a local header".into());
        }
    }
    let central_len = cursor.at - central_offset;

    cursor.expect_u32(END, "something else than the end after its entries,")?;
    cursor.expect_u16(0, "a disk number")?;
    cursor.expect_u16(0, "a disk number")?;
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    cursor.expect_u16(count, "another count of entries")?;
    cursor.expect_u16(count, "another count of entries")?;
    cursor.expect_u32(
        u32::try_from(central_len).unwrap_or(u32::MAX),
        "another length of its directory",
    )?;
    cursor.expect_u32(
        u32::try_from(central_offset).unwrap_or(u32::MAX),
        "another offset of its directory",
    )?;
    cursor.expect_u16(0, "a comment")?;
    if cursor.at != bytes.len() {
        return Err("the container has bytes after its end".into());
    }
    Ok(entries)
}

/// What local header and central directory say alike, up to the length of the name.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    version: u16,
    crc: u32,
    len: u32,
    name_len: u16,
}

impl Head {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Refusal> {
        let version = cursor.u16()?;
        if !matches!(version, 10 | 20) {
            return Err("the container has an entry that needs another version than 1.0 or 2.0".into());
        }
        cursor.expect_u16(0, "flags, such as a data descriptor,")?;
        cursor.expect_u16(0, "an entry that is not stored")?;
        cursor.expect_u16(0, "a time")?;
        cursor.expect_u16(DATE, "another date than 1980-01-01")?;
        let crc = cursor.u32()?;
        let len = cursor.u32()?;
        cursor.expect_u32(len, "an entry whose two lengths differ")?;
        let name_len = cursor.u16()?;
        Ok(Self {
            version,
            crc,
            len,
            name_len,
        })
    }
}

fn name(bytes: &[u8]) -> Result<&str, Refusal> {
    const BAD: &str = "the container has an entry whose name is not allowed";
    let name = std::str::from_utf8(bytes).map_err(|_ascii| Refusal::from(BAD))?;
    let allowed = (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        // Neither absolute, nor a directory, nor a way up.
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if allowed { Ok(name) } else { Err(BAD.into()) }
}

struct Cursor<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Refusal> {
        let end = self.at.checked_add(len);
        let taken = end.and_then(|end| self.all.get(self.at..end));
        self.at = end.unwrap_or(self.at);
        taken.ok_or_else(|| "the container is shorter than it says".into())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let bytes = self.take(N)?;
        <[u8; N]>::try_from(bytes).map_err(|_length| "the container is shorter than it says".into())
    }

    fn u16(&mut self) -> Result<u16, Refusal> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_le_bytes)
    }

    /// The four bytes that come, which stay.
    fn signature(&self) -> Result<u32, Refusal> {
        let mut ahead = Self {
            all: self.all,
            at: self.at,
        };
        ahead.u32()
    }

    fn expect_u16(&mut self, expected: u16, what: &str) -> Result<(), Refusal> {
        self.expect_u32_of(u32::from(expected), what, Self::u16)
    }

    fn expect_u32(&mut self, expected: u32, what: &str) -> Result<(), Refusal> {
        self.expect_u32_of(expected, what, Self::u32)
    }

    fn expect_u32_of<T: Into<u32>>(
        &mut self,
        expected: u32,
        what: &str,
        read: impl Fn(&mut Self) -> Result<T, Refusal>,
    ) -> Result<(), Refusal> {
        if read(self)?.into() == expected {
            Ok(())
        } else {
            Err(Refusal(format!(
                "the container has {what} which the profile does not allow"
            )))
        }
    }
}

/// CRC-32 of ISO 3309, APPNOTE §4.4.7.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0_u32, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        let index = usize::from(low ^ byte);
        TABLE.get(index).copied().unwrap_or(0) ^ (crc >> 8)
    })
}

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "const"
)]
const fn table() -> [u32; 256] {
    let mut table = [0_u32; 256];
    let mut index = 0_usize;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf x > a; zip -X0 t.zip a`, with the date of the profile.
    fn one_entry() -> Vec<u8> {
        let head = |out: &mut Vec<u8>| {
            out.extend([10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
            out.extend(0x8cdc_1683_u32.to_le_bytes());
            out.extend([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        };
        let mut zip = b"PK\x03\x04".to_vec();
        head(&mut zip);
        zip.extend(b"ax");
        zip.extend(b"PK\x01\x02\x0a\0");
        head(&mut zip);
        zip.extend([0; 14]);
        zip.extend(b"a");
        zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2f\0\0\0\x20\0\0\0\0\0");
        zip
    }

    #[test]
    fn no_bit_of_a_container_is_without_meaning() {
        let zip = one_entry();
        let read = parse(&zip).unwrap();
        assert_eq!(
            read,
            [Entry {
                name: "a",
                bytes: b"x"
            }]
        );
        for place in 0..zip.len() {
            for bit in 0..8 {
                let mut changed = zip.clone();
                changed[place] ^= 1 << bit;
                assert_ne!(parse(&changed).as_ref(), Ok(&read), "bit {bit} of byte {place}");
            }
            assert!(parse(&zip[..place]).is_err(), "cut at {place}");
        }
    }
}
