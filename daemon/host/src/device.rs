//! The device thread: every call of the contract that is tagged `[dev]`, one after the other.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use recueil_abi as abi;
use recueil_wire::devices::{Capabilities, CaptureParams, Identity};
use recueil_wire::host::{Feedback, FromHost, PluginFailure, Step};

use crate::capture::Capture;
use crate::ffi::plugin::{Canceller, Device, DeviceRef, Opener, Refused};
use crate::identity;
use crate::services::Services;

/// What the main thread asks for.
#[derive(Debug)]
pub(crate) enum Order {
    /// A new session's frame socket.
    Frames(OwnedFd),
    /// A capture.
    Capture(Arc<Capture>, CaptureParams),
    /// LED and beep.
    Feedback(Feedback),
    /// Close the device; the thread ends.
    Close,
}

/// A device that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) identity: Identity,
    pub(crate) capabilities: Capabilities,
    pub(crate) canceller: Canceller,
}

/// Opens the device, answers `opened`, and follows orders until it is told to close or nobody is left to.
pub(crate) fn run(
    services: &'static Services,
    opener: &Opener,
    reference: &DeviceRef,
    opened: &SyncSender<Result<Opened, Refused>>,
    orders: &Receiver<Order>,
) {
    let device = match open(services, opener, reference) {
        Ok((device, answer)) => {
            opened.send(Ok(answer)).ok();
            device
        }
        Err(refused) => {
            opened.send(Err(refused)).ok();
            return;
        }
    };
    while let Ok(order) = orders.recv() {
        match order {
            Order::Frames(socket) => services.frames.attach(socket),
            Order::Capture(capture, params) => run_capture(services, &device, &capture, &params),
            Order::Feedback(feedback) => {
                let status = device.feedback(feedback).unwrap_or(abi::RCL_OK);
                if let Some(failure) = services.failure(status) {
                    let text = format!("the device shows no feedback: status {}", failure.status);
                    services.note(abi::RCL_LOG_WARN, &text);
                }
            }
            Order::Close => break,
        }
    }
    device.close();
}

fn open(services: &Services, opener: &Opener, reference: &DeviceRef) -> Result<(Device, Opened), Refused> {
    let begins = |step| services.tell(&FromHost::Begins { step });
    begins(Step::Open);
    let device = opener.open(reference)?;
    begins(Step::Info);
    let identity = device.info()?.into();
    begins(Step::Caps);
    let capabilities = identity::capabilities(&device.caps()?).ok_or_else(|| Refused {
        stage: "caps",
        status: abi::RCL_E_INVALID,
        text: "no modality, no pixel format, or no size of frames that is known here".to_owned(),
    })?;
    let opened = Opened {
        identity,
        capabilities,
        canceller: device.canceller(),
    };
    Ok((device, opened))
}

fn run_capture(services: &Services, device: &Device, capture: &Capture, params: &CaptureParams) {
    services.begin(capture, Duration::from_millis(params.deadline_ms.into()));
    // What was lent is mapped before the person at the device is asked for anything; without a reader nobody is.
    let status = match services.frames.receive() {
        Ok(()) => device.capture(capture.req, params),
        Err(refusal) => services.refuse(refusal),
    };
    services.end(capture);

    let failure = services.failure(status).or_else(|| {
        let empty = |status| PluginFailure {
            status,
            vendor_code: 0,
            text: String::new(),
        };
        if capture.results() > 0 {
            None
        } else if capture.is_cancelled() {
            Some(empty(abi::RCL_E_CANCELLED))
        } else {
            services.misbehaved(9, "a capture that succeeded without a result");
            Some(empty(abi::RCL_E_FAILED))
        }
    });
    if let Err(rule) = services.threads.check() {
        services.tell(&FromHost::Failed {
            stage: "threads".to_owned(),
            failure: PluginFailure {
                status: abi::RCL_E_INVALID,
                vendor_code: 0,
                text: rule,
            },
        });
        crate::end(1);
    }
    services.tell(&FromHost::Captured {
        req: capture.req,
        results: capture.results(),
        previews: capture.previews(),
        failure,
        broken_rule: services.broken_rule(),
    });
}
