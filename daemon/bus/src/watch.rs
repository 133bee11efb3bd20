//! A client's ear: the signals of its captures and dossiers, from before it starts them.

use std::num::NonZeroUsize;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream};

use crate::{CaptureView, Detail, DossierView, NAME, ROOT};

/// What a client is told.
#[derive(Debug, Clone)]
pub enum News {
    /// Something for the person at the device.
    Guidance {
        /// The capture.
        path: String,
        /// A code of the contract.
        code: String,
        /// More, by key.
        details: Detail,
    },
    /// A capture changed.
    Capture {
        /// Which.
        path: String,
        /// As it is now.
        view: CaptureView,
    },
    /// A dossier changed.
    Dossier {
        /// Which.
        path: String,
        /// As it is now.
        view: DossierView,
    },
    /// A device came or changed: look at the devices again.
    Device,
    /// The service came, or left and took its objects with it.
    Station {
        /// Whether it is there now.
        running: bool,
    },
}

/// A stream of [`News`]. Made before a capture is started it misses nothing.
#[derive(Debug)]
pub struct Watch {
    station: MessageStream,
    names: MessageStream,
}

/// News that may wait to be read.
const QUEUE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

impl Watch {
    /// Listens from now on.
    pub async fn new(connection: &Connection) -> zbus::Result<Self> {
        let station = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(NAME)
            .path_namespace("/fr/recueil")
            .build()?;
        let names = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .add_arg(NAME)
            .build()?;
        Ok(Self {
            station: MessageStream::for_match_rule(station, connection, Some(QUEUE)).await?,
            names: MessageStream::for_match_rule(names, connection, Some(QUEUE)).await?,
        })
    }

    /// The next news; none when the connection ends. Signals of other kinds are passed over.
    pub async fn next(&mut self) -> Option<News> {
        loop {
            let message = match select(self.names.next(), self.station.next()).await {
                Either::Left((message, _)) | Either::Right((message, _)) => message,
            };
            if let Some(news) = news(&message?.ok()?) {
                return Some(news);
            }
        }
    }
}

fn news(message: &Message) -> Option<News> {
    let header = message.header();
    let path = header.path()?.to_string();
    let body = message.body();
    match (header.interface()?.as_str(), header.member()?.as_str()) {
        ("fr.recueil.Capture1", "Guidance") => {
            let (code, details) = body.deserialize().ok()?;
            Some(News::Guidance { path, code, details })
        }
        ("fr.recueil.Capture1", "Changed") => Some(News::Capture {
            path,
            view: body.deserialize().ok()?,
        }),
        ("fr.recueil.Dossier1", "Changed") => Some(News::Dossier {
            path,
            view: body.deserialize().ok()?,
        }),
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") if path.starts_with(ROOT) => {
            path.contains("/devices/").then_some(News::Device)
        }
        ("org.freedesktop.DBus.ObjectManager", "InterfacesAdded" | "InterfacesRemoved") => Some(News::Device),
        ("org.freedesktop.DBus", "NameOwnerChanged") => {
            let (_name, _before, owner): (String, String, String) = body.deserialize().ok()?;
            Some(News::Station {
                running: !owner.is_empty(),
            })
        }
        _ => None,
    }
}
