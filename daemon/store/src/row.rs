//! Values as they stand in the index.

use jiff::Timestamp;
use recueil_dossier::{DossierId, Kind, State};

use crate::Error;

/// Nanoseconds since 1970. The year 2262 is the last that fits.
pub(crate) fn nanos(at: Timestamp) -> Result<i64, Error> {
    i64::try_from(at.as_nanosecond()).map_err(|_out_of_range| Error::Limit {
        what: "years of a time",
        max: 2262,
    })
}

pub(crate) fn time(nanos: i64) -> Result<Timestamp, Error> {
    Timestamp::from_nanosecond(nanos.into()).map_err(|_out_of_range| Error::corrupt("a time"))
}

pub(crate) fn opt_time(nanos: Option<i64>) -> Result<Option<Timestamp>, Error> {
    nanos.map(time).transpose()
}

pub(crate) fn parse<T: TryFrom<String>>(text: String) -> Result<T, Error> {
    T::try_from(text).map_err(|_not_one| Error::corrupt("a name"))
}

pub(crate) fn id(text: &str) -> Result<DossierId, Error> {
    text.parse().map_err(|_not_one| Error::corrupt("a dossier id"))
}

pub(crate) fn state(text: &str) -> Result<State, Error> {
    State::parse(text).ok_or_else(|| Error::corrupt("a state"))
}

pub(crate) fn kind(text: &str) -> Result<Kind, Error> {
    [Kind::Deposit, Kind::Complement, Kind::HandOver]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| Error::corrupt("a kind"))
}
