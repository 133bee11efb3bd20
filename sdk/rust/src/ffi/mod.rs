//! The border to C: everything `unsafe` of this crate but the fake host. Threads, lifetimes and ownership of
//! pointers are those of `recueil_plugin.h`; the host is trusted to keep its side.

mod descriptor;
mod device;
mod frame;
mod guard;
mod host;
mod plugin;
pub(crate) mod sized;

pub use descriptor::{Descriptor, Identity, c_str};
pub use frame::Frame;
pub use host::Host;
