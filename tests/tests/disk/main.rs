//! A station on a disk that fails (FUSE, tests/faultfs): killed at each durable step, refused at any call, without power at
//! any moment, a title is handed over once, and CERT's dossier is the one it would have been. Each call of the store and
//! of the courier alone is disturbed in their own crates' tests.
//!
//! CI runs a part that the seed chooses. `cargo xtask faults disk` sets `RECUEIL_FAULTS_SEED`, and by `RECUEIL_FAULTS_STORIES`
//! how many disturbed stories each test tells; with 0 the steps and the calls are all of them.

mod calls;
mod cuts;
mod steps;

use std::time::{Duration, Instant};

use recueil_faultfs::{Action, Random, number_from};
use recueil_tests::{HandOver, Outcome, Trouble, say};

fn word(action: Action) -> String {
    match action {
        Action::Fail(errno) => format!("{errno}, once,"),
        Action::FailOn(errno) => format!("{errno}, from then on,"),
        other => format!("{other:?}"),
    }
}

/// The first seed.
fn seed() -> u64 {
    number_from("RECUEIL_FAULTS_SEED", 1)
}

/// How many of `all`, where CI takes so many.
fn stories(in_ci: usize, all: usize) -> usize {
    let asked = number_from("RECUEIL_FAULTS_STORIES", u64::try_from(in_ci).unwrap_or(u64::MAX));
    match usize::try_from(asked) {
        Ok(0) | Err(_) => all,
        Ok(asked) => asked.min(all),
    }
}

/// So many of them, chosen by the seed, in an order of chance.
fn some_of<T>(mut all: Vec<T>, count: usize, random: &mut Random) -> Vec<T> {
    for last in (1..all.len()).rev() {
        all.swap(last, random.below(last + 1));
    }
    all.truncate(count);
    all
}

/// What the stories of a test had in common.
#[derive(Debug)]
struct Sum {
    begun: Instant,
    stories: usize,
    met: usize,
    told: usize,
    ended: usize,
    slowest: (Duration, String),
}

impl Sum {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            stories: 0,
            met: 0,
            told: 0,
            ended: 0,
            slowest: (Duration::ZERO, String::new()),
        }
    }

    /// Tells one story.
    async fn add(&mut self, story: &mut HandOver, trouble: Trouble) -> anyhow::Result<Outcome> {
        let begun = Instant::now();
        let outcome = story.disturbed(trouble).await?;
        if begun.elapsed() > self.slowest.0 {
            let met = outcome.met.as_ref().map(ToString::to_string).unwrap_or_default();
            self.slowest = (begun.elapsed(), format!("{} at {met}", word(trouble.action)));
        }
        self.stories += 1;
        self.met += usize::from(outcome.met.is_some());
        self.told += outcome.errors.len();
        self.ended += outcome.ended.len();
        Ok(outcome)
    }

    /// A story that went wrong ended the test.
    fn say(&self, what: &str) {
        say(&format!(
            "{what}: {} of {} stories were disturbed (seed {}): 0 lost, 0 doubled, 0 erased early, each dossier equal to the \
             undisturbed; the agent was told {} times, services ended {} times; {:.0?}, the longest {:.1?}: {}",
            self.met,
            self.stories,
            seed(),
            self.told,
            self.ended,
            self.begun.elapsed(),
            self.slowest.0,
            self.slowest.1,
        ));
    }
}
