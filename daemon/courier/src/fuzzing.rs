//! CERT's answers as the courier takes them, for `tests/fuzz` alone. No part of the interface.

use hyper_util::rt::TokioIo;
use recueil_dossier::{DemandeNumber, DossierId, PreDemandeNumber};
use tokio::io::DuplexStream;

use crate::cert::{Clocks, Endpoint, Line, Standing, address};

/// One of the questions of the protocol.
#[derive(Debug)]
pub enum Question<'a> {
    /// Announces a parcel of so many bytes.
    Announce(DossierId, u64),
    /// Asks for the offset of an upload of so many bytes.
    Offset(u64),
    /// Sends this part after that offset.
    Send(u64, Vec<u8>),
    /// Commits.
    Commit(DossierId),
    /// Waits for the final receipt.
    Receipt(DossierId),
    /// Fetches a pré-demande.
    PreDemande(&'a PreDemandeNumber),
    /// Asks for statuses.
    Statuses(&'a [DemandeNumber]),
}

/// What was made of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// The upload's path, where there is something to send, and the offset.
    Announced(Option<String>, u64),
    /// An offset.
    Offset(u64),
    /// CMS, not looked at.
    Cms(Vec<u8>),
    /// No receipt yet.
    Nothing,
    /// Numbers and statuses.
    Statuses(Vec<(String, String)>),
    /// A failure, as it would be logged.
    Failed(String),
}

/// Asks once over a stream whose other end answers whatever it likes.
pub async fn ask(stream: DuplexStream, question: Question<'_>) -> Taken {
    let sha256 = "0".repeat(64);
    let answer = async {
        let endpoint = Endpoint::of_nobody().ok_or_else(|| crate::cert::Failure::protocol("no endpoint"))?;
        let mut line = Line::over(endpoint, TokioIo::new(stream)).await?;
        Ok::<_, crate::cert::Failure>(match question {
            Question::Announce(id, size) => {
                let announced = line.announce(id, size, &sha256).await?;
                let upload = announced
                    .upload
                    .filter(|_path| announced.state == Standing::Receiving);
                Taken::Announced(upload, announced.offset)
            }
            Question::Offset(size) => Taken::Offset(line.offset("/v1/uploads/1", size).await?),
            Question::Send(offset, bytes) => Taken::Offset(line.send("/v1/uploads/1", offset, bytes).await?),
            Question::Commit(id) => Taken::Cms(line.commit(id, &sha256).await?),
            Question::Receipt(id) => line.receipt(id, 0).await?.map_or(Taken::Nothing, Taken::Cms),
            Question::PreDemande(number) => Taken::Cms(line.pre_demande(number).await?),
            Question::Statuses(demandes) => Taken::Statuses(
                line.statuses(demandes)
                    .await?
                    .into_iter()
                    .map(|one| (one.demande.into(), one.status))
                    .collect(),
            ),
        })
    };
    answer
        .await
        .unwrap_or_else(|failure| Taken::Failed(format!("{failure:?}")))
}

/// What is told of the clocks after an answer of that date, at that time.
pub fn clock_trouble(date: Option<&str>, now: jiff::Timestamp) -> Option<String> {
    let clocks = Clocks::default();
    clocks.note(date, now);
    clocks.trouble()
}

/// Host and port of a configured address.
pub fn url(text: &str) -> Option<(String, u16)> {
    address(text).ok()
}
