//! Killed before and after each durable step: whoever takes it, and whoever looks on.

use std::collections::BTreeMap;

use recueil_faultfs::{Action, FaultFs, Moment, Random};
use recueil_tests::{At, HandOver, STEPS, Taken, Trouble, everybody, say, skipped, steps_taken};

use crate::{Sum, seed, some_of, stories};

/// Disturbed stories in CI: each step at one side of it, and some more.
const KILLS: usize = 40;
/// And with somebody else killed.
const OTHERS: usize = 12;
const SIDES: [Moment; 2] = [Moment::Before, Moment::After];

/// Undisturbed stories in which every step must have come once: news of the courier that follow each other closely may be
/// one row.
const UNDISTURBED_MAX: usize = 5;

/// A station, and how often each step comes in a story of it. Each comes.
async fn station(seed: u64) -> anyhow::Result<(HandOver, BTreeMap<usize, Taken>)> {
    let mut story = HandOver::start(seed).await?;
    let mut never = Vec::new();
    for _ in 0..UNDISTURBED_MAX {
        let log = story.undisturbed().await?;
        let taken = steps_taken(&log, &story.users())?;
        let all = STEPS.iter().enumerate();
        never = all
            .filter(|(index, _)| !taken.contains_key(index))
            .map(|(_, step)| step.name)
            .collect();
        if never.is_empty() {
            return Ok((story, taken));
        }
    }
    anyhow::bail!("steps that never came: {never:?}")
}

/// Each time each step is taken, before and after it; what one `action` makes of that.
fn everywhere(taken: &BTreeMap<usize, Taken>, action: impl Fn(Moment) -> Action) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for (step, Taken(numbers)) in taken {
        for number in numbers {
            troubles.extend(SIDES.map(|moment| Trouble {
                at: At::Step(&STEPS[*step], *number),
                action: action(moment),
                victim: None,
            }));
        }
    }
    troubles
}

/// In the same order, but for this: no step a second time before each has come once.
fn each_step_first(troubles: Vec<Trouble>) -> Vec<Trouble> {
    let mut seen = BTreeMap::new();
    let mut counted = Vec::new();
    for trouble in troubles {
        let At::Step(step, _) = trouble.at else { continue };
        let times = seen.entry((step.service, step.name)).or_insert(0);
        *times += 1;
        counted.push((*times, trouble));
    }
    counted.sort_by_key(|(times, _)| *times);
    counted.into_iter().map(|(_, trouble)| trouble).collect()
}

#[tokio::test]
async fn killed_before_and_after_each_step_there_is_one_dossier_and_it_is_whole() -> anyhow::Result<()> {
    if skipped() {
        return Ok(());
    }
    let (mut story, taken) = station(seed()).await?;
    let all = everywhere(&taken, Action::Kill);
    let (count, every) = (stories(KILLS, all.len()), all.len());
    let mixed = some_of(all, every, &mut Random::new(seed()));
    let mut sum = Sum::begin();
    for trouble in each_step_first(mixed).into_iter().take(count) {
        let outcome = sum.add(&mut story, trouble).await?;
        if let (Some(_), At::Step(step, _)) = (&outcome.met, trouble.at) {
            assert!(outcome.ended.contains(&step.service), "{trouble:?}: {outcome:?}");
        }
    }
    sum.say("killed at its own step");
    assert!(sum.met * 10 >= sum.stories * 9, "too few steps were met");
    Ok(())
}

#[tokio::test]
async fn whoever_is_killed_while_another_takes_a_step_there_is_one_dossier() -> anyhow::Result<()> {
    if skipped() {
        return Ok(());
    }
    let (mut story, taken) = station(seed()).await?;
    let mut all = Vec::new();
    for trouble in everywhere(&taken, Action::Hold) {
        let At::Step(step, _) = trouble.at else { continue };
        all.extend(
            everybody()
                .filter(|victim| *victim != step.service)
                .map(|victim| Trouble {
                    victim: Some(victim),
                    ..trouble
                }),
        );
    }
    let count = stories(OTHERS, all.len());
    let (mut sum, mut absent) = (Sum::begin(), 0);
    for trouble in some_of(all, count, &mut Random::new(seed())) {
        let outcome = sum.add(&mut story, trouble).await?;
        absent += usize::from(outcome.met.is_some() && !outcome.was_there);
    }
    sum.say("killed at another's step");
    say(&format!("{absent} times the victim did not run at that step"));
    Ok(())
}

#[test]
fn a_step_that_is_not_in_the_list_is_named() -> anyhow::Result<()> {
    if skipped() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let disk = FaultFs::mount(folder.path())?;
    std::fs::create_dir_all(folder.path().join("state/else"))?;
    let own = rustix::process::geteuid().as_raw();
    let error = steps_taken(&disk.log(), &[("recueild", own)]).unwrap_err();
    assert!(error.to_string().contains("MakeFolder state"), "{error}");
    Ok(())
}
