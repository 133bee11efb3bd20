//! An analyser on a device, from opening both to seeing both end.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use jiff::Timestamp;
use recueil_bus::{CaptureState, Code, Detail, Error, Reply};
use recueil_dossier::{FingerPosition, Guidance, Item, MediaType};
use recueil_wire::analyser::{Assessment, FromAnalyser, Pick, Task, ToAnalyser};
use recueil_wire::devices::{AreaUm, CaptureParams, Failure, FailureCode, Modality, Notice};
use recueil_wire::{Received, read_memory, sealed_memory};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::control::{Control, Told};
use super::{Order, Scan, Subject, Tools};
use crate::analyser::Analyser;
use crate::devices::{SessionNews, device_error};

/// `RCL_EV_HOLD`: it is seen, keep still.
const EVENT_HOLD: u32 = 8;
/// `RCL_EV_LIFTED_EARLY`: the hand was lifted before the picture was taken.
const EVENT_LIFTED_EARLY: u32 = 10;
/// The analyser measures a try within this time, a slow machine included.
const ASSESS_MAX: Duration = Duration::from_secs(30);
/// A hostd that went away is back within this time; the service manager starts it again at once.
const HOSTD_BACK_MAX: Duration = Duration::from_secs(10);
const HOSTD_RETRY: Duration = Duration::from_millis(250);

pub(super) struct Session<'t> {
    tools: &'t Tools,
    device: String,
    analyser: Analyser,
    news: mpsc::Receiver<SessionNews>,
    next_req: u64,
    taken: BTreeSet<FingerPosition>,
    kept: BTreeSet<FingerPosition>,
}

/// What one try asks of the device.
pub(super) struct Try {
    pub(super) params: CaptureParams,
    pub(super) position: Option<FingerPosition>,
    pub(super) missing: BTreeSet<FingerPosition>,
}

/// One try's outcome.
pub(super) struct Tried {
    pub(super) req: u64,
    pub(super) assessment: Assessment,
}

/// A record that the analyser encoded.
pub(super) struct Kept {
    pub(super) pick: Pick,
    pub(super) media_type: MediaType,
    pub(super) ppi: u32,
    pub(super) criteria: Vec<recueil_dossier::Criterion>,
    pub(super) payload: Zeroizing<Vec<u8>>,
}

impl<'t> Session<'t> {
    pub(super) async fn open(tools: &'t Tools, order: &Order, control: &mut Control) -> Result<Self, Error> {
        let capabilities = order.device.capabilities.clone().ok_or_else(|| {
            Error::new(
                Code::UnknownDevice,
                "the device is not ready yet; wait until its state is `ready`",
            )
        })?;
        // Before `open`, so that no news of this session is missed.
        let news = tools.devices.listen(&order.device.id);
        let mut asked = None;
        let analyser = tokio::select! {
            analyser = Analyser::start(&tools.config.analyser) => analyser?,
            () = cancelled(control, &mut asked) => return Err(by_client()),
        };
        let frames = tools.devices.open(&order.device.id).await?;
        let session = Self {
            tools,
            device: order.device.id.clone(),
            analyser,
            news,
            next_req: 1,
            taken: BTreeSet::new(),
            kept: BTreeSet::new(),
        };
        let begun = session.begin(order, capabilities, frames).await;
        if let Err(error) = begun {
            drop(session.close().await);
            return Err(error);
        }
        if let Some(reply) = asked {
            drop(reply.send(session.preview().await));
        }
        Ok(session)
    }

    async fn begin(
        &self,
        order: &Order,
        capabilities: recueil_wire::devices::Capabilities,
        frames: OwnedFd,
    ) -> Result<(), Error> {
        let task = match &order.subject {
            Subject::Hands { .. } => Task::Fingerprints,
            Subject::Photo { .. } => Task::PhotoPrint,
            Subject::Page { .. } => Task::Pages,
            Subject::Signature { .. } => Task::Signature,
        };
        let result_capacity = match &order.subject {
            Subject::Hands { .. } => u64::from(capabilities.width_max) * u64::from(capabilities.height_max),
            Subject::Photo { scan } | Subject::Page { scan, .. } | Subject::Signature { scan } => {
                scan_bytes(*scan, &capabilities)
            }
        };
        let profile = sealed_memory("recueil-profile", order.profile.text.as_bytes())
            .map_err(|error| Error::new(Code::Storage, format!("memory for the profile: {error}")))?;
        let begin = ToAnalyser::Begin {
            task,
            capabilities,
            profile_len: u64::try_from(order.profile.text.len()).unwrap_or(u64::MAX),
            profile_sha256: order.profile.sha256.clone(),
            result_capacity,
        };
        self.analyser
            .tell(&begin, &[frames.as_fd(), profile.as_fd()])
            .await
    }

    pub(super) fn analyser_version(&self) -> &str {
        &self.analyser.version
    }

    /// Fingers whose pictures were taken and not chosen: destroyed when the session has ended.
    pub(super) fn taken_and_not_kept(&self) -> Vec<FingerPosition> {
        self.taken.difference(&self.kept).copied().collect()
    }

    /// One try: the device captures, the analyser measures. Guidance goes to the client meanwhile.
    pub(super) async fn attempt(&mut self, one: Try, control: &mut Control) -> Result<Tried, Error> {
        // What came since the try before is old, except an end.
        while let Ok(news) = self.news.try_recv() {
            if let Some(error) = end_of_session(Some(news)) {
                return Err(error);
            }
        }
        let req = self.next_req;
        self.next_req += 1;
        let Try {
            params,
            position,
            missing,
        } = one;
        self.analyser
            .tell(
                &ToAnalyser::Expect {
                    req,
                    position,
                    missing,
                },
                &[],
            )
            .await?;
        let mut lifted = false;
        let mut cancelled = false;
        let mut over = None;
        loop {
            tokio::select! {
                told = control.told(), if !cancelled => match told {
                    Told::Cancel => {
                        cancelled = true;
                        if over.is_some() {
                            return Err(by_client());
                        }
                        // Where the device has not been started the stop is refused, and we are done.
                        if self.tools.devices.stop(&self.device, req).await.is_err() {
                            return Err(by_client());
                        }
                    }
                    Told::Preview(reply) => drop(reply.send(self.preview().await)),
                    Told::Go(_) => {}
                },
                received = listen(&self.analyser, over) => match received?.message {
                    FromAnalyser::Start { req: started } if started == req => {
                        self.tools.devices.start(&self.device, req, params.clone()).await?;
                    }
                    FromAnalyser::Stop { req: stopped } if stopped == req => {
                        // A try that has ended by itself cannot be stopped; its end is on its way.
                        drop(self.tools.devices.stop(&self.device, req).await);
                    }
                    FromAnalyser::Guide { req: guided, guidance, value } if guided == req => {
                        control.guide(guidance, counted(value)).await;
                    }
                    FromAnalyser::Assessed { req: assessed, assessment } if assessed == req && over.is_some() => {
                        return Ok(self.assessed(req, assessment));
                    }
                    _ => {}
                },
                // When the try is over its frames are here: the end of the host changes nothing.
                news = self.news.recv(), if over.is_none() => match news {
                    Some(SessionNews::Notice(Notice::Progress { req: of, event, .. })) if of == req => {
                        match event {
                            EVENT_HOLD => control.guide(Guidance::Hold, Detail::new()).await,
                            EVENT_LIFTED_EARLY => {
                                lifted = true;
                                control.guide(Guidance::LiftedTooEarly, Detail::new()).await;
                            }
                            _ => {}
                        }
                    }
                    Some(SessionNews::Notice(Notice::Captured { req: captured, results, failure, .. }))
                        if captured == req =>
                    {
                        if cancelled {
                            return Err(by_client());
                        }
                        match failure {
                            None => {
                                self.analyser.tell(&ToAnalyser::Finished { req, results }, &[]).await?;
                                over = Some(Instant::now() + ASSESS_MAX);
                                control.enter(CaptureState::Analysing, &["cancel"]).await;
                            }
                            Some(failure) if lifted && is_lift(&failure) => {
                                // It was told when it happened.
                                let assessment =
                                    Assessment::Refused { guidance: Vec::new(), criteria: Vec::new() };
                                return Ok(Tried { req, assessment });
                            }
                            Some(failure) => return Err(device_error(&failure)),
                        }
                    }
                    news => {
                        if let Some(error) = end_of_session(news) {
                            return Err(if cancelled { by_client() } else { error });
                        }
                    }
                },
            }
        }
    }

    /// Waits for a command between two tries. A device or analyser that is gone meanwhile is told at once.
    pub(super) async fn command(&mut self, control: &mut Control) -> Result<&'static str, Error> {
        loop {
            tokio::select! {
                told = control.told() => match told {
                    Told::Cancel => return Err(by_client()),
                    Told::Go(command) => return Ok(command),
                    Told::Preview(reply) => drop(reply.send(self.preview().await)),
                },
                news = self.news.recv() => {
                    if let Some(error) = end_of_session(news) {
                        return Err(error);
                    }
                }
                received = self.analyser.listen() => drop(received?),
            }
        }
    }

    fn assessed(&mut self, req: u64, assessment: Assessment) -> Tried {
        if let Assessment::Fingers { fingers } = &assessment {
            self.taken.extend(fingers.iter().map(|finger| finger.position));
        }
        Tried { req, assessment }
    }

    /// Has records encoded. Each is checked against what the analyser says of it.
    pub(super) async fn keep(&mut self, picks: Vec<Pick>) -> Result<Vec<Kept>, Error> {
        let mut awaited = picks.clone();
        self.analyser.tell(&ToAnalyser::Keep { picks }, &[]).await?;
        let deadline = Instant::now() + ASSESS_MAX;
        let mut kept = Vec::with_capacity(awaited.len());
        while !awaited.is_empty() {
            let Received { message, fds } = listen(&self.analyser, Some(deadline)).await?;
            let FromAnalyser::Kept {
                pick,
                media_type,
                len,
                sha256,
                ppi,
                criteria,
            } = message
            else {
                continue;
            };
            // An analyser that a picture has taken over must not choose what is recorded.
            let place = awaited.iter().position(|one| *one == pick);
            awaited.swap_remove(place.ok_or_else(|| broken("a record that was not asked for"))?);
            let memory = fds.first().ok_or_else(|| broken("a record without its memory"))?;
            let max = u64::try_from(Item::PAYLOAD_MAX_BYTES).unwrap_or(u64::MAX);
            let payload = read_memory(memory, len, max).map_err(|error| broken(&error.to_string()))?;
            if recueil_dossier::sha256_hex(&payload) != sha256 {
                return Err(broken("a record that is not what was said"));
            }
            self.kept.extend(pick.position);
            kept.push(Kept {
                pick,
                media_type,
                ppi,
                criteria,
                payload,
            });
        }
        Ok(kept)
    }

    /// A new preview stream: one end for the client, the other for the analyser.
    pub(super) async fn preview(&self) -> Result<OwnedFd, Error> {
        let (client, analyser) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|error| Error::new(Code::TooMany, format!("a preview socket: {error}")))?;
        self.analyser
            .tell(&ToAnalyser::AttachPreview, &[analyser.as_fd()])
            .await?;
        Ok(client)
    }

    /// Ends analyser and host; gives the time at which both were seen to be gone.
    pub(super) async fn close(self) -> Result<Timestamp, Error> {
        let Self {
            tools,
            device,
            analyser,
            ..
        } = self;
        let (analyser, host) = tokio::join!(analyser.end(), host_gone(tools, &device));
        analyser?;
        host?;
        Ok(Timestamp::now())
    }
}

/// Closes the session at hostd. A hostd that went away is waited for: it answers a new connection when it has
/// ended the sessions of the old one, and a new hostd has none. Not by a service that is to end: both are stopped
/// together, and what was stored with surplus is recorded after the next start.
async fn host_gone(tools: &Tools, device: &str) -> Result<(), Error> {
    let deadline = Instant::now() + HOSTD_BACK_MAX;
    loop {
        match tools.devices.close(device).await {
            // The host ended before: hostd has seen it.
            Err(error) if error.code == Code::UnknownDevice => return Ok(()),
            Err(error) if error.code == Code::DevicesUnavailable && Instant::now() < deadline => {
                tokio::select! {
                    () = tokio::time::sleep(HOSTD_RETRY) => {}
                    () = tools.stopping.cancelled() => return Err(error),
                }
            }
            closed => return closed,
        }
    }
}

/// Waits for the analyser's next word, until a deadline where there is one.
async fn listen(analyser: &Analyser, deadline: Option<Instant>) -> Result<Received<FromAnalyser>, Error> {
    match deadline {
        None => analyser.listen().await,
        Some(deadline) => tokio::time::timeout_at(deadline, analyser.listen())
            .await
            .unwrap_or_else(|_elapsed| Err(broken("no answer in time"))),
    }
}

/// Waits for the client to give up; keeps its wish for previews, the last if there are several.
async fn cancelled(control: &mut Control, asked: &mut Option<Reply<OwnedFd>>) {
    loop {
        match control.told().await {
            Told::Cancel => return,
            Told::Preview(reply) => *asked = Some(reply),
            Told::Go(_) => {}
        }
    }
}

/// The error by which a session ends, where this news is its end.
fn end_of_session(news: Option<SessionNews>) -> Option<Error> {
    match news {
        Some(SessionNews::Notice(Notice::HostEnded { failure, .. })) => Some(device_error(&failure)),
        Some(SessionNews::Notice(_)) => None,
        Some(SessionNews::Lost) | None => Some(Error::new(
            Code::DevicesUnavailable,
            "the device service ended, and the capture with it; present again when the device is ready",
        )),
    }
}

pub(super) fn by_client() -> Error {
    Error::new(
        Code::Cancelled,
        "the capture was cancelled; what was taken is destroyed",
    )
}

fn broken(what: &str) -> Error {
    tracing::warn!(what, "an analyser broke its protocol");
    Error::new(
        Code::AnalyserEnded,
        "the process that reads pictures failed; present again",
    )
}

fn is_lift(failure: &Failure) -> bool {
    matches!(failure.code, FailureCode::DeviceError | FailureCode::Timeout)
}

fn counted(value: Option<i64>) -> Detail {
    value
        .map(|value| ("count".to_owned(), value.to_string()))
        .into_iter()
        .collect::<BTreeMap<_, _>>()
}

const UM_PER_INCH: u64 = 25_400;
/// A device may round an area up; pixels a side.
const ROUNDING_PX: u64 = 32;

/// Bytes of a scan in 24-bit colour.
fn scan_bytes(scan: Scan, capabilities: &recueil_wire::devices::Capabilities) -> u64 {
    let glass =
        |px: u32| u64::from(px) * 1000 * u64::from(scan.ppi) / u64::from(capabilities.ppi_milli.max(1));
    let side = |mm: u32| u64::from(mm) * 1000 * u64::from(scan.ppi) / UM_PER_INCH;
    let (width, height) = match scan.area_mm {
        Some((width, height)) => (side(width), side(height)),
        None => (glass(capabilities.width_max), glass(capabilities.height_max)),
    };
    ((width + ROUNDING_PX) * (height + ROUNDING_PX) * 3).min(recueil_dossier::FrameInfo::FRAME_MAX_BYTES)
}

/// What a scan asks of the device.
pub(super) fn scan_params(scan: Scan, tools_config: &super::Config) -> CaptureParams {
    CaptureParams {
        modality: Modality::Scanner,
        format: Some(recueil_dossier::PixelFormat::Rgb24),
        ppi_milli: scan.ppi.saturating_mul(1000),
        deadline_ms: tools_config.scan_s.saturating_mul(1000),
        preview_fps: 0,
        position: None,
        missing: Vec::new(),
        area_um: scan.area_mm.map(|(width, height)| AreaUm {
            x: 0,
            y: 0,
            width: width.saturating_mul(1000),
            height: height.saturating_mul(1000),
        }),
    }
}

impl Session<'_> {
    pub(super) fn config(&self) -> &super::Config {
        &self.tools.config
    }
}
