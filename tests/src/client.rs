//! Station software as the stories need it: a bus client like any other.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::{Context, bail};
use recueil_bus::{
    Address, BusConnection, CaptureProxy, CaptureView, DeviceView, DossierProxy, DossierView, News,
    OwnedVariant, StationProxy, Watch,
};

/// Nothing of a story takes longer on a loaded machine.
const WAIT_MAX: Duration = Duration::from_mins(2);

/// A connected client with an agent at work.
#[derive(Debug)]
pub struct Client {
    connection: BusConnection,
    /// The station.
    pub station: StationProxy<'static>,
    watch: Watch,
}

/// A capture that is over.
#[derive(Debug)]
pub struct Captured {
    /// Its last properties.
    pub view: CaptureView,
    /// Guidance codes in their order.
    pub guidance: Vec<String>,
    /// Its results.
    pub results: Vec<BTreeMap<String, String>>,
    /// Preview pictures, where they were asked for: width, height, grey pixels.
    pub previews: Vec<(u32, u32, Vec<u8>)>,
}

/// A dossier in use.
#[derive(Debug, Clone)]
pub struct Followed {
    /// UUID.
    pub id: String,
    /// Its object path.
    pub path: String,
    /// The object.
    pub dossier: DossierProxy<'static>,
}

impl Client {
    /// Connects and opens an agent session.
    pub async fn connect(address: &Address, agent: &str) -> anyhow::Result<Self> {
        let connection = recueil_bus::connect(address).await?;
        let station = StationProxy::new(&connection).await?;
        let watch = Watch::new(&connection).await?;
        station.open_agent_session(agent, HashMap::new()).await?;
        Ok(Self {
            connection,
            station,
            watch,
        })
    }

    /// The bus connection.
    pub fn connection(&self) -> &BusConnection {
        &self.connection
    }

    /// The id of a device of that kind, as soon as it is ready.
    pub async fn device(&self, modality: &str) -> anyhow::Result<String> {
        // Before the first look, so that no change is missed.
        let mut watch = Watch::new(&self.connection).await?;
        let found = async {
            loop {
                let devices = recueil_bus::devices(&self.connection).await?;
                let ready = devices.into_iter().find(|device| {
                    device.state == "ready" && device.modalities.iter().any(|one| one == modality)
                });
                if let Some(device) = ready {
                    return anyhow::Ok(device.id);
                }
                watch.next().await.context("the bus ended")?;
            }
        };
        tokio::time::timeout(WAIT_MAX, found)
            .await
            .with_context(|| format!("no {modality} became ready"))?
    }

    /// Opens a draft.
    pub async fn open(&self, kind: &str, procedure: &str, demande: Option<&str>) -> anyhow::Result<Followed> {
        let mut options = HashMap::new();
        if let Some(demande) = demande {
            options.insert("demande".to_owned(), text(demande)?);
        }
        let (path, id) = self.station.open_dossier(kind, procedure, options).await?;
        self.followed(path.to_string(), id).await
    }

    /// Takes a dossier over.
    pub async fn adopt(&self, id: &str) -> anyhow::Result<Followed> {
        let path = self.station.adopt(id).await?;
        self.followed(path.to_string(), id.to_owned()).await
    }

    async fn followed(&self, path: String, id: String) -> anyhow::Result<Followed> {
        let dossier = DossierProxy::new(&self.connection, path.clone()).await?;
        Ok(Followed { id, path, dossier })
    }

    /// Runs a capture to its end, with tries that follow each other by themselves.
    pub async fn capture(
        &mut self,
        dossier: &Followed,
        step: &str,
        device: &str,
        document: Option<&str>,
    ) -> anyhow::Result<Captured> {
        self.capture_with(dossier, step, device, document, true, false)
            .await
    }

    /// The same, with the choices open: tries by themselves, previews read.
    pub async fn capture_with(
        &mut self,
        dossier: &Followed,
        step: &str,
        device: &str,
        document: Option<&str>,
        auto_retry: bool,
        previews: bool,
    ) -> anyhow::Result<Captured> {
        let path = self.start(dossier, step, device, document, auto_retry).await?;
        let capture = CaptureProxy::new(&self.connection, path.clone()).await?;
        let reader = if previews {
            let stream = std::os::unix::net::UnixStream::from(OwnedFd::from(capture.preview().await?));
            Some(tokio::task::spawn_blocking(move || read_previews(stream)))
        } else {
            None
        };
        let (view, guidance) = self
            .until(&path, |view| {
                !view.allowed.contains(&"cancel".to_owned()) && over(view)
            })
            .await?;
        let results = capture.results().await?;
        let previews = match reader {
            Some(reader) => reader.await?,
            None => Vec::new(),
        };
        Ok(Captured {
            view,
            guidance,
            results,
            previews,
        })
    }

    /// Starts a capture; gives its path.
    pub async fn start(
        &self,
        dossier: &Followed,
        step: &str,
        device: &str,
        document: Option<&str>,
        auto_retry: bool,
    ) -> anyhow::Result<String> {
        let mut options = HashMap::from([("auto-retry".to_owned(), OwnedVariant::from(auto_retry))]);
        if let Some(document) = document {
            options.insert("document".to_owned(), text(document)?);
        }
        Ok(dossier
            .dossier
            .start_capture(step, device, options)
            .await?
            .to_string())
    }

    /// Reads news until a capture is as wanted; gives it with the guidance on the way.
    pub async fn until(
        &mut self,
        path: &str,
        wanted: impl Fn(&CaptureView) -> bool,
    ) -> anyhow::Result<(CaptureView, Vec<String>)> {
        let mut guidance = Vec::new();
        let wait = async {
            while let Some(news) = self.watch.next().await {
                match news {
                    News::Guidance { path: of, code, .. } if of == path => guidance.push(code),
                    News::Capture { path: of, view } if of == path && wanted(&view) => return Ok(view),
                    News::Station { running: false } => bail!("the service ended, and the capture with it"),
                    _ => {}
                }
            }
            bail!("the bus ended")
        };
        let view = tokio::time::timeout(WAIT_MAX, wait)
            .await
            .context("the capture does not come to its end")??;
        Ok((view, guidance))
    }

    /// Waits until a dossier is in a state.
    pub async fn until_state(&mut self, dossier: &Followed, state: &str) -> anyhow::Result<DossierView> {
        let now = dossier.dossier.view().await?;
        if now.state == state {
            return Ok(now);
        }
        let mut last = now.state;
        let wait = async {
            while let Some(news) = self.watch.next().await {
                if let News::Dossier { path, view } = news
                    && path == dossier.path
                {
                    if view.state == state {
                        return Ok(view);
                    }
                    last = view.state;
                }
            }
            bail!("the bus ended")
        };
        let waited = tokio::time::timeout(WAIT_MAX, wait).await;
        waited.with_context(|| format!("the dossier is {last}, not {state}"))?
    }

    /// Waits until a dossier tells of a change, which is durable then.
    pub async fn until_changed(&mut self, dossier: &Followed) -> anyhow::Result<DossierView> {
        let wait = async {
            while let Some(news) = self.watch.next().await {
                if let News::Dossier { path, view } = news
                    && path == dossier.path
                {
                    return Ok(view);
                }
            }
            bail!("the bus ended")
        };
        let waited = tokio::time::timeout(WAIT_MAX, wait).await;
        waited.context("the dossier does not change")?
    }

    /// Reads news until a device is there and as wanted; gives it as it then is.
    pub async fn until_device(
        &mut self,
        id: &str,
        wanted: impl Fn(&DeviceView) -> bool,
    ) -> anyhow::Result<DeviceView> {
        let mut last = self.look(id).await?;
        let wait = async {
            while !last.as_ref().is_some_and(&wanted) {
                match self.watch.next().await {
                    Some(News::Device) => last = self.look(id).await?,
                    Some(_) => {}
                    None => bail!("the bus ended"),
                }
            }
            Ok(())
        };
        let waited = tokio::time::timeout(WAIT_MAX, wait).await;
        waited.with_context(|| format!("the device {id} is {last:?}"))??;
        last.context("it was just seen")
    }

    /// A device as it is now, if it is known; never what a proxy remembers.
    async fn look(&self, id: &str) -> anyhow::Result<Option<DeviceView>> {
        let devices = recueil_bus::devices(&self.connection).await?;
        Ok(devices.into_iter().find(|device| device.id == id))
    }

    /// Leaves the bus, as a program that ends.
    pub async fn leave(self) -> anyhow::Result<()> {
        Ok(self.connection.close().await?)
    }

    /// An item's bytes.
    pub async fn item(&self, dossier: &Followed, name: &str) -> anyhow::Result<Vec<u8>> {
        let (memory, view) = dossier.dossier.open_item(name).await?;
        let mut bytes = vec![0; usize::try_from(view.len_bytes)?];
        std::fs::File::from(OwnedFd::from(memory)).read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

fn over(view: &CaptureView) -> bool {
    matches!(view.state.as_str(), "completed" | "cancelled" | "failed")
}

/// A text as an option's value.
pub fn text(value: &str) -> anyhow::Result<OwnedVariant> {
    Ok(OwnedVariant::try_from(recueil_bus::Variant::from(value))?)
}

/// Reads pictures until the stream ends: the header of sdk/dbus/README.md, then its pixels.
fn read_previews(mut stream: std::os::unix::net::UnixStream) -> Vec<(u32, u32, Vec<u8>)> {
    let mut pictures = Vec::new();
    let mut header = [0; recueil_wire::analyser::PreviewHeader::LEN];
    while stream.read_exact(&mut header).is_ok() {
        let Some(header) = recueil_wire::analyser::PreviewHeader::decode(&header) else {
            break;
        };
        let mut pixels = vec![0; usize::try_from(header.len).unwrap_or_default()];
        if stream.read_exact(&mut pixels).is_err() {
            break;
        }
        pictures.push((header.width, header.height, pixels));
    }
    pictures
}

/// The object path of a device by its id: what a path may not hold is `_` (sdk/dbus/README.md).
pub fn device_path(id: &str) -> String {
    let id = id.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("{}/devices/{id}", recueil_bus::ROOT)
}
