//! The main thread: loads the plugin as hostd says, then follows what comes over the control socket.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use recueil_abi as abi;
use recueil_wire::devices::CaptureParams;
use recueil_wire::host::{BLOBS_MAX_BYTES, Blob, FromHost, Load, PluginFailure, Step, ToHost};
use recueil_wire::{Received, Socket};

use crate::Error;
use crate::blobs::Blobs;
use crate::confine::Confined;
use crate::device::{self, Opened, Order};
use crate::ffi::host_table;
use crate::ffi::memory::Slots;
use crate::ffi::plugin::{self, Canceller, DeviceRef, Plugin, Refused};
use crate::log::{SHORT_LINE_MAX_CHARS, printable};
use crate::services::Services;
use crate::threads::Threads;

/// Orders that wait for the device thread: captures, and a little feedback. hostd sends one at a time.
const ORDERS_MAX: usize = 16;
/// Vendors' code is used to the stack that a C program's first thread has.
const DEVICE_STACK_BYTES: usize = 8 << 20;

/// Serves one device until hostd closes it.
///
/// # Errors
/// Whatever ends the host early. hostd was told, unless it is hostd that is gone or cannot be understood.
pub(crate) fn serve(control: Socket) -> Result<(), Error> {
    let (load, library, device, blobs) = take_load(&control)?;
    let threads = Threads::watch(load.sandbox.threads)?;
    let slots = Slots::reserve()?;
    let services: &'static Services = Box::leak(Box::new(Services::new(
        control,
        load.config.clone(),
        blobs,
        slots,
        threads,
    )));

    match start(services, &load, &library, &device) {
        Ok(mut host) => host.follow(services),
        Err(refused) => {
            let said = services.failure(refused.status);
            let failure = PluginFailure {
                status: refused.status,
                vendor_code: said.as_ref().map_or(0, |said| said.vendor_code),
                text: if refused.text.is_empty() {
                    said.map(|said| said.text).unwrap_or_default()
                } else {
                    printable(&refused.text, SHORT_LINE_MAX_CHARS)
                },
            };
            services.tell(&FromHost::Failed {
                stage: refused.stage.to_owned(),
                failure,
            });
            Err(Error::Refused(refused.stage))
        }
    }
}

fn take_load(control: &Socket) -> Result<(Box<Load>, OwnedFd, OwnedFd, Blobs), Error> {
    let Received { message, fds } = control.recv::<ToHost>()?;
    let ToHost::Load(load) = message else {
        return Err(Error::Protocol("the first message is not `load`"));
    };
    let mut fds = fds.into_iter();
    let (Some(library), Some(device), stored, None) = (fds.next(), fds.next(), fds.next(), fds.next()) else {
        return Err(Error::Protocol("`load` comes with the library and the device"));
    };
    let blobs = take_blobs(&load.blobs, stored.as_ref())?;
    Ok((load, library, device, blobs))
}

fn take_blobs(table: &[Blob], memory: Option<&OwnedFd>) -> Result<Blobs, Error> {
    let wrong = Error::Protocol("stored values that are not as long as was said");
    let len = table.iter().fold(0_u64, |all, blob| all.saturating_add(blob.len));
    let bytes = match memory {
        Some(memory) => {
            let max = u64::try_from(BLOBS_MAX_BYTES).unwrap_or(u64::MAX);
            match recueil_wire::read_memory(memory, len, max) {
                Ok(bytes) => bytes,
                Err(_short_or_too_large) => return Err(wrong),
            }
        }
        None => Vec::new().into(),
    };
    Blobs::take_apart(table, &bytes).ok_or(wrong)
}

/// A plugin with its device open.
struct Host {
    plugin: Option<Plugin>,
    /// Gone before the device is closed.
    canceller: Option<Canceller>,
    orders: SyncSender<Order>,
    device_thread: Option<JoinHandle<()>>,
}

/// Confines the process, loads, opens, tightens, and says `Ready`.
fn start(
    services: &'static Services,
    load: &Load,
    library: &OwnedFd,
    device: &OwnedFd,
) -> Result<Host, Refused> {
    let no_sandbox = |text: String| Refused {
        stage: "sandbox",
        status: abi::RCL_E_ACCESS,
        text,
    };
    let confined = Confined::enter(&load.sandbox, library.as_fd()).map_err(no_sandbox)?;

    let library = plugin::load(library.as_fd())?;
    services.tell(&FromHost::Begins { step: Step::Create });
    let entry = library.entry(&load.plugin_id)?;
    let plugin = entry.create(host_table::table(services))?;
    let reference = DeviceRef::new(load, device.as_raw_fd());
    let (orders, order_queue) = sync_channel(ORDERS_MAX);
    let (opened, device_thread) = open(services, &plugin, reference, order_queue)?;

    if let Err(rule) = services.threads.check() {
        return Err(Refused {
            stage: "threads",
            status: abi::RCL_E_INVALID,
            text: rule,
        });
    }
    let confinement = confined.tighten().map_err(no_sandbox)?;
    services.tell(&FromHost::Ready {
        plugin_version: printable(&entry.version, SHORT_LINE_MAX_CHARS),
        identity: opened.identity,
        capabilities: opened.capabilities,
        confinement,
    });
    Ok(Host {
        plugin: Some(plugin),
        canceller: Some(opened.canceller),
        orders,
        device_thread: Some(device_thread),
    })
}

/// Starts the device thread and waits for what it says of the device. `reference` names a descriptor that
/// [`serve`] keeps open.
fn open(
    services: &'static Services,
    plugin: &Plugin,
    reference: DeviceRef,
    orders: Receiver<Order>,
) -> Result<(Opened, JoinHandle<()>), Refused> {
    let failed = |text: &str| Refused {
        stage: "open",
        status: abi::RCL_E_FAILED,
        text: text.to_owned(),
    };
    let opener = plugin.opener();
    let (answer, answers) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("device".to_owned())
        .stack_size(DEVICE_STACK_BYTES)
        .spawn(move || device::run(services, &opener, &reference, &answer, &orders))
        .map_err(|_error| failed("the device thread cannot be started"))?;
    let opened = answers
        .recv()
        .map_err(|_gone| failed("the device thread ended"))??;
    Ok((opened, thread))
}

impl Host {
    fn follow(&mut self, services: &Services) -> Result<(), Error> {
        loop {
            let Received { message, fds } = services.control().recv::<ToHost>()?;
            match message {
                ToHost::AttachFrames => {
                    let [socket] = <[OwnedFd; 1]>::try_from(fds)
                        .map_err(|_others| Error::Protocol("`attach-frames` comes with one socket"))?;
                    self.order(Order::Frames(socket))?;
                }
                ToHost::Capture { req, params } => self.capture(services, req, params)?,
                ToHost::Cancel { req } => self.cancel(services, req)?,
                ToHost::Feedback(feedback) => self.order(Order::Feedback(feedback))?,
                ToHost::Close => return self.close(services),
                ToHost::Load(_again) => return Err(Error::Protocol("`load` came twice")),
            }
        }
    }

    fn capture(&self, services: &Services, req: u64, params: CaptureParams) -> Result<(), Error> {
        let Some(capture) = services.captures.announce(req)? else {
            return Err(Error::Protocol(
                "a capture too many, or of a number that is taken",
            ));
        };
        self.order(Order::Capture(capture, params))
    }

    /// One that has ended already was cancelled too late; that is nobody's mistake.
    fn cancel(&self, services: &Services, req: u64) -> Result<(), Error> {
        if let Some(capture) = services.captures.find(req) {
            capture.cancel()?;
            if let Some(canceller) = &self.canceller {
                canceller.cancel(req);
            }
        }
        Ok(())
    }

    /// hostd keeps the deadline: a plugin that does not return is killed.
    fn close(&mut self, services: &Services) -> Result<(), Error> {
        for capture in services.captures.all() {
            self.cancel(services, capture.req)?;
        }
        self.canceller = None;
        self.order(Order::Close)?;
        if let Some(thread) = self.device_thread.take() {
            thread
                .join()
                .map_err(|_panic| Error::Protocol("the device thread failed"))?;
        }
        if let Some(plugin) = self.plugin.take() {
            plugin.destroy();
        }
        Ok(())
    }

    fn order(&self, order: Order) -> Result<(), Error> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => Error::Protocol("more calls than one device can be asked for"),
            TrySendError::Disconnected(_) => Error::Protocol("the device thread ended"),
        })
    }
}
