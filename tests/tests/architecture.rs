//! ARCHITECTURE.md promises tests by their names: each must exist, and none may be ignored.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use recueil_tests::project_path;

/// Every test of the project by its function's name, and whether it is ignored.
fn tests(dir: &Path, found: &mut BTreeMap<String, bool>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                tests(&path, found)?;
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path)?;
            for (start, _) in text.match_indices("fn ") {
                let before = text[..start].trim_end().trim_end_matches("async").trim_end();
                let attributes: Vec<&str> = before
                    .lines()
                    .rev()
                    .map(str::trim)
                    .take_while(|line| line.starts_with('#'))
                    .collect();
                if attributes
                    .iter()
                    .any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
                {
                    let name = text[start + 3..].split(['(', '<']).next().unwrap_or_default();
                    let ignored = attributes.iter().any(|line| line.contains("ignore"));
                    found.insert(name.to_owned(), ignored);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn each_test_that_the_architecture_names_exists_and_runs() -> anyhow::Result<()> {
    let mut found = BTreeMap::new();
    tests(&project_path(""), &mut found)?;
    let text = std::fs::read_to_string(project_path("ARCHITECTURE.md"))?;
    let (_, table) = text
        .split_once("## What is tested where")
        .context("the table is missing")?;
    let table = table.split("\n## ").next().unwrap_or_default();
    let named: Vec<&str> = table
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains('_') && !name.contains('/'))
        .collect();
    anyhow::ensure!(named.len() > 40, "the table names {} tests only", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !found.contains_key(**name)).collect();
    anyhow::ensure!(
        missing.is_empty(),
        "the table names tests that do not exist: {missing:?}"
    );
    let ignored: Vec<_> = named
        .iter()
        .filter(|name| found.get(**name) == Some(&true))
        .collect();
    anyhow::ensure!(
        ignored.is_empty(),
        "the table names tests that are ignored: {ignored:?}"
    );
    Ok(())
}

/// The state table as the document shows it.
fn states() -> String {
    use recueil_dossier::{Actor, Durable, TRANSITIONS};
    let lines = TRANSITIONS.iter().map(|line| {
        let actor = match line.actor {
            Actor::Agent => "agent",
            Actor::Station => "recueild",
            Actor::Courier => "courier",
            Actor::Cert => "CERT",
        };
        let durable = match line.durable {
            Durable::Row => "row",
            Durable::KeyDestroyed => "key destroyed, row",
            Durable::ParcelThenKeyDestroyed => "parcel, row, key destroyed",
            Durable::ReceiptThenRow => "receipt, row",
            Durable::ReceiptThenParcelErased => "receipt, row, parcel erased",
        };
        format!(
            "| {} | {:?} | {} | {actor} | {durable} |\n",
            line.from.as_str(),
            line.event,
            line.to.as_str()
        )
    });
    let head = "| from | event | to | by | durable first |\n|---|---|---|---|---|\n";
    head.chars().chain(lines.collect::<String>().chars()).collect()
}

#[test]
fn the_state_table_of_the_document_is_the_one_of_the_code() -> anyhow::Result<()> {
    let text = std::fs::read_to_string(project_path("ARCHITECTURE.md"))?;
    let table = states();
    anyhow::ensure!(
        text.contains(&table),
        "ARCHITECTURE.md should hold this table:\n{table}"
    );
    Ok(())
}
