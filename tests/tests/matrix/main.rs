//! What happens in each state of the station with each fault: the matrix of `table.rs`, every cell of it played on
//! a whole station. In each, its client is told by a name that says what to do, or it is ridden out; afterwards the
//! same works, the device is free, nothing is left behind, and a witness beside it noticed nothing.

#![expect(
    clippy::print_stdout,
    reason = "each cell is shown as it went, and a skip is told aloud"
)]

mod census;
mod finish;
mod guards;
mod hold;
mod reader;
mod rig;
mod row;
mod scene;
mod strike;
mod subject;
mod table;
mod witness;

use row::row;
use table::State;

#[tokio::test]
async fn bad_luck_with_a_dossier_and_no_lease() -> anyhow::Result<()> {
    row(State::NoLease).await
}

#[tokio::test]
async fn bad_luck_with_a_lease() -> anyhow::Result<()> {
    row(State::Leased).await
}

#[tokio::test]
async fn bad_luck_while_capturing() -> anyhow::Result<()> {
    row(State::Capturing).await
}

#[tokio::test]
async fn bad_luck_while_analysing() -> anyhow::Result<()> {
    row(State::Analysing).await
}

#[tokio::test]
async fn bad_luck_while_closing() -> anyhow::Result<()> {
    row(State::Closing).await
}

#[tokio::test]
async fn bad_luck_while_sealing() -> anyhow::Result<()> {
    row(State::Sealing).await
}

#[tokio::test]
async fn bad_luck_while_sending() -> anyhow::Result<()> {
    row(State::Sending).await
}

#[tokio::test]
async fn bad_luck_while_the_machine_sleeps() -> anyhow::Result<()> {
    row(State::Suspended).await
}
