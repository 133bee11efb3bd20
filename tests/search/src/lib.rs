//! Looking for what must not be anywhere: runs of pixels and of encoded pictures, in files and in memory.
//!
//! A window is 32 bytes. Of encoded pictures every window is looked for, of pixels every sixteenth, so that a run of
//! 47 bytes is found wherever it begins. Windows that would be found by chance are left out: those of fewer than
//! eight different bytes (white paper, zeros), and those that two different pictures share, which are their
//! format's or their paper's and nobody's picture.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Bytes of a window.
pub const WINDOW: usize = 32;
/// Of pixels, every such window.
pub const PIXEL_STEP: usize = 16;
/// Different bytes that a window needs.
const VARIETY: u32 = 8;
/// A prime; the hash of a window is a polynomial in it, modulo 2 to the 64th (Karp and Rabin 1987).
const BASE: u64 = 0x0000_0100_0000_01b3;
/// Bits of the filter before the exact look-up.
const FILTER_BITS: u32 = 27;
/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// Pictures that are looked for.
#[derive(Debug, Default)]
pub struct Needles {
    names: Vec<String>,
    bytes: Vec<Vec<u8>>,
    steps: Vec<usize>,
    /// Pictures of which the windows are in `all`.
    indexed: usize,
    /// Hash of a window, which picture, where in it. Sorted.
    all: Vec<(u64, u32, u32)>,
    /// Those of one picture alone.
    windows: Vec<(u64, u32, u32)>,
    filter: Vec<u64>,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Which picture.
    pub what: String,
    /// Where: a file, or a process and its memory.
    pub place: String,
}

impl Needles {
    /// Pixels of a picture.
    pub fn pixels(&mut self, name: &str, bytes: Vec<u8>) {
        self.add(name, bytes, PIXEL_STEP);
    }

    /// A picture as it is encoded.
    pub fn encoded(&mut self, name: &str, bytes: Vec<u8>) {
        self.add(name, bytes, 1);
    }

    fn add(&mut self, name: &str, bytes: Vec<u8>, step: usize) {
        self.names.push(name.to_owned());
        self.bytes.push(bytes);
        self.steps.push(step);
    }

    /// Pictures, and windows that are looked for.
    pub fn size(&mut self) -> (usize, usize) {
        self.index();
        (self.names.len(), self.windows.len())
    }

    /// Whether these very bytes are looked for already.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.bytes.iter().any(|known| known == bytes)
    }

    /// Of each picture a part of that length that is found: it begins in the middle of what is looked for, where
    /// no step begins.
    pub fn samples(&mut self, len: usize) -> Vec<(String, Vec<u8>)> {
        self.index();
        let mut samples = Vec::new();
        for (which, (name, bytes)) in (0_u32..).zip(self.names.iter().zip(&self.bytes)) {
            let own: Vec<u32> = self
                .windows
                .iter()
                .filter(|window| window.1 == which)
                .map(|window| window.2)
                .collect();
            let Some(at) = own.get(own.len() / 2).map(|at| whole(*at)) else {
                continue;
            };
            let start = (at + WINDOW).saturating_sub(len);
            samples.push((name.clone(), bytes[start..start + len].to_vec()));
        }
        samples
    }

    fn index(&mut self) {
        if self.indexed == self.bytes.len() {
            return;
        }
        for (which, bytes) in (0_u32..).zip(&self.bytes).skip(self.indexed) {
            let step = self.steps[whole(which)];
            let all = &mut self.all;
            roll(bytes, |at, hash| {
                if at % step == 0 && is_varied(&bytes[at..at + WINDOW]) {
                    all.push((hash, which, u32::try_from(at).unwrap_or(u32::MAX)));
                }
            });
        }
        self.indexed = self.bytes.len();
        self.all.sort_unstable();
        self.windows = without_shared(&self.all);
        self.filter = vec![0; 1 << (FILTER_BITS - 6)];
        for (hash, _, _) in &self.windows {
            let (word, bit) = place(*hash);
            self.filter[word] |= bit;
        }
    }

    /// The same as [`Self::look`], quickly past pages of zeros, of which memory is full.
    fn look_past_zeros(&self, bytes: &[u8], found: &mut BTreeSet<u32>) {
        const PAGE: usize = 4096;
        static ZEROS: [u8; PAGE] = [0; PAGE];
        let mut start = None;
        let pages = bytes.chunks(PAGE).enumerate();
        for (number, page) in pages {
            if page == &ZEROS[..page.len()] {
                if let Some(start) = start.take() {
                    // Windows may reach into the zeros.
                    let end = (number * PAGE + WINDOW).min(bytes.len());
                    self.look(&bytes[start..end], found);
                }
            } else if start.is_none() {
                start = Some((number * PAGE).saturating_sub(WINDOW));
            }
        }
        if let Some(start) = start {
            self.look(&bytes[start..], found);
        }
    }

    /// Names of pictures of which some window is in these bytes.
    fn look(&self, bytes: &[u8], found: &mut BTreeSet<u32>) {
        roll(bytes, |at, hash| {
            let (word, bit) = place(hash);
            if self.filter[word] & bit == 0 {
                return;
            }
            let first = self.windows.partition_point(|window| window.0 < hash);
            for (_, which, from) in self.windows[first..].iter().take_while(|window| window.0 == hash) {
                let from = whole(*from);
                if self.bytes[whole(*which)][from..from + WINDOW] == bytes[at..at + WINDOW] {
                    found.insert(*which);
                }
            }
        });
    }

    fn found(&self, which: BTreeSet<u32>, place: &str) -> Vec<Found> {
        let found = which.into_iter().map(|which| Found {
            what: self.names[whole(which)].clone(),
            place: place.to_owned(),
        });
        found.collect()
    }

    /// Looks at a file from its start, or from where it has what its hole is followed by.
    fn file(&self, file: &File, len: u64, place: &str) -> anyhow::Result<Vec<Found>> {
        let mut found = BTreeSet::new();
        self.range(file, 0, len, &mut found)?;
        Ok(self.found(found, place))
    }

    fn range(&self, file: &File, start: u64, end: u64, found: &mut BTreeSet<u32>) -> anyhow::Result<()> {
        let mut chunk = vec![0; CHUNK + WINDOW];
        let mut at = start;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(chunk.len());
            let read = match file.read_at(&mut chunk[..want], at) {
                Ok(0) => break,
                Ok(read) => read,
                // A page of a device or one that was given back.
                Err(_unreadable) => {
                    at += 4096;
                    continue;
                }
            };
            self.look_past_zeros(&chunk[..read], found);
            let next = at + u64::try_from(read)?;
            if next >= end {
                break;
            }
            // Windows that lie on the border.
            at = next - u64::try_from((WINDOW - 1).min(read - 1))?;
        }
        Ok(())
    }

    /// Looks at every file under a folder, `except` these folders. Gives what was found, and how many files and
    /// bytes were looked at.
    pub fn folder(&mut self, dir: &Path, except: &[PathBuf]) -> anyhow::Result<(Vec<Found>, usize, u64)> {
        self.index();
        let (mut found, mut files, mut bytes) = (Vec::new(), 0, 0);
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
            for entry in entries {
                let entry = entry?;
                let path = entry.path();
                let kind = entry.file_type()?;
                if except.contains(&path) {
                    continue;
                }
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    let Ok(file) = File::open(&path) else { continue };
                    let len = file.metadata()?.len();
                    found.extend(self.file(&file, len, &path.display().to_string())?);
                    files += 1;
                    bytes += len;
                }
            }
        }
        Ok((found, files, bytes))
    }

    /// Looks at one file.
    pub fn one_file(&mut self, path: &Path) -> anyhow::Result<Vec<Found>> {
        self.index();
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        self.file(&file, len, &path.display().to_string())
    }

    /// Looks at the memory that a process can write, and at the memory that it holds by descriptor. Gives how many
    /// bytes were looked at. Needs root.
    pub fn process(&mut self, pid: u32, name: &str) -> anyhow::Result<(Vec<Found>, u64)> {
        self.index();
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut maps = String::new();
        File::open(format!("/proc/{pid}/maps"))?.read_to_string(&mut maps)?;
        let memory = File::open(format!("/proc/{pid}/mem")).with_context(|| format!("memory of {name}"))?;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else {
                continue;
            };
            let what = words.nth(3).unwrap_or("its own");
            if !rights.contains('w') || what.starts_with("/dev/") {
                continue;
            }
            let (start, end) = range.split_once('-').context("a range")?;
            let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
            let mut which = BTreeSet::new();
            self.range(&memory, start, end, &mut which)?;
            bytes += end - start;
            found.extend(self.found(which, &format!("{name} {pid}: {what}")));
        }
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
            let Ok(target) = std::fs::read_link(entry.path()) else {
                continue;
            };
            if target.to_string_lossy().starts_with("/memfd:")
                && let Ok(file) = File::open(entry.path())
            {
                let len = file.metadata()?.len();
                let place = format!("{name} {pid}: {}", target.display());
                found.extend(self.file(&file, len, &place)?);
                bytes += len;
            }
        }
        Ok((found, bytes))
    }
}

/// Calls `each` with every place where a window begins, and its hash.
fn roll(bytes: &[u8], mut each: impl FnMut(usize, u64)) {
    if bytes.len() < WINDOW {
        return;
    }
    let mut leaving = 1_u64;
    let mut hash = 0_u64;
    for byte in &bytes[..WINDOW] {
        hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(*byte));
        leaving = leaving.wrapping_mul(BASE);
    }
    each(0, hash);
    let mut at = 0;
    while at + WINDOW < bytes.len() {
        hash = hash
            .wrapping_mul(BASE)
            .wrapping_add(u64::from(bytes[at + WINDOW]))
            .wrapping_sub(leaving.wrapping_mul(u64::from(bytes[at])));
        at += 1;
        each(at, hash);
    }
}

/// Places are kept in four bytes, of which there are millions.
fn whole(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

fn place(hash: u64) -> (usize, u64) {
    // The high bits of a product depend on all bits of the hash (Knuth, multiplicative hashing).
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS);
    (usize::try_from(mixed >> 6).unwrap_or_default(), 1 << (mixed & 63))
}

fn is_varied(window: &[u8]) -> bool {
    let mut seen = [0_u64; 4];
    for byte in window {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    let different: u32 = seen.iter().map(|bits| bits.count_ones()).sum();
    different >= VARIETY
}

/// Sorted windows without those that two pictures have.
fn without_shared(windows: &[(u64, u32, u32)]) -> Vec<(u64, u32, u32)> {
    let same = windows.chunk_by(|left, right| left.0 == right.0);
    let own = same.filter(|group| group.iter().all(|window| window.1 == group[0].1));
    own.filter_map(|group| group.first().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look random (xorshift64*, Vigna 2016).
    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut draw = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            u8::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56).unwrap()
        };
        (0..len).map(|_| draw()).collect()
    }

    #[test]
    fn a_run_is_found_wherever_it_begins_and_a_shorter_one_is_not() {
        let (pixels, encoded) = (noise(1, 4000), noise(2, 4000));
        let mut needles = Needles::default();
        needles.pixels("pixels", pixels.clone());
        needles.encoded("encoded", encoded.clone());
        needles.index();
        for at in [0, 1, 7, 8, 1003, 3950] {
            for (of, len, whole) in [(&pixels, WINDOW + PIXEL_STEP - 1, 0), (&encoded, WINDOW, 1)] {
                let mut hay = noise(3, 5000);
                hay[100..100 + len].copy_from_slice(&of[at..at + len]);
                let mut found = BTreeSet::new();
                needles.look(&hay, &mut found);
                assert_eq!(found, BTreeSet::from([whole]), "{at}");
                hay[110] ^= 1;
                found.clear();
                needles.look(&hay[..100 + len - 9], &mut found);
                assert!(found.is_empty());
            }
        }
    }

    #[test]
    fn what_is_everybodys_is_not_looked_for() {
        let head = noise(4, 300);
        let mut needles = Needles::default();
        for seed in [5, 6] {
            needles.encoded(
                "picture",
                [head.clone(), vec![255; 300], noise(seed, 300)].concat(),
            );
        }
        needles.index();
        let mut found = BTreeSet::new();
        needles.look(&[head, vec![255; 600]].concat(), &mut found);
        assert!(found.is_empty());
    }

    #[test]
    fn a_run_on_the_border_of_two_reads_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let secret = noise(7, 1000);
        let mut needles = Needles::default();
        needles.encoded("secret", secret.clone());
        for at in [CHUNK - 16, CHUNK + WINDOW - 16, 2 * CHUNK + 1] {
            let mut hay = vec![0; 3 * CHUNK];
            hay[at..at + WINDOW].copy_from_slice(&secret[500..500 + WINDOW]);
            let path = dir.path().join("hay");
            std::fs::write(&path, hay).unwrap();
            assert_eq!(needles.one_file(&path).unwrap().len(), 1, "{at}");
        }
    }
}
