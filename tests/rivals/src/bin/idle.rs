//! `recueil-rival-idle BUS DATABASE`: the empty program on our libraries: one connection to the bus, one `SQLite`
//! database, one digest, and then it waits for SIGTERM. Prints a line when it waits.

use std::io::Write;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: recueil-rival-idle BUS DATABASE";
    let bus = arguments.next().context(usage)?;
    let path = arguments.next().context(usage)?;

    let mut terminate = signal(SignalKind::terminate())?;
    let _connection = zbus::connection::Builder::address(bus.as_str()).build().await?;
    let database = rusqlite::Connection::open(path)?;
    // As the store's: a log beside the database, each transaction durable.
    database.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS things (digest BLOB);",
    )?;
    let digest = ring::digest::digest(&ring::digest::SHA256, b"nothing");
    database.execute("INSERT INTO things VALUES (?1)", [digest.as_ref()])?;

    writeln!(std::io::stdout(), "waiting")?;
    terminate.recv().await;
    Ok(())
}
