use recueil_dossier::{DossierId, ItemName, Refused};

/// Why the store could not do what it was asked.
///
/// No variant holds a personal datum, a path given by a client, or a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The audit journal was changed from outside: the line with this number does not follow from those before.
    #[error("the audit journal does not hold together at line {line}")]
    AuditBroken {
        /// The first line that does not fit.
        line: u64,
    },
    /// The index is not one, or not as it was written, or the disk cannot read it: `SQLite` says the same of both.
    #[error("the store's index is damaged, or its disk cannot be read: {what}")]
    Corrupt {
        /// What was wrong with it.
        what: String,
    },
    /// An item's file is gone or changed. The item must be taken again.
    #[error("item {item} of dossier {dossier} is damaged on the disk")]
    Damaged {
        /// Whose.
        dossier: DossierId,
        /// Which item; none for the draft's own data.
        item: String,
    },
    /// What was written may not be on the disk. The process must end: after a failed fsync the kernel may have
    /// thrown the pages away, so only what the disk says at the next [`Store::open`](crate::Store::open) counts.
    #[error("cannot make {what} durable")]
    Durability {
        /// What was being written.
        what: &'static str,
        /// What the system or the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is such a dossier already.
    #[error("there is a dossier {0} already")]
    Exists(DossierId),
    /// The disk is full. Nothing changed; or a step that has no way back waits for room, as [`Store::seal`] and
    /// [`Store::destroy_draft`] say.
    ///
    /// [`Store::seal`]: crate::Store::seal
    /// [`Store::destroy_draft`]: crate::Store::destroy_draft
    #[error("the disk is full: free some space in the state folder")]
    Full,
    /// Draft and items do not belong together. Nothing changed.
    #[error("dossier {dossier}: {what}")]
    Inconsistent {
        /// Whose.
        dossier: DossierId,
        /// In what.
        what: &'static str,
    },
    /// Another process has the store open.
    #[error("another process has this store open")]
    InUse,
    /// The system refused. Nothing changed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// More than the store takes. Nothing changed.
    #[error("{what}: at most {max} are allowed")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many, or how many bytes.
        max: usize,
    },
    /// The index was written by a newer release.
    #[error("the store has schema {found}, this program knows {known}: install the newer release again")]
    Newer {
        /// What the index says.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// There is no such draft: it never was, or is sealed, or was destroyed.
    #[error("there is no draft {0}")]
    NoDraft(DossierId),
    /// The draft has no such item.
    #[error("dossier {dossier} has no item {item}")]
    NoItem {
        /// Whose.
        dossier: DossierId,
        /// Which.
        item: ItemName,
    },
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The receipt is not of what this station sent.
    #[error("a receipt for dossier {dossier} does not agree with the journal: {what}")]
    ReceiptMismatch {
        /// Whose.
        dossier: DossierId,
        /// In what.
        what: &'static str,
    },
    /// The event may not happen in the dossier's state.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The client token was used for another method.
    #[error("this client token was used for another method")]
    TokenReused,
    /// There is no such dossier.
    #[error("there is no dossier {0}")]
    Unknown(DossierId),
    /// The event needs more than its state row: [`Store::seal`](crate::Store::seal),
    /// [`Store::archive_receipt`](crate::Store::archive_receipt) or
    /// [`Store::destroy_draft`](crate::Store::destroy_draft) does it.
    #[error("this event is not made durable by its row alone")]
    NotARow,
    /// The store was written under another storage key.
    #[error("the storage key is not the one this store was written under")]
    WrongKey,
}

impl Error {
    /// Whether the process must end and look at the disk again. Never retried.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Durability { .. } | Self::Corrupt { .. })
    }

    /// A failed step before which nothing had changed.
    pub(crate) fn harmless(what: &'static str, errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        match errno {
            Errno::NOSPC | Errno::DQUOT => Self::Full,
            other => Self::Io {
                what,
                source: other.into(),
            },
        }
    }

    /// A failed step after which the disk may be in either state.
    pub(crate) fn uncertain(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Durability {
            what,
            source: source.into(),
        }
    }

    /// This error in the middle of a step, where nothing can be told until the disk was looked at again. A full disk
    /// can be: [`Store::settle`](crate::Store::settle) looks, and goes on, in the same process.
    pub(crate) fn full_or_fatal(self, what: &'static str) -> Self {
        if self.is_fatal() || matches!(self, Self::Full) {
            self
        } else {
            Self::uncertain(what, self)
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    pub(crate) fn damaged(dossier: DossierId, item: impl Into<String>) -> Self {
        Self::Damaged {
            dossier,
            item: item.into(),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            // SQLite rolls the transaction back, so nothing changed.
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::Io {
                what: "open the index",
                source: std::io::Error::other(error),
            },
            Some(ErrorCode::SystemIoFailure) => Self::uncertain("the index", error),
            _ => Self::corrupt(error.to_string()),
        }
    }
}
