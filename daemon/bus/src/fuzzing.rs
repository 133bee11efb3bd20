//! What the methods make of their arguments, as functions of a message's body, for `tests/fuzz` alone. No part of
//! the interface.

use std::collections::HashMap;
use std::num::NonZeroU32;

use recueil_dossier::{AgentId, DossierId, ItemName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{LE, to_bytes};
use zbus::{Message, OwnedVariant, Type, Variant};

pub use crate::door::fuzzing::{HeadRead, Passed, asking, extent, head, head_by_zbus, pass};
use crate::station::{self, Wanted, object_path, parse, short};
use crate::{DeviceView, DossierView, Error, StatusView, dossier, service};

type Options = HashMap<String, OwnedVariant>;

/// Reads a body in the wire format, little-endian, as the bus gives it.
fn body<T: DeserializeOwned + Type>(bytes: &[u8]) -> Option<T> {
    let data = Data::new(bytes, Context::new(LE, 0));
    data.deserialize().ok().map(|(value, _len)| value)
}

fn written(value: &(impl Serialize + Type)) -> Vec<u8> {
    to_bytes(Context::new(LE, 0), value).map_or_else(|_never| Vec::new(), |data| data.bytes().to_vec())
}

/// A body `(ssa{sv})`, `OpenDossier`'s and `StartCapture`'s.
pub fn write_wanted(one: &str, other: &str, options: &[(&str, &str)], flags: &[(&str, bool)]) -> Vec<u8> {
    let texts = options.iter().map(|(key, value)| (*key, Variant::from(*value)));
    let flags = flags.iter().map(|(key, value)| (*key, Variant::from(*value)));
    written(&(one, other, texts.chain(flags).collect::<HashMap<_, _>>()))
}

/// A body `(a{sv}su)`, `ListDossiers`'s.
pub fn write_page(state: &str, cursor: &str, limit: u32) -> Vec<u8> {
    written(&(HashMap::from([("state", Variant::from(state))]), cursor, limit))
}

/// A body `(ys)`, `DeclareMissingFinger`'s.
pub fn write_finger(position: u8, reason: &str) -> Vec<u8> {
    written(&(position, reason))
}

/// What a call becomes; none if the body is not of its signature.
pub type Taken<T> = Option<Result<T, Error>>;

/// What `OpenDossier(ssa{sv})` becomes: procedure, demande, token.
pub fn open_dossier(bytes: &[u8]) -> Taken<[Option<String>; 3]> {
    let (kind, procedure, options): (String, String, Options) = body(bytes)?;
    Some(Wanted::parse(&kind, &procedure, &options).map(|wanted| {
        [
            Some(wanted.procedure),
            wanted.demande.map(String::from),
            wanted.token,
        ]
    }))
}

/// What `ListDossiers(a{sv}su)` becomes: the state's name.
pub fn list_dossiers(bytes: &[u8]) -> Taken<Option<&'static str>> {
    let (filter, cursor, limit): (Options, String, u32) = body(bytes)?;
    Some(
        station::wanted_state(&filter, &cursor, limit).map(|state| state.map(recueil_dossier::State::as_str)),
    )
}

/// What `StartCapture(ssa{sv})` becomes: step, device, document, token.
pub fn start_capture(bytes: &[u8]) -> Taken<[Option<String>; 4]> {
    let (step, device, options): (String, String, Options) = body(bytes)?;
    Some(
        dossier::StartWanted::parse(&step, &device, &options).map(|wanted| {
            [
                Some(wanted.step),
                Some(wanted.device),
                wanted.document,
                wanted.token,
            ]
        }),
    )
}

/// What `DeclareMissingFinger(ys)` becomes: the finger's code.
pub fn missing_finger(bytes: &[u8]) -> Taken<u8> {
    let (position, reason): (u8, String) = body(bytes)?;
    Some(dossier::missing_finger(position, &reason).map(|(position, _reason)| position.code()))
}

/// What a text becomes as dossier id, item name and agent.
pub fn names(text: &str) -> [Result<String, Error>; 3] {
    [
        parse::<DossierId>(text).map(|id| id.to_string()),
        parse::<ItemName>(text).map(String::from),
        parse::<AgentId>(text).map(String::from),
    ]
}

/// A text argument of at most so many bytes.
pub fn text(text: &str, max_bytes: usize) -> Result<String, Error> {
    short("text", text, max_bytes)
}

/// The object path of a device of this id.
pub fn device_path(id: &str) -> Result<String, Error> {
    object_path(service::device_path(id)).map(|path| path.to_string())
}

/// Whether a client reads this body as one of the service's views.
pub fn view(bytes: &[u8]) -> bool {
    body::<DossierView>(bytes).is_some()
        || body::<DeviceView>(bytes).is_some()
        || body::<StatusView>(bytes).is_some()
}

/// Messages as zbus writes them: a call, an answer, an error and a signal, each of that sender.
pub fn write_messages(sender: &str, serial: NonZeroU32) -> Result<[Vec<u8>; 4], zbus::Error> {
    let call = Message::method_call("/fr/recueil/Station1", "OpenDossier")
        .interface("fr.recueil.Station1")
        .destination("fr.recueil.Station1")
        .sender(sender)
        .serial(serial);
    let body = ("deposit", "cni-adulte", HashMap::<&str, Variant<'_>>::new());
    let call = call.build(&body)?;
    let asked = call.header();
    let answer = Message::method_return(&asked)
        .sender(sender)
        .serial(serial)
        .build(&7_u32)?;
    let error = Message::error(&asked, "org.freedesktop.DBus.Error.NoReply");
    let error = error.sender(sender).serial(serial).build(&"too late")?;
    let signal = Message::signal(
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus",
        "NameOwnerChanged",
    );
    let signal = signal
        .sender(sender)
        .serial(serial)
        .build(&(":1.7", ":1.7", ""))?;
    Ok([call, answer, error, signal].map(|message| message.data().to_vec()))
}
