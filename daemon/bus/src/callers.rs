//! Who calls: unique bus name and uid. Unique names are never used again, so they may be remembered.

use std::collections::HashMap;
use std::sync::Mutex;

use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::BusName;

use crate::{Code, Error};

/// A caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Unique bus name, `:1.42`.
    pub name: String,
    /// Its uid, as the bus vouches for it.
    pub uid: u32,
}

/// The unique name of a call's sender.
pub(crate) fn sender<'h>(header: &'h Header<'_>) -> Result<&'h str, Error> {
    let sender = header.sender().map(zbus::names::UniqueName::as_str);
    sender.ok_or_else(|| Error::new(Code::NotAuthorized, "the bus did not say who calls"))
}

/// Uids by unique name.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    known: Mutex<HashMap<String, u32>>,
}

/// More callers than this at once are forgotten and asked again.
const KNOWN_MAX: usize = 4096;

impl Callers {
    /// The caller of a method.
    pub(crate) async fn identify(
        &self,
        bus: &DBusProxy<'static>,
        header: &Header<'_>,
    ) -> Result<Caller, Error> {
        let name = sender(header)?.to_owned();
        if let Some(uid) = self.lock().get(&name).copied() {
            return Ok(Caller { name, uid });
        }
        let gone = || Error::new(Code::NotAuthorized, "the bus does not know the caller");
        let bus_name = BusName::try_from(name.as_str()).map_err(|_invalid| gone())?;
        let uid = bus
            .get_connection_unix_user(bus_name)
            .await
            .map_err(|_unknown| gone())?;
        self.learn(&name, uid);
        Ok(Caller { name, uid })
    }

    /// Whose a name is.
    pub(crate) fn learn(&self, name: &str, uid: u32) {
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(name.to_owned(), uid);
    }

    /// A name left the bus.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
