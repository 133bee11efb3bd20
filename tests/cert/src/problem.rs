//! The errors of the protocol's table.

use hyper::StatusCode;

use crate::error::Error;

/// Why a request is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("this server speaks tus 1.0.0")]
    Version,
    #[error("CERT has no such station")]
    NotRegistered,
    #[error("the dossier belongs to another station")]
    NotYours,
    #[error("{0}")]
    Unknown(&'static str),
    #[error("the dossier is known with another digest or size; nothing was changed")]
    Conflict,
    #[error("the upload stands at another offset")]
    Offset,
    #[error("not all bytes are here")]
    Incomplete,
    #[error("the bytes are not those announced; the upload starts again")]
    Digest,
    #[error("more bytes than allowed or announced")]
    TooLarge,
    #[error("come back later")]
    Busy,
    #[error("CERT's own failure")]
    Internal(#[from] Error),
}

impl Problem {
    /// Status and code of the table.
    pub(crate) fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            Self::Version => (StatusCode::PRECONDITION_FAILED, "malformed"),
            Self::NotRegistered => (StatusCode::FORBIDDEN, "not-registered"),
            Self::NotYours => (StatusCode::FORBIDDEN, "not-yours"),
            Self::Unknown(_) => (StatusCode::NOT_FOUND, "unknown"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict"),
            Self::Offset => (StatusCode::CONFLICT, "offset"),
            Self::Incomplete => (StatusCode::CONFLICT, "incomplete"),
            Self::Digest => (StatusCode::UNPROCESSABLE_ENTITY, "digest"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::Busy | Self::Internal(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        }
    }
}
