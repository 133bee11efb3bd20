//! `recueil-analyser` and `recueil-device-host`, on the frame socket that hostd made for one session.
//!
//! The analyser makes the memory ([`crate::LentMemory`]) and lends it with [`ToHost::Buffer`]. The host
//! maps it once, hands it to the plugin, and gives it back with [`FromHost::Frame`] or
//! [`FromHost::Unused`]. The analyser copies what it needs, wipes the memory, and lends it again with
//! [`ToHost::Release`]. Each buffer is on one side at any time.

use recueil_dossier::{FrameInfo, FrameKind};
use serde::{Deserialize, Serialize};

/// Most buffers of one session.
pub const BUFFERS_MAX: usize = 8;

/// What the analyser says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToHost {
    /// A new buffer. Descriptor: its memory.
    Buffer {
        /// Its number, below [`BUFFERS_MAX`], not used before in this session.
        index: u32,
        /// What it may be used for.
        kind: FrameKind,
        /// Its size in bytes.
        capacity: u64,
    },
    /// A buffer was read and wiped; the host may use it again.
    Release {
        /// Which.
        index: u32,
    },
}

/// What the host says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromHost {
    /// A buffer was filled. Everything in it is the plugin's word, to be checked.
    Frame {
        /// Which capture.
        req: u64,
        /// Which buffer.
        index: u32,
        /// What the plugin says of it.
        info: FrameInfo,
    },
    /// A buffer comes back unused; it may hold parts of a picture all the same.
    Unused {
        /// Which.
        index: u32,
    },
}
