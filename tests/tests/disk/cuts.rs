//! The power goes under all services at once: what was not synced is dropped, torn and reordered as the seed says.

use recueil_faultfs::{Action, Random};
use recueil_tests::{At, HandOver, Trouble, skipped};

use crate::{Sum, seed, stories};

/// Cuts in CI.
const CUTS: usize = 24;
/// And where all are asked for: each has a seed of its own, so there is no last one.
const ALL: usize = 2000;

#[tokio::test]
async fn a_power_cut_under_all_services_at_any_moment_costs_nothing() -> anyhow::Result<()> {
    if skipped() {
        return Ok(());
    }
    let mut story = HandOver::start(seed()).await?;
    let calls = story.undisturbed().await?.calls().count();
    let mut sum = Sum::begin();
    let mut random = Random::new(seed());
    for _ in 0..stories(CUTS, ALL) {
        let trouble = Trouble {
            at: At::Call(None, 1 + random.below(calls)),
            action: Action::Cut,
            victim: None,
        };
        sum.add(&mut story, trouble).await?;
    }
    sum.say("power cuts");
    assert!(sum.met * 2 > sum.stories, "too few moments were met");
    Ok(())
}
