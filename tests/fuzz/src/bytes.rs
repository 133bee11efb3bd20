//! Numbers and parts taken off the front of an input. At its end all numbers are 0 and all parts empty.

/// What is left of an input.
#[derive(Debug, Clone)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// The next two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// The next four bytes.
    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A number of `0..=most`.
    pub fn up_to(&mut self, most: u32) -> u32 {
        u32::from(self.short()) % (most + 1)
    }

    /// True once in `times`, and never at the end.
    pub fn once_in(&mut self, times: u8) -> bool {
        self.byte() % times == 1
    }

    /// A part with its length before it.
    pub fn part(&mut self) -> &'a [u8] {
        let len = usize::from(self.short()).min(self.0.len());
        self.take(len)
    }

    /// A text with its length before it; what is no UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.part()).into_owned()
    }

    /// The next `len` bytes, or what there is.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (part, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        part
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        for (to, from) in array.iter_mut().zip(self.take(N)) {
            *to = *from;
        }
        array
    }
}
