//! From an offer to a host that waits.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use recueil_wire::devices::{Capabilities, Failure, FailureCode, Identity, Modality};
use recueil_wire::host::{Blob, Bus, Confinement, FromHost, Load, Sandbox, Step, ToHost};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::chatter::{Chatter, Storing};
use super::{Deadlines, Settings};
use crate::Error;
use crate::admission::Admitted;
use crate::blobs::Blobs;
use crate::failure::{failure, from_stage, printable};
use crate::host::Host;
use crate::virtual_bus::Offer;

/// Where the loader finds libraries on Debian.
const SYSTEM_LIBRARY_DIRS: [&str; 4] = ["/usr/lib", "/usr/lib64", "/lib", "/lib64"];
/// A socket file is there a moment before its owner listens.
const CONNECT_TRIES_MAX: u32 = 40;
const CONNECT_PAUSE: Duration = Duration::from_millis(25);
/// `FrameInfo::SIDE_MAX_PX`, for what a device says of itself.
const SIDE_MAX_PX: u32 = recueil_dossier::FrameInfo::SIDE_MAX_PX;

/// A host that waits, and what it said.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) host: Host,
    pub(super) chatter: Chatter,
    pub(super) identity: Identity,
    pub(super) capabilities: Capabilities,
    pub(super) confinement: Confinement,
}

/// Checks the plugin anew, connects the device, starts a host and waits until it is ready. Dropped, it
/// leaves nothing running.
pub(super) async fn start(
    settings: Arc<Settings>,
    plugin: Arc<Admitted>,
    device_id: String,
    offer: Offer,
) -> Result<Box<Started>, Failure> {
    // The host's program starts while the files are checked. It is nobody's until it is told what to load.
    let host = Host::start(
        &settings.host_program,
        settings.cgroups.as_ref(),
        plugin.manifest.limits,
    )
    .map_err(|error| refused(&error))?;
    let prepared = async {
        tokio::try_join!(
            prepare(settings.clone(), plugin.clone(), device_id.clone()),
            connect(&offer.path)
        )
    };
    let prepared = timeout(settings.deadlines.prepare, prepared).await;
    let ((library, blobs), device) = match prepared.unwrap_or_else(|_| Err(unprepared())) {
        Ok(prepared) => prepared,
        Err(failure) => {
            host.kill().await;
            return Err(failure);
        }
    };
    let begun = Instant::now();
    let mut chatter = Chatter::new(plugin.manifest.id.clone(), device_id, settings.blobs.clone());
    let (table, stored) = blobs;
    let load = ToHost::Load(Box::new(load(&settings, &plugin, &offer, table)));
    let mut fds = vec![library.as_fd(), device.as_fd()];
    fds.extend(stored.iter().map(|memory| memory.as_fd()));
    let sent = host.say(&load, &fds, settings.deadlines.say).await;
    drop((library, device, stored));
    if let Err(error) = sent {
        return Err(host.lost(&error, settings.deadlines.close).await);
    }
    let mut step = Step::Load;
    let mut by = begun + limit(&settings.deadlines, step);
    loop {
        let message = match timeout_at(by, host.hear()).await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => return Err(host.lost(&error, settings.deadlines.close).await),
            Err(_) => {
                host.kill().await;
                return Err(too_late(step, limit(&settings.deadlines, step)));
            }
        };
        match chatter.take(message, Storing::Allowed).await? {
            None => {}
            Some(FromHost::Begins { step: next }) if next > step => {
                step = next;
                by = Instant::now() + limit(&settings.deadlines, step);
            }
            Some(FromHost::Ready {
                plugin_version: _,
                identity,
                capabilities,
                confinement,
            }) => {
                return Ok(Box::new(Started {
                    identity: tamed(&identity),
                    capabilities: checked(capabilities, &plugin.manifest.modalities)?,
                    confinement,
                    host,
                    chatter,
                }));
            }
            Some(FromHost::Failed { stage, failure }) => {
                host.finish(settings.deadlines.close).await;
                return Err(from_stage(&stage, &failure));
            }
            Some(_) => {
                return Err(failure(
                    FailureCode::PluginMisbehaved,
                    "the host spoke out of turn before it was ready",
                ));
            }
        }
    }
}

fn limit(deadlines: &Deadlines, step: Step) -> Duration {
    match step {
        Step::Load => deadlines.load,
        Step::Create => deadlines.create,
        Step::Open => deadlines.open,
        Step::Info | Step::Caps => deadlines.ask,
    }
}

fn too_late(step: Step, limit: Duration) -> Failure {
    let what = match step {
        Step::Load => "load",
        Step::Create => "return from create()",
        Step::Open => "open the device",
        Step::Info => "say what the device is",
        Step::Caps => "say what the device can",
    };
    failure(
        FailureCode::PluginHung,
        format!(
            "the plugin did not {what} within {} ms and was killed (rule R7)",
            limit.as_millis()
        ),
    )
}

fn unprepared() -> Failure {
    failure(
        FailureCode::DeviceError,
        "the plugin's files cannot be read, or the device not be connected: neither disk nor device answers",
    )
}

async fn prepare(
    settings: Arc<Settings>,
    plugin: Arc<Admitted>,
    device_id: String,
) -> Result<(OwnedFd, Stored), Failure> {
    let read = move || -> Result<_, Error> {
        let library = plugin.open_library(&settings.trust)?;
        let blobs = settings
            .blobs
            .load(&plugin.manifest.id, &device_id)
            .unwrap_or_else(|error| {
                tracing::warn!(
                    device = device_id,
                    reason = error.chain(),
                    "what was stored for it is lost"
                );
                Blobs::new()
            });
        Ok((library, pack(&blobs)?))
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read.map_err(|error| refused(&error)),
        Err(_) => Err(failure(
            FailureCode::PluginRefused,
            "the plugin's files could not be checked",
        )),
    }
}

/// What was stored for a device: the table, and memory that holds the bytes, if there are any.
type Stored = (Vec<Blob>, Option<OwnedFd>);

fn pack(blobs: &Blobs) -> Result<Stored, Error> {
    if blobs.is_empty() {
        return Ok((Vec::new(), None));
    }
    let table = blobs.iter().map(|(key, value)| Blob {
        key: key.clone(),
        len: u64::try_from(value.len()).unwrap_or(u64::MAX),
    });
    let bytes: Vec<u8> = blobs.values().flatten().copied().collect();
    let memory = recueil_wire::sealed_memory("stored", &bytes)
        .map_err(|error| Error::system("making memory for what is stored", std::io::Error::other(error)))?;
    Ok((table.collect(), Some(memory)))
}

fn refused(error: &Error) -> Failure {
    failure(FailureCode::PluginRefused, error.chain())
}

async fn connect(path: &Path) -> Result<OwnedFd, Failure> {
    let failed = |error: &std::io::Error| {
        failure(
            FailureCode::DeviceError,
            format!("{} cannot be connected: {error}", path.display()),
        )
    };
    let mut tries = 0;
    let stream = loop {
        tries += 1;
        match UnixStream::connect(path).await {
            Ok(stream) => break stream,
            Err(error)
                if error.kind() == std::io::ErrorKind::ConnectionRefused && tries < CONNECT_TRIES_MAX =>
            {
                tokio::time::sleep(CONNECT_PAUSE).await;
            }
            Err(error) => return Err(failed(&error)),
        }
    };
    // A plugin reads from it as from any device: it blocks.
    let stream = stream.into_std().map_err(|error| failed(&error))?;
    stream.set_nonblocking(false).map_err(|error| failed(&error))?;
    Ok(stream.into())
}

fn load(settings: &Settings, plugin: &Admitted, offer: &Offer, blobs: Vec<Blob>) -> Load {
    let manifest = &plugin.manifest;
    let mut config = manifest.config.clone();
    // Registry made sure that the administrator names only keys that the manifest names.
    config.extend(settings.config.get(&manifest.id).cloned().unwrap_or_default());
    let read_dirs = SYSTEM_LIBRARY_DIRS
        .iter()
        .filter(|dir| Path::new(dir).is_dir())
        .map(|dir| (*dir).to_owned())
        .chain([plugin.dir.to_string_lossy().into_owned()])
        .collect();
    Load {
        plugin_id: manifest.id.clone(),
        bus: Bus::Virtual,
        path: offer.path.to_string_lossy().into_owned(),
        serial: offer.serial.clone(),
        usb_vid: 0,
        usb_pid: 0,
        config,
        blobs,
        sandbox: Sandbox {
            read_dirs,
            landlock_abi_max: settings.landlock_abi_max,
            allow_unsandboxed: settings.allow_unsandboxed.contains(&manifest.id),
            memory_mib: manifest.limits.memory_mib,
            threads: manifest.limits.threads,
        },
    }
}

/// Identity as the contract limits it: printable, at most 63 characters each, 31 for the firmware.
pub(crate) fn tamed(identity: &Identity) -> Identity {
    Identity {
        vendor: printable(&identity.vendor, 63),
        model: printable(&identity.model, 63),
        serial: printable(&identity.serial, 63),
        firmware: printable(&identity.firmware, 31),
    }
}

/// Capabilities that the manifest and the contract allow.
pub(crate) fn checked(mut capabilities: Capabilities, allowed: &[Modality]) -> Result<Capabilities, Failure> {
    let Capabilities {
        modalities,
        formats,
        width_max,
        height_max,
        ..
    } = &mut capabilities;
    modalities.sort_unstable();
    modalities.dedup();
    let declared = modalities.iter().all(|modality| allowed.contains(modality));
    let sides = [*width_max, *height_max]
        .iter()
        .all(|side| (1..=SIDE_MAX_PX).contains(side));
    if modalities.is_empty() || !declared || formats.is_empty() || formats.len() > 16 || !sides {
        return Err(failure(
            FailureCode::PluginMisbehaved,
            "the device says it can what the manifest or the contract does not allow",
        ));
    }
    Ok(capabilities)
}
