//! One invocation's connection: who works, which dossier.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::time::Duration;

use recueil_bus::{
    Address, BusConnection, Code, DossierProxy, DossierSummary, DossierView, Error, StationProxy, StepView,
    Watch,
};
use recueil_dossier::DossierId;

use crate::args::Global;
use crate::failure::Failure;

/// A connected client. Its agent session, dossiers and leases end with it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: BusConnection,
    pub(crate) station: StationProxy<'static>,
    pub(crate) watch: Watch,
}

/// A dossier in our hands.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) proxy: DossierProxy<'static>,
}

/// The bus is local: whoever does not answer by then is not there.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// A person may have to type a password, and CERT may be slow; nothing takes longer than this.
const CALL_MAX: Duration = Duration::from_mins(3);
/// Shortest beginning of an id.
const PREFIX_MIN: usize = 8;
/// Dossiers in a page, and pages read.
const PAGE: u32 = 200;
const PAGES_MAX: usize = 100;

/// A call's answer within a limit.
pub(crate) async fn call<T, E: Into<Error>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(CALL_MAX, answer).await {
        Ok(answer) => answer.map_err(|error| error.into().into()),
        Err(_elapsed) => Err(Failure::no_station(&"no answer in three minutes")),
    }
}

impl Session {
    /// Connects without saying who works: enough to look.
    pub(crate) async fn connect(global: &Global) -> Result<Self, Failure> {
        let address = global.bus.clone().map_or(Address::System, Address::Private);
        let connecting = async {
            let connection = recueil_bus::connect(&address).await?;
            let station = StationProxy::new(&connection).await?;
            let watch = Watch::new(&connection).await?;
            Ok::<_, Error>(Self {
                connection,
                station,
                watch,
            })
        };
        match tokio::time::timeout(CONNECT_MAX, connecting).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(Failure::no_station(&error.text)),
            Err(_elapsed) => Err(Failure::no_station(&"the bus does not answer")),
        }
    }

    /// Connects and says who works.
    pub(crate) async fn begin(global: &Global) -> Result<Self, Failure> {
        let session = Self::connect(global).await?;
        let agent = global.agent.as_ref().map_or_else(login_name, ToString::to_string);
        call(session.station.open_agent_session(&agent, HashMap::new())).await?;
        Ok(session)
    }

    /// Takes a dossier into our hands by what was typed for it.
    pub(crate) async fn dossier(&self, name: &str) -> Result<Held, Failure> {
        let id = self.resolve(name).await?;
        let path = call(self.station.adopt(&id)).await?;
        self.held(id, path.to_string()).await
    }

    pub(crate) async fn held(&self, id: String, path: String) -> Result<Held, Failure> {
        let proxy = call(DossierProxy::new(&self.connection, path.clone())).await?;
        Ok(Held { id, path, proxy })
    }

    /// Drafts and sealed dossiers, the one opened last first.
    pub(crate) async fn dossiers(&self, state: Option<&str>) -> Result<Vec<DossierSummary>, Failure> {
        let mut all = call(self.station.list_drafts()).await?;
        all.retain(|draft| state.is_none_or(|state| state == draft.state));
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let filter = match state {
                Some(state) => HashMap::from([("state".to_owned(), text(state)?)]),
                None => HashMap::new(),
            };
            let (page, next) = call(self.station.list_dossiers(filter, &cursor, PAGE)).await?;
            all.extend(page);
            if next.is_empty() {
                break;
            }
            cursor = next;
        }
        // An id begins with the time of opening (RFC 9562, version 7).
        all.sort_by(|one, other| other.id.cmp(&one.id));
        all.dedup_by(|one, other| one.id == other.id);
        Ok(all)
    }

    async fn resolve(&self, name: &str) -> Result<String, Failure> {
        if name.parse::<DossierId>().is_ok() {
            return Ok(name.to_owned());
        }
        let last = name == "last";
        let id_like = name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !last && (!id_like || name.len() < PREFIX_MIN) {
            let text = "a dossier is named by its id, the id's first 8 characters or more, or `last`";
            return Err(Failure::new(Code::InvalidArgument, text));
        }
        let name = name.to_ascii_lowercase();
        let all = self.dossiers(None).await?.into_iter().map(|summary| summary.id);
        let found: BTreeSet<String> = if last {
            all.take(1).collect()
        } else {
            all.filter(|id| id.starts_with(&name)).collect()
        };
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => {
                let text = "this user has no such dossier on this station; look: recueilctl dossier list";
                Err(Failure::new(Code::UnknownDossier, text))
            }
            (Some(one), Some(other)) => {
                let text = "several dossiers begin like this; type more of the id";
                Err(Failure::new(Code::UnknownDossier, text).with("matches", format!("{one}, {other}")))
            }
        }
    }
}

impl Held {
    pub(crate) async fn view(&self) -> Result<DossierView, Failure> {
        call(self.proxy.view()).await
    }

    /// The step of a type, the one that knows a name where a name is given.
    pub(crate) async fn step(&self, kind: &str, name: Option<&str>) -> Result<String, Failure> {
        let steps = call(self.proxy.steps()).await?;
        let of_kind: Vec<&StepView> = steps.iter().filter(|(_, is, _)| is == kind).collect();
        let fits = |(_, _, names): &&&StepView| name.is_none_or(|name| names.iter().any(|one| one == name));
        if let Some((id, _, _)) = of_kind.iter().find(fits) {
            return Ok(id.clone());
        }
        let names: Vec<_> = of_kind.iter().flat_map(|(_, _, names)| names).cloned().collect();
        let text = match name {
            Some(_) if !names.is_empty() => {
                format!("there is no such name here; known are {}", names.join(", "))
            }
            _ => format!("the dossier's procedure has no step of type {kind}"),
        };
        Err(Failure::new(Code::UnknownStep, text))
    }
}

/// A text as an option's value.
pub(crate) fn text(value: &str) -> Result<recueil_bus::OwnedVariant, Failure> {
    recueil_bus::OwnedVariant::try_from(recueil_bus::Variant::from(value))
        .map_err(|error| Failure::new(Code::InvalidArgument, error.to_string()))
}

/// The login name as an agent's identity: what it may not hold becomes `-`.
fn login_name() -> String {
    let name = ["LOGNAME", "USER"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let name = name.filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    fit(&name)
}

fn fit(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
    name.chars()
        .take(64)
        .map(|c| if allowed(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use recueil_dossier::AgentId;

    use super::*;

    #[test]
    fn any_login_name_becomes_an_agent() {
        for (name, agent) in [
            ("dupont", "dupont"),
            ("MAIRIE\\jean dupont", "MAIRIE-jean-dupont"),
            ("élodie", "-lodie"),
        ] {
            assert_eq!(fit(name), agent);
            assert!(fit(name).parse::<AgentId>().is_ok());
        }
        assert!(fit(&"x".repeat(200)).parse::<AgentId>().is_ok());
    }
}
