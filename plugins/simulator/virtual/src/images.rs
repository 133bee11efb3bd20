//! The folder of real images, read once at the start. Nothing else in the project reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::Error;
use crate::compose::hand::{Change, Finger, Hands, Print};
use crate::compose::photo::Portrait;

/// Largest image file.
const FILE_MAX_BYTES: u64 = 32 << 20;

/// Everything that devices can show.
#[derive(Debug)]
pub struct Images {
    /// Prints by finger.
    pub hands: Hands,
    /// Photos by name.
    pub portraits: BTreeMap<String, Portrait>,
    /// The photo that is shown when a scenario names none.
    pub default_portrait: String,
}

/// `images.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    /// The name of one of `portraits`.
    default_portrait: String,
    /// Files by name.
    portraits: BTreeMap<String, PathBuf>,
    /// By ANSI/NIST-ITL position.
    fingers: BTreeMap<String, Source>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    /// A PGM file, binary, 8 bits, 500 ppi.
    print: PathBuf,
    #[serde(default)]
    change: Change,
}

impl Images {
    /// Reads a folder by its `images.toml`.
    ///
    /// # Errors
    /// If a file is missing, too large, or not what the index says.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let index_path = dir.join("images.toml");
        let text = String::from_utf8_lossy(&read(&index_path)?).into_owned();
        let index: Index = toml::from_str(&text).map_err(|source| Error::Index {
            path: index_path.clone(),
            source: Box::new(source),
        })?;
        let mut portraits = BTreeMap::new();
        for (name, file) in &index.portraits {
            let path = dir.join(file);
            let portrait = Portrait::decode(&read(&path)?).map_err(|source| Error::Image { path, source })?;
            portraits.insert(name.clone(), portrait);
        }
        if !portraits.contains_key(&index.default_portrait) {
            return Err(Error::Format {
                path: index_path,
                problem: "default_portrait names no portrait",
            });
        }
        Ok(Self {
            hands: hands(dir, &index_path, &index.fingers)?,
            portraits,
            default_portrait: index.default_portrait,
        })
    }

    /// The images of this repository, for tests: `tests/fixtures/images`.
    ///
    /// # Errors
    /// As [`Images::load`].
    pub fn fixtures() -> Result<Self, Error> {
        Self::load(Path::new(Self::FIXTURES))
    }

    /// Where [`Images::fixtures`] reads.
    pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/fixtures/images");

    /// A photo by its name, or the default one.
    pub fn portrait(&self, name: Option<&str>) -> Option<&Portrait> {
        self.portraits.get(name.unwrap_or(&self.default_portrait))
    }
}

fn hands(dir: &Path, index_path: &Path, sources: &BTreeMap<String, Source>) -> Result<Hands, Error> {
    let wrong = |problem| Error::Format {
        path: index_path.to_owned(),
        problem,
    };
    let mut prints: BTreeMap<&Path, Arc<Print>> = BTreeMap::new();
    let mut fingers = BTreeMap::new();
    for (position, source) in sources {
        let position = position.parse().unwrap_or(0);
        if !matches!(position, 1..=10_u8) {
            return Err(wrong("fingers are numbered 1 to 10"));
        }
        if source
            .change
            .stretch
            .iter()
            .any(|part| !(0.5..=2.0).contains(part))
        {
            return Err(wrong("a finger is stretched by less than 0.5 or more than 2"));
        }
        let known = prints.get(source.print.as_path()).map(Arc::clone);
        let print = known.map_or_else(|| print(dir, &source.print).map(Arc::new), Ok)?;
        prints.insert(&source.print, Arc::clone(&print));
        let change = source.change;
        fingers.insert(position, Finger { print, change });
    }
    Ok(Hands(fingers))
}

fn print(dir: &Path, file: &Path) -> Result<Print, Error> {
    let path = dir.join(file);
    pgm(&read(&path)?).ok_or(Error::Format {
        path,
        problem: "not a binary PGM file of 8 bits",
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let wrap = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let length = std::fs::metadata(path).map_err(wrap)?.len();
    if length > FILE_MAX_BYTES {
        return Err(Error::Format {
            path: path.to_owned(),
            problem: "larger than 32 MiB",
        });
    }
    std::fs::read(path).map_err(wrap)
}

/// Netpbm's binary grey format without comments: `P5`, width, height, 255, one white space, pixels.
pub(crate) fn pgm(file: &[u8]) -> Option<Print> {
    let mut words = [0; 3];
    let mut rest = file.strip_prefix(b"P5")?;
    for word in &mut words {
        rest = rest.trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, after) = rest.split_at_checked(digits)?;
        *word = std::str::from_utf8(number).ok()?.parse::<usize>().ok()?;
        rest = after;
    }
    let [width, height, white] = words;
    let pixels = rest.get(1..)?;
    let fits = (1..=4096).contains(&width) && (1..=4096).contains(&height) && white == 255;
    (fits && pixels.len() == width * height).then(|| Print {
        width,
        height,
        pixels: pixels.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pgm_is_read_whole_or_not_at_all() {
        assert_eq!(pgm(b"P5\n2 1\n255\n\x07\x0a").unwrap().pixels, [7, 10]);
        assert!(pgm(b"P5\n2 1\n255\n\x07").is_none(), "a pixel is missing");
        assert!(pgm(b"P5\n0 1\n255\n").is_none());
        assert!(pgm(b"P5\n99999999999999999999 1\n255\n").is_none());
        assert!(pgm(b"P6\n2 1\n255\n\x07\x0a").is_none());
    }

    #[test]
    fn the_fixtures_have_both_hands_and_the_default_photo() {
        let images = Images::fixtures().unwrap();
        let fingers: Vec<u8> = images.hands.0.keys().copied().collect();
        assert_eq!(fingers, [2, 3, 4, 5, 7, 8, 9, 10]);
        assert!(images.portrait(None).is_some());
        assert!(images.portrait(Some("nobody")).is_none());
    }
}
