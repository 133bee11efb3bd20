//! Calls of `recueild` and of the courier fail: the agent is told in words for programs, what he was told before is so, and
//! with the disk in order again the dossier comes to its one end.

use recueil_faultfs::{Action, Errno, Random};
use recueil_tests::{At, HandOver, Trouble, skipped};

use crate::{Sum, seed, some_of, stories};

const ERRORS: [Errno; 4] = [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::MFILE];
/// CERT's disk is not the station's to judge.
const SERVICES: [&str; 2] = ["recueild", "recueil-courier"];
/// Disturbed stories in CI.
const STORIES: usize = 24;

#[tokio::test]
async fn any_call_may_fail_and_the_dossier_comes_to_its_one_end() -> anyhow::Result<()> {
    if skipped() {
        return Ok(());
    }
    let mut story = HandOver::start(seed()).await?;
    let log = story.undisturbed().await?;
    let users = story.users();
    let mut all = Vec::new();
    for service in SERVICES {
        let is_its = |uid: u32| users.iter().any(|(of, user)| *of == service && *user == uid);
        let calls = log.calls().filter(|(_, call)| is_its(call.uid)).count();
        for nth in 1..=calls {
            all.extend(ERRORS.into_iter().flat_map(|errno| {
                [Action::Fail(errno), Action::FailOn(errno)].map(|action| Trouble {
                    at: At::Call(Some(service), nth),
                    action,
                    victim: None,
                })
            }));
        }
    }
    let count = stories(STORIES, all.len());
    let mut sum = Sum::begin();
    for trouble in some_of(all, count, &mut Random::new(seed())) {
        sum.add(&mut story, trouble).await?;
    }
    sum.say("failing calls");
    assert!(sum.met * 2 > sum.stories, "too few calls were met");
    Ok(())
}
