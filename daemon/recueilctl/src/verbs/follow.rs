//! `follow`: a dossier's way through the state table, until a state or until nothing more can follow.

use std::time::Duration;

use clap::Args;
use recueil_bus::{Code, DossierView, News};
use recueil_dossier::{State, TRANSITIONS};
use serde_json::json;

use crate::args::DossierName;
use crate::capturing::Interrupts;
use crate::failure::{Cause, Failure, Own};
use crate::output::Report;
use crate::page::{Cell, Page};
use crate::progress::Progress;
use crate::session::{Held, Session};
use crate::shapes;

/// How far.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
    /// The state that is waited for; one that lies behind it counts too. Without it: until nothing more
    /// can follow
    #[arg(long, value_name = "STATE", value_parser = state)]
    until: Option<State>,
    /// Give up after so long
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// The dossier is looked at this often besides its news.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Without a limit of the caller's.
const FOREVER: Duration = Duration::from_hours(10 * 365 * 24);

pub(crate) async fn run(
    arguments: &Arguments,
    mut session: Session,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    let limit = arguments.timeout.map_or(FOREVER, Duration::from_secs);
    let view = watch(&mut session, &dossier, arguments.until, limit, progress).await?;
    let pairs = vec![
        ("dossier", Some(view.id.as_str().into())),
        ("state", Some(shapes::state(&view.state))),
        ("demande", view.demande.as_deref().map(Cell::from)),
        ("refusal", view.refusal.as_deref().map(Cell::from)),
    ];
    Ok(Report {
        json: json!({ "dossier": shapes::dossier(&view) }),
        page: Page::default().pairs(pairs),
    })
}

async fn watch(
    session: &mut Session,
    dossier: &Held,
    until: Option<State>,
    limit: Duration,
    progress: &mut Progress,
) -> Result<DossierView, Failure> {
    let mut interrupts = Interrupts::new()?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let give_up = tokio::time::sleep(limit);
    tokio::pin!(give_up);
    let mut last = String::new();
    loop {
        let seen = tokio::select! {
            news = session.watch.next() => match news {
                Some(News::Dossier { path, view }) if path == dossier.path => Some(view),
                Some(News::Station { running: false }) | None => return Err(Failure::station_left()),
                Some(_) => None,
            },
            _ = look.tick() => Some(look_at(session, dossier).await?),
            () = interrupts.next() => {
                return Err(Failure::own(Own::Interrupted, "interrupted; the dossier goes on by itself"));
            }
            () = &mut give_up => {
                let text = format!("the dossier is still {last}; it goes on by itself");
                return Err(Failure::own(Own::NotReached, text).with("state", last));
            }
        };
        let Some(view) = seen else { continue };
        progress.say(&described(&view));
        match standing(State::parse(&view.state), until) {
            Standing::There => return Ok(view),
            Standing::Never => {
                let reason = view.refusal.clone().unwrap_or_default();
                let text = format!(
                    "the dossier is {}; it cannot come to the state asked for",
                    view.state
                );
                return Err(Failure::own(Own::NotReached, text)
                    .with("state", view.state)
                    .with("refusal", reason));
            }
            Standing::OnTheWay => last = view.state,
        }
    }
}

/// The dossier as it is now. Where another program of this user took it over, which it may, it is seen in the
/// list as before.
async fn look_at(session: &Session, dossier: &Held) -> Result<DossierView, Failure> {
    let failure = match dossier.view().await {
        Err(failure) if failure.cause == Cause::Station(Code::NotOwner) => failure,
        seen => return seen,
    };
    let listed = session
        .dossiers(None)
        .await?
        .into_iter()
        .find(|one| one.id == dossier.id);
    let listed = listed.ok_or(failure)?;
    Ok(DossierView {
        id: listed.id,
        kind: listed.kind,
        state: listed.state,
        procedure: listed.procedure,
        agent: listed.agent,
        demande: listed.demande,
        ..DossierView::default()
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    There,
    OnTheWay,
    Never,
}

/// Where a state stands on the way to another, by the state table.
fn standing(now: Option<State>, until: Option<State>) -> Standing {
    // A state of a later version of the service: wait on.
    let Some(now) = now else { return Standing::OnTheWay };
    let Some(until) = until else {
        return if TRANSITIONS.iter().any(|line| line.from == now) {
            Standing::OnTheWay
        } else {
            Standing::There
        };
    };
    let ended_badly = matches!(now, State::Refused | State::Cancelled | State::Expired);
    if now == until {
        Standing::There
    } else if leads(now, until) {
        Standing::OnTheWay
    } else if leads(until, now) && !ended_badly {
        Standing::There
    } else {
        Standing::Never
    }
}

/// Whether a way leads from one state to another.
fn leads(from: State, to: State) -> bool {
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(state) = reached.get(next).copied() {
        next += 1;
        for line in TRANSITIONS.iter().filter(|line| line.from == state) {
            if line.to == to {
                return true;
            }
            if !reached.contains(&line.to) {
                reached.push(line.to);
            }
        }
    }
    false
}

fn described(view: &DossierView) -> String {
    match (view.state.as_str(), view.sent_bytes, view.total_bytes) {
        ("sending", Some(sent), Some(total)) => format!("sending: {sent} of {total} bytes"),
        (state, _, _) => state.to_owned(),
    }
}

fn state(name: &str) -> Result<State, String> {
    State::parse(name).ok_or_else(|| {
        let names: Vec<_> = State::ALL.iter().map(|state| state.as_str()).collect();
        format!("states are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_was_passed_counts_and_one_out_of_reach_does_not() {
        let check = |now, until, standing_: Standing| assert_eq!(standing(Some(now), Some(until)), standing_);
        check(State::Sealed, State::Stored, Standing::OnTheWay);
        check(State::Ingested, State::Stored, Standing::There);
        check(State::Production, State::InInstruction, Standing::There);
        check(State::Complement, State::InInstruction, Standing::OnTheWay);
        check(State::Refused, State::InInstruction, Standing::Never);
        check(State::Refused, State::Refused, Standing::There);
        check(State::Ingested, State::Cancelled, Standing::Never);
    }

    #[test]
    fn without_a_state_the_end_is_where_nothing_follows() {
        assert_eq!(standing(Some(State::Available), None), Standing::OnTheWay);
        for end in [
            State::HandedOver,
            State::Refused,
            State::Cancelled,
            State::Expired,
        ] {
            assert_eq!(standing(Some(end), None), Standing::There);
        }
    }
}
