//! Why a session cannot go on.

/// Why a session cannot go on. `recueild` is told the text before the process ends; it holds no content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device host sent a frame in a buffer that it has not.
    #[error("a frame in memory that was not lent")]
    BufferNotLent,
    /// The device host closed its socket and another try is asked.
    #[error("the device host is gone")]
    HostGone,
    /// The device says more of a frame than is true.
    #[error("a frame that is not as it says: {0}")]
    Frame(&'static str),
    /// The device host sent a frame of a try that does not run.
    #[error("a frame of another try")]
    FrameOfAnotherTry,
    /// What the device submitted is not what its host counted.
    #[error("{arrived} results of the {said} that were said")]
    ResultCount {
        /// Results that came.
        arrived: usize,
        /// Results that were said.
        said: u32,
    },
    /// More is held than a session may hold.
    #[error("more pictures than one session may hold")]
    TooMuch,
    /// `recueild` broke the order of the conversation.
    #[error("a request out of order: {0}")]
    OutOfOrder(&'static str),
    /// The profile is not the one that was announced.
    #[error("a profile other than the one announced")]
    OtherProfile,
    /// The profile or a record.
    #[error("profile or encoding")]
    Capture(#[from] recueil_capture::Error),
    /// Shared or sealed memory.
    #[error("memory")]
    Memory(#[from] recueil_wire::MemoryError),
    /// A socket.
    #[error("socket")]
    Wire(#[from] recueil_wire::Error),
    /// The system refused.
    #[error("system")]
    System(#[from] std::io::Error),
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::System(errno.into())
    }
}

impl Error {
    /// This failure and what caused it, in one line. Causes further down are left out: they may quote what the
    /// other side sent.
    pub fn text(&self) -> String {
        use std::error::Error as _;
        match self.source() {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
