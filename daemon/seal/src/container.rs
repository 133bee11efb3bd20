//! The inside of profile CERT-CMS-1: a ZIP (PKWARE APPNOTE 6.3) in its plainest form.
//!
//! All that may vary in a header is name, length, checksum and offset; the reader makes the header that the
//! writer would have made and compares, so there are no two ways to read one file.

use std::collections::BTreeSet;

use crate::Error;

/// Most entries.
pub(crate) const ENTRIES_MAX: usize = 128;
const LOCAL_LEN: usize = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: usize = 22;

/// Length of a ZIP with these entries (name, length of data).
pub(crate) fn zip_len<N: AsRef<str>>(entries: impl Iterator<Item = (N, usize)>) -> Option<usize> {
    entries
        .map(|(name, len)| LOCAL_LEN + CENTRAL_LEN + 2 * name.as_ref().len() + len)
        .try_fold(END_LEN, usize::checked_add)
}

/// Writes a ZIP behind what the buffer holds already.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    central: Vec<u8>,
    count: u16,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            central: Vec::new(),
            count: 0,
        }
    }

    pub(crate) fn put(&mut self, name: &str, data: &[u8]) -> Result<(), Error> {
        let entry =
            Header::of(name, data, self.out.len() - self.start).ok_or(Error::SelfCheck("ZIP length"))?;
        entry.put_local(self.out);
        self.out.extend_from_slice(data);
        entry.put_central(&mut self.central);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        let offset = u32::try_from(self.out.len() - self.start);
        let len = u32::try_from(self.central.len());
        let (Ok(offset), Ok(len)) = (offset, len) else {
            return Err(Error::SelfCheck("ZIP length"));
        };
        self.out.extend_from_slice(&self.central);
        put_end(self.out, self.count, len, offset);
        Ok(())
    }
}

/// What varies in an entry's headers.
struct Header<'a> {
    name: &'a str,
    name_len: u16,
    crc: u32,
    len: u32,
    offset: u32,
}

impl<'a> Header<'a> {
    fn of(name: &'a str, data: &[u8], offset: usize) -> Option<Self> {
        Some(Self {
            name,
            name_len: u16::try_from(name.len()).ok()?,
            crc: crc32fast::hash(data),
            len: u32::try_from(data.len()).ok()?,
            offset: u32::try_from(offset).ok()?,
        })
    }

    /// APPNOTE section 4.3.7.
    fn put_local(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PK\x03\x04");
        self.put_common(out);
        out.extend_from_slice(self.name.as_bytes());
    }

    /// APPNOTE section 4.3.12.
    fn put_central(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PK\x01\x02");
        // Made by version 1.0 on MS-DOS.
        out.extend_from_slice(&[10, 0]);
        self.put_common(out);
        // Comment length, disk number, internal (2) and external (4) attributes.
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
    }

    fn put_common(&self, out: &mut Vec<u8>) {
        // Needs version 1.0; no flags; stored; 00:00:00 on 1980-01-01.
        out.extend_from_slice(&[10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.name_len.to_le_bytes());
        // No extra field.
        out.extend_from_slice(&[0, 0]);
    }
}

/// APPNOTE section 4.3.16.
fn put_end(out: &mut Vec<u8>, count: u16, central_len: u32, central_offset: u32) {
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&central_len.to_le_bytes());
    out.extend_from_slice(&central_offset.to_le_bytes());
    // No comment.
    out.extend_from_slice(&[0, 0]);
}

/// One entry that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) data: &'a [u8],
}

/// Reads a ZIP of the profile: entries in the order of the file, names unique.
///
/// # Errors
/// [`Error::Profile`] naming the first deviation.
pub(crate) fn read(zip: &[u8]) -> Result<Vec<Entry<'_>>, Error> {
    let mut entries = Vec::new();
    let mut names = BTreeSet::new();
    let mut central = Vec::new();
    let mut rest = zip;
    while let Some(after_signature) = rest.strip_prefix(b"PK\x03\x04") {
        if entries.len() == ENTRIES_MAX {
            return Err(Error::Profile("at most 128 ZIP entries"));
        }
        let (name, data, after) = local_entry(after_signature)
            .ok_or(Error::Profile("a whole ZIP entry with its length before it"))?;
        if !is_safe(name) {
            return Err(Error::Profile("plain relative ASCII names in the ZIP"));
        }
        if !names.insert(name) {
            return Err(Error::Profile("each name once in the ZIP"));
        }
        let header = Header::of(name, data, zip.len() - rest.len()).ok_or(Error::Profile("no ZIP64"))?;
        let mut local = Vec::with_capacity(LOCAL_LEN + name.len());
        header.put_local(&mut local);
        if !rest.starts_with(&local) {
            return Err(Error::Profile(
                "ZIP entries stored, dated 1980, without extra field, with their CRC-32",
            ));
        }
        header.put_central(&mut central);
        entries.push(Entry { name, data });
        rest = after;
    }
    let offset = u32::try_from(zip.len() - rest.len());
    let sizes = (u16::try_from(entries.len()), u32::try_from(central.len()), offset);
    let (Ok(count), Ok(len), Ok(offset)) = sizes else {
        return Err(Error::Profile("no ZIP64"));
    };
    put_end(&mut central, count, len, offset);
    if rest == central {
        Ok(entries)
    } else {
        Err(Error::Profile(
            "a ZIP directory equal to the entries, and nothing beside it",
        ))
    }
}

/// Name, data and what follows, of a local entry without its signature. The rest of the header is compared
/// by the caller.
fn local_entry(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (header, body) = bytes.split_at_checked(LOCAL_LEN - 4)?;
    let len = u32::from_le_bytes(header.get(18..22)?.try_into().ok()?);
    let name_len = u16::from_le_bytes(header.get(22..24)?.try_into().ok()?);
    let (name, body) = body.split_at_checked(usize::from(name_len))?;
    let (data, after) = body.split_at_checked(usize::try_from(len).ok()?)?;
    Some((std::str::from_utf8(name).ok()?, data, after))
}

fn is_safe(name: &str) -> bool {
    let is_plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    name.len() <= 128 && name.split('/').all(is_plain)
}

#[cfg(test)]
mod tests;
