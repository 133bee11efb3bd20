//! Finger positions by their ANSI/NIST-ITL codes, and sets of them.

/// A friction ridge position (ANSI/NIST-ITL 1-2011, table 12): 1 to 5 right thumb to little finger, 6 to 10 left
/// thumb to little finger, 13 right four fingers, 14 left four fingers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finger(u8);

impl Finger {
    /// Right four fingers.
    pub const RIGHT_SLAP: Self = Self(13);
    /// Left four fingers.
    pub const LEFT_SLAP: Self = Self(14);

    /// The position with this code; none if the code is not one of those above.
    pub fn new(code: u32) -> Option<Self> {
        let code = u8::try_from(code).ok()?;
        matches!(code, 1..=10 | 13 | 14).then_some(Self(code))
    }

    /// The code.
    pub fn code(self) -> u8 {
        self.0
    }

    /// Whether it is four fingers at once.
    pub fn is_slap(self) -> bool {
        self.0 > 10
    }
}

/// A set of positions, as the contract carries it: bit n is position n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fingers(u32);

impl Fingers {
    /// The set with these bits; bits that name no position are dropped.
    pub fn from_bits(bits: u32) -> Self {
        (0..32)
            .filter(|code| bits >> code & 1 == 1)
            .filter_map(Finger::new)
            .collect()
    }

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether `finger` is in it.
    pub fn contains(self, finger: Finger) -> bool {
        self.0 >> finger.code() & 1 == 1
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The positions, lowest code first.
    pub fn iter(self) -> impl Iterator<Item = Finger> {
        (1..=14)
            .filter_map(Finger::new)
            .filter(move |finger| self.contains(*finger))
    }
}

impl FromIterator<Finger> for Fingers {
    fn from_iter<I: IntoIterator<Item = Finger>>(fingers: I) -> Self {
        Self(
            fingers
                .into_iter()
                .fold(0, |bits, finger| bits | 1 << finger.code()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_positions_and_nothing_else() {
        let set = Fingers::from_bits(u32::MAX);
        assert_eq!(
            set.iter().map(Finger::code).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14]
        );
        assert_eq!(
            Fingers::from_bits(1 << 13).iter().collect::<Vec<_>>(),
            [Finger::RIGHT_SLAP]
        );
        assert_eq!(Finger::new(11), None);
        assert_eq!(Finger::new(300), None);
    }
}
