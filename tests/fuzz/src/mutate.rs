//! Mutations from a seed: small changes of what is known, as libFuzzer makes them, but the same on every machine.

/// Longest input made, bytes.
const LEN_MAX: usize = 16 << 10;
/// Values at the edges of what fields hold.
const EDGES: [u32; 10] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX,
];
/// Pieces of the languages that are spoken here.
const WORDS: [&str; 24] = [
    "null",
    "true",
    "-1",
    "1e308",
    "\"\"",
    "[]",
    "{}",
    "\\u0000",
    "\\ud800",
    "99999999999999999999",
    "..",
    "/",
    "\n",
    "\0",
    "é",
    "\u{202e}",
    "0.5",
    "nan",
    "[[",
    "= ",
    "<a xmlns='u'>",
    "30\u{80}",
    "%00",
    "\r\n\r\n",
];

/// Gives numbers by chance that a seed decides (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

impl Chance {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % end).unwrap_or(0)
    }
}

/// One of the known inputs with one to eight changes.
pub fn mutated(known: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = known.get(chance.below(known.len())).cloned().unwrap_or_default();
    for _change in 0..=chance.below(8) {
        change(&mut bytes, known, chance);
    }
    bytes.truncate(LEN_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, known: &[Vec<u8>], chance: &mut Chance) {
    let place = chance.below(bytes.len() + 1);
    let len = 1 + chance.below(16);
    let end = (place + len).min(bytes.len());
    match chance.below(9) {
        0 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << chance.below(8);
            }
        }
        1 => {
            let [value, ..] = chance.number().to_le_bytes();
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        2 => drop(bytes.drain(place..end)),
        3 => {
            let copy = bytes.get(place..end).unwrap_or_default().to_vec();
            insert(bytes, place, &copy);
        }
        4 => {
            let edge = EDGES.get(chance.below(EDGES.len())).copied().unwrap_or(0);
            let edge = if chance.below(2) == 0 {
                edge.to_le_bytes()
            } else {
                edge.to_be_bytes()
            };
            for (to, from) in bytes.iter_mut().skip(place).zip(edge) {
                *to = from;
            }
        }
        5 => {
            let word = WORDS.get(chance.below(WORDS.len())).copied().unwrap_or_default();
            insert(bytes, place, word.as_bytes());
        }
        6 => {
            let other = known
                .get(chance.below(known.len()))
                .map(Vec::as_slice)
                .unwrap_or_default();
            let from = chance.below(other.len());
            let part: Vec<u8> = other.iter().skip(from).take(len * 4).copied().collect();
            insert(bytes, place, &part);
        }
        7 => bytes.truncate(place),
        _ => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = byte.wrapping_add(1);
            }
        }
    }
}

fn insert(bytes: &mut Vec<u8>, place: usize, part: &[u8]) {
    bytes.splice(place..place, part.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_makes_others() {
        let known = [b"{\"a\": 1}".to_vec(), Vec::new()];
        let make = |seed| {
            let mut chance = Chance(seed);
            (0..50)
                .map(|_index| mutated(&known, &mut chance))
                .collect::<Vec<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        let distinct: std::collections::BTreeSet<_> = make(1).into_iter().collect();
        assert!(distinct.len() > 30, "{}", distinct.len());
    }
}
