//! What the processes say to each other over private sockets, and the socket they say it on.
//!
//! One message is one JSON document in one `SOCK_SEQPACKET` packet, with at most [`FDS_MAX`] descriptors.
//! Both ends are of one release, so the types may change freely; the stable contracts are `sdk/include` and
//! `sdk/dbus`.
//!
//! Invariant: no pixel, key or personal datum stands in a message; those travel in a descriptor. What is
//! *not* here: any behaviour. Each module is one conversation:
//!
//! | module | between | carries |
//! |---|---|---|
//! | [`devices`] | `recueild` and `recueil-hostd` | devices, sessions, captures |
//! | [`host`] | `recueil-hostd` and `recueil-device-host` | one plugin's calls and events |
//! | [`frames`] | `recueil-device-host` and `recueil-analyser` | frame memory and its metadata |
//! | [`analyser`] | `recueild` and `recueil-analyser` | a capture session: assessments out, chosen records out |
//! | [`courier`] | `recueild` and `recueil-courier` | look-ups at CERT, news of parcels |

pub mod analyser;
pub mod courier;
pub mod devices;
pub mod frames;
pub mod host;
mod inherit;
mod lent;
mod memory;
mod packet;
mod user;

pub use inherit::{command_with_socket, inherited_socket};
pub use lent::LentMemory;
pub use memory::{MemoryError, read_memory, sealed_memory, shared_memory};
pub use packet::{
    AsyncSocket, Error, FDS_MAX, Listener, MESSAGE_MAX_BYTES, Received, Socket, peer_uid, socket_pair, watch,
};
pub use user::User;
