//! Why a host function says no.

use recueil_abi::rcl_status;

/// Why a host function says no to the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// In the ordinary course of things, `RCL_E_*`.
    Status(rcl_status),
    /// The plugin broke this rule of the header (`R4` is 4), in words: hostd is told, the plugin gets
    /// `RCL_E_INVALID`.
    Broken(u8, &'static str),
    /// R11: hostd is told, the plugin gets `RCL_E_ACCESS`.
    Stored,
    /// The one who lends frame memory is gone, or broke this rule of the frame socket.
    NoReader(&'static str),
}

/// What a frame's handle must be.
pub(crate) const UNKNOWN_FRAME: Refusal = Refusal::Broken(
    4,
    "a frame that the plugin does not hold: never allocated, submitted or dropped before",
);
/// What `req` must be.
pub(crate) const NOT_RUNNING: Refusal = Refusal::Broken(10, "a request that does not run");
/// What no pointer may be.
pub(crate) const NULL: Refusal = Refusal::Broken(4, "a NULL pointer where the contract allows none");
/// What `size` must be.
pub(crate) const TOO_SMALL: Refusal = Refusal::Broken(1, "a struct smaller than in the first release");
