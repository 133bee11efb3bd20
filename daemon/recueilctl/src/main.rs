//! recueilctl: the station on the command line. It is a bus client like any other: it can do what its caller
//! may, and keeps nothing.
//!
//! `args` parses, a module of `verbs` works and gives a `Report` or a `Failure`, `output` alone prints it.

mod args;
mod capturing;
mod choose;
mod exit;
mod failure;
mod output;
mod page;
mod progress;
mod session;
mod shapes;
mod texts;
mod verbs;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    let output = Output::new(cli.global.json);
    match work(cli, &output) {
        Ok(report) => {
            if let Some(report) = report {
                output.report(&report);
            }
            Exit::Done.into()
        }
        Err(failure) => {
            output.failure(&failure);
            failure.exit().into()
        }
    }
}

fn work(cli: Cli, output: &Output) -> Result<Option<output::Report>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::no_station(&error))?;
    let mut progress = Progress::new(cli.global.quiet);
    runtime.block_on(verbs::run(cli, output, &mut progress))
}

/// Help that was asked for is no failure; a wrong call is one, told as JSON where JSON was asked for.
fn not_parsed(error: &clap::Error) -> ExitCode {
    let output = Output::new(std::env::args_os().any(|argument| argument == "--json"));
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output.help(&error.render());
            Exit::Done.into()
        }
        _ => {
            output.usage(&error.render());
            Exit::Usage.into()
        }
    }
}
