//! The service's side of the bus: publishing objects, sending news to one client, seeing clients vanish.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use zbus::Connection;
use zbus::address::Transport;
use zbus::address::transport::UnixSocket;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::names::{BusName, UniqueName};
use zbus::object_server::SignalEmitter;

use crate::callers::Callers;
use crate::capture::Capture;
use crate::device::Device;
use crate::door::{Door, Guarded};
use crate::dossier::Dossier;
use crate::gate::{Authority, Gate};
use crate::station::Station;
use crate::{
    CallLimits, Caller, CaptureCommand, CaptureView, Detail, DeviceView, DossierCommand, DossierView, Error,
    NAME, ROOT, Reply, StationCommand,
};

/// Which bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The system bus.
    System,
    /// A private one, by its D-Bus address.
    Private(String),
}

/// Connects a client.
pub async fn connect(address: &Address) -> zbus::Result<Connection> {
    match address {
        Address::System => Builder::system().build().await,
        Address::Private(address) => Builder::address(address.as_str()).build().await,
    }
}

/// Connects the service: what comes to it comes through the door.
async fn connect_guarded(address: &Address, door: Arc<Door>) -> zbus::Result<Connection> {
    let address = match address {
        Address::System => zbus::Address::system()?,
        Address::Private(address) => address.parse()?,
    };
    let unsupported = || zbus::Error::Address("a bus at a Unix socket is needed".to_owned());
    let Transport::Unix(unix) = address.transport() else {
        return Err(unsupported());
    };
    let socket = match unix.path() {
        UnixSocket::File(path) => SocketAddr::from_pathname(path)?,
        UnixSocket::Abstract(name) => SocketAddr::from_abstract_name(name.as_encoded_bytes())?,
        _ => return Err(unsupported()),
    };
    let stream = UnixStream::connect_addr(&socket)?;
    Builder::socket(Guarded::new(stream, door)?).build().await
}

/// Sends a command and waits for its answer. A full queue is refused at once rather than waited for.
pub(crate) async fn ask<C, T>(
    commands: &mpsc::Sender<C>,
    command: impl FnOnce(Reply<T>) -> C,
) -> Result<T, Error> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    commands
        .try_send(command(reply))
        .map_err(|_full_or_closed| Error::overloaded())?;
    answer.await.map_err(|_actor_ended| {
        Error::new(
            crate::Code::WrongState,
            "it ended before it could answer; look at its state again",
        )
    })?
}

/// The running service.
#[derive(Debug, Clone)]
pub struct Service {
    connection: Connection,
    gate: Arc<Gate>,
    commands: mpsc::Sender<StationCommand>,
}

/// An object on the bus with one holder.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its path, unguessable.
    pub path: String,
    /// The only one who may use it.
    pub holder: Caller,
}

/// Unique names that left the bus.
pub type Vanished = mpsc::Receiver<String>;

/// Names that may vanish before they are looked at.
const VANISHED_MAX: usize = 1024;

impl Service {
    /// Connects, registers the root object, and only then takes the name.
    pub async fn start(
        address: &Address,
        authority: Authority,
        limits: CallLimits,
        commands: mpsc::Sender<StationCommand>,
    ) -> zbus::Result<(Self, Vanished)> {
        let (door, errands) = Door::new(limits);
        let connection = connect_guarded(address, Arc::clone(&door)).await?;
        let callers = Arc::new(Callers::default());
        errands.run(&connection, DBusProxy::new(&connection).await?, &door, &callers);
        let gate = Gate::new(&connection, authority, door, callers, limits.questions).await?;
        let gate = Arc::new(gate);
        let station = Station {
            commands: commands.clone(),
            gate: Arc::clone(&gate),
        };
        connection.object_server().at(ROOT, station).await?;
        connection
            .object_server()
            .at(ROOT, zbus::fdo::ObjectManager)
            .await?;
        let vanished = watch_names(&connection, Arc::clone(&gate)).await?;
        connection.request_name(NAME).await?;
        Ok((
            Self {
                connection,
                gate,
                commands,
            },
            vanished,
        ))
    }

    /// Makes a device known, or its changes.
    pub async fn show_device(&self, view: DeviceView) -> zbus::Result<()> {
        let path = device_path(&view.id);
        let server = self.connection.object_server();
        let Ok(object) = server.interface::<_, Device>(path.as_str()).await else {
            let device = Device::new(view, self.commands.clone(), Arc::clone(&self.gate));
            server.at(path.as_str(), device).await?;
            return Ok(());
        };
        let emitter = object.signal_emitter();
        let device = object.get().await;
        if device.id != view.id {
            tracing::warn!(
                shown = device.id,
                hidden = view.id,
                "two devices whose names differ in signs only: one is shown"
            );
            return Ok(());
        }
        let new = &view;
        let old = device.replace(view.clone());
        if old.state != new.state {
            device.state_changed(emitter).await?;
        }
        if (old.vendor, old.model, old.serial, old.modalities)
            != (
                new.vendor.clone(),
                new.model.clone(),
                new.serial.clone(),
                new.modalities.clone(),
            )
        {
            device.vendor_changed(emitter).await?;
            device.model_changed(emitter).await?;
            device.serial_changed(emitter).await?;
            device.modalities_changed(emitter).await?;
        }
        if old.plugin_version != new.plugin_version {
            device.plugin_version_changed(emitter).await?;
        }
        if old.trouble != new.trouble {
            device.trouble_changed(emitter).await?;
        }
        if old.holder_uid != new.holder_uid {
            device.holder_changed(emitter).await?;
        }
        if old.claimant_uid != new.claimant_uid {
            device.claimant_changed(emitter).await?;
        }
        Ok(())
    }

    /// Takes a device off the bus.
    pub async fn withdraw_device(&self, id: &str) -> zbus::Result<()> {
        let path = device_path(id);
        self.connection
            .object_server()
            .remove::<Device, _>(path.as_str())
            .await
            .map(drop)
    }

    /// Publishes a dossier for one holder.
    pub async fn publish_dossier(
        &self,
        published: &Published,
        view: watch::Receiver<DossierView>,
        commands: mpsc::Sender<DossierCommand>,
    ) -> zbus::Result<()> {
        let gate = Arc::clone(&self.gate);
        let dossier = Dossier {
            holder: published.holder.clone(),
            view,
            commands,
            gate,
        };
        self.connection
            .object_server()
            .at(published.path.as_str(), dossier)
            .await
            .map(drop)
    }

    /// Takes a dossier off the bus.
    pub async fn withdraw_dossier(&self, published: &Published) -> zbus::Result<()> {
        self.connection
            .object_server()
            .remove::<Dossier, _>(published.path.as_str())
            .await
            .map(drop)
    }

    /// Tells the holder that a dossier changed.
    pub async fn dossier_changed(&self, published: &Published, view: DossierView) -> zbus::Result<()> {
        Dossier::changed(&self.emitter(published)?, view).await
    }

    /// Publishes a capture for one holder.
    pub async fn publish_capture(
        &self,
        published: &Published,
        view: watch::Receiver<CaptureView>,
        commands: mpsc::Sender<CaptureCommand>,
    ) -> zbus::Result<()> {
        let gate = Arc::clone(&self.gate);
        let capture = Capture {
            holder: published.holder.clone(),
            view,
            commands,
            gate,
        };
        self.connection
            .object_server()
            .at(published.path.as_str(), capture)
            .await
            .map(drop)
    }

    /// Takes a capture off the bus.
    pub async fn withdraw_capture(&self, published: &Published) -> zbus::Result<()> {
        self.connection
            .object_server()
            .remove::<Capture, _>(published.path.as_str())
            .await
            .map(drop)
    }

    /// Tells the holder that a capture changed.
    pub async fn capture_changed(&self, published: &Published, view: CaptureView) -> zbus::Result<()> {
        Capture::changed(&self.emitter(published)?, view).await
    }

    /// Gives guidance to the holder of a capture.
    pub async fn guide(&self, published: &Published, code: &str, details: Detail) -> zbus::Result<()> {
        Capture::guidance(&self.emitter(published)?, code, details).await
    }

    /// Every signal of a dossier or capture goes to its holder and nobody else.
    fn emitter<'a>(&self, published: &'a Published) -> zbus::Result<SignalEmitter<'a>> {
        let holder = UniqueName::try_from(published.holder.name.as_str())?;
        let emitter = SignalEmitter::new(&self.connection, published.path.as_str())?;
        Ok(emitter.set_destination(BusName::Unique(holder)))
    }
}

/// The object path of a device; what a path may not hold becomes `_`.
pub fn device_path(id: &str) -> String {
    let id: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("{ROOT}/devices/{id}")
}

async fn watch_names(connection: &Connection, gate: Arc<Gate>) -> zbus::Result<Vanished> {
    let bus = DBusProxy::new(connection).await?;
    let mut changes = bus.receive_name_owner_changed().await?;
    let (sender, vanished) = mpsc::channel(VANISHED_MAX);
    tokio::spawn(async move {
        while let Some(change) = changes.next().await {
            let Ok(change) = change.args() else { continue };
            if let BusName::Unique(name) = change.name()
                && change.new_owner().is_none()
            {
                gate.forget(name.as_str());
                if sender.send(name.to_string()).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(vanished)
}
