//! `fr.recueil.Station1` on the root object.

#![expect(clippy::unused_self, reason = "zbus takes properties from methods")]

use std::collections::HashMap;
use std::sync::Arc;

use recueil_dossier::{DemandeNumber, State};
use tokio::sync::mpsc;
use zbus::interface;
use zbus::message::Header;
use zbus::{ObjectPath, OwnedObjectPath, OwnedVariant};

use crate::gate::{Action, Gate};
use crate::service::ask;
use crate::{Code, DossierSummary, Error, OutboxView, PluginView, StationCommand, StatusView};

/// The station itself.
pub(crate) struct Station {
    pub(crate) commands: mpsc::Sender<StationCommand>,
    pub(crate) gate: Arc<Gate>,
}

/// The string under a key of an options dictionary.
pub(crate) fn option(options: &HashMap<String, OwnedVariant>, key: &str) -> Result<Option<String>, Error> {
    let Some(value) = options.get(key) else {
        return Ok(None);
    };
    let text: &str = value
        .downcast_ref()
        .map_err(|_wrong| Error::new(Code::InvalidArgument, format!("option {key}: a string is needed")))?;
    if text.len() > 256 {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("option {key}: at most 256 bytes are taken"),
        ));
    }
    Ok(Some(text.to_owned()))
}

/// The truth value under a key of an options dictionary.
pub(crate) fn flag(options: &HashMap<String, OwnedVariant>, key: &str) -> Result<bool, Error> {
    let Some(value) = options.get(key) else {
        return Ok(false);
    };
    value.downcast_ref().map_err(|_wrong| {
        Error::new(
            Code::InvalidArgument,
            format!("option {key}: a boolean is needed"),
        )
    })
}

/// Refuses options that this version does not know, so that a misspelt one is not silently ignored.
pub(crate) fn only(options: &HashMap<String, OwnedVariant>, known: &[&str]) -> Result<(), Error> {
    match options.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let key: String = key.chars().filter(char::is_ascii_graphic).take(40).collect();
            let text = format!("there is no option {key:?}; known are {}", known.join(", "));
            Err(Error::new(Code::InvalidArgument, text))
        }
    }
}

/// A text argument, if it is no longer than what could ever be right.
pub(crate) fn short(name: &str, text: &str, max_bytes: usize) -> Result<String, Error> {
    if text.len() > max_bytes {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("{name}: at most {max_bytes} bytes are taken"),
        ));
    }
    Ok(text.to_owned())
}

/// Longest id of a procedure, step, paper, field or verdict, bytes.
pub(crate) const ID_MAX_BYTES: usize = 128;
/// Longest id of a device, bytes.
pub(crate) const DEVICE_MAX_BYTES: usize = 128;

/// A client token, if there is one.
pub(crate) fn token(options: &HashMap<String, OwnedVariant>) -> Result<Option<String>, Error> {
    let token = option(options, "token")?;
    let is_one =
        |token: &String| (1..=64).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    match token {
        Some(token) if !is_one(&token) => Err(Error::new(
            Code::InvalidArgument,
            "option token: 1 to 64 printable ASCII characters without spaces are needed",
        )),
        token => Ok(token),
    }
}

pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Error> {
    text.parse()
        .map_err(|error: T::Err| Error::new(Code::InvalidArgument, error.to_string()))
}

pub(crate) fn object_path(path: String) -> Result<OwnedObjectPath, Error> {
    ObjectPath::try_from(path)
        .map(OwnedObjectPath::from)
        .map_err(|_invalid| Error::new(Code::InvalidArgument, "an object path could not be made"))
}

/// What `OpenDossier` is asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) action: Action,
    pub(crate) procedure: String,
    pub(crate) demande: Option<DemandeNumber>,
    pub(crate) token: Option<String>,
}

impl Wanted {
    pub(crate) fn parse(
        kind: &str,
        procedure: &str,
        options: &HashMap<String, OwnedVariant>,
    ) -> Result<Self, Error> {
        only(options, &["demande", "token"])?;
        let action = match kind {
            "deposit" => Action::Collect,
            "hand-over" => Action::HandOver,
            _ => {
                return Err(Error::new(
                    Code::InvalidArgument,
                    "kinds are deposit and hand-over",
                ));
            }
        };
        let demande = option(options, "demande")?.map(|text| parse(&text)).transpose()?;
        if (action == Action::HandOver) != demande.is_some() {
            let text = "a hand-over needs the option `demande`, and nothing else takes it";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        Ok(Self {
            action,
            procedure: short("procedure", procedure, ID_MAX_BYTES)?,
            demande,
            token: token(options)?,
        })
    }
}

/// What `ListDossiers` is asked for; the cursor is read by whoever gave it.
pub(crate) fn wanted_state(
    filter: &HashMap<String, OwnedVariant>,
    cursor: &str,
    limit: u32,
) -> Result<Option<State>, Error> {
    only(filter, &["state"])?;
    let state = option(filter, "state")?
        .map(|name| {
            State::parse(&name).ok_or_else(|| Error::new(Code::InvalidArgument, "there is no such state"))
        })
        .transpose()?;
    if !(1..=200).contains(&limit) || cursor.len() > 64 {
        return Err(Error::new(
            Code::InvalidArgument,
            "limit is 1 to 200, cursor what was given",
        ));
    }
    Ok(state)
}

/// The station: agent sessions, dossiers, lists, status.
#[interface(
    name = "fr.recueil.Station1",
    proxy(
        default_service = "fr.recueil.Station1",
        default_path = "/fr/recueil/Station1",
        visibility = "pub"
    )
)]
impl Station {
    /// Says who works at this connection from now on; the session ends with the connection. The identity is
    /// 1 to 64 letters, digits, '.', '-', '_' or '@'. Another identity than before ends what the connection has
    /// open; its drafts stay with their agent.
    async fn open_agent_session(
        &self,
        #[zbus(header)] header: Header<'_>,
        identity: &str,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<(), Error> {
        only(&options, &[])?;
        let agent = parse(identity)?;
        let caller = self.gate.allow(&header, Action::Collect, &[]).await?;
        ask(&self.commands, |reply| StationCommand::OpenAgentSession {
            caller,
            agent,
            reply,
        })
        .await
    }

    /// Opens a draft: `kind` is `deposit` or `hand-over` and must be the procedure's. Options: `demande`
    /// (hand-over: CERT's number), `token` (repeating it returns the first answer).
    #[zbus(out_args("dossier", "id"))]
    async fn open_dossier(
        &self,
        #[zbus(header)] header: Header<'_>,
        kind: &str,
        procedure: &str,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<(OwnedObjectPath, String), Error> {
        let Wanted {
            action,
            procedure,
            demande,
            token,
        } = Wanted::parse(kind, procedure, &options)?;
        let details = [("kind", kind), ("procedure", procedure.as_str())];
        let caller = self.gate.allow(&header, action, &details).await?;
        let (path, id) = ask(&self.commands, |reply| StationCommand::OpenDossier {
            caller,
            procedure,
            demande,
            token,
            reply,
        })
        .await?;
        Ok((object_path(path)?, id.to_string()))
    }

    /// Takes over a dossier of the same user, by its id: a draft of the same agent after a crash of the station
    /// software, or a sealed one to follow it. What another connection has of it ends.
    async fn adopt(&self, #[zbus(header)] header: Header<'_>, id: &str) -> Result<OwnedObjectPath, Error> {
        let id = parse(id)?;
        let caller = self.gate.allow(&header, Action::Collect, &[]).await?;
        let (path, _id) = ask(&self.commands, |reply| StationCommand::Adopt {
            caller,
            id,
            reply,
        })
        .await?;
        object_path(path)
    }

    /// The drafts of the calling user.
    async fn list_drafts(&self, #[zbus(header)] header: Header<'_>) -> Result<Vec<DossierSummary>, Error> {
        let caller = self.gate.allow(&header, Action::Collect, &[]).await?;
        ask(&self.commands, |reply| StationCommand::ListDrafts {
            caller,
            reply,
        })
        .await
    }

    /// The sealed dossiers of the calling user. Filter: `state`. The cursor is empty for the first page, and
    /// for the next one what the page before gave; `limit` is 1 to 200.
    #[zbus(out_args("dossiers", "next"))]
    async fn list_dossiers(
        &self,
        #[zbus(header)] header: Header<'_>,
        filter: HashMap<String, OwnedVariant>,
        cursor: &str,
        limit: u32,
    ) -> Result<(Vec<DossierSummary>, String), Error> {
        let state = wanted_state(&filter, cursor, limit)?;
        let caller = self.gate.allow(&header, Action::Collect, &[]).await?;
        let cursor = cursor.to_owned();
        ask(&self.commands, |reply| StationCommand::ListDossiers {
            caller,
            state,
            cursor,
            limit,
            reply,
        })
        .await
    }

    /// How the station stands; no personal data.
    async fn status(&self, #[zbus(header)] header: Header<'_>) -> Result<StatusView, Error> {
        self.gate.set_aside(&header);
        ask(&self.commands, |reply| StationCommand::Status { reply }).await
    }

    /// Parcels without a final receipt, oldest first; no personal data.
    async fn outbox(&self) -> Result<Vec<OutboxView>, Error> {
        ask(&self.commands, |reply| StationCommand::Outbox { reply }).await
    }

    /// The plugin folders, and why one is not admitted.
    async fn list_plugins(&self) -> Result<Vec<PluginView>, Error> {
        ask(&self.commands, |reply| StationCommand::ListPlugins { reply }).await
    }

    /// The version of the service.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// What this version can beyond the first of `Station1`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn features(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    fn options(of: &[(&str, Variant<'_>)]) -> HashMap<String, OwnedVariant> {
        of.iter()
            .map(|(key, value)| ((*key).to_owned(), OwnedVariant::try_from(value.clone()).unwrap()))
            .collect()
    }

    #[test]
    fn no_argument_is_longer_than_it_can_be() {
        assert_eq!(short("step", "photo", 5).unwrap(), "photo");
        let refused = short("step", "photos", 5).unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument);
        assert!(refused.text.contains("step") && !refused.text.contains("photos"));
    }

    #[test]
    fn an_option_has_its_type_and_its_length() {
        let given = options(&[
            ("demande", Variant::from("A")),
            ("auto-retry", Variant::from(true)),
            ("long", Variant::from("x".repeat(257))),
        ]);
        assert_eq!(option(&given, "demande").unwrap().as_deref(), Some("A"));
        assert_eq!(option(&given, "absent").unwrap(), None);
        assert!(option(&given, "auto-retry").is_err());
        assert!(option(&given, "long").is_err());
        assert!(flag(&given, "auto-retry").unwrap());
        assert!(!flag(&given, "absent").unwrap());
        assert!(flag(&given, "demande").is_err());
    }

    #[test]
    fn a_misspelt_option_is_named_and_tamed() {
        let refused = only(&options(&[("tok\nen", Variant::from("x"))]), &["token"]).unwrap_err();
        assert!(refused.text.contains("\"token\"; known are token"), "{refused}");
    }

    #[test]
    fn a_token_is_printable_and_short() {
        let with = |text: &str| token(&options(&[("token", Variant::from(text))]));
        assert_eq!(with("guichet-3/17").unwrap().as_deref(), Some("guichet-3/17"));
        assert_eq!(token(&HashMap::new()).unwrap(), None);
        for bad in ["", "a b", "é", "\u{7}", &"x".repeat(65)] {
            assert_eq!(with(bad).unwrap_err().code, Code::InvalidArgument, "{bad:?}");
        }
    }
}
