//! Who has nothing to do with it: a client at its own reader, capturing all the while, and asking about devices all
//! the while on a connection of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use recueil_bus::{CaptureProxy, CaptureView, Code};
use recueil_tests::{Client, Followed, Station};
use recueil_wire::analyser::PreviewHeader;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::reader::{CAPTURES, Reader, WAIT_MAX, Words};

/// How often the witness asks.
const PACE: Duration = Duration::from_millis(50);

pub(crate) struct Witness {
    client: Client,
    dossier: Followed,
    reader: Reader,
    capture: String,
    ended: Option<CaptureView>,
    pictures: UnixStream,
    shown: u8,
    asking: Asking,
}

impl Witness {
    pub(crate) async fn begin(station: &Station, devices_dir: &Path) -> anyhow::Result<Self> {
        let reader = Reader::plug(devices_dir, "WITNESS")?;
        let client = Client::connect(&station.address(), "agent.temoin").await?;
        let dossier = client.open("deposit", "cni-adulte", None).await?;
        Self::go_on(station, client, dossier, reader).await
    }

    async fn go_on(
        station: &Station,
        mut client: Client,
        dossier: Followed,
        mut reader: Reader,
    ) -> anyhow::Result<Self> {
        client
            .until_device(&reader.id, |view| view.state == "ready")
            .await?;
        let capture = client
            .start(&dossier, "empreintes", &reader.id, None, true)
            .await?;
        reader.until(CAPTURES).await?;
        let proxy = CaptureProxy::new(client.connection(), capture.clone()).await?;
        let stream = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(proxy.preview().await?));
        stream.set_nonblocking(true)?;
        Ok(Self {
            pictures: UnixStream::from_std(stream)?,
            asking: Asking::begin(station).await?,
            client,
            dossier,
            reader,
            capture,
            ended: None,
            shown: 0,
        })
    }

    /// The capture lives from the device to the eye, what is typed is kept, and every question was answered.
    pub(crate) async fn is_undisturbed(&mut self) -> anyhow::Result<()> {
        self.picture_moves()
            .await
            .context("the witness's picture stands still")?;
        let capture = CaptureProxy::new(self.client.connection(), self.capture.clone()).await?;
        let view = capture.view().await?;
        anyhow::ensure!(view.state == "capturing", "the witness's capture: {view:?}");
        let typed = format!("TEMOIN {}", self.shown);
        self.dossier.dossier.set_field("nom-naissance", &typed).await?;
        let kept = self.dossier.dossier.fields().await?;
        anyhow::ensure!(
            kept.get("nom-naissance")
                .is_some_and(|field| field.value == typed),
            "what the witness typed is not kept"
        );
        self.asking.all_answered().await
    }

    /// What it did ended by this name, with the other's; it begins again.
    pub(crate) async fn capture_ended(mut self, station: &Station, code: Code) -> anyhow::Result<Self> {
        let view = self.over().await?;
        anyhow::ensure!(
            view.error.as_deref() == Some(code.as_str()),
            "the witness is told {view:?}"
        );
        drop(self.asking);
        Self::go_on(station, self.client, self.dossier, self.reader).await
    }

    /// The service was another one meanwhile: the draft is there, and it begins again.
    pub(crate) async fn service_restarted(self, station: &Station) -> anyhow::Result<Self> {
        drop(self.asking);
        let client = Client::connect(&station.address(), "agent.temoin").await?;
        let dossier = client.adopt(&self.dossier.id).await?;
        Self::go_on(station, client, dossier, self.reader).await
    }

    /// Its person gives both hands after all.
    pub(crate) async fn ends_well(mut self) -> anyhow::Result<()> {
        self.reader.show(true, Words::True)?;
        self.reader.until(CAPTURES).await?;
        self.reader.show(false, Words::True)?;
        let view = self.over().await?;
        anyhow::ensure!(view.state == "completed", "the witness's capture: {view:?}");
        self.dossier.dossier.cancel().await?;
        Ok(())
    }

    /// How its capture ended, as soon as it has.
    pub(crate) async fn over(&mut self) -> anyhow::Result<CaptureView> {
        if let Some(view) = &self.ended {
            return Ok(view.clone());
        }
        let over = |view: &CaptureView| matches!(view.state.as_str(), "completed" | "failed" | "cancelled");
        let (view, _) = self.client.until(&self.capture.clone(), over).await?;
        self.ended = Some(view.clone());
        Ok(view)
    }

    async fn picture_moves(&mut self) -> anyhow::Result<()> {
        self.shown = self.shown.wrapping_add(1);
        let grey = self.shown;
        let seen = async {
            loop {
                self.reader.preview(grey)?;
                let mut header = [0; PreviewHeader::LEN];
                self.pictures.read_exact(&mut header).await?;
                let header = PreviewHeader::decode(&header).context("a preview's header")?;
                let mut pixels = vec![0; usize::try_from(header.len)?];
                self.pictures.read_exact(&mut pixels).await?;
                if pixels.iter().all(|pixel| *pixel == grey) {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(WAIT_MAX, seen).await?
    }
}

/// A client that asks what devices there are, again and again.
struct Asking {
    task: JoinHandle<()>,
    answered: Arc<AtomicU32>,
    refused: Arc<AtomicU32>,
}

impl Asking {
    async fn begin(station: &Station) -> anyhow::Result<Self> {
        let connection = station.connect().await?;
        let (answered, refused) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let counts = (answered.clone(), refused.clone());
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                pace.tick().await;
                let count = match recueil_bus::devices(&connection).await {
                    Ok(_) => &counts.0,
                    Err(_) => &counts.1,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self {
            task,
            answered,
            refused,
        })
    }

    /// None was refused, and the next one is answered.
    async fn all_answered(&self) -> anyhow::Result<()> {
        let before = self.answered.load(Ordering::Relaxed);
        let next = async {
            while self.answered.load(Ordering::Relaxed) == before {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WAIT_MAX, next)
            .await
            .context("the witness's questions are not answered")?;
        let refused = self.refused.load(Ordering::Relaxed);
        anyhow::ensure!(refused == 0, "{refused} questions of the witness were refused");
        Ok(())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}
