//! A story that is disturbed: it is carried on again and again, while services end and are started again.

use std::time::Duration;

use anyhow::{Context, ensure};
use recueil_faultfs::Action;

use super::story::{Told, carry_on, judge};
use super::{HandOver, Outcome, Trouble};

/// Nothing of the story takes longer.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often a service may end, or the agent be told of a failure, in one story.
const TURNS_MAX: usize = 8;
/// Calls that fail before the disk is in order again.
const REFUSED: usize = 3;

/// What the disk is waited for meanwhile.
#[derive(Debug)]
enum Disk {
    /// The power went.
    Dark,
    /// It has refused enough.
    Refused,
    /// Somebody else than the caller was killed while a call was held; whether he ran.
    Killed(anyhow::Result<bool>),
    /// Nothing of the kind came.
    Nothing,
}

impl HandOver {
    /// Brings the story to its end, whatever happens on the way.
    pub(super) async fn ride_out(&mut self, trouble: &Trouble) -> anyhow::Result<(String, Outcome)> {
        let (mut told, mut outcome) = (Told::default(), Outcome::default());
        let mut disk = Some(self.watch(trouble)?);
        loop {
            tokio::select! {
                biased;
                happened = async { disk.as_mut().context("asked for")?.await.context("the watch") }, if disk.is_some() => {
                    disk = None;
                    self.answer(happened?, &mut outcome)?;
                }
                name = self.station.any_end() => {
                    let name = name?;
                    if self.station.faulty_disk()?.is_dark() {
                        // The cut is on its way.
                        tokio::task::yield_now().await;
                        continue;
                    }
                    self.ended(name, trouble, &mut outcome)?;
                }
                carried = carry_on(&self.station, &mut told) => match carried {
                    Ok(id) => {
                        self.mend(&mut outcome)?;
                        return Ok((id, outcome));
                    }
                    Err(error) => {
                        outcome.errors.push(judge(error)?);
                        ensure!(outcome.errors.len() <= TURNS_MAX, "told again and again: {outcome:?}");
                    }
                },
            }
        }
    }

    /// Starts a service again, as its manager does.
    fn ended(&mut self, name: &'static str, trouble: &Trouble, outcome: &mut Outcome) -> anyhow::Result<()> {
        outcome.ended.push(name);
        ensure!(
            outcome.ended.len() <= TURNS_MAX,
            "services end again and again: {outcome:?}"
        );
        if matches!(trouble.action, Action::FailOn(_)) {
            self.mend(outcome)?;
        }
        // What it meets while it starts may be the disturbed call; then it is the next that ended.
        if let Err(error) = self.station.start_again(name) {
            outcome.errors.push(format!("{error:#}"));
        }
        Ok(())
    }

    fn watch(&self, trouble: &Trouble) -> anyhow::Result<tokio::task::JoinHandle<Disk>> {
        let disk = self.station.faulty_disk()?;
        Ok(match (trouble.action, trouble.victim) {
            (Action::Cut, _) => {
                let meeting = disk.meeting();
                tokio::task::spawn_blocking(move || meeting(PATIENCE).map_or(Disk::Nothing, |_at| Disk::Dark))
            }
            (Action::FailOn(_), _) => {
                let refusing = disk.refusing(REFUSED);
                let refused = move || {
                    if refusing(PATIENCE) {
                        Disk::Refused
                    } else {
                        Disk::Nothing
                    }
                };
                tokio::task::spawn_blocking(refused)
            }
            (Action::Hold(_), Some(victim)) => {
                let killing = disk.while_held(self.station.killer(victim));
                tokio::task::spawn_blocking(move || killing(PATIENCE).map_or(Disk::Nothing, Disk::Killed))
            }
            _ => tokio::task::spawn_blocking(|| Disk::Nothing),
        })
    }

    fn answer(&mut self, happened: Disk, outcome: &mut Outcome) -> anyhow::Result<()> {
        match happened {
            Disk::Dark => {
                outcome.met = self.station.faulty_disk()?.met(Duration::ZERO);
                self.power_cut()
            }
            Disk::Refused => self.mend(outcome),
            Disk::Killed(killed) => {
                outcome.was_there = killed?;
                Ok(())
            }
            Disk::Nothing => Ok(()),
        }
    }

    /// The disk is in order again.
    fn mend(&self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let met = self.station.faulty_disk()?.disarm();
        outcome.met = outcome.met.take().or(met);
        Ok(())
    }

    fn power_cut(&mut self) -> anyhow::Result<()> {
        self.station.kill_all()?;
        self.cuts += 1;
        self.station.faulty_disk()?.cut(self.cuts);
        for service in ["recueil-cert", "recueil-courier", "recueil-hostd", "recueild"] {
            self.station.start_again(service)?;
        }
        Ok(())
    }
}
