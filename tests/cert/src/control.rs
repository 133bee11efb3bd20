//! Orders from tests and from the demo: one JSON line a connection, one JSON line back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::desk::{Chain, Desk, Faults, STATUSES};
use crate::predemande::{PreDemande, is_number};
use crate::wrong::Wrong;

const LINE_MAX_BYTES: u64 = 64 << 10;
const LINE: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Order {
    Advance {
        demande: String,
        to: String,
    },
    PreDemande {
        number: String,
        procedure: String,
        fields: BTreeMap<String, String>,
        #[serde(default)]
        status: Option<String>,
    },
    RefuseNext {},
    StopAnswering {
        on: bool,
    },
    Ingest {
        mode: Mode,
    },
    ExpireUploads {},
    Fault {
        kind: Fault,
        #[serde(default)]
        bytes: Option<u64>,
        #[serde(default)]
        count: Option<u32>,
    },
    /// Answers are wrong from now on.
    AnswerWrong(Wrong),
    /// Every fault that was ordered is lifted.
    Lift {},
    List {},
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Hold,
    Go,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    CutAfter,
    LoseCommitAnswer,
    #[serde(rename = "status-503")]
    Status503,
}

/// Takes orders one connection after the other.
pub(crate) async fn serve(listener: UnixListener, desk: Arc<Desk>, mut stopped: watch::Receiver<bool>) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match stream {
            Ok((stream, _from)) => {
                if let Err(error) = timeout(LINE, converse(stream, &desk)).await.unwrap_or(Ok(())) {
                    tracing::debug!(%error, "an order was not heard out");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take orders");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, desk: &Arc<Desk>) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = Vec::new();
    BufReader::new(read)
        .take(LINE_MAX_BYTES)
        .read_until(b'\n', &mut line)
        .await?;
    let mut answer = obey(desk, &line).await;
    answer.push('\n');
    write.write_all(answer.as_bytes()).await
}

/// Whether a line is an order.
pub(crate) fn is_order(line: &[u8]) -> bool {
    serde_json::from_slice::<Order>(line).is_ok()
}

/// Does what one line says.
pub(crate) async fn obey(desk: &Arc<Desk>, line: &[u8]) -> String {
    let order = match serde_json::from_slice::<Order>(line) {
        Ok(order) => order,
        Err(error) => return failed(&error.to_string()),
    };
    let desk = desk.clone();
    // Some orders write to the disk.
    let done = tokio::task::spawn_blocking(move || order.carry_out(&desk)).await;
    match done {
        Ok(Ok(answer)) => answer.to_string(),
        Ok(Err(text)) => failed(&text),
        Err(_panicked) => failed("CERT's own failure"),
    }
}

fn failed(text: &str) -> String {
    serde_json::json!({"ok": false, "text": text}).to_string()
}

impl Order {
    fn carry_out(self, desk: &Desk) -> Result<serde_json::Value, String> {
        let told = |error: crate::Error| Chain(&error).to_string();
        match self {
            Self::Advance { demande, to } => advance(desk, &demande, &to)?,
            Self::PreDemande {
                number,
                procedure,
                fields,
                status,
            } => {
                let status = status.unwrap_or_else(|| "validated".to_owned());
                if !is_number(&number) || !matches!(status.as_str(), "validated" | "consumed") {
                    return Err(
                        "a number is ten capital letters or digits, a status validated or consumed".into(),
                    );
                }
                PreDemande {
                    number,
                    status,
                    procedure,
                    fields,
                }
                .store(&desk.dir)
                .map_err(told)?;
            }
            Self::RefuseNext {} => desk.state().orders.refuse_next = true,
            Self::StopAnswering { on } => desk.state().orders.silent = on,
            Self::Ingest { mode } => {
                desk.state().orders.hold = matches!(mode, Mode::Hold);
                desk.work.notify_one();
            }
            Self::ExpireUploads {} => desk.expire_uploads().map_err(told)?,
            Self::Fault { kind, bytes, count } => {
                let faults = &mut desk.state().orders.faults;
                match (kind, bytes, count) {
                    (Fault::CutAfter, Some(bytes), None) => faults.cut_after = Some(bytes),
                    (Fault::LoseCommitAnswer, None, count) => faults.lose_commit_answer = count.unwrap_or(1),
                    (Fault::Status503, None, count) => faults.status_503 = count.unwrap_or(1),
                    _ => {
                        return Err(
                            "cut-after has bytes; the other faults have a count, or none for 1".into(),
                        );
                    }
                }
            }
            Self::AnswerWrong(wrong) => desk.state().orders.faults.wrong.push(wrong),
            Self::Lift {} => {
                let orders = &mut desk.state().orders;
                (orders.faults, orders.hold, orders.silent) = (Faults::default(), false, false);
                desk.work.notify_one();
            }
            Self::List {} => return Ok(desk.list()),
        }
        Ok(serde_json::json!({"ok": true}))
    }
}

fn advance(desk: &Desk, number: &str, to: &str) -> Result<(), String> {
    if !STATUSES.contains(&to) {
        return Err(format!("a status is one of {}", STATUSES.join(", ")));
    }
    let mut state = desk.state();
    let Some(mut demande) = state.demandes.get(number).cloned() else {
        return Err("no such demande".into());
    };
    to.clone_into(&mut demande.status);
    desk.store_demande(&mut state, number, demande)
        .map_err(|error| Chain(&error).to_string())
}

impl Faults {
    /// The part of `bytes` that still arrives, and whether the connection is dropped after it.
    pub(crate) fn cut<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        let Some(left) = self.cut_after else {
            return (bytes, false);
        };
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if let Some((kept, _lost)) = bytes.split_at_checked(left) {
            self.cut_after = None;
            (kept, true)
        } else {
            self.cut_after = u64::try_from(left - bytes.len()).ok();
            (bytes, false)
        }
    }
}
