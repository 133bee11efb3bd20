//! One row of the matrix, played: every cell of one state on one station.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use recueil_bus::{Code, Error};

use crate::finish::{begin_again, finish, seal_again};
use crate::rig::Rig;
use crate::scene::Scene;
use crate::strike::{mend, strike};
use crate::table::{Cell, Fault, Others, State, cell};

/// Longest try of a hand, where a plugin that hangs is waited for.
const SHORT_HAND_S: u32 = 4;
const HAND_S: u32 = 600;
/// A cell that takes longer is stuck.
const CELL_MAX: Duration = Duration::from_mins(2);

/// Plays a row and prints it.
pub(crate) async fn row(state: State) -> anyhow::Result<()> {
    let waits_for_deadline =
        |fault: Fault| fault == Fault::PluginHangs && matches!(state, State::Capturing | State::Analysing);
    let only = std::env::var("RECUEIL_FAULT").ok();
    let asked = |fault: Fault| only.as_deref().is_none_or(|only| only == fault.name());
    let mut went = BTreeMap::new();
    for short in [false, true] {
        let hand_s = if short { SHORT_HAND_S } else { HAND_S };
        let faults: Vec<_> = Fault::ALL
            .iter()
            .copied()
            .filter(|fault| waits_for_deadline(*fault) == short && asked(*fault))
            .collect();
        if faults.is_empty() {
            continue;
        }
        let Some(mut rig) = Rig::start(hand_s).await? else {
            return Ok(());
        };
        for fault in faults {
            let expected = match cell(state, fault).context("a cell of the table is empty")? {
                expected @ Cell::Impossible(guard) => {
                    println!(
                        "{} × {}: cannot occur: {}",
                        state.name(),
                        fault.name(),
                        guard.name()
                    );
                    went.insert(fault, Ok(expected));
                    continue;
                }
                expected => expected,
            };
            let played = play(&mut rig, state, fault, expected, short).await;
            let failed = played.is_err();
            went.insert(fault, played);
            if failed {
                drop(rig);
                // What one cell broke is not held against the next.
                match Rig::start(hand_s).await? {
                    Some(fresh) => rig = fresh,
                    None => return Ok(()),
                }
            }
        }
        if !short && let Some(witness) = rig.witness.take() {
            witness.ends_well().await?;
        }
    }
    keep(state, &went)?;
    let failed: Vec<_> = went
        .iter()
        .filter_map(|(fault, went)| Some(format!("{}: {:?}", fault.name(), went.as_ref().err()?)))
        .collect();
    let guarded = went
        .values()
        .flatten()
        .filter(|cell| matches!(cell, Cell::Impossible(_)));
    let guarded = guarded.count();
    println!(
        "{}: {} cells: {} played, {} of them failed, {guarded} cannot occur",
        state.name(),
        went.len(),
        went.len() - guarded,
        failed.len()
    );
    ensure!(failed.is_empty(), "{} × {}", state.name(), failed.join("\n"));
    Ok(())
}

/// A column of the table as it went, for `cargo xtask faults matrix`, which prints them side by side.
fn keep(state: State, went: &BTreeMap<Fault, anyhow::Result<Cell>>) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix");
    std::fs::create_dir_all(&folder)?;
    let mut column = String::new();
    for (fault, went) in went {
        let text = went
            .as_ref()
            .map_or_else(|_| "FAILED".to_owned(), |cell| cell.text());
        writeln!(column, "{}\t{text}", fault.name())?;
    }
    let number = State::ALL.iter().position(|known| *known == state);
    let file = format!("{} {}", number.unwrap_or_default(), state.name());
    Ok(std::fs::write(folder.join(file), column)?)
}

/// Plays a cell; gives what was seen.
async fn play(
    rig: &mut Rig,
    state: State,
    fault: Fault,
    expected: Cell,
    short: bool,
) -> anyhow::Result<Cell> {
    let begun = Instant::now();
    let played = tokio::time::timeout(CELL_MAX, one(rig, state, fault, expected, short)).await;
    let place = || {
        format!(
            "{} × {}\n{}",
            state.name(),
            fault.name(),
            tail(&rig.station.logs())
        )
    };
    let told = played.with_context(place)?.with_context(place)?;
    let seconds = begun.elapsed().as_secs_f64();
    let seen = told
        .as_ref()
        .map_or(Cell::RiddenOut, |error| Cell::Error(error.code));
    let what = told.map_or("ridden out".to_owned(), |error| error.to_string());
    println!("{} × {}: {what} ({seconds:.1} s)", state.name(), fault.name());
    Ok(seen)
}

async fn one(
    rig: &mut Rig,
    state: State,
    fault: Fault,
    expected: Cell,
    short: bool,
) -> anyhow::Result<Option<Error>> {
    rig.count().await?;
    let mut scene = Scene::enter(rig, state, fault)
        .await
        .context("entering the state")?;
    let at_once = strike(rig, &mut scene, fault).await.context("the fault")?;
    if mends_itself_first(state, fault) {
        receipt_waits(rig).await?;
        mend(rig, &mut scene, fault).await.context("mending")?;
    }
    let in_the_end = finish(rig, &mut scene, fault)
        .await
        .context("the end of what was begun")?;
    let told = at_once.or(in_the_end);
    match (&expected, &told) {
        (Cell::RiddenOut, None) => {}
        (Cell::Error(code), Some(error)) => {
            ensure!(error.code == *code, "{code:?} was expected, told was {error:?}");
            says_what_to_do(error)?;
        }
        _ => anyhow::bail!("{expected:?} was expected, told was {told:?}"),
    }
    if !mends_itself_first(state, fault) {
        mend(rig, &mut scene, fault).await.context("mending")?;
    }
    works_again(rig, &mut scene, fault)
        .await
        .context("the same once more")?;
    others(rig, state, fault, short).await.context("the others")?;
    leave(rig, scene).await.context("leaving")?;
    rig.settled().await?;
    Ok(told)
}

/// A parcel that is on its way is not the client's business any more: the disk is mended, and it must arrive.
fn mends_itself_first(state: State, fault: Fault) -> bool {
    state == State::Sending && matches!(fault, Fault::DiskFull | Fault::DiskReadOnly)
}

/// CERT goes on, and its receipt comes where it cannot be recorded.
async fn receipt_waits(rig: &mut Rig) -> anyhow::Result<()> {
    rig.station.resume_cert()?;
    let dir = rig.station.folders().path("courier/receipts");
    let deadline = Instant::now() + crate::reader::WAIT_MAX;
    while std::fs::read_dir(&dir).map_or(0, Iterator::count) == 0 {
        ensure!(Instant::now() < deadline, "no receipt comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// After an error the same works, by the same client or by one that adopts what is left.
async fn works_again(rig: &mut Rig, scene: &mut Scene, fault: Fault) -> anyhow::Result<()> {
    if scene.asleep {
        rig.wakes().await?;
        rig.until_locks(1).await?;
        scene.asleep = false;
    }
    let told = if scene.restarted {
        begin_again(rig, scene).await?
    } else {
        match scene.state {
            State::Sealing => seal_again(scene).await?,
            State::Sending => None,
            _ => {
                let id = scene.reader.id.clone();
                let ready = rig.observer.until_device(&id, |view| view.state == "ready");
                ready.await?;
                scene.captures_and_cancels().await?
            }
        }
    };
    ensure!(told.is_none(), "{told:?}");
    if scene.state == State::Closing
        && !matches!(
            fault,
            Fault::RecueildKilled | Fault::BusRestarted | Fault::DiskReadOnly | Fault::ClientKilled
        )
    {
        scene.destruction_is_recorded().await?;
    }
    Ok(())
}

/// The client leaves, and nothing is held by it.
async fn leave(rig: &mut Rig, scene: Scene) -> anyhow::Result<()> {
    let id = scene.reader.id.clone();
    if matches!(scene.state, State::Leased | State::Suspended) {
        scene.release().await?;
    }
    if !matches!(scene.state, State::Sealing | State::Sending) {
        let dossier = scene.dossier.dossier.clone();
        scene
            .subject()?
            .run(|_client| Box::pin(async move { Ok(dossier.cancel().await?) }))
            .await?;
    }
    drop(scene);
    let free = rig.observer.until_device(&id, |view| {
        view.state == "absent" && view.holder_uid.is_none() && view.claimant_uid.is_none()
    });
    free.await.context("the device is not free").map(drop)
}

async fn others(rig: &mut Rig, state: State, fault: Fault, short: bool) -> anyhow::Result<()> {
    let mut witness = rig.witness.take().context("there is a witness")?;
    witness = match (fault.others(), state) {
        (Others::ServiceRestarts, _) => witness.service_restarted(&rig.station).await?,
        (_, State::Suspended) => witness.capture_ended(&rig.station, Code::Suspended).await?,
        (Others::CaptureEnds(code), _) => witness.capture_ended(&rig.station, code).await?,
        // Its own try is as short, and over.
        (Others::Undisturbed, _) if short => {
            drop(witness);
            return Ok(());
        }
        (Others::Undisturbed, _) => {
            witness.is_undisturbed().await?;
            witness
        }
    };
    rig.witness = Some(witness);
    Ok(())
}

/// What happened, and after a semicolon what to do.
fn says_what_to_do(error: &Error) -> anyhow::Result<()> {
    let advice = error.text.split_once("; ").map(|(_, advice)| advice);
    ensure!(
        advice.is_some_and(|advice| advice.split(' ').count() >= 2),
        "{error} does not say what to do"
    );
    Ok(())
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(120)..)
        .unwrap_or_default()
        .join("\n")
}
