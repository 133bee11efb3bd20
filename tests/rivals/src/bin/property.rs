//! `recueil-rival-property BUS NAME`: owns `NAME` and offers one property, `fr.recueil.Rival1.Version` at `/`. What
//! any service on zbus needs for an answer. Prints a line when it has its name.

use std::io::Write;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

struct Rival;

#[zbus::interface(name = "fr.recueil.Rival1")]
impl Rival {
    #[zbus(property(emits_changed_signal = "const"))]
    async fn version(&self) -> &'static str {
        "1"
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: recueil-rival-property BUS NAME";
    let bus = arguments.next().context(usage)?;
    let name = arguments.next().context(usage)?;

    let mut terminate = signal(SignalKind::terminate())?;
    let _connection = zbus::connection::Builder::address(bus.as_str())
        .serve_at("/", Rival)
        .name(name)
        .build()
        .await?;
    writeln!(std::io::stdout(), "waiting")?;
    terminate.recv().await;
    Ok(())
}
