//! Disk space set aside for the day the disk is full: given up then, so that open drafts can be finished, and made
//! again once there is room. As long as it is gone no new draft is begun.

use crate::{Error, Store};

/// The reserve's file in the state folder.
const FILE: &str = "reserve";

/// What is set aside, as `status` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// None is configured.
    None,
    /// It is there.
    Kept,
    /// It was given up, or there was never room for it.
    GivenUp,
}

impl Reserve {
    /// The name on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kept => "kept",
            Self::GivenUp => "given-up",
        }
    }
}

impl Store {
    /// Sets so many bytes aside; takes what was set aside before for as much. 0: nothing is set aside any more.
    /// Where there is no room the store goes on without, as [`Self::reserve`] tells, until [`Self::renew_reserve`]
    /// finds some.
    pub fn keep_reserve(&mut self, bytes: u64) -> Result<(), Error> {
        self.reserve_bytes = bytes;
        if bytes == 0 {
            self.give_up_reserve()?;
            return Ok(());
        }
        self.renew_reserve()
    }

    /// Makes the reserve again where it is missing and there is room.
    pub fn renew_reserve(&mut self) -> Result<(), Error> {
        if self.reserve_bytes == 0 || self.has_reserve()? {
            return Ok(());
        }
        match self.state.allocate(FILE, self.reserve_bytes) {
            Ok(()) => {
                tracing::info!(bytes = self.reserve_bytes, "space for open drafts is set aside");
                Ok(())
            }
            Err(Error::Full) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether space is set aside.
    pub fn reserve(&self) -> Result<Reserve, Error> {
        Ok(match (self.reserve_bytes, self.has_reserve()?) {
            (0, _) => Reserve::None,
            (_, true) => Reserve::Kept,
            (_, false) => Reserve::GivenUp,
        })
    }

    /// Refuses what would begin something new while the disk is full.
    pub(crate) fn spare_reserve(&mut self) -> Result<(), Error> {
        self.renew_reserve()?;
        if self.reserve()? == Reserve::GivenUp {
            return Err(Error::Full);
        }
        Ok(())
    }

    /// Frees the reserve; whether there was one.
    pub(crate) fn give_up_reserve(&self) -> Result<bool, Error> {
        if !self.has_reserve()? {
            return Ok(false);
        }
        // The sync of the folder also makes ext4 free the blocks at once.
        self.state.remove(&[FILE])?;
        tracing::warn!(
            "the disk is full: the space set aside is given up, so that open drafts can be finished"
        );
        Ok(true)
    }

    fn has_reserve(&self) -> Result<bool, Error> {
        self.state.has(FILE)
    }
}
