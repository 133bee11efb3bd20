//! A client's ear: the signals of its captures and dossiers, from before it starts them.

use std::num::NonZeroUsize;

use futures_util::StreamExt;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

use crate::{CaptureView, Detail, DossierView, NAME};

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
}

/// A stream of [`News`]. Made before a capture is started it misses nothing.
#[derive(Debug)]
pub struct Watch(MessageStream);

/// News that may wait to be read.
const QUEUE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

impl Watch {
    /// Listens from now on.
    pub async fn new(connection: &Connection) -> zbus::Result<Self> {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender(NAME).path_namespace("/fr/recueil").build()?;
        MessageStream::for_match_rule(rule, connection, Some(QUEUE)).await.map(Self)
    }

    /// The next news; none when the connection ends. Signals of other kinds are passed over.
    pub async fn next(&mut self) -> Option<News> {
        while let Some(message) = self.0.next().await {
            let Ok(message) = message else { return None };
            let header = message.header();
            let Some(path) = header.path().map(ToString::to_string) else { continue };
            let (interface, member) = (header.interface(), header.member());
            let (Some(interface), Some(member)) = (interface, member) else { continue };
            let body = message.body();
            let news = match (interface.as_str(), member.as_str()) {
                ("fr.recueil.Capture1", "Guidance") => body
                    .deserialize::<(String, Detail)>()
                    .map(|(code, details)| News::Guidance { path, code, details }),
                ("fr.recueil.Capture1", "Changed") => {
                    body.deserialize().map(|view| News::Capture { path, view })
                }
                ("fr.recueil.Dossier1", "Changed") => {
                    body.deserialize().map(|view| News::Dossier { path, view })
                }
                _ => continue,
            };
            if let Ok(news) = news {
                return Some(news);
            }
        }
        None
    }
}
