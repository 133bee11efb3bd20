//! A capture's face to its client: state, guidance, results, commands.

use std::collections::BTreeMap;
use std::time::Duration;

use recueil_bus::{
    CaptureCommand, CaptureState, CaptureView, Code, Detail, Error, Published, Reply, Service,
};
use recueil_dossier::{FingerPosition, Guidance};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What a client can tell a running capture.
pub(super) enum Told {
    /// `retry`, or `use-best`.
    Go(&'static str),
    Cancel,
    Preview(Reply<std::os::fd::OwnedFd>),
}

pub(super) struct Control {
    service: Service,
    published: Published,
    view: watch::Sender<CaptureView>,
    commands: mpsc::Receiver<CaptureCommand>,
    results: Vec<BTreeMap<String, String>>,
    stop: CancellationToken,
    client_cancelled: bool,
}

/// Dictionaries of results kept for the client.
const RESULTS_MAX: usize = 256;

impl Control {
    pub(super) fn new(
        service: Service,
        published: Published,
        view: watch::Sender<CaptureView>,
        commands: mpsc::Receiver<CaptureCommand>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            service,
            published,
            view,
            commands,
            results: Vec::new(),
            stop,
            client_cancelled: false,
        }
    }

    /// Goes to a state and says so, with the commands that are allowed in it.
    pub(super) async fn enter(&self, state: CaptureState, allowed: &[&str]) {
        self.change(|view| {
            state.as_str().clone_into(&mut view.state);
            view.allowed = allowed.iter().map(|command| (*command).to_owned()).collect();
        })
        .await;
    }

    /// Begins a try.
    pub(super) async fn attempt(&self, number: u32, of: u32, position: Option<FingerPosition>) {
        self.change(|view| {
            CaptureState::Capturing.as_str().clone_into(&mut view.state);
            view.allowed = vec!["cancel".to_owned()];
            (view.attempt, view.attempts_max) = (number, of);
            view.position = position.map(FingerPosition::code);
        })
        .await;
    }

    /// Ends badly, or as the client wished.
    pub(super) async fn fail(&self, error: Error) {
        let state = if error.code == Code::Cancelled {
            CaptureState::Cancelled
        } else {
            CaptureState::Failed
        };
        tracing::info!(code = error.code.as_str(), "a capture ended");
        self.change(|view| {
            state.as_str().clone_into(&mut view.state);
            view.allowed.clear();
            view.error = Some(error.code.as_str().to_owned());
            view.error_text = Some(error.text);
        })
        .await;
    }

    async fn change(&self, change: impl FnOnce(&mut CaptureView)) {
        self.view.send_modify(change);
        let view = self.view.borrow().clone();
        if let Err(error) = self.service.capture_changed(&self.published, view).await {
            tracing::debug!(%error, "a client could not be told of its capture");
        }
    }

    /// Tells the person at the device something.
    pub(super) async fn guide(&self, guidance: Guidance, details: Detail) {
        if let Err(error) = self
            .service
            .guide(&self.published, guidance.code(), details)
            .await
        {
            tracing::debug!(%error, "a client could not be guided");
        }
    }

    /// Adds a result for the client to read.
    pub(super) fn found(&mut self, result: BTreeMap<String, String>) {
        if self.results.len() < RESULTS_MAX {
            self.results.push(result);
        }
    }

    /// Whether it was the client who ended it.
    pub(super) fn client_cancelled(&self) -> bool {
        self.client_cancelled
    }

    /// Waits for a command that concerns the work; the others are answered here. Cancel safe.
    pub(super) async fn told(&mut self) -> Told {
        loop {
            let command = tokio::select! {
                () = self.stop.cancelled() => return Told::Cancel,
                command = self.commands.recv() => command,
            };
            match command {
                None => return Told::Cancel,
                Some(CaptureCommand::Results(reply)) => drop(reply.send(Ok(self.results.clone()))),
                Some(CaptureCommand::Preview(reply)) => return Told::Preview(reply),
                Some(CaptureCommand::Command { command, reply }) => {
                    let allowed = self.view.borrow().allowed.contains(&command);
                    let told = match command.as_str() {
                        "cancel" => Some(Told::Cancel),
                        "retry" if allowed => Some(Told::Go("retry")),
                        "use-best" if allowed => Some(Told::Go("use-best")),
                        _ => None,
                    };
                    let answer = if told.is_some() {
                        Ok(())
                    } else {
                        Err(not_allowed())
                    };
                    drop(reply.send(answer));
                    if let Some(told) = told {
                        self.client_cancelled |= matches!(told, Told::Cancel);
                        return told;
                    }
                }
            }
        }
    }

    /// Answers questions about a capture that is over, for a while.
    pub(super) async fn linger(mut self, time: Duration, stop: CancellationToken) {
        let answer = async {
            while let Some(command) = self.commands.recv().await {
                match command {
                    CaptureCommand::Results(reply) => drop(reply.send(Ok(self.results.clone()))),
                    CaptureCommand::Preview(reply) => drop(reply.send(Err(not_allowed()))),
                    CaptureCommand::Command { reply, .. } => drop(reply.send(Err(not_allowed()))),
                }
            }
        };
        tokio::select! {
            () = answer => {}
            () = tokio::time::sleep(time) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn not_allowed() -> Error {
    Error::new(
        Code::WrongState,
        "this is not allowed now; the property Allowed says what is",
    )
}
