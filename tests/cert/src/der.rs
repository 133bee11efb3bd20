//! The part of DER (X.690 §10, §11) that the profiles need: a reader that takes one spelling, and a writer of it.

use crate::error::Refusal;

/// Tags, X.690 §8.1.2. Context tags of the profile are written where they are used.
pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
}

/// One element: all its bytes, and those of its content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) whole: &'a [u8],
    pub(crate) content: &'a [u8],
}

/// Reads elements one after the other. Lengths are definite and minimal, tags have one octet.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `what` names them in refusals.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// The tag of the next element, none at the end.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, Refusal> {
        let (header, len) = self.header().ok_or_else(|| self.refusal("is not DER"))?;
        let end = header
            .checked_add(len)
            .ok_or_else(|| self.refusal("is not DER"))?;
        let (whole, rest) = self
            .rest
            .split_at_checked(end)
            .ok_or_else(|| self.refusal("is shorter than it says"))?;
        let content = whole.get(header..).unwrap_or_default();
        self.rest = rest;
        Ok(Element { whole, content })
    }

    /// The next element, which must have this tag.
    pub(crate) fn one(&mut self, tag: u8) -> Result<Element<'a>, Refusal> {
        match self.peek() {
            Some(found) if found == tag => self.any(),
            Some(found) => Err(self.refusal(&format!("has tag {found:#04x} in place of {tag:#04x}"))),
            None => Err(self.refusal(&format!("ends before tag {tag:#04x}"))),
        }
    }

    /// A reader of the next element's content; the element must have this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Self, Refusal> {
        let what = self.what;
        self.one(tag).map(|element| Self::new(element.content, what))
    }

    /// The next element must be exactly these bytes.
    pub(crate) fn exactly(&mut self, bytes: &[u8], rule: &str) -> Result<(), Refusal> {
        let found = self.any()?;
        if found.whole == bytes {
            Ok(())
        } else {
            Err(self.refusal(rule))
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), Refusal> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.refusal("has bytes after its end, or members outside the profile"))
        }
    }

    /// A refusal that names what is read.
    pub(crate) fn refusal(&self, rule: &str) -> Refusal {
        Refusal(format!("{} {rule}", self.what))
    }

    /// Length of the header, length of the content.
    fn header(&self) -> Option<(usize, usize)> {
        let tag = *self.rest.first()?;
        let first = *self.rest.get(1)?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        if first < 0x80 {
            return Some((2, usize::from(first)));
        }
        let octets = usize::from(first & 0x7f);
        if !(1..=4).contains(&octets) {
            return None;
        }
        let bytes = self.rest.get(2..2 + octets)?;
        let len = bytes
            .iter()
            .fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
        // X.690 §10.1: the fewest octets.
        let minimal = len >= 0x80 && bytes.first() != Some(&0);
        minimal.then_some((2 + octets, len))
    }
}

/// An element from the concatenation of `parts`.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = Vec::with_capacity(len + 6);
    out.push(tag);
    let octets = len.to_be_bytes();
    let significant = octets.iter().skip_while(|octet| **octet == 0);
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let count = significant.clone().count();
            // A usize has at most eight octets.
            out.push(0x80 | u8::try_from(count).unwrap_or(8));
            out.extend(significant);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// SEQUENCE.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// SET OF under `tag`, in ascending order of the encodings (X.690 §11.6).
pub(crate) fn set_of(tag: u8, mut members: Vec<Vec<u8>>) -> Vec<u8> {
    members.sort();
    let parts: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
    element(tag, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Option<usize>) {
        let mut reader = Reader::new(bytes, "it");
        let read = reader.any().ok().filter(|_| reader.end().is_ok());
        assert_eq!(
            read.map(|element| element.content.len()),
            expected,
            "{bytes:02x?}"
        );
    }

    #[test]
    fn a_length_has_one_spelling() {
        check(&[0x04, 0], Some(0));
        check(&[0x04, 1, 7], Some(1));
        check(&[0x04, 0x81, 1, 7], None);
        check(&[0x04, 0x80, 0, 0], None);
        check(&[0x04, 2, 7], None);
        check(&[0x04, 1, 7, 7], None);
        check(&[0x1f, 1, 7], None);
        check(&[0x04, 0x85, 0, 0, 0, 0, 1, 7], None);
        check(&[], None);
    }

    #[test]
    fn what_is_written_is_read() {
        for len in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            check(&element(tag::OCTET_STRING, &[&vec![7; len]]), Some(len));
        }
    }
}
