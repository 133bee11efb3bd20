//! `recueil-analyser`: started by systemd or `recueild` with its control socket as standard input.

use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .init();
    let outcome = recueil_analyser::harden()
        .and_then(|()| Ok(recueil_wire::inherited_socket()?))
        .and_then(recueil_analyser::run);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the session ended: {}", error.text());
            ExitCode::FAILURE
        }
    }
}
