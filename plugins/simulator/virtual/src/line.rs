//! Messages on a blocking stream, as the device reads them.

use std::io::Read;

use recueil_plugin_simulator::protocol::{self, Message, PRELUDE_BYTES};

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The other side hung up, or was hung up on.
    #[error("the line ended")]
    Line(#[from] std::io::Error),
    /// The other side does not speak the protocol.
    #[error(transparent)]
    Malformed(#[from] protocol::Malformed),
    /// The other side began a capture while one ran.
    #[error("a capture within a capture")]
    Order,
}

/// Waits for one message.
pub(crate) fn read<M: Message>(stream: &mut impl Read) -> Result<M, Broken> {
    let mut prelude = [0; PRELUDE_BYTES];
    stream.read_exact(&mut prelude)?;
    let mut json = vec![0; protocol::json_len(prelude)?];
    stream.read_exact(&mut json)?;
    Ok(protocol::decode(&json)?)
}
