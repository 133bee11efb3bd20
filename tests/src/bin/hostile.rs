//! `recueil-hostile`: hostile clients in a session of their own, as another user's programs are. The kernel gives
//! each session (on an installed system, each slice) its share of the processors.
//!
//! Says when they have begun; goes on until it is killed.

use std::io::Write;

use clap::Parser;
use recueil_bus::ROOT;
use recueil_tests::User;
use recueil_tests::hostile::{Habit, Load};

#[derive(Debug, Parser)]
struct Arguments {
    /// The bus's address
    bus: String,
    /// Whose programs they are
    uid: u32,
    seed: u64,
    /// None sends what is huge: the bus daemon copies it, for any service, and nobody can keep it from that
    #[arg(long)]
    small: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments {
        bus,
        uid,
        seed,
        small,
    } = Arguments::parse();
    rustix::process::setsid()?;
    let habits: Vec<_> = Habit::ALL
        .into_iter()
        .filter(|habit| !small || *habit != Habit::Huge)
        .collect();
    let _load = Load::start(&bus, User(uid), &habits, &[ROOT.to_owned()], seed);
    writeln!(std::io::stdout(), "{} clients", habits.len())?;
    loop {
        std::thread::park();
    }
}
