//! `parsers.toml` says all and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test may fail and print as it does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use recueil_fuzz::{TARGETS, corpus};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    parsers: BTreeMap<String, Vec<String>>,
    inside: BTreeMap<String, String>,
}

fn table() -> Table {
    toml::from_str(include_str!("../parsers.toml")).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Words by which a reader of bytes or texts is known. A file that has one reads something.
const WORDS: [&str; 16] = [
    "from_slice",
    "from_str(",
    "from_str::",
    "from_reader",
    "from_der",
    "from_pem",
    "from_utf8",
    "from_le_bytes",
    "from_be_bytes",
    "load_from_memory",
    "fn parse",
    "fn decode",
    "FromStr for",
    ".parse()",
    ".parse::<",
    "Deserializer",
];
/// Folders whose code runs on a station, and the simulator that judges it.
const FOLDERS: [&str; 4] = ["daemon", "plugins", "sdk", "tests/cert/src"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // Tests parse what they made; `fuzzing.rs` calls the readers for the targets.
        if path.is_dir() && !matches!(name, "tests" | "examples" | "target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !matches!(name, "tests.rs" | "fuzzing.rs")
        {
            found.push(path);
        }
    }
}

#[test]
fn every_file_that_parses_has_a_target_or_a_reason() {
    let table = table();
    let mut found = Vec::new();
    for folder in FOLDERS {
        sources(&root().join(folder), &mut found);
    }
    assert!(found.len() > 100, "the sources are there");
    let unlisted: Vec<_> = found
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            WORDS.iter().any(|word| text.contains(word))
        })
        .map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned())
        .filter(|path| !table.parsers.contains_key(path) && !table.inside.contains_key(path))
        .collect();
    assert!(
        unlisted.is_empty(),
        "these files parse: give each a fuzz target in tests/fuzz/parsers.toml, or say why it needs none: {unlisted:#?}"
    );
}

#[test]
fn every_file_listed_is_there_and_in_one_list() {
    let table = table();
    for file in table.parsers.keys().chain(table.inside.keys()) {
        assert!(root().join(file).is_file(), "{file} does not exist");
    }
    for (file, why) in &table.inside {
        assert!(!table.parsers.contains_key(file), "{file} stands in both lists");
        assert!(!why.is_empty());
    }
}

#[test]
fn every_target_is_listed_and_every_listed_target_exists() {
    let table = table();
    let listed: BTreeSet<&str> = table.parsers.values().flatten().map(String::as_str).collect();
    let existing: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(existing.len(), TARGETS.len(), "names are unique");
    // What a whole container is made of is listed by its parts.
    assert_eq!(
        existing.difference(&listed).collect::<Vec<_>>(),
        Vec::<&&str>::new()
    );
    assert_eq!(
        listed.difference(&existing).collect::<Vec<_>>(),
        Vec::<&&str>::new()
    );
    assert!(table.parsers.values().all(|targets| !targets.is_empty()));
}

#[test]
fn each_target_has_seeds_and_all_of_them_are_small() {
    let mut total = 0;
    let folders: BTreeSet<String> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, names);
    for name in &names {
        let sizes: Vec<u64> = fs::read_dir(corpus().join(name))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect();
        assert!(!sizes.is_empty(), "{name} has no seeds");
        assert!(
            sizes.iter().all(|size| *size <= 64 << 10),
            "{name} has a seed of more than 64 KiB"
        );
        total += sizes.iter().sum::<u64>();
    }
    assert!(total < 2 << 20, "{total} bytes of seeds");
}
