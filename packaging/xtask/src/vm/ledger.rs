//! What the station said it had accepted, kept outside the guest, and the comparison with what it finds later.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};

/// All that was said until now (tests/system/vm/agent.py tells what the words mean).
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What each opened dossier was said to hold.
    opened: BTreeMap<String, BTreeSet<String>>,
    sealed: BTreeSet<String>,
    /// What CERT had ingested when the power was last cut.
    ingested: BTreeSet<String>,
    cuts: u32,
}

/// States in which a sealed dossier may be found.
const SEALED: [&str; 7] = [
    "sealed",
    "sending",
    "stored",
    "ingested",
    "in-instruction",
    "production",
    "available",
];

impl Ledger {
    /// Takes all that one boot said: first what was there, which must be all that was said before, then the rest.
    pub(crate) fn compare_and_add(&mut self, told: &str) -> anyhow::Result<()> {
        let mut lines = told.lines();
        let mut states = BTreeMap::new();
        let mut outbox = BTreeSet::new();
        let mut held = BTreeMap::new();
        for line in lines.by_ref() {
            let mut words = line.split(' ').map(str::to_owned);
            match (words.next().unwrap_or_default().as_str(), words.next()) {
                ("outbox", first) => {
                    let names = first.into_iter().chain(words);
                    outbox.extend(names.filter_map(|name| name.strip_suffix(".p7m").map(str::to_owned)));
                }
                ("state", Some(id)) => drop(states.insert(id, words.next().unwrap_or_default())),
                ("holds", Some(id)) => drop(held.insert(id, words.collect::<BTreeSet<_>>())),
                ("looked", None) => break,
                _ => {}
            }
        }
        self.compare(&states, &held, &outbox)?;
        for (id, state) in &states {
            // One that was sealed, or opened, without its answer having come out.
            self.opened.entry(id.clone()).or_default();
            if SEALED.contains(&state.as_str()) {
                self.sealed.insert(id.clone());
            }
        }
        lines.try_for_each(|line| self.add(line))
    }

    fn compare(
        &self,
        states: &BTreeMap<String, String>,
        held: &BTreeMap<String, BTreeSet<String>>,
        outbox: &BTreeSet<String>,
    ) -> anyhow::Result<()> {
        for (id, before) in &self.opened {
            let state = states
                .get(id)
                .with_context(|| format!("LOST: {id} was opened and is not there"))?;
            if self.sealed.contains(id) {
                if !SEALED.contains(&state.as_str()) {
                    bail!("LOST: {id} was sealed and is {state}");
                }
                if !self.ingested.contains(id) && !outbox.contains(id) {
                    bail!("ERASED EARLY: {id} was sealed, CERT has not ingested it, and its parcel is gone");
                }
            } else if state == "draft" {
                let now = held
                    .get(id)
                    .with_context(|| format!("{id} says nothing of what it holds"))?;
                let lost: Vec<_> = before.difference(now).collect();
                if !lost.is_empty() {
                    bail!("LOST: {id} held {lost:?} and does not any more");
                }
            } else if !SEALED.contains(&state.as_str()) {
                bail!("LOST: {id} was a draft and is {state}");
            }
        }
        Ok(())
    }

    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let mut words = line.split(' ').map(str::to_owned);
        match (words.next().unwrap_or_default().as_str(), words.next()) {
            ("opened", Some(id)) => drop(self.opened.entry(id).or_default()),
            ("holds", Some(id)) => self.opened.entry(id).or_default().extend(words),
            ("sealed", Some(id)) => {
                anyhow::ensure!(self.sealed.insert(id.clone()), "DOUBLED: {id} was sealed twice");
            }
            _ => {}
        }
        Ok(())
    }

    /// The power was cut, and CERT had ingested these.
    pub(crate) fn cut(&mut self, ingested: BTreeSet<String>) {
        self.ingested = ingested;
        self.cuts += 1;
    }

    /// At the end every dossier is at CERT once, and CERT has nothing else.
    pub(crate) fn compare_with_cert(
        &self,
        ingested: &BTreeSet<String>,
        demandes: usize,
    ) -> anyhow::Result<()> {
        let opened: BTreeSet<String> = self.opened.keys().cloned().collect();
        let lost: Vec<_> = opened.difference(ingested).collect();
        let strange: Vec<_> = ingested.difference(&opened).collect();
        anyhow::ensure!(lost.is_empty(), "LOST: CERT has not got {lost:?}");
        anyhow::ensure!(
            strange.is_empty(),
            "DOUBLED: CERT has {strange:?}, which the station does not know"
        );
        anyhow::ensure!(
            demandes == ingested.len(),
            "DOUBLED: {demandes} demandes were made of {} dossiers",
            ingested.len()
        );
        Ok(())
    }

    /// Where all stands.
    pub(crate) fn summary(&self, ingested: &BTreeSet<String>) -> String {
        format!(
            "{} dossiers opened, {} sealed, {} at CERT",
            self.opened.len(),
            self.sealed.len(),
            ingested.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dossier that holds one item, and one that is sealed.
    fn before() -> Ledger {
        let mut ledger = Ledger::default();
        ledger
            .compare_and_add("outbox *.p7m\nlooked\nopened a\nholds a photo=1\nopened b\nsealing b\nsealed b")
            .unwrap();
        ledger.cut(BTreeSet::new());
        ledger
    }

    fn finds(told: &str) -> String {
        before()
            .compare_and_add(told)
            .map_or_else(|error| error.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn what_is_kept_is_no_fault() {
        assert_eq!(
            finds("outbox b.p7m\nstate a draft\nholds a photo=1 page=2\nstate b sealed\nlooked"),
            "nothing"
        );
    }

    #[test]
    fn what_is_missing_is_a_fault() {
        for (told, fault) in [
            ("outbox b.p7m\nstate b sealed\nlooked", "LOST: a"),
            (
                "outbox b.p7m\nstate a draft\nholds a\nstate b sealed\nlooked",
                "LOST: a held",
            ),
            (
                "outbox b.p7m\nstate a draft\nholds a photo=2\nstate b sealed\nlooked",
                "LOST: a held",
            ),
            (
                "outbox b.p7m\nstate a draft\nholds a photo=1\nstate b draft\nholds b\nlooked",
                "LOST: b was sealed",
            ),
            (
                "outbox b.p7m\nstate a expired\nstate b sealed\nlooked",
                "LOST: a was a draft",
            ),
            (
                "outbox\nstate a draft\nholds a photo=1\nstate b stored\nlooked",
                "ERASED EARLY: b",
            ),
        ] {
            assert!(finds(told).starts_with(fault), "{told}: {}", finds(told));
        }
    }

    #[test]
    fn a_parcel_may_be_gone_once_cert_has_it() {
        let mut ledger = before();
        ledger.cut(BTreeSet::from(["b".to_owned()]));
        let told = "outbox *.p7m\nstate a draft\nholds a photo=1\nstate b sealed\nlooked";
        ledger.compare_and_add(told).unwrap();
    }

    #[test]
    fn each_dossier_is_at_cert_once() {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let ledger = before();
        assert!(ledger.compare_with_cert(&set(&["a", "b"]), 2).is_ok());
        for (ingested, demandes) in [
            (set(&["a"]), 1),
            (set(&["a", "b", "c"]), 3),
            (set(&["a", "b"]), 3),
        ] {
            assert!(ledger.compare_with_cert(&ingested, demandes).is_err());
        }
    }
}
