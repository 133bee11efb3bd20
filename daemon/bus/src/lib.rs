//! The D-Bus contract `fr.recueil.Station1`: interfaces, client proxies, errors, and who may call.
//!
//! Each method parses its arguments, asks the authority, and sends one [`StationCommand`], [`DossierCommand`]
//! or [`CaptureCommand`] with a place for the answer; it decides nothing itself. News goes out through
//! [`Service`].
//!
//! Invariant: this is the only crate that knows zbus. What is *not* here: any rule of a dossier, any state
//! beyond what a property shows.

mod callers;
mod capture;
mod command;
mod device;
mod door;
mod dossier;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod service;
mod sleep;
mod station;
mod views;
mod watch;

pub use callers::Caller;
pub use capture::CaptureProxy;
pub use command::{CaptureCommand, DossierCommand, Opened, Reply, StationCommand};
pub use device::{DeviceProxy, devices};
pub use door::CallLimits;
pub use dossier::DossierProxy;
pub use error::{Code, Error};
pub use gate::{Action, Authority};
pub use service::{Address, Published, Service, Vanished, connect, device_path};
pub use sleep::{Sleep, SleepLock, watch_sleep};
pub use station::StationProxy;
pub use views::{
    CaptureState, CaptureView, DestructionView, Detail, DeviceView, DossierSummary, DossierView, Field,
    ItemView, MissingView, OutboxView, PluginView, ReceiptView, RecepisseView, StatusView, StepView,
};

pub use watch::{News, Watch};

/// Streams of zbus signals need this trait in scope.
pub use futures_util::StreamExt;
/// The client's own message types, for programs that read signals.
pub use zbus::fdo::ObjectManagerProxy;
pub use zbus::{Connection as BusConnection, OwnedVariant, Variant};

/// The well-known name.
pub const NAME: &str = "fr.recueil.Station1";
/// The root object.
pub const ROOT: &str = "/fr/recueil/Station1";
